//! `exchange`: one request from its head to the head of its answer.
//!
//! ```text
//!  judged ──► rule by host ──► gate ──► pick ──► connect ──► send, wait ──► relay the answer (or a page)
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

use crate::answer::{Answer, BadAnswer};
use crate::call::{Call, CallFault};
use crate::client::Client;
use crate::form::Form;
use crate::forward::{self, Origin};
use crate::gate::{self, Verdict};
use crate::pages::Refusal;
use crate::record::{End, Record};
use crate::relay::{Relay, Reply};
use crate::retry::{self, Failure, Tries};
use crate::sender::Sender;
use crate::strict::{Accepted, Fault};
use crate::table::{Pool, Prospect, Rule};
use crate::tunnel::Tunnel;
use crate::worker::Worker;

/// A connection that was idle for longer is not trusted with a request that can not be sent twice.
const FRESH: Duration = Duration::from_secs(1);

/// Serves one request. Never an error: what fails becomes a page.
pub(crate) async fn exchange(worker: Rc<Worker>, client: Rc<Client>, request: Request<Incoming>) -> Result<Response<Reply>, Infallible> {
    let arrival = client.arrivals.borrow_mut().pop_front();
    let (arrived, verdict) = match arrival {
        Some(arrival) => (arrival.at, arrival.verdict),
        // The guard lets nothing through without a verdict; if it ever did, the request must not pass.
        None => (Instant::now(), Err(Fault::Grammar)),
    };
    let (parts, body) = request.into_parts();
    let mut record = Record::new(&worker, &client, arrived, parts.method.clone());
    worker.count_request();
    let outcome = match verdict {
        Ok(accepted) => {
            record.host.clone_from(&accepted.authority.text);
            parts.uri.path().clone_into(&mut record.path);
            let websocket = accepted.websocket;
            let outcome = forward(&worker, &client, &parts, accepted, body, &mut record).await;
            if websocket && !matches!(outcome, Ok(Outcome::Tunnel(..))) {
                client.stay_http();
            }
            outcome
        }
        Err(fault) => Err(Refusal::Fault(fault)),
    };
    Ok(match outcome {
        Ok(Outcome::Answer(answer, call, sender)) => {
            record.status = answer.status.as_u16();
            Relay::respond(answer, call, sender, record, &worker.shared.config.times)
        }
        Ok(Outcome::Tunnel(answer, call)) => {
            record.status = answer.status.as_u16();
            switch(&client, answer, call, record)
        }
        Err(refusal) => page(&worker, &client, refusal, Form::wanted(&parts.headers), record),
    })
}

enum Outcome {
    Answer(Answer, Call, Sender),
    Tunnel(Answer, Call),
}

fn page(worker: &Worker, client: &Client, refusal: Refusal, form: Form, mut record: Record) -> Response<Reply> {
    let response = refusal.response(form, record.id.as_str(), &worker.shared.config.errors);
    if matches!(refusal, Refusal::Fault(_) | Refusal::SlowBody) {
        client.unread.set(true);
    }
    record.status = response.status().as_u16();
    record.code = Some(refusal.code());
    record.sent = response.body().len() as u64;
    record.end = End::Whole;
    response.map(|body| Reply::page(body, record))
}

/// Answers 101; the connection's task finds the tunnel when hyper has let go of the socket.
fn switch(client: &Client, answer: Answer, call: Call, record: Record) -> Response<Reply> {
    let mut response = Response::new(Reply::Empty);
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    let upgrade = http::HeaderValue::from_static("upgrade");
    response.headers_mut().insert(http::header::CONNECTION, upgrade);
    client.tunnel.replace(Some(Tunnel::new(call, record)));
    response
}

