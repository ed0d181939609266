//! The request path: from a client's connection to an instance and back.
//!
//! Owns the table of routes, the choice of an instance, retries, holding, draining, strictness, the pages a visitor reads when
//! no app answers, and the access log. Must never talk to SQL or to the manager: it stands on coordination alone, and keeps
//! serving with the last table it had when even that is gone.
//!
//! One thread per core, each with its own listener, connections, measurements and log buffer; shared are only the table (one
//! pointer, swapped whole) and one counter per instance. hyper serves HTTP/1.1 in front, behind a `guard` that lets through
//! only requests with one reading; the client side towards instances is our own, in the same task.

mod access;
mod answer;
mod arena;
mod authority;
mod backend;
mod balance;
mod call;
mod chance;
mod chunked;
mod client;
mod config;
mod drain;
mod exchange;
mod follow;
mod form;
mod forward;
mod frames;
mod front;
mod gate;
mod guard;
mod meter;
mod neighbour;
mod pages;
mod record;
mod relay;
mod retry;
mod rotation;
mod router;
mod sender;
mod snapshot;
mod strict;
mod table;
mod trace;
mod tunnel;
mod worker;

pub use backend::{Backend, Load};
pub use config::{Config, Times};
pub use drain::DrainState;
pub use follow::Follower;
pub use gate::Verdict;
pub use meter::{CLASSES_MS, Metrics};
pub use pages::{ERROR_HEADER, Refusal};
pub use rotation::Rotation;
pub use router::{BindError, Handle, Router};
pub use snapshot::Snapshot;
pub use strict::Fault;
pub use table::{Pool, Prospect, Rule, Table, table};
pub use trace::{Step, trace};
