//! What one instance has written: the files of its writable layer, and those that it has deleted and still holds open. Blocking.
//!
//! Reads names and sizes, never content, and follows no link. Not seen: a deleted file that is held by a memory map alone.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

/// What was found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Bytes as the disk counts them: the holes of a sparse file are none.
    pub(crate) bytes: u64,
    /// Files and folders.
    pub(crate) files: u64,
    /// Whether folders lie deeper than a path can say.
    pub(crate) too_deep: bool,
}

impl Usage {
    fn passes(&self, enough: Usage) -> bool {
        self.bytes > enough.bytes || self.files > enough.files || self.too_deep
    }
}

/// Entries between two pauses.
const SLICE: u64 = 4_096;

/// One measurement on its way.
struct Count<'a> {
    usage: Usage,
    enough: Usage,
    /// Files of several names, and open ones, count once.
    known: HashSet<(u64, u64)>,
    slice: Instant,
    worked: Duration,
    stop: &'a CancellationToken,
}

/// Measures the layer of a container whose first process is `pid`, until `enough` is passed. Also returns the time that was
/// worked: now and then it pauses for as long as it worked, so that it never has a core for itself.
pub(crate) fn measure(layer: &Path, pid: Option<u32>, enough: Usage, stop: &CancellationToken) -> io::Result<(Usage, Duration)> {
    let mut count = Count { usage: Usage::default(), enough, known: HashSet::new(), slice: Instant::now(), worked: Duration::ZERO, stop };
    count.folders(layer)?;
    if let Some(pid) = pid {
        count.deleted(pid);
    }
    count.worked += count.slice.elapsed();
    Ok((count.usage, count.worked))
}

impl Count<'_> {
    fn folders(&mut self, layer: &Path) -> io::Result<()> {
        let mut waiting: Vec<PathBuf> = vec![layer.to_path_buf()];
        std::fs::read_dir(layer)?;
        while let Some(next) = waiting.pop() {
            let entries = match std::fs::read_dir(&next) {
                Ok(entries) => entries,
                // What vanishes while it is looked at does not count.
                Err(error) if error.kind() != io::ErrorKind::InvalidFilename => continue,
                Err(_) => {
                    self.usage.too_deep = true;
                    return Ok(());
                }
            };
            for entry in entries.flatten() {
                let facts = match entry.metadata() {
                    Ok(facts) => facts,
                    Err(error) if error.kind() == io::ErrorKind::InvalidFilename => {
                        self.usage.too_deep = true;
                        return Ok(());
                    }
                    Err(_) => continue,
                };
                if facts.is_dir() {
                    waiting.push(entry.path());
                }
                self.add(&facts);
                if self.usage.passes(self.enough) || self.stop.is_cancelled() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, facts: &Metadata) {
        self.usage.files += 1;
        let is_new = facts.is_dir() || facts.nlink() == 1 || self.known.insert((facts.dev(), facts.ino()));
        if is_new {
            self.usage.bytes += facts.blocks() * 512;
        }
        if self.usage.files.is_multiple_of(SLICE) {
            let worked = self.slice.elapsed();
            self.worked += worked;
            std::thread::sleep(worked);
            self.slice = Instant::now();
        }
    }

    /// Files without a name that processes of the container hold open: no walk finds them, and they fill the disk all the same.
    fn deleted(&mut self, pid: u32) {
        let space = |process: &Path| std::fs::read_link(process.join("ns/pid")).ok();
        let proc = Path::new("/proc");
        let first = proc.join(pid.to_string());
        let (Some(ours), Ok(root)) = (space(&first), std::fs::metadata(first.join("root"))) else { return };
        let is_number = |name: &OsString| name.to_str().is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
        for process in std::fs::read_dir(proc).into_iter().flatten().flatten().filter(|entry| is_number(&entry.file_name())) {
            if space(&process.path()).as_ref() != Some(&ours) {
                continue;
            }
            for file in std::fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten() {
                let Ok(facts) = std::fs::metadata(file.path()) else { continue };
                // A pipe or a piece of shared memory is on no disk.
                if facts.is_file() && facts.nlink() == 0 && facts.dev() == root.dev() && self.known.insert((facts.dev(), facts.ino())) {
                    self.add_open(&facts);
                }
            }
        }
    }

    fn add_open(&mut self, facts: &Metadata) {
        self.usage.files += 1;
        self.usage.bytes += facts.blocks() * 512;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const ALL: Usage = Usage { bytes: u64::MAX, files: u64::MAX, too_deep: false };

    fn found(layer: &Path, pid: Option<u32>, enough: Usage) -> Usage {
        measure(layer, pid, enough, &CancellationToken::new()).expect("a folder").0
    }

    #[test]
    fn names_links_and_holes_are_counted_as_the_disk_does() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir(path("a")).expect("made");
        std::fs::write(path("a/b"), vec![1; 1_000_000]).expect("written");
        std::fs::hard_link(path("a/b"), path("again")).expect("linked");
        std::os::unix::fs::symlink("/usr", path("link")).expect("linked");
        std::fs::File::create(path("sparse")).and_then(|file| file.set_len(1 << 40)).expect("a hole");
        let usage = found(folder.path(), None, ALL);
        assert_eq!(usage.files, 5);
        assert!((1_000_000..1_100_000).contains(&usage.bytes), "{usage:?}");
        let stopped = found(folder.path(), None, Usage { files: 1, ..ALL });
        assert_eq!(stopped.files, 2, "it goes on after it was enough");
        assert!(measure(Path::new("/nowhere"), None, ALL, &CancellationToken::new()).is_err());
    }

    #[test]
    fn a_deleted_file_that_is_open_counts() {
        // Beside the process's own root, as in a container: only what is on the disk of the root counts.
        let Ok(mut file) = tempfile::tempfile_in("/") else { return };
        file.write_all(&vec![1; 3_000_000]).and_then(|()| file.sync_all()).expect("written");
        let empty = tempfile::tempdir().expect("a folder");
        let usage = found(empty.path(), Some(std::process::id()), ALL);
        assert!(usage.bytes >= 3_000_000, "{usage:?}");
    }

    #[test]
    fn folders_deeper_than_a_path_are_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let script = "cd \"$1\"; i=0; n=$(printf '%0200d' 0); while [ $i -lt 25 ]; do mkdir $n && cd -P $n || exit 1; i=$((i+1)); done";
        let made = std::process::Command::new("bash").args(["-c", script, "sh"]).arg(folder.path()).status().expect("bash");
        assert!(made.success());
        assert!(found(folder.path(), None, ALL).too_deep);
    }
}
