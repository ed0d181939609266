//! No room left: said as such, nothing half stored, and everything goes on when there is room again.

mod common;

use std::path::Path;
use std::process::Command;

use common::*;
use registry::{Limits, Storage};
use reqwest::StatusCode;

/// A file system of a few megabytes; needs root, as the platform does.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(at: &'a Path) -> Self {
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "slipway-test"]).arg(at).status().expect("mount runs");
        assert!(done.success(), "a small file system could not be mounted; are you root?");
        Self(at)
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        // Lazily: a test that fails still holds files.
        Command::new("umount").arg("--lazy").arg(self.0).status().expect("umount runs");
    }
}

#[tokio::test]
async fn a_full_disk() {
    let at = tempfile::tempdir().expect("a temporary directory");
    let _disk = SmallDisk::mount(at.path());
    let storage = Storage::on_disk(at.path()).expect("a storage");
    let server = TestRegistry::over(tempfile::tempdir().expect("a temporary directory"), storage, Limits::default()).await;
    server.push_image("acme/shop", "v1", "one").await;
    let before = server.registry.usage().await.expect("a usage");

    let content = noise(8 << 20, 1);
    let digest = sha256(&content);
    let once = server.post(&format!("/v2/acme/shop/blobs/uploads/?digest={digest}")).body(content.clone()).send().await.expect("an answer");
    assert_eq!(refusal(once, StatusCode::INSUFFICIENT_STORAGE).await, "UNKNOWN");
    let location = server.begin("acme/shop").await;
    let patched = server.patch(&location).body(content).send().await.expect("an answer");
    assert_eq!(refusal(patched, StatusCode::INSUFFICIENT_STORAGE).await, "UNKNOWN");

    assert_eq!(server.registry.usage().await.expect("a usage"), before, "nothing of it is left");
    assert_eq!(server.status(&format!("/v2/acme/shop/blobs/{digest}")).await, StatusCode::NOT_FOUND);
    assert_eq!(server.status("/v2/acme/shop/manifests/v1").await, StatusCode::OK);
    let fits = noise(2 << 20, 2);
    server.push_blob("acme/shop", &fits).await;
    let more = noise(1 << 20, 3);
    server.push_blob("acme/shop", &more).await;
    // With hardly a byte left, a manifest that does not fit leaves its tag where it was.
    let was = server.head("/v2/acme/shop/manifests/v1").send().await.expect("an answer");
    let mut large = server.push_parts("acme/shop", "one").await;
    large["annotations"] = serde_json::json!({ "large": "x".repeat(3 << 20) });
    let refused = server.push_manifest("acme/shop", "v1", &large).await;
    assert_eq!(refusal(refused, StatusCode::INSUFFICIENT_STORAGE).await, "UNKNOWN");
    let is = server.head("/v2/acme/shop/manifests/v1").send().await.expect("an answer");
    assert_eq!(header(&was, "docker-content-digest"), header(&is, "docker-content-digest"));
}
