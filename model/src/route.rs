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
    /// Holds them until it is ready again.
    Paused,
    /// Answers with the maintenance page.
    Maintenance,
    /// Answers that the app is stopped: nobody scaled it up.
    Stopped,
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
