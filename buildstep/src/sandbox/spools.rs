//! `Spools`: the files of one build in the work folder, and the removal of those of builds that are no more.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Prefixes of their file names.
const PREFIXES: [&str; 2] = ["spool-", "layer-"];

/// Files of a build in the work folder; they go when it is dropped.
pub struct Spools {
    /// The files of `/app`, one after the other.
    pub content: PathBuf,
    /// The layer as it is uploaded: tar, gzip.
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

/// Removes the files of builds that were killed before `begun`. Later ones may be those of builds that run.
pub fn reap(work: &Path, begun: SystemTime) {
    for entry in std::fs::read_dir(work).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if PREFIXES.iter().any(|lead| name.to_string_lossy().starts_with(lead)) && is_older(&entry, begun) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Whether an entry of the work folder was last written before a time.
pub fn is_older(entry: &std::fs::DirEntry, than: SystemTime) -> bool {
    entry.metadata().and_then(|facts| facts.modified()).is_ok_and(|at| at < than)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn only_what_is_older_goes() {
        let work = std::env::temp_dir().join(format!("slipway-spools-{}", std::process::id()));
        std::fs::create_dir_all(&work).expect("a folder");
        let file = |name: &str, at: SystemTime| {
            let path = work.join(name);
            std::fs::File::create(&path).and_then(|file| file.set_modified(at)).expect("a file");
            path
        };
        let begun = SystemTime::now();
        let (before, after) = (begun - Duration::from_secs(1), begun + Duration::from_secs(1));
        let kept = [file("spool-new", after), file("layer-new", after), file("other", before)];
        let gone = [file("spool-old", before), file("layer-old", before)];
        reap(&work, begun);
        assert!(kept.iter().all(|path| path.exists()) && !gone.iter().any(|path| path.exists()));
        std::fs::remove_dir_all(&work).expect("the folder goes");
    }
}
