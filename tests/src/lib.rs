//! The end-to-end harness: a real server of its own, real git, ssh and Docker, and waiting on states with deadlines.
//!
//! Everything a test starts is its own (directories, ports, networks, keys) and is stopped and removed when it is dropped.

mod engine;
pub mod http;
mod mount;
mod platform;
mod repository;

pub use engine::OwnEngine;
pub use http::{Answer, get};
pub use mount::SmallDisk;
pub use platform::{Ground, Platform, wait_for};
pub use repository::{Pushed, Repository};
