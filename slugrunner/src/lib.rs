//! The supervisor of one host: makes what runs here equal to what the scheduler assigned, and says truthfully what is.
//!
//! Owns the containers, addresses, egress rules, health probes and logs of instances on this host. Must never decide where
//! an instance runs, and must never touch a container that it did not label. Stands on coordination alone: it works while
//! the manager and SQL are down, and from its own file while coordination is down.

pub mod addresses;
pub mod config;
pub mod container;
pub mod crashes;
mod disk;
pub mod docker;
mod ending;
pub mod firewall;
pub mod health;
pub mod labels;
pub mod logs;
pub mod oneoff;
pub mod plan;
mod reaper;
mod reports;
pub mod runtime;
mod saved;
mod starting;
pub mod subnet;
mod supervisor;
mod unit;

pub use config::{Config, Filtering, NetworkConfig};
pub use docker::DockerRuntime;
pub use logs::{Filter, Line, LogStore};
pub use oneoff::{OneOffs, Order};
pub use runtime::{Runtime, RuntimeError};
pub use supervisor::{Supervisor, SupervisorError};
