//! A host as its supervisor reports it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Time;
use crate::name::{HostName, ZoneName};

/// What a host says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum HostState {
    /// Takes new instances.
    Ok,
    /// Runs what it has, has no slot left.
    Full,
    /// An operator took it out; it is drained.
    Maintenance,
}

/// What a host has to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capacity {
    /// Instances.
    pub slots: u32,
    /// Memory in MiB.
    pub memory_mb: u32,
    /// Thousandths of a core.
    pub cpu_millis: u32,
}

/// One machine that runs instances.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Its name.
    pub name: HostName,
    /// Its failure domain.
    pub zone: ZoneName,
    /// Free words for placement.
    pub labels: BTreeMap<String, String>,
    /// What it has to give in all.
    pub capacity: Capacity,
    /// What it says of itself.
    pub state: HostState,
    /// Since when its supervisor runs.
    pub since: Time,
}
