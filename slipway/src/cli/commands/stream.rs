//! Streamed answers: plain text, and progress lines that end with a result.

use futures_util::StreamExt;
use model::clean::Sanitizer;
use model::{Printable, UserError};
use serde::Deserialize;
use serde_json::Value;

use crate::cli::client::{CallError, Pieces};
use crate::cli::context::Context;

/// Copies a text stream to the output until it ends or nobody reads.
pub async fn copy(context: &Context, mut pieces: Pieces) -> Result<(), CallError> {
    let mut sanitizer = Sanitizer::without_cut();
    let mut lines = Vec::new();
    loop {
        let piece = pieces.next().await.transpose();
        let piece = piece.map_err(|why| CallError::Unreachable { server: context.client.name().into(), why })?;
        match &piece {
            Some(piece) => sanitizer.push(piece, &mut lines),
            None => sanitizer.finish(&mut lines),
        }
        for line in lines.drain(..) {
            if !context.output.piece(&Printable::text(&format!("{line}\n"))) {
                return Ok(());
            }
        }
        if piece.is_none() {
            return Ok(());
        }
        context.output.caught_up().await;
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum ProgressEvent {
    Line(String),
    Done(Value),
    Error(UserError),
}

/// Shows progress lines until the result comes, which is given.
pub async fn progress(context: &Context, mut pieces: Pieces) -> Result<Value, CallError> {
    let lost = |why: String| CallError::Unreachable { server: context.client.name().into(), why };
    let mut rest: Vec<u8> = Vec::new();
    while let Some(piece) = pieces.next().await {
        rest.extend_from_slice(&piece.map_err(lost)?);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            match serde_json::from_slice(&line).map_err(|error| lost(error.to_string()))? {
                ProgressEvent::Line(text) => context.output.note(text),
                ProgressEvent::Done(value) => return Ok(value),
                ProgressEvent::Error(user_error) => return Err(user_error.into()),
            }
        }
    }
    Err(lost("the connection ended before the result; the work goes on".into()))
}
