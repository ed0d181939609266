//! `Job`: one build as it is asked for, its limits, and what comes of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::{AppRef, BuildId, ImageRef, Manifest, ProcessName, TemplateName};

use crate::source::{SourceTar, SourceTree};

/// A build to run.
pub struct Job {
    /// Its id.
    pub id: BuildId,
    /// Whose it is.
    pub app: AppRef,
    /// The id of the source tree, such as git's.
    pub tree_id: String,
    /// The source's files, for deciding.
    pub tree: Arc<dyn SourceTree>,
    /// The source's files, for building.
    pub tar: Arc<dyn SourceTar>,
    /// What app.yaml says; its default without one.
    pub manifest: Manifest,
    /// What it may use.
    pub limits: Limits,
}

/// What a build may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Memory in bytes.
    pub memory: u64,
    /// Thousandths of a core.
    pub cpu_millis: u32,
    /// Processes and threads.
    pub pids: u32,
    /// Wall time.
    pub time: Duration,
    /// Bytes on disk: what it writes and its cache, together.
    pub disk: u64,
    /// Files on disk, counted the same.
    pub files: u64,
    /// Bytes of the source.
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

/// What came of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slug {
    /// The image.
    pub image: ImageRef,
    /// Commands by process type.
    pub processes: BTreeMap<ProcessName, String>,
    /// The template that it was built with.
    pub template: TemplateName,
    /// Bytes of its layer, compressed.
    pub size: u64,
    /// Bytes of its layer.
    pub unpacked: u64,
    /// What a person should know.
    pub warnings: Vec<String>,
}

/// Where the output of a build goes, line by line and clean.
#[async_trait::async_trait]
pub trait Sink: Send + Sync {
    /// Takes a line without its end. May wait: the build waits with it.
    async fn line(&self, line: String);
}
