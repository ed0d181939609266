//! The endpoint: one request in, one answer out.
//!
//! Owns the order of questions: who is it, what is it about, may they, do it. Must never answer anything about a repository
//! before the grant was asked, and never tell a caller without rights whether it exists.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};

use crate::error::RegistryError;
use crate::grant::{Admission, Credentials, Doorkeeper, Grant, Right, Verdict};
use crate::intake::Intake;
use crate::name::RepositoryName;
use crate::problem::{Code, Problem};
use crate::registry::Registry;
use crate::target::Target;
use crate::undisturbed::undisturbed;
use crate::{blobs, discovery, manifests, uploads};

const CHALLENGE: &str = r#"Basic realm="slipway registry", charset="UTF-8""#;

const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
pub(crate) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

pub(crate) fn router(registry: Arc<Registry>, doorkeeper: Arc<dyn Doorkeeper>) -> Router {
    Router::new().fallback(dispatch).with_state(Endpoint { registry, doorkeeper })
}

#[derive(Clone)]
struct Endpoint {
    registry: Arc<Registry>,
    doorkeeper: Arc<dyn Doorkeeper>,
}

/// One request whose sender is known.
pub(crate) struct Call {
    pub(crate) registry: Arc<Registry>,
    pub(crate) grant: Grant,
    anonymous: bool,
    headers: HeaderMap,
    query: Vec<(String, String)>,
}

/// Why a request is not answered as it hoped.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It is the caller's.
    Problem(Problem),
    /// It is ours.
    Failure(RegistryError),
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<RegistryError> for Refusal {
    fn from(error: RegistryError) -> Self {
        Self::Failure(error)
    }
}

pub(crate) type Answer = Result<Response, Refusal>;

/// Every request is answered in a task of its own, which ends its work even if the caller hangs up.
async fn dispatch(State(endpoint): State<Endpoint>, request: Request<Body>) -> Response {
    undisturbed(respond(endpoint, request)).await
}

async fn respond(endpoint: Endpoint, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let mut intake = Intake::new(body, endpoint.registry.limits.stall);
    let asked = match endpoint.admit(&parts).await {
        Ok((grant, anonymous)) => {
            let query = query(parts.uri.query().unwrap_or_default());
            let call = Call { registry: endpoint.registry, grant, anonymous, headers: parts.headers, query };
            match Target::parse(parts.uri.path()) {
                Ok(target) => call.answer(&parts.method, target, &mut intake).await,
                Err(problem) => Err(problem.into()),
            }
        }
        Err(problem) => Err(problem.into()),
    };
    let mut response = match asked {
        Ok(response) => response,
        Err(refusal) => {
            intake.drain().await;
            explain(refusal, &parts.method, parts.uri.path()).into_response()
        }
    };
    let headers = response.headers_mut();
    headers.insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Turns our own failures into what a client may hear. They are logged here and nowhere else.
fn explain(refusal: Refusal, method: &Method, path: &str) -> Problem {
    match refusal {
        Refusal::Problem(problem) => problem,
        Refusal::Failure(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            tracing::error!(%method, path, %cause, "could not {error}");
            if error.is_full() {
                Problem::new(Code::Full, "the registry has no room left")
            } else {
                Problem::new(Code::Internal, "the registry failed; the request can be tried again")
            }
        }
    }
}

impl Endpoint {
    async fn admit(&self, parts: &Parts) -> Result<(Grant, bool), Problem> {
        let credentials = match parts.headers.get(header::AUTHORIZATION) {
            Some(value) => Some(basic(value).ok_or_else(unauthorized)?),
            None => None,
        };
        let anonymous = credentials.is_none();
        match self.doorkeeper.admit(credentials).await {
            Admission::Granted(grant) => Ok((grant, anonymous)),
            Admission::Refused => Err(unauthorized()),
            Admission::Unavailable => {
                let problem = Problem::new(Code::Unavailable, "credentials can not be checked right now");
                Err(problem.with(header::RETRY_AFTER, "1"))
            }
        }
    }
}

fn unauthorized() -> Problem {
    Problem::new(Code::Unauthorized, "credentials are needed").with(header::WWW_AUTHENTICATE, CHALLENGE)
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
    // What can not be read is not there; whatever needed it says so.
    let uri = http::Uri::builder().path_and_query(format!("/?{text}")).build().unwrap_or_default();
    axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&uri).map(|query| query.0).unwrap_or_default()
}

