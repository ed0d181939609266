//! The collection: what it removes, what it keeps, and that no push is lost to it.

mod common;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use common::*;
use registry::{ContentDigest, Limits, Swept};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Notify;

const HOUR: Duration = Duration::from_secs(3600);

/// Collects as if it were two days later: whatever is there is old.
async fn collect_later(server: &TestRegistry, pinned: &[ContentDigest]) -> Swept {
    let pinned: HashSet<_> = pinned.iter().copied().collect();
    server.registry.collect(Utc::now() + TimeDelta::days(2), HOUR, &pinned).await.expect("a collection")
}

async fn collect_now(server: &TestRegistry) -> Swept {
    server.registry.collect(Utc::now(), HOUR, &HashSet::new()).await.expect("a collection")
}

/// Whether an image can be pulled whole; answers what is missing.
async fn missing_of(server: &TestRegistry, repository: &str, reference: &str) -> Option<String> {
    let manifest = server.get(&format!("/v2/{repository}/manifests/{reference}")).send().await.expect("an answer");
    if manifest.status() != StatusCode::OK {
        return Some(format!("the manifest {reference}: {}", manifest.status()));
    }
    let manifest: Value = manifest.json().await.expect("a manifest");
    for part in manifest["layers"].as_array().expect("layers").iter().chain([&manifest["config"]]) {
        let digest = part["digest"].as_str().expect("a digest");
        let blob = server.get(&format!("/v2/{repository}/blobs/{digest}")).send().await.expect("an answer");
        if blob.status() != StatusCode::OK {
            return Some(format!("{digest} of {reference}: {}", blob.status()));
        }
        let content = blob.bytes().await.expect("a body");
        if sha256(&content).to_string() != digest {
            return Some(format!("the content of {digest}"));
        }
    }
    None
}

#[tokio::test]
async fn what_nothing_leads_to_goes() {
    for backend in BACKENDS {
        let server = TestRegistry::start(backend).await;
        let old = server.push_image("acme/shop", "latest", "one").await;
        let new = server.push_image("acme/shop", "latest", "two").await;
        server.push_blob("acme/shop", b"nobody names it").await;
        let before = server.registry.usage().await.expect("a usage");
        assert_eq!((before.blobs, before.manifests, before.repositories), (5, 2, 1));

        assert_eq!(collect_now(&server).await, Swept::default(), "everything is young");
        let swept = collect_later(&server, &[]).await;
        assert_eq!((swept.manifests, swept.blobs), (1, 3));
        let after = server.registry.usage().await.expect("a usage");
        assert_eq!(before.bytes - after.bytes, swept.bytes);
        assert_eq!(missing_of(&server, "acme/shop", "latest").await, None);
        assert_eq!(missing_of(&server, "acme/shop", &new.to_string()).await, None);
        assert_eq!(server.status(&format!("/v2/acme/shop/manifests/{old}")).await, StatusCode::NOT_FOUND);
        assert_eq!(collect_later(&server, &[]).await, Swept::default(), "a second round finds nothing");
    }
}

#[tokio::test]
async fn pinned_images_stay_without_a_tag() {
    let server = TestRegistry::start(Backend::Disk).await;
    let pinned = server.push_image("acme/shop", "latest", "one").await;
    server.push_image("acme/shop", "latest", "two").await;
    let gone = server.delete("/v2/acme/shop/manifests/latest").send().await.expect("an answer");
    expect(gone, StatusCode::ACCEPTED).await;
    let swept = collect_later(&server, &[pinned]).await;
    assert_eq!(swept.manifests, 1);
    assert_eq!(missing_of(&server, "acme/shop", &pinned.to_string()).await, None);
    let swept = collect_later(&server, &[]).await;
    assert_eq!((swept.manifests, swept.blobs), (1, 2));
    assert_eq!(server.registry.usage().await.expect("a usage").bytes, 0);
}

