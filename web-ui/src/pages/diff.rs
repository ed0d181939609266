//! What differs between two releases; and, on the way back, what a rollback would change and the button that does it.

use std::sync::Arc;

use axum::extract::State;
use model::{AppEnv, Code, ReleaseNumber, UserError};
use serde::{Deserialize, Serialize};

use super::{Answer, Visitor, app_view};
use crate::Web;
use crate::extract::Asked;
use crate::path_params::AtEnv;
use crate::problem::Problem;

#[derive(Deserialize)]
pub(crate) struct Query {
    from: String,
    to: String,
    /// Asked with the intention to go back to `to`.
    #[serde(default)]
    back: bool,
}

#[derive(Serialize)]
struct Page {
    at: String,
    app: String,
    env: String,
    href: String,
    flags: String,
    from: String,
    to: String,
    back: bool,
    may: bool,
    lines: Vec<LineView>,
}

#[derive(Serialize)]
struct LineView {
    what: String,
    class: &'static str,
    text: String,
}

/// `config   + KEY` as its parts.
fn line(text: &str) -> LineView {
    let (what, rest) = text.split_once(char::is_whitespace).unwrap_or(("", text));
    let rest = rest.trim_start();
    let class = match rest.split_once(' ').map(|(mark, _)| mark) {
        Some("+") => "more",
        Some("-") => "less",
        _ => "other",
    };
    LineView { what: what.into(), class, text: rest.into() }
}

/// The page.
pub(crate) async fn page(State(web): State<Arc<Web>>, Visitor(who): Visitor, AtEnv(at): AtEnv, Asked(query): Asked<Query>) -> Answer {
    let (from, to) = (ReleaseNumber::parse(&query.from)?, ReleaseNumber::parse(&query.to)?);
    let diff = web.manager.diff(&who, &at, from, to).await?;
    let (app, envs) = web.manager.app_info(&who, &at.app_ref()).await?;
    let current = envs.iter().find(|env| env.app == at).and_then(|env| env.current);
    if query.back && current != Some(from) {
        return Err(Problem(stale(&at)));
    }
    let app_ref = at.app_ref();
    let page = Page {
        at: at.to_string(),
        app: app_ref.to_string(),
        env: at.env.to_string(),
        href: format!("/apps/{at}"),
        flags: format!("-a {app_ref} -e {}", at.env),
        from: from.to_string(),
        to: to.to_string(),
        back: query.back,
        may: app_view::may(&who, &app).rollback,
        lines: diff.lines.iter().map(|text| line(text)).collect(),
    };
    Ok(web.pages.draw("diff.html", Some(&who), &page))
}

fn stale(at: &AppEnv) -> UserError {
    UserError::new(Code::InUse, format!("another release of {at} serves by now"))
        .why("The page that you came from showed an older one.")
        .next("go back to the app and look again")
}
