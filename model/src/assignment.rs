//! What a host has been told to run. Written by the scheduler only, one document per host.

use serde::{Deserialize, Serialize};

use crate::app_env::AppEnv;
use crate::id::InstanceId;
use crate::name::{HostName, ProcessName};
use crate::release::ReleaseNumber;

/// What should become of an assigned instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Intent {
    /// Run and serve.
    Run,
    /// Take no new requests, finish, stop.
    Drain,
}

/// One instance on one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// Its id, new for each placement.
    pub instance: InstanceId,
    /// Which app and environment.
    pub app: AppEnv,
    /// Which process type.
    pub process: ProcessName,
    /// Its number among those of its type, from 1: `web.1`.
    pub ordinal: u32,
    /// Which release it runs.
    pub release: ReleaseNumber,
    /// Which restart of that release.
    pub epoch: u32,
    /// What should become of it.
    pub intent: Intent,
}

impl Assignment {
    /// `web.1`, as people name it.
    pub fn label(&self) -> String {
        format!("{}.{}", self.process, self.ordinal)
    }
}

/// Everything one host should run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostAssignments {
    /// Which host.
    pub host: HostName,
    /// Grows with every write; a supervisor refuses an older one than it has seen.
    pub generation: u64,
    /// In a stable order.
    pub assignments: Vec<Assignment>,
}
