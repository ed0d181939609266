//! `Registry`: the client that puts slug images into an OCI distribution endpoint.
//!
//! Owns the requests. Must never compose images, and never log credentials.

use std::path::Path;

use model::Digest;
use reqwest::{Method, StatusCode, header};
use serde::Deserialize;
use tokio_util::io::ReaderStream;

/// A failure of the registry.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// It could not be reached, or broke off.
    #[error("could not reach the registry")]
    Unreachable(#[from] reqwest::Error),
    /// It answered with an error status.
    #[error("the registry answered {status} to {doing}: {body}")]
    Refused {
        /// What was asked, as a fragment.
        doing: &'static str,
        /// The HTTP status.
        status: StatusCode,
        /// The beginning of its answer.
        body: String,
    },
    /// Its answer is not what the protocol says.
    #[error("the registry's answer to {0} can not be understood")]
    Unexpected(&'static str),
    /// A file could not be read.
    #[error("could not read the layer to upload")]
    Io(#[from] std::io::Error),
}

/// How the builder shows who it is.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// User name.
    pub username: String,
    /// Password or token.
    pub password: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Login({}, ..)", self.username)
    }
}

/// A connection to a registry.
#[derive(Debug, Clone)]
pub struct Registry {
    http: reqwest::Client,
    /// `127.0.0.1:5000`, as it stands in image names.
    authority: String,
    login: Option<Login>,
}

/// Media types of manifests that are understood.
pub const MANIFEST_OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const MANIFEST_DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";

impl Registry {
    /// The registry at `authority`, lines to without TLS: it is on loopback, or behind the host's own mirror.
    pub fn new(authority: impl Into<String>, login: Option<Login>) -> Self {
        // The first provider stays; there is only this one.
        drop(rustls::crypto::ring::default_provider().install_default());
        // The registry is lines to in plain HTTP: the machine's certificates need not be read.
        let http = reqwest::Client::builder().tls_certs_only([]).build().expect("a provider of TLS is installed");
        Self { http, authority: authority.into(), login }
    }

    /// Host and port, as they stand in image names.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Name and password for the engine, which pushes stack layers.
    pub fn credentials(&self) -> Option<(String, String)> {
        self.login.as_ref().map(|login| (login.username.clone(), login.password.clone()))
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/v2/{path}", self.authority)
    }

    fn request(&self, method: Method, url: String) -> reqwest::RequestBuilder {
        let request = self.http.request(method, url);
        match &self.login {
            Some(login) => request.basic_auth(&login.username, Some(&login.password)),
            None => request,
        }
    }

    /// Whether a repository has a blob.
    pub async fn has_blob(&self, repository: &str, digest: Digest) -> Result<bool, RegistryError> {
        let answer = self.request(Method::HEAD, self.url(&format!("{repository}/blobs/{digest}"))).send().await?;
        match answer.status() {
            StatusCode::NOT_FOUND => Ok(false),
            status if status.is_success() => Ok(true),
            _ => Err(refused("looking for a layer", answer).await),
        }
    }

    /// A blob, for small ones.
    pub async fn blob(&self, repository: &str, digest: Digest) -> Result<Vec<u8>, RegistryError> {
        let answer = self.request(Method::GET, self.url(&format!("{repository}/blobs/{digest}"))).send().await?;
        if !answer.status().is_success() {
            return Err(refused("fetching a blob", answer).await);
        }
        let bytes = answer.bytes().await?;
        if Digest::of(&bytes) != digest {
            return Err(RegistryError::Unexpected("fetching a blob"));
        }
        Ok(bytes.to_vec())
    }

    /// Makes a blob of one repository known in another; whether that could be done.
    pub async fn mount(&self, from: &str, to: &str, digest: Digest) -> Result<bool, RegistryError> {
        let query = [("mount", digest.to_string()), ("from", from.to_owned())];
        let answer = self
            .request(Method::POST, self.url(&format!("{to}/blobs/uploads/")))
            .query(&query)
            .header(header::CONTENT_LENGTH, 0)
            .send()
            .await?;
        match answer.status() {
            StatusCode::CREATED => Ok(true),
            StatusCode::ACCEPTED => {
                // The registry offers an upload instead; it is given up.
                if let Some(location) = self.location(&answer) {
                    let _ = self.request(Method::DELETE, location).send().await;
                }
                Ok(false)
            }
            _ => Err(refused("sharing a layer", answer).await),
        }
    }

