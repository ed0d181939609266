//! The desired state of an app in an environment, as coordination holds it: a projection of releases and scale.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::app_env::AppEnv;
use crate::digest::ImageRef;
use crate::health::HealthCheck;
use crate::name::ProcessName;
use crate::release::ReleaseNumber;
use crate::resources::Resources;

/// How many of each process type of which release should run. Written by the manager only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Formation {
    /// Which app and environment.
    pub app: AppEnv,
    /// Grows with every write; whoever acts on an older one is stale.
    pub generation: u64,
    /// The release that should serve.
    pub release: ReleaseNumber,
    /// Grows with every wanted restart: an instance of an older epoch is replaced like one of an older release.
    pub epoch: u32,
    /// Instances per process type.
    pub counts: BTreeMap<ProcessName, u32>,
}

/// A value that only the holder of the master key can read. Opaque here; sealing is the store's.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sealed(pub String);

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealed(..)")
    }
}

/// What a supervisor needs to run any instance of one release. Immutable, one per release, fetched by app and number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSpec {
    /// Which app and environment.
    pub app: AppEnv,
    /// Which release.
    pub release: ReleaseNumber,
    /// What to run.
    pub image: ImageRef,
    /// The commit, for the instance's environment.
    pub commit: String,
    /// Its process types.
    pub processes: BTreeMap<ProcessName, ProcessSpec>,
    /// Config as one sealed JSON object of strings.
    pub config: Sealed,
}

/// How one process type runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessSpec {
    /// Run by `sh -c` in `/app`, after `.profile.d/*.sh`.
    pub command: String,
    /// Its limits.
    pub resources: Resources,
    /// Its health check; none means that running is healthy.
    pub health: Option<HealthCheck>,
    /// Seconds between TERM and KILL.
    pub stop_grace_s: u32,
    /// Seconds that requests in flight have to end before TERM.
    pub drain_s: u32,
}
