//! Manifests, parsed strictly. Pure.
//!
//! Owns which documents are accepted and what they refer to: blobs, other manifests, a subject. Must never accept a document
//! that two clients could understand differently, such as an image and an index at once.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::ContentDigest;
use crate::oci_error::{ErrorCode, OciError};

/// Media type of an index, which a list of referrers is, too.
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const DOCKER_IMAGE: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// The first format of images: signed in a way of its own, and its digest is not that of its bytes.
const DOCKER_FIRST: &str = "application/vnd.docker.distribution.manifest.v1+";

/// Most descriptors of a manifest, more than any image has; each costs a request to the object store.
const MAX_DESCRIPTORS: usize = 1000;

/// A manifest that can be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) media_type: String,
    pub(crate) contents: ManifestContents,
    pub(crate) artifact_type: Option<String>,
    pub(crate) annotations: BTreeMap<String, String>,
}

/// The digests that a manifest refers to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ManifestContents {
    /// Config and layers. Those that are published elsewhere by their nature are not among them.
    pub(crate) blobs: Vec<ContentRef>,
    /// Members of an index: manifests, though build caches list blobs there.
    pub(crate) members: Vec<ContentRef>,
    /// The manifest that this one says something about, which need not exist.
    pub(crate) subject: Option<ContentDigest>,
}

/// A content with its declared length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ContentRef {
    pub(crate) digest: ContentDigest,
    pub(crate) size: u64,
}

/// A descriptor in the list of referrers.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Referrer {
    pub(crate) media_type: String,
    pub(crate) digest: String,
    pub(crate) size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) artifact_type: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
}

/// The fields of all kinds of manifests together. A field that occurs twice is an error.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: Option<u64>,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    blobs: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
    subject: Option<Descriptor>,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: Option<String>,
    digest: String,
    size: u64,
}

impl Manifest {
    /// Reads the document that was sent with a `Content-Type`.
    pub(crate) fn read(content_type: Option<&str>, bytes: &[u8]) -> Result<Self, OciError> {
        let document: Document =
            serde_json::from_slice(bytes).map_err(|error| invalid(format!("the manifest can not be read: {error}")))?;
        let sent = content_type.map(|value| value.split(';').next().unwrap_or_default().trim());
        let media_type = match (sent.filter(|sent| !sent.is_empty()), document.media_type.as_deref()) {
            (Some(sent), Some(own)) if sent != own => {
                return Err(invalid(format!("the manifest says it is `{own}`, but was sent as `{sent}`")));
            }
            (Some(media_type), _) | (None, Some(media_type)) => media_type.to_owned(),
            (None, None) => return Err(invalid("neither the manifest nor its Content-Type says what it is")),
        };
        if !is_media_type(&media_type) {
            return Err(invalid("the media type is none"));
        }
        if media_type.starts_with(DOCKER_FIRST) {
            return Err(invalid("images of the first docker format are not taken; push with a client of this decade"));
        }
        document.check_shape(&media_type)?;
        let contents = document.contents()?;
        let config_type = document.config.and_then(|config| config.media_type);
        Ok(Self {
            media_type,
            contents,
            artifact_type: document.artifact_type.filter(|kind| !kind.is_empty()).or(config_type),
            annotations: document.annotations.unwrap_or_default(),
        })
    }

    /// How it is listed under its subject.
    pub(crate) fn referrer(&self, digest: &ContentDigest, size: u64) -> Referrer {
        Referrer {
            media_type: self.media_type.clone(),
            digest: digest.to_string(),
            size,
            artifact_type: self.artifact_type.clone(),
            annotations: self.annotations.clone(),
        }
    }
}

impl ManifestContents {
    /// Parses the contents of a stored manifest.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Document>(bytes).ok()?.contents().ok()
    }

    /// Everything that must stay for the manifest to be whole.
    pub(crate) fn needs(&self) -> impl Iterator<Item = &ContentDigest> {
        self.blobs.iter().chain(&self.members).map(|part| &part.digest)
    }
}

impl Document {
    fn check_shape(&self, media_type: &str) -> Result<(), OciError> {
        let is_image = self.config.is_some() || self.layers.is_some();
        let is_index = self.manifests.is_some();
        if is_image && is_index {
            return Err(invalid("a manifest is an image or an index, not both"));
        }
        let known = match media_type {
            OCI_IMAGE | DOCKER_IMAGE if self.config.is_none() || self.layers.is_none() => Err("an image has a config and layers"),
            OCI_INDEX | DOCKER_LIST if !is_index => Err("an index has manifests"),
            OCI_IMAGE | DOCKER_IMAGE | OCI_INDEX | DOCKER_LIST => Ok(true),
            _ => Ok(false),
        };
        match (known.map_err(invalid)?, self.schema_version) {
            (true, Some(2)) | (false, _) => Ok(()),
            (true, _) => Err(invalid("the schemaVersion must be 2")),
        }
    }

