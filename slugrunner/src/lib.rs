//! The supervisor of one host: makes what runs here equal to what the scheduler assigned, and says truthfully what is.
//!
//! Owns the containers, addresses, egress rules, health probes and logs of instances on this host. Must never decide where
//! an instance runs, and must never touch a container that it did not label. Stands on coordination alone: it works while
//! the manager and SQL are down, and from its own file while coordination is down.

pub mod addresses;
mod checkpoint;
mod cleanup;
pub mod config;
pub mod container;
mod context;
pub mod crash_backoff;
mod disk;
pub mod docker;
pub mod firewall;
pub mod health;
mod instance;
pub mod labels;
mod launcher;
pub mod logs;
pub mod oneoff;
pub mod plan;
mod reaper;
mod reporter;
pub mod runtime;
mod supervisor;

pub use config::{Config, NetworkConfig};
pub use docker::DockerRuntime;
pub use logs::{LogFilter, LogLine, LogStore};
pub use oneoff::{OneOffRequest, OneOffs};
pub use runtime::{Runtime, RuntimeError};
pub use supervisor::{Supervisor, SupervisorError};
