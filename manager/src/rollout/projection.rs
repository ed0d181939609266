//! The projection of records into coordination: formations, run specs and routes. Idempotent, and repeated in full at each start.

use std::collections::BTreeMap;

use model::{AppEnv, Formation, Maintenance, ProcessName, Route, RouteState, RunSpec, UserError};
use store::records::Env;

use crate::{Manager, OrInternal};

/// How many instances of each process type should run: as scaled, otherwise one of `web` and none of the others.
pub(crate) fn counts(env: &Env, spec: &RunSpec) -> BTreeMap<ProcessName, u32> {
    let wanted = |process: &ProcessName| env.counts.get(process).copied().unwrap_or(u32::from(process.is_web()));
    spec.processes.keys().map(|process| (process.clone(), wanted(process))).collect()
}

impl Manager {
    /// Projects one environment.
    pub(crate) async fn project(&self, app: &AppEnv) -> Result<(), UserError> {
        let Some(env) = self.records.env(app).await.or_internal()? else { return self.unproject(app).await };
        let current = match env.current {
            Some(number) => self.records.release(app, number).await.or_internal()?,
            None => None,
        };
        let mut serves = false;
        if let (Some(stored), Some(number)) = (current, env.current) {
            let counts = counts(&env, &stored.spec);
            serves = counts.get(&ProcessName::web()).is_some_and(|count| *count > 0);
            self.live.put_spec(&stored.spec).await.or_internal()?;
            let formation = Formation { app: app.clone(), generation: env.generation, release: number, epoch: env.epoch, counts };
            match self.live.put_formation(&formation).await {
                // A newer generation was projected meanwhile, and stays.
                Err(store::LiveError::Conflict { .. }) => {}
                other => other.or_internal()?,
            }
        } else {
            self.live.delete_formation(app).await.or_internal()?;
        }
        let state = match (env.maintenance, env.current) {
            (Some(Maintenance::Page), _) => RouteState::Maintenance,
            (Some(Maintenance::Hold), _) => RouteState::Paused,
            (None, Some(_)) if serves => RouteState::Ready,
            (None, Some(_)) => RouteState::Stopped,
            (None, None) if self.newest_failed(app).await?.is_some() => RouteState::Failed,
            (None, None) => RouteState::Empty,
        };
        let names = self.records.hostnames_of(app).await.or_internal()?;
        let routes: Vec<Route> =
            names.into_iter().map(|taken| Route { hostname: taken.hostname, app: app.clone(), state, first_byte_s: 30 }).collect();
        self.live.set_routes(app, &routes).await.or_internal()
    }

    /// Removes a deleted environment from coordination.
    pub(crate) async fn unproject(&self, app: &AppEnv) -> Result<(), UserError> {
        self.live.delete_formation(app).await.or_internal()?;
        self.live.set_routes(app, &[]).await.or_internal()
    }

    /// Projects every environment, and removes formations without a record.
    pub(crate) async fn project_all(&self) -> Result<(), UserError> {
        let envs = self.records.all_envs().await.or_internal()?;
        for formation in self.live.formations().await.or_internal()? {
            if !envs.iter().any(|env| env.app == formation.app) {
                self.unproject(&formation.app).await?;
            }
        }
        for env in envs {
            self.project(&env.app).await?;
        }
        Ok(())
    }
}
