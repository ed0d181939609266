//! The state of an app in an environment, in one word and one sentence: the one place where terminal, API and pages take it from.
//!
//! ```text
//!  empty ──► building ──► rolling-out ──► live ◄──► degraded
//!                 │        │       │        ▲
//!                 ▼        ▼       ▼        └── stopped (scaled to zero)
//!              failed   waiting  failed
//! ```
//! Owns the words. Pure: what was read goes in, and the present time.

use std::collections::BTreeMap;

use model::{Build, BuildState, Formation, InstanceState, InstanceStatus, Release, ReleaseNumber, ReleaseState, Time};
use serde::Serialize;

use crate::rollout::status::{healthy_of, is_broken};

/// What the state is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StateKind {
    /// Nothing was ever pushed.
    Empty,
    /// A build waits or runs; what served before serves on.
    Building,
    /// A release is on its way.
    RollingOut,
    /// Instances of a release have no place.
    WaitingForPlace,
    /// Every wanted instance of the current release is healthy.
    Live,
    /// The current release was live, and not every wanted instance is healthy now.
    Degraded,
    /// The newest release, or the build of the newest push, failed.
    Failed,
    /// Scaled to zero.
    Stopped,
}

/// The state of an app in an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EnvState {
    /// What it is.
    pub kind: StateKind,
    /// The same in a sentence: `3 serving v4 · v5 0 of 3 healthy`.
    pub text: String,
    /// The release that serves, if one does.
    pub serving: Option<ReleaseNumber>,
    /// The release that failed or is on its way, where that is another.
    pub release: Option<ReleaseNumber>,
    /// Why it waits or failed.
    pub why: String,
    /// When a rollout gives up.
    pub until: Option<Time>,
}

/// What the state is made of.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// What should run; none when no release was ever good.
    pub formation: Option<&'a Formation>,
    /// Instances of the app in this environment.
    pub instances: &'a [InstanceStatus],
    /// The newest releases, newest first.
    pub releases: &'a [Release],
    /// The newest build.
    pub build: Option<&'a Build>,
    /// Why instances have no place, one line each.
    pub blocked: &'a [String],
    /// When the rollout of the current release gives up.
    pub until: Option<Time>,
}

/// Derives the state.
pub fn env_state(seen: &Seen<'_>) -> EnvState {
    let newest = seen.releases.iter().find(|release| !matches!(release.state, ReleaseState::Prepared | ReleaseState::Aborted));
    let serving = serving(seen);
    let state = |kind, text: String| EnvState {
        kind,
        text,
        serving: serving.map(|(number, _)| number),
        release: None,
        why: String::new(),
        until: None,
    };
    if let Some(build) = seen.build.filter(|build| matches!(build.state, BuildState::Queued | BuildState::Running)) {
        let what = if build.state == BuildState::Queued { "a build waits for its turn" } else { "building" };
        return EnvState { ..state(StateKind::Building, with_serving(serving, what.into())) };
    }
    if let Some(release) = newest.filter(|release| release.state == ReleaseState::Active) {
        let (healthy, wanted) = seen.formation.map_or((0, 0), |formation| healthy_of(formation, seen.instances));
        let others = serving.filter(|(number, _)| *number != release.number);
        let progress = format!("{} {healthy} of {wanted} healthy", release.number);
        let kind = if seen.blocked.is_empty() { StateKind::RollingOut } else { StateKind::WaitingForPlace };
        let text = match kind {
            StateKind::WaitingForPlace => format!("{} waits for a place", release.number),
            _ => progress,
        };
        let why = seen.blocked.join("; ");
        return EnvState { release: Some(release.number), why, until: seen.until, ..state(kind, with_serving(others, text)) };
    }
    // A build that failed and a release that failed are told until something newer ends well.
    if let Some(release) = newest.filter(|release| release.state == ReleaseState::Failed) {
        let why = release.reason.clone().unwrap_or_default();
        return EnvState {
            release: Some(release.number),
            why,
            ..state(StateKind::Failed, with_serving(serving, format!("{} failed", release.number)))
        };
    }
    let Some(formation) = seen.formation else {
        return match seen.build.filter(|build| matches!(build.state, BuildState::Failed | BuildState::Lost)) {
            Some(build) => EnvState {
                why: build.error.as_ref().map(|error| error.what.clone()).unwrap_or_default(),
                ..state(StateKind::Failed, "the first build failed".into())
            },
            None => state(StateKind::Empty, "waits for its first push".into()),
        };
    };
    let (healthy, wanted) = healthy_of(formation, seen.instances);
    if wanted == 0 {
        return state(StateKind::Stopped, "scaled to zero".into());
    }
    if healthy == wanted {
        return state(StateKind::Live, format!("{healthy} of {wanted} healthy"));
    }
    let broken = seen.instances.iter().filter(|status| status.release == formation.release).any(is_broken);
    let why = if seen.blocked.is_empty() {
        let reasons = seen.instances.iter().filter(|status| status.release == formation.release && status.state != InstanceState::Healthy);
        reasons.filter_map(|status| status.reason.clone()).next().unwrap_or_default()
    } else {
        seen.blocked.join("; ")
    };
    let kind = if !seen.blocked.is_empty() && !broken { StateKind::WaitingForPlace } else { StateKind::Degraded };
    EnvState { why, ..state(kind, format!("{healthy} of {wanted} healthy")) }
}

