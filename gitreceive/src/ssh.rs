//! The SSH half: who may connect, what a channel may run, and the client's end of each command.

pub(crate) mod algorithms;
pub(crate) mod cancellable_stream;
pub(crate) mod client;
pub(crate) mod command;
pub(crate) mod connection;
pub(crate) mod connection_limits;
pub(crate) mod connection_permit;
pub(crate) mod exec_line;
pub(crate) mod host_key;
pub(crate) mod session;
pub(crate) mod unknown_keys;
pub(crate) mod user_key;
pub(crate) mod verbs;
