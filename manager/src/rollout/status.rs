//! The status of a rollout: what should run and what runs go in, waiting, live or failed comes out. Pure.

use std::collections::BTreeMap;

use model::{Formation, InstanceState, InstanceStatus, UserError};

use crate::user_errors::rollouts;

/// Restarts of an instance of the new release from which on it counts as broken.
pub(crate) const MAX_RESTARTS: u32 = 2;

/// How far a rollout has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RolloutStatus {
    /// Not all instances are healthy yet.
    Waiting {
        /// Instances of the release that are healthy.
        healthy: u32,
        /// Instances that the formation asks for.
        wanted: u32,
    },
    /// Every wanted instance is healthy.
    Live {
        /// Instances that the formation asks for; none when nothing is scaled up.
        instances: u32,
    },
    /// An instance is broken: the release will not become healthy.
    Failed(Box<UserError>),
}

/// The status of the rollout of the formation's release.
pub fn rollout_status(formation: &Formation, statuses: &[InstanceStatus]) -> RolloutStatus {
    let of_release =
        |status: &&InstanceStatus| status.app == formation.app && status.release == formation.release && status.epoch == formation.epoch;
    if let Some(broken) = statuses.iter().filter(of_release).find(|status| is_broken(status)) {
        return RolloutStatus::Failed(Box::new(rollouts::broken_instance(broken)));
    }
    let (healthy, wanted) = healthy_of(formation, statuses);
    if healthy == wanted { RolloutStatus::Live { instances: wanted } } else { RolloutStatus::Waiting { healthy, wanted } }
}

/// Healthy instances of the formation's release, and those that are wanted.
pub(crate) fn healthy_of(formation: &Formation, instances: &[InstanceStatus]) -> (u32, u32) {
    let mut healthy: BTreeMap<_, u32> = BTreeMap::new();
    let of_release =
        |status: &&InstanceStatus| status.app == formation.app && status.release == formation.release && status.epoch == formation.epoch;
    for status in instances.iter().filter(of_release).filter(|status| status.state == InstanceState::Healthy) {
        *healthy.entry(&status.process).or_default() += 1;
    }
    let count = |(process, wanted): (&model::ProcessName, &u32)| healthy.get(process).copied().unwrap_or(0).min(*wanted);
    (formation.counts.iter().map(count).sum(), formation.counts.values().sum())
}

/// Whether an instance fails the rollout of its release.
pub(crate) fn is_broken(status: &InstanceStatus) -> bool {
    match status.state {
        InstanceState::Flapping | InstanceState::ImageMissing => true,
        InstanceState::Crashed | InstanceState::Starting | InstanceState::ImagePullFailed => status.restarts >= MAX_RESTARTS,
        InstanceState::Unhealthy => status.code.is_some(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Code, InstanceId, ReleaseNumber};

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
        assert_eq!(rollout_status(&formation(2), &running), RolloutStatus::Waiting { healthy: 1, wanted: 2 });
        let running = [status(1, 2, InstanceState::Healthy), status(2, 2, InstanceState::Healthy)];
        assert_eq!(rollout_status(&formation(2), &running), RolloutStatus::Live { instances: 2 });
        assert_eq!(rollout_status(&formation(0), &[]), RolloutStatus::Live { instances: 0 });
    }

    #[test]
    fn one_restart_is_forgiven_and_a_second_is_not() {
        let mut crashed = status(1, 2, InstanceState::Crashed);
        crashed.restarts = 1;
        assert_eq!(rollout_status(&formation(1), std::slice::from_ref(&crashed)), RolloutStatus::Waiting { healthy: 0, wanted: 1 });
        crashed.restarts = 2;
        crashed.reason = Some("exited with status 1".into());
        match rollout_status(&formation(1), std::slice::from_ref(&crashed)) {
            RolloutStatus::Failed(user_error) => {
                assert_eq!((user_error.code, user_error.why.as_str()), (Code::CrashedAtStart, "exited with status 1"));
            }
            other => panic!("{other:?}"),
        }
        let mut old = crashed;
        old.release = ReleaseNumber(1);
        assert_eq!(rollout_status(&formation(1), &[old]), RolloutStatus::Waiting { healthy: 0, wanted: 1 });
    }
}
