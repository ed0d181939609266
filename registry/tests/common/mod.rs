//! A registry on a free port, with tenants that may and may not, and the requests that tests make.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use object_store::memory::InMemory;
use registry::{
    Algorithm, Authentication, Authenticator, ContentDigest, Credentials, Grant, Limits, Registry, RepositoryName, Rights, Scope, Storage,
};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

pub const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Where the content of a registry under test lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    Disk,
    Objects,
}

pub const BACKENDS: [Backend; 2] = [Backend::Disk, Backend::Objects];

/// Knows a handful of users, all with the secret `pw`.
pub struct TestAuthenticator(HashMap<&'static str, Grant>);

impl TestAuthenticator {
    pub fn usual() -> Arc<Self> {
        let within = |prefix: &str, rights| Grant::none().allow(Scope::Within(name(prefix)), rights);
        Arc::new(Self(HashMap::from([
            ("root", Grant::full()),
            ("acme", within("acme", Rights::ALL)),
            ("rival", within("rival", Rights::ALL)),
            ("reader", within("acme", Rights::PULL)),
            ("builder", within("acme", Rights::PUSH).allow(Scope::Within(name("stacks")), Rights::PULL)),
            ("nobody", Grant::none()),
        ])))
    }
}

#[async_trait]
impl Authenticator for TestAuthenticator {
    async fn authenticate(&self, credentials: Option<Credentials>) -> Authentication {
        let Some(Credentials { user, secret }) = credentials else { return Authentication::Refused };
        match self.0.get(user.as_str()) {
            _ if user == "offline" => Authentication::Unavailable,
            Some(grant) if secret == "pw" => Authentication::Granted(grant.clone()),
            _ => Authentication::Refused,
        }
    }
}

/// A registry that serves.
pub struct TestRegistry {
    pub dir: TempDir,
    pub registry: Arc<Registry>,
    pub address: SocketAddr,
    pub http: reqwest::Client,
    shutdown: DropGuard,
    serving: JoinHandle<()>,
}

impl TestRegistry {
    pub async fn start(backend: Backend) -> Self {
        Self::start_with(backend, Limits::default()).await
    }

    pub async fn start_with(backend: Backend, limits: Limits) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let storage = match backend {
            Backend::Disk => Storage::on_disk(dir.path()),
            Backend::Objects => Storage::in_objects(Arc::new(InMemory::new()), &dir.path().join("staging")),
        };
        Self::over(dir, storage.expect("a storage"), limits).await
    }

    pub async fn over(dir: TempDir, storage: Storage, limits: Limits) -> Self {
        let registry = Registry::open(storage, limits);
        let server = registry.bind("127.0.0.1:0".parse().expect("an address"), TestAuthenticator::usual()).await.expect("a free port");
        let (address, shutdown) = (server.address(), CancellationToken::new());
        let serving = tokio::spawn(server.serve(shutdown.clone()));
        Self { dir, registry, address, http: client(), shutdown: shutdown.drop_guard(), serving }
    }

    /// Stops serving and lets go of everything but the directory.
    pub async fn stop(self) -> TempDir {
        let Self { dir, registry, http, shutdown, serving, .. } = self;
        drop((http, shutdown));
        serving.await.expect("it ends in order");
        assert_eq!(Arc::strong_count(&registry), 1, "somebody still holds the registry");
        dir
    }

    pub fn url(&self, path: &str) -> String {
        if path.starts_with("http") { path.into() } else { format!("http://{}{path}", self.address) }
    }

    pub fn ask(&self, user: &str, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, self.url(path)).basic_auth(user, Some("pw"))
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.ask("root", Method::GET, path)
    }

    pub fn head(&self, path: &str) -> RequestBuilder {
        self.ask("root", Method::HEAD, path)
    }

    pub fn put(&self, path: &str) -> RequestBuilder {
        self.ask("root", Method::PUT, path)
    }

    pub fn post(&self, path: &str) -> RequestBuilder {
        self.ask("root", Method::POST, path)
    }

    pub fn patch(&self, path: &str) -> RequestBuilder {
        self.ask("root", Method::PATCH, path)
    }

    pub fn delete(&self, path: &str) -> RequestBuilder {
        self.ask("root", Method::DELETE, path)
    }

    /// Pushes a blob in one go.
    pub async fn push_blob(&self, repository: &str, content: &[u8]) -> ContentDigest {
        let digest = sha256(content);
        let path = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
        let response = self.post(&path).body(content.to_vec()).send().await.expect("an answer");
        expect(response, StatusCode::CREATED).await;
        digest
    }

    pub async fn begin(&self, repository: &str) -> String {
        let response = self.post(&format!("/v2/{repository}/blobs/uploads/")).send().await.expect("an answer");
        let response = expect(response, StatusCode::ACCEPTED).await;
        header(&response, "location")
    }

    /// Pushes a manifest by tag or digest.
    pub async fn push_manifest(&self, repository: &str, reference: &str, document: &Value) -> Response {
        let kind = document["mediaType"].as_str().unwrap_or(IMAGE);
        let request = self.put(&format!("/v2/{repository}/manifests/{reference}"));
        request.header("content-type", kind).body(document.to_string()).send().await.expect("an answer")
    }

    /// Pushes a small image with its blobs, made of `seed`; answers its digest.
    pub async fn push_image(&self, repository: &str, reference: &str, seed: &str) -> ContentDigest {
        let document = self.push_parts(repository, seed).await;
        let response = self.push_manifest(repository, reference, &document).await;
        expect(response, StatusCode::CREATED).await;
        sha256(document.to_string().as_bytes())
    }

    /// Pushes the blobs of a small image; answers the manifest that would make them one.
    pub async fn push_parts(&self, repository: &str, seed: &str) -> Value {
        let (config, layer) = (format!("{{\"seed\":\"{seed}\"}}"), format!("layer of {seed}"));
        self.push_blob(repository, config.as_bytes()).await;
        self.push_blob(repository, layer.as_bytes()).await;
        image(config.as_bytes(), &[layer.as_bytes()])
    }

    pub async fn status(&self, path: &str) -> StatusCode {
        self.head(path).send().await.expect("an answer").status()
    }
}

