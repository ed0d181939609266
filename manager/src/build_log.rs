//! Build logs: one file per build, appended line by line, read and followed by anybody who may see the build.

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

/// Largest log in bytes; what comes after is counted, not kept.
const MAX_LOG: u64 = 16 * 1024 * 1024;

type Open = Arc<Mutex<HashMap<BuildId, watch::Receiver<u64>>>>;

/// All logs.
pub(crate) struct BuildLogs {
    dir: PathBuf,
    open: Open,
}

/// A log that is being written. It ends when dropped.
pub(crate) struct BuildLog {
    id: BuildId,
    file: Mutex<(File, u64)>,
    length: watch::Sender<u64>,
    listener: Mutex<Option<Arc<dyn Output>>>,
    last: Mutex<Instant>,
    open: Open,
}

impl BuildLogs {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir, open: Open::default() }
    }

    fn path(&self, id: &BuildId) -> PathBuf {
        self.dir.join(format!("{id}.log"))
    }

    /// Opens the log of a build; a listener hears every line too.
    pub(crate) fn open(&self, id: &BuildId, listener: Arc<dyn Output>) -> std::io::Result<BuildLog> {
        // A log may show what an app holds: it is for whoever the manager lets read it, not for other users of the host.
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
            listener: Mutex::new(Some(listener)),
            last: Mutex::new(Instant::now()),
            open: self.open.clone(),
        })
    }

    /// Removes the log of a build that has ended; one that is not there is no error.
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
    pub(crate) async fn follow(&self, id: &BuildId) -> std::io::Result<Follow> {
        let running = self.open.lock().expect("no holder panics").get(id).cloned();
        let file = match tokio::fs::File::open(self.path(id)).await {
            Ok(file) => Some(file),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(Follow { file, running, at: 0, ended: false })
    }
}

impl BuildLog {
    /// How long nothing has been said.
    pub(crate) fn silent(&self) -> std::time::Duration {
        self.last.lock().expect("no holder panics").elapsed()
    }

    /// Says something to the listener only: a sign of life that the stored log does not need.
    pub(crate) fn whisper(&self, line: &str) {
        if let Some(listener) = &*self.listener.lock().expect("no holder panics") {
            listener.line(line);
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
        self.whisper(line);
    }
}

impl Drop for BuildLog {
    fn drop(&mut self) {
        if let Ok(mut open) = self.open.lock() {
            open.remove(&self.id);
        }
    }
}

/// A reader of a log.
pub struct Follow {
    file: Option<tokio::fs::File>,
    running: Option<watch::Receiver<u64>>,
    at: u64,
    ended: bool,
}

impl Follow {
    /// The next piece of the log; none at its end.
    pub async fn next(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        let Some(file) = &mut self.file else { return Ok(None) };
        loop {
            file.seek(std::io::SeekFrom::Start(self.at)).await?;
            let mut piece = vec![0; 64 * 1024];
            let read = file.read(&mut piece).await?;
            if read > 0 {
                self.at += read as u64;
                piece.truncate(read);
                return Ok(Some(piece));
            }
            match &mut self.running {
                Some(running) if !self.ended => self.ended = running.changed().await.is_err(),
                _ => return Ok(None),
            }
        }
    }
}

impl BuildLog {
    /// Stores a line that the listener gets in another way.
    pub(crate) fn store_only(&self, line: &str) {
        let listener = self.listener.lock().expect("no holder panics").take();
        self.line(line);
        *self.listener.lock().expect("no holder panics") = listener;
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
