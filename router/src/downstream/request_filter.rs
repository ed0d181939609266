//! `RequestFilter`: stands between the socket and hyper and lets only requests through that passed `strict`.
//!
//! ```text
//!  head ──► passed, no body ───────────────► head …
//!    │        ├── length / chunked ──► body ──► head …
//!    │        └── websocket ──► waiting ──► (tunnel | head …)
//!    └────► refused: hyper gets a stand-in whose answer is the page; nothing after it is read
//! ```
//! Owns message boundaries: hyper never sees bytes of a head that was not judged whole, nor bytes after an upgrade. Must never
//! change a request: where hyper can not hold a target, it reads a stand-in, and the app gets what came. Bytes are checked where hyper reads them; only an incomplete head is copied out.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::chunked::{Chunked, Piece};
use crate::downstream::client::{Arrival, Client, Refused};
use crate::downstream::request_head::{self, Fault, Framing, HeadEnd, Judged};

/// Hyper reads this in place of a refused head; the verdict in the queue tells the service what to answer.
const STAND_IN: &[u8] = b"GET / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";
/// How many bytes of a client are kept while an app decides on an upgrade.
const MAX_WAITING: usize = 16 * 1024;

#[derive(Debug)]
enum Reading {
    Head(HeadEnd),
    Body(u64),
    Chunked(Chunked),
    /// A WebSocket was asked for: nothing passes until the app has answered.
    Waiting,
    /// The body broke its framing; hyper is told with the next read.
    Broken,
    /// Nothing more is read.
    Closed,
}

/// What to do with bytes that were read.
enum Pass {
    /// The first so many go to hyper now, the rest is kept.
    Some(usize),
    /// The head is not whole: keep all.
    More,
    /// In place of the first so many, hyper reads this head.
    Replace(Vec<u8>, usize),
    /// Refuse the request.
    Refuse(Fault),
}

#[derive(Debug)]
pub(crate) struct RequestFilter {
    client: Rc<Client>,
    reading: Reading,
    /// Read from the socket and not given to hyper.
    held: Vec<u8>,
    /// How many bytes of `held` were judged to be an incomplete head.
    judged: usize,
    /// How many bytes of `held` may go to hyper.
    due: usize,
}

impl RequestFilter {
    pub(crate) fn new(client: Rc<Client>) -> Self {
        Self { client, reading: Reading::Head(HeadEnd::default()), held: Vec::new(), judged: 0, due: 0 }
    }

    /// What the client sent after the request that became a tunnel.
    pub(crate) fn into_rest(self) -> Vec<u8> {
        self.held
    }

    /// Whether the client may still be sending something that nobody will read.
    pub(crate) fn is_mid_message(&self) -> bool {
        !self.held.is_empty() || !matches!(self.reading, Reading::Head(_) | Reading::Waiting)
    }

    /// Decides how much of `bytes`, which begin where the last pass ended, may go on.
    fn judge(&mut self, bytes: &[u8]) -> Pass {
        let mut passed = 0;
        if let Reading::Head(end) = &mut self.reading {
            let len = match end.find(bytes) {
                // Such a client waits for our answer to its hello, and its hello never becomes a head.
                Err(_) | Ok(None) if request_head::is_tls(bytes) => return Pass::Refuse(Fault::Tls),
                Err(fault) => return Pass::Refuse(fault),
                Ok(None) => return Pass::More,
                Ok(Some(len)) => len,
            };
            let Judged { head: accepted, stand_in } = match request_head::judge(&bytes[..len]) {
                Ok(judged) => judged,
                Err(fault) => return Pass::Refuse(fault),
            };
            self.reading = match accepted.framing {
                _ if accepted.websocket => Reading::Waiting,
                Framing::None | Framing::Length(0) => Reading::Head(HeadEnd::default()),
                Framing::Length(len) => Reading::Body(len),
                Framing::Chunked => Reading::Chunked(Chunked::default()),
            };
            self.client.head_since.set(None);
            self.client.arrivals.borrow_mut().push_back(Arrival { at: Instant::now(), verdict: Ok(accepted) });
            if let Some(stand_in) = stand_in {
                return Pass::Replace(stand_in, len);
            }
            passed = len;
        }
        let head = passed;
        while passed < bytes.len() {
            let rest = &bytes[passed..];
            match &mut self.reading {
                Reading::Body(left) => {
                    let some = (*left).min(rest.len() as u64);
                    *left -= some;
                    passed += some as usize;
                    if *left == 0 {
                        self.reading = Reading::Head(HeadEnd::default());
                        break;
                    }
                }
                Reading::Chunked(chunked) => match chunked.step(rest) {
                    Ok(Piece::More) => passed = bytes.len(),
                    Ok(Piece::Data { skip, len }) => passed += skip + len,
                    Ok(Piece::End { used }) => {
                        passed += used;
                        self.reading = Reading::Head(HeadEnd::default());
                        break;
                    }
                    // The head has not left yet: nothing of this request needs to reach an app.
                    Err(_) if head > 0 => {
                        self.client.arrivals.borrow_mut().pop_back();
                        return Pass::Refuse(Fault::Chunk);
                    }
                    Err(_) => {
                        self.reading = Reading::Broken;
                        break;
                    }
                },
                _ => break,
            }
        }
        Pass::Some(passed)
    }