    fn contents(&self) -> Result<ManifestContents, OciError> {
        let layers = self.layers.iter().flatten().filter(|layer| !layer.is_published_elsewhere());
        let blobs: Vec<&Descriptor> = self.config.iter().chain(layers).chain(self.blobs.iter().flatten()).collect();
        let members: Vec<&Descriptor> = self.manifests.iter().flatten().collect();
        if blobs.len() + members.len() > MAX_DESCRIPTORS {
            return Err(invalid(format!("a manifest has at most {MAX_DESCRIPTORS} descriptors")));
        }
        Ok(ManifestContents {
            blobs: blobs.into_iter().map(Descriptor::part).collect::<Result<_, _>>()?,
            members: members.into_iter().map(Descriptor::part).collect::<Result<_, _>>()?,
            subject: self.subject.as_ref().map(Descriptor::part).transpose()?.map(|part| part.digest),
        })
    }
}

impl Descriptor {
    fn part(&self) -> Result<ContentRef, OciError> {
        let digest = ContentDigest::parse(&self.digest).map_err(|bad| invalid(format!("a descriptor has a bad digest: {bad}")))?;
        Ok(ContentRef { digest, size: self.size })
    }

    /// Layers that may not be handed on: clients fetch them from their maker.
    fn is_published_elsewhere(&self) -> bool {
        self.media_type.as_deref().is_some_and(|kind| {
            kind.starts_with("application/vnd.oci.image.layer.nondistributable.")
                || kind.starts_with("application/vnd.docker.image.rootfs.foreign.")
        })
    }
}

/// `type/subtype` of the characters that may stand in a header.
fn is_media_type(text: &str) -> bool {
    let is_name =
        |name: &str| (1..=127).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b));
    text.split_once('/').is_some_and(|(kind, subtype)| is_name(kind) && is_name(subtype))
}

fn invalid(message: impl Into<String>) -> OciError {
    OciError::new(ErrorCode::ManifestInvalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Algorithm;
    use serde_json::{Value, json};

    fn descriptor(kind: &str, content: &str) -> Value {
        json!({ "mediaType": kind, "digest": ContentDigest::of(Algorithm::Sha256, content.as_bytes()).to_string(), "size": content.len() })
    }

    fn image() -> Value {
        json!({
            "schemaVersion": 2,
            "mediaType": OCI_IMAGE,
            "config": descriptor("application/vnd.oci.image.config.v1+json", "{}"),
            "layers": [descriptor("application/vnd.oci.image.layer.v1.tar+gzip", "layer")],
        })
    }

    fn read(document: &Value) -> Result<Manifest, OciError> {
        Manifest::read(document["mediaType"].as_str(), document.to_string().as_bytes())
    }

    #[test]
    fn an_image_points_at_its_config_and_layers() {
        let manifest = read(&image()).expect("an image");
        assert_eq!(manifest.contents.blobs.len(), 2);
        assert_eq!(manifest.artifact_type.as_deref(), Some("application/vnd.oci.image.config.v1+json"));
        assert_eq!(ManifestContents::read(image().to_string().as_bytes()), Some(manifest.contents));
    }

    #[test]
    fn layers_of_others_need_not_be_here() {
        let mut image = image();
        image["layers"][0]["mediaType"] = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip".into();
        assert_eq!(read(&image).expect("an image").contents.blobs.len(), 1);
    }

    #[test]
    fn an_artifact_says_what_it_is() {
        let mut artifact = image();
        artifact["artifactType"] = "application/spdx+json".into();
        artifact["subject"] = descriptor(OCI_IMAGE, "subject");
        let manifest = read(&artifact).expect("an artifact");
        assert_eq!(manifest.artifact_type.as_deref(), Some("application/spdx+json"));
        assert_eq!(manifest.contents.subject, Some(ContentDigest::of(Algorithm::Sha256, b"subject")));
    }

    #[test]
    fn what_is_refused() {
        let with = |key: &str, value: Value| {
            let mut image = image();
            image[key] = value;
            image
        };
        for (bad, why) in [
            (with("manifests", json!([])), "both"),
            (with("config", Value::Null), "config"),
            (with("schemaVersion", 1.into()), "schemaVersion"),
            (with("layers", json!([{ "digest": "md5:1", "size": 1 }])), "digest"),
            (with("layers", json!([{ "digest": "sha256:1", "size": -1 }])), "read"),
            (with("layers", json!(vec![descriptor("a/b", "x"); MAX_DESCRIPTORS])), "at most"),
            (with("mediaType", OCI_INDEX.into()), "index"),
            (with("mediaType", "application/vnd.docker.distribution.manifest.v1+prettyjws".into()), "first"),
            (with("mediaType", "a b/c\r\nx".into()), "media type"),
        ] {
            let oci_error = read(&bad).expect_err(why);
            assert_eq!(oci_error.code, ErrorCode::ManifestInvalid);
            assert!(oci_error.message.contains(why), "{} is not about {why}", oci_error.message);
        }
        assert!(Manifest::read(Some("a/b"), b"[]").is_err());
        assert!(Manifest::read(Some(OCI_INDEX), image().to_string().as_bytes()).is_err(), "two media types");
        assert!(Manifest::read(None, b"{}").is_err(), "no media type");
        let twice = r#"{"mediaType":"a/b","layers":[],"layers":[]}"#;
        assert!(Manifest::read(None, twice.as_bytes()).is_err(), "a member that is there twice");
    }

    #[test]
    fn other_kinds_are_taken_as_they_are() {
        let document = json!({ "mediaType": "application/vnd.acme.thing.v3+json", "anything": [1, 2, { "x": null }] });
        assert_eq!(read(&document).expect("a thing").contents, ManifestContents::default());
    }
}
