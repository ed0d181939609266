//! The planner and its loop, proven on clusters in memory.

mod driver;
mod lives;
mod plans;
mod world;
