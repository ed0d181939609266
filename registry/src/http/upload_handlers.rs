//! Handlers of uploads: begin (or mount, or the whole blob at once), append, status, finish, cancel.

use std::sync::Arc;

use ::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::authenticator::Right;
use crate::digest::{Algorithm, ContentDigest};
use crate::http::byte_range;
use crate::http::request_body::RequestBody;
use crate::http::request_context::{CONTENT_DIGEST, HandlerError, HandlerResult, RequestContext, empty_response, etag};
use crate::name::RepositoryName;
use crate::oci_error::{ErrorCode, OciError};
use crate::upload_writer::UploadWriter;
use crate::uploads::Upload;

const UPLOAD_ID: HeaderName = HeaderName::from_static("docker-upload-uuid");

/// `POST /v2/<name>/blobs/uploads/`, with `mount` and `from`, with `digest`, or bare.
pub(crate) async fn begin(request: &RequestContext, repository: &RepositoryName, body: &mut RequestBody) -> HandlerResult {
    let digest = digest_parameter(request, "digest")?;
    if let Some(mounted) = digest_parameter(request, "mount")?
        && mount(request, repository, &mounted).await?
    {
        return Ok(created(repository, &mounted));
    }
    let algorithm = match (digest, request.parameter("digest-algorithm")) {
        (Some(digest), _) => digest.algorithm(),
        (None, Some("sha512")) => Algorithm::Sha512,
        (None, None | Some("sha256")) => Algorithm::Sha256,
        (None, Some(_)) => return Err(OciError::new(ErrorCode::DigestInvalid, "digests are made by sha256 or sha512").into()),
    };
    let cap = request.registry.limits.uploads_per_repository;
    let Some(upload) = request.registry.uploads.begin(repository, algorithm, cap).await? else {
        let oci_error =
            OciError::new(ErrorCode::TooManyRequests, format!("{cap} uploads to this repository are open; finish or cancel some"));
        return Err(oci_error.with(header::RETRY_AFTER, "5").into());
    };
    let Some(digest) = digest else {
        return Ok(empty_response(StatusCode::ACCEPTED, progress(&upload, 0)));
    };
    let writer = writer_of(&upload).await?;
    match receive(request, body, writer, None).await {
        Ok(writer) => complete(request, writer, repository, digest).await,
        Err(error) => {
            // The client never got the upload's id, so it can not continue.
            give_up(request, &upload).await;
            Err(error)
        }
    }
}

async fn give_up(request: &RequestContext, upload: &Arc<Upload>) {
    // An upload that can not be removed now expires.
    if let Ok(Some(writer)) = upload.writer().await {
        request.registry.uploads.discard(writer).await;
    }
}

/// Appends the body. When the disk is full, the upload is discarded to free its space.
async fn append_body(request: &RequestContext, upload: &Arc<Upload>, body: &mut RequestBody) -> Result<UploadWriter, HandlerError> {
    let (writer, length) = writer_at_chunk(request, upload).await?;
    let received = receive(request, body, writer, length).await;
    if matches!(&received, Err(HandlerError::Failed(error)) if error.is_full()) {
        give_up(request, upload).await;
    }
    received
}

/// Links a blob of another repository into this one, if the caller may read it there.
async fn mount(request: &RequestContext, repository: &RepositoryName, digest: &ContentDigest) -> Result<bool, HandlerError> {
    let Some(from) = request.parameter("from").and_then(|from| RepositoryName::new(from).ok()) else { return Ok(false) };
    if !request.grant.may(&from, Right::Pull) || request.registry.storage.link(&from, digest).await?.is_none() {
        return Ok(false);
    }
    Ok(request.registry.link_blob(repository, digest).await?)
}

/// `GET /v2/<name>/blobs/uploads/<id>`
pub(crate) async fn status(request: &RequestContext, repository: &RepositoryName, id: &str) -> HandlerResult {
    let upload = find(request, repository, id).await?;
    let size = upload.size().await.ok_or_else(unknown)?;
    Ok(empty_response(StatusCode::NO_CONTENT, progress(&upload, size)))
}

/// `PATCH /v2/<name>/blobs/uploads/<id>`
pub(crate) async fn patch(request: &RequestContext, repository: &RepositoryName, id: &str, body: &mut RequestBody) -> HandlerResult {
    let upload = find(request, repository, id).await?;
    let writer = append_body(request, &upload, body).await?;
    Ok(empty_response(StatusCode::ACCEPTED, progress(&upload, writer.size())))
}

/// `PUT /v2/<name>/blobs/uploads/<id>?digest=<digest>`, with the last bytes or without.
pub(crate) async fn finish(request: &RequestContext, repository: &RepositoryName, id: &str, body: &mut RequestBody) -> HandlerResult {
    let digest = digest_parameter(request, "digest")?;
    let digest = digest.ok_or_else(|| OciError::new(ErrorCode::DigestInvalid, "the digest of the whole blob is needed"))?;
    let upload = find(request, repository, id).await?;
    let writer = append_body(request, &upload, body).await?;
    complete(request, writer, repository, digest).await
}

