//! Content digests: what every blob and manifest is called by.
//!
//! Owns the two algorithms of the specification and the running hash of an upload. Must never accept a digest that does not
//! have exactly the length of its algorithm: digests become storage keys.

use std::fmt;

use sha2::{Digest as _, Sha256, Sha512};

/// A hash function that content may be named by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// SHA-256, the canonical one.
    Sha256,
    /// SHA-512, the other one of the specification.
    Sha512,
}

impl Algorithm {
    /// Its name in a digest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }
}

/// Why a text is no digest that this registry can store under.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadDigest {
    /// Not `algorithm:hex`, or an algorithm that is not offered.
    #[error("a digest is `sha256:` or `sha512:` and lower-case hex digits")]
    Grammar,
    /// The wrong number of digits for its algorithm.
    #[error("the digest has the wrong length for its algorithm")]
    Length,
}

/// The digest of a blob or a manifest, `sha256:…` or `sha512:…`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ContentDigest {
    /// By SHA-256.
    Sha256([u8; 32]),
    /// By SHA-512.
    Sha512([u8; 64]),
}

impl ContentDigest {
    /// Reads `algorithm:hex`.
    pub fn parse(text: &str) -> Result<Self, BadDigest> {
        let (algorithm, digits) = text.split_once(':').ok_or(BadDigest::Grammar)?;
        match algorithm {
            "sha256" => Self::from_parts(Algorithm::Sha256, digits),
            "sha512" => Self::from_parts(Algorithm::Sha512, digits),
            _ => Err(BadDigest::Grammar),
        }
    }

    /// Reads the hex digits of a known algorithm.
    pub fn from_parts(algorithm: Algorithm, digits: &str) -> Result<Self, BadDigest> {
        if !digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            return Err(BadDigest::Grammar);
        }
        match algorithm {
            Algorithm::Sha256 => {
                let mut bytes = [0; 32];
                hex::decode_to_slice(digits, &mut bytes).map_err(|_| BadDigest::Length)?;
                Ok(Self::Sha256(bytes))
            }
            Algorithm::Sha512 => {
                let mut bytes = [0; 64];
                hex::decode_to_slice(digits, &mut bytes).map_err(|_| BadDigest::Length)?;
                Ok(Self::Sha512(bytes))
            }
        }
    }

    /// The digest of bytes at hand.
    pub fn of(algorithm: Algorithm, bytes: &[u8]) -> Self {
        let mut hash = RunningHash::new(algorithm);
        hash.update(bytes);
        hash.finish()
    }

    /// The algorithm that made it.
    pub fn algorithm(&self) -> Algorithm {
        match self {
            Self::Sha256(_) => Algorithm::Sha256,
            Self::Sha512(_) => Algorithm::Sha512,
        }
    }

    /// The hex digits alone.
    pub fn hex(&self) -> String {
        match self {
            Self::Sha256(bytes) => hex::encode(bytes),
            Self::Sha512(bytes) => hex::encode(bytes),
        }
    }
}

impl fmt::Display for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm().as_str(), self.hex())
    }
}

impl fmt::Debug for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm().as_str(), &self.hex()[..12])
    }
}

impl From<model::Digest> for ContentDigest {
    fn from(digest: model::Digest) -> Self {
        Self::from_parts(Algorithm::Sha256, &digest.hex()).expect("a digest of the model has 64 hex digits")
    }
}

/// A hash that content still flows into.
#[derive(Clone)]
pub(crate) enum RunningHash {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl RunningHash {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self::Sha256(Sha256::new()),
            Algorithm::Sha512 => Self::Sha512(Sha512::new()),
        }
    }

    pub(crate) fn algorithm(&self) -> Algorithm {
        match self {
            Self::Sha256(_) => Algorithm::Sha256,
            Self::Sha512(_) => Algorithm::Sha512,
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hash) => hash.update(bytes),
            Self::Sha512(hash) => hash.update(bytes),
        }
    }

    pub(crate) fn finish(self) -> ContentDigest {
        match self {
            Self::Sha256(hash) => ContentDigest::Sha256(hash.finalize().into()),
            Self::Sha512(hash) => ContentDigest::Sha512(hash.finalize().into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_algorithms_read_back() {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let digest = ContentDigest::of(algorithm, b"slug");
            assert_eq!(ContentDigest::parse(&digest.to_string()), Ok(digest));
        }
    }

    #[test]
    fn nothing_else_does() {
        let hex = "a".repeat(64);
        assert_eq!(ContentDigest::parse("sha256:12"), Err(BadDigest::Length));
        assert_eq!(ContentDigest::parse(&format!("sha512:{hex}")), Err(BadDigest::Length));
        for bad in [format!("md5:{hex}"), hex.clone(), format!("sha256:{}", hex.to_uppercase()), "sha256:../..".into(), String::new()] {
            assert_eq!(ContentDigest::parse(&bad), Err(BadDigest::Grammar), "{bad}");
        }
    }

    #[test]
    fn the_models_digest_is_the_same_one() {
        let bytes = b"slug";
        assert_eq!(ContentDigest::from(model::Digest::of(bytes)), ContentDigest::of(Algorithm::Sha256, bytes));
    }
}
