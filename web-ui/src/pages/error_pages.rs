//! Error pages: what a browser is shown in place of a page that failed.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use http::Method;
use model::{Code, UserError};
use serde::Serialize;

use super::quoted;
use crate::Web;
use crate::caller::Caller;
use crate::problem::{self, Problem};

/// Turns the failure of a page into a page: to the sign-in for whoever is not signed in, else what failed and what to do.
pub(crate) async fn render(State(web): State<Arc<Web>>, request: Request, next: Next) -> Response {
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
    let mut page = web.pages.draw("refusal.html", me.as_ref(), &ErrorPage { status: status.as_u16(), error: &user_error });
    if page.status().is_success() {
        *page.status_mut() = status;
    }
    page
}

#[derive(Serialize)]
struct ErrorPage<'a> {
    status: u16,
    error: &'a UserError,
}

/// The answer when nothing is at a path.
pub(crate) fn not_found(path: &str) -> Response {
    let mut user_error = problem::no_such_path(path);
    user_error.next = vec!["go to the apps".into()];
    Problem(user_error).into_response()
}
