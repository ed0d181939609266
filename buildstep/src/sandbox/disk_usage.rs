//! How much lies below some folders, for the disk limit. Blocking.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Disk usage below a folder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes as the disk counts them.
    pub bytes: u64,
    /// Files and folders, the top not counted.
    pub files: u64,
}

/// What lies below a folder; none when it can not be read. Never follows links, and stops once `enough` is passed.
pub fn below(folder: &Path, enough: Usage) -> Option<Usage> {
    let mut usage = Usage::default();
    let mut waiting: Vec<PathBuf> = vec![folder.to_path_buf()];
    std::fs::read_dir(folder).ok()?;
    while let Some(next) = waiting.pop() {
        // What vanishes while it is looked at does not count.
        for entry in std::fs::read_dir(&next).into_iter().flatten().flatten() {
            let Ok(facts) = entry.metadata() else { continue };
            usage.files += 1;
            usage.bytes += facts.blocks() * 512;
            if facts.is_dir() {
                waiting.push(entry.path());
            }
        }
        if usage.bytes > enough.bytes || usage.files > enough.files {
            break;
        }
    }
    Some(usage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_counted_and_links_are_not_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("a")).expect("made");
        std::fs::write(folder.path().join("a/b"), vec![1; 10_000]).expect("written");
        std::os::unix::fs::symlink("/usr", folder.path().join("link")).expect("linked");
        let usage = below(folder.path(), Usage { bytes: u64::MAX, files: u64::MAX }).expect("it can be read");
        assert_eq!(usage.files, 3);
        assert!((10_000..100_000).contains(&usage.bytes));
        assert_eq!(below(Path::new("/nowhere"), Usage::default()), None);
    }
}
