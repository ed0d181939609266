//! The live log of an app in an environment.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use axum::response::sse::Event;
use futures_util::StreamExt;
use model::{AppEnv, ProcessName};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::app_view::{self, EnvTab};
use super::{Answer, Visitor, page_refresh};
use crate::ansi::{self, Line};
use crate::caller::{self, Caller};
use crate::extract::Asked;
use crate::path_params::AtEnv;
use crate::problem::Problem;
use crate::{Web, streams};

/// Lines that the page begins with.
const TAIL: usize = 200;
/// Lines in one event at most: a busy app must not make an event per line.
const BATCH: usize = 500;

#[derive(Deserialize)]
pub(crate) struct Query {
    #[serde(default)]
    process: String,
}

impl Query {
    fn process(&self) -> Result<Option<ProcessName>, Problem> {
        Ok(if self.process.is_empty() { None } else { Some(ProcessName::new(self.process.as_str())?) })
    }
}

#[derive(Serialize)]
struct Page {
    app: String,
    name: String,
    tenant: String,
    env: String,
    href: String,
    flags: String,
    tabs: Vec<EnvTab>,
    process: String,
    processes: Vec<String>,
    lines: Vec<Line>,
}

/// The page, with the last lines.
pub(crate) async fn page(State(web): State<Arc<Web>>, Visitor(who): Visitor, AtEnv(at): AtEnv, Asked(query): Asked<Query>) -> Answer {
    web.manager.may_read_logs(&who, &at).await?;
    let process = query.process()?;
    let (_, envs) = web.manager.app_info(&who, &at.app_ref()).await?;
    let ps = web.manager.ps(&who, &at).await?;
    let tail = web.logs.tail(&at, TAIL, process.as_ref()).await;
    let tabs = app_view::tabs(&envs, &at).into_iter().map(|tab| EnvTab { href: format!("{}/logs", tab.href), ..tab }).collect();
    let page = Page {
        app: at.app_ref().to_string(),
        name: at.app.to_string(),
        tenant: at.tenant.to_string(),
        env: at.env.to_string(),
        href: format!("/apps/{at}"),
        flags: format!("-a {} -e {}", at.app_ref(), at.env),
        tabs,
        process: query.process,
        processes: ps.wanted.keys().map(ToString::to_string).collect(),
        lines: tail.iter().map(|text| ansi::line(text)).collect(),
    };
    Ok(web.pages.draw("logs.html", Some(&who), &page))
}

/// The lines as events: first the last ones, then those to come.
pub(crate) async fn stream(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Visitor(who): Visitor,
    AtEnv(at): AtEnv,
    Asked(query): Asked<Query>,
) -> Result<Response, Problem> {
    web.manager.may_read_logs(&who, &at).await?;
    let process = query.process()?;
    let lines = lines(&web, &at, process.as_ref()).await;
    Ok(page_refresh::events(&web, lines.take_until(Box::pin(caller::turned_away(web.clone(), caller, at)))))
}

async fn lines(web: &Web, at: &AppEnv, process: Option<&ProcessName>) -> impl futures_util::Stream<Item = Event> + Send + 'static + use<> {
    let lines = streams::instance_lines(web, at, TAIL, process, true).await;
    lines.ready_chunks(BATCH).map(|lines| {
        let lines: Vec<Line> = lines.iter().map(|text| ansi::line(text)).collect();
        Event::default().data(json!(lines).to_string())
    })
}