    /// Puts the stand-in where hyper reads next.
    fn refuse(&mut self, fault: Fault, bytes: &[u8]) {
        let refused = Refused { fault, seen: request_head::glimpse(bytes) };
        self.client.arrivals.borrow_mut().push_back(Arrival { at: Instant::now(), verdict: Err(refused) });
        self.client.head_since.set(None);
        self.client.unread.set(true);
        self.reading = Reading::Closed;
        self.held = STAND_IN.to_vec();
        (self.due, self.judged) = (self.held.len(), 0);
    }

    /// Puts a head where hyper reads next, with what came after it.
    fn replace(&mut self, head: Vec<u8>, rest: &[u8]) {
        (self.due, self.judged) = (head.len(), 0);
        self.held = head;
        self.held.extend_from_slice(rest);
    }

    /// From here the client has its time for the head.
    fn head_began(&self) {
        if self.client.head_since.get().is_none() {
            self.client.head_since.set(Some(Instant::now()));
        }
    }

    /// Gives hyper what is due.
    fn give(&mut self, buf: &mut ReadBuf<'_>) {
        let some = self.due.min(buf.remaining());
        buf.put_slice(&self.held[..some]);
        self.due -= some;
        if some == self.held.len() {
            // An idle connection owns no buffer.
            self.held = Vec::new();
        } else {
            self.held.drain(..some);
        }
    }
}

impl AsyncRead for RequestFilter {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        loop {
            if me.due > 0 {
                me.give(buf);
                return Poll::Ready(Ok(()));
            }
            match &me.reading {
                // An end that hyper sees while it still has to answer would end the connection without the answer. Every such
                // answer says close, so nobody waits for this read.
                Reading::Closed if me.client.is_asked() => return Poll::Pending,
                Reading::Closed => return Poll::Ready(Ok(())),
                Reading::Broken => {
                    me.client.body_fault.set(Some(Fault::Chunk));
                    me.client.unread.set(true);
                    me.reading = Reading::Closed;
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, Fault::Chunk)));
                }
                Reading::Waiting if me.client.stays_http.take() => me.reading = Reading::Head(HeadEnd::default()),
                Reading::Waiting => {
                    me.client.waiting.replace(Some(cx.waker().clone()));
                    // Read on only to notice that the client leaves.
                    if me.held.len() >= MAX_WAITING {
                        return Poll::Pending;
                    }
                    if ready!(me.client.poll_read_more(cx, &mut me.held))? == 0 {
                        return Poll::Ready(Ok(()));
                    }
                    continue;
                }
                Reading::Head(end) if me.client.slow.take() => {
                    if end.is_blank() {
                        me.reading = Reading::Closed;
                    } else {
                        let held = std::mem::take(&mut me.held);
                        me.refuse(Fault::Slow, &held);
                    }
                    continue;
                }
                _ => {}
            }
            if me.held.len() > me.judged {
                let held = std::mem::take(&mut me.held);
                match me.judge(&held) {
                    Pass::Some(len) => {
                        me.held = held;
                        (me.due, me.judged) = (len, 0);
                    }
                    Pass::More => {
                        me.held = held;
                        me.judged = me.held.len();
                        me.head_began();
                    }
                    Pass::Replace(stand_in, len) => me.replace(stand_in, &held[len..]),
                    Pass::Refuse(fault) => me.refuse(fault, &held),
                }
                continue;
            }
            let before = buf.filled().len();
            if ready!(me.client.poll_read(cx, buf))? == 0 {
                return Poll::Ready(Ok(()));
            }
            let fresh = &buf.filled()[before..];
            if !me.held.is_empty() {
                me.held.extend_from_slice(fresh);
                buf.set_filled(before);
                continue;
            }
            match me.judge(fresh) {
                Pass::Some(len) => {
                    me.held.extend_from_slice(&fresh[len..]);
                    buf.set_filled(before + len);
                    if len > 0 {
                        return Poll::Ready(Ok(()));
                    }
                }
                Pass::More => {
                    me.held.extend_from_slice(fresh);
                    me.judged = me.held.len();
                    me.head_began();
                    buf.set_filled(before);
                }
                Pass::Replace(stand_in, len) => {
                    me.replace(stand_in, &fresh[len..]);
                    buf.set_filled(before);
                }
                Pass::Refuse(fault) => {
                    me.refuse(fault, fresh);
                    buf.set_filled(before);
                }
            }
        }
    }
}

impl AsyncWrite for RequestFilter {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.client.poll_write(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, pieces: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.client.poll_write(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.client.end_write();
        Poll::Ready(Ok(()))
    }
}
