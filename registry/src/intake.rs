//! The body of a request, as it comes in: in batches, with a cap and a limit on silence.
//!
//! Must never hold more than one batch, however long the body is.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;

use crate::problem::{Code, Problem};

/// Bytes handed on at once.
const BATCH: usize = 1 << 20;

/// What is still read of a refused request, so that its sender gets to read the refusal.
const DRAINED: usize = 8 << 20;

/// A body that is being read.
pub(crate) struct Intake {
    body: Body,
    stall: Duration,
    /// Nothing more can come.
    over: bool,
}

impl Intake {
    pub(crate) fn new(body: Body, stall: Duration) -> Self {
        Self { body, stall, over: false }
    }

    /// The next bytes, about a batch; empty at the end.
    pub(crate) async fn batch(&mut self) -> Result<Vec<Bytes>, Problem> {
        let mut pieces = Vec::new();
        let mut length = 0;
        while length < BATCH {
            let Some(piece) = self.piece().await? else { break };
            length += piece.len();
            pieces.push(piece);
        }
        Ok(pieces)
    }

    /// All of it, if it is no longer than `cap`.
    pub(crate) async fn whole(&mut self, cap: u64, too_large: Code) -> Result<Bytes, Problem> {
        let mut whole = BytesMut::new();
        while let Some(piece) = self.piece().await? {
            if (whole.len() + piece.len()) as u64 > cap {
                return Err(Problem::new(too_large, format!("at most {cap} bytes are taken")));
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }

    /// Reads on for a while and forgets it.
    pub(crate) async fn drain(&mut self) {
        let mut length = 0;
        while !self.over
            && length < DRAINED
            && let Ok(Some(piece)) = self.piece().await
        {
            length += piece.len();
        }
    }

    /// The next piece that is not empty.
    async fn piece(&mut self) -> Result<Option<Bytes>, Problem> {
        while !self.over {
            let next = tokio::time::timeout(self.stall, self.body.frame()).await;
            self.over = !matches!(next, Ok(Some(Ok(_))));
            match next {
                Ok(None) => {}
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(piece) if !piece.is_empty() => return Ok(Some(piece)),
                    // Trailers, which mean nothing here.
                    _ => {}
                },
                Ok(Some(Err(_))) => return Err(Problem::new(Code::BlobUploadInvalid, "the request ended before its body did")),
                Err(_) => return Err(Problem::new(Code::Stalled, "no more of the body came")),
            }
        }
        Ok(None)
    }
}
