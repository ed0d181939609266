//! The router: authenticates a request, parses its target, checks the caller's rights, and calls the handler.
//!
//! Must never answer anything about a repository before the caller's rights were checked.

use std::net::SocketAddr;
use std::sync::Arc;

use ::http::request::Parts;
use ::http::{HeaderName, HeaderValue, Method, Request, StatusCode, header};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::authenticator::{Authentication, Authenticator, Credentials, Grant, Right};
use crate::detached::detached;
use crate::error::RegistryError;
use crate::http::request_body::RequestBody;
use crate::http::request_context::{HandlerError, HandlerResult, RequestContext, unauthorized};
use crate::http::request_target::RequestTarget;
use crate::http::server::Server;
use crate::http::{blob_handlers, listing_handlers, manifest_handlers, upload_handlers};
use crate::oci_error::{ErrorCode, OciError};
use crate::registry::Registry;

const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");

impl Registry {
    /// The endpoint, to be served on any listener.
    pub fn router(self: &Arc<Self>, authenticator: Arc<dyn Authenticator>) -> Router {
        Router::new().fallback(dispatch).with_state(Endpoint { registry: self.clone(), authenticator })
    }

    /// Listens for clients; port 0 takes a free one.
    pub async fn bind(self: &Arc<Self>, address: SocketAddr, authenticator: Arc<dyn Authenticator>) -> Result<Server, RegistryError> {
        Server::bind(address, self.router(authenticator)).await
    }
}

#[derive(Clone)]
struct Endpoint {
    registry: Arc<Registry>,
    authenticator: Arc<dyn Authenticator>,
}

/// Every request is answered in a task of its own, which finishes its work even if the client disconnects.
async fn dispatch(State(endpoint): State<Endpoint>, request: Request<Body>) -> Response {
    detached(respond(endpoint, request)).await
}

async fn respond(endpoint: Endpoint, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let mut body = RequestBody::new(body, endpoint.registry.limits.stall);
    let result = match endpoint.authenticate(&parts).await {
        Ok((grant, anonymous)) => {
            let query = query(parts.uri.query().unwrap_or_default());
            let request = RequestContext { registry: endpoint.registry, grant, anonymous, headers: parts.headers, query };
            match RequestTarget::parse(parts.uri.path()) {
                Ok(target) => request.answer(&parts.method, target, &mut body).await,
                Err(oci_error) => Err(oci_error.into()),
            }
        }
        Err(oci_error) => Err(oci_error.into()),
    };
    let mut response = match result {
        Ok(response) => response,
        Err(error) => {
            body.drain().await;
            explain(error, &parts.method, parts.uri.path()).into_response()
        }
    };
    let headers = response.headers_mut();
    headers.insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The error for the client. Failures of the registry are logged here and nowhere else.
fn explain(error: HandlerError, method: &Method, path: &str) -> OciError {
    match error {
        HandlerError::Refused(oci_error) => oci_error,
        HandlerError::Failed(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            tracing::error!(%method, path, %cause, "could not {error}");
            if error.is_full() {
                OciError::new(ErrorCode::Full, "the registry has no room left")
            } else {
                OciError::new(ErrorCode::Internal, "the registry failed; the request can be tried again")
            }
        }
    }
}

impl Endpoint {
    async fn authenticate(&self, parts: &Parts) -> Result<(Grant, bool), OciError> {
        let credentials = match parts.headers.get(header::AUTHORIZATION) {
            Some(value) => Some(basic(value).ok_or_else(unauthorized)?),
            None => None,
        };
        let anonymous = credentials.is_none();
        match self.authenticator.authenticate(credentials).await {
            Authentication::Granted(grant) => Ok((grant, anonymous)),
            Authentication::Refused => Err(unauthorized()),
            Authentication::Unavailable => {
                let oci_error = OciError::new(ErrorCode::Unavailable, "credentials can not be checked right now");
                Err(oci_error.with(header::RETRY_AFTER, "1"))
            }
        }
    }
}

fn basic(value: &HeaderValue) -> Option<Credentials> {
    let (scheme, encoded) = value.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (user, secret) = text.split_once(':')?;
    Some(Credentials { user: user.into(), secret: secret.into() })
}

fn query(text: &str) -> Vec<(String, String)> {
    // A query that can not be parsed counts as empty; a handler that needs a parameter reports it as missing.
    let uri = ::http::Uri::builder().path_and_query(format!("/?{text}")).build().unwrap_or_default();
    axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&uri).map(|query| query.0).unwrap_or_default()
}

impl RequestContext {
    async fn answer(&self, method: &Method, target: RequestTarget, body: &mut RequestBody) -> HandlerResult {
        let right = match *method {
            Method::GET | Method::HEAD => Right::Pull,
            Method::DELETE => Right::Delete,
            _ => Right::Push,
        };
        // Every method on an upload needs the right to push.
        let right = if matches!(target, RequestTarget::Upload(..)) { Right::Push } else { right };
        if let Some(repository) = target.repository() {
            self.require(repository, right)?;
        }
        let verb = method.as_str();
        match (verb, &target) {
            ("GET" | "HEAD", RequestTarget::Base) => self.base(),
            ("GET", RequestTarget::Catalog) => listing_handlers::catalog(self).await,
            ("GET", RequestTarget::Tags(name)) => listing_handlers::tags(self, name).await,
            ("GET", RequestTarget::Referrers(name, subject)) => listing_handlers::referrers(self, name, subject).await,
            ("GET", RequestTarget::Blob(name, digest)) => blob_handlers::get(self, name, digest).await,
            ("HEAD", RequestTarget::Blob(name, digest)) => blob_handlers::head(self, name, digest).await,
            ("DELETE", RequestTarget::Blob(name, digest)) => blob_handlers::delete(self, name, digest).await,
            ("POST", RequestTarget::Uploads(name)) => upload_handlers::begin(self, name, body).await,
            ("GET", RequestTarget::Upload(name, id)) => upload_handlers::status(self, name, id).await,
            ("PATCH", RequestTarget::Upload(name, id)) => upload_handlers::patch(self, name, id, body).await,
            ("PUT", RequestTarget::Upload(name, id)) => upload_handlers::finish(self, name, id, body).await,
            ("DELETE", RequestTarget::Upload(name, id)) => upload_handlers::cancel(self, name, id).await,
            ("GET" | "HEAD", RequestTarget::Manifest(name, reference)) => {
                manifest_handlers::get(self, name, reference, verb == "HEAD").await
            }
            ("PUT", RequestTarget::Manifest(name, reference)) => manifest_handlers::put(self, name, reference, body).await,
            ("DELETE", RequestTarget::Manifest(name, reference)) => manifest_handlers::delete(self, name, reference).await,
            (_, target) => {
                let oci_error = OciError::new(ErrorCode::Unsupported, "this can not be done here");
                Err(oci_error.with(header::ALLOW, allowed(target)).into())
            }
        }
    }

    fn base(&self) -> HandlerResult {
        let json = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok((StatusCode::OK, [json], "{}").into_response())
    }
}

fn allowed(target: &RequestTarget) -> &'static str {
    match target {
        RequestTarget::Base => "GET, HEAD",
        RequestTarget::Catalog | RequestTarget::Tags(_) | RequestTarget::Referrers(..) => "GET",
        RequestTarget::Blob(..) => "GET, HEAD, DELETE",
        RequestTarget::Uploads(_) => "POST",
        RequestTarget::Upload(..) => "GET, PATCH, PUT, DELETE",
        RequestTarget::Manifest(..) => "GET, HEAD, PUT, DELETE",
    }
}
