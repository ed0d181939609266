//! Handlers of blobs: head, pull whole or in part, remove from a repository.

use ::http::{HeaderValue, StatusCode, header};
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use chrono::{TimeDelta, Utc};
use futures_util::StreamExt;
use object_store::{GetOptions, GetRange, GetResult, GetResultPayload};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

use crate::authenticator::Right;
use crate::digest::ContentDigest;
use crate::error::RegistryError;
use crate::http::byte_range::{self, RequestedRange};
use crate::http::request_context::{CONTENT_DIGEST, HandlerResult, RequestContext, empty_response, etag, matches_etag};
use crate::name::RepositoryName;
use crate::oci_error::{ErrorCode, OciError};

/// Bytes read from a file at once.
const READ: usize = 256 << 10;

/// A `HEAD` or `GET` by a caller who may push renews a link that is older than this, since the push will rely on the blob.
const RENEW_AFTER: TimeDelta = TimeDelta::minutes(10);

fn unknown() -> OciError {
    OciError::new(ErrorCode::BlobUnknown, "there is no such blob in this repository")
}

/// The length of a blob that the repository links.
async fn length(
    request: &RequestContext,
    repository: &RepositoryName,
    digest: &ContentDigest,
) -> Result<u64, crate::http::request_context::HandlerError> {
    let storage = &request.registry.storage;
    let link = storage.link(repository, digest).await?.ok_or_else(unknown)?;
    if Utc::now() - link.last_modified > RENEW_AFTER && request.grant.may(repository, Right::Push) {
        request.registry.link_blob(repository, digest).await?;
    }
    Ok(storage.blob(digest).await?.ok_or_else(unknown)?.size)
}

/// `HEAD /v2/<name>/blobs/<digest>`
pub(crate) async fn head(request: &RequestContext, repository: &RepositoryName, digest: &ContentDigest) -> HandlerResult {
    let length = length(request, repository, digest).await?;
    Ok(empty_response(StatusCode::OK, described(digest, length)))
}

/// `GET /v2/<name>/blobs/<digest>`
pub(crate) async fn get(request: &RequestContext, repository: &RepositoryName, digest: &ContentDigest) -> HandlerResult {
    let length = length(request, repository, digest).await?;
    let tag = etag(digest);
    if matches_etag(request.header(header::IF_NONE_MATCH), &tag) {
        return Ok(empty_response(StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]));
    }
    // A client that resumes another content gets the whole one.
    let resumes = request.header(header::IF_RANGE).is_none_or(|condition| condition == tag);
    let range = if resumes { byte_range::requested(request.header(header::RANGE), length) } else { RequestedRange::Whole };
    let part = match range {
        RequestedRange::Whole => None,
        RequestedRange::Part(part) => Some(part),
        RequestedRange::Unsatisfiable => {
            let oci_error = OciError::new(ErrorCode::RangeInvalid, "the blob has no such bytes");
            return Err(oci_error.with(header::CONTENT_RANGE, format!("bytes */{length}")).into());
        }
    };
    let options = GetOptions { range: part.clone().map(GetRange::Bounded), ..GetOptions::default() };
    let found = request.registry.storage.open_blob(digest, options).await?.ok_or_else(unknown)?;
    let mut response = empty_response(StatusCode::OK, described(digest, part.as_ref().map_or(length, |part| part.end - part.start)));
    if let Some(part) = part {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let range = format!("bytes {}-{}/{length}", part.start, part.end - 1);
        response.headers_mut().extend(HeaderValue::from_str(&range).ok().map(|range| (header::CONTENT_RANGE, range)));
    }
    let (parts, _) = response.into_parts();
    Ok(Response::from_parts(parts, stream(found).await?))
}

/// `DELETE /v2/<name>/blobs/<digest>`
pub(crate) async fn delete(request: &RequestContext, repository: &RepositoryName, digest: &ContentDigest) -> HandlerResult {
    if !request.registry.unlink_blob(repository, digest).await? {
        return Err(unknown().into());
    }
    Ok(StatusCode::ACCEPTED.into_response())
}

fn described(digest: &ContentDigest, length: u64) -> [(::http::HeaderName, String); 5] {
    [
        (header::CONTENT_TYPE, "application/octet-stream".into()),
        (header::CONTENT_LENGTH, length.to_string()),
        (header::ACCEPT_RANGES, "bytes".into()),
        (header::ETAG, etag(digest)),
        (CONTENT_DIGEST, digest.to_string()),
    ]
}

/// The content as a streamed body.
async fn stream(found: GetResult) -> Result<Body, RegistryError> {
    let range = found.range;
    match found.payload {
        GetResultPayload::File(file, path) => {
            let mut file = tokio::fs::File::from_std(file);
            file.set_max_buf_size(READ);
            let at = file.seek(std::io::SeekFrom::Start(range.start)).await;
            at.map_err(|source| RegistryError::File { path, source })?;
            Ok(Body::from_stream(ReaderStream::with_capacity(file.take(range.end - range.start), READ)))
        }
        GetResultPayload::Stream(stream) => Ok(Body::from_stream(stream.map(|piece| piece.map_err(std::io::Error::from)))),
    }
}
