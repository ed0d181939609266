//! Who calls: a token, a browser's session, or somebody who is known by the way they came. Found once per request.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, header};
use manager::Identity;

use crate::Web;
use crate::problem::{Problem, not_signed_in};

/// How a request came in.
#[derive(Debug, Clone)]
pub(crate) enum Access {
    /// A TCP listener: callers prove who they are.
    Network,
    /// Inside: somebody else has proved already who it is, such as the permissions of the control socket, or SSH.
    Known(Arc<Identity>),
}

/// The address of the other end; absent on the control socket.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// How a caller has proved who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// Not at all.
    None,
    /// By a token in the `Authorization` header, which no foreign page can make a browser send.
    Token,
    /// By a cookie, which every page can make a browser send.
    Cookie,
    /// Somebody else has proved it.
    Known,
}

/// Who calls, as far as is known.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) identity: Option<Identity>,
    pub(crate) proof: Proof,
    /// The token that was shown, for signing out.
    pub(crate) token: Option<String>,
    /// The address of the other end as records show it.
    pub(crate) address: String,
}

/// The name of the session cookie. With the prefix, browsers refuse it from any other host or without https.
pub(crate) fn cookie_name(https: bool) -> &'static str {
    if https { "__Host-slipway" } else { "slipway" }
}

/// The token in the `Authorization` header.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The token in the session cookie.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(key, value)| (key == name && !value.is_empty()).then_some(value))
}

/// Puts the caller into the request.
pub(crate) async fn find(State((web, access)): State<(Arc<Web>, Access)>, mut request: Request, next: Next) -> Response {
    let address = request.extensions().get::<Peer>().map_or_else(|| "unknown".into(), |peer| peer.0.ip().to_string());
    let caller = match access {
        Access::Known(who) => Caller { address: who.origin.0.clone(), identity: Some((*who).clone()), proof: Proof::Known, token: None },
        Access::Network => match of_network(&web, request.headers(), address).await {
            Ok(caller) => caller,
            Err(problem) => return problem.into_response(),
        },
    };
    request.extensions_mut().insert(caller.clone());
    let mut response = next.run(request).await;
    response.extensions_mut().insert(caller);
    response
}

async fn of_network(web: &Web, headers: &HeaderMap, address: String) -> Result<Caller, Problem> {
    // A token in the header goes before a cookie: a client that shows one means it, even when it has ended.
    let (token, proof, channel) = match (bearer(headers), cookie(headers, cookie_name(web.config.https))) {
        (Some(token), _) => (token, Proof::Token, "api"),
        (None, Some(token)) => (token, Proof::Cookie, "web"),
        (None, None) => return Ok(Caller { identity: None, proof: Proof::None, token: None, address }),
    };
    let identity = web.manager.identify_token(token, &format!("{channel} {address}")).await?;
    Ok(Caller { identity, proof, token: Some(token.to_owned()), address })
}

/// Ends when the caller may no longer read the logs of an app: signed out, out of the team, or the app is gone. A stream
/// ends with it.
pub(crate) async fn turned_away(web: Arc<Web>, caller: Caller, app: model::AppEnv) {
    let Some(token) = caller.token else {
        // Known by other means, for as long as the connection is there.
        return std::future::pending().await;
    };
    let origin = caller.identity.map(|who| who.origin.0).unwrap_or_default();
    let mut tick = tokio::time::interval(web.config.recheck);
    tick.tick().await;
    loop {
        tick.tick().await;
        let who = match web.manager.identify_token(&token, &origin).await {
            Ok(Some(who)) => who,
            Ok(None) => return,
            // A database that is away takes nobody's right.
            Err(_) => continue,
        };
        match web.manager.may_read_logs(&who, &app).await {
            Err(user_error) if matches!(user_error.code, model::Code::NotAllowed | model::Code::UnknownApp) => return,
            _ => {}
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Caller>().cloned().ok_or_else(|| Problem(not_signed_in()))
    }
}

/// The identity of a caller who has one; anybody else is refused.
pub(crate) struct Who(pub(crate) Identity);

impl<S: Send + Sync> FromRequestParts<S> for Who {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        caller.identity.map(Who).ok_or_else(|| Problem(not_signed_in()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn tokens_are_found_where_they_may_be() {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("bearer slw_a"));
        headers.append(header::COOKIE, HeaderValue::from_static("theme=dark; slipway=slw_b"));
        assert_eq!(bearer(&headers), Some("slw_a"));
        assert_eq!(cookie(&headers, "slipway"), Some("slw_b"));
        assert_eq!(cookie(&headers, "__Host-slipway"), None);
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Basic slw_a"));
        assert_eq!(bearer(&headers), None);
    }
}
