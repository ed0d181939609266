//! A small disk of the test's own, in memory.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

/// A mounted disk; unmounted when dropped.
pub struct SmallDisk {
    dir: tempfile::TempDir,
}

impl SmallDisk {
    /// One of so many MiB.
    pub fn new(size_mb: u32) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("slipway-disk-").tempdir()?;
        let options = format!("size={size_mb}m,mode=755");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "slipway-test"]).arg(dir.path()).status()?;
        if !mounted.success() {
            bail!("a disk in memory could not be mounted: the test must run as root");
        }
        Ok(Self { dir })
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }

    /// Fills it, but for so many bytes.
    pub fn fill_but(&self, room: u64) -> Result<()> {
        self.clear()?;
        let mut file = std::fs::File::create(self.filler())?;
        let block = vec![0; 64 * 1024];
        let full = loop {
            if let Err(error) = file.write_all(&block) {
                break error;
            }
        };
        if full.kind() != std::io::ErrorKind::StorageFull {
            return Err(full.into());
        }
        let written = file.metadata()?.len();
        Ok(file.set_len(written.saturating_sub(room))?)
    }

    /// Gives the space back.
    pub fn clear(&self) -> Result<()> {
        match std::fs::remove_file(self.filler()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a process that is just ending may still hold a file.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}
