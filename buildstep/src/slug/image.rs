//! Slug images: the configuration and the manifest of one layer on those of the stack.
//!
//! Pure: the stack's configuration goes in, bytes come out. Equal input gives equal bytes.

use std::collections::BTreeMap;

use model::Digest;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::registry::{Descriptor, MANIFEST_OCI};
use crate::slug::layer::PackedLayer;
use crate::stack::recipe::GID;

const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// The image under a slug.
#[derive(Debug, Clone)]
pub struct BaseImage {
    /// Its repository in the registry.
    pub repository: String,
    /// Its layers, lowest first.
    pub layers: Vec<Descriptor>,
    /// What its configuration says.
    pub config: BaseImageConfig,
}

/// The parts of an image configuration that a slug takes over.
#[derive(Debug, Clone, Deserialize)]
pub struct BaseImageConfig {
    /// `amd64`, `arm64`.
    pub architecture: String,
    /// `linux`.
    pub os: String,
    /// Digests of the plain layers.
    pub rootfs: RootFs,
    /// When it was made: the slug's own time, since a time of its own would make equal slugs differ.
    #[serde(default)]
    pub created: Option<String>,
}

/// The list of plain layers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Digests of the uncompressed layers, lowest first.
    pub diff_ids: Vec<Digest>,
}

/// What goes into the configuration and the annotations of a slug image.
#[derive(Debug, Clone, Default)]
pub struct ImageMetadata {
    /// The uid of its processes.
    pub uid: u32,
    /// Environment of its processes.
    pub env: BTreeMap<String, String>,
    /// Its main command, for whoever runs it by hand.
    pub command: Option<String>,
    /// Annotations of the manifest, and labels of the configuration.
    pub annotations: BTreeMap<String, String>,
}

/// The two documents of a composed image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComposedImage {
    /// The configuration, canonical JSON.
    pub config: Vec<u8>,
    /// The manifest, canonical JSON.
    pub manifest: Vec<u8>,
}

/// Puts a slug on a base.
pub fn compose(base: &BaseImage, slug: &PackedLayer, metadata: &ImageMetadata) -> ComposedImage {
    let env: Vec<String> = metadata.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut diff_ids = base.config.rootfs.diff_ids.clone();
    diff_ids.push(slug.diff_id);
    let command: Value = match &metadata.command {
        Some(command) => json!(["/bin/bash", "-c", command]),
        None => json!(["/bin/bash"]),
    };
    let mut config = json!({
        "architecture": base.config.architecture,
        "os": base.config.os,
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
        "config": {
            "User": format!("{}:{GID}", metadata.uid),
            "WorkingDir": "/app",
            "Env": env,
            "Cmd": command,
            "Labels": metadata.annotations,
        },
    });
    if let Some(created) = &base.config.created {
        config["created"] = json!(created);
    }
    let config = canonical(&config);
    let layer = |digest: Digest, size: u64| json!({ "mediaType": LAYER_TYPE, "digest": digest, "size": size });
    let mut layers: Vec<Value> = base.layers.iter().map(|blob| layer(blob.digest, blob.size)).collect();
    layers.push(layer(slug.digest, slug.size));
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST_OCI,
        "config": { "mediaType": CONFIG_TYPE, "digest": Digest::of(&config), "size": config.len() },
        "layers": layers,
        "annotations": metadata.annotations,
    });
    ComposedImage { config, manifest: canonical(&manifest) }
}

/// Keys in order, no blanks.
fn canonical(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).expect("a value made of strings and numbers is always written")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_the_base_and_one_layer() {
        let base = BaseImage {
            repository: "slipway/stack-x-run".into(),
            layers: vec![Descriptor { digest: Digest::of(b"base gz"), size: 7 }],
            config: BaseImageConfig {
                architecture: "amd64".into(),
                os: "linux".into(),
                rootfs: RootFs { kind: "layers".into(), diff_ids: vec![Digest::of(b"base")] },
                created: None,
            },
        };
        let slug = PackedLayer { diff_id: Digest::of(b"slug"), digest: Digest::of(b"slug gz"), size: 9, unpacked: 20 };
        let metadata = ImageMetadata {
            uid: 200_007,
            command: Some("run".into()),
            env: [("A".to_owned(), "b".to_owned())].into(),
            ..ImageMetadata::default()
        };
        let image = compose(&base, &slug, &metadata);
        assert_eq!(image, compose(&base, &slug, &metadata));
        let config: Value = serde_json::from_slice(&image.config).expect("JSON");
        let manifest: Value = serde_json::from_slice(&image.manifest).expect("JSON");
        assert_eq!(config["rootfs"]["diff_ids"].as_array().map(Vec::len), Some(2));
        assert_eq!(config["config"]["User"], "200007:10001");
        assert_eq!(manifest["layers"][1]["digest"], slug.digest.to_string());
        assert_eq!(manifest["config"]["digest"], Digest::of(&image.config).to_string());
    }
}
