//! Builds by their id.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;

use super::documents::{BuildDoc, Done, FollowQuery};
use crate::caller::{self, Caller, Who};
use crate::extract::Asked;
use crate::path_params::AtBuild;
use crate::problem::Problem;
use crate::{Web, streams};

/// One build.
#[utoipa::path(get, path = "/api/v1/builds/{build}", tag = "builds", responses((status = 200, body = BuildDoc)))]
pub(crate) async fn build(State(web): State<Arc<Web>>, Who(who): Who, AtBuild(id): AtBuild) -> Result<Json<BuildDoc>, Problem> {
    Ok(Json(BuildDoc(web.manager.build(&who, &id).await?)))
}

/// The log of a build; with `follow`, until the build ends.
#[utoipa::path(get, path = "/api/v1/builds/{build}/log", tag = "builds", params(FollowQuery),
    responses((status = 200, content_type = "text/plain", body = String)))]
pub(crate) async fn log(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Who(who): Who,
    AtBuild(id): AtBuild,
    Asked(query): Asked<FollowQuery>,
) -> Result<Response, Problem> {
    let log = web.manager.build_log(&who, &id).await?;
    let app = web.manager.build(&who, &id).await?.app;
    Ok(streams::build_log(&web.clone(), log, query.follow, caller::turned_away(web, caller, app)))
}

/// Cancels a build that waits or runs.
#[utoipa::path(post, path = "/api/v1/builds/{build}/cancel", tag = "builds", responses((status = 200, body = Done)))]
pub(crate) async fn cancel(State(web): State<Arc<Web>>, Who(who): Who, AtBuild(id): AtBuild) -> Result<Json<Done>, Problem> {
    web.manager.cancel_build(&who, &id).await?;
    Ok(Json(Done {}))
}
