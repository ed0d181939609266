//! What a moved ref brings: its prepared release becomes the one that should serve.
//!
//! A prepared release is activated if and only if its ref moved. Whatever dies in between is settled by where the ref stands.

use std::sync::Arc;

use chrono::Utc;
use model::{AppEnv, ReleaseNumber, ReleaseState, Time, UserError, push_output};
use serde_json::json;

use crate::authorize::Verb;
use crate::identity::Identity;
use crate::output::Output;
use crate::{Manager, OrInternal};

impl Manager {
    /// The ref has moved to `commit`: makes its prepared release the one that should serve, and waits until it does.
    pub async fn activate(&self, who: &Identity, app: &AppEnv, commit: &str, said: Arc<dyn Output>) -> Result<(), UserError> {
        let number = match self.activate_prepared(who, app, commit).await? {
            Some(number) => number,
            // Another push of the same commit came to its end first and settled this one too: watch what it began.
            None => match self.current_of(app, commit).await? {
                Some(number) => number,
                None => return Err(crate::internal(&std::io::Error::other(format!("no prepared release of {app} at {commit}")))),
            },
        };
        tracing::info!(%app, release = %number, by = %who.actor, "activated");
        self.roll_out(app, number, said.clone()).await?;
        match self.times(app, number).await {
            Ok(times) => times.into_iter().for_each(|line| said.detail(line)),
            // It is live: not knowing how long that took must not say otherwise.
            Err(user_error) => tracing::warn!(%app, release = %number, %user_error, "the times of a push are not known"),
        }
        Ok(())
    }

    /// Where the time of a push went, in a line.
    async fn times(&self, app: &AppEnv, number: ReleaseNumber) -> Result<Option<String>, UserError> {
        let Some(stored) = self.records.release(app, number).await.or_internal()? else { return Ok(None) };
        let Some(build) = stored.release.build else { return Ok(None) };
        let Some(build) = self.records.build(&build).await.or_internal()? else { return Ok(None) };
        Ok(build.started.zip(build.ended).map(|(started, ended)| {
            let took = |from: Time, to: Time| push_output::elapsed(u64::try_from((to - from).num_milliseconds()).unwrap_or(0));
            let waited =
                if (started - build.at).num_seconds() > 0 { format!("{} in the queue, ", took(build.at, started)) } else { String::new() };
            let built = if build.reused { "no build".to_owned() } else { format!("{} to build", took(started, ended)) };
            let now = Utc::now();
            format!("{} from push to live: {waited}{built}, {} to roll out", took(build.at, now), took(ended, now))
        }))
    }

    /// Makes the newest prepared release of a commit active. None when there is none.
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
        // Here and not before: a push whose ref did not move has changed nothing.
        let release = &stored.release;
        let detail = json!({ "release": number, "commit": commit, "build": release.build, "by": release.by });
        self.record(&mut change, who, Verb::Push, Some(&app.tenant), app.to_string(), detail).await?;
        change.commit().await.or_internal()?;
        self.settled.notify_waiters();
        self.project(app).await?;
        Ok(Some(number))
    }

    /// The release that should serve, if it is of this commit.
    async fn current_of(&self, app: &AppEnv, commit: &str) -> Result<Option<ReleaseNumber>, UserError> {
        let Some(number) = self.records.env(app).await.or_internal()?.and_then(|env| env.current) else { return Ok(None) };
        let stored = self.records.release(app, number).await.or_internal()?;
        Ok(stored.filter(|stored| stored.release.commit == commit).map(|_| number))
    }

    /// Brings prepared releases to an end by where the ref stands: that of the ref's commit is activated, others never were. With
    /// `ended`, those of that commit only: another push may be about to move the ref to what it has prepared.
    pub async fn settle(self: &Arc<Self>, app: &AppEnv, ended: Option<&str>, tip: Option<&str>) -> Result<(), UserError> {
        let is_open = |commit: &str| ended.is_none_or(|ended| ended == commit);
        if let Some(tip) = tip.filter(|tip| is_open(tip))
            && let Some(number) = self.activate_prepared(&Identity::platform(), app, tip).await?
        {
            tracing::warn!(%app, release = %number, "activated a release whose push had no end");
            self.roll_out_alone(app.clone(), number);
        }
        let releases = self.records.releases(app, 50).await.or_internal()?;
        let left = releases.iter().map(|stored| &stored.release).filter(|release| release.state == ReleaseState::Prepared);
        for release in left.filter(|release| is_open(&release.commit)) {
            let mut change = self.records.change().await.or_internal()?;
            let reason = Some("the push ended before its ref moved");
            change.set_release_state(app, release.number, ReleaseState::Aborted, reason).await.or_internal()?;
            change.commit().await.or_internal()?;
        }
        self.settled.notify_waiters();
        Ok(())
    }

    /// Apps with a prepared release whose fate is open.
    pub async fn unsettled(&self) -> Result<Vec<AppEnv>, UserError> {
        let prepared = self.records.releases_in(ReleaseState::Prepared).await.or_internal()?;
        let mut apps: Vec<AppEnv> = prepared.into_iter().map(|stored| stored.release.app).collect();
        apps.sort();
        apps.dedup();
        Ok(apps)
    }
}
