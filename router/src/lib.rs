//! The request path: from a client's connection to an instance and back.
//!
//! Owns the table of routes, the choice of an instance, retries, holding, draining, strictness, the pages a visitor reads when
//! no app answers, and the access log. Must never talk to SQL or to the manager: it stands on coordination alone, and keeps
//! serving with the last table it had when even that is gone.
//!
//! One thread per core, each with its own listener, connections, measurements and log buffer; shared are only the table (one
//! pointer, swapped whole) and one counter per instance. hyper serves HTTP/1.1 in front, behind a `RequestFilter` that lets through
//! only requests with one reading; the client side towards instances is our own, in the same task.

mod chunked;
mod config;
mod downstream;
mod exchange;
mod hold;
mod observe;
mod pages;
mod read_buffer;
mod router;
mod routing;
mod upstream;
mod worker;

pub use config::{Config, Times};
pub use downstream::request_head::Fault;
pub use hold::admission::Admission;
pub use observe::log_rotation::LogRotation;
pub use observe::metrics::{CLASSES_MS, Metrics};
pub use observe::status_server::StatusServer;
pub use pages::{ERROR_HEADER, Refusal};
pub use router::{BindError, Handle, Router};
pub use routing::backend::{Backend, Load};
pub use routing::drain::DrainState;
pub use routing::follower::Follower;
pub use routing::snapshot::Snapshot;
pub use routing::table::{Availability, Pool, Rule, Table, table};
pub use routing::trace::{Trace, trace};
