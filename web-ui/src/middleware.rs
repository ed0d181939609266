//! What surrounds every request: size and time limits, the caller, the check of foreign pages, security headers, a log line.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use model::{Code, UserError};

use crate::caller::{self, Access, Caller, Proof};
use crate::extract::MAX_BODY;
use crate::problem::{Problem, no_such_path};
use crate::{Web, pages, stream_limits};

const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'; manifest-src 'self'; require-trusted-types-for 'script'; \
    trusted-types slipway";

/// Puts the guards around the routes; the outermost stands last.
pub(crate) fn around(routes: Router<Arc<Web>>, web: Arc<Web>, access: Access) -> Router {
    routes
        .fallback(nothing)
        .method_not_allowed_fallback(not_that_method)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn(to_its_end))
        .layer(middleware::from_fn_with_state(web.clone(), stream_limits::limit))
        .layer(middleware::from_fn(foreign_pages))
        .layer(middleware::from_fn_with_state((web.clone(), access), caller::find))
        .layer(middleware::from_fn_with_state(web.clone(), time_limit))
        .layer(middleware::from_fn_with_state(web.clone(), pages::error_pages::render))
        .layer(middleware::from_fn_with_state(web.clone(), headers))
        .with_state(web)
}

fn is_api(path: &str) -> bool {
    path.starts_with("/api/") || path == "/healthz"
}

async fn nothing(request: Request) -> Response {
    let path = request.uri().path();
    if is_api(path) || request.extensions().get::<Caller>().is_some_and(|caller| caller.proof == Proof::Known) {
        return Problem(no_such_path(path)).into_response();
    }
    pages::error_pages::not_found(path)
}

async fn not_that_method(request: Request) -> Response {
    let user_error = UserError::new(Code::BadRequest, format!("`{}` can not be done here", request.method()));
    let mut response = Problem(user_error).into_response();
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    response
}

/// Changes run in a task of their own: a client that leaves in the middle must not leave half a change.
async fn to_its_end(request: Request, next: Next) -> Response {
    if request.method().is_safe() {
        return next.run(request).await;
    }
    let path = request.uri().path().to_owned();
    match tokio::spawn(next.run(request)).await {
        Ok(response) => response,
        Err(error) => {
            tracing::error!(%error, %path, "a request broke");
            Problem(UserError::internal("request")).into_response()
        }
    }
}

/// Refuses changes that a foreign page makes a browser send with the cookie, and foreign sign-ins.
async fn foreign_pages(request: Request, next: Next) -> Response {
    let proof = request.extensions().get::<Caller>().map_or(Proof::None, |caller| caller.proof);
    let by_browser = match proof {
        Proof::Cookie => true,
        Proof::None => !is_api(request.uri().path()) || request.headers().contains_key("sec-fetch-site"),
        Proof::Token | Proof::Known => false,
    };
    if by_browser && !request.method().is_safe() && !is_own(request.headers()) {
        return Problem(
            UserError::new(Code::NotAllowed, "the request was made by another page")
                .why("Its origin is not this dashboard's.")
                .next("open the dashboard itself and try again"),
        )
        .into_response();
    }
    next.run(request).await
}

/// Whether a browser says that the request came from one of our own pages. Browsers say so by `Sec-Fetch-Site` where they
/// trust the connection, and by `Origin` everywhere.
fn is_own(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin";
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    let origin = origin.and_then(|origin| origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")));
    origin.is_some() && origin == host
}

/// An answer must have begun in time; what streams goes on.
async fn time_limit(State(web): State<Arc<Web>>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(web.config.request_timeout, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let user_error = UserError::new(Code::ClientTimeout, "the request took too long")
                .why("It was not read, or not answered, in time. A change that had begun goes on.")
                .next("try again");
            let mut response = Problem(user_error).into_response();
            *response.status_mut() = StatusCode::REQUEST_TIMEOUT;
            response
        }
    }
}

/// Headers that make browsers keep to the rules, and the log line.
async fn headers(State(web): State<Arc<Web>>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = next.run(request).await;
    let set = [
        (header::CONTENT_SECURITY_POLICY, CSP),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        // Not `no-referrer`: browsers would then send `Origin: null` with our own forms.
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ];
    let headers = response.headers_mut();
    for (name, value) in set {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if web.config.https {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    // Everything here is somebody's; what is everybody's says so itself.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    let status = response.status().as_u16();
    let duration_ms = begun.elapsed().as_millis() as u64;
    if method == Method::GET && status < 500 {
        tracing::debug!(%method, path, status, duration_ms, "answered");
    } else {
        tracing::info!(%method, path, status, duration_ms, "answered");
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_pages_pass() {
        let headers = |pairs: &[(&'static str, &'static str)]| {
            pairs.iter().map(|(k, v)| (HeaderName::from_static(k), HeaderValue::from_static(v))).collect::<HeaderMap>()
        };
        assert!(is_own(&headers(&[("sec-fetch-site", "same-origin")])));
        for site in ["same-site", "cross-site", "none"] {
            assert!(!is_own(&headers(&[("sec-fetch-site", site), ("origin", "http://a"), ("host", "a")])), "{site}");
        }
        assert!(is_own(&headers(&[("origin", "http://localhost:7000"), ("host", "localhost:7000")])));
        assert!(!is_own(&headers(&[("origin", "http://shop.acme.localhost"), ("host", "localhost:7000")])));
        assert!(!is_own(&headers(&[("origin", "null"), ("host", "localhost:7000")])));
        assert!(!is_own(&headers(&[("host", "localhost:7000")])));
    }
}
