//! Activation: after the ref has moved, its prepared release becomes the current one.
//!
//! A prepared release is activated if and only if its ref moved. After a crash in between, it is settled by where the ref stands.

use std::sync::Arc;

use model::{AppEnv, ReleaseNumber, ReleaseState, UserError};
use serde_json::json;

use crate::authorize::Verb;
use crate::identity::Identity;
use crate::output::Output;
use crate::{Manager, OrInternal};

impl Manager {
    /// The ref has moved to `commit`: makes its prepared release current, and waits until it serves.
    pub async fn activate(&self, who: &Identity, app: &AppEnv, commit: &str, output: Arc<dyn Output>) -> Result<(), UserError> {
        let number = match self.activate_prepared(who, app, commit).await? {
            Some(number) => number,
            // Another push of the same commit ended first and activated this release too: wait for its rollout.
            None => match self.current_of(app, commit).await? {
                Some(number) => number,
                None => return Err(crate::internal(&std::io::Error::other(format!("no prepared release of {app} at {commit}")))),
            },
        };
        tracing::info!(%app, release = %number, by = %who.actor, "activated");
        self.roll_out_push(app, number, output).await
    }

    /// Makes the newest prepared release of a commit active. `None` when there is none.
    async fn activate_prepared(&self, who: &Identity, app: &AppEnv, commit: &str) -> Result<Option<ReleaseNumber>, UserError> {
        let releases = self.records.releases(app, 50).await.or_internal()?;
        let prepared = releases.iter().find(|stored| stored.release.state == ReleaseState::Prepared && stored.release.commit == commit);
        let Some(stored) = prepared else { return Ok(None) };
        let number = stored.release.number;
        let mut change = self.records.change().await.or_internal()?;
        let Some(mut env) = change.lock_env(app).await.or_internal()? else { return Ok(None) };
        env.current = Some(number);
        change.save_env(&env).await.or_internal()?;
        change.set_release_state(app, number, ReleaseState::Active, None).await.or_internal()?;
        // Recorded only now: a push whose ref did not move has changed nothing.
        let release = &stored.release;
        let detail = json!({ "release": number, "commit": commit, "build": release.build, "by": release.by });
        self.record(&mut change, who, Verb::Push, Some(&app.tenant), app.to_string(), detail).await?;
        change.commit().await.or_internal()?;
        self.settled.notify_waiters();
        self.project(app).await?;
        Ok(Some(number))
    }

    /// The current release, if it is of this commit.
    async fn current_of(&self, app: &AppEnv, commit: &str) -> Result<Option<ReleaseNumber>, UserError> {
        let Some(number) = self.records.env(app).await.or_internal()?.and_then(|env| env.current) else { return Ok(None) };
        let stored = self.records.release(app, number).await.or_internal()?;
        Ok(stored.filter(|stored| stored.release.commit == commit).map(|_| number))
    }

    /// Settles prepared releases by where the ref stands: that of the ref's commit is activated, all others are aborted. With
    /// `ended`, only those of that commit: another push may be about to move the ref to what it has prepared.
    pub async fn settle(self: &Arc<Self>, app: &AppEnv, ended: Option<&str>, tip: Option<&str>) -> Result<(), UserError> {
        let is_open = |commit: &str| ended.is_none_or(|ended| ended == commit);
        if let Some(tip) = tip.filter(|tip| is_open(tip))
            && let Some(number) = self.activate_prepared(&Identity::platform(), app, tip).await?
        {
            tracing::warn!(%app, release = %number, "activated a release whose push had no end");
            self.roll_out_in_background(app.clone(), number);
        }
        let releases = self.records.releases(app, 50).await.or_internal()?;
        let left = releases.iter().map(|stored| &stored.release).filter(|release| release.state == ReleaseState::Prepared);
        for release in left.filter(|release| is_open(&release.commit)) {
            let mut change = self.records.change().await.or_internal()?;
            let reason = Some("the push ended before its ref moved");
            change.set_release_state(app, release.number, ReleaseState::Aborted, reason).await.or_internal()?;
            change.commit().await.or_internal()?;
            self.abandon_build(app, release.number).await?;
        }
        self.settled.notify_waiters();
        Ok(())
    }

    /// Apps with a release that is still prepared.
    pub async fn unsettled(&self) -> Result<Vec<AppEnv>, UserError> {
        let prepared = self.records.releases_in(ReleaseState::Prepared).await.or_internal()?;
        let mut apps: Vec<AppEnv> = prepared.into_iter().map(|stored| stored.release.app).collect();
        apps.sort();
        apps.dedup();
        Ok(apps)
    }
}
