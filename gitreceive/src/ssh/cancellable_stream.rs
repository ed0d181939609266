//! A TCP stream that can be cancelled: after that every read and write fails, and the SSH session above it ends.
//!
//! The SSH library has no timeout for a login as a whole and no way to end a session from outside; cancelling its stream does both.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Reads at the start of a connection that are acknowledged at once. OpenSSH's client sends its key exchange in two small pieces
/// and, as any TCP does by default, holds the second back until the first is acknowledged; the kernel here would wait 40 ms for
/// something to send along with that.
const QUICK_ACKS: u8 = 16;

pub(crate) struct CancellableStream {
    stream: TcpStream,
    /// Reads left that are acknowledged at once.
    quick_acks: u8,
    cut: CancellationToken,
    reading: Pin<Box<WaitForCancellationFutureOwned>>,
    writing: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl CancellableStream {
    pub(crate) fn new(stream: TcpStream, cut: CancellationToken) -> Self {
        let (reading, writing) = (Box::pin(cut.clone().cancelled_owned()), Box::pin(cut.clone().cancelled_owned()));
        Self { stream, quick_acks: QUICK_ACKS, cut, reading, writing }
    }

    fn cancelled() -> io::Error {
        io::Error::new(io::ErrorKind::TimedOut, "the connection was cut")
    }
}

impl AsyncRead for CancellableStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.cut.is_cancelled() || self.reading.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(Self::cancelled()));
        }
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if self.quick_acks > 0 && read.is_ready() {
            self.quick_acks -= 1;
            // Without it the connection is slower, not wrong.
            let _ = self.stream.set_quickack(true);
        }
        read
    }
}

impl AsyncWrite for CancellableStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.cut.is_cancelled() || self.writing.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(Self::cancelled()));
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
