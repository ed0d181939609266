//! What operators see of requests: the access log and the metrics.
//!
//! Must never hold a query string, a header value other than the host, or a body, and never make a request wait.

pub(crate) mod access_line;
pub(crate) mod access_log;
pub(crate) mod access_record;
pub(crate) mod exposition;
pub(crate) mod log_rotation;
pub(crate) mod metrics;
pub(crate) mod request_id;
pub(crate) mod status_server;
