//! The client's end of one channel: what a command writes to.
//!
//! Writing waits for the client's window, and ends at once when the client is gone: a window that will never grow again is
//! otherwise waited for without end.

use std::sync::Arc;

use bytes::Bytes;
use model::{UserError, push_output};
use russh::ChannelWriteHalf;
use russh::server::Msg;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio_util::sync::CancellationToken;

use crate::spool::Outlet;
use crate::user_errors;

/// How much is read from a command at once.
const READ: usize = 32 * 1024;

/// The client is not there any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

/// Which of a client's two streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum To {
    Stdout,
    Stderr,
}

#[derive(Clone)]
pub(crate) struct Client {
    half: Arc<ChannelWriteHalf<Msg>>,
    gone: CancellationToken,
}

impl Client {
    pub(crate) fn new(half: Arc<ChannelWriteHalf<Msg>>, gone: CancellationToken) -> Self {
        Self { half, gone }
    }

    pub(crate) fn gone(&self) -> &CancellationToken {
        &self.gone
    }

    /// Sends bytes.
    pub(crate) async fn send(&self, to: To, bytes: Bytes) -> Result<(), Gone> {
        let sending = async {
            match to {
                To::Stdout => self.half.data_bytes(bytes).await,
                To::Stderr => self.half.extended_data_bytes(1, bytes).await,
            }
        };
        tokio::select! {
            biased;
            () = self.gone.cancelled() => Err(Gone),
            sent = sending => sent.map_err(|_| Gone),
        }
    }

    /// Carries a spool to the client until its end.
    pub(crate) async fn carry(&self, to: To, mut from: Outlet) -> Result<(), Gone> {
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

    /// Carries a pipe to the client until its end.
    pub(crate) async fn carry_pipe(&self, to: To, mut from: impl AsyncRead + Unpin) -> Result<(), Gone> {
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
        // A client that is gone has no use for it.
        let _ = tokio::select! {
            () = self.gone.cancelled() => Ok(()),
            ended = async {
                self.half.exit_status(u32::from(status)).await?;
                self.half.eof().await?;
                self.half.close().await
            } => ended,
        };
    }

    /// Says why a command is not run, and ends the channel. A git client gets the whole of it as the error that it knows and
    /// nothing beside: the two streams of ssh have no common order.
    pub(crate) async fn refuse(&self, user_error: &UserError, for_git: bool) {
        // A client that is gone reads no complaints.
        let _ = match for_git {
            true => self.send(To::Stdout, user_errors::packet(user_error).into()).await,
            false => self.send(To::Stderr, block(user_error)).await,
        };
        self.exit(1).await;
    }
}

/// A failure as bytes for a person's terminal. The carriage returns are for terminals in raw mode, and harmless elsewhere.
pub(crate) fn block(user_error: &UserError) -> Bytes {
    let mut text = String::new();
    for line in push_output::user_error(user_error) {
        text.push_str(&line);
        text.push_str("\r\n");
    }
    text.into()
}
