//! The end-to-end harness: a real server of its own, real git, ssh and Docker, and waiting on states with deadlines.
//!
//! Everything a test starts is its own (directories, ports, networks, keys) and is stopped and removed when it is dropped.

mod http;
mod platform;
mod repository;

pub use http::{Answer, get};
pub use platform::{Platform, wait_for};
pub use repository::{Pushed, Repository};
