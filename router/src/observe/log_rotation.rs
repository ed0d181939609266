//! `LogRotation`: a log file that begins anew at a size, with a number of older ones beside it: `access.log.1` is the youngest of them.
//!
//! Owns the files. Works in the writer's thread, so that no request waits for it. Must never lose a line over a rotation: what was
//! begun in one file is ended there, and when files can not be moved the writing goes on where it is.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// One log with its older files.
#[derive(Debug)]
pub struct LogRotation {
    path: PathBuf,
    most: u64,
    files: u32,
    file: File,
    size: u64,
}

impl LogRotation {
    /// Opens the log at `path` for appending. It holds about `most` bytes, and `files` older ones are kept.
    pub fn open(path: &Path, most: u64, files: u32) -> io::Result<Self> {
        let (file, size) = open(path)?;
        Ok(Self { path: path.to_owned(), most, files, file, size })
    }

    fn aside(&self, n: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{n}"));
        name.into()
    }

    /// Moves each file one place on, the last one out.
    fn rotate(&mut self) -> io::Result<()> {
        for n in (1..self.files).rev() {
            match std::fs::rename(self.aside(n), self.aside(n + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        if self.files == 0 {
            self.file.set_len(0)?;
            self.size = 0;
            return Ok(());
        }
        std::fs::rename(&self.path, self.aside(1))?;
        (self.file, self.size) = open(&self.path)?;
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    // Who asked for what is not for other users of the host; a file from before is taken from them.
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    let size = file.metadata()?.len();
    Ok((file, size))
}

impl Write for LogRotation {
    /// Takes whole lines, and all of them.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        if self.size > 0
            && self.size + lines.len() as u64 > self.most
            && let Err(error) = self.rotate()
        {
            tracing::warn!(%error, path = %self.path.display(), "a log could not be rotated and grows on");
            // Not with every line again.
            self.size = 0;
        }
        self.file.write_all(lines)?;
        self.size += lines.len() as u64;
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &Path) -> Option<String> {
        std::fs::read_to_string(path).ok()
    }

    #[test]
    fn every_line_is_in_one_file_and_the_oldest_file_goes() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("access.log");
        let mut log = LogRotation::open(&path, 20, 2).expect("a file");
        for n in 0..8 {
            log.write_all(format!("line {n}\nmore {n}\n").as_bytes()).expect("a write");
        }
        let files = ["access.log", "access.log.1", "access.log.2"].map(|name| read(&dir.path().join(name)));
        assert_eq!(files, [7, 6, 5].map(|n| Some(format!("line {n}\nmore {n}\n"))));
        assert!(!dir.path().join("access.log.3").exists(), "more older files than asked for");
    }

    #[test]
    fn a_restart_goes_on_where_the_last_life_stopped() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("access.log");
        for n in 0..3 {
            let mut log = LogRotation::open(&path, 20, 1).expect("a file");
            log.write_all(format!("line {n}\n").as_bytes()).expect("a write");
        }
        assert_eq!(read(&path).expect("a log"), "line 2\n");
        assert_eq!(read(&dir.path().join("access.log.1")).expect("an older log"), "line 0\nline 1\n");
    }

    #[test]
    fn a_log_is_taken_from_other_users_of_the_host() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("access.log");
        std::fs::write(&path, "before\n").expect("a file from before");
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("its owner");
        drop(LogRotation::open(&path, 20, 1).expect("a log"));
        assert_eq!(std::fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);
        assert_eq!(read(&path).expect("text"), "before\n");
    }

    #[test]
    fn a_file_that_can_not_be_moved_is_written_on() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("access.log");
        // Nothing can take the place of a directory that holds something.
        std::fs::create_dir_all(dir.path().join("access.log.1/held")).expect("a directory");
        let mut log = LogRotation::open(&path, 8, 1).expect("a file");
        for n in 0..3 {
            log.write_all(format!("line {n}\n").as_bytes()).expect("a write");
        }
        assert_eq!(read(&path).expect("a log"), "line 0\nline 1\nline 2\n");
    }
}
