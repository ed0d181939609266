//! What a request is about: the path of its URL, read into a `Target`.
//!
//! Pure. Paths are read from the right, because repository names have any number of segments and may contain words like
//! `blobs`. Must never look at the caller.

use crate::digest::ContentDigest;
use crate::name::RepositoryName;
use crate::problem::{Code, Problem};

/// One endpoint of the specification, with its names read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// `/v2/`
    Base,
    /// `/v2/_catalog`
    Catalog,
    /// `/v2/<name>/blobs/<digest>`
    Blob(RepositoryName, ContentDigest),
    /// `/v2/<name>/blobs/uploads/`
    Uploads(RepositoryName),
    /// `/v2/<name>/blobs/uploads/<id>`
    Upload(RepositoryName, String),
    /// `/v2/<name>/manifests/<reference>`; the reference is judged by the verb, since a bad one is absent to a reader
    Manifest(RepositoryName, String),
    /// `/v2/<name>/tags/list`
    Tags(RepositoryName),
    /// `/v2/<name>/referrers/<digest>`
    Referrers(RepositoryName, ContentDigest),
}

impl Target {
    /// Reads the path of a URL, still percent-encoded.
    pub(crate) fn parse(path: &str) -> Result<Self, Problem> {
        let path = percent_decode(path).ok_or_else(unknown)?;
        let rest = path.strip_prefix("/v2").ok_or_else(unknown)?;
        match rest {
            "" | "/" => return Ok(Self::Base),
            "/_catalog" => return Ok(Self::Catalog),
            _ => {}
        }
        let rest = rest.strip_prefix('/').ok_or_else(unknown)?;
        if let Some(name) = rest.strip_suffix("/blobs/uploads/").or_else(|| rest.strip_suffix("/blobs/uploads")) {
            return Ok(Self::Uploads(repository(name)?));
        }
        if let Some(name) = rest.strip_suffix("/tags/list") {
            return Ok(Self::Tags(repository(name)?));
        }
        let (front, last) = rest.rsplit_once('/').ok_or_else(unknown)?;
        if let Some(name) = front.strip_suffix("/blobs/uploads") {
            return Ok(Self::Upload(repository(name)?, last.into()));
        }
        if let Some(name) = front.strip_suffix("/blobs") {
            return Ok(Self::Blob(repository(name)?, digest(last)?));
        }
        if let Some(name) = front.strip_suffix("/manifests") {
            return Ok(Self::Manifest(repository(name)?, last.into()));
        }
        if let Some(name) = front.strip_suffix("/referrers") {
            return Ok(Self::Referrers(repository(name)?, digest(last)?));
        }
        Err(unknown())
    }

    /// The repository it is about, if it is about one.
    pub(crate) fn repository(&self) -> Option<&RepositoryName> {
        match self {
            Self::Base | Self::Catalog => None,
            Self::Blob(name, _)
            | Self::Uploads(name)
            | Self::Upload(name, _)
            | Self::Manifest(name, _)
            | Self::Tags(name)
            | Self::Referrers(name, _) => Some(name),
        }
    }
}

fn unknown() -> Problem {
    Problem::new(Code::NotFound, "there is no such endpoint")
}

fn repository(text: &str) -> Result<RepositoryName, Problem> {
    RepositoryName::new(text).map_err(|bad| Problem::new(Code::NameInvalid, bad.to_string()))
}

fn digest(text: &str) -> Result<ContentDigest, Problem> {
    ContentDigest::parse(text).map_err(|bad| Problem::new(Code::DigestInvalid, bad.to_string()))
}

/// Undoes `%XX`. Everything that comes out is held against a grammar afterwards, so nothing is lost by decoding slashes too.
fn percent_decode(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.into());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        if first == b'%' {
            let mut byte = [0];
            hex::decode_to_slice(tail.get(..2)?, &mut byte).ok()?;
            bytes.push(byte[0]);
            rest = &tail[2..];
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(text: &str) -> RepositoryName {
        RepositoryName::new(text).expect("a good name")
    }

    #[test]
    fn every_endpoint() {
        let digest = ContentDigest::of(crate::Algorithm::Sha256, b"x");
        assert_eq!(Target::parse("/v2"), Ok(Target::Base));
        assert_eq!(Target::parse("/v2/"), Ok(Target::Base));
        assert_eq!(Target::parse("/v2/_catalog"), Ok(Target::Catalog));
        assert_eq!(Target::parse(&format!("/v2/a/b/c/blobs/{digest}")), Ok(Target::Blob(name("a/b/c"), digest)));
        assert_eq!(Target::parse(&format!("/v2/a/blobs/sha256%3A{}", digest.hex())), Ok(Target::Blob(name("a"), digest)));
        assert_eq!(Target::parse("/v2/a/blobs/uploads/"), Ok(Target::Uploads(name("a"))));
        assert_eq!(Target::parse("/v2/a/blobs/uploads"), Ok(Target::Uploads(name("a"))));
        assert_eq!(Target::parse("/v2/a/blobs/uploads/77"), Ok(Target::Upload(name("a"), "77".into())));
        assert_eq!(Target::parse("/v2/a/manifests/latest"), Ok(Target::Manifest(name("a"), "latest".into())));
        assert_eq!(Target::parse("/v2/a/tags/list"), Ok(Target::Tags(name("a"))));
        assert_eq!(Target::parse(&format!("/v2/a/referrers/{digest}")), Ok(Target::Referrers(name("a"), digest)));
    }

    #[test]
    fn names_may_contain_the_words_of_the_api() {
        assert_eq!(
            Target::parse("/v2/a/blobs/uploads/manifests/tags/manifests/v1"),
            Ok(Target::Manifest(name("a/blobs/uploads/manifests/tags"), "v1".into()))
        );
        assert_eq!(Target::parse("/v2/tags/list/tags/list"), Ok(Target::Tags(name("tags/list"))));
    }

    #[test]
    fn what_is_none() {
        let code = |path: &str| Target::parse(path).expect_err(path).code;
        for path in ["/", "/v3/", "/v2x/", "/v2/a", "/v2/a/b", "/v2/a/tags/all", "/v2/%zz/tags/list", "/v2/%ff/tags/list", "/v2/a%"] {
            assert_eq!(code(path), Code::NotFound, "{path}");
        }
        for path in ["/v2//tags/list", "/v2/A/tags/list", "/v2/../tags/list", "/v2/a%2F..%2Fb/tags/list", "/v2/_x/manifests/a"] {
            assert_eq!(code(path), Code::NameInvalid, "{path}");
        }
        assert_eq!(code("/v2/a/blobs/sha256:12"), Code::DigestInvalid);
        assert_eq!(code("/v2/a/referrers/latest"), Code::DigestInvalid);
    }

    proptest! {
        #[test]
        fn any_path_is_read_without_a_panic(path in "\\PC{0,60}") {
            let _ = Target::parse(&path);
            let _ = Target::parse(&format!("/v2/{path}"));
        }
    }
}
