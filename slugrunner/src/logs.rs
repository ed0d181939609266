//! The lines of every instance on this host, by app: `<time> <source> <text>`, appended, rotated, read back and followed.
//!
//! Owns `logs/` in the data directory. Must never hold a line back for want of a reader: a slow follower misses lines and
//! is told how many.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use futures_util::stream::{self, BoxStream};
use model::AppEnv;
use tokio::sync::broadcast;

pub(crate) mod copier;
mod file;
mod line;

pub use line::{LogFilter, LogLine, LogSource};

use file::LogFile;

/// Lines that a follower may be behind.
const BEHIND: usize = 4096;
/// Longest text of a line in bytes.
pub const LINE_MAX: usize = 10_000;

/// Sizes of log files.
#[derive(Debug, Clone, Copy)]
pub struct LogLimits {
    /// A file is put aside beyond this size in bytes.
    pub file_bytes: u64,
    /// Files that are kept aside.
    pub files: u32,
}

impl Default for LogLimits {
    fn default() -> Self {
        Self { file_bytes: 10 * 1024 * 1024, files: 5 }
    }
}

/// The logs of one host; clones share them.
#[derive(Debug, Clone)]
pub struct LogStore {
    dir: PathBuf,
    limits: LogLimits,
    apps: Arc<Mutex<BTreeMap<AppEnv, Arc<AppLog>>>>,
}

/// The log of one app in one environment. All writing to its file goes through here.
#[derive(Debug)]
pub(crate) struct AppLog {
    file: Mutex<LogFile>,
    news: broadcast::Sender<LogLine>,
}

impl AppLog {
    /// Appends lines in one write.
    pub(crate) fn append(&self, lines: &[LogLine]) {
        let mut file = self.file.lock().expect("no holder of the file's lock panics");
        if let Err(error) = file.append(lines) {
            tracing::error!(%error, path = %file.path().display(), lines = lines.len(), "log lines could not be written");
        }
        for line in lines {
            // An error means that nobody follows.
            let _ = self.news.send(line.clone());
        }
    }
}

impl LogStore {
    /// Logs under a directory, which is made when the first line comes.
    pub fn new(dir: impl Into<PathBuf>, limits: LogLimits) -> Self {
        Self { dir: dir.into(), limits, apps: Arc::default() }
    }

    pub(crate) fn app(&self, app: &AppEnv) -> Arc<AppLog> {
        let mut apps = self.apps.lock().expect("no holder of the list's lock panics");
        let make = || {
            let dir = self.dir.join(app.tenant.as_str()).join(app.app.as_str()).join(app.env.as_str());
            Arc::new(AppLog { file: Mutex::new(LogFile::new(dir, self.limits)), news: broadcast::channel(BEHIND).0 })
        };
        apps.entry(app.clone()).or_insert_with(make).clone()
    }

    /// Appends a line of the platform to an app's log.
    pub fn append_platform(&self, app: &AppEnv, text: impl Into<String>) {
        self.app(app).append(&[LogLine { at: chrono::Utc::now(), source: LogSource::Platform, text: text.into() }]);
    }

    /// The last lines, oldest first. Reads files: call it where blocking is allowed.
    pub fn tail(&self, app: &AppEnv, count: usize, filter: &LogFilter) -> Vec<LogLine> {
        let app = self.app(app);
        let file = app.file.lock().expect("no holder of the file's lock panics");
        file.tail(count, filter)
    }

    /// The last lines and then every new one, without a gap or a double between them. Reads files at once, as `tail` does.
    pub fn follow(&self, app: &AppEnv, count: usize, filter: LogFilter) -> BoxStream<'static, LogLine> {
        let app = self.app(app);
        // Under the lock nothing is appended: what is read is before what will come.
        let (before, news) = {
            let file = app.file.lock().expect("no holder of the file's lock panics");
            (file.tail(count, &filter), app.news.subscribe())
        };
        let after = stream::unfold((news, filter), |(mut news, filter)| async move {
            loop {
                match news.recv().await {
                    Ok(line) if filter.takes(&line) => return Some((line, (news, filter))),
                    Ok(_) => {}
                    Err(broadcast::error::RecvError::Lagged(missed)) => {
                        let text = format!("{missed} lines were left out here, because they came faster than they were read");
                        let line = LogLine { at: chrono::Utc::now(), source: LogSource::Platform, text };
                        return Some((line, (news, filter)));
                    }
                    Err(broadcast::error::RecvError::Closed) => return None,
                }
            }
        });
        Box::pin(futures_util::StreamExt::chain(stream::iter(before), after))
    }

    /// Where the files are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Removes the logs of an app that was destroyed.
    pub fn remove(&self, app: &AppEnv) -> std::io::Result<()> {
        let mut apps = self.apps.lock().expect("no holder of the list's lock panics");
        apps.remove(app);
        let dir = self.dir.join(app.tenant.as_str()).join(app.app.as_str()).join(app.env.as_str());
        match std::fs::remove_dir_all(dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
