//! The clients people use: docker and skopeo, against the endpoint on loopback.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::*;
use reqwest::StatusCode;
use serde_json::{Value, json};

fn run(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program).args(arguments).output();
    output.unwrap_or_else(|error| panic!("`{program}` is needed for this test: {error}"))
}

async fn ran(program: &'static str, arguments: Vec<String>) -> Output {
    let run = move || run(program, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    tokio::task::spawn_blocking(run).await.expect("it ran")
}

async fn ok(program: &'static str, arguments: Vec<String>) -> String {
    let shown = arguments.join(" ");
    let output = ran(program, arguments).await;
    assert!(output.status.success(), "{program} {shown}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().into()
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(Into::into).collect()
}

/// A tar with one file; its content makes the image another.
fn small_tar(dir: &Path, content: &str) -> String {
    fs::write(dir.join("hello.txt"), content).expect("written");
    let tar = dir.join("layer.tar").display().to_string();
    assert!(run("tar", &["-cf", &tar, "-C", &dir.display().to_string(), "hello.txt"]).status.success());
    tar
}

/// Docker's login, in a directory of its own.
fn docker_config(dir: &Path, address: &str, user: &str, secret: &str) -> String {
    let home = dir.join(format!("docker-{user}-{secret}"));
    fs::create_dir_all(&home).expect("made");
    let auth = STANDARD.encode(format!("{user}:{secret}"));
    fs::write(home.join("config.json"), json!({ "auths": { address: { "auth": auth } } }).to_string()).expect("written");
    home.display().to_string()
}

/// Images that docker holds for this test, removed at its end.
struct Images(Vec<String>);

impl Drop for Images {
    fn drop(&mut self) {
        for image in &self.0 {
            run("docker", &["image", "rm", "--force", image]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_pushes_and_pulls() {
    let server = TestRegistry::start(Backend::Disk).await;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let address = server.address.to_string();
    let login = docker_config(dir.path(), &address, "acme", "pw");
    let tar = small_tar(dir.path(), &format!("hello from {address}"));
    let (image, deep) = (format!("{address}/acme/shop:v1"), format!("{address}/acme/teams/web/shop:v1"));
    let _images = Images(vec![image.clone(), deep.clone()]);
    let id = ok("docker", vec!["import".into(), "--change".into(), "LABEL slipway.test=registry".into(), tar, image.clone()]).await;

    // Strangers and other tenants are turned away.
    for (user, secret) in [("acme", "wrong"), ("rival", "pw"), ("reader", "pw")] {
        let login = docker_config(dir.path(), &address, user, secret);
        let refused = ran("docker", words(&format!("--config {login} push {image}"))).await;
        assert!(!refused.status.success(), "{user} pushed");
    }
    ok("docker", words(&format!("--config {login} push {image}"))).await;
    // Again, and into another repository: the layer is there, or mounted.
    ok("docker", words(&format!("--config {login} push {image}"))).await;
    ok("docker", words(&format!("tag {image} {deep}"))).await;
    let pushed = ok("docker", words(&format!("--config {login} push {deep}"))).await;
    assert!(pushed.contains("Mounted from acme/shop"), "{pushed}");
    assert_eq!(server.registry.usage().await.expect("a usage").blobs, 2);

    ok("docker", words(&format!("image rm {image} {deep}"))).await;
    let rival = docker_config(dir.path(), &address, "rival", "pw");
    assert!(!ran("docker", words(&format!("--config {rival} pull {image}"))).await.status.success());
    let reader = docker_config(dir.path(), &address, "reader", "pw");
    ok("docker", words(&format!("--config {reader} pull {image}"))).await;
    let again = ok("docker", vec!["image".into(), "inspect".into(), "--format".into(), "{{.Id}}".into(), image.clone()]).await;
    assert_eq!(again, id, "the same image came back");
    // By digest, the way releases are pulled.
    let head = server.head("/v2/acme/shop/manifests/v1").send().await.expect("an answer");
    let by_digest = format!("{address}/acme/shop@{}", header(&head, "docker-content-digest"));
    ok("docker", words(&format!("--config {reader} pull {by_digest}"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn skopeo_copies_inspects_lists_and_deletes() {
    for backend in BACKENDS {
        let server = TestRegistry::start(backend).await;
        let dir = tempfile::tempdir().expect("a temporary directory");
        let tar = small_tar(dir.path(), "hello");
        let content = fs::read(&tar).expect("a tar");
        assert!(run("gzip", &["-n", &tar]).status.success());
        let layer = fs::read(format!("{tar}.gz")).expect("a layer");
        let config = json!({
            "architecture": "amd64", "os": "linux", "config": { "Cmd": ["/hello"] },
            "rootfs": { "type": "layers", "diff_ids": [sha256(&content).to_string()] }
        });
        let config = config.to_string();
        server.push_blob("acme/shop", config.as_bytes()).await;
        server.push_blob("acme/shop", &layer).await;
        let document = image(config.as_bytes(), &[&layer]);
        expect(server.push_manifest("acme/shop", "v1", &document).await, StatusCode::CREATED).await;
        let bytes = document.to_string();
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor(IMAGE, bytes.as_bytes())] });
        expect(server.push_manifest("acme/shop", "all", &index).await, StatusCode::CREATED).await;

        let at = |name: &str| format!("docker://{}/{name}", server.address);
        let inspected = ok("skopeo", words(&format!("inspect --tls-verify=false --creds acme:pw {}", at("acme/shop:v1")))).await;
        let inspected: Value = serde_json::from_str(&inspected).expect("a document");
        assert_eq!(inspected["Digest"], sha256(bytes.as_bytes()).to_string());
        assert_eq!(inspected["RepoTags"], json!(["all", "v1"]));
        // Out to a directory, in again as another repository, and from one to the other with all members.
        let out = format!("dir:{}", dir.path().join("out").display());
        let options = "--src-tls-verify=false --dest-tls-verify=false";
        ok("skopeo", words(&format!("copy {options} --src-creds acme:pw {} {out}", at("acme/shop:v1")))).await;
        ok("skopeo", words(&format!("copy {options} --dest-creds rival:pw {out} {}", at("rival/copy:v1")))).await;
        ok(
            "skopeo",
            words(&format!("copy {options} --all --src-creds acme:pw --dest-creds acme:pw {} {}", at("acme/shop:all"), at("acme/b/c:all"))),
        )
        .await;
        let same = server.get("/v2/rival/copy/manifests/v1").send().await.expect("an answer");
        assert_eq!(same.text().await.expect("a body"), bytes);
        assert_eq!(server.status("/v2/acme/b/c/manifests/all").await, StatusCode::OK);
        let tags = ok("skopeo", words(&format!("list-tags --tls-verify=false --creds acme:pw {}", at("acme/shop")))).await;
        let tags: Value = serde_json::from_str(&tags).expect("a document");
        assert_eq!(tags["Tags"], json!(["all", "v1"]));
        ok("skopeo", words(&format!("delete --tls-verify=false --creds acme:pw {}", at("acme/b/c:all")))).await;
        assert_eq!(server.status("/v2/acme/b/c/manifests/all").await, StatusCode::NOT_FOUND);
        // Wrong token, other tenant, no token, reading rights alone.
        for creds in ["--creds acme:wrong", "--creds rival:pw", "--no-creds"] {
            let refused = ran("skopeo", words(&format!("inspect --tls-verify=false {creds} {}", at("acme/shop:v1")))).await;
            assert!(!refused.status.success(), "{creds}");
        }
        let refused = ran("skopeo", words(&format!("copy {options} --dest-creds reader:pw {out} {}", at("acme/new:v1")))).await;
        assert!(!refused.status.success(), "a reader pushed");
    }
}
