//! Uploads, as clients see them: begin (or mount, or all at once), add, look, finish, cancel.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use http::{HeaderName, StatusCode, header};

use crate::blobs;
use crate::digest::{Algorithm, ContentDigest};
use crate::endpoint::{Answer, CONTENT_DIGEST, Call, Refusal, bare};
use crate::grant::Right;
use crate::intake::Intake;
use crate::name::RepositoryName;
use crate::problem::{Code, Problem};
use crate::range;
use crate::upload::{Upload, Writing};

const UPLOAD_ID: HeaderName = HeaderName::from_static("docker-upload-uuid");

/// `POST /v2/<name>/blobs/uploads/`, with `mount` and `from`, with `digest`, or bare.
pub(crate) async fn begin(call: &Call, repository: &RepositoryName, intake: &mut Intake) -> Answer {
    let digest = digest_parameter(call, "digest")?;
    if let Some(mounted) = digest_parameter(call, "mount")?
        && mount(call, repository, &mounted).await?
    {
        return Ok(created(repository, &mounted));
    }
    let algorithm = match (digest, call.parameter("digest-algorithm")) {
        (Some(digest), _) => digest.algorithm(),
        (None, Some("sha512")) => Algorithm::Sha512,
        (None, None | Some("sha256")) => Algorithm::Sha256,
        (None, Some(_)) => return Err(Problem::new(Code::DigestInvalid, "digests are made by sha256 or sha512").into()),
    };
    let cap = call.registry.limits.uploads_per_repository;
    let Some(upload) = call.registry.uploads.begin(repository, algorithm, cap).await? else {
        let problem = Problem::new(Code::TooManyRequests, format!("{cap} uploads to this repository are open; finish or cancel some"));
        return Err(problem.with(header::RETRY_AFTER, "5").into());
    };
    let Some(digest) = digest else {
        return Ok(bare(StatusCode::ACCEPTED, progress(&upload, 0)));
    };
    let writing = pen(&upload).await?;
    match receive(call, intake, writing, None).await {
        Ok(writing) => complete(call, writing, repository, digest).await,
        Err(refusal) => {
            // Discard was told its id, so nobody can go on with it.
            give_up(call, &upload).await;
            Err(refusal)
        }
    }
}

async fn give_up(call: &Call, upload: &Arc<Upload>) {
    // What can not be removed now expires.
    if let Ok(Some(writing)) = upload.write().await {
        call.registry.uploads.discard(writing).await;
    }
}

/// Takes in the body at its place. When there is no room left, what came so far must not take it from others.
async fn take_in(call: &Call, upload: &Arc<Upload>, intake: &mut Intake) -> Result<Writing, Refusal> {
    let (writing, length) = place(call, upload).await?;
    let taken = receive(call, intake, writing, length).await;
    if matches!(&taken, Err(Refusal::Failure(error)) if error.is_full()) {
        give_up(call, upload).await;
    }
    taken
}

/// Shows a blob of another repository in this one, if the caller may read it there.
async fn mount(call: &Call, repository: &RepositoryName, digest: &ContentDigest) -> Result<bool, Refusal> {
    let Some(from) = call.parameter("from").and_then(|from| RepositoryName::new(from).ok()) else { return Ok(false) };
    if !call.grant.may(&from, Right::Pull) || call.registry.storage.link(&from, digest).await?.is_none() {
        return Ok(false);
    }
    Ok(call.registry.attach(repository, digest).await?)
}

/// `GET /v2/<name>/blobs/uploads/<id>`
pub(crate) async fn status(call: &Call, repository: &RepositoryName, id: &str) -> Answer {
    let upload = find(call, repository, id).await?;
    let size = upload.size().await.ok_or_else(unknown)?;
    Ok(bare(StatusCode::NO_CONTENT, progress(&upload, size)))
}

/// `PATCH /v2/<name>/blobs/uploads/<id>`
pub(crate) async fn patch(call: &Call, repository: &RepositoryName, id: &str, intake: &mut Intake) -> Answer {
    let upload = find(call, repository, id).await?;
    let writing = take_in(call, &upload, intake).await?;
    Ok(bare(StatusCode::ACCEPTED, progress(&upload, writing.size())))
}

