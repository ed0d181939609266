//! The rollout of a release: waiting for the state "k of k healthy", telling each instance, and going back when it fails.
//!
//! The judgement is pure: what should run and what runs go in, a verdict comes out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::{
    AppEnv, Code, Formation, InstanceState, InstanceStatus, ReleaseNumber, ReleaseState, RunSpec, UserError, push_output, release::Cause,
};
use store::live::Area;
use tokio::time::Instant;

use crate::authorize::Verb;
use crate::identity::Identity;
use crate::output::Output;
use crate::telling::Telling;
use crate::{Manager, OrInternal};

/// Beyond the time that an app may take to start: pulling, placing.
const SLACK: Duration = Duration::from_secs(90);
/// Restarts that a new release may need before it counts as broken.
const TRIES: u32 = 2;

/// How a rollout stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// So many of so many are healthy.
    Waiting {
        /// Healthy.
        healthy: u32,
        /// Wanted.
        wanted: u32,
    },
    /// All of them are.
    Live {
        /// How many.
        instances: u32,
    },
    /// It will not become healthy.
    Failed(Box<UserError>),
}

/// Judges a rollout by what should run and what runs.
pub fn judge(formation: &Formation, statuses: &[InstanceStatus]) -> Verdict {
    let of_release =
        |status: &&InstanceStatus| status.app == formation.app && status.release == formation.release && status.epoch == formation.epoch;
    for status in statuses.iter().filter(of_release) {
        if is_broken(status) {
            return Verdict::Failed(Box::new(broken(status)));
        }
    }
    let wanted: u32 = formation.counts.values().sum();
    let mut healthy: BTreeMap<_, u32> = BTreeMap::new();
    for status in statuses.iter().filter(of_release).filter(|status| status.state == InstanceState::Healthy) {
        *healthy.entry(&status.process).or_default() += 1;
    }
    let healthy: u32 = formation.counts.iter().map(|(process, count)| healthy.get(process).copied().unwrap_or(0).min(*count)).sum();
    if healthy == wanted { Verdict::Live { instances: wanted } } else { Verdict::Waiting { healthy, wanted } }
}

/// Whether an instance fails its rollout.
pub(crate) fn is_broken(status: &InstanceStatus) -> bool {
    match status.state {
        InstanceState::Flapping | InstanceState::ImageMissing => true,
        InstanceState::Crashed | InstanceState::Starting | InstanceState::ImagePullFailed => status.restarts >= TRIES,
        InstanceState::Unhealthy => status.code.is_some(),
        _ => false,
    }
}

/// What a broken instance says of itself, as a failure.
fn broken(status: &InstanceStatus) -> UserError {
    let app = &status.app;
    let code = status.code.unwrap_or(match status.state {
        InstanceState::ImageMissing => Code::ImageMissing,
        InstanceState::ImagePullFailed => Code::ImagePullFailed,
        _ => Code::CrashedAtStart,
    });
    let mut why = status.reason.clone().unwrap_or_default();
    if let Some(exit) = &status.last_exit
        && why.is_empty()
    {
        why = if exit.oom { "It ran out of memory.".into() } else { format!("It exited with status {}.", exit.code) };
    }
    let lines = status.last_exit.iter().flat_map(|exit| exit.last_lines.iter().cloned());
    UserError::new(code, format!("{} of {app} {} did not become healthy", status.label(), status.release))
        .why(why)
        .evidence_lines(lines)
        .next(format!("slipway logs -a {} -e {}", app.app_ref(), app.env))
}

fn deadline(formation: &Formation, spec: &RunSpec) -> Duration {
    let start = spec
        .processes
        .iter()
        .filter(|(process, _)| formation.counts.get(*process).is_some_and(|count| *count > 0))
        .filter_map(|(_, process)| process.health.as_ref().map(|check| check.start_s))
        .max()
        .unwrap_or(10);
    SLACK + Duration::from_secs(u64::from(start) * u64::from(TRIES + 1))
}

impl Manager {
    /// Waits until a release that was made active serves, telling each step; or goes back to the last good one and says why.
    pub async fn roll_out(&self, app: &AppEnv, number: ReleaseNumber, said: Arc<dyn Output>) -> Result<(), UserError> {
        let said = &*said;
        let begun = Instant::now();
        said.step(format!("Rolling out {number}"));
        match self.wait_live(app, number, said).await? {
            Ok(instances) => {
                self.mark_live(app, number).await?;
                let took = push_output::elapsed(begun.elapsed().as_millis() as u64);
                if instances == 0 {
                    said.warn(format!(
                        "no process is scaled up: nothing serves. `slipway ps:scale web=1 -a {} -e {}`",
                        app.app_ref(),
                        app.env
                    ));
                } else {
                    said.detail(format!("{instances} of {instances} healthy after {took}"));
                }
                said.line(&push_output::result(format!("{app} {number} is live")));
                for taken in self.records.hostnames_of(app).await.or_internal()? {
                    said.detail(self.url_of(&taken.hostname));
                }
                Ok(())
            }
            Err(user_error) => {
                let back = self.give_up(app, number, &user_error).await?;
                Err(self.ways_on(app, number, user_error, back).await?)
            }
        }
    }

