//! The pure core: from what is assigned and what is seen, what to do next. No clock, no engine, no await.
//!
//! ```text
//!  Idle ──start──► Up ──drain──► Draining ──term──► Ending ──(kill)──► Ended ──forget
//!   ▲               │ exited         │ exited          │ exited
//!   └── Waiting ◄─record crash       └────finish───────┴──────────► Ended
//! ```
//! Every action marks its instance busy until the shell has done it, so a plan made twice asks for nothing twice.
//! An instance that began to end never comes back.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use model::{Assignment, InstanceId, Intent, Time};

use crate::runtime::{ContainerId, RunState};

/// How far an instance is, as the supervisor remembers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nothing runs for it and nothing stands in the way of a start.
    Idle,
    /// It crashed or could not be started; not before this time again.
    Waiting {
        /// The earliest time of the next start.
        until: Time,
    },
    /// Its container was started.
    Up,
    /// Routers let go of it.
    Draining {
        /// Not longer than this.
        deadline: Time,
        /// Whether all of them have.
        drained: bool,
    },
    /// It got TERM.
    Ending {
        /// When it gets KILL.
        kill_at: Time,
    },
    /// It has ended because it was told to.
    Ended,
}

/// Which instance a container belongs to. Containers of other platforms are never listed, and so never seen here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// That of an instance, by the container's labels.
    Instance(InstanceId),
    /// Ours by scope and kind, but its other labels can not be read.
    Unreadable,
}

/// A container as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenContainer {
    /// The engine's id.
    pub id: ContainerId,
    /// Whether it runs.
    pub state: RunState,
}

/// What is seen and remembered of one instance, or of containers that belong to none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// Which instance, if any.
    pub owner: Owner,
    /// Its containers; more than one only after a fault.
    pub containers: Vec<SeenContainer>,
    /// How far it is; none when the supervisor has no memory of it.
    pub phase: Option<Phase>,
    /// Whether an action is under way.
    pub busy: bool,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Remember an instance by the labels of its container, which an earlier life of ours made.
    Adopt(InstanceId, ContainerId),
    /// Fetch the image, make and start a container, begin to probe.
    Start(InstanceId),
    /// Keep the exit code and the last lines of a container that ended by itself, remove it, wait before the next start.
    RecordCrash(InstanceId, Option<ContainerId>),
    /// Tell the routers to let go.
    Drain(InstanceId),
    /// Send TERM.
    Term(InstanceId, ContainerId),
    /// Send KILL.
    Kill(InstanceId, ContainerId),
    /// Remove the container of an instance that was told to end, and say that it has ended.
    Finish(InstanceId, Option<ContainerId>),
    /// Remove a container that nothing needs.
    Remove(Option<InstanceId>, ContainerId),
    /// Drop all memory of an instance.
    Forget(InstanceId),
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Adopt(instance, container) => write!(f, "adopt {instance} in {container}"),
            Self::Start(instance) => write!(f, "start {instance}"),
            Self::RecordCrash(instance, Some(container)) => write!(f, "record the crash of {instance} in {container}"),
            Self::RecordCrash(instance, None) => write!(f, "record the crash of {instance}, owner container vanished"),
            Self::Drain(instance) => write!(f, "drain {instance}"),
            Self::Term(instance, container) => write!(f, "term {instance} in {container}"),
            Self::Kill(instance, container) => write!(f, "kill {instance} in {container}"),
            Self::Finish(instance, _) => write!(f, "finish {instance}"),
            Self::Remove(_, container) => write!(f, "remove {container}"),
            Self::Forget(instance) => write!(f, "forget {instance}"),
        }
    }
}

