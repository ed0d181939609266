//! SSH public keys: reading a line of `id_ed25519.pub`, and its fingerprint. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use model::{Code, UserError};
use sha2::{Digest as _, Sha256};

/// A read public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// `ssh-ed25519 AAAA…`, without a comment.
    pub text: String,
    /// What stood behind it.
    pub comment: String,
    /// `SHA256:…`, as `ssh-keygen -l` prints it.
    pub fingerprint: String,
}

const KINDS: [&str; 7] = [
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-rsa",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

/// The fingerprint of a key blob.
pub fn fingerprint(blob: &[u8]) -> String {
    format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(blob)))
}

/// Reads one public key. Options before the key (as in authorized_keys) are refused: they would not be obeyed.
pub fn parse(text: &str) -> Result<PublicKey, UserError> {
    let bad = |why: &str| {
        UserError::new(Code::BadKey, "this is not a public key that can be used")
            .why(why)
            .next("cat ~/.ssh/id_ed25519.pub | slipway keys:add")
            .next("ssh-keygen -t ed25519   # makes one")
    };
    if text.contains("PRIVATE KEY") {
        return Err(bad("It is a private key. Never give it to anybody; the file that ends with `.pub` is meant."));
    }
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let line = lines.next().ok_or_else(|| bad("Nothing was given."))?;
    if lines.next().is_some() {
        return Err(bad("One key is taken at a time."));
    }
    let mut words = line.splitn(3, char::is_whitespace);
    let kind = words.next().unwrap_or_default();
    if !KINDS.contains(&kind) {
        let shown: String = kind.chars().filter(|c| !c.is_control()).take(40).collect();
        return Err(bad(&format!("`{shown}` is not a known kind of key; {} are.", KINDS.join(", "))));
    }
    let data = words.next().unwrap_or_default();
    let blob = STANDARD.decode(data).map_err(|_| bad("Its data is cut off or changed."))?;
    let fields = fields(&blob).ok_or_else(|| bad("Its data is cut off or changed."))?;
    if fields.first().copied() != Some(kind.as_bytes()) || fields.len() < 2 {
        return Err(bad("Its data does not belong to its kind."));
    }
    if kind == "ssh-rsa" && fields.last().is_none_or(|modulus| modulus.len() < 256) {
        return Err(bad("RSA keys of less than 2048 bits are not taken."));
    }
    let comment: String = words.next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(100).collect();
    Ok(PublicKey { text: format!("{kind} {data}"), comment: comment.trim().to_owned(), fingerprint: fingerprint(&blob) })
}

/// The length-prefixed fields of a key blob, if it consists of nothing else.
fn fields(mut blob: &[u8]) -> Option<Vec<&[u8]>> {
    let mut fields = Vec::new();
    while !blob.is_empty() {
        let length = u32::from_be_bytes(blob.get(..4)?.try_into().ok()?) as usize;
        fields.push(blob.get(4..4usize.checked_add(length)?)?);
        blob = &blob[4 + length..];
    }
    Some(fields)
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
