//! What one instance or one build may use.

use serde::{Deserialize, Serialize};

/// Limits of one container; every field is always set, nothing is unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Resources {
    /// Memory in MiB; there is no swap beyond it.
    pub memory_mb: u32,
    /// Thousandths of one core.
    pub cpu_millis: u32,
    /// Processes and threads.
    pub pids: u32,
}

impl Resources {
    /// What an instance gets that asks for nothing.
    pub const INSTANCE: Resources = Resources { memory_mb: 512, cpu_millis: 1_000, pids: 256 };
    /// What a build gets.
    pub const BUILD: Resources = Resources { memory_mb: 2_048, cpu_millis: 2_000, pids: 1_024 };
}
