//! `Limits`: what one build may use, and `LimitHit`: which of them ended it.

use std::time::Duration;

use model::Manifest;

/// The limit that ended a build before its script did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitHit {
    /// The kernel killed a process for memory.
    Memory,
    /// The wall time is over.
    Time,
    /// As many processes and threads as allowed.
    Processes,
    /// More bytes or files on disk than allowed.
    Disk,
}

/// What a build may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Memory in bytes.
    pub memory: u64,
    /// Thousandths of a core.
    pub cpu_millis: u32,
    /// As many processes and threads as allowed.
    pub pids: u32,
    /// The wall time is over.
    pub time: Duration,
    /// Bytes on disk: what it writes and its cache, together.
    pub disk: u64,
    /// Files on disk, counted the same.
    pub files: u64,
    /// Bytes of the source's files, uncompressed.
    pub source: u64,
    /// Bytes of the slug before it is compressed.
    pub slug: u64,
    /// Bytes of output that are shown.
    pub output: u64,
    /// Bytes of the cache that are kept for the next build.
    pub cache: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 2 << 30,
            cpu_millis: 2_000,
            pids: 1_024,
            time: Duration::from_secs(20 * 60),
            disk: 8 << 30,
            files: 1_000_000,
            source: 1 << 30,
            slug: 1 << 30,
            output: 10_000_000,
            cache: 3 << 30,
        }
    }
}

impl Limits {
    /// With what a repository asks for, never beyond what the platform allows.
    #[must_use]
    pub fn hinted(mut self, manifest: &Manifest) -> Self {
        if let Some(memory) = manifest.build.memory_mb {
            self.memory = self.memory.min(u64::from(memory) << 20);
        }
        if let Some(time) = manifest.build.time_s {
            self.time = self.time.min(Duration::from_secs(u64::from(time)));
        }
        self
    }
}
