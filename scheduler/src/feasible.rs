//! The filters: whether a host can take one more instance, and which filter says no, with the figures that it saw.

use std::collections::BTreeMap;

use model::{AppEnv, Host, HostName, HostState, ProcessName, Resources};

use crate::config::Policy;

/// Which filter refused, and what it saw. In the order in which the filters ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// Its supervisor is not there.
    Away,
    /// An operator took it out.
    Maintenance,
    /// It says of itself that it is full.
    Full,
    /// Every slot is taken.
    Slots {
        /// Slots in all.
        slots: u32,
    },
    /// Too little memory is free.
    Memory {
        /// Free MiB.
        free_mb: u32,
    },
    /// Too little CPU is left to promise.
    Cpu {
        /// Thousandths of a core that are left.
        free_millis: u64,
    },
}

/// A host that is there, with what its assignments leave free.
#[derive(Debug)]
pub(crate) struct HostCapacity<'a> {
    pub(crate) host: &'a Host,
    slots: u32,
    memory_mb: u64,
    cpu_millis: u64,
    cpu_total: u64,
    /// Instances of each app on it.
    apps: BTreeMap<&'a AppEnv, u32>,
    /// Instances of each process type on it that stay.
    processes: BTreeMap<(&'a AppEnv, &'a ProcessName), u32>,
}

impl<'a> HostCapacity<'a> {
    pub(crate) fn new(host: &'a Host, policy: &Policy) -> Self {
        let cpu_total = u64::from(host.capacity.cpu_millis) * u64::from(policy.cpu_percent) / 100;
        Self { host, slots: 0, memory_mb: 0, cpu_millis: 0, cpu_total, apps: BTreeMap::new(), processes: BTreeMap::new() }
    }

    /// Reserves capacity. `stays` is false for an instance that is draining: it uses resources, but is no reason to place others elsewhere.
    pub(crate) fn take(&mut self, app: &'a AppEnv, process: &'a ProcessName, resources: &Resources, stays: bool) {
        self.slots += 1;
        self.memory_mb += u64::from(resources.memory_mb);
        self.cpu_millis += u64::from(resources.cpu_millis);
        if stays {
            *self.apps.entry(app).or_default() += 1;
            *self.processes.entry((app, process)).or_default() += 1;
        }
    }

    /// Asks every filter in turn.
    pub(crate) fn check(&self, wants: &Resources) -> Result<(), Refusal> {
        match self.host.state {
            HostState::Ok => self.measure(wants, self.slots, self.memory_mb, self.cpu_millis),
            HostState::Maintenance => Err(Refusal::Maintenance),
            HostState::Full => Err(Refusal::Full),
        }
    }

    /// Asks as if an instance that uses `frees` were not there. A host that is full says so with that one still on it.
    pub(crate) fn check_without(&self, wants: &Resources, frees: &Resources) -> Result<(), Refusal> {
        if self.host.state == HostState::Maintenance {
            return Err(Refusal::Maintenance);
        }
        let memory_mb = self.memory_mb.saturating_sub(u64::from(frees.memory_mb));
        let cpu_millis = self.cpu_millis.saturating_sub(u64::from(frees.cpu_millis));
        self.measure(wants, self.slots.saturating_sub(1), memory_mb, cpu_millis)
    }

    fn measure(&self, wants: &Resources, slots: u32, memory_mb: u64, cpu_millis: u64) -> Result<(), Refusal> {
        let capacity = &self.host.capacity;
        if slots >= capacity.slots {
            return Err(Refusal::Slots { slots: capacity.slots });
        }
        let free_mb = u64::from(capacity.memory_mb).saturating_sub(memory_mb);
        if free_mb < u64::from(wants.memory_mb) {
            return Err(Refusal::Memory { free_mb: u32::try_from(free_mb).unwrap_or(u32::MAX) });
        }
        let free_millis = self.cpu_total.saturating_sub(cpu_millis);
        if free_millis < u64::from(wants.cpu_millis) {
            return Err(Refusal::Cpu { free_millis });
        }
        Ok(())
    }

    pub(crate) fn name(&self) -> &'a HostName {
        &self.host.name
    }

    pub(crate) fn of_app(&self, app: &AppEnv) -> u32 {
        self.apps.get(app).copied().unwrap_or(0)
    }

    pub(crate) fn of_process(&self, app: &'a AppEnv, process: &'a ProcessName) -> u32 {
        self.processes.get(&(app, process)).copied().unwrap_or(0)
    }

    /// Share of its memory that would be promised with `wants` on top, in thousandths.
    pub(crate) fn memory_permille(&self, wants: &Resources) -> u64 {
        (self.memory_mb + u64::from(wants.memory_mb)) * 1_000 / u64::from(self.host.capacity.memory_mb).max(1)
    }
}
