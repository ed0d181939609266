//! Answers that take their time: progress as JSON lines, logs as text. What they tell of never waits for who reads them.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};
use http::header;
use manager::Output;
use manager::push::build_log::LogReader;
use model::{ReleaseNumber, UserError};
use serde_json::json;
use tokio::sync::{mpsc, oneshot};

use crate::Web;
use crate::problem::Problem;
use crate::stream_limits::IsStream;

/// Lines that may wait for a slow reader; further ones are lost to them.
const WAITING_LINES: usize = 1_024;
/// Lines of a log that are compared to find where a tail ends and what follows begins.
const OVERLAP: usize = 200;

/// A listener that passes lines on and never waits.
struct Teller(mpsc::Sender<String>);

impl Output for Teller {
    fn line(&self, line: &str) {
        // A reader that is gone or slow misses lines, the work goes on.
        let _ = self.0.try_send(line.to_owned());
    }
}

fn json_line(value: &serde_json::Value) -> Bytes {
    Bytes::from(format!("{value}\n"))
}

fn answer(content_type: &'static str, stream: impl Stream<Item = Bytes> + Send + 'static) -> Response {
    let body = Body::from_stream(stream.map(Ok::<_, Infallible>));
    Response::builder()
        .extension(IsStream)
        .header(header::CONTENT_TYPE, content_type)
        .header("x-accel-buffering", "no")
        .body(body)
        .expect("the parts of the response are constant")
}

/// Says that something was done at once.
pub(crate) fn done(release: Option<ReleaseNumber>) -> Response {
    let line = json_line(&json!({ "done": { "release": release.map(|number| number.to_string()) } }));
    answer("application/x-ndjson", stream::once(async move { line }))
}

/// Says that there was nothing to do.
pub(crate) fn unchanged() -> Response {
    let line = json_line(&json!({ "done": { "release": null, "changed": false } }));
    answer("application/x-ndjson", stream::once(async move { line }))
}

/// Makes a release, then tells its rollout. Both run in a task of their own and go on to their end when the client leaves.
/// A refusal before the release is there is an ordinary error answer.
pub(crate) async fn roll_out<F>(web: Arc<Web>, app: model::AppEnv, release: F) -> Result<Response, Problem>
where
    F: Future<Output = Result<Option<ReleaseNumber>, UserError>> + Send + 'static,
{
    let (lines, told) = mpsc::channel(WAITING_LINES);
    let (say_begun, begun) = oneshot::channel();
    let (say_ended, ended) = oneshot::channel();
    tokio::spawn(async move {
        let number = match release.await {
            Ok(number) => number,
            Err(user_error) => return drop(say_begun.send(Err(user_error))),
        };
        // The client may be gone; the release has to be rolled out all the same.
        let _ = say_begun.send(Ok(()));
        let end = match number {
            None => Ok(None),
            Some(number) => web.manager.roll_out(&app, number, Arc::new(Teller(lines))).await.map(|()| Some(number)),
        };
        if let Err(user_error) = &end {
            tracing::info!(%app, code = %user_error.code, "a rollout asked for over HTTP failed");
        }
        let _ = say_ended.send(end);
    });
    match begun.await {
        Ok(Ok(())) => {}
        Ok(Err(user_error)) => return Err(user_error.into()),
        Err(_) => return Err(UserError::internal("rollout-task").into()),
    }
    let lines = stream::unfold(told, |mut told| async { told.recv().await.map(|line| (json_line(&json!({ "line": line })), told)) });
    let last = stream::once(async {
        match ended.await {
            Ok(Ok(number)) => json_line(&json!({ "done": { "release": number.map(|number| number.to_string()) } })),
            Ok(Err(user_error)) => json_line(&json!({ "error": user_error })),
            Err(_) => json_line(&json!({ "error": UserError::internal("rollout-task") })),
        }
    });
    Ok(answer("application/x-ndjson", lines.chain(last)))
}

/// Pieces of a build log: all of it and what comes, or what there is now.
pub(crate) fn build_log(web: &Web, log: LogReader, follow: bool, until: impl Future<Output = ()> + Send + 'static) -> Response {
    let pieces = pieces(log, follow).take_until(web.stop.clone().cancelled_owned()).take_until(Box::pin(until));
    answer("text/plain; charset=utf-8", pieces)
}

/// The pieces of a log. Without `follow`, a piece that does not fill the reader's buffer is the end of what is there.
pub(crate) fn pieces(log: LogReader, follow: bool) -> impl Stream<Item = Bytes> + Send + 'static {
    const WHOLE: usize = 64 * 1024;
    stream::unfold(Some(log), move |log| async move {
        let mut log = log?;
        match log.next().await {
            Ok(Some(piece)) => {
                let more = follow || piece.len() >= WHOLE;
                Some((Bytes::from(piece), more.then_some(log)))
            }
            Ok(None) => None,
            Err(error) => {
                tracing::warn!(%error, "a build log can not be read");
                None
            }
        }
    })
}

/// Lines of instances as text: the last ones, then those to come.
pub(crate) async fn instance_lines(
    web: &Web,
    app: &model::AppEnv,
    n: usize,
    process: Option<&model::ProcessName>,
    follow: bool,
) -> impl Stream<Item = String> + Send + 'static + use<> {
    // Listening begins before the tail is read: a line in between is seen twice and dropped once, never missed.
    let coming = follow.then(|| web.logs.follow(app, process));
    let tail = web.logs.tail(app, n, process).await;
    let mut seen: std::collections::HashSet<String> = tail.iter().rev().take(OVERLAP).cloned().collect();
    let mut overlaps = OVERLAP;
    let coming = coming.unwrap_or_else(|| stream::empty().boxed()).filter(move |line| {
        let again = overlaps > 0 && seen.remove(line);
        overlaps = overlaps.saturating_sub(1);
        if !again {
            // The first line that the tail did not have ends the overlap.
            overlaps = 0;
        }
        std::future::ready(!again)
    });
    stream::iter(tail).chain(coming).take_until(web.stop.clone().cancelled_owned())
}

/// The same as an answer.
pub(crate) fn lines_as_text(lines: impl Stream<Item = String> + Send + 'static) -> Response {
    answer("text/plain; charset=utf-8", lines.map(|line| Bytes::from(line + "\n")))
}
