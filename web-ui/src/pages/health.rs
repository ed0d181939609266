//! How an app in an environment does, in one word and one colour. Pure.

use std::collections::BTreeMap;

use model::{Formation, InstanceState, InstanceStatus, ProcessName};
use serde::Serialize;

/// The health of an app in an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Health {
    /// `ok`, `busy`, `bad` or `idle`: the colour.
    pub(crate) class: &'static str,
    /// `2 of 2 healthy`
    pub(crate) text: String,
}

/// The colour of an instance's state.
pub(crate) fn class_of(state: InstanceState) -> &'static str {
    match state {
        InstanceState::Healthy => "ok",
        InstanceState::Pulling | InstanceState::Starting => "busy",
        InstanceState::Unhealthy
        | InstanceState::Crashed
        | InstanceState::Flapping
        | InstanceState::ImageMissing
        | InstanceState::ImagePullFailed => "bad",
        InstanceState::Draining | InstanceState::Stopping | InstanceState::Stopped => "idle",
    }
}

/// Judges what runs by what should run; `instances` are those of the same app and environment.
pub(crate) fn health<'a>(formation: Option<&Formation>, instances: impl Iterator<Item = &'a InstanceStatus>) -> Health {
    let Some(formation) = formation else { return Health { class: "idle", text: "nothing deployed".into() } };
    let wanted: u32 = formation.counts.values().sum();
    if wanted == 0 {
        return Health { class: "idle", text: "scaled to zero".into() };
    }
    let mut by_process: BTreeMap<&ProcessName, u32> = BTreeMap::new();
    let mut broken = false;
    for status in instances.filter(|status| status.release == formation.release && status.epoch == formation.epoch) {
        broken |= class_of(status.state) == "bad";
        if status.state == InstanceState::Healthy {
            *by_process.entry(&status.process).or_default() += 1;
        }
    }
    let healthy: u32 = formation.counts.iter().map(|(process, count)| by_process.get(process).copied().unwrap_or(0).min(*count)).sum();
    let class = if healthy == wanted {
        "ok"
    } else if broken {
        "bad"
    } else {
        "busy"
    };
    Health { class, text: format!("{healthy} of {wanted} healthy") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(ordinal: u32, state: InstanceState) -> InstanceStatus {
        InstanceStatus {
            id: model::InstanceId::mint([ordinal as u8; 10]),
            app: "acme/shop/dev".parse().expect("a path"),
            process: ProcessName::web(),
            ordinal,
            release: model::ReleaseNumber(2),
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

    #[test]
    fn the_colour_follows_the_release_that_should_serve() {
        let formation = |count| Formation {
            app: "acme/shop/dev".parse().expect("a path"),
            generation: 1,
            release: model::ReleaseNumber(2),
            epoch: 0,
            counts: [(ProcessName::web(), count)].into(),
        };
        let of = |count, instances: &[InstanceStatus]| health(Some(&formation(count)), instances.iter());
        let healthy = instance(1, InstanceState::Healthy);
        assert_eq!((of(1, std::slice::from_ref(&healthy)).class, of(2, std::slice::from_ref(&healthy)).class), ("ok", "busy"));
        assert_eq!(of(2, &[healthy.clone(), instance(2, InstanceState::Crashed)]), Health { class: "bad", text: "1 of 2 healthy".into() });
        let old = InstanceStatus { release: model::ReleaseNumber(1), ..healthy };
        assert_eq!(of(1, &[old]).text, "0 of 1 healthy");
        assert_eq!(of(0, &[]).class, "idle");
        assert_eq!(health(None, [].into_iter()).class, "idle");
    }
}
