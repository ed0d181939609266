//! The order of hosts that could all take an instance. The least score wins; policy is the order of the fields.

use std::collections::BTreeMap;

use model::{AppEnv, HostName, ProcessName, Resources, ZoneName};

use crate::feasible::HostCapacity;

/// How well a host suits an instance; less is better.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Score<'a> {
    /// Instances of this process type in the host's zone.
    same_process_in_zone: u32,
    /// Instances of this process type on the host.
    same_process_on_host: u32,
    /// Instances of this app on the host.
    same_app_on_host: u32,
    /// Share of the host's memory that would be promised, in thousandths: the emptier host first.
    memory_permille: u64,
    /// The name, so that equal hosts have an order.
    host: &'a HostName,
}

impl<'a> Score<'a> {
    pub(crate) fn of(
        capacity: &HostCapacity<'a>,
        zones: &BTreeMap<&'a ZoneName, u32>,
        app: &'a AppEnv,
        process: &'a ProcessName,
        wants: &Resources,
    ) -> Self {
        Self {
            same_process_in_zone: zones.get(&capacity.host.zone).copied().unwrap_or(0),
            same_process_on_host: capacity.of_process(app, process),
            same_app_on_host: capacity.of_app(app),
            memory_permille: capacity.memory_permille(wants),
            host: capacity.name(),
        }
    }

    /// The host that was scored.
    pub(crate) fn host(&self) -> &'a HostName {
        self.host
    }
}
