//! The body of a request, received in batches, with a limit on its length and on the time without data.
//!
//! Must never hold more than one batch, however long the body is.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;

use crate::oci_error::{ErrorCode, OciError};

/// Size of a batch, in bytes.
const BATCH: usize = 1 << 20;

/// Most bytes that are read of a refused request, so that its client gets to read the error.
const DRAINED: usize = 8 << 20;

/// A body that is being read.
pub(crate) struct RequestBody {
    body: Body,
    stall: Duration,
    /// Whether the end, or an error, was reached.
    over: bool,
}

impl RequestBody {
    pub(crate) fn new(body: Body, stall: Duration) -> Self {
        Self { body, stall, over: false }
    }

    /// The next bytes, about a batch; empty at the end.
    pub(crate) async fn batch(&mut self) -> Result<Vec<Bytes>, OciError> {
        let mut chunks = Vec::new();
        let mut length = 0;
        while length < BATCH {
            let Some(chunk) = self.chunk().await? else { break };
            length += chunk.len();
            chunks.push(chunk);
        }
        Ok(chunks)
    }

    /// The whole body, if it is no longer than `cap` bytes.
    pub(crate) async fn whole(&mut self, cap: u64, too_large: ErrorCode) -> Result<Bytes, OciError> {
        let mut whole = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            if (whole.len() + chunk.len()) as u64 > cap {
                return Err(OciError::new(too_large, format!("at most {cap} bytes are taken")));
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.freeze())
    }

    /// Reads and discards up to `DRAINED` bytes.
    pub(crate) async fn drain(&mut self) {
        let mut length = 0;
        while !self.over
            && length < DRAINED
            && let Ok(Some(chunk)) = self.chunk().await
        {
            length += chunk.len();
        }
    }

    /// The next frame of data that is not empty.
    async fn chunk(&mut self) -> Result<Option<Bytes>, OciError> {
        while !self.over {
            let next = tokio::time::timeout(self.stall, self.body.frame()).await;
            self.over = !matches!(next, Ok(Some(Ok(_))));
            match next {
                Ok(None) => {}
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(chunk) if !chunk.is_empty() => return Ok(Some(chunk)),
                    // Trailers, which mean nothing here.
                    _ => {}
                },
                Ok(Some(Err(_))) => return Err(OciError::new(ErrorCode::BlobUploadInvalid, "the request ended before its body did")),
                Err(_) => return Err(OciError::new(ErrorCode::Stalled, "no more of the body came")),
            }
        }
        Ok(None)
    }
}
