//! A user's public key: parsed, checked for strength, and shown by its fingerprint.
//!
//! A key is identified by its blob; its comment and the user name of SSH never count. Certificates are refused.

use model::{Code, UserError};
use russh::keys::{Algorithm, HashAlg, PublicKey};

/// Smallest accepted RSA key, in bits.
const RSA_BITS: u32 = 2048;

/// A public key of an acceptable kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserKey {
    /// `ssh-ed25519`, `ssh-rsa`, …
    pub algorithm: String,
    /// `SHA256:` and 43 letters, as `ssh-keygen -l` prints it.
    pub fingerprint: String,
    /// Algorithm and base64 blob, without a comment: one line of `authorized_keys`.
    pub line: String,
    /// The comment of the `.pub` file, which tells keys apart in a list. Empty for a key that was offered at a login.
    pub comment: String,
}

/// Why a key is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not a line of `authorized_keys`.
    #[error("this is not a public key in OpenSSH's form")]
    NotAKey,
    /// The text is a private key, pasted by mistake.
    #[error("this is a private key")]
    Private,
    /// An algorithm that is broken or unknown.
    #[error("keys of the kind `{0}` are not accepted")]
    Kind(String),
    /// RSA with too few bits.
    #[error("this RSA key has {0} bits, {RSA_BITS} are needed")]
    Short(u32),
}

impl UserKey {
    /// Parses one line as `ssh-keygen` writes it into `.pub`.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        if text.contains("PRIVATE KEY") {
            return Err(KeyError::Private);
        }
        if text.len() > 16 * 1024 || text.lines().count() != 1 || text.contains(|c: char| c.is_control() && c != '\t') {
            return Err(KeyError::NotAKey);
        }
        let kind = text.split(' ').next().unwrap_or_default();
        if kind.contains("-cert-v01@") || kind == "ssh-dss" {
            return Err(KeyError::Kind(kind.to_owned()));
        }
        let key = PublicKey::from_openssh(text).map_err(|_| KeyError::NotAKey)?;
        let comment: String = text.splitn(3, ' ').nth(2).unwrap_or_default().chars().take(100).collect();
        Ok(Self { comment, ..Self::from_public_key(&key)? })
    }

    /// A key as it is offered at a login.
    pub fn from_public_key(key: &PublicKey) -> Result<Self, KeyError> {
        let algorithm = key.algorithm();
        match &algorithm {
            Algorithm::Ed25519 | Algorithm::SkEd25519 | Algorithm::Ecdsa { .. } | Algorithm::SkEcdsaSha2NistP256 => {}
            Algorithm::Rsa { .. } => {
                let bits = key.key_data().rsa().and_then(|rsa| rsa.n().as_positive_bytes()).map_or(0, bits);
                if bits < RSA_BITS {
                    return Err(KeyError::Short(bits));
                }
            }
            other => return Err(KeyError::Kind(other.to_string())),
        }
        let line = key.to_openssh().map_err(|_| KeyError::NotAKey)?;
        let line: Vec<&str> = line.split(' ').take(2).collect();
        Ok(Self {
            algorithm: algorithm.to_string(),
            fingerprint: key.fingerprint(HashAlg::Sha256).to_string(),
            line: line.join(" "),
            comment: String::new(),
        })
    }
}

fn bits(number: &[u8]) -> u32 {
    let significant: &[u8] = &number[number.iter().take_while(|b| **b == 0).count()..];
    match significant.first() {
        Some(first) => (significant.len() as u32 - 1) * 8 + (8 - first.leading_zeros()),
        None => 0,
    }
}

impl From<KeyError> for UserError {
    fn from(error: KeyError) -> Self {
        let user_error = UserError::new(Code::BadKey, error.to_string());
        match error {
            KeyError::Private => user_error
                .why("The file without `.pub` must never leave your machine. It was not stored; consider making a new one.")
                .next("send the file that ends in .pub"),
            _ => user_error.next("make a new key: ssh-keygen -t ed25519"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti you@laptop two words";

    #[test]
    fn a_line_is_read_without_its_comment() {
        let key = UserKey::parse(ED25519).expect("a good key");
        assert_eq!(key.algorithm, "ssh-ed25519");
        assert_eq!(key.comment, "you@laptop two words");
        assert!(key.fingerprint.starts_with("SHA256:"));
        assert_eq!(UserKey::parse(&key.line).expect("its own line").fingerprint, key.fingerprint);
    }

    #[test]
    fn what_is_no_key_says_so() {
        assert_eq!(UserKey::parse("request"), Err(KeyError::NotAKey));
        assert_eq!(UserKey::parse(""), Err(KeyError::NotAKey));
        assert_eq!(UserKey::parse("-----BEGIN OPENSSH PRIVATE KEY-----\nx"), Err(KeyError::Private));
        assert_eq!(UserKey::parse("ssh-dss AAAA"), Err(KeyError::Kind("ssh-dss".into())));
        assert_eq!(UserKey::parse(&format!("command=\"x\" {ED25519}")), Err(KeyError::NotAKey));
        assert_eq!(UserKey::parse(&format!("{ED25519}\n{ED25519}")), Err(KeyError::NotAKey));
    }
}
