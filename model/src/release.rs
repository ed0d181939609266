//! A release: image digest + config + manifest, numbered per app and environment, never changed after it is written.
//!
//! ```text
//!  prepared ──► active ──► live ──► retired
//!     │           │ └────► superseded   (a later release took its place before it was live)
//!     ▼           ▼
//!  aborted      failed                  (the ref never moved | the rollout did not become healthy)
//! ```
//! A release is prepared before the git ref moves and active only after it: the ref is the commit point.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Time;
use crate::app_env::AppEnv;
use crate::digest::ImageRef;
use crate::id::BuildId;
use crate::name::{InvalidName, UserName};

/// `v12`: counts up per app and environment, starting at 1, without gaps that mean anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ReleaseNumber(pub u32);

impl ReleaseNumber {
    /// Reads `v12` or `12`.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let digits = text.strip_prefix('v').unwrap_or(text);
        match digits.parse::<u32>() {
            Ok(number) if number > 0 && !digits.starts_with('+') => Ok(Self(number)),
            _ => Err(InvalidName { kind: "a release number", text: text.into(), why: "it must look like `v12`" }),
        }
    }
}

impl fmt::Display for ReleaseNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

impl std::str::FromStr for ReleaseNumber {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Self::parse(text)
    }
}

/// Where a release stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReleaseState {
    /// Written; the git ref has not moved yet.
    Prepared,
    /// The git ref never moved: it is as if it had not been.
    Aborted,
    /// Being rolled out.
    Active,
    /// Serving.
    Live,
    /// Its rollout failed; the one before it kept serving.
    Failed,
    /// A later release took its place after it was live.
    Retired,
    /// A later release took its place before it was live: it may never have worked.
    Superseded,
}

impl ReleaseState {
    /// The state as stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prepared => "prepared",
            Self::Aborted => "aborted",
            Self::Active => "active",
            Self::Live => "live",
            Self::Failed => "failed",
            Self::Retired => "retired",
            Self::Superseded => "superseded",
        }
    }

    /// Reads what `as_str` wrote.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Prepared, Self::Aborted, Self::Active, Self::Live, Self::Failed, Self::Retired, Self::Superseded]
            .into_iter()
            .find(|s| s.as_str() == text)
    }

    /// Whether a rollback may choose it: it has served once.
    pub fn was_good(self) -> bool {
        matches!(self, Self::Live | Self::Retired)
    }
}

/// What made a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "cause")]
pub enum Cause {
    /// A push of a commit.
    Push,
    /// A change of config keys; values are not named.
    Config {
        /// Keys that were set.
        set: Vec<String>,
        /// Keys that were removed.
        unset: Vec<String>,
    },
    /// A return to what an earlier release was.
    Rollback {
        /// The release that was copied.
        to: ReleaseNumber,
    },
    /// Another try of a release that failed, with the config of now.
    Retry {
        /// The release that failed.
        of: ReleaseNumber,
    },
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Push => f.write_str("push"),
            Self::Config { set, unset } => {
                let mut words = Vec::new();
                if !set.is_empty() {
                    words.push(format!("set {}", set.join(", ")));
                }
                if !unset.is_empty() {
                    words.push(format!("unset {}", unset.join(", ")));
                }
                f.write_str(&words.join("; "))
            }
            Self::Rollback { to } => write!(f, "rollback to {to}"),
            Self::Retry { of } => write!(f, "another try of {of}"),
        }
    }
}

/// A release as records keep it; its config is a separate, sealed document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Which app and environment.
    pub app: AppEnv,
    /// Its number.
    pub number: ReleaseNumber,
    /// Where it stands.
    pub state: ReleaseState,
    /// What it runs.
    pub image: ImageRef,
    /// The build that made the image.
    pub build: Option<BuildId>,
    /// The commit, 40 or 64 hex digits.
    pub commit: String,
    /// First line of the commit message.
    pub subject: String,
    /// Who made it.
    pub by: UserName,
    /// When it was written.
    pub at: Time,
    /// What made it.
    pub cause: Cause,
    /// Names of the config keys in it.
    pub config_keys: Vec<String>,
    /// Those of them whose values are from app.yaml; none where that was not noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_yaml_keys: Option<Vec<String>>,
    /// Why it failed, when it did.
    pub reason: Option<String>,
}
