//! The least of a registry that Docker and the builder need, in memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use model::Digest;

#[derive(Default)]
struct Store {
    blobs: HashMap<String, Bytes>,
    known: HashMap<(String, String), ()>,
    uploads: HashMap<String, Vec<u8>>,
    manifests: HashMap<(String, String), (String, Bytes)>,
}

/// Starts one; gives its host and port.
pub async fn start() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let router = Router::new().fallback(handle).layer(DefaultBodyLimit::disable()).with_state(Arc::<Mutex<Store>>::default());
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn handle(State(store): State<Arc<Mutex<Store>>>, request: Request) -> Response {
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let query: HashMap<String, String> = request
        .uri()
        .query()
        .unwrap_or_default()
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.replace("%3A", ":").replace("%2F", "/")))
        .collect();
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let body = axum::body::to_bytes(request.into_body(), usize::MAX).await.unwrap_or_default();
    let mut store = store.lock().expect("no handler panics");
    let Some(rest) = path.strip_prefix("/v2/") else { return StatusCode::NOT_FOUND.into_response() };
    if rest.is_empty() {
        return StatusCode::OK.into_response();
    }
    if let Some((name, id)) = rest.split_once("/blobs/uploads/") {
        return upload(&mut store, &method, name, id, &query, &body);
    }
    if let Some((name, digest)) = rest.split_once("/blobs/") {
        let known = store.known.contains_key(&(name.to_owned(), digest.to_owned()));
        return match store.blobs.get(digest).filter(|_| known) {
            Some(blob) if method == Method::HEAD => ([(header::CONTENT_LENGTH, blob.len())], Body::empty()).into_response(),
            Some(blob) => blob.clone().into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        };
    }
    let Some((name, reference)) = rest.split_once("/manifests/") else { return StatusCode::NOT_FOUND.into_response() };
    if method == Method::PUT {
        let digest = Digest::of(&body).to_string();
        for key in [reference.to_owned(), digest.clone()] {
            store.manifests.insert((name.to_owned(), key), (kind.clone(), body.clone()));
        }
        return (StatusCode::CREATED, [("docker-content-digest", digest)]).into_response();
    }
    match store.manifests.get(&(name.to_owned(), reference.to_owned())) {
        Some((kind, bytes)) => {
            let digest = Digest::of(bytes).to_string();
            let length = bytes.len().to_string();
            ([("content-type", kind.clone()), ("docker-content-digest", digest), ("content-length", length)], bytes.clone()).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn upload(store: &mut Store, method: &Method, name: &str, id: &str, query: &HashMap<String, String>, body: &[u8]) -> Response {
    let place = |id: &str| [(header::LOCATION, format!("/v2/{name}/blobs/uploads/{id}"))];
    match *method {
        Method::POST => {
            if let (Some(digest), Some(from)) = (query.get("mount"), query.get("from"))
                && store.known.contains_key(&(from.clone(), digest.clone()))
            {
                store.known.insert((name.to_owned(), digest.clone()), ());
                return (StatusCode::CREATED, [("docker-content-digest", digest.clone())]).into_response();
            }
            let id = format!("u{}", store.uploads.len());
            store.uploads.insert(id.clone(), Vec::new());
            (StatusCode::ACCEPTED, place(&id), [("docker-upload-uuid", id)]).into_response()
        }
        Method::PATCH => {
            let upload = store.uploads.entry(id.to_owned()).or_default();
            upload.extend_from_slice(body);
            let end = upload.len().saturating_sub(1);
            (StatusCode::ACCEPTED, place(id), [("range", format!("0-{end}"))]).into_response()
        }
        Method::PUT => {
            let mut bytes = std::mem::take(store.uploads.entry(id.to_owned()).or_default());
            bytes.extend_from_slice(body);
            let digest = Digest::of(&bytes).to_string();
            if query.get("digest") != Some(&digest) {
                return StatusCode::BAD_REQUEST.into_response();
            }
            store.known.insert((name.to_owned(), digest.clone()), ());
            store.blobs.insert(digest.clone(), bytes.into());
            (StatusCode::CREATED, [("docker-content-digest", digest)]).into_response()
        }
        _ => StatusCode::NO_CONTENT.into_response(),
    }
}