/// `PUT /v2/<name>/blobs/uploads/<id>?digest=<digest>`, with the last bytes or without.
pub(crate) async fn finish(call: &Call, repository: &RepositoryName, id: &str, intake: &mut Intake) -> Answer {
    let digest = digest_parameter(call, "digest")?;
    let digest = digest.ok_or_else(|| Problem::new(Code::DigestInvalid, "the digest of the whole blob is needed"))?;
    let upload = find(call, repository, id).await?;
    let writing = take_in(call, &upload, intake).await?;
    complete(call, writing, repository, digest).await
}

/// `DELETE /v2/<name>/blobs/uploads/<id>`
pub(crate) async fn cancel(call: &Call, repository: &RepositoryName, id: &str) -> Answer {
    let upload = find(call, repository, id).await?;
    let writing = pen(&upload).await?;
    call.registry.uploads.discard(writing).await;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn find(call: &Call, repository: &RepositoryName, id: &str) -> Result<Arc<Upload>, Refusal> {
    Ok(call.registry.uploads.find(repository, id).await?.ok_or_else(unknown)?)
}

async fn pen(upload: &Arc<Upload>) -> Result<Writing, Refusal> {
    Ok(upload.write().await?.ok_or_else(unknown)?)
}

/// Takes the pen where a chunk says it belongs; also how long the chunk says it is.
async fn place(call: &Call, upload: &Arc<Upload>) -> Result<(Writing, Option<u64>), Refusal> {
    let chunk = match call.header(header::CONTENT_RANGE) {
        Some(value) => {
            let chunk = range::chunk(value);
            Some(chunk.ok_or_else(|| Problem::new(Code::ChunkOutOfOrder, "the Content-Range of a chunk is `first-last`"))?)
        }
        None => None,
    };
    let writing = pen(upload).await?;
    if let Some(chunk) = &chunk
        && chunk.start != writing.size()
    {
        let message = format!("the next chunk begins at byte {}, not {}", writing.size(), chunk.start);
        let [location, range, id] = progress(upload, writing.size());
        let problem = Problem::new(Code::ChunkOutOfOrder, message);
        return Err(problem.with(location.0, location.1).with(range.0, range.1).with(id.0, id.1).into());
    }
    Ok((writing, chunk.map(|chunk| chunk.end - chunk.start)))
}

/// Takes in the body. While one batch is hashed and written, the next comes in.
async fn receive(call: &Call, intake: &mut Intake, mut writing: Writing, length: Option<u64>) -> Result<Writing, Refusal> {
    let cap = call.registry.limits.blob_bytes;
    let start = writing.size();
    let mut batch = intake.batch().await?;
    while !batch.is_empty() {
        let end = writing.size() + batch.iter().map(|piece| piece.len() as u64).sum::<u64>();
        if end > cap {
            writing.undo().await?;
            return Err(Problem::new(Code::TooLarge, format!("a blob has at most {cap} bytes")).into());
        }
        if length.is_some_and(|length| end > start + length) {
            writing.undo().await?;
            return Err(wrong_length().into());
        }
        let (appended, next) = tokio::join!(writing.append(batch), intake.batch());
        // A body that breaks off leaves what came whole; its sender asks how far it got and goes on.
        (writing, batch) = (appended?, next?);
    }
    if length.is_some_and(|length| writing.size() != start + length) {
        writing.undo().await?;
        return Err(wrong_length().into());
    }
    Ok(writing)
}

/// Verifies and publishes.
async fn complete(call: &Call, writing: Writing, repository: &RepositoryName, digest: ContentDigest) -> Answer {
    let (writing, actual) = writing.seal(digest.algorithm()).await?;
    if actual != digest {
        call.registry.uploads.discard(writing).await;
        return Err(Problem::new(Code::DigestInvalid, format!("the content is {actual}, not {digest}")).into());
    }
    call.registry.shelve(writing, repository, &digest).await?;
    Ok(created(repository, &digest))
}

fn digest_parameter(call: &Call, name: &str) -> Result<Option<ContentDigest>, Problem> {
    let digest = call.parameter(name).map(ContentDigest::parse).transpose();
    digest.map_err(|bad| Problem::new(Code::DigestInvalid, bad.to_string()))
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
    bare(StatusCode::CREATED, [location, (CONTENT_DIGEST, digest.to_string()), (header::ETAG, blobs::etag(digest))])
}

fn unknown() -> Problem {
    Problem::new(Code::BlobUploadUnknown, "there is no such upload")
}

fn wrong_length() -> Problem {
    Problem::new(Code::SizeInvalid, "the body is not as long as its Content-Range")
}
