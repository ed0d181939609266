//! Retention: how many builds and releases are kept, and the removal of the rest.
//!
//! The decision is pure: all builds and releases go in, the expired ones come out. Events are kept for ever.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use model::{Actor, Build, BuildId, Event, EventId, Origin, Outcome, Release, ReleaseNumber, ReleaseState, UserError};
use serde_json::json;

use crate::{Manager, OrInternal};

/// Age from which on a log without a record is removed.
const ORPHAN_AGE: Duration = Duration::from_secs(3600);

/// How long counts of refusals are kept.
const KEEP_REFUSALS: chrono::TimeDelta = chrono::TimeDelta::days(90);

/// How many of each are kept per app and environment, the newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Number of builds, each with its log.
    pub builds: usize,
    /// Number of releases.
    pub releases: usize,
}

/// The builds and releases of one app and environment that may be removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expired {
    /// Builds that are removed with their logs.
    pub builds: Vec<BuildId>,
    /// Releases that are removed with their run specs.
    pub releases: Vec<ReleaseNumber>,
}

impl Expired {
    /// Whether there is nothing to remove.
    pub fn is_empty(&self) -> bool {
        self.builds.is_empty() && self.releases.is_empty()
    }
}

/// Decides for one app and environment; both lists may be in any order.
///
/// Beside the newest ones these stay: the release that should serve, the last one before it that served (a failed rollout and a
/// rollback go back to it), those that are being rolled out, builds that run, and the builds of releases that stay.
pub fn expired(keep: Keep, current: Option<ReleaseNumber>, releases: &[Release], builds: &[Build]) -> Expired {
    let mut releases: Vec<&Release> = releases.iter().collect();
    releases.sort_by_key(|release| std::cmp::Reverse(release.number));
    let good = |below: Option<ReleaseNumber>| {
        let fits = |release: &&&Release| release.state.was_good() && below.is_none_or(|below| release.number < below);
        releases.iter().find(fits).map(|release| release.number)
    };
    let safe: BTreeSet<ReleaseNumber> = [current, good(current), good(None)].into_iter().flatten().collect();
    let is_open = |release: &Release| matches!(release.state, ReleaseState::Prepared | ReleaseState::Active);
    let (stay, go): (Vec<_>, Vec<_>) = releases
        .iter()
        .enumerate()
        .partition(|(place, release)| *place < keep.releases || safe.contains(&release.number) || is_open(release));
    let origins: BTreeSet<&BuildId> = stay.iter().filter_map(|(_, release)| release.build.as_ref()).collect();

    let mut builds: Vec<&Build> = builds.iter().collect();
    builds.sort_by(|a, b| (b.at, &b.id).cmp(&(a.at, &a.id)));
    let old = builds.into_iter().skip(keep.builds).filter(|build| build.state.is_final() && !origins.contains(&build.id));
    Expired { builds: old.map(|build| build.id.clone()).collect(), releases: go.into_iter().map(|(_, release)| release.number).collect() }
}

impl Manager {
    /// Removes what is not kept, of every app, and does pending cleanups of destroyed ones. Idempotent; gives how many builds and releases went.
    pub async fn expire(&self, keep: Keep) -> Result<(usize, usize), UserError> {
        self.clean_up_all().await?;
        let mut change = self.records.change().await.or_internal()?;
        change.forget_refusals(chrono::Utc::now() - KEEP_REFUSALS).await.or_internal()?;
        change.commit().await.or_internal()?;
        let mut gone = (0, 0);
        for env in self.records.all_envs().await.or_internal()? {
            let app = env.app;
            let mut change = self.records.change().await.or_internal()?;
            // Whoever makes a release waits for this lock: what is read under it is all there is.
            let Some(env) = change.lock_env(&app).await.or_internal()? else { continue };
            let releases: Vec<_> =
                self.records.releases(&app, u32::MAX).await.or_internal()?.into_iter().map(|stored| stored.release).collect();
            let builds = self.records.builds(&app, u32::MAX).await.or_internal()?;
            if builds.iter().any(|build| !build.state.is_final()) {
                // A build may be about to release a slug that is known already: its image must not lose its last name now.
                continue;
            }
            let expired = expired(keep, env.current, &releases, &builds);
            if expired.is_empty() {
                continue;
            }
            for build in &expired.builds {
                // Before its record: nobody would find the log again.
                self.logs.remove(build).or_internal()?;
            }
            change.remove_releases(&app, &expired.releases).await.or_internal()?;
            change.remove_builds(&expired.builds).await.or_internal()?;
            change.forget_old_slugs(&app.app_ref()).await.or_internal()?;
            change.add_event(&expiry_event(&app, &expired)).await.or_internal()?;
            change.commit().await.or_internal()?;
            self.live.delete_specs(&app, &expired.releases).await.or_internal()?;
            gone = (gone.0 + expired.builds.len(), gone.1 + expired.releases.len());
        }
        self.remove_orphaned_logs().await?;
        Ok(gone)
    }

