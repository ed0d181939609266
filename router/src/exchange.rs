//! `exchange`: one request from its head to the head of its answer.
//!
//! ```text
//!  judged ──► rule by host ──► admission ──► pick ──► connect ──► send, wait ──► relay the answer (or a page)
//!                               ▲                  └──── retry table ◄──┘
//!                               └──────────────────────────┘
//! ```
//! Owns the order of these steps and the choice between an answer and a page. Must never hold the table over an await, nor
//! read a body before an instance has accepted the connection.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use http::request::Parts;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::net::TcpStream;
use tokio::time::{Instant as TokioInstant, sleep_until, timeout};

use crate::downstream::client::{Client, Refused};
use crate::downstream::request_head::{Fault, Glimpse, RequestHead};
use crate::downstream::tunnel::{Tunnel, TunnelSlot};
use crate::hold::admission::{Admission, admission};
use crate::observe::access_line::End;
use crate::observe::access_record::AccessRecord;
use crate::pages::PageFormat;
use crate::pages::Refusal;
use crate::routing::table::{Availability, Pool, Rule};
use crate::upstream::forwarded_head::{self, Origin};
use crate::upstream::request_writer::RequestWriter;
use crate::upstream::response_body::{RelayedBody, ResponseBody};
use crate::upstream::response_head::{BadResponse, ResponseHead};
use crate::upstream::retry::{self, Failure, Tries};
use crate::upstream::upstream_conn::{UpstreamConn, UpstreamFault};
use crate::worker::Worker;

/// A connection that was idle for longer is not trusted with a request that can not be sent twice.
const FRESH: Duration = Duration::from_secs(1);

/// Serves one request. Never an error: what fails becomes a page.
pub(crate) async fn exchange(
    worker: Rc<Worker>,
    client: Rc<Client>,
    upgraded: Rc<TunnelSlot>,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Infallible> {
    let arrival = client.arrivals.borrow_mut().pop_front();
    let (arrived, verdict) = match arrival {
        Some(arrival) => (arrival.at, arrival.verdict),
        // The filter lets nothing through unjudged; if it ever did, the request must not pass.
        None => (Instant::now(), Err(Refused { fault: Fault::Grammar, seen: Glimpse::default() })),
    };
    let (parts, body) = request.into_parts();
    let mut record = AccessRecord::new(&worker, &client, arrived, parts.method.clone());
    worker.count_request();
    let outcome = match verdict {
        Ok(request_head) => {
            record.host.clone_from(&request_head.authority.text);
            match &request_head.raw_target {
                Some(raw) => {
                    record.path = raw.split(|byte| *byte == b'?').next().map(String::from_utf8_lossy).unwrap_or_default().into_owned()
                }
                None => parts.uri.path().clone_into(&mut record.path),
            }
            let websocket = request_head.websocket;
            let outcome = forward(&worker, &client, &parts, request_head, body, &mut record).await;
            if websocket && !matches!(outcome, Ok(Outcome::Tunnel(..))) {
                client.stay_http();
            }
            outcome
        }
        Err(Refused { fault, seen }) => {
            record.seen(seen);
            Err(Refusal::Fault(fault))
        }
    };
    Ok(match outcome {
        Ok(Outcome::Answer(answer, conn, writer)) => {
            record.status = answer.status.as_u16();
            RelayedBody::respond(answer, conn, writer, record, &worker.shared.config.times)
        }
        Ok(Outcome::Tunnel(answer, conn)) => {
            record.status = answer.status.as_u16();
            switch_protocols(&upgraded, answer, conn, record)
        }
        Err(refusal) => page(&worker, &client, refusal, PageFormat::wanted(&parts.headers), record),
    })
}

enum Outcome {
    Answer(ResponseHead, UpstreamConn, RequestWriter),
    Tunnel(ResponseHead, UpstreamConn),
}

fn page(worker: &Worker, client: &Client, refusal: Refusal, format: PageFormat, mut record: AccessRecord) -> Response<ResponseBody> {
    let response = refusal.response(format, record.id.as_str(), &worker.shared.config.errors);
    if matches!(refusal, Refusal::Fault(_) | Refusal::SlowBody) {
        client.unread.set(true);
    }
    record.status = response.status().as_u16();
    record.code = Some(refusal.code());
    record.sent = response.body().len() as u64;
    record.end = End::Whole;
    response.map(|body| ResponseBody::page(body, record))
}

/// Answers 101; the connection's task finds the tunnel when hyper has let go of the socket.
fn switch_protocols(upgraded: &TunnelSlot, answer: ResponseHead, conn: UpstreamConn, record: AccessRecord) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::Empty);
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    let upgrade = http::HeaderValue::from_static("upgrade");
    response.headers_mut().insert(http::header::CONNECTION, upgrade);
    upgraded.replace(Some(Tunnel::new(conn, record)));
    response
}

