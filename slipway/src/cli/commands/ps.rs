//! What runs, how many, restart.

use std::collections::BTreeMap;

use chrono::Utc;
use model::{Code, InstanceStatus, ProcessName, ReleaseNumber, UserError};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{stream, twice};
use crate::cli::args::{PsVerb, Target};
use crate::cli::client::{CallError, Payload};
use crate::cli::context::{Context, env_path};

/// How an app in an environment does, as the server derives it.
#[derive(Serialize, Deserialize)]
struct EnvState {
    kind: String,
    text: String,
    serving: Option<ReleaseNumber>,
    release: Option<ReleaseNumber>,
    why: String,
    until: Option<model::Time>,
}

#[derive(Serialize, Deserialize)]
struct Ps {
    state: EnvState,
    release: Option<ReleaseNumber>,
    wanted: BTreeMap<ProcessName, u32>,
    instances: Vec<InstanceStatus>,
    blocked: Vec<String>,
}

pub async fn run(context: &Context, target: &Target, verb: Option<&PsVerb>) -> Result<(), CallError> {
    match verb {
        None => show(context, target).await,
        Some(PsVerb::Restart) => restart(context, target).await,
        Some(PsVerb::Scale { counts }) => {
            let app = context.target(target).await?;
            let mut wanted = BTreeMap::new();
            for pair in counts {
                let parsed = pair.split_once('=').and_then(|(name, count)| Some((name, count.parse::<u32>().ok()?)));
                let Some((name, count)) = parsed else {
                    return Err(UserError::new(Code::BadRequest, format!("`{pair}` is not TYPE=COUNT"))
                        .next("slipway ps:scale web=2 worker=1")
                        .into());
                };
                if wanted.insert(name.to_owned(), count).is_some() {
                    return Err(twice(name, "count").into());
                }
            }
            let path = format!("{}/scale", env_path(&app));
            let pieces = context.client.stream(Method::POST, &path, Payload::Json(json!({ "counts": wanted }))).await?;
            let done = stream::progress(context, pieces).await?;
            context.output.answer(&done, |output| {
                let words: Vec<String> = wanted.iter().map(|(name, count)| format!("{name}={count}")).collect();
                output.line(format!("{app} is scaled to {}", words.join(" ")));
                let shows = if wanted.values().all(|count| *count == 0) { "end" } else { "come and go" };
                output.note(format!("slipway ps -a {} -e {}   # shows them {shows}", app.app_ref(), app.env));
            });
            Ok(())
        }
    }
}

pub async fn restart(context: &Context, target: &Target) -> Result<(), CallError> {
    let app = context.target(target).await?;
    let pieces = context.client.stream(Method::POST, &format!("{}/restart", env_path(&app)), Payload::None).await?;
    let done = stream::progress(context, pieces).await?;
    context.output.answer(&done, |output| output.line(format!("{app} restarts: each instance is replaced once its successor is healthy")));
    Ok(())
}

async fn show(context: &Context, target: &Target) -> Result<(), CallError> {
    let app = context.target(target).await?;
    let ps: Ps = context.client.get(&format!("{}/ps", env_path(&app))).await?;
    context.output.answer(&ps, |output| {
        let state = &ps.state;
        let release = ps.release.map(|release| format!("  {release}")).unwrap_or_default();
        output.line(format!("{app}{release}  {}: {}", state.kind, state.text));
        if !state.why.is_empty() {
            output.line(format!("  {}", state.why));
        }
        if let Some(until) = state.until {
            output.line(format!("  it is given up at {}", until.format("%H:%M:%S UTC")));
        }
        match state.kind.as_str() {
            "empty" => output.note(format!("git push paas-{} main", app.env)),
            "failed" if state.release.is_some() => {
                let at = format!("-a {} -e {}", app.app_ref(), app.env);
                output.note(format!("slipway releases:retry {at}   # tries it again; slipway logs {at} says more"));
            }
            _ => {}
        }
        if ps.instances.is_empty() {
            return;
        }
        let wanted: Vec<String> = ps.wanted.iter().map(|(name, count)| format!("{name}={count}")).collect();
        output.line(format!("  wanted: {}", wanted.join(" ")));
        let now = Utc::now();
        let rows = ps.instances.iter().map(|status| {
            let age = model::push_output::elapsed((now - status.since).num_milliseconds().max(0).unsigned_abs());
            vec![
                status.label(),
                status.state.as_str().to_owned(),
                status.release.to_string(),
                status.zone.to_string(),
                status.host.to_string(),
                age,
                status.restarts.to_string(),
                status.reason.clone().unwrap_or_default(),
            ]
        });
        output.table(&["process", "state", "release", "zone", "host", "since", "restarts", "reason"], rows.collect());
    });
    Ok(())
}
