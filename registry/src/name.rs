//! Names inside the registry: repositories of any number of segments, tags, and references.
//!
//! Owns their grammars. Must never let a text through that could leave its place in a storage key: both grammars forbid empty
//! segments, `.`, `..` and, for repositories, a leading `_`, which the storage layout keeps for itself.

use std::fmt;

use crate::digest::{BadDigest, ContentDigest};

/// A text that is no repository name, or no tag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// Not a repository name.
    #[error("a repository name is lower-case segments joined by `/`, 255 characters at most")]
    Repository,
    /// Not a tag.
    #[error("a tag is letters, digits, `_`, `.` and `-`, 128 characters at most, and starts with a letter, a digit or `_`")]
    Tag,
}

/// A repository: `stacks/debian`, `acme/shop`, `a/b/c/d`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepositoryName(String);

impl RepositoryName {
    /// Checks the grammar of the distribution specification.
    pub fn new(text: impl Into<String>) -> Result<Self, BadName> {
        let text = text.into();
        if text.len() < 256 && text.split('/').all(is_component) { Ok(Self(text)) } else { Err(BadName::Repository) }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is `other` or lies below it, segment by segment: `acme/shop` is within `acme`, `acmes/shop` is not.
    pub fn is_within(&self, other: &Self) -> bool {
        self.0.strip_prefix(&other.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// Runs of lower-case letters and digits, with one `.`, one or two `_`, or any number of `-` between two runs.
fn is_component(text: &str) -> bool {
    let is_run = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else { return false };
    if !is_run(first) || !is_run(last) {
        return false;
    }
    bytes.split(|&b| is_run(b)).all(|between| match between {
        [] | [b'.'] | [b'_'] | [b'_', b'_'] => true,
        other => other.iter().all(|&b| b == b'-'),
    })
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// A tag: a name inside a repository that can move from one manifest to another.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(String);

impl Tag {
    /// Checks the grammar.
    pub fn new(text: impl Into<String>) -> Result<Self, BadName> {
        let text = text.into();
        let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let ok = (1..=128).contains(&text.len())
            && text.bytes().next().is_some_and(is_word)
            && text.bytes().all(|b| is_word(b) || b == b'.' || b == b'-');
        if ok { Ok(Self(text)) } else { Err(BadName::Tag) }
    }

    /// The tag as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// What a manifest is asked for by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// By a name that can move.
    Tag(Tag),
    /// By content.
    Digest(ContentDigest),
}

/// Why a text is no reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadReference {
    /// It has a colon, so it was meant as a digest.
    #[error(transparent)]
    Digest(#[from] BadDigest),
    /// It was meant as a tag.
    #[error(transparent)]
    Tag(#[from] BadName),
}

impl Reference {
    /// Reads a tag or a digest; tags have no colon, digests always do.
    pub fn parse(text: &str) -> Result<Self, BadReference> {
        if text.contains(':') { Ok(Self::Digest(ContentDigest::parse(text)?)) } else { Ok(Self::Tag(Tag::new(text)?)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn repositories() {
        for good in ["a", "acme/shop", "a/b/c/d/e/f", "a1.b_c__d---e/9", "0"] {
            assert!(RepositoryName::new(good).is_ok(), "{good}");
        }
        let long = "a".repeat(256);
        for bad in ["", "/", "a/", "/a", "a//b", "A", "_a", "a_", "a..b", "a._b", "a___b", ".", "..", "a/../b", "a b", "a#1", &long] {
            assert!(RepositoryName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn prefixes_end_at_a_segment() {
        let name = |text| RepositoryName::new(text).expect("a good name");
        assert!(name("acme").is_within(&name("acme")));
        assert!(name("acme/shop/web").is_within(&name("acme")));
        assert!(!name("acmes/shop").is_within(&name("acme")));
        assert!(!name("acme").is_within(&name("acme/shop")));
    }

    #[test]
    fn tags_and_references() {
        assert!(Tag::new("V1.2-rc_3").is_ok());
        for bad in ["", ".a", "-a", "a/b", "a:b", &"a".repeat(129)] {
            assert!(Tag::new(bad).is_err(), "{bad}");
        }
        assert!(matches!(Reference::parse("latest"), Ok(Reference::Tag(_))));
        assert!(matches!(Reference::parse("sha256:bad"), Err(BadReference::Digest(_))));
        assert!(matches!(Reference::parse(".bad"), Err(BadReference::Tag(_))));
    }

    proptest! {
        #[test]
        fn no_accepted_name_can_climb(text in "[a-z0-9._/#-]{0,20}") {
            if let Ok(name) = RepositoryName::new(text) {
                for segment in name.as_str().split('/') {
                    prop_assert!(!segment.is_empty() && !segment.starts_with(['.', '_', '#', '-']));
                }
            }
        }
    }
}