pub fn image(config: &[u8], layers: &[&[u8]]) -> Value {
    let layers: Vec<Value> = layers.iter().map(|layer| descriptor(LAYER, layer)).collect();
    json!({ "schemaVersion": 2, "mediaType": IMAGE, "config": descriptor(CONFIG, config), "layers": layers })
}

pub fn descriptor(kind: &str, content: &[u8]) -> Value {
    json!({ "mediaType": kind, "digest": sha256(content).to_string(), "size": content.len() })
}

pub fn sha256(content: &[u8]) -> ContentDigest {
    ContentDigest::of(Algorithm::Sha256, content)
}

pub fn name(text: &str) -> RepositoryName {
    RepositoryName::new(text).expect("a good name")
}

pub fn header(response: &Response, name: &str) -> String {
    let value = response.headers().get(name).unwrap_or_else(|| panic!("the header `{name}` is missing from {response:?}"));
    value.to_str().expect("text").into()
}

/// The answer, if it has this status; otherwise its body is shown.
pub async fn expect(response: Response, status: StatusCode) -> Response {
    if response.status() == status {
        return response;
    }
    let (got, url) = (response.status(), response.url().clone());
    panic!("{url}: {got} instead of {status}: {}", response.text().await.unwrap_or_default());
}

/// The code of a refusal, which must have this status and be an error document.
pub async fn refusal(response: Response, status: StatusCode) -> String {
    let response = expect(response, status).await;
    assert_eq!(header(&response, "content-type"), "application/json");
    let document: Value = response.json().await.expect("an error document");
    assert!(document["errors"][0]["message"].is_string(), "{document}");
    document["errors"][0]["code"].as_str().expect("a code").into()
}

/// Bytes that do not repeat, made of a seed.
pub fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// A client over HTTP, whatever else of it the workspace switches on.
pub fn client() -> reqwest::Client {
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder().tls_certs_only([]).build().expect("a client")
}