    /// What somebody can do whose release failed, by what made it.
    async fn ways_on(
        &self,
        app: &AppEnv,
        number: ReleaseNumber,
        user_error: UserError,
        back: Option<ReleaseNumber>,
    ) -> Result<UserError, UserError> {
        let at = format!("-a {} -e {}", app.app_ref(), app.env);
        let cause = self.records.release(app, number).await.or_internal()?.map(|stored| stored.release.cause);
        let user_error = match back {
            Some(good) => user_error.also(format!("{good} still serves.")),
            None => user_error,
        };
        Ok(match cause {
            // The value stays set: the next push would meet it again.
            Some(Cause::Config { set, .. }) if !set.is_empty() => {
                let keys = set.join(" ");
                let user_error =
                    user_error.also(format!("{keys} stays set for the next release.")).next(format!("slipway config:unset {keys} {at}"));
                match back {
                    Some(_) => user_error.next(format!("slipway rollback {at}   # back to the release and the config that serve")),
                    None => user_error,
                }
            }
            // The ref has moved already: the same commit can not be pushed again, but its release can be tried again.
            Some(Cause::Push) => {
                user_error.next("mend it, commit and push again").next(format!("or try {number} again: slipway rollback {number} {at}"))
            }
            _ => user_error.next(format!("slipway releases {at}")),
        })
    }

    /// Takes up the rollouts that a stopped server left in the middle: each ends as live or as failed, as if it had gone on.
    pub async fn resume_rollouts(self: Arc<Self>) -> Result<(), UserError> {
        for stored in self.records.releases_in(ReleaseState::Active).await.or_internal()? {
            let (app, number) = (stored.release.app, stored.release.number);
            self.roll_out_alone(app, number);
        }
        Ok(())
    }

    /// A rollout that nobody waits for.
    pub(crate) fn roll_out_alone(self: &Arc<Self>, app: AppEnv, number: ReleaseNumber) {
        let manager = self.clone();
        tokio::spawn(async move {
            if let Err(user_error) = manager.roll_out(&app, number, Arc::new(crate::output::Discard)).await {
                tracing::warn!(%app, release = %number, %user_error, "a rollout that was taken up again did not become healthy");
            }
        });
    }

    /// The inner result is the rollout's; the outer is the platform's own.
    async fn wait_live(&self, app: &AppEnv, number: ReleaseNumber, said: &dyn Output) -> Result<Result<u32, UserError>, UserError> {
        let mut watch = self.live.watch(&[Area::Formations, Area::Instances]);
        let Some(spec) = self.live.spec(app, number).await.or_internal()? else {
            return Err(UserError::internal(format!("no spec of {app} {number}")));
        };
        let mut telling = Telling::default();
        let mut blocked_told = String::new();
        let begun = Instant::now();
        loop {
            let Some(formation) = self.live.formation(app).await.or_internal()? else {
                return Ok(Err(UserError::new(Code::UnknownApp, format!("{app} was destroyed meanwhile"))));
            };
            if formation.release != number {
                return Ok(Err(UserError::new(Code::Superseded, format!("{} of {app} took the place of {number}", formation.release))));
            }
            let mut statuses = self.instances_of(app).await?;
            statuses.sort_by(|a, b| (&a.process, a.ordinal).cmp(&(&b.process, b.ordinal)));
            let at = push_output::elapsed(begun.elapsed().as_millis() as u64);
            for status in statuses.iter().filter(|status| status.release == number && status.epoch == formation.epoch) {
                telling.tell(status, &at, said);
            }
            match judge(&formation, &statuses) {
                Verdict::Live { instances } => return Ok(Ok(instances)),
                Verdict::Failed(user_error) => return Ok(Err(*user_error)),
                Verdict::Waiting { healthy, wanted } => {
                    let blocked = self.placement.blocked(app).join("; ");
                    if !blocked.is_empty() && blocked != blocked_told {
                        said.warn(format!("waits for a place: {blocked}"));
                        blocked_told = blocked;
                    }
                    let limit = deadline(&formation, &spec);
                    if begun.elapsed() > limit {
                        let code = if blocked_told.is_empty() { Code::RolloutTimeout } else { Code::NoCapacity };
                        let user_error = UserError::new(code, format!("{number} of {app} did not become healthy in time"))
                            .why(format!("After {} s, {healthy} of {wanted} were healthy. {blocked_told}", limit.as_secs()))
                            .next(format!("slipway ps -a {} -e {}", app.app_ref(), app.env));
                        return Ok(Err(telling
                            .held()
                            .fold(user_error, |user_error, reason| user_error.also(format!("One crashed: {reason}.")))));
                    }
                }
            }
            // A state can also change without a word (a deadline passing, a place becoming free): look again now and then.
            let _ = tokio::time::timeout(Duration::from_secs(2), watch.changed()).await;
        }
    }

