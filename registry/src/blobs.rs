//! Blobs: look, pull whole or in part, hide.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use chrono::{TimeDelta, Utc};
use futures_util::StreamExt;
use http::{HeaderValue, StatusCode, header};
use object_store::{GetOptions, GetRange, GetResult, GetResultPayload};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

use crate::digest::ContentDigest;
use crate::endpoint::{Answer, CONTENT_DIGEST, Call, bare};
use crate::error::RegistryError;
use crate::grant::Right;
use crate::name::RepositoryName;
use crate::problem::{Code, Problem};
use crate::range::{self, Asked};

/// Bytes read from a file at once.
const READ: usize = 256 << 10;

/// A look by somebody who pushes makes the link young again if it is older than this: they rely on it from now on.
const RENEW_AFTER: TimeDelta = TimeDelta::minutes(10);

fn unknown() -> Problem {
    Problem::new(Code::BlobUnknown, "there is no such blob in this repository")
}

/// The length of a blob that the repository shows.
async fn length(call: &Call, repository: &RepositoryName, digest: &ContentDigest) -> Result<u64, crate::endpoint::Refusal> {
    let storage = &call.registry.storage;
    let link = storage.link(repository, digest).await?.ok_or_else(unknown)?;
    if Utc::now() - link.last_modified > RENEW_AFTER && call.grant.may(repository, Right::Push) {
        call.registry.attach(repository, digest).await?;
    }
    Ok(storage.blob(digest).await?.ok_or_else(unknown)?.size)
}

/// `HEAD /v2/<name>/blobs/<digest>`
pub(crate) async fn head(call: &Call, repository: &RepositoryName, digest: &ContentDigest) -> Answer {
    let length = length(call, repository, digest).await?;
    Ok(bare(StatusCode::OK, described(digest, length)))
}

/// `GET /v2/<name>/blobs/<digest>`
pub(crate) async fn get(call: &Call, repository: &RepositoryName, digest: &ContentDigest) -> Answer {
    let length = length(call, repository, digest).await?;
    let tag = etag(digest);
    if is_among(call.header(header::IF_NONE_MATCH), &tag) {
        return Ok(bare(StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]));
    }
    // A client that resumes something else starts anew.
    let resumes = call.header(header::IF_RANGE).is_none_or(|condition| condition == tag);
    let asked = if resumes { range::asked(call.header(header::RANGE), length) } else { Asked::Whole };
    let part = match asked {
        Asked::Whole => None,
        Asked::Part(part) => Some(part),
        Asked::Unsatisfiable => {
            let problem = Problem::new(Code::RangeInvalid, "the blob has no such bytes");
            return Err(problem.with(header::CONTENT_RANGE, format!("bytes */{length}")).into());
        }
    };
    let options = GetOptions { range: part.clone().map(GetRange::Bounded), ..GetOptions::default() };
    let found = call.registry.storage.open_blob(digest, options).await?.ok_or_else(unknown)?;
    let mut response = bare(StatusCode::OK, described(digest, part.as_ref().map_or(length, |part| part.end - part.start)));
    if let Some(part) = part {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let range = format!("bytes {}-{}/{length}", part.start, part.end - 1);
        response.headers_mut().extend(HeaderValue::from_str(&range).ok().map(|range| (header::CONTENT_RANGE, range)));
    }
    let (parts, _) = response.into_parts();
    Ok(Response::from_parts(parts, stream(found).await?))
}

/// `DELETE /v2/<name>/blobs/<digest>`
pub(crate) async fn delete(call: &Call, repository: &RepositoryName, digest: &ContentDigest) -> Answer {
    if !call.registry.hide(repository, digest).await? {
        return Err(unknown().into());
    }
    Ok(StatusCode::ACCEPTED.into_response())
}

fn described(digest: &ContentDigest, length: u64) -> [(http::HeaderName, String); 5] {
    [
        (header::CONTENT_TYPE, "application/octet-stream".into()),
        (header::CONTENT_LENGTH, length.to_string()),
        (header::ACCEPT_RANGES, "bytes".into()),
        (header::ETAG, etag(digest)),
        (CONTENT_DIGEST, digest.to_string()),
    ]
}

pub(crate) fn etag(digest: &ContentDigest) -> String {
    format!("\"{digest}\"")
}

/// Whether an `If-None-Match` names the tag.
pub(crate) fn is_among(condition: Option<&str>, tag: &str) -> bool {
    condition.is_some_and(|tags| tags.split(',').map(str::trim).any(|one| one == "*" || one.trim_start_matches("W/") == tag))
}

/// The content as a body, a piece at a time.
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
