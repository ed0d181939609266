//! The client's side: one connection of one client, from the accept to its orderly end.
//!
//! Owns what reaches the rest of the router: only request heads with one reading, in order, with their framing known. Must never
//! choose an instance.

pub(crate) mod authority;
pub(crate) mod client;
pub(crate) mod connection;
pub(crate) mod request_filter;
pub(crate) mod request_head;
pub(crate) mod tunnel;
mod websocket_frames;
