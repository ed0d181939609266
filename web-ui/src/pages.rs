//! The pages: their routes, how they are drawn, and how a failure becomes a page in the same style.

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use http::request::Parts;
use http::{Method, StatusCode};
use manager::Identity;
use model::{Code, UserError};
use serde::Serialize;

use crate::caller::Caller;
use crate::problem::{self, Problem, not_signed_in};
use crate::{Web, assets};

mod account;
mod app;
mod app_actions;
mod app_view;
mod build;
mod diff;
mod errors;
mod health;
mod home;
mod live;
mod logs;
mod markdown;
mod sign_in;
mod when;

/// The templates, read once.
pub(crate) struct Pages(tera::Tera);

const TEMPLATES: [(&str, &str); 11] = [
    ("base.html", include_str!("../pages/base.html")),
    ("parts.html", include_str!("../pages/parts.html")),
    ("sign_in.html", include_str!("../pages/sign_in.html")),
    ("home.html", include_str!("../pages/home.html")),
    ("app.html", include_str!("../pages/app.html")),
    ("diff.html", include_str!("../pages/diff.html")),
    ("build.html", include_str!("../pages/build.html")),
    ("logs.html", include_str!("../pages/logs.html")),
    ("account.html", include_str!("../pages/account.html")),
    ("error.html", include_str!("../pages/error.html")),
    ("refusal.html", include_str!("../pages/refusal.html")),
];

impl Pages {
    /// # Panics
    /// When an embedded template is broken, which every test of a page would show.
    pub(crate) fn new() -> Self {
        let mut tera = tera::Tera::default();
        tera.add_raw_templates(TEMPLATES).expect("the embedded templates are valid");
        let context = tera.global_context();
        context.insert("css", assets::url("css"));
        context.insert("js", assets::url("js"));
        context.insert("icon", assets::url("svg"));
        context.insert("version", env!("CARGO_PKG_VERSION"));
        Self(tera)
    }

    fn draw(&self, template: &str, me: Option<&Identity>, page: &impl Serialize) -> Response {
        let mut context = tera::Context::new();
        let me = me.map(|who| who.actor.to_string()).unwrap_or_default();
        context.insert("me", &me);
        context.insert("page", page);
        match self.0.render(template, &context) {
            Ok(html) => Html(html).into_response(),
            Err(error) => {
                tracing::error!(%error, template, "a page could not be drawn");
                (StatusCode::INTERNAL_SERVER_ERROR, "the page could not be drawn; the server's log has the cause\n").into_response()
            }
        }
    }
}

/// The routes of the pages.
pub(crate) fn router() -> Router<Arc<Web>> {
    Router::new()
        .route("/", get(home::page))
        .route("/live", get(home::live))
        .route("/sign-in", get(sign_in::page).post(sign_in::submit))
        .route("/sign-out", post(sign_in::sign_out))
        .route("/account", get(account::page))
        .route("/account/keys", post(account::add_key))
        .route("/account/keys/remove", post(account::remove_key))
        .route("/account/tokens", post(account::create_token))
        .route("/account/tokens/revoke", post(account::revoke_token))
        .route("/account/password", post(account::set_password))
        .route("/apps/{tenant}/{app}", get(app::redirect))
        .route("/apps/{tenant}/{app}/{env}", get(app::page))
        .route("/apps/{tenant}/{app}/{env}/live", get(app::live))
        .route("/apps/{tenant}/{app}/{env}/diff", get(diff::page))
        .route("/apps/{tenant}/{app}/{env}/logs", get(logs::page))
        .route("/apps/{tenant}/{app}/{env}/logs/stream", get(logs::stream))
        .route("/apps/{tenant}/{app}/{env}/scale", post(app_actions::scale))
        .route("/apps/{tenant}/{app}/{env}/restart", post(app_actions::restart))
        .route("/apps/{tenant}/{app}/{env}/rollback", post(app_actions::rollback))
        .route("/apps/{tenant}/{app}/{env}/config", post(app_actions::set_config))
        .route("/apps/{tenant}/{app}/{env}/domains", post(app_actions::add_domain))
        .route("/apps/{tenant}/{app}/{env}/domains/remove", post(app_actions::remove_domain))
        .route("/builds/{build}", get(build::page))
        .route("/builds/{build}/stream", get(build::stream))
        .route("/builds/{build}/log", get(build::text))
        .route("/builds/{build}/cancel", post(build::cancel))
        .route("/errors", get(errors::list))
        .route("/errors/{code}", get(errors::page))
        .route("/static/{name}", get(assets::serve))
        .route("/favicon.ico", get(|| async { Redirect::permanent(assets::url("svg")) }))
}

/// Somebody who is signed in; anybody else is sent to sign in.
pub(crate) struct Visitor(pub(crate) Identity);

impl<S: Send + Sync> FromRequestParts<S> for Visitor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let identity = parts.extensions.get::<Caller>().and_then(|caller| caller.identity.clone());
        identity.map(Visitor).ok_or_else(|| Problem(not_signed_in()))
    }
}

/// Turns the failure of a page into a page: to the sign-in for whoever is not signed in, else what failed and what to do.
pub(crate) async fn dress(State(web): State<Arc<Web>>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if path.starts_with("/api/") || path == "/healthz" {
        return next.run(request).await;
    }
    let is_get = request.method() == Method::GET;
    let is_stream = path.ends_with("/stream") || path.ends_with("/live");
    let here = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let mut response = next.run(request).await;
    let Some(user_error) = response.extensions_mut().remove::<UserError>() else { return response };
    let caller = response.extensions().get::<Caller>().cloned();
    if is_stream {
        return response;
    }
    if user_error.code == Code::NotSignedIn {
        let back = if is_get && here != "/" { format!("/sign-in?next={}", quoted(&here)) } else { "/sign-in".into() };
        return Redirect::to(&back).into_response();
    }
    let me = caller.and_then(|caller| caller.identity);
    let status = response.status();
    let mut page = web.pages.draw("refusal.html", me.as_ref(), &TroublePage { status: status.as_u16(), user_error: &user_error });
    if page.status().is_success() {
        *page.status_mut() = status;
    }
    page
}

#[derive(Serialize)]
struct TroublePage<'a> {
    status: u16,
    user_error: &'a UserError,
}

/// A value as one part of a query.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// The answer when nothing is at a path.
pub(crate) fn nothing(path: &str) -> Response {
    let mut user_error = problem::no_such_path(path);
    user_error.next = vec!["go to the apps".into()];
    Problem(user_error).into_response()
}

/// A page, or what stood in its way.
pub(crate) type Answer = Result<Response, Problem>;
