//! The files of one app's log: `log`, and older ones as `log.1`, `log.2` …

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::{LogFilter, LogLimits, LogLine};

/// Bytes that are read at once; longer than any line.
const BLOCK: usize = 64 * 1024;

/// The only writer of an app's log files.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    limits: LogLimits,
    open: Option<(File, u64)>,
}

impl LogFile {
    pub(super) fn new(dir: PathBuf, limits: LogLimits) -> Self {
        Self { path: dir.join("log"), limits, open: None }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn aside(&self, n: u32) -> PathBuf {
        self.path.with_extension(n.to_string())
    }

    /// Appends lines with one write, so that a crash cuts at most the last one.
    pub(super) fn append(&mut self, lines: &[LogLine]) -> io::Result<()> {
        let mut text = String::new();
        for line in lines {
            text.push_str(&line.to_string());
            text.push('\n');
        }
        if self.open.as_ref().is_some_and(|(_, size)| *size > 0 && size + text.len() as u64 > self.limits.file_bytes) {
            self.rotate()?;
        }
        if self.open.is_none() {
            if let Some(dir) = self.path.parent() {
                std::fs::create_dir_all(dir)?;
            }
            let file = OpenOptions::new().create(true).append(true).open(&self.path)?;
            let size = file.metadata()?.len();
            self.open = Some((file, size));
        }
        if let Some((file, size)) = &mut self.open {
            let written = file.write_all(text.as_bytes());
            *size += text.len() as u64;
            if written.is_err() {
                // Opened anew with the next line: the size on disk is not known any more.
                self.open = None;
            }
            written?;
        }
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.open = None;
        for n in (1..self.limits.files).rev() {
            match std::fs::rename(self.aside(n), self.aside(n + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        std::fs::rename(&self.path, self.aside(1))
    }

    /// The last lines that a filter takes, oldest first. Newer files first, older ones only as needed.
    pub(super) fn tail(&self, count: usize, filter: &LogFilter) -> Vec<LogLine> {
        let mut found = Vec::new();
        for n in 0..=self.limits.files {
            let path = if n == 0 { self.path.clone() } else { self.aside(n) };
            let Ok(file) = File::open(&path) else { break };
            let read = lines_backwards(&file, |line| {
                if found.len() < count
                    && let Some(line) = std::str::from_utf8(line).ok().and_then(LogLine::parse).filter(|line| filter.takes(line))
                {
                    found.push(line);
                }
                found.len() < count
            });
            if let Err(error) = read {
                tracing::warn!(%error, path = %path.display(), "a log could not be read to its beginning");
            }
        }
        found.reverse();
        found
    }
}

/// Reads the lines of a file from its end, as long as `wanted` says so. One block is held, and the line that it cuts: a file is as
/// large as its limit, and what a reader once allocated stays with the process.
fn lines_backwards(file: &File, mut wanted: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
    let mut at = file.metadata()?.len();
    let mut block = vec![0; BLOCK];
    // The end of a line whose beginning is in an earlier block.
    let mut rest: Vec<u8> = Vec::new();
    while at > 0 {
        let length = BLOCK.min(usize::try_from(at).unwrap_or(BLOCK));
        at -= length as u64;
        file.read_exact_at(&mut block[..length], at)?;
        let mut pieces = block[..length].rsplit(|byte| *byte == b'\n').peekable();
        while let Some(piece) = pieces.next() {
            rest.splice(..0, piece.iter().copied());
            let is_whole = pieces.peek().is_some() || at == 0;
            if is_whole {
                if !rest.is_empty() && !wanted(&rest) {
                    return Ok(());
                }
                rest.clear();
            } else if rest.len() > BLOCK {
                // Longer than any line that is written here.
                rest.clear();
            }
        }
    }
    Ok(())
}
