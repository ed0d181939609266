//! Hosts, and which way a request would take.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use model::{Code, Hostname, UserError};

use super::documents::{Done, HostDoc, HostMaintenance, HostQuery, TraceDoc};
use crate::Web;
use crate::caller::Who;
use crate::extract::{Asked, Body};
use crate::path_params::AtHost;
use crate::problem::Problem;

/// The hosts whose supervisors are there.
#[utoipa::path(get, path = "/api/v1/hosts", tag = "platform", responses((status = 200, body = Vec<HostDoc>)))]
pub(crate) async fn hosts(State(web): State<Arc<Web>>, Who(who): Who) -> Result<Json<Vec<HostDoc>>, Problem> {
    Ok(Json(web.manager.hosts(&who).await?.into_iter().map(HostDoc).collect()))
}

/// Takes a host out of service, or back.
#[utoipa::path(put, path = "/api/v1/hosts/{host}/maintenance", tag = "platform", request_body = HostMaintenance, responses((status = 200, body = Done)))]
pub(crate) async fn host_maintenance(
    State(web): State<Arc<Web>>,
    Who(who): Who,
    AtHost(host): AtHost,
    Body(wish): Body<HostMaintenance>,
) -> Result<Json<Done>, Problem> {
    web.manager.set_host_maintenance(&who, &host, wish.on).await?;
    Ok(Json(Done {}))
}

/// Which way a request for a host name would take, step by step. A name that leads to an app of others is answered as one that leads
/// nowhere.
#[utoipa::path(get, path = "/api/v1/router/trace", tag = "platform", params(HostQuery), responses((status = 200, body = TraceDoc)))]
pub(crate) async fn trace(State(web): State<Arc<Web>>, Who(who): Who, Asked(query): Asked<HostQuery>) -> Result<Json<TraceDoc>, Problem> {
    let host = Hostname::new(&query.host)?;
    let trace = web.routers.trace(&host).await?;
    if let Some(app) = &trace.app {
        match web.manager.may_trace(&who, app).await {
            Err(user_error) if user_error.code == Code::UnknownApp => {
                let steps = vec![format!("no rule has the host name {host}: 404")];
                return Ok(Json(TraceDoc { host, app: None, steps }));
            }
            other => other?,
        }
    }
    Ok(Json(TraceDoc { host, app: trace.app.map(|app| app.to_string()), steps: trace.steps }))
}

/// What is said where no router can be asked.
impl From<crate::routers::NoRouter> for Problem {
    fn from(error: crate::routers::NoRouter) -> Self {
        Self(
            UserError::new(Code::NotFound, "no router could be asked")
                .why(error.0)
                .next("set `router.status` in slipway.toml to an address of this machine, and restart")
                .next("slipway doctor"),
        )
    }
}
