//! Every change is one event: who, what, when, from where, with which result. Append-only.

use serde::{Deserialize, Serialize};

use crate::Time;
use crate::id::EventId;
use crate::name::{TenantName, UserName};

/// Who acts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Actor {
    /// A signed-in person or robot.
    User(UserName),
    /// The operator at the server's own console.
    Operator,
    /// The platform itself, converging.
    Platform,
}

impl std::fmt::Display for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::User(user) => write!(f, "{user}"),
            Self::Operator => f.write_str("(operator)"),
            Self::Platform => f.write_str("(platform)"),
        }
    }
}

/// From where somebody acts: channel and address, such as `ssh 10.0.0.7`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Origin(pub String);

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Done.
    Done,
    /// The authorizer said no.
    Denied,
    /// It was allowed and did not work.
    Failed,
}

impl Outcome {
    /// The result as stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Denied => "denied",
            Self::Failed => "failed",
        }
    }
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its id.
    pub id: EventId,
    /// When.
    pub at: Time,
    /// Who.
    pub actor: Actor,
    /// From where.
    pub origin: Origin,
    /// The verb, as the CLI names it: `apps:create`.
    pub verb: String,
    /// The tenant it belongs to.
    pub tenant: Option<TenantName>,
    /// What it was done to: `acme/shop/dev`.
    pub object: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What changed, without any secret.
    pub detail: serde_json::Value,
}
