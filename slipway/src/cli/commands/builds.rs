//! Builds and logs.

use model::{Build, Code, UserError, push_output};
use reqwest::Method;
use serde_json::{Value, json};

use super::stream;
use crate::cli::args::{BuildsVerb, Target};
use crate::cli::client::{CallError, Payload, quote};
use crate::cli::context::{Context, env_path};

pub async fn run(context: &Context, target: &Target, verb: Option<&BuildsVerb>) -> Result<(), CallError> {
    match verb {
        None => {
            let app = context.target(target).await?;
            let builds: Vec<Build> = context.client.get(&format!("{}/builds?limit=20", env_path(&app))).await?;
            context
                .output
                .answer(&builds, |output| output.table(&["build", "state", "commit", "release", "took", "by", "what"], rows(&builds)));
        }
        Some(BuildsVerb::Info { build }) => {
            let build: Build = context.client.get(&format!("/api/v1/builds/{}", quote(build))).await?;
            context.output.answer(&build, |output| {
                output.table(&["build", "state", "commit", "release", "took", "by", "what"], rows(std::slice::from_ref(&build)));
                if let Some(user_error) = &build.error {
                    output.error(user_error);
                }
            });
        }
        Some(BuildsVerb::Attach { build }) => {
            let build = match build {
                Some(build) => build.clone(),
                None => {
                    let app = context.target(target).await?;
                    let builds: Vec<Build> = context.client.get(&format!("{}/builds?limit=1", env_path(&app))).await?;
                    let newest = builds.first().ok_or_else(|| UserError::new(Code::NotFound, format!("{app} has no builds yet")))?;
                    newest.id.to_string()
                }
            };
            let path = format!("/api/v1/builds/{}/log?follow=true", quote(&build));
            stream::copy(context, context.client.stream(Method::GET, &path, Payload::None).await?).await?;
            let ended: Build = context.client.get(&format!("/api/v1/builds/{}", quote(&build))).await?;
            if let Some(user_error) = ended.error {
                // The log ends with it.
                return Err(CallError::Told(Box::new(user_error)));
            }
        }
        Some(BuildsVerb::Cancel { build }) => {
            let _: Value = context.client.post(&format!("/api/v1/builds/{}/cancel", quote(build)), json!({})).await?;
            context.output.answer(&json!({}), |output| output.line(format!("build {build} is being cancelled")));
        }
    }
    Ok(())
}

fn rows(builds: &[Build]) -> Vec<Vec<String>> {
    let took = |build: &Build| match (build.started, build.ended) {
        (Some(started), Some(ended)) => push_output::elapsed((ended - started).num_milliseconds().max(0).unsigned_abs()),
        _ => String::new(),
    };
    builds
        .iter()
        .map(|build| {
            vec![
                build.id.to_string(),
                if build.reused { format!("{} (reused)", build.state.as_str()) } else { build.state.as_str().to_owned() },
                build.commit.get(..8).unwrap_or_default().to_owned(),
                build.release.map(|release| release.to_string()).unwrap_or_default(),
                took(build),
                build.by.to_string(),
                match &build.error {
                    Some(user_error) => format!("{} [{}]", user_error.what, user_error.code),
                    None => build.subject.clone(),
                },
            ]
        })
        .collect()
}

pub async fn logs(context: &Context, target: &Target, tail: bool, lines: u32, process: Option<&str>) -> Result<(), CallError> {
    let app = context.target(target).await?;
    let mut path = format!("{}/logs?n={lines}&follow={tail}", env_path(&app));
    if let Some(process) = process {
        path.push_str(&format!("&process={}", quote(process)));
    }
    stream::copy(context, context.client.stream(Method::GET, &path, Payload::None).await?).await
}
