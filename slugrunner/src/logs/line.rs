//! One line of a log, its text form, and which lines a reader wants.

use std::fmt;

use chrono::SecondsFormat;
use model::{ProcessName, Time};

use super::LINE_MAX;

/// Where a line comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogSource {
    /// The platform, about the app.
    Platform,
    /// An instance, by its process type and number.
    Process {
        /// The process type.
        process: ProcessName,
        /// The instance's number within its process type.
        ordinal: u32,
    },
}

impl fmt::Display for LogSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Platform => f.write_str("slipway"),
            Self::Process { process, ordinal } => write!(f, "{process}.{ordinal}"),
        }
    }
}

/// One line of an app's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// When it was written.
    pub at: Time,
    /// Where it comes from.
    pub source: LogSource,
    /// The text without its newline.
    pub text: String,
}

impl LogLine {
    /// Makes a line of bytes that a program wrote: valid UTF-8, one line, at most `LINE_MAX` bytes.
    pub(crate) fn of_bytes(at: Time, source: LogSource, bytes: &[u8], was_cut: bool) -> Self {
        let mut text = String::from_utf8_lossy(bytes).replace(['\n', '\r', '\0'], "");
        if text.len() > LINE_MAX {
            text.truncate(text.floor_char_boundary(LINE_MAX));
        }
        if was_cut {
            text.push_str(" … [cut]");
        }
        Self { at, source, text }
    }

    /// Reads a line of a file; none when it is not one.
    pub fn parse(line: &str) -> Option<Self> {
        let (at, rest) = line.split_once(' ')?;
        let (source, text) = rest.split_once(' ').unwrap_or((rest, ""));
        let source = if source == "slipway" {
            LogSource::Platform
        } else {
            let (process, ordinal) = source.split_once('.')?;
            LogSource::Process { process: process.parse().ok()?, ordinal: ordinal.parse().ok()? }
        };
        Some(Self { at: at.parse().ok()?, source, text: text.into() })
    }
}

impl fmt::Display for LogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.at.to_rfc3339_opts(SecondsFormat::Millis, true), self.source, self.text)
    }
}

/// Which lines are wanted; the default is all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogFilter {
    /// Only of this process type; without the platform's lines.
    pub process: Option<ProcessName>,
    /// Only of this number.
    pub ordinal: Option<u32>,
    /// Only the platform's lines.
    pub platform_only: bool,
    /// Only lines that hold this text.
    pub text: Option<String>,
    /// Only lines from this time on.
    pub since: Option<Time>,
}

impl LogFilter {
    /// Whether a line is wanted.
    pub fn takes(&self, line: &LogLine) -> bool {
        let source = match &line.source {
            LogSource::Platform => self.process.is_none() && self.ordinal.is_none(),
            LogSource::Process { process, ordinal } => {
                !self.platform_only
                    && self.process.as_ref().is_none_or(|wanted| wanted == process)
                    && self.ordinal.is_none_or(|wanted| wanted == *ordinal)
            }
        };
        source && self.text.as_ref().is_none_or(|text| line.text.contains(text.as_str())) && self.since.is_none_or(|since| line.at >= since)
    }
}