/// The release with the most instances that take requests, and how many those are; the newer one of two alike.
fn serving(seen: &Seen<'_>) -> Option<(ReleaseNumber, usize)> {
    let mut counts: BTreeMap<ReleaseNumber, usize> = BTreeMap::new();
    for status in seen.instances.iter().filter(|status| status.process.is_web() && status.state.takes_requests()) {
        *counts.entry(status.release).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(number, count)| (*count, *number))
}

fn with_serving(serving: Option<(ReleaseNumber, usize)>, text: String) -> String {
    match serving {
        Some((number, count)) => format!("{count} serving {number} · {text}"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;
    use model::{Code, ProcessName, UserError, release::Cause};

    fn instance(ordinal: u8, release: u32, state: InstanceState) -> InstanceStatus {
        InstanceStatus {
            id: model::InstanceId::mint([ordinal, release as u8, 0, 0, 0, 0, 0, 0, 0, 0]),
            app: "acme/shop/dev".parse().expect("a path"),
            process: ProcessName::web(),
            ordinal: ordinal.into(),
            release: ReleaseNumber(release),
            epoch: 0,
            host: "one".parse().expect("a name"),
            zone: "a".parse().expect("a name"),
            state,
            address: None,
            since: DateTime::UNIX_EPOCH,
            restarts: 0,
            last_exit: None,
            reason: (state == InstanceState::Crashed).then(|| "exited with status 1".into()),
            code: None,
        }
    }

    fn release(number: u32, state: ReleaseState) -> Release {
        Release {
            app: "acme/shop/dev".parse().expect("a path"),
            number: ReleaseNumber(number),
            state,
            image: model::ImageRef { repository: "acme/shop".into(), digest: model::Digest::of(b"x") },
            build: None,
            commit: "c".into(),
            subject: "s".into(),
            by: "ada".parse().expect("a name"),
            at: DateTime::UNIX_EPOCH,
            cause: Cause::Push,
            config_keys: Vec::new(),
            app_yaml_keys: None,
            reason: (state == ReleaseState::Failed).then(|| "web.1 did not become healthy [SW-R101]".into()),
        }
    }

    fn build(state: BuildState) -> Build {
        Build {
            id: model::BuildId::mint([1; 10]),
            app: "acme/shop/dev".parse().expect("a path"),
            state,
            commit: "c".into(),
            subject: "s".into(),
            by: "ada".parse().expect("a name"),
            at: DateTime::UNIX_EPOCH,
            started: None,
            built: None,
            ended: None,
            template: None,
            image: None,
            reused: false,
            release: None,
            error: (state == BuildState::Failed).then(|| UserError::new(Code::BuildFailed, "the build failed")),
        }
    }

    fn formation(release: u32, count: u32) -> Formation {
        Formation {
            app: "acme/shop/dev".parse().expect("a path"),
            generation: 1,
            release: ReleaseNumber(release),
            epoch: 0,
            counts: [(ProcessName::web(), count)].into(),
        }
    }

    fn of(
        formation: Option<Formation>,
        instances: &[InstanceStatus],
        releases: &[Release],
        build: Option<Build>,
        blocked: &[&str],
    ) -> (StateKind, String) {
        let blocked: Vec<String> = blocked.iter().map(|line| (*line).to_owned()).collect();
        let seen = Seen { formation: formation.as_ref(), instances, releases, build: build.as_ref(), blocked: &blocked, until: None };
        let state = env_state(&seen);
        (state.kind, state.text)
    }

    #[test]
    fn each_state_has_its_words() {
        use InstanceState::{Crashed, Healthy, Starting};
        let three = |release| (1..=3).map(|n| instance(n, release, Healthy)).collect::<Vec<_>>();
        assert_eq!(of(None, &[], &[], None, &[]), (StateKind::Empty, "waits for its first push".into()));
        assert_eq!(of(None, &[], &[], Some(build(BuildState::Running)), &[]), (StateKind::Building, "building".into()));
        assert_eq!(of(None, &[], &[], Some(build(BuildState::Failed)), &[]), (StateKind::Failed, "the first build failed".into()));
        assert_eq!(
            of(Some(formation(4, 3)), &three(4), &[release(4, ReleaseState::Live)], Some(build(BuildState::Queued)), &[]),
            (StateKind::Building, "3 serving v4 · a build waits for its turn".into())
        );
        let rolling = [three(4), vec![instance(1, 5, Starting)]].concat();
        assert_eq!(
            of(Some(formation(5, 3)), &rolling, &[release(5, ReleaseState::Active), release(4, ReleaseState::Live)], None, &[]),
            (StateKind::RollingOut, "3 serving v4 · v5 0 of 3 healthy".into())
        );
        assert_eq!(
            of(Some(formation(1, 1)), &[], &[release(1, ReleaseState::Active)], None, &["web.1: no host has 4096 MB"]),
            (StateKind::WaitingForPlace, "v1 waits for a place".into())
        );
        assert_eq!(
            of(None, &[], &[release(1, ReleaseState::Failed)], Some(build(BuildState::Failed)), &[]),
            (StateKind::Failed, "v1 failed".into())
        );
        assert_eq!(
            of(Some(formation(4, 3)), &three(4), &[release(5, ReleaseState::Failed), release(4, ReleaseState::Live)], None, &[]),
            (StateKind::Failed, "3 serving v4 · v5 failed".into())
        );
        assert_eq!(
            of(Some(formation(4, 3)), &three(4), &[release(4, ReleaseState::Live)], None, &[]),
            (StateKind::Live, "3 of 3 healthy".into())
        );
        let hurt = [three(4)[..2].to_vec(), vec![instance(3, 4, Crashed)]].concat();
        assert_eq!(
            of(Some(formation(4, 3)), &hurt, &[release(4, ReleaseState::Live)], None, &[]),
            (StateKind::Degraded, "2 of 3 healthy".into())
        );
        assert_eq!(
            of(Some(formation(4, 0)), &[], &[release(4, ReleaseState::Live)], None, &[]),
            (StateKind::Stopped, "scaled to zero".into())
        );
    }

    #[test]
    fn what_waits_or_failed_says_why() {
        let blocked = ["web.1: no host has 4096 MB".to_owned()];
        let releases = [release(1, ReleaseState::Active)];
        let formation = formation(1, 1);
        let seen = Seen {
            formation: Some(&formation),
            instances: &[],
            releases: &releases,
            build: None,
            blocked: &blocked,
            until: Some(DateTime::UNIX_EPOCH),
        };
        let state = env_state(&seen);
        assert_eq!(
            (state.why.as_str(), state.until, state.release),
            (blocked[0].as_str(), Some(DateTime::UNIX_EPOCH), Some(ReleaseNumber(1)))
        );
        let releases = [release(1, ReleaseState::Failed)];
        let state = env_state(&Seen { formation: None, releases: &releases, blocked: &[], until: None, ..seen });
        assert!(state.why.contains("SW-R101"), "{state:?}");
    }
}
