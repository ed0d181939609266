//! Manifests: push with everything they name in place, pull by tag or digest, remove.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, TryStreamExt, stream};
use http::{HeaderName, HeaderValue, StatusCode, header};

use crate::blobs;
use crate::digest::{Algorithm, ContentDigest};
use crate::endpoint::{Answer, CONTENT_DIGEST, Call, Refusal, bare};
use crate::intake::Intake;
use crate::manifest::{Manifest, Part};
use crate::name::{BadReference, Reference, RepositoryName, Tag};
use crate::problem::{Code, Problem};
use crate::registry::Registry;
use crate::storage::StoredManifest;

const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
const TAGGED: HeaderName = HeaderName::from_static("oci-tag");

/// Looks into the store that go on at once for one manifest.
const LOOKS: usize = 16;

/// Tags that one push by digest may set.
const MAX_TAGS: usize = 100;

fn unknown() -> Problem {
    Problem::new(Code::ManifestUnknown, "there is no such manifest in this repository")
}

/// `GET` and `HEAD /v2/<name>/manifests/<reference>`
pub(crate) async fn get(call: &Call, repository: &RepositoryName, reference: &str, only_head: bool) -> Answer {
    let storage = &call.registry.storage;
    let digest = match Reference::parse(reference).map_err(|_| unknown())? {
        Reference::Digest(digest) => digest,
        Reference::Tag(tag) => storage.tag(repository, &tag).await?.ok_or_else(unknown)?,
    };
    let manifest = storage.manifest(repository, &digest).await?.ok_or_else(unknown)?;
    let tag = blobs::etag(&digest);
    if blobs::is_among(call.header(header::IF_NONE_MATCH), &tag) {
        return Ok(bare(StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]));
    }
    let headers = [
        (header::CONTENT_TYPE, manifest.media_type),
        (header::CONTENT_LENGTH, manifest.bytes.len().to_string()),
        (header::ETAG, tag),
        (CONTENT_DIGEST, digest.to_string()),
    ];
    let (parts, _) = bare(StatusCode::OK, headers).into_parts();
    Ok(Response::from_parts(parts, if only_head { Body::empty() } else { Body::from(manifest.bytes) }))
}

/// `PUT /v2/<name>/manifests/<reference>`; by digest, any number of `tag` parameters name it, too.
pub(crate) async fn put(call: &Call, repository: &RepositoryName, reference: &str, intake: &mut Intake) -> Answer {
    let reference = Reference::parse(reference).map_err(|bad| {
        let code = if matches!(bad, BadReference::Digest(_)) { Code::DigestInvalid } else { Code::TagInvalid };
        Problem::new(code, bad.to_string())
    })?;
    let named: Vec<Tag> = call
        .parameters("tag")
        .map(|tag| Tag::new(tag).map_err(|bad| Problem::new(Code::TagInvalid, bad.to_string())))
        .collect::<Result<_, _>>()?;
    if named.len() > MAX_TAGS {
        return Err(Problem::new(Code::TagInvalid, format!("at most {MAX_TAGS} tags are set at once")).into());
    }
    let bytes = intake.whole(call.registry.limits.manifest_bytes, Code::ManifestTooLarge).await?;
    let algorithm = match &reference {
        Reference::Tag(_) => Algorithm::Sha256,
        Reference::Digest(digest) => digest.algorithm(),
    };
    let digest = ContentDigest::of(algorithm, &bytes);
    let (tags, answered) = match reference {
        Reference::Tag(tag) => (vec![tag], Vec::new()),
        Reference::Digest(said) if said == digest => (named.clone(), named),
        Reference::Digest(said) => {
            return Err(Problem::new(Code::DigestInvalid, format!("the manifest is {digest}, not {said}")).into());
        }
    };
    let manifest = Manifest::read(call.header(header::CONTENT_TYPE), &bytes)?;
    let subject = manifest.points.subject;
    let stored = StoredManifest { media_type: manifest.media_type.clone(), bytes };
    accept(&call.registry, repository, digest, manifest, stored, &tags).await?;
    let location = (header::LOCATION, format!("/v2/{repository}/manifests/{digest}"));
    let mut response = bare(StatusCode::CREATED, [location, (CONTENT_DIGEST, digest.to_string())]);
    let extra = subject.map(|subject| (SUBJECT, subject.to_string()));
    for (header, value) in extra.into_iter().chain(answered.into_iter().map(|tag| (TAGGED, tag.to_string()))) {
        response.headers_mut().extend(HeaderValue::from_str(&value).ok().map(|value| (header, value)));
    }
    Ok(response)
}

/// Stores a manifest while nothing of the repository can go: first that it is whole, then itself, then its names.
async fn accept(
    registry: &Registry,
    repository: &RepositoryName,
    digest: ContentDigest,
    manifest: Manifest,
    stored: StoredManifest,
    tags: &[Tag],
) -> Result<(), Refusal> {
    let _repository = registry.repositories.shared(repository).await;
    let blobs = manifest.points.blobs.iter().map(|part| (*part, false));
    let members = manifest.points.members.iter().map(|part| (*part, true));
    let parts: Vec<(Part, bool)> = blobs.chain(members).collect();
    stream::iter(parts)
        .map(|(part, is_member)| check(registry, repository, part, is_member))
        .buffer_unordered(LOOKS)
        .try_collect::<()>()
        .await?;
    let storage = &registry.storage;
    storage.settle_links(repository).await?;
    storage.put_manifest(repository, &digest, &stored).await?;
    if let Some(subject) = &manifest.points.subject {
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

/// That a part is here and as long as the manifest says. A member of an index may be a blob: build caches are made so.
async fn check(registry: &Registry, repository: &RepositoryName, part: Part, is_member: bool) -> Result<(), Refusal> {
    let storage = &registry.storage;
    if is_member && storage.has_manifest(repository, &part.digest).await? {
        return Ok(());
    }
    let shown = storage.link(repository, &part.digest).await?.is_some();
    match if shown { storage.blob(&part.digest).await? } else { None } {
        Some(blob) if blob.size == part.size => Ok(()),
        Some(blob) => {
            let message = format!("{} has {} bytes, the manifest says {}", part.digest, blob.size, part.size);
            Err(Problem::new(Code::SizeInvalid, message).into())
        }
        None => Err(Problem::new(Code::ManifestBlobUnknown, format!("{} is not in this repository", part.digest)).into()),
    }
}

/// `DELETE /v2/<name>/manifests/<reference>`; by tag, only the tag goes.
pub(crate) async fn delete(call: &Call, repository: &RepositoryName, reference: &str) -> Answer {
    let removed = match Reference::parse(reference).map_err(|_| unknown())? {
        Reference::Tag(tag) => call.registry.remove_tag(repository, &tag).await?,
        Reference::Digest(digest) => call.registry.remove_manifest(repository, &digest).await?,
    };
    if !removed {
        return Err(unknown().into());
    }
    Ok(StatusCode::ACCEPTED.into_response())
}
