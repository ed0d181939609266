//! How an instance proves that it can take requests. The probe runs outside the container: no tool is needed in the image.

use serde::{Deserialize, Serialize};

/// What is probed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Probe {
    /// A GET on the port of the instance.
    Http {
        /// Path and query.
        path: String,
        /// Accepted statuses, inclusive.
        status: (u16, u16),
        /// A text that the first 64 KiB of the answer must hold.
        text: Option<String>,
        /// The host name that is asked for; none in releases of before it could be said.
        #[serde(default)]
        host: Option<crate::Hostname>,
    },
    /// What a web process gets that declares nothing. It starts with a GET of `/`, which must be answered in HTTP: by a status below
    /// 500, or by any where nothing that serves meanwhile does better; then it must stay up for a moment. Once healthy, its port must
    /// accept connections.
    Web {
        /// The host name that is asked for.
        #[serde(default)]
        host: Option<crate::Hostname>,
    },
    /// A TCP connection to the port of the instance.
    Tcp,
    /// A command inside the instance that exits with 0.
    Exec {
        /// Run by `sh -c` in the instance.
        command: String,
    },
}

/// A health check: the gate before traffic, and the watch after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// What is probed.
    pub probe: Probe,
    /// Seconds between two probes of a healthy instance. While an instance starts, it is probed many times a second.
    pub interval_s: u32,
    /// Seconds that one probe may take.
    pub timeout_s: u32,
    /// Seconds that an instance has to become healthy after its start.
    pub start_s: u32,
    /// Failed probes in a row that make a healthy instance unhealthy.
    pub failures: u32,
}

impl HealthCheck {
    /// What a web process gets that declares nothing: it answers in HTTP within 60 s.
    pub fn web_default() -> Self {
        Self::of(Probe::Web { host: None })
    }

    /// A probe with the default times.
    pub fn of(probe: Probe) -> Self {
        Self { probe, interval_s: 10, timeout_s: 5, start_s: 60, failures: 3 }
    }
}