async fn forward(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    parts: &Parts,
    request_head: RequestHead,
    body: Incoming,
    record: &mut AccessRecord,
) -> Result<Outcome, Refusal> {
    let config = &worker.shared.config;
    let trusted = config.trusted.iter().any(|net| net.contains(&client.peer.ip()));
    let origin = Origin { peer: client.peer, local: client.local, trusted, id: record.id.as_str() };
    let head = worker.head(|out| forwarded_head::head(out, parts, &request_head, origin));
    let mut writer = RequestWriter::new(head, request_head.framing, body);
    let websocket = request_head.websocket;

    let mut tries = Tries::default();
    let mut tried: Vec<u64> = Vec::new();
    loop {
        let first_byte = admit(worker, client, &request_head, &tried, record).await?;
        let backend = Arc::clone(record.backend.as_ref().expect("admitted with a backend"));
        let began = Instant::now();
        let fresh_only = tries.breaks > 0;
        let connected = connect(worker, &backend, parts.method.is_idempotent(), fresh_only).await;
        record.connect = began.elapsed();
        let failure = match connected {
            Err(()) => {
                worker.not_connected(&backend);
                Failure::NotConnected
            }
            Ok((stream, reused)) => {
                worker.connected(&backend);
                let mut conn = UpstreamConn::new(Rc::clone(worker), stream, reused);
                let sent = Instant::now();
                let result = converse(&mut conn, &mut writer, parts, first_byte, config.times.client_body).await;
                record.received = writer.received();
                match result {
                    Ok(answer) => {
                        record.first_byte = sent.elapsed();
                        worker.answered(&backend, record.first_byte);
                        return match (answer.status == StatusCode::SWITCHING_PROTOCOLS, websocket) {
                            (false, _) => Ok(Outcome::Answer(answer, conn, writer)),
                            (true, true) => Ok(Outcome::Tunnel(answer, conn)),
                            (true, false) => {
                                tracing::debug!(instance = %backend.id, error = %BadResponse::Unasked, "bad answer");
                                Err(Refusal::BadAnswer)
                            }
                        };
                    }
                    Err(Stop::Page(refusal)) => return Err(refusal),
                    Err(Stop::UpstreamConn(UpstreamFault::Client)) => {
                        let fault = client.body_fault.take().unwrap_or(Fault::Grammar);
                        client.unread.set(true);
                        return Err(Refusal::Fault(fault));
                    }
                    Err(Stop::UpstreamConn(UpstreamFault::Bad(error))) => {
                        tracing::debug!(instance = %backend.id, %error, "bad answer");
                        return Err(Refusal::BadAnswer);
                    }
                    Err(Stop::UpstreamConn(UpstreamFault::Broke)) => {
                        Failure::Broke { reused: conn.reused, written: writer.written(), replayable: writer.is_replayable() }
                    }
                }
            }
        };
        record.lease = None;
        if !retry::should_retry(failure, &parts.method, tries) || !worker.may_retry() {
            return Err(Refusal::Unreachable);
        }
        match failure {
            Failure::NotConnected => {
                tries.connects += 1;
                if tried.contains(&backend.key) {
                    // Discard else is left: give the same instance a moment.
                    tokio::time::sleep(Duration::from_millis(25 << tries.connects)).await;
                }
                tried.push(backend.key);
            }
            _ => {
                tries.breaks += 1;
                writer.rewind();
            }
        }
        record.retries += 1;
    }
}

enum Stop {
    Page(Refusal),
    UpstreamConn(UpstreamFault),
}

