//! The vocabulary of Slipway: every noun of the platform as a plain value.
//!
//! Owns the meaning and the grammar of names, ids, manifests, releases, formations, hosts, instances, routes and events,
//! and the words users read (`UserError`, `push_output`). Must never do IO, read a clock, draw randomness or be async: values come in,
//! values go out.

pub mod app_env;
pub mod assignment;
pub mod build;
pub mod clean;
pub mod code;
pub mod digest;
pub mod error_chain;
pub mod event;
pub mod formation;
pub mod health;
pub mod host;
pub mod hostname;
pub mod id;
pub mod instance;
pub mod manifest;
pub mod meter;
pub mod name;
pub mod printable;
pub mod procfile;
pub mod push_output;
pub mod release;
pub mod resources;
pub mod route;
pub mod seccomp;
pub mod tree_stats;
pub mod user_error;

pub use app_env::{AppEnv, AppPath, AppRef};
pub use assignment::{Assignment, HostAssignments, Intent};
pub use build::{Build, BuildState};
pub use code::Code;
pub use digest::{Digest, ImageRef};
pub use error_chain::error_chain;
pub use event::{Actor, Event, Origin, Outcome};
pub use formation::{Formation, ProcessSpec, RunSpec, Sealed};
pub use health::HealthCheck;
pub use host::{Capacity, Host, HostState};
pub use hostname::Hostname;
pub use id::{BuildId, EventId, InstanceId, PushId, RouterId};
pub use instance::{Exit, InstanceState, InstanceStatus};
pub use manifest::Manifest;
pub use meter::Meter;
pub use name::{AppName, EnvName, HostName, ProcessName, TeamName, TemplateName, TenantName, UserName, ZoneName};
pub use printable::Printable;
pub use release::{Release, ReleaseNumber, ReleaseState};
pub use resources::Resources;
pub use route::{Maintenance, Route, RouteState};
pub use tree_stats::TreeStats;
pub use user_error::UserError;

/// An instant in UTC, as stored and sent.
pub type Time = chrono::DateTime<chrono::Utc>;
