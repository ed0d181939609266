//! The planner and its loop, proven on clusters in memory.

mod driver;
mod plans;
mod simulation;
mod world;
