//! One running copy of a process type, as its supervisor sees it. Record what is, never what was asked.
//!
//! ```text
//!            ┌────────────► image-missing / pull-failed ──┐ (retried with back-off)
//!  pulling ──┴► starting ──► healthy ◄──► unhealthy       │
//!                 │  ▲          │             │           │
//!                 ▼  └─back-off─┴──► crashed ◄┴───────────┘
//!              flapping (crashed too often, restarted ever more slowly)
//!  any ──► draining ──► stopping ──► stopped
//! ```

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::Time;
use crate::app_env::AppEnv;
use crate::code::Code;
use crate::id::InstanceId;
use crate::name::{HostName, ProcessName, ZoneName};
use crate::release::ReleaseNumber;

/// Where an instance stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstanceState {
    /// Its image is being fetched.
    Pulling,
    /// Its container runs and has not proved itself yet.
    Starting,
    /// Takes requests.
    Healthy,
    /// Was healthy, fails its probe now; takes no requests.
    Unhealthy,
    /// Its container ended; it will be started again.
    Crashed,
    /// Crashed so often that it is started again only after a long pause.
    Flapping,
    /// The registry does not have its image.
    ImageMissing,
    /// Its image could not be fetched.
    ImagePullFailed,
    /// Takes no new requests, finishes those it has.
    Draining,
    /// Was told to end.
    Stopping,
    /// Has ended because it was told to.
    Stopped,
}

impl InstanceState {
    /// The state as shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pulling => "pulling",
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::Crashed => "crashed",
            Self::Flapping => "flapping",
            Self::ImageMissing => "image-missing",
            Self::ImagePullFailed => "image-pull-failed",
            Self::Draining => "draining",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
        }
    }

    /// Whether the router may send it new requests.
    pub fn takes_requests(self) -> bool {
        self == Self::Healthy
    }

    /// Whether it has ended and will not come back by itself.
    pub fn is_gone(self) -> bool {
        self == Self::Stopped
    }
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Exit code; 128 + n for signal n.
    pub code: i64,
    /// Whether the kernel ended it for memory.
    pub oom: bool,
    /// When.
    pub at: Time,
    /// Its last lines, oldest first, at most 20 of at most 300 bytes.
    pub last_lines: Vec<String>,
}

/// What a supervisor reports of one instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceStatus {
    /// Its id.
    pub id: InstanceId,
    /// Which app and environment.
    pub app: AppEnv,
    /// Which process type.
    pub process: ProcessName,
    /// Its number among those of its type.
    pub ordinal: u32,
    /// Which release.
    pub release: ReleaseNumber,
    /// Which restart of that release.
    pub epoch: u32,
    /// Where it runs.
    pub host: HostName,
    /// The failure domain of that host.
    pub zone: ZoneName,
    /// Where it stands.
    pub state: InstanceState,
    /// Where its port is; set while its container runs.
    pub address: Option<SocketAddr>,
    /// Since when it is in this state.
    pub since: Time,
    /// Container starts after the first.
    pub restarts: u32,
    /// How its last container ended.
    pub last_exit: Option<Exit>,
    /// Why it is not healthy, in words for its owner: "refused connections on port 8080; it listens on 5000".
    pub reason: Option<String>,
    /// The code that belongs to the reason.
    pub code: Option<Code>,
}

impl InstanceStatus {
    /// `web.1`, as people name it.
    pub fn label(&self) -> String {
        format!("{}.{}", self.process, self.ordinal)
    }
}
