//! Routes: which host name leads to which app. Written by the manager only; backends are derived by each router.

use serde::{Deserialize, Serialize};

use crate::app_env::AppEnv;
use crate::hostname::Hostname;

/// What a route does with requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RouteState {
    /// Sends them to the app.
    Ready,
    /// Holds them until it is ready again: maintenance that visitors do not see.
    Paused,
    /// Answers with the maintenance page.
    Maintenance,
    /// Answers that the app is stopped: nobody scaled it up.
    Stopped,
    /// Answers that nothing is deployed here yet.
    Empty,
    /// Answers that the only releases that there are did not start.
    Failed,
}

/// What visitors get while an app is in maintenance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Maintenance {
    /// The maintenance page, at once.
    Page,
    /// Their requests wait until maintenance is over, for a limited time.
    Hold,
}

impl Maintenance {
    /// As stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Hold => "hold",
        }
    }

    /// Reads what `as_str` wrote.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Page, Self::Hold].into_iter().find(|mode| mode.as_str() == text)
    }
}

/// One host name of one app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The host name.
    pub hostname: Hostname,
    /// Where requests go: the `web` instances of this app.
    pub app: AppEnv,
    /// What to do with them.
    pub state: RouteState,
    /// Seconds to the first byte of the answer.
    pub first_byte_s: u32,
}
