//! `ReadBuffer`: the read buffer of one worker. Every socket of the worker is read into it, and what was read leaves as a slice
//! that shares its memory: no copy, and an idle connection owns nothing.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use tokio::net::TcpStream;
use tokio_util::io::poll_read_buf;

/// How much is read at once, at most.
const PIECE: usize = 64 * 1024;
/// Below this a new buffer is taken: small reads cost as many system calls as large ones.
const LEAST: usize = 16 * 1024;

#[derive(Debug, Default)]
pub(crate) struct ReadBuffer(RefCell<BytesMut>);

impl ReadBuffer {
    /// Reads what has arrived on `stream`; empty: the peer has ended its side.
    pub(crate) fn poll_read(&self, cx: &mut Context<'_>, stream: &mut TcpStream) -> Poll<io::Result<Bytes>> {
        let mut buffer = self.0.borrow_mut();
        if buffer.capacity() - buffer.len() < LEAST && !buffer.try_reclaim(PIECE) {
            *buffer = BytesMut::with_capacity(PIECE);
        }
        // This way, unlike `try_read`, the runtime learns from a short read that the socket is empty, and saves the next one.
        ready!(poll_read_buf(Pin::new(stream), cx, &mut *buffer))?;
        Poll::Ready(Ok(buffer.split().freeze()))
    }
}
