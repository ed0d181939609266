//! The snapshot: the last good routes and instances on disk, so that a router starts while coordination is away.
//!
//! Owns one file. Must never be preferred to coordination: it is read only when that does not answer at the start.

use std::io;
use std::path::{Path, PathBuf};

use model::{InstanceStatus, Route};
use serde::{Deserialize, Serialize};

/// Where the last good state is kept.
#[derive(Debug, Clone)]
pub struct Snapshot(PathBuf);

#[derive(Debug, Serialize, Deserialize)]
struct State<R, I> {
    routes: R,
    instances: I,
}

impl Snapshot {
    /// Kept in this file; its folder must be there.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Replaces the file in one step.
    pub(crate) fn write(&self, routes: &[Route], instances: &[InstanceStatus]) -> io::Result<()> {
        let text = serde_json::to_vec(&State { routes, instances })?;
        store::atomic_file::replace(&self.0, &text)
    }

    /// What was written last.
    pub(crate) fn read(&self) -> io::Result<(Vec<Route>, Vec<InstanceStatus>)> {
        let state: State<Vec<Route>, Vec<InstanceStatus>> = serde_json::from_slice(&std::fs::read(&self.0)?)?;
        Ok((state.routes, state.instances))
    }
}
