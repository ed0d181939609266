//! The API as the command line speaks it: over HTTP, over the control socket, or straight into the server's own router.

use std::path::Path;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use model::{Code, UserError};
use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tower::ServiceExt;

/// Why a call gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The server said no, in words.
    #[error("{0}")]
    UserError(Box<UserError>),
    /// The server said no, and people have read it already: only the exit code is left to tell.
    #[error("{0}")]
    Told(Box<UserError>),
    /// The server did not answer, or not as the API does.
    #[error("could not reach the server at {server}: {why}")]
    Unreachable { server: String, why: String },
}

impl From<UserError> for CallError {
    fn from(user_error: UserError) -> Self {
        Self::UserError(Box::new(user_error))
    }
}

enum Transport {
    Http { http: reqwest::Client, base: String, token: Option<String> },
    Router(axum::Router),
}

/// A server that can be called.
pub struct Client {
    transport: Transport,
    name: String,
}

/// A streamed body.
pub type Pieces = BoxStream<'static, Result<Bytes, String>>;

impl Client {
    /// Over HTTP.
    pub fn http(base: &str, token: Option<String>) -> Self {
        let base = base.trim_end_matches('/').to_owned();
        let builder = reqwest::Client::builder();
        // Reading the machine's certificates takes longer than most verbs; only https needs them.
        let builder = if base.starts_with("https:") { builder } else { builder.tls_certs_only([]) };
        let http = builder.build().expect("a provider of TLS is installed, and nothing else can be missing");
        Self { name: base.clone(), transport: Transport::Http { http, base, token } }
    }

    /// Over the control socket of this machine.
    pub fn socket(path: &Path) -> Result<Self, CallError> {
        let name = path.display().to_string();
        let http = reqwest::Client::builder()
            .tls_certs_only([])
            .unix_socket(path)
            .build()
            .map_err(|error| CallError::Unreachable { server: name.clone(), why: error.to_string() })?;
        Ok(Self { name, transport: Transport::Http { http, base: "http://localhost".into(), token: None } })
    }

    /// Into a router in this process.
    pub fn router(router: axum::Router) -> Self {
        Self { name: "this server".into(), transport: Transport::Router(router) }
    }

    /// What is called, for people.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn unreachable(&self, why: impl ToString) -> CallError {
        CallError::Unreachable { server: self.name.clone(), why: why.to_string() }
    }

    /// Sends a request and gives the body as it streams; an error status becomes the failure in its body.
    pub async fn stream(&self, method: Method, path: &str, body: Payload) -> Result<Pieces, CallError> {
        let (status, pieces) = match &self.transport {
            Transport::Http { http, base, token } => {
                let mut request = http.request(method, format!("{base}{path}"));
                if let Some(token) = token {
                    request = request.bearer_auth(token);
                }
                request = match body {
                    Payload::None => request,
                    Payload::Json(value) => request.json(&value),
                    Payload::Text(text) => request.header("content-type", "text/plain").body(text),
                };
                let response = request.send().await.map_err(|error| self.unreachable(plain(&error)))?;
                let status = response.status().as_u16();
                (status, response.bytes_stream().map_err(|error| plain(&error)).boxed())
            }
            Transport::Router(router) => {
                let builder = axum::http::Request::builder().method(method).uri(path).header("host", "localhost");
                let request = match body {
                    Payload::None => builder.body(Body::empty()),
                    Payload::Json(value) => builder.header("content-type", "application/json").body(Body::from(value.to_string())),
                    Payload::Text(text) => builder.header("content-type", "text/plain").body(Body::from(text)),
                };
                let request = request.map_err(|error| self.unreachable(error))?;
                let response = router.clone().oneshot(request).await.map_err(|error| self.unreachable(error))?;
                let status = response.status().as_u16();
                (status, response.into_body().into_data_stream().map_err(|error| error.to_string()).boxed())
            }
        };
        if (200..300).contains(&status) {
            return Ok(pieces);
        }
        let bytes = self.collect(pieces).await?;
        match serde_json::from_slice::<UserError>(&bytes) {
            Ok(user_error) => Err(user_error.into()),
            Err(_) => Err(UserError::new(Code::BadRequest, format!("the server answered with status {status}"))
                .why("The answer is not one of Slipway's API.")
                .next("check the address: slipway --server http://host:port whoami")
                .into()),
        }
    }

    async fn collect(&self, mut pieces: Pieces) -> Result<Vec<u8>, CallError> {
        let mut bytes = Vec::new();
        while let Some(piece) = pieces.next().await {
            bytes.extend_from_slice(&piece.map_err(|why| self.unreachable(why))?);
        }
        Ok(bytes)
    }

    /// Sends a request and reads a JSON answer; an empty answer reads as null.
    pub async fn call<T: DeserializeOwned>(&self, method: Method, path: &str, body: Payload) -> Result<T, CallError> {
        let pieces = self.stream(method, path, body).await?;
        let bytes = self.collect(pieces).await?;
        let bytes: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
        serde_json::from_slice(bytes).map_err(|error| self.unreachable(format!("its answer can not be read: {error}")))
    }

    /// GET.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CallError> {
        self.call(Method::GET, path, Payload::None).await
    }

    /// POST of JSON.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: Value) -> Result<T, CallError> {
        self.call(Method::POST, path, Payload::Json(body)).await
    }
}

/// A server's address as it was typed, if it can be one.
pub fn server_address(text: &str) -> Result<&str, CallError> {
    let address = text.trim_end_matches('/');
    match reqwest::Url::parse(address) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(address),
        _ => Err(UserError::new(Code::BadRequest, format!("`{}` is not the address of a server", text.escape_debug()))
            .why("An address has a scheme, a host and, mostly, a port.")
            .next("slipway --server http://host:7080 whoami")
            .into()),
    }
}

/// What is sent.
pub enum Payload {
    None,
    Json(Value),
    Text(String),
}

/// The innermost cause: the outer ones only say that a request failed.
fn plain(error: &dyn std::error::Error) -> String {
    let mut last: &dyn std::error::Error = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

/// A value as one part of a path or a query.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_is_refused_before_it_is_called() {
        for text in ["nonsense", "", "localhost:7080", "ftp://host", "http://"] {
            assert!(matches!(server_address(text), Err(CallError::UserError(user_error)) if user_error.code == Code::BadRequest), "{text}");
        }
        assert_eq!(server_address("http://host:7080/").expect("an address"), "http://host:7080");
    }
}
