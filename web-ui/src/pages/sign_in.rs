//! Signing in and out in a browser.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use http::{HeaderValue, header};
use model::Code;
use serde::{Deserialize, Serialize};
use store::records::TokenKind;

use super::Answer;
use crate::Web;
use crate::caller::{Caller, cookie_name};
use crate::extract::{Asked, Sent};
use crate::problem::{self, Problem};

/// Seconds that a browser keeps the cookie; the token ends at the same time.
const COOKIE_SECONDS: u32 = 14 * 24 * 3_600;

#[derive(Deserialize)]
pub(crate) struct Next {
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
pub(crate) struct Credentials {
    user: String,
    password: String,
    #[serde(default)]
    next: String,
}

#[derive(Serialize, Default)]
struct Page {
    next: String,
    user: String,
    what: String,
    why: String,
}

/// Where to go after signing in: only to one of our own paths.
fn own_path(text: &str) -> &str {
    let plain = text.starts_with('/') && !text.starts_with("//") && text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    if plain { text } else { "/" }
}

fn with_cookie(web: &Web, value: &str, seconds: u32, mut response: Response) -> Result<Response, Problem> {
    let name = cookie_name(web.config.https);
    let secure = if web.config.https { "; Secure" } else { "" };
    let cookie = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}");
    let cookie = HeaderValue::from_str(&cookie).map_err(|error| manager::internal(&error))?;
    response.headers_mut().append(header::SET_COOKIE, cookie);
    Ok(response)
}

/// The form.
pub(crate) async fn page(State(web): State<Arc<Web>>, caller: Caller, Asked(next): Asked<Next>) -> Response {
    if caller.identity.is_some() {
        return Redirect::to(own_path(&next.next)).into_response();
    }
    web.pages.draw("sign_in.html", None, &Page { next: own_path(&next.next).into(), ..Page::default() })
}

/// Checks name and password. Every sign-in is a new session.
pub(crate) async fn submit(State(web): State<Arc<Web>>, caller: Caller, Sent(form): Sent<Credentials>) -> Answer {
    let signed_in = async {
        let entered = web.sign_ins.enter(caller.client, &form.user).await?;
        let token = web.manager.sign_in(&form.user, &form.password, TokenKind::Session, "browser").await?;
        drop(entered);
        Ok::<_, model::UserError>(token)
    };
    match signed_in.await {
        Ok(token) => {
            web.sign_ins.was_right(caller.client, &form.user);
            with_cookie(&web, &token, COOKIE_SECONDS, Redirect::to(own_path(&form.next)).into_response())
        }
        Err(user_error) if matches!(user_error.code, Code::NotSignedIn | Code::TooManyTries) => {
            let user: String = form.user.chars().take(64).collect();
            let status = problem::status(user_error.code);
            let page = Page { next: own_path(&form.next).into(), user, what: user_error.what, why: user_error.why };
            let mut response = web.pages.draw("sign_in.html", None, &page);
            *response.status_mut() = status;
            Ok(response)
        }
        Err(user_error) => Err(user_error.into()),
    }
}

/// Ends the session, here and on the server.
pub(crate) async fn sign_out(State(web): State<Arc<Web>>, caller: Caller) -> Answer {
    if let Some(token) = &caller.token {
        web.manager.sign_out(token).await?;
    }
    with_cookie(&web, "", 0, Redirect::to("/sign-in").into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_paths_are_gone_to() {
        assert_eq!(own_path("/builds/b-1?x=1"), "/builds/b-1?x=1");
        for foreign in ["", "//evil.example", "/\\evil.example", "https://evil.example", "javascript:alert(1)", "/a\r\nb", "/\t/evil"] {
            assert_eq!(own_path(foreign), "/", "{foreign:?}");
        }
    }
}
