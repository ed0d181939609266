//! Which app a host name leads to, and which instances answer for it.
//!
//! Owns the route table, its following of coordination, and what becomes of instances that leave it. Must never touch a request.

pub(crate) mod backend;
pub(crate) mod drain;
pub(crate) mod follower;
pub(crate) mod snapshot;
pub(crate) mod table;
pub(crate) mod trace;
