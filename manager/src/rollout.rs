//! The rollout of a release: waits until every wanted instance is healthy, prints the progress, and goes back when it fails.

pub(crate) mod projection;
mod rollout_progress;
pub mod status;

use std::sync::Arc;
use std::time::Duration;

use model::release::Cause;
use model::{
    AppEnv, Code, Formation, InstanceState, InstanceStatus, Release, ReleaseNumber, ReleaseState, RunSpec, Time, UserError, push_output,
};
use store::live::Area;
use store::records::{Change, StoredRelease};
use tokio::time::Instant;

use crate::authorize::Verb;
use crate::identity::Identity;
use crate::output::Output;
use crate::user_errors::rollouts as errors;
use crate::{Manager, OrInternal};
use rollout_progress::RolloutProgress;
use status::{MAX_RESTARTS, RolloutStatus, rollout_status};

/// Added to the time that an app may take to start: for placing, and for pulling its image.
const PLACE_AND_PULL: Duration = Duration::from_secs(90);

/// How long the routers may take to follow once every new instance is healthy.
const ROUTERS_FOLLOW: Duration = Duration::from_secs(15);

/// How long a rollout may take: every permitted start may use its whole time.
fn time_limit(formation: &Formation, spec: &RunSpec) -> Duration {
    let start = spec
        .processes
        .iter()
        .filter(|(process, _)| formation.counts.get(*process).is_some_and(|count| *count > 0))
        .filter_map(|(_, process)| process.health.as_ref().map(|check| check.start_s))
        .max()
        .unwrap_or(10);
    PLACE_AND_PULL + Duration::from_secs(u64::from(start) * u64::from(MAX_RESTARTS + 1))
}

impl Manager {
    /// When the rollout of the newest release gives up; none when nothing is on its way.
    pub(crate) async fn rollout_deadline(
        &self,
        app: &AppEnv,
        releases: &[Release],
        formation: Option<&Formation>,
    ) -> Result<Option<Time>, UserError> {
        let active = releases.iter().find(|release| release.state == ReleaseState::Active);
        let (Some(release), Some(formation)) =
            (active, formation.filter(|formation| active.is_some_and(|r| r.number == formation.release)))
        else {
            return Ok(None);
        };
        let spec = self.live.spec(app, release.number).await.or_internal()?;
        Ok(spec.map(|spec| release.at + time_limit(formation, &spec)))
    }

    /// Waits until an active release serves, and prints each step. When it fails, goes back to the last good release.
    pub async fn roll_out(&self, app: &AppEnv, number: ReleaseNumber, output: Arc<dyn Output>) -> Result<(), UserError> {
        let output = &*output;
        let begun = Instant::now();
        output.step(format!("Rolling out {number}"));
        match self.wait_live(app, number, output).await? {
            Ok(instances) => {
                self.mark_live(app, number).await?;
                let took = push_output::elapsed(begun.elapsed().as_millis() as u64);
                if instances == 0 {
                    output.warn(format!(
                        "no process is scaled up: nothing serves. `slipway ps:scale web=1 -a {} -e {}`",
                        app.app_ref(),
                        app.env
                    ));
                } else {
                    output.detail(format!("{instances} of {instances} healthy after {took}"));
                }
                output.line(&push_output::result(format!("{app} {number} is live")));
                for taken in self.records.hostnames_of(app).await.or_internal()? {
                    output.detail(self.url_of(&taken.hostname));
                }
                Ok(())
            }
            Err(user_error) => {
                let serving = self.give_up(app, number, &user_error).await?;
                if user_error.code == Code::Superseded {
                    return Err(user_error);
                }
                let cause = self.records.release(app, number).await.or_internal()?.map(|stored| stored.release.cause);
                Err(errors::with_ways_on(user_error, app, number, cause.as_ref(), serving))
            }
        }
    }