/// What to do next. At most one step per instance, except that superfluous containers all go at once.
pub fn plan(assigned: &[Assignment], observed: &[Observed], now: Time) -> Vec<Action> {
    let intents: BTreeMap<&InstanceId, Intent> = assigned.iter().map(|a| (&a.instance, a.intent)).collect();
    let mut actions = Vec::new();
    let mut known = BTreeSet::new();
    for one in observed {
        match &one.owner {
            Owner::Unreadable if one.busy => {}
            Owner::Unreadable => actions.extend(one.containers.iter().map(|seen| Action::Remove(None, seen.id.clone()))),
            Owner::Instance(instance) => {
                known.insert(instance);
                if !one.busy {
                    step(instance, intents.get(instance).copied(), one, now, &mut actions);
                }
            }
        }
    }
    actions.extend(intents.iter().filter(|(instance, _)| !known.contains(*instance)).map(|(instance, intent)| match intent {
        Intent::Run => Action::Start((*instance).clone()),
        // It was stopped before we lost our memory of it; the scheduler still waits for the word.
        Intent::Drain => Action::Finish((*instance).clone(), None),
    }));
    actions
}

/// When the plan may change by time alone.
pub fn next_wake(observed: &[Observed], now: Time) -> Option<Time> {
    observed
        .iter()
        .filter_map(|one| match one.phase? {
            Phase::Waiting { until } => Some(until),
            Phase::Draining { deadline, .. } => Some(deadline),
            Phase::Ending { kill_at } => Some(kill_at),
            Phase::Idle | Phase::Up | Phase::Ended => None,
        })
        .filter(|at| *at > now)
        .min()
}

fn step(instance: &InstanceId, intent: Option<Intent>, one: &Observed, now: Time, actions: &mut Vec<Action>) {
    let id = || instance.clone();
    // The running one is the instance; of several, the first listed.
    let keep = one.containers.iter().find(|seen| seen.state == RunState::Running).or(one.containers.first());
    let extra: Vec<&SeenContainer> = one.containers.iter().filter(|seen| keep.is_some_and(|keep| keep.id != seen.id)).collect();
    if !extra.is_empty() {
        actions.extend(extra.into_iter().map(|seen| Action::Remove(Some(id()), seen.id.clone())));
        return;
    }
    let run = intent == Some(Intent::Run);
    let running = keep.is_some_and(|seen| seen.state == RunState::Running);
    let container = keep.map(|seen| seen.id.clone());
    let action = match (one.phase, container) {
        (None, Some(container)) => Some(Action::Adopt(id(), container)),
        (None, None) if run => Some(Action::Start(id())),
        (None, None) if intent.is_some() => Some(Action::Finish(id(), None)),
        (None, None) => Some(Action::Forget(id())),

        (Some(Phase::Idle | Phase::Waiting { .. }), Some(container)) => Some(Action::Remove(Some(id()), container)),
        (Some(Phase::Idle | Phase::Waiting { .. }), None) if !run => Some(Action::Finish(id(), None)),
        (Some(Phase::Waiting { until }), None) if until > now => None,
        (Some(Phase::Idle | Phase::Waiting { .. }), None) => Some(Action::Start(id())),

        (Some(Phase::Up), container) if run => (!running).then(|| Action::RecordCrash(id(), container)),
        (Some(Phase::Up), container) if !running => Some(Action::Finish(id(), container)),
        (Some(Phase::Up), _) => Some(Action::Drain(id())),

        (Some(Phase::Draining { .. } | Phase::Ending { .. }), container) if !running => Some(Action::Finish(id(), container)),
        (Some(Phase::Draining { deadline, drained }), Some(container)) => {
            (drained || deadline <= now).then(|| Action::Term(id(), container))
        }
        (Some(Phase::Ending { kill_at }), Some(container)) => (kill_at <= now).then(|| Action::Kill(id(), container)),
        (Some(Phase::Draining { .. } | Phase::Ending { .. }), None) => Some(Action::Finish(id(), None)),

        (Some(Phase::Ended), Some(container)) => Some(Action::Remove(Some(id()), container)),
        (Some(Phase::Ended), None) => intent.is_none().then(|| Action::Forget(id())),
    };
    actions.extend(action);
}

#[cfg(test)]
mod tests;
