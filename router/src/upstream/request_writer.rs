//! `RequestWriter`: sends one request to an app, its body as it comes from the client.
//!
//! Owns what was written and what can be written again. Must never buffer ahead of the app: a body is asked for only while
//! there is room, so the client is held back by its own socket.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::Body;
use hyper::body::Incoming;
use tokio::net::TcpStream;

use crate::downstream::request_head::Framing;
use crate::upstream::retry::MAX_REPLAY;

/// How much of a body may wait to be written.
const MAX_QUEUED: usize = 64 * 1024;
const MAX_SLICES: usize = 8;

/// Why sending stopped.
#[derive(Debug)]
pub(crate) enum WriteFault {
    /// The client's body ended wrongly.
    Client,
    /// The app's connection does not take more.
    App,
}

#[derive(Debug)]
pub(crate) struct RequestWriter {
    head: Bytes,
    framing: Framing,
    body: Option<Incoming>,
    queue: VecDeque<Bytes>,
    queued: usize,
    /// All body bytes taken so far, as they go over the wire; none once they were too many.
    kept: Option<Vec<Bytes>>,
    kept_len: usize,
    /// Bytes written to the present connection.
    written: u64,
    /// Bytes of body that the client sent.
    received: u64,
    waits_for_client: bool,
    moves: u64,
}

impl RequestWriter {
    pub(crate) fn new(head: Bytes, framing: Framing, body: Incoming) -> Self {
        let queued = head.len();
        let body = (framing != Framing::None && framing != Framing::Length(0)).then_some(body);
        Self {
            queue: VecDeque::from([head.clone()]),
            head,
            framing,
            body,
            queued,
            kept: Some(Vec::new()),
            kept_len: 0,
            written: 0,
            received: 0,
            waits_for_client: false,
            moves: 0,
        }
    }

    /// Whether the whole request was written.
    pub(crate) fn is_done(&self) -> bool {
        self.body.is_none() && self.queue.is_empty()
    }

    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// Whether it is the client that keeps us waiting.
    pub(crate) fn waits_for_client(&self) -> bool {
        self.waits_for_client
    }

    /// Changes whenever something moved.
    pub(crate) fn moves(&self) -> u64 {
        self.moves
    }

    /// Whether all that was taken from the client can be written again.
    pub(crate) fn is_replayable(&self) -> bool {
        self.kept.is_some()
    }

    /// Goes back to the start, for another connection.
    pub(crate) fn rewind(&mut self) {
        let Some(kept) = &self.kept else { return };
        self.queue.clear();
        self.queue.push_back(self.head.clone());
        self.queue.extend(kept.iter().cloned());
        self.queued = self.queue.iter().map(Bytes::len).sum();
        self.written = 0;
    }

    /// Takes from the client and writes to the app, as far as both go. Ready: the whole request is written.
    pub(crate) fn poll_send(&mut self, cx: &mut Context<'_>, stream: &TcpStream) -> Poll<Result<(), WriteFault>> {
        loop {
            // First the body, so that the head leaves together with what is already here.
            let body = match self.queued < MAX_QUEUED {
                true => self.poll_body(cx),
                false => Poll::Ready(Ok(())),
            };
            if matches!(body, Poll::Ready(Err(_))) {
                return body;
            }
            if self.queue.is_empty() {
                return if self.body.is_none() { Poll::Ready(Ok(())) } else { Poll::Pending };
            }
            ready!(self.poll_write(cx, stream)).map_err(|_| WriteFault::App)?;
        }
    }

    /// Takes one piece of body; pending only when the client has none.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), WriteFault>> {
        let Some(body) = &mut self.body else { return Poll::Ready(Ok(())) };
        let frame = Pin::new(body).poll_frame(cx);
        self.waits_for_client = frame.is_pending();
        match ready!(frame) {
            Some(Ok(frame)) => {
                self.moves += 1;
                // Trailers of requests are dropped: apps do not read them.
                if let Ok(data) = frame.into_data() {
                    self.push_data(data);
                }
                Poll::Ready(Ok(()))
            }
            Some(Err(_)) => Poll::Ready(Err(WriteFault::Client)),
            None => {
                self.body = None;
                if self.framing == Framing::Chunked {
                    self.push(Bytes::from_static(b"0\r\n\r\n"));
                }
                Poll::Ready(Ok(()))
            }
        }
    }

    fn push_data(&mut self, data: Bytes) {
        if data.is_empty() {
            return;
        }
        self.received += data.len() as u64;
        if self.framing == Framing::Chunked {
            self.push(Bytes::from(format!("{:x}\r\n", data.len())));
            self.push(data);
            self.push(Bytes::from_static(b"\r\n"));
        } else {
            self.push(data);
        }
    }

    fn push(&mut self, piece: Bytes) {
        self.queued += piece.len();
        self.kept_len += piece.len();
        if self.kept_len > MAX_REPLAY {
            self.kept = None;
        }
        if let Some(kept) = &mut self.kept {
            kept.push(piece.clone());
        }
        self.queue.push_back(piece);
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, stream: &TcpStream) -> Poll<io::Result<()>> {
        loop {
            ready!(stream.poll_write_ready(cx))?;
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let used = self.queue.len().min(MAX_SLICES);
            for (slice, piece) in slices.iter_mut().zip(&self.queue) {
                *slice = IoSlice::new(piece);
            }
            match stream.try_write_vectored(&slices[..used]) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(len) => {
                    self.took(len);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn took(&mut self, mut len: usize) {
        self.written += len as u64;
        self.queued -= len;
        self.moves += 1;
        while let Some(front) = self.queue.front_mut() {
            if len < front.len() {
                front.advance(len);
                return;
            }
            len -= front.len();
            self.queue.pop_front();
        }
    }
}
