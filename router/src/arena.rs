//! `Arena`: the read buffer of one worker. Every socket of the worker is read into it, and what was read leaves as a slice
//! that shares its memory: no copy, and an idle connection owns nothing.

use std::cell::RefCell;
use std::io;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use tokio::net::TcpStream;

/// How much is read at once, at most.
const PIECE: usize = 64 * 1024;
/// Below this a new buffer is taken: small reads cost as many system calls as large ones.
const LEAST: usize = 16 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Arena(RefCell<BytesMut>);

impl Arena {
    /// Reads what has arrived on `stream`; empty: the peer has ended its side.
    pub(crate) fn poll_read(&self, cx: &mut Context<'_>, stream: &TcpStream) -> Poll<io::Result<Bytes>> {
        loop {
            ready!(stream.poll_read_ready(cx))?;
            let mut buffer = self.0.borrow_mut();
            if buffer.capacity() - buffer.len() < LEAST && !buffer.try_reclaim(PIECE) {
                *buffer = BytesMut::with_capacity(PIECE);
            }
            match stream.try_read_buf(&mut *buffer) {
                Ok(_) => return Poll::Ready(Ok(buffer.split().freeze())),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}
