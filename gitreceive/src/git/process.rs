//! How git is spawned: by argument vector, with an environment that is set here in full.
//!
//! Nothing of the server's environment, of the system's or of a user's git configuration reaches it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::io::Errno;
use rustix::process::{Pid, Resource, Rlimit, Signal};
use tokio::process::{Child, Command};

use crate::git::quarantine::Quarantine;

/// Most processor time of one git process, in seconds: a limit on packs that are made to be slow.
const PROCESSOR_SECONDS: u64 = 15 * 60;

/// How soon the kernel ends a git process when memory runs out, from 0 to 1000: before instances of apps, which run at 500.
const OOM_SCORE: &str = "800";

/// The git program and what it needs to run.
#[derive(Debug, Clone)]
pub struct Git {
    /// The path of the program.
    pub program: PathBuf,
    /// The value of `PATH`, where git finds its own helpers.
    pub search: OsString,
    /// The value of `HOME`: an empty directory.
    pub home: PathBuf,
    /// Most heap and other private writable memory of one process, in bytes. Packs are mapped and do not count.
    pub memory: u64,
}

impl Git {
    /// A command with a clean environment, in its own process group.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env_clear()
            .env("PATH", &self.search)
            .env("HOME", &self.home)
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_NO_LAZY_FETCH", "1")
            .current_dir(&self.home)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        command
    }

    /// The same, over one repository; `quarantine` makes objects visible that are not accepted yet.
    pub(crate) fn over(&self, repository: &Path, quarantine: Option<&Quarantine>) -> Command {
        let mut command = self.command();
        command.env("GIT_DIR", repository);
        if let Some(quarantine) = quarantine {
            command.env("GIT_OBJECT_DIRECTORY", &quarantine.objects);
            command.env("GIT_ALTERNATE_OBJECT_DIRECTORIES", &quarantine.alternates);
            command.env("GIT_QUARANTINE_PATH", &quarantine.objects);
        }
        command
    }

    /// Limits a process just started, before it reads its first byte; its children inherit the limits.
    pub(crate) fn limit(&self, child: &Child) -> std::io::Result<()> {
        let cap = |value| Rlimit { current: Some(value), maximum: Some(value) };
        if let Some(pid) = pid(child) {
            rustix::process::prlimit(Some(pid), Resource::Cpu, cap(PROCESSOR_SECONDS))?;
            rustix::process::prlimit(Some(pid), Resource::Core, cap(0))?;
            rustix::process::prlimit(Some(pid), Resource::Data, cap(self.memory))?;
            match std::fs::write(format!("/proc/{}/oom_score_adj", pid.as_raw_nonzero()), OOM_SCORE) {
                // It has ended already.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => {}
                written => written?,
            }
        }
        Ok(())
    }
}

/// Ends a process and everything that it started.
pub(crate) fn end_group(child: &Child) {
    if let Some(pid) = pid(child) {
        // The group may have ended by itself already.
        let _ = rustix::process::kill_process_group(pid, Signal::TERM);
    }
}

pub(crate) fn pid(child: &Child) -> Option<Pid> {
    child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw)
}
