//! The HTTP API (`/api/v1`, OpenAPI from the code) and the dashboard (server-rendered pages, streams over SSE).
//!
//! Owns how requests become verbs of the manager and how answers become JSON, text or pages: who calls, what a body may be,
//! what a browser may do. Must never decide a right, write a record or know a container: the manager decides, and logs of
//! instances come through the trait `Logs`, wired by the binary.

mod ansi;
mod api;
mod assets;
mod caller;
mod connection_limits;
mod extract;
mod logs;
mod middleware;
mod pages;
mod path_params;
mod problem;
mod routers;
mod serve;
mod sign_in_limit;
mod stream_limits;
mod streams;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use manager::{Identity, Manager};
use tokio_util::sync::CancellationToken;

pub use api::ROUTES;
pub use logs::{LogStream, Logs};
pub use routers::{NoRouter, Routers, Trace};
pub use serve::Bound;

/// What the HTTP side needs to know of the install.
#[derive(Debug, Clone)]
pub struct Config {
    /// Whether browsers reach it by https: cookies are then sent over https only.
    pub https: bool,
    /// Seconds within which an answer must have begun; streams go on beyond it.
    pub request_timeout: Duration,
    /// How often a stream asks whether whom it is for may still have it.
    pub recheck: Duration,
    /// Connections at once; beyond them only health is answered.
    pub connections: usize,
    /// The same for one address.
    pub connections_per_address: usize,
    /// Streams at once (logs that are followed, pages that keep themselves fresh), in total, of one user, and from one address.
    pub streams: [usize; 3],
    /// Proxies in front, whose `X-Forwarded-For` is believed.
    pub trusted: Vec<ipnet::IpNet>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            https: false,
            request_timeout: Duration::from_secs(30),
            recheck: Duration::from_secs(10),
            connections: 1_024,
            connections_per_address: 128,
            streams: [1_024, 32, 64],
            trusted: Vec::new(),
        }
    }
}

/// What every request shares.
pub(crate) struct Web {
    pub(crate) manager: Arc<Manager>,
    pub(crate) logs: Arc<dyn Logs>,
    pub(crate) routers: Arc<dyn Routers>,
    pub(crate) config: Config,
    pub(crate) sign_ins: sign_in_limit::SignInLimits,
    pub(crate) streams: Arc<stream_limits::StreamLimits>,
    pub(crate) pages: pages::Pages,
    /// Ends streams when the server stops: they have no end of their own.
    pub(crate) stop: CancellationToken,
}

/// The HTTP side of the platform.
#[derive(Clone)]
pub struct WebUi {
    web: Arc<Web>,
}

impl WebUi {
    /// Over the manager, the logs of instances, the routers, and what is configured.
    pub fn new(manager: Arc<Manager>, logs: Arc<dyn Logs>, routers: Arc<dyn Routers>, config: Config) -> Self {
        let pages = pages::Pages::new();
        let sign_ins = sign_in_limit::SignInLimits::default();
        let [total, per_user, per_address] = config.streams;
        let streams = stream_limits::StreamLimits::new(total, per_user, per_address);
        Self { web: Arc::new(Web { manager, logs, routers, config, sign_ins, streams, pages, stop: CancellationToken::new() }) }
    }

    /// API and pages for the network: callers show a token or a cookie.
    pub fn router(&self) -> Router {
        let routes = api::router().merge(pages::router());
        middleware::around(routes, self.web.clone(), caller::Access::Network)
    }

    /// The API for the control socket: whoever reaches it is the operator. The permissions of the socket file protect it.
    pub fn router_for_operator(&self) -> Router {
        self.router_for(Identity::operator("control socket"))
    }

    /// The API for somebody who has proved already who they are, such as by SSH: every request is theirs.
    pub fn router_for(&self, who: Identity) -> Router {
        middleware::around(api::router(), self.web.clone(), caller::Access::Known(Arc::new(who)))
    }
}
