//! The client of one channel: where a command's output and exit status go.
//!
//! Writing waits for the client's window, and ends at once when the client disconnects: the window would never grow again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use model::{UserError, push_output};
use russh::ChannelWriteHalf;
use russh::server::Msg;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio_util::sync::CancellationToken;

use crate::spool::SpoolReader;
use crate::user_errors;

/// Most bytes that are read from a command at once.
const READ: usize = 32 * 1024;

/// The client has closed the channel or the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Disconnected;

/// One of a command's two output streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutputStream {
    Stdout,
    Stderr,
}

/// Writes to one channel; clones write to the same one.
#[derive(Clone)]
pub(crate) struct Client {
    half: Arc<ChannelWriteHalf<Msg>>,
    gone: CancellationToken,
    /// Set just before the server closes the channel.
    closed: Arc<AtomicBool>,
}

impl Client {
    pub(crate) fn new(half: Arc<ChannelWriteHalf<Msg>>, gone: CancellationToken, closed: Arc<AtomicBool>) -> Self {
        Self { half, gone, closed }
    }

    pub(crate) fn gone(&self) -> &CancellationToken {
        &self.gone
    }

    /// Sends bytes.
    pub(crate) async fn send(&self, to: OutputStream, bytes: Bytes) -> Result<(), Disconnected> {
        let sending = async {
            match to {
                OutputStream::Stdout => self.half.data_bytes(bytes).await,
                OutputStream::Stderr => self.half.extended_data_bytes(1, bytes).await,
            }
        };
        tokio::select! {
            biased;
            () = self.gone.cancelled() => Err(Disconnected),
            sent = sending => sent.map_err(|_| Disconnected),
        }
    }

    /// Copies a spool to the client until its end.
    pub(crate) async fn copy_spool(&self, to: OutputStream, mut from: SpoolReader) -> Result<(), Disconnected> {
        while let Some(bytes) = from.next().await {
            match bytes {
                Ok(bytes) => self.send(to, bytes).await?,
                Err(error) => {
                    tracing::error!(%error, "a spool can not be read back");
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Copies a pipe to the client until its end.
    pub(crate) async fn copy_pipe(&self, to: OutputStream, mut from: impl AsyncRead + Unpin) -> Result<(), Disconnected> {
        let mut buffer = bytes::BytesMut::new();
        loop {
            buffer.reserve(READ);
            match from.read_buf(&mut buffer).await {
                Ok(0) => return Ok(()),
                Ok(_) => self.send(to, buffer.split().freeze()).await?,
                Err(error) => {
                    tracing::warn!(%error, "the output of a command can not be read");
                    return Ok(());
                }
            }
        }
    }

    /// Ends the channel with an exit status.
    pub(crate) async fn exit(&self, status: u8) {
        let sent = tokio::select! {
            () = self.gone.cancelled() => return,
            sent = async {
                self.half.exit_status(u32::from(status)).await?;
                self.half.eof().await
            } => sent,
        };
        if sent.is_ok() {
            // Set first: a client that sees the close may open its next channel at once.
            self.closed.store(true, Ordering::Release);
            // A client that has disconnected needs no close.
            let _ = self.half.close().await;
        }
    }

    /// Writes why a command is not run, and ends the channel. A git client gets all of it as one error packet of the git protocol:
    /// the two streams of ssh have no common order.
    pub(crate) async fn refuse(&self, user_error: &UserError, for_git: bool) {
        // A client that has disconnected reads nothing more.
        let _ = match for_git {
            true => self.send(OutputStream::Stdout, user_errors::packet(user_error).into()).await,
            false => self.send(OutputStream::Stderr, error_lines(user_error)).await,
        };
        self.exit(1).await;
    }
}

/// An error as lines for a terminal. The carriage returns are for terminals in raw mode, and harmless elsewhere.
pub(crate) fn error_lines(user_error: &UserError) -> Bytes {
    let mut text = String::new();
    for line in push_output::user_error(user_error) {
        text.push_str(&line);
        text.push_str("\r\n");
    }
    text.into()
}