    /// Uploads bytes unless they are there.
    pub async fn put_bytes(&self, repository: &str, digest: Digest, bytes: Vec<u8>) -> Result<(), RegistryError> {
        if self.has_blob(repository, digest).await? {
            return Ok(());
        }
        let size = bytes.len() as u64;
        self.upload(repository, digest, size, bytes.into()).await
    }

    /// Uploads a file unless its content is there; whether it was uploaded.
    pub async fn put_file(&self, repository: &str, digest: Digest, size: u64, path: &Path) -> Result<bool, RegistryError> {
        if self.has_blob(repository, digest).await? {
            return Ok(false);
        }
        let file = tokio::fs::File::open(path).await?;
        self.upload(repository, digest, size, reqwest::Body::wrap_stream(ReaderStream::with_capacity(file, 1 << 18))).await?;
        Ok(true)
    }

    async fn upload(&self, repository: &str, digest: Digest, size: u64, body: reqwest::Body) -> Result<(), RegistryError> {
        let answer =
            self.request(Method::POST, self.url(&format!("{repository}/blobs/uploads/"))).header(header::CONTENT_LENGTH, 0).send().await?;
        if answer.status() != StatusCode::ACCEPTED {
            return Err(refused("opening an upload", answer).await);
        }
        let location = self.location(&answer).ok_or(RegistryError::Unexpected("opening an upload"))?;
        let answer = self
            .request(Method::PUT, location)
            .query(&[("digest", digest.to_string())])
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .header(header::CONTENT_LENGTH, size)
            .body(body)
            .send()
            .await?;
        if answer.status() == StatusCode::CREATED { Ok(()) } else { Err(refused("uploading a layer", answer).await) }
    }

    /// The address of an upload; a registry may give it with or without its own name.
    fn location(&self, answer: &reqwest::Response) -> Option<String> {
        let location = answer.headers().get(header::LOCATION)?.to_str().ok()?;
        let path = location.split_once("://").map_or(location, |(_, rest)| rest.find('/').map_or("/", |at| &rest[at..]));
        Some(format!("http://{}{path}", self.authority))
    }

    /// A manifest by tag or digest; none when it is not there.
    pub async fn manifest(&self, repository: &str, reference: &str) -> Result<Option<Manifest>, RegistryError> {
        let accept = format!("{MANIFEST_OCI}, {MANIFEST_DOCKER}");
        let answer = self
            .request(Method::GET, self.url(&format!("{repository}/manifests/{reference}")))
            .header(header::ACCEPT, accept)
            .send()
            .await?;
        match answer.status() {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => {
                let bytes = answer.bytes().await?;
                serde_json::from_slice(&bytes).map(Some).map_err(|_| RegistryError::Unexpected("asking for a manifest"))
            }
            _ => Err(refused("asking for a manifest", answer).await),
        }
    }

    /// Stores a manifest under its digest or a tag.
    pub async fn put_manifest(&self, repository: &str, reference: &str, bytes: Vec<u8>) -> Result<(), RegistryError> {
        let answer = self
            .request(Method::PUT, self.url(&format!("{repository}/manifests/{reference}")))
            .header(header::CONTENT_TYPE, MANIFEST_OCI)
            .body(bytes)
            .send()
            .await?;
        if answer.status() == StatusCode::CREATED { Ok(()) } else { Err(refused("storing a manifest", answer).await) }
    }
}

/// A manifest, as far as it matters here.
#[derive(Debug, Clone, Deserialize)]
pub struct Manifest {
    /// The image's configuration.
    pub config: Descriptor,
    /// Its layers, lowest first.
    pub layers: Vec<Descriptor>,
}

/// A blob that a manifest names.
#[derive(Debug, Clone, Deserialize)]
pub struct Descriptor {
    /// The blob's digest.
    pub digest: Digest,
    /// The blob's size in bytes.
    pub size: u64,
}

async fn refused(doing: &'static str, answer: reqwest::Response) -> RegistryError {
    let status = answer.status();
    let body = answer.text().await.unwrap_or_default().chars().filter(|c| !c.is_control()).take(300).collect();
    RegistryError::Refused { doing, status, body }
}
