//! What is done to an app in one environment: releases, config, processes, domains, logs.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use futures_util::StreamExt;
use http::StatusCode;
use model::{Hostname, ProcessName, ReleaseNumber};

use super::documents::{
    Between, BuildDoc, ConfigWish, DiffDoc, DomainDoc, Done, HostnameQuery, Limit, LogQuery, MaintenanceMode, MaintenanceWish, NewDomain,
    PsDoc, ReleaseDoc, RetryWish, RollbackWish, ScaleWish,
};
use crate::caller::{self, Caller, Who};
use crate::extract::{Asked, Body};
use crate::path_params::AtEnv;
use crate::problem::Problem;
use crate::{Web, streams};

/// Lines of a log at once.
const MAX_LINES: usize = 10_000;

/// The newest builds.
#[utoipa::path(get, path = "/api/v1/apps/{tenant}/{app}/envs/{env}/builds", tag = "builds", params(Limit), responses((status = 200, body = Vec<BuildDoc>)))]
pub(crate) async fn builds(
    State(web): State<Arc<Web>>,
    Who(who): Who,
    AtEnv(app): AtEnv,
    Asked(limit): Asked<Limit>,
) -> Result<Json<Vec<BuildDoc>>, Problem> {
    let builds = web.manager.builds(&who, &app, limit.limit.unwrap_or(20)).await?;
    Ok(Json(builds.into_iter().map(BuildDoc).collect()))
}

/// The newest releases.
#[utoipa::path(get, path = "/api/v1/apps/{tenant}/{app}/envs/{env}/releases", tag = "releases", params(Limit), responses((status = 200, body = Vec<ReleaseDoc>)))]
pub(crate) async fn releases(
    State(web): State<Arc<Web>>,
    Who(who): Who,
    AtEnv(app): AtEnv,
    Asked(limit): Asked<Limit>,
) -> Result<Json<Vec<ReleaseDoc>>, Problem> {
    let releases = web.manager.releases(&who, &app, limit.limit.unwrap_or(20)).await?;
    Ok(Json(releases.into_iter().map(ReleaseDoc).collect()))
}

/// What differs between two releases. Values of config are never shown.
#[utoipa::path(get, path = "/api/v1/apps/{tenant}/{app}/envs/{env}/releases/diff", tag = "releases", params(Between), responses((status = 200, body = DiffDoc)))]
pub(crate) async fn diff(
    State(web): State<Arc<Web>>,
    Who(who): Who,
    AtEnv(app): AtEnv,
    Asked(query): Asked<Between>,
) -> Result<Json<DiffDoc>, Problem> {
    let (from, to) = (ReleaseNumber::parse(&query.from)?, ReleaseNumber::parse(&query.to)?);
    Ok(Json(DiffDoc(web.manager.diff(&who, &app, from, to).await?)))
}

/// Goes back to an earlier release as a new one, and tells its rollout line by line.
#[utoipa::path(post, path = "/api/v1/apps/{tenant}/{app}/envs/{env}/rollback", tag = "releases", request_body = RollbackWish,
    responses((status = 200, content_type = "application/x-ndjson", body = String)))]
pub(crate) async fn rollback(
    State(web): State<Arc<Web>>,
    Who(who): Who,
    AtEnv(app): AtEnv,
    Body(wish): Body<RollbackWish>,
) -> Result<Response, Problem> {
    let to = wish.to.as_deref().map(ReleaseNumber::parse).transpose()?;
    let (manager, of) = (web.manager.clone(), app.clone());
    streams::roll_out(web, app, async move { manager.rollback(&who, &of, to).await.map(Some) }).await
}

/// Tries a failed release again as a new one, with the config of now, and tells its rollout line by line.
#[utoipa::path(post, path = "/api/v1/apps/{tenant}/{app}/envs/{env}/releases/retry", tag = "releases", request_body = RetryWish,
    responses((status = 200, content_type = "application/x-ndjson", body = String)))]
