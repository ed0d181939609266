//! The layout of the object store: the key of each object, and the parsing of a key.
//!
//! Owns the layout that the crate's head describes. Pure. Segments that start with `_` can not be part of a repository name,
//! so what belongs to `acme` and what belongs to `acme/shop` never meet.

use object_store::path::Path;

use crate::digest::{Algorithm, ContentDigest};
use crate::name::{RepositoryName, Tag};

pub(crate) const BLOBS: &str = "blobs";
pub(crate) const REPOSITORIES: &str = "repositories";
pub(crate) const UPLOADS: &str = "uploads";

const LINKS: &str = "_blobs";
const MANIFESTS: &str = "_manifests";
const TAGS: &str = "_tags";
const REFERRERS: &str = "_referrers";

/// The content of a blob.
pub(crate) fn blob(digest: &ContentDigest) -> Path {
    under(blobs(), digest)
}

/// All contents.
pub(crate) fn blobs() -> Path {
    Path::from(BLOBS)
}

/// All repositories.
pub(crate) fn repositories() -> Path {
    Path::from(REPOSITORIES)
}

fn prefix(repository: &RepositoryName, kind: &'static str) -> Path {
    Path::from(format!("{REPOSITORIES}/{repository}/{kind}"))
}

fn under(prefix: Path, digest: &ContentDigest) -> Path {
    prefix.join(digest.algorithm().as_str()).join(digest.hex())
}

/// All links of a repository.
pub(crate) fn links(repository: &RepositoryName) -> Path {
    prefix(repository, LINKS)
}

/// That a blob is visible in a repository.
pub(crate) fn link(repository: &RepositoryName, digest: &ContentDigest) -> Path {
    under(links(repository), digest)
}

/// All manifests of a repository.
pub(crate) fn manifests(repository: &RepositoryName) -> Path {
    prefix(repository, MANIFESTS)
}

/// One manifest, with its media type.
pub(crate) fn manifest(repository: &RepositoryName, digest: &ContentDigest) -> Path {
    under(manifests(repository), digest)
}

/// All tags of a repository.
pub(crate) fn tags(repository: &RepositoryName) -> Path {
    prefix(repository, TAGS)
}

/// Which manifest a tag names.
pub(crate) fn tag(repository: &RepositoryName, tag: &Tag) -> Path {
    tags(repository).join(tag.as_str())
}

/// All descriptors of manifests that refer to any subject.
pub(crate) fn all_referrers(repository: &RepositoryName) -> Path {
    prefix(repository, REFERRERS)
}

/// All descriptors of manifests that refer to one subject.
pub(crate) fn referrers(repository: &RepositoryName, subject: &ContentDigest) -> Path {
    under(all_referrers(repository), subject)
}

/// The descriptor of one manifest that refers to a subject.
pub(crate) fn referrer(repository: &RepositoryName, subject: &ContentDigest, digest: &ContentDigest) -> Path {
    under(referrers(repository, subject), digest)
}

/// What a key holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    Blob(ContentDigest),
    Link(RepositoryName, ContentDigest),
    Manifest(RepositoryName, ContentDigest),
    Tag(RepositoryName, Tag),
    Referrer(RepositoryName, ContentDigest, ContentDigest),
}

impl Entry {
    /// Parses a key; `None` for a key that this registry did not write.
    pub(crate) fn read(key: &Path) -> Option<Self> {
        let parts: Vec<&str> = key.as_ref().split('/').collect();
        let (top, rest) = parts.split_first()?;
        match *top {
            BLOBS => match rest {
                [algorithm, hex] => Some(Self::Blob(digest(algorithm, hex)?)),
                _ => None,
            },
            REPOSITORIES => {
                let at = rest.iter().position(|segment| segment.starts_with('_'))?;
                let (name, rest) = rest.split_at(at);
                let repository = RepositoryName::new(name.join("/")).ok()?;
                match rest {
                    [LINKS, algorithm, hex] => Some(Self::Link(repository, digest(algorithm, hex)?)),
                    [MANIFESTS, algorithm, hex] => Some(Self::Manifest(repository, digest(algorithm, hex)?)),
                    [TAGS, tag] => Some(Self::Tag(repository, Tag::new(*tag).ok()?)),
                    [REFERRERS, subject_algorithm, subject, algorithm, hex] => {
                        Some(Self::Referrer(repository, digest(subject_algorithm, subject)?, digest(algorithm, hex)?))
                    }
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// The repository it belongs to.
    pub(crate) fn repository(&self) -> Option<&RepositoryName> {
        match self {
            Self::Blob(_) => None,
            Self::Link(name, _) | Self::Manifest(name, _) | Self::Tag(name, _) | Self::Referrer(name, _, _) => Some(name),
        }
    }
}

fn digest(algorithm: &str, hex: &str) -> Option<ContentDigest> {
    let algorithm = match algorithm {
        "sha256" => Algorithm::Sha256,
        "sha512" => Algorithm::Sha512,
        _ => return None,
    };
    ContentDigest::from_parts(algorithm, hex).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names() -> impl Strategy<Value = RepositoryName> {
        "[a-z0-9]{1,4}(/[a-z0-9]{1,4}([._-][a-z0-9]{1,3})?){0,4}".prop_map(|text| RepositoryName::new(text).expect("a good name"))
    }

    fn digests() -> impl Strategy<Value = ContentDigest> {
        (any::<u64>(), any::<bool>()).prop_map(|(seed, long)| {
            let algorithm = if long { Algorithm::Sha512 } else { Algorithm::Sha256 };
            ContentDigest::of(algorithm, &seed.to_le_bytes())
        })
    }

    proptest! {
        #[test]
        fn every_key_reads_back(name in names(), one in digests(), two in digests(), text in "[A-Za-z0-9_][A-Za-z0-9._-]{0,20}") {
            let named = Tag::new(text).expect("a good tag");
            prop_assert_eq!(Entry::read(&blob(&one)), Some(Entry::Blob(one)));
            prop_assert_eq!(Entry::read(&link(&name, &one)), Some(Entry::Link(name.clone(), one)));
            prop_assert_eq!(Entry::read(&manifest(&name, &one)), Some(Entry::Manifest(name.clone(), one)));
            prop_assert_eq!(Entry::read(&tag(&name, &named)), Some(Entry::Tag(name.clone(), named)));
            prop_assert_eq!(Entry::read(&referrer(&name, &one, &two)), Some(Entry::Referrer(name, one, two)));
        }

        #[test]
        fn no_two_repositories_share_a_prefix(one in names(), two in names()) {
            prop_assume!(one != two);
            prop_assert!(!links(&one).prefix_matches(&links(&two)));
            prop_assert!(!tags(&one).prefix_matches(&tags(&two)));
        }
    }

    #[test]
    fn foreign_keys_are_none() {
        for key in ["", "blobs", "blobs/sha256/zz", "repositories/acme", "repositories/_tags/x", "uploads/1", "repositories/a/_other/x"] {
            assert_eq!(Entry::read(&Path::from(key)), None, "{key}");
        }
    }
}
