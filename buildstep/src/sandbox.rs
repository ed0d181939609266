//! The sandbox of a build: its container, network namespace, limits, caches and output.

pub mod build_run;
pub mod caches;
pub mod container_names;
pub mod disk_usage;
pub mod input_tar;
pub mod limits;
pub mod netns_pool;
pub mod script_outcome;
pub mod spools;
pub mod transcript;
