//! What the tests of the builder share: a builder with a registry of its own, sources, and slugs that run.

#![allow(dead_code, unused_imports, reason = "each test binary uses its part")]

mod builder;
mod engine_lock;
mod files;
mod registry;
mod running;

pub use builder::{RecordedOutput, TestBuilder};
pub use engine_lock::SCOPE;
pub use files::Files;
pub use running::{RunningSlug, docker};
