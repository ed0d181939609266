//! The page of a build, with its log as it grows. It opens from the URL that the push printed.

use std::sync::Arc;

use axum::extract::State;
use axum::response::sse::Event;
use axum::response::{IntoResponse, Redirect, Response};
use bytes::Bytes;
use chrono::Utc;
use futures_util::stream::{self, StreamExt};
use http::HeaderMap;
use manager::authorize::{Decision, authorize};
use manager::{Object, Verb};
use model::{BuildState, UserError};
use serde::Serialize;
use serde_json::json;

use super::app_view::{self, BuildView};
use super::{Answer, Visitor, page_refresh};
use crate::ansi::{self, Line};
use crate::caller::{self, Caller};
use crate::path_params::AtBuild;
use crate::problem::Problem;
use crate::{Web, streams};

/// Lines of an ended build on its page; the whole log is one click away.
const SHOWN_LINES: usize = 5_000;

#[derive(Serialize)]
struct Page {
    build: BuildView,
    app: String,
    env: String,
    name: String,
    tenant: String,
    href: String,
    before: String,
    error: Option<UserError>,
    lines: Vec<Line>,
    left_out: usize,
    may_cancel: bool,
    url: String,
}

/// Cuts pieces into lines; the last one may come without its end.
#[derive(Default)]
struct Lines {
    rest: Vec<u8>,
    number: u64,
}

impl Lines {
    fn cut(&mut self, piece: &[u8]) -> Vec<Line> {
        self.rest.extend_from_slice(piece);
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else { return Vec::new() };
        let whole: Vec<u8> = self.rest.drain(..=end).collect();
        let lines: Vec<Line> = String::from_utf8_lossy(&whole).lines().map(ansi::line).collect();
        self.number += lines.len() as u64;
        lines
    }

    fn end(&mut self) -> Vec<Line> {
        if self.rest.is_empty() { Vec::new() } else { self.cut(b"\n") }
    }
}

/// The page.
pub(crate) async fn page(State(web): State<Arc<Web>>, Visitor(who): Visitor, AtBuild(id): AtBuild) -> Answer {
    let build = web.manager.build(&who, &id).await?;
    let (app, _) = web.manager.app_info(&who, &build.app.app_ref()).await?;
    let may_cancel = authorize(&who, Verb::BuildsCancel, &Object::App(app.app, app.team)) == Decision::Allow;
    let mut lines = Vec::new();
    if build.state.is_final() {
        let log = web.manager.build_log(&who, &id).await?;
        let mut cut = Lines::default();
        let mut pieces = std::pin::pin!(streams::pieces(log, false));
        while let Some(piece) = pieces.next().await {
            lines.extend(cut.cut(&piece));
        }
        lines.extend(cut.end());
    }
    let left_out = lines.len().saturating_sub(SHOWN_LINES);
    lines.drain(..left_out);
    let at = &build.app;
    // For the way from a build to what it changed.
    let before = build.release.filter(|number| number.0 > 1).map(|number| format!("v{}", number.0 - 1));
    let page = Page {
        app: at.app_ref().to_string(),
        env: at.env.to_string(),
        name: at.app.to_string(),
        tenant: at.tenant.to_string(),
        href: format!("/apps/{at}"),
        before: before.unwrap_or_default(),
        error: build.error.clone(),
        lines,
        left_out,
        may_cancel: may_cancel && matches!(build.state, BuildState::Queued | BuildState::Running),
        url: web.manager.app_url(at),
        build: app_view::build(&build, Utc::now()),
    };
    Ok(web.pages.draw("build.html", Some(&who), &page))
}

/// The log as events of lines, from its start or from where a browser lost it, and at the end how the build ended.
pub(crate) async fn stream(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Visitor(who): Visitor,
    AtBuild(id): AtBuild,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let log = web.manager.build_log(&who, &id).await?;
    let app = web.manager.build(&who, &id).await?.app;
    let had: u64 = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok()).unwrap_or(0);
    let pieces = streams::pieces(log, true).map(Some).chain(stream::iter([None]));
    let batches = pieces.scan(Lines::default(), |cut, piece: Option<Bytes>| {
        let lines = match piece {
            Some(piece) => cut.cut(&piece),
            None => cut.end(),
        };
        std::future::ready(Some((cut.number, lines)))
    });
    let events = batches.filter_map(move |(number, mut lines)| {
        // Lines that the browser has already.
        let first = number - lines.len() as u64;
        lines.drain(..had.saturating_sub(first).min(lines.len() as u64) as usize);
        let event = (!lines.is_empty()).then(|| Event::default().id(number.to_string()).data(json!(lines).to_string()));
        std::future::ready(event)
    });
    let of = web.clone();
    let end = stream::once(async move { ended(&of, &who, &id).await });
    let events = events.chain(end).take_until(Box::pin(caller::turned_away(web.clone(), caller, app)));
    Ok(page_refresh::events(&web, events))
}

/// How a build ended. The log ends a moment before its record says so.
async fn ended(web: &Web, who: &manager::Identity, id: &model::BuildId) -> Event {
    let mut tick = tokio::time::interval(std::time::Duration::from_millis(100));
    for _ in 0..50 {
        tick.tick().await;
        match web.manager.build(who, id).await {
            Ok(build) if build.state.is_final() => {
                let view = app_view::build(&build, Utc::now());
                return Event::default().event("end").data(json!({ "state": view.state, "class": view.class }).to_string());
            }
            Ok(_) => {}
            Err(_) => break,
        }
    }
    Event::default().event("end").data("{}")
}

/// The whole log as text; it grows while the build runs, without any script.
pub(crate) async fn text(State(web): State<Arc<Web>>, caller: Caller, Visitor(who): Visitor, AtBuild(id): AtBuild) -> Answer {
    let log = web.manager.build_log(&who, &id).await?;
    let app = web.manager.build(&who, &id).await?.app;
    Ok(streams::build_log(&web.clone(), log, true, caller::turned_away(web, caller, app)))
}

/// Cancels the build.
pub(crate) async fn cancel(State(web): State<Arc<Web>>, Visitor(who): Visitor, AtBuild(id): AtBuild) -> Answer {
    web.manager.cancel_build(&who, &id).await?;
    Ok(Redirect::to(&format!("/builds/{id}")).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_become_whole_lines() {
        let mut cut = Lines::default();
        assert!(cut.cut(b"-----> Bui").is_empty());
        let lines = cut.cut("ld\n       caf\u{e9}\nrest".as_bytes());
        assert_eq!((lines.len(), lines[0].kind, cut.number), (2, "step", 2));
        assert_eq!((cut.end().len(), cut.number, cut.end().len()), (1, 3, 0));
    }
}
