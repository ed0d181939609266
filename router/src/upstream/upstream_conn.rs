//! `UpstreamConn`: one request on one connection to one instance.
//!
//! Owns that connection until it is given back or dropped. Must never be given back when anything about it is in doubt: an
//! unread body, surplus bytes, a request that was not sent whole.

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use http::{Method, StatusCode};
use tokio::net::TcpStream;

use crate::routing::backend::Backend;
use crate::upstream::request_writer::{RequestWriter, WriteFault};
use crate::upstream::response_head::{self, BadResponse, ResponseHead};
use crate::worker::Worker;

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum UpstreamFault {
    /// The client's body failed.
    Client,
    /// The connection ended before the first byte of an answer.
    Broke,
    /// What came is not an answer.
    Bad(BadResponse),
}

#[derive(Debug)]
pub(crate) struct UpstreamConn {
    pub(crate) stream: TcpStream,
    pub(crate) reused: bool,
    /// Read and not yet used.
    pub(crate) input: Bytes,
    worker: Rc<Worker>,
    write_open: bool,
}

impl UpstreamConn {
    pub(crate) fn new(worker: Rc<Worker>, stream: TcpStream, reused: bool) -> Self {
        Self { stream, reused, input: Bytes::new(), worker, write_open: true }
    }

    /// Sends on, if the app still takes it. An app that stops taking may still answer: only the client's fault is one.
    pub(crate) fn poll_send(&mut self, cx: &mut Context<'_>, writer: &mut RequestWriter) -> Result<(), UpstreamFault> {
        if self.write_open && !writer.is_done() {
            match writer.poll_send(cx, &self.stream) {
                Poll::Ready(Err(WriteFault::Client)) => return Err(UpstreamFault::Client),
                Poll::Ready(Err(WriteFault::App)) => self.write_open = false,
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
        }
        Ok(())
    }

    /// More bytes; empty: the app has ended its side.
    pub(crate) fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<Bytes>> {
        self.worker.read_buffer.poll_read(cx, &mut self.stream)
    }

    /// Sends the request and waits for the head of the final answer.
    pub(crate) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        writer: &mut RequestWriter,
        method: &Method,
    ) -> Poll<Result<ResponseHead, UpstreamFault>> {
        loop {
            self.poll_send(cx, writer)?;
            let more = match ready!(self.poll_more(cx)) {
                Ok(more) if !more.is_empty() => more,
                _ if self.input.is_empty() => return Poll::Ready(Err(UpstreamFault::Broke)),
                _ => return Poll::Ready(Err(UpstreamFault::Bad(BadResponse::Truncated))),
            };
            if self.input.is_empty() {
                self.input = more;
            } else {
                let mut joined = BytesMut::with_capacity(self.input.len() + more.len());
                joined.extend_from_slice(&self.input);
                joined.extend_from_slice(&more);
                self.input = joined.freeze();
            }
            while let Some((answer, used)) = response_head::parse(&self.input, method).map_err(UpstreamFault::Bad)? {
                self.input.advance(used);
                // 100, 102 and 103 are news for us alone; the final answer follows.
                if !answer.status.is_informational() || answer.status == StatusCode::SWITCHING_PROTOCOLS {
                    return Poll::Ready(Ok(answer));
                }
                if self.input.is_empty() {
                    break;
                }
            }
        }
    }

    /// The answer was read whole: keeps the connection if another request can use it.
    pub(crate) fn finish(self, backend: &Arc<Backend>, keep_alive: bool, writer: &RequestWriter) {
        if keep_alive && self.write_open && self.input.is_empty() && writer.is_done() {
            self.worker.give_back(backend, self.stream);
        }
    }
}