#[tokio::test]
async fn members_and_referrers_stay_with_what_they_belong_to() {
    for backend in BACKENDS {
        let server = TestRegistry::start(backend).await;
        let mut members = Vec::new();
        for seed in ["amd64", "arm64"] {
            let document = server.push_parts("acme/shop", seed).await;
            let bytes = document.to_string();
            let digest = sha256(bytes.as_bytes());
            expect(server.push_manifest("acme/shop", &digest.to_string(), &document).await, StatusCode::CREATED).await;
            members.push((digest, descriptor(IMAGE, bytes.as_bytes())));
        }
        let manifests: Vec<&Value> = members.iter().map(|(_, descriptor)| descriptor).collect();
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests });
        expect(server.push_manifest("acme/shop", "v1", &index).await, StatusCode::CREATED).await;
        // A signature of one member, and a note on the signature.
        server.push_blob("acme/shop", b"{}").await;
        let mut signature = image(b"{}", &[]);
        signature["subject"] = members[0].1.clone();
        let signed = sha256(signature.to_string().as_bytes());
        expect(server.push_manifest("acme/shop", &signed.to_string(), &signature).await, StatusCode::CREATED).await;
        let mut note = image(b"{}", &[]);
        note["subject"] = descriptor(IMAGE, signature.to_string().as_bytes());
        let noted = sha256(note.to_string().as_bytes());
        expect(server.push_manifest("acme/shop", &noted.to_string(), &note).await, StatusCode::CREATED).await;

        assert_eq!(collect_later(&server, &[]).await, Swept::default());
        for digest in [members[0].0, members[1].0, signed, noted] {
            assert_eq!(missing_of(&server, "acme/shop", &digest.to_string()).await, None);
        }
        let gone = server.delete("/v2/acme/shop/manifests/v1").send().await.expect("an answer");
        expect(gone, StatusCode::ACCEPTED).await;
        let swept = collect_later(&server, &[]).await;
        assert_eq!((swept.manifests, swept.blobs), (5, 5));
        let left = server.registry.usage().await.expect("a usage");
        assert_eq!((left.bytes, left.repositories), (0, 0), "nor are descriptors of referrers left");
    }
}

#[tokio::test]
async fn shared_content_goes_with_its_last_repository() {
    let server = TestRegistry::start(Backend::Disk).await;
    server.push_image("acme/shop", "v1", "one").await;
    server.push_image("rival/shop", "v1", "one").await;
    assert_eq!(server.registry.usage().await.expect("a usage").blobs, 2);
    assert_eq!(server.registry.remove_within(&name("acme")).await.expect("a removal"), 1);
    assert_eq!(collect_later(&server, &[]).await.blobs, 0);
    assert_eq!(missing_of(&server, "rival/shop", "v1").await, None);
    assert_eq!(server.status("/v2/acme/shop/manifests/v1").await, StatusCode::NOT_FOUND);
    server.registry.remove_within(&name("rival/shop")).await.expect("a removal");
    assert_eq!(collect_later(&server, &[]).await.blobs, 2);
}

#[tokio::test]
async fn uploads_expire_when_nobody_goes_on() {
    let server = TestRegistry::start(Backend::Disk).await;
    let location = server.begin("acme/shop").await;
    expect(server.patch(&location).body(noise(1000, 1)).send().await.expect("an answer"), StatusCode::ACCEPTED).await;
    assert_eq!(collect_now(&server).await, Swept::default());
    expect(server.get(&location).send().await.expect("an answer"), StatusCode::NO_CONTENT).await;
    let swept = collect_later(&server, &[]).await;
    assert_eq!((swept.uploads, swept.bytes), (1, 1000));
    let ended = server.get(&location).send().await.expect("an answer");
    assert_eq!(refusal(ended, StatusCode::NOT_FOUND).await, "BLOB_UPLOAD_UNKNOWN");
    assert_eq!(server.registry.usage().await.expect("a usage").bytes, 0);
}

#[tokio::test]
async fn a_damaged_manifest_costs_nobody_else_anything() {
    let server = TestRegistry::start(Backend::Disk).await;
    let digest = server.push_image("acme/shop", "v1", "one").await;
    server.push_image("acme/shop", "v2", "two").await;
    let file = server.dir.path().join("repositories/acme/shop/_manifests/sha256").join(digest.hex());
    std::fs::write(&file, "{\"mediaType\":\"a/b\"}\n{\"layers\":").expect("damage");
    let failed = server.registry.collect(Utc::now() + TimeDelta::days(2), HOUR, &HashSet::new()).await;
    assert!(failed.expect_err("it can not be known what is needed").to_string().contains("damaged"));
    assert_eq!(missing_of(&server, "acme/shop", "v2").await, None);
    assert_eq!(server.registry.usage().await.expect("a usage").blobs, 4);
}

