//! Pid files of running pushes, so that a starting server can end the git processes that a dead one left behind.
//!
//! A git that outlives its server could still move a ref after the new server has read it. Each push writes a pid file; the
//! next server ends those that are still the same process, waits until they are gone, and only then settles.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use model::{AppEnv, PushId};
use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};

/// How long an old git may take to end after a signal.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// The content of a pid file.
#[derive(Debug, Serialize, Deserialize)]
struct GitProcess {
    pid: i32,
    /// When the process started, in clock ticks since boot: tells it from a later one with the same number.
    started: u64,
    app: AppEnv,
}

/// A written pid file; dropping it removes the file.
pub(crate) struct PidFile {
    path: std::path::PathBuf,
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // A pid file that stays is harmless: its process is gone.
        let _ = std::fs::remove_file(&self.path);
    }
}

pub(crate) fn write(dir: &Path, id: &PushId, pid: Pid, app: &AppEnv) -> io::Result<PidFile> {
    let pid = pid.as_raw_nonzero().get();
    let started = started(pid).ok_or_else(|| io::Error::other("the process is gone"))?;
    let path = dir.join(id.as_str());
    std::fs::write(&path, serde_json::to_vec(&GitProcess { pid, started, app: app.clone() })?)?;
    Ok(PidFile { path })
}

/// Ends the git processes of a dead server. Returns the apps they pushed to. Blocks until the processes are gone.
pub(crate) fn end_all(dir: &Path) -> io::Result<Vec<AppEnv>> {
    let mut apps = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        match std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<GitProcess>(&bytes).ok()) {
            Some(process) => {
                end(&process);
                tracing::info!(app = %process.app, "a push of an earlier server is over");
                apps.push(process.app);
            }
            None => tracing::warn!(path = %path.display(), "a pid file can not be read"),
        }
        std::fs::remove_file(&path)?;
    }
    Ok(apps)
}

fn end(process: &GitProcess) {
    let Some(pid) = Pid::from_raw(process.pid) else { return };
    let alive = || started(process.pid) == Some(process.started);
    for (signal, timeout) in [(Signal::TERM, END_TIMEOUT), (Signal::KILL, END_TIMEOUT)] {
        if !alive() {
            return;
        }
        // It may end by itself in this moment.
        let _ = rustix::process::kill_process_group(pid, signal);
        let deadline = Instant::now() + timeout;
        while alive() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The start time of a process that is alive (not a zombie).
fn started(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The program's name is in parentheses and may hold anything, so count from the last one.
    let mut rest = stat.rsplit_once(')')?.1.split_whitespace();
    if matches!(rest.next()?, "Z" | "X") {
        return None;
    }
    rest.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    #[test]
    fn only_the_same_process_is_ended() {
        let dir = tempfile::tempdir().expect("a directory");
        let app: AppEnv = "acme/shop/dev".parse().expect("a path");
        let mut child = Command::new("sleep").arg("600").process_group(0).spawn().expect("a process");
        let mut other = Command::new("sleep").arg("600").process_group(0).spawn().expect("a process");
        let pid = |child: &std::process::Child| Pid::from_raw(child.id() as i32).expect("a process id");
        std::mem::forget(write(dir.path(), &PushId::mint([1; 10]), pid(&child), &app).expect("a pid file"));
        let stale = GitProcess { pid: other.id() as i32, started: 1, app: app.clone() };
        std::fs::write(dir.path().join("stale"), serde_json::to_vec(&stale).expect("JSON")).expect("a pid file");
        std::fs::write(dir.path().join("broken"), "not a pid file").expect("a pid file");
        let apps = end_all(dir.path()).expect("the end");
        assert_eq!(apps, [app.clone(), app]);
        assert!(!child.wait().expect("the process").success());
        assert!(other.try_wait().expect("the other").is_none(), "a process with the same number but another start was ended");
        other.kill().expect("the end of the other");
        other.wait().expect("the other");
        assert_eq!(std::fs::read_dir(dir.path()).expect("the directory").count(), 0);
    }
}
