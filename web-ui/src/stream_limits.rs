//! How many streams (logs, pages that keep themselves fresh) are open at once: in total, of one user, of one client address.
//!
//! Streams have no end of their own, so they do not count against requests: a connection that becomes one gives its place back.

use std::collections::HashMap;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderValue, Method, header};
use http_body::{Frame, SizeHint};
use model::{Code, UserError, UserName};

use crate::Web;
use crate::caller::Caller;
use crate::connection_limits::{ConnectionPermit, network};
use crate::problem::Problem;

/// A response that goes on until its reader leaves carries this.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IsStream;

/// The place of the connection that a request came on.
#[derive(Clone)]
pub(crate) struct ConnectionPlace(pub(crate) Arc<Mutex<ConnectionPermit>>);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Holder {
    User(UserName),
    Address(IpAddr),
}

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    by_holder: HashMap<Holder, usize>,
}

/// The limits.
#[derive(Debug)]
pub(crate) struct StreamLimits {
    total: usize,
    per_user: usize,
    per_address: usize,
    counts: Mutex<Counts>,
}

/// A counted stream; gives its place back when dropped.
#[derive(Debug)]
struct StreamPermit {
    limits: Arc<StreamLimits>,
    holders: Vec<Holder>,
}

impl StreamLimits {
    pub(crate) fn new(total: usize, per_user: usize, per_address: usize) -> Arc<Self> {
        Arc::new(Self { total, per_user, per_address, counts: Mutex::default() })
    }

    /// A place; else whose limit is reached, in words.
    fn admit(self: &Arc<Self>, user: Option<UserName>, address: Option<IpAddr>) -> Result<StreamPermit, String> {
        let holders: Vec<Holder> = user.map(Holder::User).into_iter().chain(address.map(network).map(Holder::Address)).collect();
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.total >= self.total {
            return Err(format!("{} are open on this platform", self.total));
        }
        for holder in &holders {
            let open = counts.by_holder.get(holder).copied().unwrap_or(0);
            match holder {
                Holder::User(user) if open >= self.per_user => return Err(format!("{user} has {open} open")),
                Holder::Address(_) if open >= self.per_address => return Err(format!("{open} are open from your address")),
                _ => {}
            }
        }
        counts.total += 1;
        for holder in &holders {
            *counts.by_holder.entry(holder.clone()).or_default() += 1;
        }
        drop(counts);
        Ok(StreamPermit { limits: self.clone(), holders })
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        let mut counts = self.limits.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.total -= 1;
        for holder in &self.holders {
            if let Some(open) = counts.by_holder.get_mut(holder) {
                *open -= 1;
                if *open == 0 {
                    counts.by_holder.remove(holder);
                }
            }
        }
    }
}

/// Counts streams, and refuses those that are too many. A change's progress is never refused: what it tells of has begun.
pub(crate) async fn limit(State(web): State<Arc<Web>>, request: Request, next: Next) -> Response {
    let is_get = request.method() == Method::GET;
    let place = request.extensions().get::<ConnectionPlace>().cloned();
    let caller = request.extensions().get::<Caller>().cloned();
    let mut response = next.run(request).await;
    if !is_get || response.extensions_mut().remove::<IsStream>().is_none() {
        return response;
    }
    let address = caller.as_ref().and_then(|caller| caller.client);
    let user = caller.and_then(|caller| caller.identity).and_then(|who| who.user().cloned());
    let permit = match web.streams.admit(user, address) {
        Ok(permit) => permit,
        Err(why) => {
            return Problem(
                UserError::new(Code::TooManyTries, "too many streams of logs and pages are open")
                    .why(format!("{why}; each `logs -t`, each build that is followed and each open page of the dashboard is one."))
                    .next("close some, then try again"),
            )
            .into_response();
        }
    };
    if let Some(place) = place {
        place.0.lock().unwrap_or_else(PoisonError::into_inner).release();
    }
    let (mut parts, body) = response.into_parts();
    // Its connection has no place any more: it must not go on to another request.
    parts.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    Response::from_parts(parts, Body::new(CountedBody { body, _permit: permit }))
}

/// A body that holds a place until it is dropped.
struct CountedBody {
    body: Body,
    _permit: StreamPermit,
}

impl http_body::Body for CountedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_holds_by_itself_and_places_come_back() {
        let limits = StreamLimits::new(6, 2, 3);
        let ada = || Some(UserName::new("ada").expect("a name"));
        let at = |text: &str| Some(text.parse().expect("an address"));
        let mut open = vec![limits.admit(ada(), at("192.0.2.1")).expect("first"), limits.admit(ada(), at("192.0.2.2")).expect("second")];
        assert_eq!(limits.admit(ada(), at("192.0.2.3")).expect_err("ada's third"), "ada has 2 open");
        open.extend((0..2).map(|_| limits.admit(None, at("192.0.2.1")).expect("of an address")));
        assert_eq!(limits.admit(None, at("192.0.2.1")).expect_err("a fourth"), "3 are open from your address");
        open.extend((0..2).map(|_| limits.admit(None, None).expect("the operator's own")));
        assert_eq!(limits.admit(None, None).expect_err("a seventh"), "6 are open on this platform");
        open.clear();
        let counts = limits.counts.lock().expect("not poisoned");
        assert!(counts.total == 0 && counts.by_holder.is_empty());
    }
}
