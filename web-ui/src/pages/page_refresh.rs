//! Pages that keep themselves fresh: a stream that says when what a page shows has changed. The page then asks for itself again.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream, StreamExt};
use serde::Serialize;
use store::live::Area;

use crate::Web;
use crate::stream_limits::IsStream;

/// How often records are looked at, which tell nobody of their changes.
const LOOK: Duration = Duration::from_secs(2);
/// A sign of life for whatever stands in between.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// A short mark of what a page shows.
pub(crate) fn mark(shown: &impl Serialize) -> String {
    let text = serde_json::to_vec(shown).unwrap_or_default();
    let digest = ring::digest::digest(&ring::digest::SHA256, &text);
    digest.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Events as an answer; it ends when the server stops.
pub(crate) fn events(web: &Web, events: impl Stream<Item = Event> + Send + 'static) -> Response {
    let events = events.take_until(web.stop.clone().cancelled_owned()).map(Ok::<_, Infallible>);
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
    response.headers_mut().insert("x-accel-buffering", http::HeaderValue::from_static("no"));
    response.extensions_mut().insert(IsStream);
    response
}

/// Sends the mark of a page now and whenever it changes. The stream ends when the page can not be seen any more.
pub(crate) fn watch<F, Fut>(web: &Arc<Web>, look: F) -> Response
where
    F: Fn() -> Fut + Send + 'static,
    Fut: Future<Output = Option<String>> + Send + 'static,
{
    let watch = web.manager.live().watch(&[Area::Formations, Area::Instances]);
    let marks = stream::unfold((watch, look, String::new()), |(mut watch, look, last)| async move {
        loop {
            let mark = look().await?;
            if mark != last {
                return Some((Event::default().event("mark").data(&mark), (watch, look, mark)));
            }
            // Records change without a word; coordination says so at once.
            let _ = tokio::time::timeout(LOOK, watch.changed()).await;
        }
    });
    events(web, marks)
}
