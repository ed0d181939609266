//! Handlers of lists: tags, referrers and the catalogue, page by page.

use ::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use crate::digest::ContentDigest;
use crate::http::request_context::{HandlerResult, RequestContext};
use crate::manifest::{OCI_INDEX, Referrer};
use crate::name::RepositoryName;
use crate::oci_error::{ErrorCode, OciError};

const FILTERS: HeaderName = HeaderName::from_static("oci-filters-applied");

/// Entries of a page of the catalogue, and the most that can be asked for.
const PAGE: usize = 100;
const MAX_PAGE: usize = 1000;

/// Bytes of descriptors after which the list of referrers goes on in another page.
const REFERRERS_PAGE: usize = 4 << 20;

/// `GET /v2/<name>/tags/list`
pub(crate) async fn tags(request: &RequestContext, repository: &RepositoryName) -> HandlerResult {
    let tags = request.registry.storage.tags(repository).await?;
    if tags.is_empty() && !request.registry.is_known(repository).await? {
        return Err(OciError::new(ErrorCode::NameUnknown, "there is no such repository").into());
    }
    let all = tags.into_iter().map(|tag| tag.to_string()).collect();
    let (page, next) = page(all, request.parameter("last"), count(request)?.unwrap_or(usize::MAX));
    let link = next.map(|last| format!("/v2/{repository}/tags/list?n={}&last={last}", page.len()));
    Ok(json_page(&json!({ "name": repository.as_str(), "tags": page }), "application/json", link))
}

/// `GET /v2/_catalog`
pub(crate) async fn catalog(request: &RequestContext) -> HandlerResult {
    request.require_catalogue()?;
    let all = request.registry.storage.repositories().await?.into_iter().map(|name| name.to_string()).collect();
    let (page, next) = page(all, request.parameter("last"), count(request)?.unwrap_or(PAGE).min(MAX_PAGE));
    let link = next.map(|last| format!("/v2/_catalog?n={}&last={last}", page.len()));
    Ok(json_page(&json!({ "repositories": page }), "application/json", link))
}

/// `GET /v2/<name>/referrers/<digest>`; a subject that is not here has none.
pub(crate) async fn referrers(request: &RequestContext, repository: &RepositoryName, subject: &ContentDigest) -> HandlerResult {
    // Media types have no spaces, but often a `+` that clients forget to escape.
    let filter = request.parameter("artifactType").map(|kind| kind.replace(' ', "+"));
    let filter = filter.as_deref();
    let last = request.parameter("last").and_then(|last| ContentDigest::parse(last).ok());
    let storage = &request.registry.storage;
    let mut descriptors: Vec<Referrer> = Vec::new();
    let (mut length, mut next) = (0, None);
    for digest in storage.referrers(repository, subject).await? {
        if last.is_some_and(|last| digest <= last) {
            continue;
        }
        // One that is removed meanwhile is not listed.
        let Some(bytes) = storage.referrer(repository, subject, &digest).await? else { continue };
        let Ok(descriptor) = serde_json::from_slice::<Referrer>(&bytes) else { continue };
        if filter.is_some_and(|kind| descriptor.artifact_type.as_deref() != Some(kind)) {
            continue;
        }
        if length > 0 && length + bytes.len() > REFERRERS_PAGE {
            let filter = filter.map(|kind| format!("&artifactType={}", utf8_percent_encode(kind, QUERY))).unwrap_or_default();
            next = descriptors.last().map(|last| format!("/v2/{repository}/referrers/{subject}?last={}{filter}", last.digest));
            break;
        }
        length += bytes.len();
        descriptors.push(descriptor);
    }
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": descriptors });
    let mut response = json_page(&index, OCI_INDEX, next);
    if filter.is_some() {
        response.headers_mut().insert(FILTERS, HeaderValue::from_static("artifactType"));
    }
    Ok(response)
}

/// The `n` of a request.
fn count(request: &RequestContext) -> Result<Option<usize>, OciError> {
    let bad = || OciError::new(ErrorCode::PaginationNumberInvalid, "`n` is a number of entries, from 0");
    let Some(text) = request.parameter("n") else { return Ok(None) };
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(bad());
    }
    // A number that is too large means all entries.
    Ok(Some(text.parse().unwrap_or(usize::MAX)))
}

/// The `n` entries after `last`, and the last one of them when there is another page.
fn page(all: Vec<String>, last: Option<&str>, n: usize) -> (Vec<String>, Option<String>) {
    let mut rest = all.into_iter().filter(|name| last.is_none_or(|last| name.as_str() > last));
    let page: Vec<String> = rest.by_ref().take(n).collect();
    let next = if rest.next().is_some() { page.last().cloned() } else { None };
    (page, next)
}

fn json_page(document: &serde_json::Value, kind: &'static str, next: Option<String>) -> Response {
    let mut response = (StatusCode::OK, document.to_string()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.extend(next.and_then(|next| HeaderValue::from_str(&format!("<{next}>; rel=\"next\"")).ok()).map(|link| (header::LINK, link)));
    response
}

/// The characters that are percent-encoded in a query.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pages_add_up_to_everything(names in proptest::collection::btree_set("[a-z0-9]{1,3}", 0..30), n in 1usize..10) {
            let all: Vec<String> = names.into_iter().collect();
            let (mut seen, mut last) = (Vec::new(), None);
            loop {
                let (page, next) = page(all.clone(), last.as_deref(), n);
                prop_assert!(page.len() <= n);
                seen.extend(page);
                match next {
                    Some(next) => last = Some(next),
                    None => break,
                }
            }
            prop_assert_eq!(seen, all);
        }
    }

    #[test]
    fn none_asked_is_none_given() {
        assert_eq!(page(vec!["a".into()], None, 0), (vec![], None));
    }

    #[test]
    fn media_types_survive_a_query() {
        assert_eq!(utf8_percent_encode("application/vnd.x+json; a", QUERY).to_string(), "application/vnd.x%2Bjson%3B%20a");
    }
}
