//! Apps.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use model::AppPath;
use store::records::{App, Env};

use super::documents::{AppInfo, AppItem, AppRefDoc, Confirm, Done, EnvInfo, EventDoc, Limit, NewApp, PathQuery};
use crate::Web;
use crate::caller::Who;
use crate::extract::{Asked, Body};
use crate::path_params::AtApp;
use crate::problem::Problem;

impl From<App> for AppItem {
    fn from(app: App) -> Self {
        Self { app: app.app.to_string(), team: app.team, created_at: app.created_at }
    }
}

/// An environment as the API shows it.
pub(crate) fn env_info(web: &Web, env: Env) -> EnvInfo {
    EnvInfo {
        remote: web.manager.remote_of(&env.app),
        url: web.manager.app_url(&env.app),
        env: env.app.env,
        deploy_branch: env.deploy_branch,
        current: env.current.map(|number| number.to_string()),
        counts: env.counts,
        config_keys: env.config_keys,
    }
}

/// Which app is meant by what a person wrote.
#[utoipa::path(get, path = "/api/v1/resolve", tag = "apps", params(PathQuery), responses((status = 200, body = AppRefDoc)))]
pub(crate) async fn resolve(
    State(web): State<Arc<Web>>,
    Who(who): Who,
    Asked(query): Asked<PathQuery>,
) -> Result<Json<AppRefDoc>, Problem> {
    let path: AppPath = query.path.parse()?;
    Ok(Json(AppRefDoc(web.manager.resolve(&who, &path).await?)))
}

/// The apps that you see.
#[utoipa::path(get, path = "/api/v1/apps", tag = "apps", responses((status = 200, body = Vec<AppItem>)))]
pub(crate) async fn apps(State(web): State<Arc<Web>>, Who(who): Who) -> Result<Json<Vec<AppItem>>, Problem> {
    Ok(Json(web.manager.apps(&who).await?.into_iter().map(AppItem::from).collect()))
}

/// Makes an app.
#[utoipa::path(post, path = "/api/v1/apps", tag = "apps", request_body = NewApp, responses((status = 201, body = AppInfo)))]
pub(crate) async fn create_app(
    State(web): State<Arc<Web>>,
    Who(who): Who,
    Body(wish): Body<NewApp>,
) -> Result<(StatusCode, Json<AppInfo>), Problem> {
    let path: AppPath = wish.app.parse()?;
    let app = web.manager.resolve(&who, &path).await?;
    web.manager.create_app(&who, &app, wish.team.as_ref()).await?;
    Ok((StatusCode::CREATED, info_of(&web, &who, &app).await?))
}

async fn info_of(web: &Web, who: &manager::Identity, app: &model::AppRef) -> Result<Json<AppInfo>, Problem> {
    let (app, envs) = web.manager.app_info(who, app).await?;
    let envs = envs.into_iter().map(|env| env_info(web, env)).collect();
    Ok(Json(AppInfo { app: app.app.to_string(), team: app.team, created_at: app.created_at, envs }))
}

/// An app with its environments.
#[utoipa::path(get, path = "/api/v1/apps/{tenant}/{app}", tag = "apps", responses((status = 200, body = AppInfo)))]
pub(crate) async fn app_info(State(web): State<Arc<Web>>, Who(who): Who, AtApp(app): AtApp) -> Result<Json<AppInfo>, Problem> {
    info_of(&web, &who, &app).await
}

/// Destroys an app and everything of it.
#[utoipa::path(delete, path = "/api/v1/apps/{tenant}/{app}", tag = "apps", params(Confirm), responses((status = 200, body = Done)))]
pub(crate) async fn destroy_app(
    State(web): State<Arc<Web>>,
    Who(who): Who,
    AtApp(app): AtApp,
    Asked(query): Asked<Confirm>,
) -> Result<Json<Done>, Problem> {
    web.manager.destroy_app(&who, &app, &query.confirm).await?;
    Ok(Json(Done {}))
}

/// The newest events of an app, in all environments.
#[utoipa::path(get, path = "/api/v1/apps/{tenant}/{app}/events", tag = "apps", params(Limit), responses((status = 200, body = Vec<EventDoc>)))]
pub(crate) async fn events(
    State(web): State<Arc<Web>>,
    Who(who): Who,
    AtApp(app): AtApp,
    Asked(limit): Asked<Limit>,
) -> Result<Json<Vec<EventDoc>>, Problem> {
    let events = web.manager.events(&who, &app.tenant, Some(&app), limit.limit.unwrap_or(50)).await?;
    Ok(Json(events.into_iter().map(EventDoc).collect()))
}
