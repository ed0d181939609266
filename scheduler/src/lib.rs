//! Placement: decides which host runs which instance.
//!
//! Owns the assignments, one document per host. The core is `reconcile`: a snapshot in, a plan out, no IO, no clock, no
//! chance of its own. `Scheduler` is the thin loop around it: read, plan, commit behind the fence of the versions it read.
//! Must never write anything but assignments, never talk to a container engine, and never need the manager or SQL.
//!
//! ```text
//!  formations ┐
//!  specs      │             ┌ place    → committed per host, fenced
//!  hosts      ├► Snapshot ──► drain    →
//!  assignments│  reconcile  │ remove   →
//!  instances  ┘             ├ keep
//!                           └ blocked  → published, shown by `ps` and the push
//! ```

mod blocked;
mod config;
mod driver;
mod evaluate;
mod feasible;
mod plan;
mod reconcile;
mod rollout;
mod score;
mod snapshot;

pub use blocked::{Blocked, Cause, Refused};
pub use config::{Config, Policy};
pub use driver::{BlockedByApp, Scheduler, SchedulerError};
pub use feasible::Refusal;
pub use plan::{Change, Plan};
pub use reconcile::reconcile;
pub use snapshot::Snapshot;
