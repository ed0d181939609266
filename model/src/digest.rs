//! Content digests and references to images by digest.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::name::InvalidName;

/// A SHA-256 content digest, written `sha256:<64 hex digits>`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// A digest computed elsewhere, such as over a stream.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads `sha256:<hex>`.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let bad = |why| InvalidName { kind: "a digest", text: text.into(), why };
        let digits = text.strip_prefix("sha256:").ok_or_else(|| bad("it must start with `sha256:`"))?;
        if digits.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(bad("its digits must be lower case"));
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| bad("it must have 64 hex digits"))?;
        Ok(Self(bytes))
    }

    /// The hex digits alone.
    pub fn hex(&self) -> String {
        hex::encode(self.0)
    }

    /// The first twelve hex digits, for people.
    pub fn short(&self) -> String {
        hex::encode(&self.0[..6])
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.short())
    }
}

impl TryFrom<String> for Digest {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, InvalidName> {
        Self::parse(&text)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.to_string()
    }
}

/// An image in the platform's registry, by content: never by tag, so that a release can not change under its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ImageRef {
    /// Repository path inside the registry, such as `acme/shop`.
    pub repository: String,
    /// Digest of its manifest.
    pub digest: Digest,
}

impl ImageRef {
    /// The name an engine pulls it by, from the registry at `registry` (`127.0.0.1:5000`).
    pub fn pull_name(&self, registry: &str) -> String {
        format!("{registry}/{}@{}", self.repository, self.digest)
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.repository, self.digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_reads_back() {
        let digest = Digest::of(b"slug");
        assert_eq!(Digest::parse(&digest.to_string()), Ok(digest));
        assert!(Digest::parse("sha256:12").is_err());
        assert!(Digest::parse(&digest.to_string().to_uppercase()).is_err());
    }
}
