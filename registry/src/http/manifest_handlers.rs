//! Handlers of manifests: push (everything that they name must exist), pull by tag or digest, remove.

use ::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::digest::{Algorithm, ContentDigest};
use crate::http::request_body::RequestBody;
use crate::http::request_context::{CONTENT_DIGEST, HandlerError, HandlerResult, RequestContext, empty_response, etag, matches_etag};
use crate::manifest::{ContentRef, Manifest};
use crate::name::{BadReference, Reference, RepositoryName, Tag};
use crate::oci_error::{ErrorCode, OciError};
use crate::registry::Registry;
use crate::storage::StoredManifest;

const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
const TAGGED: HeaderName = HeaderName::from_static("oci-tag");

/// Checks in the object store that run at once for one manifest.
const PARALLEL_CHECKS: usize = 16;

/// Tags that one push by digest may set.
const MAX_TAGS: usize = 100;

fn unknown() -> OciError {
    OciError::new(ErrorCode::ManifestUnknown, "there is no such manifest in this repository")
}

/// `GET` and `HEAD /v2/<name>/manifests/<reference>`
pub(crate) async fn get(request: &RequestContext, repository: &RepositoryName, reference: &str, only_head: bool) -> HandlerResult {
    let storage = &request.registry.storage;
    let digest = match Reference::parse(reference).map_err(|_| unknown())? {
        Reference::Digest(digest) => digest,
        Reference::Tag(tag) => storage.tag(repository, &tag).await?.ok_or_else(unknown)?,
    };
    let manifest = storage.manifest(repository, &digest).await?.ok_or_else(unknown)?;
    let tag = etag(&digest);
    if matches_etag(request.header(header::IF_NONE_MATCH), &tag) {
        return Ok(empty_response(StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]));
    }
    let headers = [
        (header::CONTENT_TYPE, manifest.media_type),
        (header::CONTENT_LENGTH, manifest.bytes.len().to_string()),
        (header::ETAG, tag),
        (CONTENT_DIGEST, digest.to_string()),
    ];
    let (parts, _) = empty_response(StatusCode::OK, headers).into_parts();
    Ok(Response::from_parts(parts, if only_head { Body::empty() } else { Body::from(manifest.bytes) }))
}

/// `PUT /v2/<name>/manifests/<reference>`; by digest, any number of `tag` parameters name it, too.
pub(crate) async fn put(request: &RequestContext, repository: &RepositoryName, reference: &str, body: &mut RequestBody) -> HandlerResult {
    let reference = Reference::parse(reference).map_err(|bad| {
        let code = if matches!(bad, BadReference::Digest(_)) { ErrorCode::DigestInvalid } else { ErrorCode::TagInvalid };
        OciError::new(code, bad.to_string())
    })?;
    let named: Vec<Tag> = request
        .parameters("tag")
        .map(|tag| Tag::new(tag).map_err(|bad| OciError::new(ErrorCode::TagInvalid, bad.to_string())))
        .collect::<Result<_, _>>()?;
    if named.len() > MAX_TAGS {
        return Err(OciError::new(ErrorCode::TagInvalid, format!("at most {MAX_TAGS} tags are set at once")).into());
    }
    let bytes = body.whole(request.registry.limits.manifest_bytes, ErrorCode::ManifestTooLarge).await?;
    let algorithm = match &reference {
        Reference::Tag(_) => Algorithm::Sha256,
        Reference::Digest(digest) => digest.algorithm(),
    };
    let digest = ContentDigest::of(algorithm, &bytes);
    let (tags, answered) = match reference {
        Reference::Tag(tag) => (vec![tag], Vec::new()),
        Reference::Digest(expected) if expected == digest => (named.clone(), named),
        Reference::Digest(expected) => {
            return Err(OciError::new(ErrorCode::DigestInvalid, format!("the manifest is {digest}, not {expected}")).into());
        }
    };
    let manifest = Manifest::read(request.header(header::CONTENT_TYPE), &bytes)?;
    let subject = manifest.contents.subject;
    let stored = StoredManifest { media_type: manifest.media_type.clone(), bytes };
    accept(&request.registry, repository, digest, manifest, stored, &tags).await?;
    let location = (header::LOCATION, format!("/v2/{repository}/manifests/{digest}"));
    let mut response = empty_response(StatusCode::CREATED, [location, (CONTENT_DIGEST, digest.to_string())]);
    let extra = subject.map(|subject| (SUBJECT, subject.to_string()));
    for (header, value) in extra.into_iter().chain(answered.into_iter().map(|tag| (TAGGED, tag.to_string()))) {
        response.headers_mut().extend(HeaderValue::from_str(&value).ok().map(|value| (header, value)));
    }
    Ok(response)
}

/// Stores a manifest while nothing can be removed from the repository: checks its contents, writes it, then its tags.
async fn accept(
    registry: &Registry,
    repository: &RepositoryName,
    digest: ContentDigest,
    manifest: Manifest,
    stored: StoredManifest,
    tags: &[Tag],
) -> Result<(), HandlerError> {
    let _repository = registry.repository_locks.shared(repository).await;
    let blobs = manifest.contents.blobs.iter().map(|part| (*part, false));
    let members = manifest.contents.members.iter().map(|part| (*part, true));
    let parts: Vec<(ContentRef, bool)> = blobs.chain(members).collect();
    stream::iter(parts)
        .map(|(part, is_member)| check(registry, repository, part, is_member))
        .buffer_unordered(PARALLEL_CHECKS)
        .try_collect::<()>()
        .await?;
    let storage = &registry.storage;
    storage.settle_links(repository).await?;
    storage.put_manifest(repository, &digest, &stored).await?;
    if let Some(subject) = &manifest.contents.subject {
        let descriptor = manifest.referrer(&digest, stored.bytes.len() as u64);
        let descriptor = serde_json::to_vec(&descriptor).expect("strings and numbers are always JSON");
        storage.put_referrer(repository, subject, &digest, descriptor.into()).await?;
    }
    for tag in tags {
        storage.put_tag(repository, tag, &digest).await?;
    }
    tracing::debug!(%repository, %digest, ?tags, "a manifest was pushed");
    Ok(())
}

/// Checks that a content exists with the length that the manifest declares. A member of an index may be a blob, as in build caches.
async fn check(registry: &Registry, repository: &RepositoryName, part: ContentRef, is_member: bool) -> Result<(), HandlerError> {
    let storage = &registry.storage;
    if is_member && storage.has_manifest(repository, &part.digest).await? {
        return Ok(());
    }
    let linked = storage.link(repository, &part.digest).await?.is_some();
    match if linked { storage.blob(&part.digest).await? } else { None } {
        Some(blob) if blob.size == part.size => Ok(()),
        Some(blob) => {
            let message = format!("{} has {} bytes, the manifest says {}", part.digest, blob.size, part.size);
            Err(OciError::new(ErrorCode::SizeInvalid, message).into())
        }
        None => Err(OciError::new(ErrorCode::ManifestBlobUnknown, format!("{} is not in this repository", part.digest)).into()),
    }
}

/// `DELETE /v2/<name>/manifests/<reference>`; by tag, only the tag is removed.
pub(crate) async fn delete(request: &RequestContext, repository: &RepositoryName, reference: &str) -> HandlerResult {
    let removed = match Reference::parse(reference).map_err(|_| unknown())? {
        Reference::Tag(tag) => request.registry.remove_tag(repository, &tag).await?,
        Reference::Digest(digest) => request.registry.remove_manifest(repository, &digest).await?,
    };
    if !removed {
        return Err(unknown().into());
    }
    Ok(StatusCode::ACCEPTED.into_response())
}
