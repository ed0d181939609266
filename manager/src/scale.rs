//! Scaling and restarting.

use std::collections::BTreeMap;

use model::manifest::MAX_INSTANCES;
use model::{AppEnv, ProcessName, RunSpec, UserError};
use serde_json::json;

use crate::authorize::Verb;
use crate::identity::Identity;
use crate::rollout::projection;
use crate::user_errors::apps::unknown_app;
use crate::user_errors::processes;
use crate::{Manager, OrInternal};

impl Manager {
    /// Sets counts of process types; gives all counts afterwards.
    pub async fn scale(
        &self,
        who: &Identity,
        app: &AppEnv,
        counts: &BTreeMap<ProcessName, u32>,
    ) -> Result<BTreeMap<ProcessName, u32>, UserError> {
        let env = self.reach_env(who, Verb::PsScale, app).await?;
        let spec = match env.current {
            Some(number) => self.records.release(app, number).await.or_internal()?.map(|stored| stored.spec),
            None => None,
        };
        for (process, count) in counts {
            if *count > MAX_INSTANCES {
                return Err(processes::too_many_instances(process, *count, MAX_INSTANCES));
            }
            if let Some(spec) = &spec {
                check_process(app, spec, process)?;
            }
        }
        let mut change = self.records.change().await.or_internal()?;
        let Some(mut env) = change.lock_env(app).await.or_internal()? else {
            return Err(unknown_app(&app.app_ref()));
        };
        env.counts.extend(counts.iter().map(|(process, count)| (process.clone(), *count)));
        check_instances(app, &env.counts)?;
        change.save_env(&env).await.or_internal()?;
        self.record(&mut change, who, Verb::PsScale, Some(&app.tenant), app.to_string(), json!(counts)).await?;
        change.commit().await.or_internal()?;
        self.project(app).await?;
        Ok(spec.map_or(env.counts.clone(), |spec| projection::counts(&env, &spec)))
    }

    /// Refuses a process type that the current release does not have.
    pub async fn knows_process(&self, who: &Identity, app: &AppEnv, process: &ProcessName) -> Result<(), UserError> {
        let env = self.reach_env(who, Verb::PsShow, app).await?;
        let Some(number) = env.current else { return Ok(()) };
        match self.records.release(app, number).await.or_internal()? {
            Some(stored) => check_process(app, &stored.spec, process),
            None => Ok(()),
        }
    }

    /// Replaces every instance by a new one of the same release.
    pub async fn restart(&self, who: &Identity, app: &AppEnv) -> Result<(), UserError> {
        let env = self.reach_env(who, Verb::PsRestart, app).await?;
        if env.current.is_none() {
            return Err(match self.newest_failed(app).await? {
                Some(failed) => processes::only_failed_releases(app, failed.release.number),
                None => processes::nothing_to_restart(app),
            });
        }
        let mut change = self.records.change().await.or_internal()?;
        let Some(mut env) = change.lock_env(app).await.or_internal()? else {
            return Err(unknown_app(&app.app_ref()));
        };
        env.epoch += 1;
        change.save_env(&env).await.or_internal()?;
        self.record(&mut change, who, Verb::PsRestart, Some(&app.tenant), app.to_string(), json!({ "epoch": env.epoch })).await?;
        change.commit().await.or_internal()?;
        self.project(app).await
    }
}

fn check_process(app: &AppEnv, spec: &RunSpec, process: &ProcessName) -> Result<(), UserError> {
    if spec.processes.contains_key(process) { Ok(()) } else { Err(processes::unknown_process(app, spec, process)) }
}

/// Refuses more instances than an app may have in an environment.
pub(crate) fn check_instances(app: &AppEnv, counts: &BTreeMap<ProcessName, u32>) -> Result<(), UserError> {
    let all: u64 = counts.values().map(|count| u64::from(*count)).sum();
    if all > u64::from(MAX_INSTANCES) { Err(processes::too_many_instances_in_all(app, all, MAX_INSTANCES)) } else { Ok(()) }
}
