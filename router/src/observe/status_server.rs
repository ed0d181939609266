//! The status port: metrics, liveness, and which way a request would take. For operators; it listens where tenants do not come.
//!
//! Owns a listener apart from those of apps, and runs on the control runtime: what asks here costs the request path nothing.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::observe::exposition;
use crate::router::Handle;

/// Connections at once; a scraper needs one.
const MAX_CONNECTIONS: usize = 64;

/// A bound status port.
#[derive(Debug)]
pub struct StatusServer {
    listener: TcpListener,
    handle: Handle,
}

impl StatusServer {
    /// Listens.
    pub async fn bind(address: SocketAddr, handle: Handle) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(address).await?, handle })
    }

    /// Where it listens.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `shutdown`.
    pub async fn serve(self, shutdown: CancellationToken) {
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => return,
                Some(_) = connections.join_next() => continue,
                accepted = self.listener.accept(), if connections.len() < MAX_CONNECTIONS => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let handle = self.handle.clone();
                    connections.spawn(async move {
                        let service = service_fn(move |request| std::future::ready(Ok::<_, Infallible>(answer(&handle, &request))));
                        let served = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
                        if let Err(error) = served.await {
                            tracing::debug!(%error, "a connection to the status port ended");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the status port could not accept a connection");
                    // Most likely no file descriptor is left: trying at once would only burn time.
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            }
        }
    }
}

fn answer(handle: &Handle, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return respond(StatusCode::METHOD_NOT_ALLOWED, "text/plain; charset=utf-8", "only GET is served here\n");
    }
    match request.uri().path() {
        "/healthz" => respond(StatusCode::OK, "text/plain; charset=utf-8", "ok\n"),
        "/metrics" => match exposition::text(handle.metrics()) {
            Ok(text) => respond(StatusCode::OK, "application/openmetrics-text; version=1.0.0; charset=utf-8", text),
            Err(error) => {
                tracing::error!(%error, "metrics could not be written");
                respond(StatusCode::INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", "metrics could not be written\n")
            }
        },
        "/trace" => {
            let query = request.uri().query().unwrap_or_default();
            let wanted = query.split('&').find_map(|pair| pair.strip_prefix("host=")).unwrap_or_default();
            match wanted.parse() {
                Ok(host) => match serde_json::to_vec(&handle.trace(&host)) {
                    Ok(json) => respond(StatusCode::OK, "application/json", json),
                    Err(error) => respond(StatusCode::INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", format!("{error}\n")),
                },
                Err(error) => respond(StatusCode::BAD_REQUEST, "text/plain; charset=utf-8", format!("{error}\n")),
            }
        }
        _ => respond(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", "/metrics, /healthz, /trace?host=\n"),
    }
}

fn respond(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
    response
}
