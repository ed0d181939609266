//! Holding requests back while their app is paused or has no instance.
//!
//! Owns who goes on, who waits and who is turned away. Must never read a body.

pub(crate) mod admission;
pub(crate) mod hold_queue;
