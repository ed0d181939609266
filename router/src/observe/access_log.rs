//! The access log: lines gather in a buffer per worker and go to one writer thread in large pieces.
//!
//! Owns the way from a line to the file. Must never make a request wait: when the writer does not keep up, whole buffers are
//! dropped and counted.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, SystemTime};

use model::Time;

/// A worker's buffer is handed over at this size, or every tenth of a second.
pub(crate) const FLUSH_AT: usize = 64 * 1024;
/// Buffers that may wait for the writer.
const QUEUE: usize = 64;

/// The end at which workers put full buffers.
#[derive(Debug, Clone)]
pub(crate) struct LogSink {
    queue: SyncSender<Vec<u8>>,
    dropped: Arc<AtomicU64>,
}

impl LogSink {
    /// Starts the writer; it ends when all sinks are gone and the queue is empty.
    pub(crate) fn start(to: Box<dyn Write + Send>) -> std::io::Result<(Self, std::thread::JoinHandle<()>)> {
        let (queue, full) = sync_channel(QUEUE);
        let sink = Self { queue, dropped: Arc::default() };
        let dropped = Arc::clone(&sink.dropped);
        let thread = std::thread::Builder::new().name("access-log".into()).spawn(move || write_all(to, &full, &dropped))?;
        Ok((sink, thread))
    }

    /// Lines that were dropped because the writer did not keep up.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Tells the writer that no more lines come.
    pub(crate) fn close(&self) {
        // Fails only when the writer has ended already.
        let _ = self.queue.send(Vec::new());
    }

    fn put(&self, lines: Vec<u8>) {
        let count = |lines: &[u8]| lines.iter().filter(|b| **b == b'\n').count() as u64;
        if let Err(error) = self.queue.try_send(lines) {
            let (std::sync::mpsc::TrySendError::Full(lines) | std::sync::mpsc::TrySendError::Disconnected(lines)) = error;
            self.dropped.fetch_add(count(&lines), Ordering::Relaxed);
        }
    }
}

fn write_all(mut to: Box<dyn Write + Send>, full: &Receiver<Vec<u8>>, dropped: &AtomicU64) {
    let mut failing = false;
    // An empty buffer is the last one.
    while let Some(lines) = full.recv().ok().filter(|lines| !lines.is_empty()) {
        let result = to.write_all(&lines).and_then(|()| to.flush());
        if let Err(error) = &result {
            dropped.fetch_add(lines.iter().filter(|b| **b == b'\n').count() as u64, Ordering::Relaxed);
            if !failing {
                tracing::error!(%error, "could not write the access log");
            }
        }
        failing = result.is_err();
    }
}

/// The buffer of one worker.
#[derive(Debug)]
pub(crate) struct LogBuffer {
    lines: Vec<u8>,
    sink: Option<LogSink>,
    clock: TimestampCache,
}

impl LogBuffer {
    pub(crate) fn new(sink: Option<LogSink>) -> Self {
        Self { lines: Vec::new(), sink, clock: TimestampCache::default() }
    }

    /// Adds a line for something that began `ago`.
    pub(crate) fn add(&mut self, ago: Duration, write: impl FnOnce(&str, &mut Vec<u8>)) {
        if self.sink.is_none() {
            return;
        }
        let text = self.clock.text(SystemTime::now() - ago);
        write(text, &mut self.lines);
        if self.lines.len() >= FLUSH_AT {
            self.flush();
        }
    }

    /// Hands what has gathered to the writer.
    pub(crate) fn flush(&mut self) {
        if let (Some(sink), false) = (&self.sink, self.lines.is_empty()) {
            let next = Vec::with_capacity(self.lines.len().min(FLUSH_AT) + 1024);
            sink.put(std::mem::replace(&mut self.lines, next));
        }
    }
}

/// Instants as text; the calendar is asked once a second.
#[derive(Debug, Default)]
struct TimestampCache {
    second: Option<u64>,
    text: String,
}

impl TimestampCache {
    fn text(&mut self, at: SystemTime) -> &str {
        let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        if self.second != Some(since.as_secs()) {
            self.second = Some(since.as_secs());
            self.text = Time::from(at).format("%Y-%m-%dT%H:%M:%S.").to_string();
        }
        self.text.truncate(20);
        let millis = since.subsec_millis();
        for digit in [millis / 100, millis / 10 % 10, millis % 10] {
            self.text.push(char::from(b'0' + digit as u8));
        }
        self.text.push('Z');
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps() {
        let mut stamp = TimestampCache::default();
        let at = |ms| SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
        assert_eq!(stamp.text(at(1_700_000_000_007)), "2023-11-14T22:13:20.007Z");
        assert_eq!(stamp.text(at(1_700_000_000_999)), "2023-11-14T22:13:20.999Z");
        assert_eq!(stamp.text(at(1_700_000_001_000)), "2023-11-14T22:13:21.000Z");
    }

    /// Writes nothing until it is told to.
    struct Stuck(Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let _ = self.0.recv();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_writer_that_is_stuck_costs_lines_and_no_time() {
        let (go, stuck) = std::sync::mpsc::channel();
        let (sink, thread) = LogSink::start(Box::new(Stuck(stuck))).expect("a thread");
        let mut buffer = LogBuffer::new(Some(sink.clone()));
        for _ in 0..QUEUE + 10 {
            buffer.add(Duration::ZERO, |_, out| out.extend_from_slice(b"line\n"));
            buffer.flush();
        }
        assert!((9..=10).contains(&sink.dropped()), "{}", sink.dropped());
        drop((go, buffer, sink));
        thread.join().expect("the writer ends");
    }
}
