//! The processes of an app: the formation that is wanted and the instances that run.

use std::collections::{BTreeMap, HashMap};

use model::{AppEnv, Build, Formation, InstanceStatus, ProcessName, Release, ReleaseNumber, UserError};
use serde::Serialize;

use crate::authorize::Verb;
use crate::env_state::{EnvState, Seen, env_state};
use crate::identity::Identity;
use crate::user_errors::processes;
use crate::{Manager, OrInternal};

/// The processes of an app in an environment.
#[derive(Debug, Clone, Serialize)]
pub struct Ps {
    /// How it does, in one word and one sentence.
    pub state: EnvState,
    /// The release that should serve.
    pub release: Option<ReleaseNumber>,
    /// How many should run.
    pub wanted: BTreeMap<ProcessName, u32>,
    /// What runs, by process, number and release.
    pub instances: Vec<InstanceStatus>,
    /// Why others do not run.
    pub blocked: Vec<String>,
}

impl Manager {
    /// What runs of an app.
    pub async fn ps(&self, who: &Identity, app: &AppEnv) -> Result<Ps, UserError> {
        let env = self.reach_env(who, Verb::PsShow, app).await?;
        let formation = self.live.formation(app).await.or_internal()?;
        let releases: Vec<Release> = self.records.releases(app, 5).await.or_internal()?.into_iter().map(|stored| stored.release).collect();
        let builds = self.records.builds(app, 1).await.or_internal()?;
        let until = self.rollout_deadline(app, &releases, formation.as_ref()).await?;
        let blocked = self.placement.blocked(app);
        let mut instances = self.instances_of(app).await?;
        instances.sort_by(|a, b| (&a.process, a.ordinal, a.release, &a.id).cmp(&(&b.process, b.ordinal, b.release, &b.id)));
        let state = env_state(&Seen {
            formation: formation.as_ref(),
            instances: &instances,
            releases: &releases,
            build: builds.first(),
            blocked: &blocked,
            until,
        });
        Ok(Ps { state, release: env.current, wanted: formation.map(|formation| formation.counts).unwrap_or_default(), instances, blocked })
    }

    /// The state of each of these environments, read together.
    pub async fn env_states(&self, envs: &[AppEnv]) -> Result<HashMap<AppEnv, EnvState>, UserError> {
        let formations: HashMap<AppEnv, Formation> =
            self.live.formations().await.or_internal()?.into_iter().map(|formation| (formation.app.clone(), formation)).collect();
        let mut instances: HashMap<AppEnv, Vec<InstanceStatus>> = HashMap::new();
        for status in self.live.instances().await.or_internal()? {
            instances.entry(status.app.clone()).or_default().push(status);
        }
        let releases = self.records.newest_releases().await.or_internal()?;
        let releases: HashMap<AppEnv, Release> = releases.into_iter().map(|release| (release.app.clone(), release)).collect();
        let builds = self.records.newest_builds().await.or_internal()?;
        let builds: HashMap<AppEnv, Build> = builds.into_iter().map(|build| (build.app.clone(), build)).collect();
        let state = |app: &AppEnv| {
            env_state(&Seen {
                formation: formations.get(app),
                instances: instances.get(app).map_or(&[][..], Vec::as_slice),
                releases: releases.get(app).map_or(&[][..], std::slice::from_ref),
                build: builds.get(app),
                blocked: &self.placement.blocked(app),
                until: None,
            })
        };
        Ok(envs.iter().map(|app| (app.clone(), state(app))).collect())
    }

    pub(crate) async fn instances_of(&self, app: &AppEnv) -> Result<Vec<InstanceStatus>, UserError> {
        let all = self.live.instances().await.or_internal()?;
        Ok(all.into_iter().filter(|status| status.app == *app).collect())
    }

    /// Refuses a user who may not read the logs of an app.
    pub async fn may_read_logs(&self, who: &Identity, app: &AppEnv) -> Result<(), UserError> {
        self.reach_env(who, Verb::Logs, app).await.map(drop)
    }

    /// The run spec for a one-off command, which is a right of its own and an event.
    pub async fn one_off(&self, who: &Identity, app: &AppEnv, command: &[String]) -> Result<model::RunSpec, UserError> {
        let env = self.reach_env(who, Verb::Run, app).await?;
        let stored = match env.current {
            Some(number) => self.records.release(app, number).await.or_internal()?,
            None => None,
        };
        let Some(stored) = stored else {
            return Err(processes::nothing_to_run_in(app));
        };
        let mut change = self.records.change().await.or_internal()?;
        let program = command.first().cloned().unwrap_or_default();
        // Arguments may hold secrets; the program's name is what the audit needs.
        let detail = serde_json::json!({ "program": program, "release": stored.release.number });
        self.record(&mut change, who, Verb::Run, Some(&app.tenant), app.to_string(), detail).await?;
        change.commit().await.or_internal()?;
        Ok(stored.spec)
    }
}
