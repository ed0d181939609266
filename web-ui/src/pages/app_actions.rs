//! What the forms of an app's page do. Each ends with the page, which then shows how it goes.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Redirect};
use manager::output::Discard;
use model::{AppEnv, Hostname, Maintenance, ProcessName, ReleaseNumber};
use serde::Deserialize;

use super::{Answer, Visitor};
use crate::Web;
use crate::extract::Sent;
use crate::path_params::AtEnv;

fn back(at: &AppEnv, said: &str) -> Answer {
    Ok(Redirect::to(&format!("/apps/{at}?said={said}")).into_response())
}

/// Rolls a release out in a task of its own: the page shows how it goes.
fn roll_out(web: &Arc<Web>, at: &AppEnv, number: ReleaseNumber) {
    let (web, at) = (web.clone(), at.clone());
    tokio::spawn(async move {
        if let Err(user_error) = web.manager.roll_out(&at, number, Arc::new(Discard)).await {
            tracing::info!(app = %at, release = %number, code = %user_error.code, "a rollout asked for in the dashboard failed");
        }
    });
}

#[derive(Deserialize)]
pub(crate) struct Scale {
    process: ProcessName,
    count: u32,
}

/// Sets the count of one process type.
pub(crate) async fn scale(State(web): State<Arc<Web>>, Visitor(who): Visitor, AtEnv(at): AtEnv, Sent(form): Sent<Scale>) -> Answer {
    web.manager.scale(&who, &at, &BTreeMap::from([(form.process, form.count)])).await?;
    back(&at, "scale")
}

/// Restarts.
pub(crate) async fn restart(State(web): State<Arc<Web>>, Visitor(who): Visitor, AtEnv(at): AtEnv) -> Answer {
    web.manager.restart(&who, &at).await?;
    back(&at, "restart")
}

#[derive(Deserialize)]
pub(crate) struct Rollback {
    to: String,
}

/// Goes back to an earlier release.
pub(crate) async fn rollback(State(web): State<Arc<Web>>, Visitor(who): Visitor, AtEnv(at): AtEnv, Sent(form): Sent<Rollback>) -> Answer {
    let number = web.manager.rollback(&who, &at, Some(ReleaseNumber::parse(&form.to)?)).await?;
    roll_out(&web, &at, number);
    back(&at, "rollback")
}

/// Tries the newest release again, which failed.
pub(crate) async fn retry(State(web): State<Arc<Web>>, Visitor(who): Visitor, AtEnv(at): AtEnv) -> Answer {
    let number = web.manager.retry(&who, &at, None).await?;
    roll_out(&web, &at, number);
    back(&at, "retry")
}

#[derive(Deserialize)]
pub(crate) struct MaintenanceWish {
    on: bool,
}

/// Begins or ends maintenance.
pub(crate) async fn maintenance(
    State(web): State<Arc<Web>>,
    Visitor(who): Visitor,
    AtEnv(at): AtEnv,
    Sent(form): Sent<MaintenanceWish>,
) -> Answer {
    web.manager.set_maintenance(&who, &at, form.on.then_some(Maintenance::Page)).await?;
    back(&at, if form.on { "maintenance-on" } else { "maintenance-off" })
}

#[derive(Deserialize)]
pub(crate) struct Config {
    key: String,
    #[serde(default)]
    value: String,
    /// The key is to be removed.
    #[serde(default)]
    unset: String,
}

/// Sets or removes one config key.
pub(crate) async fn set_config(State(web): State<Arc<Web>>, Visitor(who): Visitor, AtEnv(at): AtEnv, Sent(form): Sent<Config>) -> Answer {
    let key = form.key.trim().to_owned();
    let (set, unset) = match form.unset.is_empty() {
        // Browsers send the line ends of a text area as CR LF.
        true => (BTreeMap::from([(key, form.value.replace("\r\n", "\n"))]), Vec::new()),
        false => (BTreeMap::new(), vec![key]),
    };
    match web.manager.set_config(&who, &at, set, unset).await?.release {
        Some(number) => {
            roll_out(&web, &at, number);
            back(&at, "config")
        }
        None => back(&at, "config-same"),
    }
}

#[derive(Deserialize)]
pub(crate) struct Domain {
    hostname: String,
}

/// Adds a host name.
pub(crate) async fn add_domain(State(web): State<Arc<Web>>, Visitor(who): Visitor, AtEnv(at): AtEnv, Sent(form): Sent<Domain>) -> Answer {
    web.manager.add_domain(&who, &at, &Hostname::new(form.hostname.trim())?).await?;
    back(&at, "domain")
}

/// Removes an added host name.
pub(crate) async fn remove_domain(
    State(web): State<Arc<Web>>,
    Visitor(who): Visitor,
    AtEnv(at): AtEnv,
    Sent(form): Sent<Domain>,
) -> Answer {
    web.manager.remove_domain(&who, &at, &Hostname::new(&form.hostname)?).await?;
    back(&at, "domain-gone")
}
