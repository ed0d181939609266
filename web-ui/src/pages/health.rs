//! How an app in an environment does, as pages show it: the state that the manager derives, with a colour. Pure.

use manager::env_state::{EnvState, StateKind};
use model::InstanceState;
use serde::Serialize;

/// The health of an app in an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Health {
    /// `ok`, `busy`, `bad` or `idle`: the colour.
    pub(crate) class: &'static str,
    /// `3 serving v4 · v5 0 of 3 healthy`
    pub(crate) text: String,
    /// Why it waits or failed; empty when there is nothing to say.
    pub(crate) why: String,
    /// When a rollout gives up, `12:04:31 UTC`; empty when nothing is on its way.
    pub(crate) until: String,
    /// Whether its newest release can be tried again.
    pub(crate) can_retry: bool,
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

/// What a page shows of a state.
pub(crate) fn health(state: &EnvState) -> Health {
    Health {
        class: match state.kind {
            StateKind::Live => "ok",
            StateKind::Building | StateKind::RollingOut | StateKind::WaitingForPlace => "busy",
            StateKind::Degraded | StateKind::Failed => "bad",
            StateKind::Empty | StateKind::Stopped => "idle",
        },
        text: match state.kind {
            StateKind::Degraded => format!("degraded · {}", state.text),
            _ => state.text.clone(),
        },
        why: state.why.clone(),
        until: state.until.map(|until| until.format("%H:%M:%S UTC").to_string()).unwrap_or_default(),
        can_retry: state.kind == StateKind::Failed && state.release.is_some(),
    }
}