/// Sends the request and waits for the head of the answer, as long as it may take.
async fn converse(
    conn: &mut UpstreamConn,
    writer: &mut RequestWriter,
    parts: &Parts,
    first_byte: Duration,
    client_body: Duration,
) -> Result<ResponseHead, Stop> {
    let mut moves = writer.moves();
    let mut timer = pin!(sleep_until(TokioInstant::now() + first_byte));
    poll_fn(|cx| {
        if let Poll::Ready(result) = conn.poll_head(cx, writer, &parts.method) {
            return Poll::Ready(result.map_err(Stop::UpstreamConn));
        }
        if writer.moves() != moves {
            // Time counts from when something last moved.
            moves = writer.moves();
            let limit = if writer.waits_for_client() { client_body } else { first_byte };
            timer.as_mut().reset(TokioInstant::now() + limit);
        }
        timer.as_mut().poll(cx).map(|()| Err(Stop::Page(if writer.waits_for_client() { Refusal::SlowBody } else { Refusal::Late })))
    })
    .await
}

/// Finds the rule, waits for admission, picks an instance. The lease is put into the record.
async fn admit(
    worker: &Rc<Worker>,
    client: &Client,
    request_head: &RequestHead,
    tried: &[u64],
    record: &mut AccessRecord,
) -> Result<Duration, Refusal> {
    let host = request_head.authority.name.as_ref().ok_or(Refusal::UnknownHost)?;
    let mut waited: Option<Instant> = None;
    let mut had_turn = false;
    loop {
        let (limit, refusal) = {
            let table = worker.table();
            let rule: &Arc<Rule> = table.find(host).ok_or(Refusal::UnknownHost)?;
            record.rule = Some(Arc::clone(rule));
            let pool: Option<&Arc<Pool>> = table.pool(&rule.app);
            let availability = pool.map_or(Availability::Missing, |pool| pool.availability);
            match admission(rule.state, availability, &worker.shared.config.times) {
                Admission::Refuse(refusal) => return Err(refusal),
                Admission::Go if had_turn || !worker.hold_queues.is_waiting(host) => {
                    record.lease = pool.and_then(|pool| worker.pick(pool, tried));
                    if let Some(lease) = &record.lease {
                        record.backend = Some(Arc::clone(lease.backend()));
                        record.queue += waited.map_or(Duration::ZERO, |since| since.elapsed());
                        return Ok(rule.first_byte);
                    }
                    return Err(Refusal::NoInstance);
                }
                // Others wait already: behind them.
                Admission::Go => (worker.shared.config.times.starting, Refusal::NoInstance),
                Admission::Hold(limit, refusal) => (limit, refusal),
            }
        };
        let since = *waited.get_or_insert_with(Instant::now);
        let mut ticket = worker.hold_queues.enter(host, &worker.shared.held, worker.shared.config.max_held).ok_or(Refusal::Full)?;
        // The table may have changed, or the others may have gone, just before the place was taken.
        worker.release();
        let left = limit.saturating_sub(since.elapsed());
        tokio::select! {
            biased;
            () = ticket.turn() => had_turn = true,
            () = tokio::time::sleep(left) => {
                record.queue += since.elapsed();
                return Err(refusal);
            }
            () = left_early(client) => return Err(refusal),
        }
    }
}

/// Ends when the client has closed its side although its body was not read: hyper, which is not reading, can not see that.
async fn left_early(client: &Client) {
    let mut often = tokio::time::interval(Duration::from_millis(500));
    loop {
        often.tick().await;
        let ready = poll_fn(|cx| {
            let stream = client.stream.borrow();
            let mut readable = pin!(stream.ready(tokio::io::Interest::READABLE));
            Poll::Ready(match readable.as_mut().poll(cx) {
                Poll::Ready(Ok(ready)) => ready.is_read_closed(),
                Poll::Ready(Err(_)) => true,
                Poll::Pending => false,
            })
        });
        if ready.await {
            return;
        }
    }
}

/// An idle connection, or a new one.
async fn connect(
    worker: &Worker,
    backend: &crate::routing::backend::Backend,
    idempotent: bool,
    fresh_only: bool,
) -> Result<(TcpStream, bool), ()> {
    let times = &worker.shared.config.times;
    if !fresh_only && let Some(stream) = worker.checkout(backend, if idempotent { times.idle } else { FRESH }) {
        return Ok((stream, true));
    }
    match timeout(times.connect, TcpStream::connect(backend.address)).await {
        Ok(Ok(stream)) => {
            // Without it small answers wait for acknowledgements; a socket that refuses the option works, only slower.
            let _ = stream.set_nodelay(true);
            Ok((stream, false))
        }
        Ok(Err(error)) => {
            tracing::debug!(instance = %backend.id, %error, "could not connect");
            Err(())
        }
        Err(_) => {
            tracing::debug!(instance = %backend.id, "could not connect in time");
            Err(())
        }
    }
}
