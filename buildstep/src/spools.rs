//! `Spools`: the files of one build in the work folder, and the removal of those of builds that are no more.

use std::path::{Path, PathBuf};

/// Their names begin so.
const LEADS: [&str; 2] = ["spool-", "layer-"];

/// Files of a build in the work folder; they go when it is dropped.
pub struct Spools {
    /// The content of `/app`.
    pub content: PathBuf,
    /// The compressed layer.
    pub layer: PathBuf,
}

impl Spools {
    /// The files of a build; none of them is made yet.
    pub fn new(work: &Path, build: &str) -> Self {
        Self { content: work.join(format!("spool-{build}")), layer: work.join(format!("layer-{build}")) }
    }
}

impl Drop for Spools {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.content);
        let _ = std::fs::remove_file(&self.layer);
    }
}

/// Removes the files of builds that were killed.
pub fn reap(work: &Path) {
    for entry in std::fs::read_dir(work).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if LEADS.iter().any(|lead| name.to_string_lossy().starts_with(lead)) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}
