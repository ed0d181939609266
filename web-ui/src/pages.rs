//! The pages: their routes, how they are drawn, and how a failure becomes a page in the same style.

use std::sync::Arc;

use axum::Router;
use axum::extract::FromRequestParts;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use http::StatusCode;
use http::request::Parts;
use manager::Identity;
use model::UserName;
use serde::Serialize;

use crate::caller::Caller;
use crate::problem::{Problem, not_signed_in};
use crate::{Web, assets};

mod account;
mod app;
mod app_actions;
mod app_view;
mod build;
mod diff;
mod error_codes;
pub(crate) mod error_pages;
mod health;
mod home;
mod logs;
mod markdown;
mod membership;
mod page_refresh;
mod relative_time;
mod sign_in;

/// The templates, read once.
pub(crate) struct Pages(tera::Tera);

const TEMPLATES: [(&str, &str); 11] = [
    ("base.html", include_str!("../pages/base.html")),
    ("components.html", include_str!("../pages/components.html")),
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
        .route("/account/invitations/accept", post(membership::accept))
        .route("/account/invitations/decline", post(membership::decline))
        .route("/account/memberships/leave", post(membership::leave))
        .route("/apps/{tenant}/{app}", get(app::redirect))
        .route("/apps/{tenant}/{app}/{env}", get(app::page))
        .route("/apps/{tenant}/{app}/{env}/live", get(app::live))
        .route("/apps/{tenant}/{app}/{env}/diff", get(diff::page))
        .route("/apps/{tenant}/{app}/{env}/logs", get(logs::page))
        .route("/apps/{tenant}/{app}/{env}/logs/stream", get(logs::stream))
        .route("/apps/{tenant}/{app}/{env}/scale", post(app_actions::scale))
        .route("/apps/{tenant}/{app}/{env}/restart", post(app_actions::restart))
        .route("/apps/{tenant}/{app}/{env}/rollback", post(app_actions::rollback))
        .route("/apps/{tenant}/{app}/{env}/retry", post(app_actions::retry))
        .route("/apps/{tenant}/{app}/{env}/maintenance", post(app_actions::maintenance))
        .route("/apps/{tenant}/{app}/{env}/config", post(app_actions::set_config))
        .route("/apps/{tenant}/{app}/{env}/domains", post(app_actions::add_domain))
        .route("/apps/{tenant}/{app}/{env}/domains/remove", post(app_actions::remove_domain))
        .route("/builds/{build}", get(build::page))
        .route("/builds/{build}/stream", get(build::stream))
        .route("/builds/{build}/log", get(build::text))
        .route("/builds/{build}/cancel", post(build::cancel))
        .route("/errors", get(error_codes::list))
        .route("/errors/{code}", get(error_codes::page))
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

/// The user who asks. The operator's socket is nobody's account.
fn myself(who: &Identity) -> Result<UserName, Problem> {
    who.user().cloned().ok_or_else(|| Problem(not_signed_in()))
}

/// Back to the page of the account, which says what was done.
fn to_account(done: &str) -> Answer {
    Ok(Redirect::to(&format!("/account?said={done}")).into_response())
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

/// A page, or what stood in its way.
pub(crate) type Answer = Result<Response, Problem>;
