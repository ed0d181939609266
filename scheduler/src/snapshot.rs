//! Everything a plan is made from, read once. Owns the questions asked of it; must never be changed by the planner.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use model::{
    AppEnv, Formation, Host, HostName, HostState, InstanceId, InstanceState, InstanceStatus, ProcessName, ReleaseNumber, Resources, Time,
};
use store::live::Fenced;

use crate::config::Policy;

/// The state of the cluster at one moment, as far as coordination knew it.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// The policy to plan by.
    pub policy: Policy,
    /// What should run.
    pub formations: BTreeMap<AppEnv, Formation>,
    /// What each process type of a release may use. A release that is missing here can not be placed.
    pub specs: BTreeMap<(AppEnv, ReleaseNumber), BTreeMap<ProcessName, Resources>>,
    /// Hosts whose supervisors are there.
    pub hosts: BTreeMap<HostName, Host>,
    /// Hosts that were ever there; only to name them in reasons.
    pub known: BTreeMap<HostName, Host>,
    /// Since when hosts are missed.
    pub absent_since: BTreeMap<HostName, Time>,
    /// What hosts are told to run, with the version that fences the next write.
    pub assignments: BTreeMap<HostName, Fenced>,
    /// What supervisors report.
    pub instances: BTreeMap<InstanceId, InstanceStatus>,
}

/// How far a host can be counted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum HostPresence {
    /// Its instances stay: it is there, or away for so short a time that it is expected back.
    Present,
    /// Its instances should leave: an operator took it out.
    Leaving,
    /// It is away.
    Gone,
}

impl Snapshot {
    /// How far a host can be counted on.
    pub(crate) fn presence(&self, host: &HostName, now: Time) -> HostPresence {
        match self.hosts.get(host) {
            Some(host) if host.state == HostState::Maintenance => HostPresence::Leaving,
            Some(_) => HostPresence::Present,
            None if self.settles_at(host).is_some_and(|at| now < at) => HostPresence::Present,
            None => HostPresence::Gone,
        }
    }

    /// When a missed host counts as gone.
    pub(crate) fn settles_at(&self, host: &HostName) -> Option<Time> {
        let settle = TimeDelta::from_std(self.policy.settle).unwrap_or(TimeDelta::MAX);
        self.absent_since.get(host).map(|since| since.checked_add_signed(settle).unwrap_or(Time::MAX_UTC))
    }

    /// What is reported of an instance by the host that it is assigned to.
    pub(crate) fn state(&self, host: &HostName, instance: &InstanceId) -> Option<InstanceState> {
        self.instances.get(instance).filter(|status| status.host == *host).map(|status| status.state)
    }

    /// What an instance may use. A release whose spec was removed is counted with what an instance gets that asks for nothing.
    pub(crate) fn resources(&self, app: &AppEnv, release: ReleaseNumber, process: &ProcessName) -> Resources {
        let spec = self.specs.get(&(app.clone(), release));
        spec.and_then(|spec| spec.get(process)).copied().unwrap_or(Resources::INSTANCE)
    }
}
