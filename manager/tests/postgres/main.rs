//! The manager over a real PostgreSQL, with a builder, a cleanup and instances whose states the tests drive.

mod app_cleanup;
mod domains;
mod limits;
mod membership;
mod platform;
mod push_lock;
mod refusals;
mod rollout;