    /// Removes logs of builds that have no record: their app was destroyed, or a round ended in its middle.
    async fn remove_orphaned_logs(&self) -> Result<(), UserError> {
        // A log is there a moment before its record.
        let old = self.logs.older_than(SystemTime::now() - ORPHAN_AGE);
        for some in old.chunks(1_000) {
            let known: BTreeSet<BuildId> = self.records.known_builds(some).await.or_internal()?.into_iter().collect();
            for id in some.iter().filter(|id| !known.contains(id)) {
                self.logs.remove(id).or_internal()?;
            }
        }
        Ok(())
    }
}

fn expiry_event(app: &model::AppEnv, expired: &Expired) -> Event {
    Event {
        id: EventId::mint(store::random::bytes()),
        at: chrono::Utc::now(),
        actor: Actor::Platform,
        origin: Origin("retention".into()),
        verb: "expire".into(),
        tenant: Some(app.tenant.clone()),
        object: app.to_string(),
        outcome: Outcome::Done,
        detail: json!({ "builds": expired.builds.len(), "releases": expired.releases }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{AppEnv, BuildState, Digest, ImageRef, Time, release::Cause};

    fn app() -> AppEnv {
        "acme/shop/dev".parse().expect("a path")
    }

    fn at(n: u32) -> Time {
        Time::UNIX_EPOCH + chrono::TimeDelta::seconds(n.into())
    }

    fn id(n: u8) -> BuildId {
        BuildId::mint([n; 10])
    }

    fn release(n: u32, state: ReleaseState) -> Release {
        Release {
            app: app(),
            number: ReleaseNumber(n),
            state,
            image: ImageRef { repository: "acme/shop".into(), digest: Digest::of(&n.to_be_bytes()) },
            build: Some(id(n as u8)),
            commit: "c".into(),
            subject: String::new(),
            by: "ada".parse().expect("a name"),
            at: at(n),
            cause: Cause::Push,
            config_keys: Vec::new(),
            app_yaml_keys: None,
            reason: None,
        }
    }

    fn build(n: u8, state: BuildState) -> Build {
        Build {
            id: id(n),
            app: app(),
            state,
            commit: "c".into(),
            subject: String::new(),
            by: "ada".parse().expect("a name"),
            at: at(n.into()),
            started: None,
            built: None,
            ended: None,
            template: None,
            image: None,
            reused: false,
            release: None,
            error: None,
        }
    }

    fn numbers(expired: &Expired) -> Vec<u32> {
        expired.releases.iter().map(|number| number.0).collect()
    }

    #[test]
    fn the_newest_stay_and_so_does_all_that_may_serve() {
        use ReleaseState::{Active, Failed, Live, Prepared, Retired};
        let states = [Retired, Retired, Prepared, Retired, Live, Failed, Failed, Failed, Active];
        let releases: Vec<Release> = (1..).zip(states).map(|(n, state)| release(n, state)).collect();
        let builds: Vec<Build> = (1..=9).map(|n| build(n, BuildState::Succeeded)).collect();
        let keep = Keep { builds: 1, releases: 1 };
        // v9 is being rolled out; v5 serves until it is well; v3's push has not ended.
        let found = expired(keep, Some(ReleaseNumber(9)), &releases, &builds);
        assert_eq!(numbers(&found), [8, 7, 6, 4, 2, 1]);
        assert_eq!(found.builds, [8, 7, 6, 4, 2, 1].map(id));
        // After a rollback to an old one, that one stays, and so does the one before it.
        let found = expired(keep, Some(ReleaseNumber(4)), &releases, &builds);
        assert_eq!(numbers(&found), [8, 7, 6, 1]);
    }

    #[test]
    fn a_build_stays_while_it_runs_and_as_long_as_its_release() {
        let releases = [release(1, ReleaseState::Live)];
        let states = [BuildState::Succeeded, BuildState::Running, BuildState::Failed, BuildState::Failed];
        let builds: Vec<Build> = (1..).zip(states).map(|(n, state)| build(n, state)).collect();
        let found = expired(Keep { builds: 1, releases: 1 }, Some(ReleaseNumber(1)), &releases, &builds);
        assert_eq!(found, Expired { builds: vec![id(3)], releases: Vec::new() });
    }

    #[test]
    fn nothing_goes_while_there_is_room_and_twice_is_once() {
        let releases: Vec<Release> = (1..=5).map(|n| release(n, ReleaseState::Retired)).collect();
        let builds: Vec<Build> = (1..=5).map(|n| build(n, BuildState::Succeeded)).collect();
        assert!(expired(Keep { builds: 5, releases: 5 }, None, &releases, &builds).is_empty());
        let keep = Keep { builds: 2, releases: 2 };
        let found = expired(keep, None, &releases, &builds);
        let releases: Vec<Release> = releases.into_iter().filter(|one| !found.releases.contains(&one.number)).collect();
        let builds: Vec<Build> = builds.into_iter().filter(|one| !found.builds.contains(&one.id)).collect();
        assert_eq!((releases.len(), builds.len()), (2, 2));
        assert!(expired(keep, None, &releases, &builds).is_empty());
    }
}
