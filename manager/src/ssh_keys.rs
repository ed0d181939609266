//! SSH public keys of users: reads a line of `id_ed25519.pub`, and its fingerprint. Pure.

use model::UserError;
use ssh_key::{Algorithm, HashAlg, PublicKey as OpenSshKey};

use crate::user_errors::people::bad_key;

/// Smallest accepted RSA modulus, in bits.
const MIN_RSA_BITS: u32 = 2048;

/// A parsed public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// `ssh-ed25519 AAAA…`, without a comment.
    pub text: String,
    /// The text behind the key, which tells keys apart in a list.
    pub comment: String,
    /// `SHA256:…`, as `ssh-keygen -l` prints it.
    pub fingerprint: String,
}

/// The kinds of keys that the SSH server accepts.
const KINDS: [&str; 7] = [
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-rsa",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

/// Parses one public key. Options before the key (as in authorized_keys) are refused, since they would have no effect.
pub fn parse(text: &str) -> Result<PublicKey, UserError> {
    if text.contains("PRIVATE KEY") {
        return Err(bad_key("It is a private key. Never give it to anybody; the file that ends with `.pub` is meant."));
    }
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let line = lines.next().ok_or_else(|| bad_key("Nothing was given."))?;
    if lines.next().is_some() {
        return Err(bad_key("One key is taken at a time."));
    }
    let mut words = line.splitn(3, char::is_whitespace);
    let kind = words.next().unwrap_or_default();
    if !KINDS.contains(&kind) {
        let shown: String = kind.chars().filter(|c| !c.is_control()).take(40).collect();
        return Err(bad_key(&format!("`{shown}` is not a known kind of key; {} are.", KINDS.join(", "))));
    }
    let text = format!("{kind} {}", words.next().unwrap_or_default());
    let key = OpenSshKey::from_openssh(&text).map_err(|error| match error {
        ssh_key::Error::AlgorithmUnknown | ssh_key::Error::AlgorithmUnsupported { .. } => bad_key("Its data does not belong to its kind."),
        _ => bad_key("Its data is cut off or changed."),
    })?;
    if matches!(key.algorithm(), Algorithm::Rsa { .. }) && key.key_data().rsa().is_none_or(|key| key.key_size() < MIN_RSA_BITS) {
        return Err(bad_key("RSA keys of less than 2048 bits are not taken."));
    }
    let comment: String = words.next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(100).collect();
    Ok(PublicKey { text, comment: comment.trim().to_owned(), fingerprint: key.fingerprint(HashAlg::Sha256).to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g";

    #[test]
    fn a_key_line_is_read() {
        let key = parse(&format!("{KEY} ada@laptop\n")).expect("a key");
        assert_eq!((key.text.as_str(), key.comment.as_str()), (KEY, "ada@laptop"));
        assert!(key.fingerprint.starts_with("SHA256:") && key.fingerprint.len() == 50);
    }

    #[test]
    fn what_is_not_a_key_says_why() {
        let why = |text: &str| parse(text).expect_err(text).why;
        assert!(why("-----BEGIN OPENSSH PRIVATE KEY-----").contains("private key"));
        assert!(why("").contains("Nothing"));
        assert!(why(&KEY[..40]).contains("cut off"));
        assert!(why(&KEY.replace("ssh-ed25519 ", "ssh-rsa ")).contains("does not belong"));
        assert!(why("command=\"sh\" ssh-ed25519 AAAA").contains("not a known kind"));
        assert!(why(&format!("{KEY}\n{KEY}")).contains("One key"));
    }
}
