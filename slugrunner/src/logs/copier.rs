//! Copies the output of a container into its app's log, resuming where an earlier process stopped.
//!
//! The cursor file holds the container and the engine's time of the last entry that was written, with its number among
//! entries of the same time. It is written after the lines: a crash between the two may double a batch, never lose one.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use model::Time;

use super::{AppLog, LINE_MAX, LogLine, LogSource};
use crate::runtime::{ContainerId, LogEntry, LogQuery, RunState, Runtime, RuntimeError};

/// Most entries in one write.
const BATCH: usize = 256;

/// Copies one container's output.
pub(crate) struct LogCopier {
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) container: ContainerId,
    pub(crate) log: Arc<AppLog>,
    pub(crate) source: LogSource,
    pub(crate) cursor: PathBuf,
}

/// The last entry that was written.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Cursor {
    at: i64,
    count: u32,
}

/// Puts the parts of long lines together again.
#[derive(Default)]
struct Assembly {
    bytes: Vec<u8>,
    started: Option<i64>,
    was_cut: bool,
}

impl Assembly {
    fn take(&mut self, entry: &LogEntry, source: &LogSource) -> Option<LogLine> {
        let started = *self.started.get_or_insert(entry.at);
        let room = LINE_MAX.saturating_sub(self.bytes.len());
        let text = entry.bytes.strip_suffix(b"\n").unwrap_or(&entry.bytes);
        self.was_cut |= text.len() > room;
        self.bytes.extend_from_slice(&text[..text.len().min(room)]);
        if !entry.bytes.ends_with(b"\n") {
            return None;
        }
        self.finish(started, source)
    }

    fn finish(&mut self, started: i64, source: &LogSource) -> Option<LogLine> {
        let done = std::mem::take(self);
        Some(LogLine::of_bytes(Time::from_timestamp_nanos(started), source.clone(), &done.bytes, done.was_cut))
    }

    /// What is left when a container ends in the middle of a line.
    fn rest(&mut self, source: &LogSource) -> Option<LogLine> {
        let started = self.started?;
        self.finish(started, source)
    }
}

impl LogCopier {
    /// Copies until the container has ended and all of its output is written.
    pub(crate) async fn run(self) {
        let mut cursor = self.load();
        loop {
            let (ended, passed) = match self.runtime.inspect(&self.container).await {
                Ok(found) => (found.state == RunState::Exited, self.pass(&mut cursor, found.state != RunState::Exited).await),
                Err(error) => (false, Err(error)),
            };
            match passed {
                Err(RuntimeError::NoSuchContainer) => return,
                Ok(()) if ended => return,
                // The container ended while it was followed: one more pass takes what is left. Or the engine went away:
                // it is asked again until it is back.
                _ => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    }

    async fn pass(&self, cursor: &mut Cursor, follow: bool) -> Result<(), RuntimeError> {
        let query = LogQuery { since: cursor.at / 1_000_000_000, tail: None, follow };
        let mut stream = self.runtime.logs(&self.container, query).ready_chunks(BATCH);
        let mut assembly = Assembly::default();
        let (mut place, mut failed) = (Cursor::default(), None);
        while let Some(chunk) = stream.next().await {
            let mut lines = Vec::new();
            let mut done = *cursor;
            for entry in chunk {
                let entry = match entry {
                    Ok(entry) => entry,
                    Err(error) => {
                        failed = Some(error);
                        break;
                    }
                };
                place = if entry.at == place.at { Cursor { count: place.count + 1, ..place } } else { Cursor { at: entry.at, count: 1 } };
                if (place.at, place.count) <= (cursor.at, cursor.count) {
                    continue;
                }
                if let Some(line) = assembly.take(&entry, &self.source) {
                    lines.push(line);
                    done = place;
                }
            }
            self.write(&lines, cursor, done);
        }
        if failed.is_none()
            && let Some(line) = assembly.rest(&self.source).filter(|_| !follow)
        {
            self.write(&[line], cursor, place);
        }
        failed.map_or(Ok(()), Err)
    }

    fn write(&self, lines: &[LogLine], cursor: &mut Cursor, done: Cursor) {
        if lines.is_empty() {
            return;
        }
        self.log.append(lines);
        *cursor = done;
        let text = format!("{} {} {}\n", self.container.0, done.at, done.count);
        if let Err(error) = std::fs::write(&self.cursor, text) {
            tracing::error!(%error, path = %self.cursor.display(), "the place in a log could not be kept");
        }
    }

    fn load(&self) -> Cursor {
        let text = std::fs::read_to_string(&self.cursor).unwrap_or_default();
        let mut fields = text.split_whitespace();
        match (fields.next(), fields.next().and_then(|at| at.parse().ok()), fields.next().and_then(|n| n.parse().ok())) {
            (Some(container), Some(at), Some(count)) if container == self.container.0 => Cursor { at, count },
            _ => Cursor::default(),
        }
    }
}
