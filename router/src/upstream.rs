//! The instance's side: picking an instance, one request on one connection to it, and what came back.
//!
//! Owns reuse, retries and the framing of answers. Must never read the route table.

pub(crate) mod forwarded_head;
pub(crate) mod load_balancer;
pub(crate) mod request_writer;
pub(crate) mod response_body;
pub(crate) mod response_head;
pub(crate) mod retry;
pub(crate) mod upstream_conn;
pub(crate) mod upstream_state;
