//! What every handler gets and gives: an authenticated request, its errors, and responses without a body.
//!
//! Owns the check of a caller's rights. Must never tell a caller without rights whether a repository exists.

use std::sync::Arc;

use ::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::authenticator::{AccessDecision, Grant, Right};
use crate::digest::ContentDigest;
use crate::error::RegistryError;
use crate::name::RepositoryName;
use crate::oci_error::{ErrorCode, OciError};
use crate::registry::Registry;

const CHALLENGE: &str = r#"Basic realm="slipway registry", charset="UTF-8""#;

pub(crate) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// One request whose caller was authenticated.
pub(crate) struct RequestContext {
    pub(crate) registry: Arc<Registry>,
    pub(crate) grant: Grant,
    /// Whether the caller sent no credentials.
    pub(crate) anonymous: bool,
    pub(crate) headers: HeaderMap,
    /// Names and values of the query, decoded.
    pub(crate) query: Vec<(String, String)>,
}

/// Why a handler does not succeed.
#[derive(Debug)]
pub(crate) enum HandlerError {
    /// The caller's request is refused.
    Refused(OciError),
    /// The registry failed.
    Failed(RegistryError),
}

impl From<OciError> for HandlerError {
    fn from(oci_error: OciError) -> Self {
        Self::Refused(oci_error)
    }
}

impl From<RegistryError> for HandlerError {
    fn from(error: RegistryError) -> Self {
        Self::Failed(error)
    }
}

pub(crate) type HandlerResult = Result<Response, HandlerError>;

impl RequestContext {
    /// Refuses a caller without this right.
    pub(crate) fn require(&self, repository: &RepositoryName, right: Right) -> Result<(), OciError> {
        match self.grant.decide(repository, right) {
            AccessDecision::Allowed => Ok(()),
            // A caller without credentials may still send some.
            _ if self.anonymous => Err(unauthorized()),
            AccessDecision::Denied => Err(OciError::new(ErrorCode::Denied, "these credentials do not allow it")),
            AccessDecision::Hidden => Err(OciError::new(ErrorCode::NameUnknown, "there is no such repository")),
        }
    }

    pub(crate) fn require_catalogue(&self) -> Result<(), OciError> {
        match (self.grant.sees_catalogue(), self.anonymous) {
            (true, _) => Ok(()),
            (false, true) => Err(unauthorized()),
            (false, false) => Err(OciError::new(ErrorCode::Denied, "the catalogue is for operators")),
        }
    }

    /// The first value of a query parameter.
    pub(crate) fn parameter<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.parameters(name).next()
    }

    pub(crate) fn parameters<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.query.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The value of a header, if it is text.
    pub(crate) fn header(&self, name: HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// The error that asks for credentials.
pub(crate) fn unauthorized() -> OciError {
    OciError::new(ErrorCode::Unauthorized, "credentials are needed").with(header::WWW_AUTHENTICATE, CHALLENGE)
}

/// A response without a body.
pub(crate) fn empty_response<const N: usize>(status: StatusCode, headers: [(HeaderName, String); N]) -> Response {
    let mut response = status.into_response();
    for (name, value) in headers {
        // Values are made of names, digests and numbers, all of which can stand in a header.
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

/// The `ETag` of a content.
pub(crate) fn etag(digest: &ContentDigest) -> String {
    format!("\"{digest}\"")
}

/// Whether an `If-None-Match` names the tag.
pub(crate) fn matches_etag(condition: Option<&str>, tag: &str) -> bool {
    condition.is_some_and(|tags| tags.split(',').map(str::trim).any(|one| one == "*" || one.trim_start_matches("W/") == tag))
}
