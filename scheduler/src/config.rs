//! What an operator may set: the policy of the planner and the pace of its loop.

use std::time::Duration;

/// Policy of the planner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Instances beyond the count that a rollout may run at once, in percent of the count; at least one instance.
    pub overlap_percent: u32,
    /// How much of a host's CPU may be promised, in percent. CPU limits are caps that instances rarely use, so that
    /// promising a core several times is the rule; memory is never promised twice.
    pub cpu_percent: u32,
    /// How long a host may be away before its instances are replaced elsewhere: a supervisor that restarts is back sooner.
    pub settle: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self { overlap_percent: 100, cpu_percent: 1_000, settle: Duration::from_secs(10) }
    }
}

impl Policy {
    /// Instances beyond `count` that a rollout may run at once.
    pub fn overlap(&self, count: u32) -> u32 {
        let share = u64::from(count) * u64::from(self.overlap_percent);
        u32::try_from(share.div_ceil(100)).unwrap_or(u32::MAX).max(1)
    }
}

/// Settings of the scheduler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Policy of the planner.
    pub policy: Policy,
    /// The longest time between two looks at the whole, whatever the watches say.
    pub interval: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { policy: Policy::default(), interval: Duration::from_secs(5) }
    }
}
