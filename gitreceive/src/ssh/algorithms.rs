//! The algorithms that this server speaks, as data with their reasons. Nothing else is offered.
//!
//! Checked with ssh-audit, see the test of that name: no failure, and no warning but the one about X25519 alone, which clients
//! older than OpenSSH 9.9 need (the server can be told to do without them, and then there is none).

use std::borrow::Cow;

use russh::keys::{Algorithm, EcdsaCurve, HashAlg};
use russh::{Preferred, cipher, compression, kex, mac};

/// Key exchange. The two last names are no algorithms: they announce extensions and strict key exchange (Terrapin).
const KEX: &[kex::Name] = &[
    kex::MLKEM768X25519_SHA256,       // hybrid: safe against recorded traffic and a later quantum computer
    kex::CURVE25519,                  // every client of the last ten years
    kex::CURVE25519_PRE_RFC_8731,     // the same under its old name
    kex::EXTENSION_SUPPORT_AS_SERVER, // tells clients that RSA keys sign with SHA-2
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER,
];

/// The same without what a later quantum computer could undo.
const POST_QUANTUM_KEX: &[kex::Name] =
    &[kex::MLKEM768X25519_SHA256, kex::EXTENSION_SUPPORT_AS_SERVER, kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER];

/// What host keys and users' keys may sign with. The host has an Ed25519 key only, so the others concern users.
const KEYS: &[Algorithm] = &[
    Algorithm::Ed25519,
    Algorithm::SkEd25519,                             // security keys
    Algorithm::SkEcdsaSha2NistP256,                   // older security keys
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 }, // keys in hardware modules
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
    Algorithm::Rsa { hash: Some(HashAlg::Sha512) }, // never with SHA-1
    Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
];

/// Ciphers: authenticated ones, then counter mode for clients that lack them.
const CIPHERS: &[cipher::Name] = &[cipher::AES_256_GCM, cipher::CHACHA20_POLY1305, cipher::AES_256_CTR];

/// Encrypt-then-MAC only.
const MACS: &[mac::Name] = &[mac::HMAC_SHA512_ETM, mac::HMAC_SHA256_ETM];

/// None: packs are compressed already, and a compressor in front of authentication is a bomb waiting to be sent.
const COMPRESSION: &[compression::Name] = &[compression::NONE];

/// The lists in russh's form.
pub(crate) fn preferred(post_quantum_only: bool) -> Preferred {
    Preferred {
        kex: Cow::Borrowed(if post_quantum_only { POST_QUANTUM_KEX } else { KEX }),
        host_key_certificates: Cow::Borrowed(&[]),
        key: Cow::Borrowed(KEYS),
        cipher: Cow::Borrowed(CIPHERS),
        mac: Cow::Borrowed(MACS),
        compression: Cow::Borrowed(COMPRESSION),
    }
}

/// Whether a user's key may sign so. RSA with SHA-1 is forgeable.
pub(crate) fn signs_well(algorithm: &Algorithm) -> bool {
    KEYS.contains(algorithm)
}
