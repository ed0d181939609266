//! What the tests of the builder share: a bench with a registry and a builder of its own, sources, and slugs that run.

#![allow(dead_code, unused_imports, reason = "each test binary uses its part")]

mod alone;
mod bench;
mod files;
mod registry;
mod running;

pub use alone::SCOPE;
pub use bench::{Bench, Heard};
pub use files::Files;
pub use running::{Running, docker};