    /// Resumes the rollouts that a stopped server left open, so that each ends as live or as failed.
    pub async fn resume_rollouts(self: Arc<Self>) -> Result<(), UserError> {
        for stored in self.records.releases_in(ReleaseState::Active).await.or_internal()? {
            let (app, number) = (stored.release.app, stored.release.number);
            self.roll_out_in_background(app, number);
        }
        Ok(())
    }

    /// Rolls a release out in the background, with no output.
    pub(crate) fn roll_out_in_background(self: &Arc<Self>, app: AppEnv, number: ReleaseNumber) {
        let manager = self.clone();
        tokio::spawn(async move {
            if let Err(user_error) = manager.roll_out_push(&app, number, Arc::new(crate::output::Discard)).await {
                tracing::warn!(%app, release = %number, %user_error, "a rollout in the background failed");
            }
        });
    }

    /// The inner result is the rollout's, with the number of instances; the outer error is a fault of the platform.
    async fn wait_live(&self, app: &AppEnv, number: ReleaseNumber, output: &dyn Output) -> Result<Result<u32, UserError>, UserError> {
        let mut watch = self.live.watch(&[Area::Formations, Area::Instances, Area::Drained]);
        let Some(spec) = self.live.spec(app, number).await.or_internal()? else {
            return Err(UserError::internal(format!("no spec of {app} {number}")));
        };
        let mut progress = RolloutProgress::default();
        let mut blocked_printed = String::new();
        let mut healthy_since = None;
        let begun = Instant::now();
        loop {
            let Some(formation) = self.live.formation(app).await.or_internal()? else {
                return Ok(Err(errors::destroyed_meanwhile(app)));
            };
            if formation.release != number {
                return Ok(Err(errors::superseded(app, number, formation.release)));
            }
            let mut statuses = self.instances_of(app).await?;
            statuses.sort_by(|a, b| (&a.process, a.ordinal).cmp(&(&b.process, b.ordinal)));
            let at = push_output::elapsed(begun.elapsed().as_millis() as u64);
            for status in statuses.iter().filter(|status| status.release == number && status.epoch == formation.epoch) {
                progress.print(status, &at, output);
            }
            match rollout_status(&formation, &statuses) {
                RolloutStatus::Live { instances } => {
                    let since = *healthy_since.get_or_insert_with(Instant::now);
                    if self.is_routed(&formation, &statuses).await? {
                        return Ok(Ok(instances));
                    }
                    if since.elapsed() > ROUTERS_FOLLOW {
                        output.warn("a router still sends requests to the release before; `slipway router:trace` shows which way they go");
                        return Ok(Ok(instances));
                    }
                }
                RolloutStatus::Failed(user_error) => return Ok(Err(*user_error)),
                RolloutStatus::Waiting { healthy, wanted } => {
                    let blocked = self.placement.blocked(app).join("; ");
                    if !blocked.is_empty() && blocked != blocked_printed {
                        let left = time_limit(&formation, &spec).saturating_sub(begun.elapsed());
                        output.warn(format!("waits for a place, for another {} s at most: {blocked}", left.as_secs()));
                        blocked_printed = blocked;
                    }
                    let limit = time_limit(&formation, &spec);
                    if begun.elapsed() > limit {
                        return Ok(Err(errors::timed_out(app, number, limit, (healthy, wanted), &blocked_printed, progress.held())));
                    }
                }
            }
            // Time limits and placements change without an event, so look again every two seconds.
            let _ = tokio::time::timeout(Duration::from_secs(2), watch.changed()).await;
        }
    }

