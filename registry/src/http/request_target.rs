//! The target of a request: the path of its URL, parsed. Pure.
//!
//! Paths are parsed from the right, because repository names have any number of segments and may contain words like `blobs`.

use percent_encoding::percent_decode_str;

use crate::digest::ContentDigest;
use crate::name::RepositoryName;
use crate::oci_error::{ErrorCode, OciError};

/// One endpoint of the specification, with its names read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RequestTarget {
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
    /// `/v2/<name>/manifests/<reference>`; the handler parses the reference, since a bad one is not found when read
    Manifest(RepositoryName, String),
    /// `/v2/<name>/tags/list`
    Tags(RepositoryName),
    /// `/v2/<name>/referrers/<digest>`
    Referrers(RepositoryName, ContentDigest),
}

impl RequestTarget {
    /// Reads the path of a URL, still percent-encoded.
    pub(crate) fn parse(path: &str) -> Result<Self, OciError> {
        let path = percent_decode_str(path).decode_utf8().map_err(|_| unknown())?;
        // No name holds a `%`: what is left of one was not a valid escape.
        if path.contains('%') {
            return Err(unknown());
        }
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

fn unknown() -> OciError {
    OciError::new(ErrorCode::NotFound, "there is no such endpoint")
}

fn repository(text: &str) -> Result<RepositoryName, OciError> {
    RepositoryName::new(text).map_err(|bad| OciError::new(ErrorCode::NameInvalid, bad.to_string()))
}

fn digest(text: &str) -> Result<ContentDigest, OciError> {
    ContentDigest::parse(text).map_err(|bad| OciError::new(ErrorCode::DigestInvalid, bad.to_string()))
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
        assert_eq!(RequestTarget::parse("/v2"), Ok(RequestTarget::Base));
        assert_eq!(RequestTarget::parse("/v2/"), Ok(RequestTarget::Base));
        assert_eq!(RequestTarget::parse("/v2/_catalog"), Ok(RequestTarget::Catalog));
        assert_eq!(RequestTarget::parse(&format!("/v2/a/b/c/blobs/{digest}")), Ok(RequestTarget::Blob(name("a/b/c"), digest)));
        assert_eq!(RequestTarget::parse(&format!("/v2/a/blobs/sha256%3A{}", digest.hex())), Ok(RequestTarget::Blob(name("a"), digest)));
        assert_eq!(RequestTarget::parse("/v2/a/blobs/uploads/"), Ok(RequestTarget::Uploads(name("a"))));
        assert_eq!(RequestTarget::parse("/v2/a/blobs/uploads"), Ok(RequestTarget::Uploads(name("a"))));
        assert_eq!(RequestTarget::parse("/v2/a/blobs/uploads/77"), Ok(RequestTarget::Upload(name("a"), "77".into())));
        assert_eq!(RequestTarget::parse("/v2/a/manifests/latest"), Ok(RequestTarget::Manifest(name("a"), "latest".into())));
        assert_eq!(RequestTarget::parse("/v2/a/tags/list"), Ok(RequestTarget::Tags(name("a"))));
        assert_eq!(RequestTarget::parse(&format!("/v2/a/referrers/{digest}")), Ok(RequestTarget::Referrers(name("a"), digest)));
    }

    #[test]
    fn names_may_contain_the_words_of_the_api() {
        assert_eq!(
            RequestTarget::parse("/v2/a/blobs/uploads/manifests/tags/manifests/v1"),
            Ok(RequestTarget::Manifest(name("a/blobs/uploads/manifests/tags"), "v1".into()))
        );
        assert_eq!(RequestTarget::parse("/v2/tags/list/tags/list"), Ok(RequestTarget::Tags(name("tags/list"))));
    }

    #[test]
    fn what_is_none() {
        let code = |path: &str| RequestTarget::parse(path).expect_err(path).code;
        for path in ["/", "/v3/", "/v2x/", "/v2/a", "/v2/a/b", "/v2/a/tags/all", "/v2/%zz/tags/list", "/v2/%ff/tags/list", "/v2/a%"] {
            assert_eq!(code(path), ErrorCode::NotFound, "{path}");
        }
        for path in ["/v2//tags/list", "/v2/A/tags/list", "/v2/../tags/list", "/v2/a%2F..%2Fb/tags/list", "/v2/_x/manifests/a"] {
            assert_eq!(code(path), ErrorCode::NameInvalid, "{path}");
        }
        assert_eq!(code("/v2/a/blobs/sha256:12"), ErrorCode::DigestInvalid);
        assert_eq!(code("/v2/a/referrers/latest"), ErrorCode::DigestInvalid);
    }

    proptest! {
        #[test]
        fn any_path_is_read_without_a_panic(path in "\\PC{0,60}") {
            let _ = RequestTarget::parse(&path);
            let _ = RequestTarget::parse(&format!("/v2/{path}"));
        }
    }
}
