//! Listeners: accept, one task per connection within the limits, an end in order.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::response::{IntoResponse, Response};
use http::header;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use model::{Code, UserError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::WebUi;
use crate::caller::Peer;
use crate::connection_limits::{ConnectionLimits, ConnectionPermit, Service};
use crate::problem::Problem;
use crate::stream_limits::ConnectionPlace;

/// How long a client may take for the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The same for a connection beyond the limits.
const REDUCED_HEAD_TIMEOUT: Duration = Duration::from_secs(2);
/// How long requests in flight may take to end when the server stops.
const STOP_WITHIN: Duration = Duration::from_secs(10);

enum Socket {
    Tcp(TcpListener),
    Control(UnixListener),
}

/// A bound listener, not serving yet.
pub struct Bound {
    socket: Socket,
    ui: WebUi,
}

impl WebUi {
    /// Binds the network listener.
    pub async fn bind(&self, address: SocketAddr) -> std::io::Result<Bound> {
        Ok(Bound { socket: Socket::Tcp(TcpListener::bind(address).await?), ui: self.clone() })
    }

    /// Binds the control socket; a file left by a stopped server is replaced. Only its owner may connect.
    pub fn bind_control(&self, path: &Path) -> std::io::Result<Bound> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Bound { socket: Socket::Control(listener), ui: self.clone() })
    }
}

impl Bound {
    /// The address of a network listener.
    pub fn address(&self) -> Option<SocketAddr> {
        match &self.socket {
            Socket::Tcp(listener) => listener.local_addr().ok(),
            Socket::Control(_) => None,
        }
    }

    /// Serves until `shutdown`; then ends streams, lets requests in flight end, and returns.
    pub async fn serve(self, shutdown: CancellationToken) {
        let router = match &self.socket {
            Socket::Tcp(_) => self.ui.router(),
            Socket::Control(_) => self.ui.router_for_operator(),
        };
        let config = &self.ui.web.config;
        let limits = ConnectionLimits::new(config.connections, config.connections_per_address, config.trusted.clone());
        let ending = CancellationToken::new();
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = accept(&self.socket) => accepted,
                Some(_) = connections.join_next() => continue,
                () = shutdown.cancelled() => break,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "could not accept a connection");
                    // Out of file descriptors: there is nothing to wait on, and trying at once would spin.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            // One that finds not even a reduced place is closed: its address has all that one address gets.
            if let Some(permit) = limits.admit(peer.map(|peer| peer.0.ip())) {
                connections.spawn(connection(stream, peer, router.clone(), permit, ending.clone()));
            }
        }
        self.ui.web.stop.cancel();
        ending.cancel();
        let all = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_WITHIN, all).await.is_err() {
            tracing::warn!("some requests did not end in time");
        }
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

async fn accept(socket: &Socket) -> std::io::Result<(Box<dyn Stream>, Option<Peer>)> {
    match socket {
        Socket::Tcp(listener) => {
            let (stream, address) = listener.accept().await?;
            // Streams are made of small writes that should be seen at once.
            stream.set_nodelay(true)?;
            Ok((Box::new(stream), Some(Peer(address))))
        }
        Socket::Control(listener) => Ok((Box::new(listener.accept().await?.0), None)),
    }
}

async fn connection(stream: Box<dyn Stream>, peer: Option<Peer>, router: Router, permit: ConnectionPermit, ending: CancellationToken) {
    let service = permit.service();
    let place = ConnectionPlace(Arc::new(Mutex::new(permit)));
    let held = place.clone();
    let router = match service {
        Service::Full => router,
        Service::Reduced => router.layer(axum::middleware::from_fn(only_health)),
    };
    let app = router.map_request(move |mut request: http::Request<hyper::body::Incoming>| {
        if let Some(peer) = peer {
            request.extensions_mut().insert(peer);
        }
        request.extensions_mut().insert(place.clone());
        request.map(axum::body::Body::new)
    });
    let serving = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(if service == Service::Full { HEAD_TIMEOUT } else { REDUCED_HEAD_TIMEOUT })
        .keep_alive(service == Service::Full)
        .max_headers(64)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app));
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = ending.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
    drop(held);
}

/// Beyond the limits only health is answered.
async fn only_health(request: axum::extract::Request, next: axum::middleware::Next) -> Response {
    if request.uri().path() == "/healthz" {
        return next.run(request).await;
    }
    let user_error = UserError::new(Code::TooManyTries, "too many connections are open")
        .why("The platform has as many as it serves at once, or your address has as many as one address gets.")
        .next("close some, then try again");
    let mut response = Problem(user_error).into_response();
    response.headers_mut().insert(header::RETRY_AFTER, http::HeaderValue::from_static("5"));
    response
}
