//! Releases: list, differences, going back.

use model::{Code, Release, UserError};
use reqwest::Method;
use serde_json::{Value, json};

use super::stream;
use crate::cli::args::{ReleasesVerb, Target};
use crate::cli::client::{CallError, Payload, quote};
use crate::cli::context::{Context, env_path};

pub async fn run(context: &Context, target: &Target, verb: Option<&ReleasesVerb>) -> Result<(), CallError> {
    let app = context.target(target).await?;
    let path = format!("{}/releases", env_path(&app));
    match verb {
        None => {
            let releases: Vec<Release> = context.client.get(&format!("{path}?limit=30")).await?;
            context.output.answer(&releases, |output| {
                let rows = releases.iter().map(|release| {
                    vec![
                        release.number.to_string(),
                        release.state.as_str().to_owned(),
                        release.commit.get(..8).unwrap_or_default().to_owned(),
                        release.by.to_string(),
                        release.at.format("%Y-%m-%d %H:%M").to_string(),
                        match (&release.reason, &release.cause) {
                            (Some(reason), _) => reason.clone(),
                            (None, model::release::Cause::Push) => release.subject.clone(),
                            (None, cause) => cause.to_string(),
                        },
                    ]
                });
                output.table(&["release", "state", "commit", "by", "when (utc)", "what"], rows.collect());
            });
        }
        Some(ReleasesVerb::Retry { release }) => {
            let pieces =
                context.client.stream(Method::POST, &format!("{path}/retry"), Payload::Json(json!({ "release": release }))).await?;
            let done = stream::progress(context, pieces).await?;
            context.output.answer(&done, |output| output.line(format!("{app} serves {} now", done["release"].as_str().unwrap_or("it"))));
        }
        Some(ReleasesVerb::Diff { from, to }) => {
            let (from, to) = match (from, to) {
                (Some(from), Some(to)) => (from.clone(), to.clone()),
                (from, _) => {
                    let releases: Vec<Release> = context.client.get(&format!("{path}?limit=2")).await?;
                    match (releases.as_slice(), from) {
                        ([newest, ..], Some(from)) => (from.clone(), newest.number.to_string()),
                        ([newest, before], None) => (before.number.to_string(), newest.number.to_string()),
                        _ => return Err(UserError::new(Code::NoRelease, format!("{app} has fewer than two releases")).into()),
                    }
                }
            };
            let diff: Value = context.client.get(&format!("{path}/diff?from={}&to={}", quote(&from), quote(&to))).await?;
            context.output.answer(&diff, |output| {
                output.line(format!("{app}  {from} → {to}"));
                let lines = diff["lines"].as_array().cloned().unwrap_or_default();
                if lines.is_empty() {
                    output.line("  nothing differs");
                }
                lines.iter().filter_map(Value::as_str).for_each(|line| output.line(format!("  {line}")));
            });
        }
    }
    Ok(())
}

pub async fn rollback(context: &Context, target: &Target, release: Option<&str>) -> Result<(), CallError> {
    let app = context.target(target).await?;
    let path = format!("{}/rollback", env_path(&app));
    let pieces = context.client.stream(Method::POST, &path, Payload::Json(json!({ "to": release }))).await?;
    let done = stream::progress(context, pieces).await?;
    context.output.answer(&done, |output| {
        output.line(format!("{app} serves {} now", done["release"].as_str().unwrap_or("the earlier release")));
    });
    Ok(())
}