async fn forward(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    parts: &Parts,
    accepted: Accepted,
    body: Incoming,
    record: &mut Record,
) -> Result<Outcome, Refusal> {
    let config = &worker.shared.config;
    let trusted = config.trusted.contains(&client.peer.ip());
    let origin = Origin { peer: client.peer, local: client.local, trusted, id: record.id.as_str() };
    let head = worker.head(|out| forward::head(out, parts, &accepted, origin));
    let mut sender = Sender::new(head, accepted.framing, body);
    let websocket = accepted.websocket;

    let mut tries = Tries::default();
    let mut tried: Vec<u64> = Vec::new();
    loop {
        let first_byte = admit(worker, client, &accepted, &tried, record).await?;
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
                let mut call = Call::new(Rc::clone(worker), stream, reused);
                let sent = Instant::now();
                let result = converse(&mut call, &mut sender, parts, first_byte, config.times.client_body).await;
                record.received = sender.received();
                match result {
                    Ok(answer) => {
                        record.first_byte = sent.elapsed();
                        worker.answered(&backend, record.first_byte);
                        return match (answer.status == StatusCode::SWITCHING_PROTOCOLS, websocket) {
                            (false, _) => Ok(Outcome::Answer(answer, call, sender)),
                            (true, true) => Ok(Outcome::Tunnel(answer, call)),
                            (true, false) => {
                                tracing::debug!(instance = %backend.id, error = %BadAnswer::Unasked, "bad answer");
                                Err(Refusal::BadAnswer)
                            }
                        };
                    }
                    Err(Stop::Page(refusal)) => return Err(refusal),
                    Err(Stop::Call(CallFault::Client)) => {
                        let fault = client.body_fault.take().unwrap_or(Fault::Grammar);
                        client.unread.set(true);
                        return Err(Refusal::Fault(fault));
                    }
                    Err(Stop::Call(CallFault::Bad(error))) => {
                        tracing::debug!(instance = %backend.id, %error, "bad answer");
                        return Err(Refusal::BadAnswer);
                    }
                    Err(Stop::Call(CallFault::Broke)) => {
                        Failure::Broke { reused: call.reused, written: sender.written(), replayable: sender.is_replayable() }
                    }
                }
            }
        };
        record.lease = None;
        if !retry::again(failure, &parts.method, tries) || !worker.may_retry() {
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
                sender.rewind();
            }
        }
        record.retries += 1;
    }
}

enum Stop {
    Page(Refusal),
    Call(CallFault),
}

/// Sends the request and waits for the head of the answer, as long as it may take.
async fn converse(
    call: &mut Call,
    sender: &mut Sender,
    parts: &Parts,
    first_byte: Duration,
    client_body: Duration,
) -> Result<Answer, Stop> {
    let mut moves = sender.moves();
    let mut timer = pin!(sleep_until(TokioInstant::now() + first_byte));
    poll_fn(|cx| {
        if let Poll::Ready(result) = call.poll_head(cx, sender, &parts.method) {
            return Poll::Ready(result.map_err(Stop::Call));
        }
        if sender.moves() != moves {
            // Time counts from when something last moved.
            moves = sender.moves();
            let limit = if sender.waits_for_client() { client_body } else { first_byte };
            timer.as_mut().reset(TokioInstant::now() + limit);
        }
        timer.as_mut().poll(cx).map(|()| Err(Stop::Page(if sender.waits_for_client() { Refusal::SlowBody } else { Refusal::Late })))
    })
    .await
}

/// Finds the rule, waits at the gate, picks an instance. The lease is put into the record.
async fn admit(worker: &Rc<Worker>, client: &Client, accepted: &Accepted, tried: &[u64], record: &mut Record) -> Result<Duration, Refusal> {
    let host = accepted.authority.name.as_ref().ok_or(Refusal::UnknownHost)?;
    let mut waited: Option<Instant> = None;
    let mut had_turn = false;
    loop {
        let (limit, refusal) = {
            let table = worker.table();
            let rule: &Arc<Rule> = table.find(host).ok_or(Refusal::UnknownHost)?;
            record.rule = Some(Arc::clone(rule));
            let pool: Option<&Arc<Pool>> = table.pool(&rule.app);
            let prospect = pool.map_or(Prospect::None, |pool| pool.prospect);
            match gate::verdict(rule.state, prospect, &worker.shared.config.times) {
                Verdict::Refuse(refusal) => return Err(refusal),
                Verdict::Go if had_turn || !worker.gates.is_waiting(host) => {
                    record.lease = pool.and_then(|pool| worker.pick(pool, tried));
                    if let Some(lease) = &record.lease {
                        record.backend = Some(Arc::clone(lease.backend()));
                        record.queue += waited.map_or(Duration::ZERO, |since| since.elapsed());
                        return Ok(rule.first_byte);
                    }
                    return Err(Refusal::NoInstance);
                }
                // Others wait already: behind them.
                Verdict::Go => (worker.shared.config.times.starting, Refusal::NoInstance),
                Verdict::Hold(limit, refusal) => (limit, refusal),
            }
        };
        let since = *waited.get_or_insert_with(Instant::now);
        let mut ticket = worker.gates.enter(host, &worker.shared.held, worker.shared.config.max_held).ok_or(Refusal::Full)?;
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
async fn connect(worker: &Worker, backend: &crate::backend::Backend, idempotent: bool, fresh_only: bool) -> Result<(TcpStream, bool), ()> {
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