pub(crate) async fn retry(
    State(web): State<Arc<Web>>,
    Who(who): Who,
    AtEnv(app): AtEnv,
    Body(wish): Body<RetryWish>,
) -> Result<Response, Problem> {
    let which = wish.release.as_deref().map(ReleaseNumber::parse).transpose()?;
    let (manager, of) = (web.manager.clone(), app.clone());
    streams::roll_out(web, app, async move { manager.retry(&who, &of, which).await.map(Some) }).await
}

/// What visitors get in place of the app, while it is in maintenance.
#[utoipa::path(get, path = "/api/v1/apps/{tenant}/{app}/envs/{env}/maintenance", tag = "processes", responses((status = 200, body = MaintenanceMode)))]
pub(crate) async fn maintenance(State(web): State<Arc<Web>>, Who(who): Who, AtEnv(app): AtEnv) -> Result<Json<MaintenanceMode>, Problem> {
    Ok(Json(MaintenanceMode { mode: web.manager.maintenance(&who, &app).await? }))
}

/// Begins or ends maintenance.
#[utoipa::path(put, path = "/api/v1/apps/{tenant}/{app}/envs/{env}/maintenance", tag = "processes", request_body = MaintenanceWish,
    responses((status = 200, body = Done)))]
pub(crate) async fn set_maintenance(
    State(web): State<Arc<Web>>,
    Who(who): Who,
    AtEnv(app): AtEnv,
    Body(wish): Body<MaintenanceWish>,
) -> Result<Json<Done>, Problem> {
    web.manager.set_maintenance(&who, &app, wish.mode).await?;
    Ok(Json(Done {}))
}

/// The names of the config keys.
#[utoipa::path(get, path = "/api/v1/apps/{tenant}/{app}/envs/{env}/config", tag = "config", responses((status = 200, body = Vec<String>)))]
pub(crate) async fn config_keys(State(web): State<Arc<Web>>, Who(who): Who, AtEnv(app): AtEnv) -> Result<Json<Vec<String>>, Problem> {
    Ok(Json(web.manager.config_keys(&who, &app).await?))
}

/// The config with its values. It is a right of its own, and an event.
#[utoipa::path(get, path = "/api/v1/apps/{tenant}/{app}/envs/{env}/config/values", tag = "config", responses((status = 200, body = BTreeMap<String, String>)))]
pub(crate) async fn config_values(
    State(web): State<Arc<Web>>,
    Who(who): Who,
    AtEnv(app): AtEnv,
) -> Result<Json<BTreeMap<String, String>>, Problem> {
    Ok(Json(web.manager.config_values(&who, &app).await?))
}

/// Sets and removes keys in one step: one release, whose rollout is told line by line.
#[utoipa::path(patch, path = "/api/v1/apps/{tenant}/{app}/envs/{env}/config", tag = "config", request_body = ConfigWish,
    responses((status = 200, content_type = "application/x-ndjson", body = String)))]
pub(crate) async fn set_config(
    State(web): State<Arc<Web>>,
    Who(who): Who,
    AtEnv(app): AtEnv,
    Body(wish): Body<ConfigWish>,
) -> Result<Response, Problem> {
    let done = web.manager.set_config(&who, &app, wish.set, wish.unset).await?;
    if !done.changed {
        return Ok(streams::unchanged());
    }
    streams::roll_out(web, app, async move { Ok(done.release) }).await
}

/// What runs.
#[utoipa::path(get, path = "/api/v1/apps/{tenant}/{app}/envs/{env}/ps", tag = "processes", responses((status = 200, body = PsDoc)))]
pub(crate) async fn ps(State(web): State<Arc<Web>>, Who(who): Who, AtEnv(app): AtEnv) -> Result<Json<PsDoc>, Problem> {
    Ok(Json(PsDoc(web.manager.ps(&who, &app).await?)))
}

