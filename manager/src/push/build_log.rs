//! Build logs: one file per build, appended line by line, read and followed by users who may see the build.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use model::BuildId;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::output::Output;

/// Largest log in bytes; later lines are shown to the pusher but not stored.
const MAX_LOG: u64 = 16 * 1024 * 1024;

/// The logs that are being written, with the length of each.
type Open = Arc<Mutex<HashMap<BuildId, watch::Receiver<u64>>>>;

/// The directory of all build logs.
pub(crate) struct BuildLogs {
    dir: PathBuf,
    open: Open,
    /// Logs between the two hooks of a push: readers follow on, and the rollout writes on.
    parked: Mutex<HashMap<BuildId, Arc<BuildLog>>>,
}

/// A log that is being written. It ends when dropped.
pub(crate) struct BuildLog {
    id: BuildId,
    file: Mutex<(File, u64)>,
    length: watch::Sender<u64>,
    pusher: Mutex<Option<Arc<dyn Output>>>,
    last: Mutex<Instant>,
    open: Open,
}

impl BuildLogs {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir, open: Open::default(), parked: Mutex::default() }
    }

    fn path(&self, id: &BuildId) -> PathBuf {
        self.dir.join(format!("{id}.log"))
    }

    /// Opens the log of a build; every line also goes to the pusher.
    pub(crate) fn open(&self, id: &BuildId, pusher: Arc<dyn Output>) -> std::io::Result<BuildLog> {
        // A log may hold an app's data: other users of the host must not read it.
        std::fs::create_dir_all(&self.dir)?;
        std::fs::set_permissions(&self.dir, std::fs::Permissions::from_mode(0o700))?;
        let file = File::options().create(true).append(true).mode(0o600).open(self.path(id))?;
        let written = file.metadata()?.len();
        let (length, receiver) = watch::channel(written);
        self.open.lock().expect("no holder panics").insert(id.clone(), receiver);
        Ok(BuildLog {
            id: id.clone(),
            file: Mutex::new((file, written)),
            length,
            pusher: Mutex::new(Some(pusher)),
            last: Mutex::new(Instant::now()),
            open: self.open.clone(),
        })
    }

    /// Keeps a log open until the rollout of its release writes on in it.
    pub(crate) fn park(&self, log: Arc<BuildLog>) {
        *log.pusher.lock().expect("no holder panics") = None;
        self.parked.lock().expect("no holder panics").insert(log.id.clone(), log);
    }

    /// Writes on in the log of a build; every line also goes to the pusher.
    pub(crate) fn resume(&self, id: &BuildId, pusher: Arc<dyn Output>) -> std::io::Result<Arc<BuildLog>> {
        let Some(log) = self.parked.lock().expect("no holder panics").remove(id) else { return self.open(id, pusher).map(Arc::new) };
        *log.pusher.lock().expect("no holder panics") = Some(pusher);
        Ok(log)
    }

    /// Removes the log of a build that has ended; a missing one is no error.
    pub(crate) fn remove(&self, id: &BuildId) -> std::io::Result<()> {
        match std::fs::remove_file(self.path(id)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The builds whose logs nobody writes and that were last written before a time.
    pub(crate) fn older_than(&self, time: SystemTime) -> Vec<BuildId> {
        let open = self.open.lock().expect("no holder panics");
        let old = |entry: std::fs::DirEntry| {
            let id: BuildId = entry.file_name().to_str()?.strip_suffix(".log")?.parse().ok()?;
            let written = entry.metadata().and_then(|facts| facts.modified()).ok()?;
            (written < time && !open.contains_key(&id)).then_some(id)
        };
        std::fs::read_dir(&self.dir).into_iter().flatten().flatten().filter_map(old).collect()
    }

    /// Reads a log from its start; while the build runs, waits for more.
    pub(crate) async fn follow(&self, id: &BuildId) -> std::io::Result<LogReader> {
        let running = self.open.lock().expect("no holder panics").get(id).cloned();
        let file = match tokio::fs::File::open(self.path(id)).await {
            Ok(file) => Some(file),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(LogReader { file, running, at: 0, ended: false })
    }
}

impl BuildLog {
    /// How long ago the last line was written.
    pub(crate) fn silent(&self) -> std::time::Duration {
        self.last.lock().expect("no holder panics").elapsed()
    }

    /// Shows a line to the pusher only: a sign of life that the stored log does not need.
    pub(crate) fn pusher_only(&self, line: &str) {
        if let Some(pusher) = &*self.pusher.lock().expect("no holder panics") {
            pusher.line(line);
        }
        *self.last.lock().expect("no holder panics") = Instant::now();
    }
}

impl Output for BuildLog {
    fn line(&self, line: &str) {
        {
            let mut file = self.file.lock().expect("no holder panics");
            if file.1 < MAX_LOG {
                // A full disk costs log lines, never the build: the pusher still sees them.
                if file.0.write_all(format!("{line}\n").as_bytes()).is_ok() {
                    file.1 += line.len() as u64 + 1;
                    self.length.send_replace(file.1);
                }
            }
        }
        self.pusher_only(line);
    }
}

impl Drop for BuildLog {
    fn drop(&mut self) {
        if let Ok(mut open) = self.open.lock() {
            open.remove(&self.id);
        }
    }
}

/// Reads a log from its start, and follows it while it is written.
pub struct LogReader {
    file: Option<tokio::fs::File>,
    running: Option<watch::Receiver<u64>>,
    at: u64,
    ended: bool,
}

impl LogReader {
    /// The next chunk of the log; none at its end.
    pub async fn next(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        let Some(file) = &mut self.file else { return Ok(None) };
        loop {
            file.seek(std::io::SeekFrom::Start(self.at)).await?;
            let mut chunk = vec![0; 64 * 1024];
            let read = file.read(&mut chunk).await?;
            if read > 0 {
                self.at += read as u64;
                chunk.truncate(read);
                return Ok(Some(chunk));
            }
            match &mut self.running {
                Some(running) if !self.ended => self.ended = running.changed().await.is_err(),
                _ => return Ok(None),
            }
        }
    }
}

impl BuildLog {
    /// Stores a line that the pusher gets in another way.
    pub(crate) fn store_only(&self, line: &str) {
        let pusher = self.pusher.lock().expect("no holder panics").take();
        self.line(line);
        *self.pusher.lock().expect("no holder panics") = pusher;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_are_not_for_other_users_of_the_host() {
        let dir = tempfile::tempdir().expect("a directory");
        let logs = BuildLogs::new(dir.path().join("builds"));
        let id = BuildId::parse("b-0123456789").expect("an id");
        drop(logs.open(&id, Arc::new(crate::output::Discard)).expect("a log"));
        let mode = |path: &std::path::Path| std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!((mode(&logs.dir), mode(&logs.path(&id))), (0o700, 0o600));
    }
}
