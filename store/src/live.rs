//! Coordination: the small, fast, watched facts. A tree of versioned nodes (`Coordination`) and the typed documents in it (`Live`).
//!
//! The tree's rules are those that ZooKeeper can keep: nodes have a version, a commit of several operations is all or
//! nothing, a node may die with the session that wrote it, a watch says *that* something under a prefix changed and never
//! what. Whoever watches reads again.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

mod assignments;
pub mod conformance;
mod documents;
mod drains;
mod embedded;
mod formations;
mod hosts;
mod instances;
mod maintenance;
mod routes;
mod socket_client;
mod socket_server;
mod wire;

pub use assignments::Fenced;
pub use embedded::Embedded;
pub use socket_client::Remote;
pub use socket_server::serve;
pub use wire::SOCKET;

/// Largest node in bytes: a quarter of what ZooKeeper takes, so that an oversized one is refused with its name and not seen
/// as a lost connection.
pub const MAX_NODE: usize = 256 * 1024;

/// Why coordination did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// Another writer was faster: read again and decide again.
    #[error("`{path}` was changed by another writer")]
    Conflict {
        /// The node whose expectation did not hold.
        path: String,
    },
    /// The session ended; its nodes are gone. Open a new one and report everything again.
    #[error("the session has ended")]
    SessionEnded,
    /// The node is too large.
    #[error("`{path}` is larger than {MAX_NODE} bytes")]
    TooLarge {
        /// The node.
        path: String,
    },
    /// A stored document can not be read by this version.
    #[error("the document at `{path}` can not be read")]
    Damaged {
        /// The node.
        path: String,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// The backend can not be reached.
    #[error("coordination is not reachable")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A node as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its path, without a leading slash.
    pub path: String,
    /// Its content.
    #[serde(with = "wire::bytes")]
    pub data: Vec<u8>,
    /// Grows with each write of the node.
    pub version: u64,
}

/// What must hold for an operation to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expect {
    /// Nothing.
    Any,
    /// There is no such node.
    Absent,
    /// The node has this version.
    Version(u64),
}

/// How long a node lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Life {
    /// Until it is deleted.
    Persistent,
    /// Until its session ends.
    Session(u64),
}

/// One operation of a commit.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Op {
    /// Writes a node.
    Put {
        /// Where.
        path: String,
        /// What.
        #[serde(with = "wire::bytes")]
        data: Vec<u8>,
        /// What must hold.
        expect: Expect,
        /// How long it lives.
        life: Life,
    },
    /// Deletes a node; a node that is not there is deleted already.
    Delete {
        /// Where.
        path: String,
        /// What must hold.
        expect: Expect,
    },
    /// Only checks.
    Check {
        /// Where.
        path: String,
        /// What must hold.
        expect: Expect,
    },
}

/// Wakes when something under its prefixes may have changed since the last wake. Level-triggered: changes coalesce.
#[derive(Debug)]
pub struct Watch(pub(crate) watch::Receiver<u64>);

impl Watch {
    /// Waits for the next change. Returns at once when one happened since the last call. Never returns after the backend
    /// has gone: a loop that also has a timer goes on with that.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// A session; the nodes written under it go when it is dropped or expires.
pub struct Session {
    pub(crate) id: u64,
    pub(crate) end: Option<Box<dyn FnOnce() + Send + Sync>>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session({})", self.id)
    }
}

impl Session {
    /// For writing nodes that die with it.
    pub fn life(&self) -> Life {
        Life::Session(self.id)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(end) = self.end.take() {
            end();
        }
    }
}

/// The tree. Each backend passes `conformance`.
#[async_trait]
pub trait Coordination: Send + Sync + 'static {
    /// All nodes whose path starts with `prefix`, by path.
    async fn scan(&self, prefix: &str) -> Result<Vec<Node>, LiveError>;
    /// One node.
    async fn get(&self, path: &str) -> Result<Option<Node>, LiveError>;
    /// Does all operations or none.
    async fn commit(&self, ops: Vec<Op>) -> Result<(), LiveError>;
    /// Watches everything under some prefixes, from now on.
    fn watch(&self, prefixes: &[&str]) -> Watch;
    /// Opens a session.
    async fn session(&self) -> Result<Session, LiveError>;
}

/// The typed documents of coordination. Each is written by the one role that the design names.
#[derive(Clone)]
pub struct Live(pub(crate) Arc<dyn Coordination>);

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Live")
    }
}

/// A part of the tree that can be watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Area {
    /// What should run.
    Formations,
    /// Hosts that are there.
    Hosts,
    /// What hosts are told to run.
    Assignments,
    /// What runs.
    Instances,
    /// Host names.
    Routes,
    /// Routers' word that an instance has no request left.
    Drained,
    /// Hosts that an operator took out of service.
    Maintenance,
}

impl Area {
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::Formations => "formations/",
            Self::Hosts => "hosts/",
            Self::Assignments => "assignments/",
            Self::Instances => "instances/",
            Self::Routes => "routes/",
            Self::Drained => "drained/",
            Self::Maintenance => "maintenance/",
        }
    }
}

impl Live {
    /// Over a backend.
    pub fn new(tree: Arc<dyn Coordination>) -> Self {
        Self(tree)
    }

    /// Watches some areas.
    pub fn watch(&self, areas: &[Area]) -> Watch {
        let prefixes: Vec<&str> = areas.iter().map(|area| area.prefix()).collect();
        self.0.watch(&prefixes)
    }

    /// Opens a session for ephemeral documents.
    pub async fn session(&self) -> Result<Session, LiveError> {
        self.0.session().await
    }
}
