//! The power goes, many times: what was acknowledged is there afterwards, and nothing is half there.

mod common;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::*;
use registry::{Registry, Storage};
use tokio_util::sync::CancellationToken;

const DIR: &str = "REGISTRY_CRASH_DIR";

/// The process that is killed; it is this program again, with a directory to serve from.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a part of the test below, which starts it"]
async fn serve_until_killed() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let registry = Registry::on_disk(&Path::new(&dir).join("data")).expect("a registry");
    let server = registry.bind("127.0.0.1:0".parse().expect("an address"), TestAuthenticator::usual()).await.expect("a free port");
    let (told, telling) = (Path::new(&dir).join("address"), Path::new(&dir).join("address.new"));
    std::fs::write(&telling, server.address().to_string()).expect("written");
    std::fs::rename(telling, told).expect("renamed");
    server.serve(CancellationToken::new()).await;
}

struct Victim(Child);

impl Victim {
    fn start(dir: &Path) -> (Self, String) {
        let told = dir.join("address");
        // It may not be there the first time.
        let _ = std::fs::remove_file(&told);
        let program = std::env::current_exe().expect("this program");
        let mut command = Command::new(program);
        command.args(["--ignored", "--exact", "serve_until_killed"]).env(DIR, dir);
        let child = Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("started"));
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Ok(address) = std::fs::read_to_string(&told) {
                return (child, address);
            }
            assert!(Instant::now() < deadline, "the registry did not tell its address within 20 s");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        self.0.kill().expect("killed");
        self.0.wait().expect("gone");
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.path().is_dir() { files.extend(self::files(&entry.path())) } else { files.push(entry.path()) }
    }
    files
}

/// Pushes images until an answer stays away; remembers what was acknowledged.
async fn push_until_dead(http: &reqwest::Client, address: &str, round: u64, acknowledged: &mut Vec<(String, Vec<u8>)>) {
    let put = |path: String, body: Vec<u8>, kind: &'static str| {
        let method = if path.contains("uploads") { reqwest::Method::POST } else { reqwest::Method::PUT };
        let request = http.request(method, format!("http://{address}{path}")).basic_auth("root", Some("pw"));
        async move { request.header("content-type", kind).body(body).send().await.map(|answer| answer.status()) }
    };
    for number in 0.. {
        let content = noise(400_000, round * 1000 + number + 1);
        let upload = format!("/v2/acme/shop/blobs/uploads/?digest={}", sha256(&content));
        let Ok(status) = put(upload, content.clone(), "application/octet-stream").await else { return };
        assert_eq!(status, 201);
        let manifest = image(&content, &[]).to_string().into_bytes();
        let tag = format!("r{round}-{number}");
        let Ok(status) = put(format!("/v2/acme/shop/manifests/{tag}"), manifest.clone(), IMAGE).await else { return };
        assert_eq!(status, 201);
        acknowledged.push((tag, manifest));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_a_kill() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let http = common::client();
    let mut acknowledged = Vec::new();
    for round in 0..8 {
        let (victim, address) = Victim::start(dir.path());
        let killer = tokio::task::spawn_blocking(move || {
            std::thread::sleep(Duration::from_millis(40 + round * 37));
            drop(victim);
        });
        push_until_dead(&http, &address, round, &mut acknowledged).await;
        killer.await.expect("killed");
        for file in files(&dir.path().join("data/blobs")) {
            let named = file.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
            assert_eq!(sha256(&std::fs::read(&file).expect("a blob")).hex(), named, "a blob is whole under its digest");
        }
    }
    assert!(acknowledged.len() > 8, "only {} images were acknowledged", acknowledged.len());
    let data = dir.path().join("data");
    let storage = Storage::on_disk(&data).expect("the dead hold no lock");
    let server = TestRegistry::over(tempfile::tempdir().expect("a temporary directory"), storage, registry::Limits::default()).await;
    for (tag, manifest) in acknowledged {
        let got = server.get(&format!("/v2/acme/shop/manifests/{tag}")).send().await.expect("an answer");
        assert_eq!(got.bytes().await.expect("a body"), manifest, "{tag}");
        let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("a manifest");
        let digest = manifest["config"]["digest"].as_str().expect("a digest");
        assert_eq!(server.status(&format!("/v2/acme/shop/blobs/{digest}")).await, 200, "{tag}");
    }
    let (tomorrow, minute) = (chrono::Utc::now() + chrono::TimeDelta::days(1), Duration::from_secs(60));
    server.registry.collect(tomorrow, minute, &HashSet::new()).await.expect("a collection after all those crashes");
}
