//! `TaskEvent`: what background tasks report to the loop.

use model::{Exit, InstanceId};

use crate::health::HealthReport;
use crate::launcher::{LaunchFailure, Launched};
use crate::runtime::ContainerId;

/// A report from a background task.
pub(super) enum TaskEvent {
    /// A start ended.
    Started(InstanceId, Result<Launched, LaunchFailure>),
    /// A health watch saw a change.
    HealthChanged(InstanceId, ContainerId, HealthReport),
    /// A container wrote more to its own disk than it may.
    DiskExceeded(ContainerId, String),
    /// A container that ended by itself is removed.
    Crashed(InstanceId, Option<Exit>),
    /// A container that was told to end is removed.
    Finished(InstanceId, Option<Exit>),
    /// A signal was sent.
    Signalled(InstanceId),
    /// A superfluous container is removed.
    Removed(Option<InstanceId>, ContainerId),
    /// A task could not do what it was asked; the plan asks again.
    Failed(Option<InstanceId>, Option<ContainerId>),
}