/// `DELETE /v2/<name>/blobs/uploads/<id>`
pub(crate) async fn cancel(request: &RequestContext, repository: &RepositoryName, id: &str) -> HandlerResult {
    let upload = find(request, repository, id).await?;
    let writer = writer_of(&upload).await?;
    request.registry.uploads.discard(writer).await;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn find(request: &RequestContext, repository: &RepositoryName, id: &str) -> Result<Arc<Upload>, HandlerError> {
    Ok(request.registry.uploads.find(repository, id).await?.ok_or_else(unknown)?)
}

async fn writer_of(upload: &Arc<Upload>) -> Result<UploadWriter, HandlerError> {
    Ok(upload.writer().await?.ok_or_else(unknown)?)
}

/// The writer, when the chunk's `Content-Range` continues the upload; and the length that it declares.
async fn writer_at_chunk(request: &RequestContext, upload: &Arc<Upload>) -> Result<(UploadWriter, Option<u64>), HandlerError> {
    let chunk = match request.header(header::CONTENT_RANGE) {
        Some(value) => {
            let chunk = byte_range::chunk(value);
            Some(chunk.ok_or_else(|| OciError::new(ErrorCode::ChunkOutOfOrder, "the Content-Range of a chunk is `first-last`"))?)
        }
        None => None,
    };
    let writer = writer_of(upload).await?;
    if let Some(chunk) = &chunk
        && chunk.start != writer.size()
    {
        let message = format!("the next chunk begins at byte {}, not {}", writer.size(), chunk.start);
        let [location, range, id] = progress(upload, writer.size());
        let oci_error = OciError::new(ErrorCode::ChunkOutOfOrder, message);
        return Err(oci_error.with(location.0, location.1).with(range.0, range.1).with(id.0, id.1).into());
    }
    Ok((writer, chunk.map(|chunk| chunk.end - chunk.start)))
}

/// Appends the body. While one batch is hashed and written, the next is received.
async fn receive(
    request: &RequestContext,
    body: &mut RequestBody,
    mut writer: UploadWriter,
    length: Option<u64>,
) -> Result<UploadWriter, HandlerError> {
    let cap = request.registry.limits.blob_bytes;
    let start = writer.size();
    let mut batch = body.batch().await?;
    while !batch.is_empty() {
        let end = writer.size() + batch.iter().map(|piece| piece.len() as u64).sum::<u64>();
        if end > cap {
            writer.undo().await?;
            return Err(OciError::new(ErrorCode::TooLarge, format!("a blob has at most {cap} bytes")).into());
        }
        if length.is_some_and(|length| end > start + length) {
            writer.undo().await?;
            return Err(wrong_length().into());
        }
        let (appended, next) = tokio::join!(writer.append(batch), body.batch());
        // A body that breaks off keeps its complete batches; the client asks for the status and continues.
        (writer, batch) = (appended?, next?);
    }
    if length.is_some_and(|length| writer.size() != start + length) {
        writer.undo().await?;
        return Err(wrong_length().into());
    }
    Ok(writer)
}

/// Verifies the digest and publishes the blob.
async fn complete(request: &RequestContext, writer: UploadWriter, repository: &RepositoryName, digest: ContentDigest) -> HandlerResult {
    let (writer, actual) = writer.seal(digest.algorithm()).await?;
    if actual != digest {
        request.registry.uploads.discard(writer).await;
        return Err(OciError::new(ErrorCode::DigestInvalid, format!("the content is {actual}, not {digest}")).into());
    }
    request.registry.publish(writer, repository, &digest).await?;
    Ok(created(repository, &digest))
}

fn digest_parameter(request: &RequestContext, name: &str) -> Result<Option<ContentDigest>, OciError> {
    let digest = request.parameter(name).map(ContentDigest::parse).transpose();
    digest.map_err(|bad| OciError::new(ErrorCode::DigestInvalid, bad.to_string()))
}

fn progress(upload: &Upload, size: u64) -> [(HeaderName, String); 3] {
    [
        (header::LOCATION, format!("/v2/{}/blobs/uploads/{}", upload.repository, upload.id)),
        (header::RANGE, format!("0-{}", size.saturating_sub(1))),
        (UPLOAD_ID, upload.id.clone()),
    ]
}

fn created(repository: &RepositoryName, digest: &ContentDigest) -> Response {
    let location = (header::LOCATION, format!("/v2/{repository}/blobs/{digest}"));
    empty_response(StatusCode::CREATED, [location, (CONTENT_DIGEST, digest.to_string()), (header::ETAG, etag(digest))])
}

fn unknown() -> OciError {
    OciError::new(ErrorCode::BlobUploadUnknown, "there is no such upload")
}

fn wrong_length() -> OciError {
    OciError::new(ErrorCode::SizeInvalid, "the body is not as long as its Content-Range")
}