    /// Whether no router sends anything new to an instance of an earlier release: only then is a release live.
    async fn is_routed(&self, formation: &Formation, statuses: &[InstanceStatus]) -> Result<bool, UserError> {
        if !formation.counts.iter().any(|(process, count)| process.is_web() && *count > 0) {
            return Ok(true);
        }
        let is_old = |status: &&InstanceStatus| (status.release, status.epoch) != (formation.release, formation.epoch);
        for status in statuses.iter().filter(|status| status.process.is_web()).filter(is_old) {
            let leaves = matches!(status.state, InstanceState::Draining | InstanceState::Stopping);
            if status.state.takes_requests() && !leaves || leaves && !self.live.is_unrouted(&status.id).await.or_internal()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn mark_live(&self, app: &AppEnv, number: ReleaseNumber) -> Result<(), UserError> {
        let releases = self.records.releases(app, 50).await.or_internal()?;
        let mut change = self.records.change().await.or_internal()?;
        self.adopt_config_of_rollback(&mut change, app, number, &releases).await?;
        for stored in releases {
            let release = stored.release;
            let next = match release.state {
                ReleaseState::Active if release.number == number => ReleaseState::Live,
                ReleaseState::Live if release.number < number => ReleaseState::Retired,
                ReleaseState::Active if release.number < number => ReleaseState::Superseded,
                _ => continue,
            };
            change.set_release_state(app, release.number, next, release.reason.as_deref()).await.or_internal()?;
        }
        change.commit().await.or_internal()
    }

    /// The config of a release that was rolled back to is that of the environment once it is live.
    async fn adopt_config_of_rollback(
        &self,
        change: &mut Change,
        app: &AppEnv,
        number: ReleaseNumber,
        releases: &[StoredRelease],
    ) -> Result<(), UserError> {
        let is_rollback = |stored: &&StoredRelease| {
            stored.release.number == number
                && stored.release.state == ReleaseState::Active
                && matches!(stored.release.cause, Cause::Rollback { .. })
        };
        let Some(stored) = releases.iter().find(is_rollback) else { return Ok(()) };
        let Some(mut env) = change.lock_env(app).await.or_internal()?.filter(|env| env.current == Some(number)) else { return Ok(()) };
        let mut config = self.keyring.open_map(&app.to_string(), &stored.spec.config).or_internal()?;
        if let Some(from_app_yaml) = &stored.release.app_yaml_keys {
            config.retain(|key, _| !from_app_yaml.contains(key));
        }
        env.config_keys = config.keys().cloned().collect();
        env.config = Some(self.keyring.seal_map(&app.to_string(), &config));
        change.save_env(&env).await.or_internal()?;
        Ok(())
    }

    /// Ends a rollout that did not become live. While its release is still the current one, the last good release becomes current,
    /// and the event of it is recorded; a release that lost its place is only marked. Returns the release that serves then.
    async fn give_up(&self, app: &AppEnv, number: ReleaseNumber, user_error: &UserError) -> Result<Option<ReleaseNumber>, UserError> {
        let mut change = self.records.change().await.or_internal()?;
        let env = change.lock_env(app).await.or_internal()?;
        // Read under the lock: whoever makes or ends a release waits for it.
        let releases = self.records.releases(app, 200).await.or_internal()?;
        let state = releases.iter().map(|stored| &stored.release).find(|release| release.number == number).map(|release| release.state);
        if state != Some(ReleaseState::Active) {
            // A newer release that went live has marked it, or its app is gone.
            return Ok(env.and_then(|env| env.current));
        }
        let good = releases.iter().map(|stored| &stored.release).find(|release| release.number < number && release.state.was_good());
        let good = good.map(|release| release.number);
        let state = if user_error.code == Code::Superseded { ReleaseState::Superseded } else { ReleaseState::Failed };
        let reason = format!("{} [{}]", user_error.what, user_error.code);
        change.set_release_state(app, number, state, Some(&reason)).await.or_internal()?;
        let serving = match env {
            Some(mut env) if env.current == Some(number) => {
                env.current = good;
                change.save_env(&env).await.or_internal()?;
                let platform = Identity::platform();
                let detail = serde_json::json!({ "failed": number, "code": user_error.code, "serving": good });
                self.record(&mut change, &platform, Verb::Rollback, Some(&app.tenant), app.to_string(), detail).await?;
                good
            }
            Some(env) => env.current,
            None => None,
        };
        change.commit().await.or_internal()?;
        self.project(app).await?;
        Ok(serving)
    }
}
