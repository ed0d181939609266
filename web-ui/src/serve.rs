//! Listeners: accept, one task per connection, a bounded number, an end in order.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::WebUi;
use crate::caller::Peer;

/// How long a client may take for the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
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
        let places = Arc::new(Semaphore::new(self.ui.web.config.connections));
        let ending = CancellationToken::new();
        loop {
            let place = tokio::select! {
                place = places.clone().acquire_owned() => place.expect("the semaphore is never closed"),
                () = shutdown.cancelled() => break,
            };
            let accepted = tokio::select! {
                accepted = accept(&self.socket) => accepted,
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
            let (router, ending) = (router.clone(), ending.clone());
            tokio::spawn(async move {
                connection(stream, peer, router, ending).await;
                drop(place);
            });
        }
        self.ui.web.stop.cancel();
        ending.cancel();
        let all = u32::try_from(self.ui.web.config.connections).unwrap_or(u32::MAX);
        if tokio::time::timeout(STOP_WITHIN, places.acquire_many(all)).await.is_err() {
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

async fn connection(stream: Box<dyn Stream>, peer: Option<Peer>, router: Router, ending: CancellationToken) {
    let service = router.map_request(move |mut request: http::Request<hyper::body::Incoming>| {
        if let Some(peer) = peer {
            request.extensions_mut().insert(peer);
        }
        request.map(axum::body::Body::new)
    });
    let serving = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(64)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
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
}
