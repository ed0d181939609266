//! Who calls: a token, a browser's session, or somebody who is known by the way they came. Found once per request.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, header};
use ipnet::IpNet;
use manager::Identity;

use crate::Web;
use crate::connection_limits::is_trusted;
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
    /// The address of the client, behind trusted proxies too; none on the control socket.
    pub(crate) client: Option<IpAddr>,
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
    let peer = request.extensions().get::<Peer>().map(|peer| peer.0.ip());
    let client = peer.map(|peer| client_address(peer, request.headers(), &web.config.trusted));
    let caller = match access {
        Access::Known(who) => Caller { client, identity: Some((*who).clone()), proof: Proof::Known, token: None },
        Access::Network => match of_network(&web, request.headers(), client).await {
            Ok(caller) => caller,
            Err(problem) => return problem.into_response(),
        },
    };
    request.extensions_mut().insert(caller.clone());
    let mut response = next.run(request).await;
    response.extensions_mut().insert(caller);
    response
}

/// Where a client is: the peer, or behind a trusted proxy the last address of `X-Forwarded-For` that is no trusted proxy itself. What
/// stands further left was written by the client.
fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let mut client = peer.to_canonical();
    let lists: Vec<&str> = headers.get_all("x-forwarded-for").iter().filter_map(|list| list.to_str().ok()).collect();
    for entry in lists.iter().rev().flat_map(|list| list.rsplit(',')) {
        if !is_trusted(trusted, client) {
            break;
        }
        let Ok(next) = entry.trim().parse::<IpAddr>() else { break };
        client = next.to_canonical();
    }
    client
}

async fn of_network(web: &Web, headers: &HeaderMap, client: Option<IpAddr>) -> Result<Caller, Problem> {
    let address = client.map_or_else(|| "unknown".into(), |client| client.to_string());
    // A token in the header goes before a cookie: a client that shows one means it, even when it has ended.
    let (token, proof, channel) = match (bearer(headers), cookie(headers, cookie_name(web.config.https))) {
        (Some(token), _) => (token, Proof::Token, "api"),
        (None, Some(token)) => (token, Proof::Cookie, "web"),
        (None, None) => return Ok(Caller { identity: None, proof: Proof::None, token: None, client }),
    };
    let identity = web.manager.identify_token(token, &format!("{channel} {address}")).await?;
    Ok(Caller { identity, proof, token: Some(token.to_owned()), client })
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
    fn a_client_behind_proxies_is_the_last_one_that_is_no_proxy() {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().expect("a network"), "192.0.2.9/32".parse().expect("an address")];
        let at = |peer: &str, lists: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for list in lists {
                headers.append("x-forwarded-for", HeaderValue::from_static(list));
            }
            client_address(peer.parse().expect("an address"), &headers, &trusted).to_string()
        };
        assert_eq!(at("203.0.113.7", &["198.51.100.1"]), "203.0.113.7", "a peer that is no proxy speaks for itself");
        assert_eq!(at("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(at("10.0.0.1", &["1.1.1.1, 198.51.100.1"]), "198.51.100.1", "what the client wrote stands further left");
        assert_eq!(at("::ffff:10.0.0.1", &["1.1.1.1, 198.51.100.1, 192.0.2.9"]), "198.51.100.1");
        assert_eq!(at("10.0.0.1", &["1.1.1.1", "198.51.100.2"]), "198.51.100.2");
        assert_eq!(at("10.0.0.1", &["198.51.100.1, nonsense"]), "10.0.0.1");
        assert_eq!(at("10.0.0.1", &["10.0.0.2, 10.0.0.3"]), "10.0.0.2");
    }

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
