//! Assignments: one document per host. Written by the scheduler, fenced by version.

use model::{HostAssignments, HostName};

use super::documents::{put, read};
use super::{Expect, Life, Live, LiveError};

/// Assignments as they were read, with the version that fences the next write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fenced {
    /// What the host is told to run.
    pub assignments: HostAssignments,
    /// The version of the node that was read; none when there was no node.
    pub version: Option<u64>,
}

impl Live {
    /// What every host is told to run.
    pub async fn assignments(&self) -> Result<Vec<Fenced>, LiveError> {
        let nodes = self.0.scan("assignments/").await?;
        nodes.iter().map(|node| Ok(Fenced { assignments: read(node)?, version: Some(node.version) })).collect()
    }

    /// What one host is told to run.
    pub async fn assignments_of(&self, host: &HostName) -> Result<Option<HostAssignments>, LiveError> {
        self.read_one(&format!("assignments/{host}")).await
    }

    /// Writes the assignments of several hosts at once. If any of them was changed since it was read, nothing is written.
    pub async fn commit_assignments(&self, changes: &[Fenced]) -> Result<(), LiveError> {
        let ops = changes
            .iter()
            .map(|change| {
                let expect = change.version.map_or(Expect::Absent, Expect::Version);
                put(format!("assignments/{}", change.assignments.host), &change.assignments, expect, Life::Persistent)
            })
            .collect();
        self.0.commit(ops).await
    }
}