impl Call {
    async fn answer(&self, method: &Method, target: Target, intake: &mut Intake) -> Answer {
        let right = match *method {
            Method::GET | Method::HEAD => Right::Pull,
            Method::DELETE => Right::Delete,
            _ => Right::Push,
        };
        // An upload belongs to whoever pushes, in all its verbs.
        let right = if matches!(target, Target::Upload(..)) { Right::Push } else { right };
        if let Some(repository) = target.repository() {
            self.require(repository, right)?;
        }
        let verb = method.as_str();
        match (verb, &target) {
            ("GET" | "HEAD", Target::Base) => self.base(),
            ("GET", Target::Catalog) => discovery::catalog(self).await,
            ("GET", Target::Tags(name)) => discovery::tags(self, name).await,
            ("GET", Target::Referrers(name, subject)) => discovery::referrers(self, name, subject).await,
            ("GET", Target::Blob(name, digest)) => blobs::get(self, name, digest).await,
            ("HEAD", Target::Blob(name, digest)) => blobs::head(self, name, digest).await,
            ("DELETE", Target::Blob(name, digest)) => blobs::delete(self, name, digest).await,
            ("POST", Target::Uploads(name)) => uploads::begin(self, name, intake).await,
            ("GET", Target::Upload(name, id)) => uploads::status(self, name, id).await,
            ("PATCH", Target::Upload(name, id)) => uploads::patch(self, name, id, intake).await,
            ("PUT", Target::Upload(name, id)) => uploads::finish(self, name, id, intake).await,
            ("DELETE", Target::Upload(name, id)) => uploads::cancel(self, name, id).await,
            ("GET" | "HEAD", Target::Manifest(name, reference)) => manifests::get(self, name, reference, verb == "HEAD").await,
            ("PUT", Target::Manifest(name, reference)) => manifests::put(self, name, reference, intake).await,
            ("DELETE", Target::Manifest(name, reference)) => manifests::delete(self, name, reference).await,
            (_, target) => {
                let problem = Problem::new(Code::Unsupported, "this can not be done here");
                Err(problem.with(header::ALLOW, allowed(target)).into())
            }
        }
    }

    fn base(&self) -> Answer {
        let json = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok((StatusCode::OK, [json], "{}").into_response())
    }

    /// Goes on only for a caller who may do this.
    pub(crate) fn require(&self, repository: &RepositoryName, right: Right) -> Result<(), Problem> {
        match self.grant.judge(repository, right) {
            Verdict::Allowed => Ok(()),
            // Whoever has not said who they are yet may still do so.
            _ if self.anonymous => Err(unauthorized()),
            Verdict::Denied => Err(Problem::new(Code::Denied, "these credentials do not allow it")),
            Verdict::Hidden => Err(Problem::new(Code::NameUnknown, "there is no such repository")),
        }
    }

    pub(crate) fn require_catalogue(&self) -> Result<(), Problem> {
        match (self.grant.sees_catalogue(), self.anonymous) {
            (true, _) => Ok(()),
            (false, true) => Err(unauthorized()),
            (false, false) => Err(Problem::new(Code::Denied, "the catalogue is for operators")),
        }
    }

    /// The first value of a query parameter.
    pub(crate) fn parameter<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.parameters(name).next()
    }

    pub(crate) fn parameters<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.query.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A header that is text.
    pub(crate) fn header(&self, name: HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

fn allowed(target: &Target) -> &'static str {
    match target {
        Target::Base => "GET, HEAD",
        Target::Catalog | Target::Tags(_) | Target::Referrers(..) => "GET",
        Target::Blob(..) => "GET, HEAD, DELETE",
        Target::Uploads(_) => "POST",
        Target::Upload(..) => "GET, PATCH, PUT, DELETE",
        Target::Manifest(..) => "GET, HEAD, PUT, DELETE",
    }
}

/// An answer without a body.
pub(crate) fn bare<const N: usize>(status: StatusCode, headers: [(HeaderName, String); N]) -> Response {
    let mut response = status.into_response();
    for (name, value) in headers {
        // Values are made of names, digests and numbers, all of which can stand in a header.
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().append(name, value);
        }
    }
    response
}
