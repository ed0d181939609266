//! A user's public key as it is offered at a login: checked for strength, and shown by its fingerprint.
//!
//! A key is identified by its blob; the user name of SSH never counts. Certificates are refused.

use russh::keys::{Algorithm, HashAlg, PublicKey};

/// Smallest accepted RSA modulus, in bits.
const MIN_RSA_BITS: u32 = 2048;

/// A public key of an acceptable kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserKey {
    /// `ssh-ed25519`, `ssh-rsa`, …
    pub algorithm: String,
    /// `SHA256:` and 43 letters, as `ssh-keygen -l` prints it.
    pub fingerprint: String,
    /// Algorithm and base64 blob, without a comment: one line of `authorized_keys`.
    pub line: String,
}

impl UserKey {
    /// The key that a client offers; `None` when its kind is broken or unknown, or its modulus too short.
    pub fn from_public_key(key: &PublicKey) -> Option<Self> {
        let algorithm = key.algorithm();
        let is_strong = match &algorithm {
            Algorithm::Ed25519 | Algorithm::SkEd25519 | Algorithm::Ecdsa { .. } | Algorithm::SkEcdsaSha2NistP256 => true,
            Algorithm::Rsa { .. } => key.key_data().rsa().is_some_and(|rsa| rsa.key_size() >= MIN_RSA_BITS),
            _ => false,
        };
        if !is_strong {
            return None;
        }
        let line = key.to_openssh().ok()?;
        let line: Vec<&str> = line.split(' ').take(2).collect();
        Some(Self { algorithm: algorithm.to_string(), fingerprint: key.fingerprint(HashAlg::Sha256).to_string(), line: line.join(" ") })
    }
}