    async fn mark_live(&self, app: &AppEnv, number: ReleaseNumber) -> Result<(), UserError> {
        let releases = self.records.releases(app, 50).await.or_internal()?;
        let mut change = self.records.change().await.or_internal()?;
        for stored in releases {
            let release = stored.release;
            let next = match release.state {
                ReleaseState::Active if release.number == number => ReleaseState::Live,
                ReleaseState::Live | ReleaseState::Active if release.number < number => ReleaseState::Retired,
                _ => continue,
            };
            change.set_release_state(app, release.number, next, release.reason.as_deref()).await.or_internal()?;
        }
        change.commit().await.or_internal()
    }

    /// Marks a release as failed and makes the last good one the one that should serve. Gives that one.
    async fn give_up(&self, app: &AppEnv, number: ReleaseNumber, user_error: &UserError) -> Result<Option<ReleaseNumber>, UserError> {
        let releases = self.records.releases(app, 200).await.or_internal()?;
        let good = releases.iter().map(|stored| &stored.release).find(|release| release.number < number && release.state.was_good());
        let good = good.map(|release| release.number);
        let mut change = self.records.change().await.or_internal()?;
        let reason = format!("{} [{}]", user_error.what, user_error.code);
        change.set_release_state(app, number, ReleaseState::Failed, Some(&reason)).await.or_internal()?;
        if let Some(mut env) = change.lock_env(app).await.or_internal()?
            && env.current == Some(number)
        {
            env.current = good;
            change.save_env(&env).await.or_internal()?;
        }
        let platform = Identity::platform();
        let detail = serde_json::json!({ "failed": number, "code": user_error.code, "serving": good });
        self.record(&mut change, &platform, Verb::Rollback, Some(&app.tenant), app.to_string(), detail).await?;
        change.commit().await.or_internal()?;
        self.project(app).await?;
        Ok(good)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::InstanceId;

    fn status(ordinal: u32, release: u32, state: InstanceState) -> InstanceStatus {
        InstanceStatus {
            id: InstanceId::mint([ordinal as u8, release as u8, 0, 0, 0, 0, 0, 0, 0, 0]),
            app: "acme/shop/dev".parse().expect("a path"),
            process: model::ProcessName::web(),
            ordinal,
            release: ReleaseNumber(release),
            epoch: 0,
            host: "one".parse().expect("a name"),
            zone: "a".parse().expect("a name"),
            state,
            address: None,
            since: chrono::DateTime::UNIX_EPOCH,
            restarts: 0,
            last_exit: None,
            reason: None,
            code: None,
        }
    }

    fn formation(count: u32) -> Formation {
        Formation {
            app: "acme/shop/dev".parse().expect("a path"),
            generation: 1,
            release: ReleaseNumber(2),
            epoch: 0,
            counts: [(model::ProcessName::web(), count)].into(),
        }
    }

    #[test]
    fn only_healthy_instances_of_the_release_count() {
        let running = [status(1, 1, InstanceState::Healthy), status(2, 1, InstanceState::Healthy), status(1, 2, InstanceState::Healthy)];
        assert_eq!(judge(&formation(2), &running), Verdict::Waiting { healthy: 1, wanted: 2 });
        let running = [status(1, 2, InstanceState::Healthy), status(2, 2, InstanceState::Healthy)];
        assert_eq!(judge(&formation(2), &running), Verdict::Live { instances: 2 });
        assert_eq!(judge(&formation(0), &[]), Verdict::Live { instances: 0 });
    }

    #[test]
    fn one_restart_is_forgiven_and_a_second_is_not() {
        let mut crashed = status(1, 2, InstanceState::Crashed);
        crashed.restarts = 1;
        assert_eq!(judge(&formation(1), std::slice::from_ref(&crashed)), Verdict::Waiting { healthy: 0, wanted: 1 });
        crashed.restarts = 2;
        crashed.reason = Some("exited with status 1".into());
        match judge(&formation(1), std::slice::from_ref(&crashed)) {
            Verdict::Failed(user_error) => {
                assert_eq!((user_error.code, user_error.why.as_str()), (Code::CrashedAtStart, "exited with status 1"))
            }
            other => panic!("{other:?}"),
        }
        let mut old = crashed;
        old.release = ReleaseNumber(1);
        assert_eq!(judge(&formation(1), &[old]), Verdict::Waiting { healthy: 0, wanted: 1 });
    }
}
