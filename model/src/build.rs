//! A build: one push of one source tree, an object of the server with an id and a log, from its queue to the verdict on its release.
//!
//! ```text
//!  queued ──► running ──► releasing ──► succeeded     (the release is live)
//!    │  │        │            │
//!    │  │        ├────────────┴───────► failed        (the build, or the rollout of its release)
//!    │  └──────► ├────────────────────► cancelled
//!    ▼           ▼
//!  superseded   lost                                  (a newer push took its place | the server stopped in the middle)
//! ```
//! `superseded` follows `releasing` too, when a newer release takes the place of one that is being rolled out.

use serde::{Deserialize, Serialize};

use crate::Time;
use crate::app_env::AppEnv;
use crate::digest::ImageRef;
use crate::id::BuildId;
use crate::name::{TemplateName, UserName};
use crate::release::ReleaseNumber;
use crate::user_error::UserError;

/// Where a build stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BuildState {
    /// Waits for the lock of its app and environment, or for a free builder.
    Queued,
    /// Runs.
    Running,
    /// The image is there; its release is being rolled out.
    Releasing,
    /// Its release went live.
    Succeeded,
    /// The build or the rollout of its release failed; `error` says why.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
    /// A newer push of the same app and environment took its place.
    Superseded,
    /// The server stopped while it ran.
    Lost,
}

impl BuildState {
    /// The state as stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Releasing => "releasing",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Superseded => "superseded",
            Self::Lost => "lost",
        }
    }

    /// Reads what `as_str` wrote.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Queued, Self::Running, Self::Releasing, Self::Succeeded, Self::Failed, Self::Cancelled, Self::Superseded, Self::Lost]
            .into_iter()
            .find(|state| state.as_str() == text)
    }

    /// Whether it will not change any more.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Running | Self::Releasing)
    }
}

/// A build as records keep it; the log is stored beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// Its id, in its URL.
    pub id: BuildId,
    /// Which app and environment.
    pub app: AppEnv,
    /// Where it stands.
    pub state: BuildState,
    /// The commit that was pushed.
    pub commit: String,
    /// First line of its message.
    pub subject: String,
    /// Who pushed.
    pub by: UserName,
    /// When it was opened.
    pub at: Time,
    /// When it began to run.
    pub started: Option<Time>,
    /// When the image was there.
    #[serde(default)]
    pub built: Option<Time>,
    /// When it ended, the rollout of its release included.
    pub ended: Option<Time>,
    /// The template that was chosen.
    pub template: Option<TemplateName>,
    /// The image that it made or found.
    pub image: Option<ImageRef>,
    /// Whether an earlier build of the same source served.
    pub reused: bool,
    /// The release that came of it.
    pub release: Option<ReleaseNumber>,
    /// Why it failed.
    // Builds that were stored before the field had this name still read.
    #[serde(alias = "trouble")]
    pub error: Option<UserError>,
}