/// Pushes one image the way clients do: looks whether a blob is there before sending it, then names all in a manifest. A
/// collection without any grace may take a blob in between; then it is pushed again.
async fn push_like_a_client(server: &TestRegistry, repository: &str, tag: &str, parts: &[Vec<u8>]) {
    let layers: Vec<&[u8]> = parts[1..].iter().map(Vec::as_slice).collect();
    let document = image(&parts[0], &layers);
    let deadline = Instant::now() + Duration::from_secs(30);
    while Instant::now() < deadline {
        for part in parts {
            let digest = sha256(part);
            if server.status(&format!("/v2/{repository}/blobs/{digest}")).await != StatusCode::OK {
                server.push_blob(repository, part).await;
            }
        }
        let pushed = server.push_manifest(repository, tag, &document).await;
        match pushed.status() {
            StatusCode::CREATED => return,
            StatusCode::NOT_FOUND => {}
            other => panic!("{other}: {}", pushed.text().await.unwrap_or_default()),
        }
    }
    panic!("the collection took a blob of {repository}:{tag} in each try of 30 s");
}

async fn no_acknowledged_image_is_lost(backend: Backend) {
    // The clock of the collection runs ahead; uploads must not expire by that.
    let limits = Limits { upload_idle: Duration::from_secs(86_400), ..Limits::default() };
    let server = Arc::new(TestRegistry::start_with(backend, limits).await);
    let over = Arc::new(AtomicBool::new(false));
    let (rounds, freed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let acknowledged = Arc::new(Notify::new());
    let collector = tokio::spawn({
        let (server, over, rounds, freed) = (server.clone(), over.clone(), rounds.clone(), freed.clone());
        let acknowledged = acknowledged.clone();
        async move {
            while !over.load(Ordering::Relaxed) {
                // No grace at all: whatever is not needed at this moment goes.
                let later = Utc::now() + TimeDelta::hours(1);
                let swept = server.registry.collect(later, Duration::ZERO, &HashSet::new()).await.expect("a collection");
                rounds.fetch_add(1, Ordering::Relaxed);
                freed.fetch_add(swept.blobs, Ordering::Relaxed);
                // Rounds without any pause would let no push through: the next begins with the next success.
                let _ = tokio::time::timeout(Duration::from_millis(200), acknowledged.notified()).await;
            }
        }
    });
    let until = Instant::now() + Duration::from_secs(4);
    let pushers = (0..6u64).map(|pusher| {
        let (server, acknowledged) = (server.clone(), acknowledged.clone());
        tokio::spawn(async move {
            let mut pushed = 0;
            while Instant::now() < until {
                // Two pushers share each repository; all share some layers, which come and go.
                let repository = format!("tenant{}/app", pusher / 2);
                let seed = pusher * 1_000_000 + pushed;
                let config = format!("{{\"config\":{seed}}}").into_bytes();
                let parts = [config, noise(20_000, pushed % 3 + 1), noise(5_000, seed + 10)];
                let tag = format!("p{pusher}-{}", pushed % 4);
                push_like_a_client(&server, &repository, &tag, &parts).await;
                acknowledged.notify_one();
                for back in 0..4.min(pushed + 1) {
                    let tag = format!("p{pusher}-{}", (pushed - back) % 4);
                    assert_eq!(missing_of(&server, &repository, &tag).await, None, "{repository}:{tag}");
                }
                if pushed % 5 == 4 {
                    let path = format!("/v2/{repository}/manifests/{tag}");
                    let gone = server.ask("root", Method::DELETE, &path).send().await.expect("an answer");
                    expect(gone, StatusCode::ACCEPTED).await;
                    push_like_a_client(&server, &repository, &tag, &parts).await;
                }
                pushed += 1;
            }
            pushed
        })
    });
    let mut pushed = 0;
    for pusher in pushers.collect::<Vec<_>>() {
        pushed += pusher.await.expect("no image is lost");
    }
    over.store(true, Ordering::Relaxed);
    collector.await.expect("the collector lives");
    let (rounds, freed) = (rounds.load(Ordering::Relaxed), freed.load(Ordering::Relaxed));
    assert!(pushed > 20 && rounds > 10 && freed > 20, "too little happened: {pushed} pushes, {rounds} rounds, {freed} blobs freed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_acknowledged_image_is_lost_on_disk() {
    no_acknowledged_image_is_lost(Backend::Disk).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_acknowledged_image_is_lost_in_objects() {
    no_acknowledged_image_is_lost(Backend::Objects).await;
}