/// Sets how many instances of process types should run.
#[utoipa::path(post, path = "/api/v1/apps/{tenant}/{app}/envs/{env}/scale", tag = "processes", request_body = ScaleWish,
    responses((status = 200, content_type = "application/x-ndjson", body = String)))]
pub(crate) async fn scale(
    State(web): State<Arc<Web>>,
    Who(who): Who,
    AtEnv(app): AtEnv,
    Body(wish): Body<ScaleWish>,
) -> Result<Response, Problem> {
    web.manager.scale(&who, &app, &wish.counts).await?;
    Ok(streams::done(None))
}

/// Replaces every instance by a new one of the same release.
#[utoipa::path(post, path = "/api/v1/apps/{tenant}/{app}/envs/{env}/restart", tag = "processes",
    responses((status = 200, content_type = "application/x-ndjson", body = String)))]
pub(crate) async fn restart(State(web): State<Arc<Web>>, Who(who): Who, AtEnv(app): AtEnv) -> Result<Response, Problem> {
    web.manager.restart(&who, &app).await?;
    Ok(streams::done(None))
}

/// The host names, the platform's first.
#[utoipa::path(get, path = "/api/v1/apps/{tenant}/{app}/envs/{env}/domains", tag = "domains", responses((status = 200, body = Vec<DomainDoc>)))]
pub(crate) async fn domains(State(web): State<Arc<Web>>, Who(who): Who, AtEnv(app): AtEnv) -> Result<Json<Vec<DomainDoc>>, Problem> {
    let domains = web.manager.domains(&who, &app).await?;
    Ok(Json(domains.into_iter().map(|taken| DomainDoc::of(taken, &web.manager)).collect()))
}

/// Adds a host name.
#[utoipa::path(post, path = "/api/v1/apps/{tenant}/{app}/envs/{env}/domains", tag = "domains", request_body = NewDomain, responses((status = 201, body = Done)))]
pub(crate) async fn add_domain(
    State(web): State<Arc<Web>>,
    Who(who): Who,
    AtEnv(app): AtEnv,
    Body(wish): Body<NewDomain>,
) -> Result<(StatusCode, Json<Done>), Problem> {
    web.manager.add_domain(&who, &app, &wish.hostname).await?;
    Ok((StatusCode::CREATED, Json(Done {})))
}

/// Gives up an added host name.
#[utoipa::path(delete, path = "/api/v1/apps/{tenant}/{app}/envs/{env}/domains", tag = "domains", params(HostnameQuery), responses((status = 200, body = Done)))]
pub(crate) async fn remove_domain(
    State(web): State<Arc<Web>>,
    Who(who): Who,
    AtEnv(app): AtEnv,
    Asked(query): Asked<HostnameQuery>,
) -> Result<Json<Done>, Problem> {
    web.manager.remove_domain(&who, &app, &Hostname::new(&query.hostname)?).await?;
    Ok(Json(Done {}))
}

/// The last lines of all instances, across releases; with `follow`, and those to come.
#[utoipa::path(get, path = "/api/v1/apps/{tenant}/{app}/envs/{env}/logs", tag = "processes", params(LogQuery),
    responses((status = 200, content_type = "text/plain", body = String)))]
pub(crate) async fn logs(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Who(who): Who,
    AtEnv(app): AtEnv,
    Asked(query): Asked<LogQuery>,
) -> Result<Response, Problem> {
    web.manager.may_read_logs(&who, &app).await?;
    let process = query.process.map(ProcessName::new).transpose()?;
    let n = query.n.unwrap_or(100).min(MAX_LINES);
    if let Some(process) = &process
        && web.logs.tail(&app, 1, Some(process)).await.is_empty()
    {
        // Without a line of it, it may still be new; lines of earlier releases are shown whatever runs now.
        web.manager.knows_process(&who, &app, process).await?;
    }
    let lines = streams::instance_lines(&web, &app, n, process.as_ref(), query.follow).await;
    Ok(streams::lines_as_text(lines.take_until(Box::pin(caller::turned_away(web, caller, app)))))
}
