//! The front: one task per client connection, with hyper as the HTTP/1.1 server in it.
//!
//! Owns the life of a client connection: its timers, its orderly end, its turn into a tunnel. Must never decide on a request.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant as TokioInstant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::downstream::client::{Client, Due};
use crate::downstream::request_filter::RequestFilter;
use crate::downstream::request_head;
use crate::downstream::tunnel::TunnelSlot;
use crate::exchange::exchange;
use crate::worker::Worker;

/// After an early end, so much is still read from the client so that it sees the answer rather than a reset.
const LINGER_BYTES: usize = 1024 * 1024;
const LINGER: Duration = Duration::from_secs(2);

/// Serves one client connection to its end.
pub(crate) async fn serve(worker: Rc<Worker>, client: Rc<Client>, closing: CancellationToken) {
    let times = &worker.shared.config.times;
    let upgraded = Rc::<TunnelSlot>::default();
    let filter = RequestFilter::new(Rc::clone(&client));
    let service = service_fn(|request| Box::pin(exchange(Rc::clone(&worker), Rc::clone(&client), Rc::clone(&upgraded), request)));
    let mut connection = http1::Builder::new()
        .max_headers(request_head::MAX_HEADERS + 1)
        .max_buf_size(2 * request_head::MAX_HEAD)
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(filter), service);

    // The timer rings often enough that nothing is late by more than half, and never has to be moved on the request path.
    let tick = (times.head.min(times.keep_alive).min(times.client_read) / 2).max(Duration::from_millis(10));
    let mut timer = pin!(sleep_until(TokioInstant::now() + tick));
    let mut closed = pin!(closing.cancelled());
    let mut ending = false;
    let result = poll_fn(|cx| {
        loop {
            if !ending && closed.as_mut().poll(cx).is_ready() {
                ending = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
            if let Poll::Ready(result) = connection.poll_without_shutdown(cx) {
                return Poll::Ready(result.map_err(|error| tracing::trace!(%error, "client connection ended")));
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            timer.as_mut().reset(TokioInstant::now() + tick);
            match client.due(Instant::now(), times) {
                Due::Nothing => {}
                Due::SlowHead => client.slow.set(true),
                Due::Idle => Pin::new(&mut connection).graceful_shutdown(),
                Due::Stalled => return Poll::Ready(Err(())),
            }
        }
    })
    .await;

    let parts = connection.into_parts();
    let filter = parts.io.into_inner();
    let tunnel = upgraded.take();
    match (result, tunnel) {
        (Ok(()), Some(tunnel)) => {
            let mut rest = parts.read_buf.to_vec();
            rest.extend(filter.into_rest());
            tunnel.run(&worker, &client, rest).await;
        }
        (Ok(()), None) => {
            let unread = client.unread.get() || filter.is_mid_message();
            client.end_write();
            if unread {
                linger(&worker, &client).await;
            }
        }
        (Err(()), _) => {}
    }
}

/// Reads on for a moment after the answer: a socket that is closed with unread bytes is reset, and a reset takes the answer
/// back that the client has not read yet.
async fn linger(worker: &Worker, client: &Client) {
    let mut left = LINGER_BYTES;
    let drained = poll_fn(|cx| {
        loop {
            match worker.read_buffer.poll_read(cx, &mut client.stream.borrow_mut()) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(bytes)) if !bytes.is_empty() && bytes.len() < left => left -= bytes.len(),
                Poll::Ready(_) => return Poll::Ready(()),
            }
        }
    });
    // Either end is fine.
    let _ = tokio::time::timeout(LINGER, drained).await;
}
