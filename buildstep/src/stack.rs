//! The stack: the layers that builds run on and slugs stand on, and what they take over from the host.

pub mod apt_progress;
pub mod apt_sources;
pub mod bootstrap;
pub mod debootstrap_output;
pub mod host_env;
pub mod layer_gc;
pub mod layers;
pub mod mirrors;
pub mod recipe;
