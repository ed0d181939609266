//! Style, script and pictures, embedded. Their URLs carry a hash of their content, so that browsers keep them for good.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};

struct Asset {
    url: String,
    content_type: &'static str,
    bytes: &'static [u8],
}

const SOURCES: [(&str, &str, &str, &[u8]); 3] = [
    ("app", "css", "text/css; charset=utf-8", include_bytes!("../static/app.css")),
    ("app", "js", "text/javascript; charset=utf-8", include_bytes!("../static/app.js")),
    ("icon", "svg", "image/svg+xml", include_bytes!("../static/icon.svg")),
];

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    SOURCES
        .iter()
        .map(|(name, extension, content_type, bytes)| {
            let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
            let hash: String = digest.as_ref()[..6].iter().map(|byte| format!("{byte:02x}")).collect();
            Asset { url: format!("/static/{name}.{hash}.{extension}"), content_type, bytes }
        })
        .collect()
});

/// The URL of the asset with this extension.
pub(crate) fn url(extension: &str) -> &'static str {
    ASSETS.iter().find(|asset| asset.url.ends_with(extension)).map_or("", |asset| &asset.url)
}

/// Serves an asset. Only the exact name of now is there.
pub(crate) async fn serve(Path(name): Path<String>) -> Response {
    match ASSETS.iter().find(|asset| asset.url.strip_prefix("/static/") == Some(&name)) {
        Some(asset) => {
            let headers = [(header::CONTENT_TYPE, asset.content_type), (header::CACHE_CONTROL, "public, max-age=31536000, immutable")];
            (headers, asset.bytes).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
