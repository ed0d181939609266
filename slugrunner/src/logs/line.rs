//! One line of a log, its text form, and which lines a reader wants.

use std::fmt;

use chrono::SecondsFormat;
use model::{ProcessName, Time};

use super::LINE_MAX;

/// Who said a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The platform, about the app.
    Platform,
    /// An instance, by its process type and number.
    Process {
        /// Its type.
        process: ProcessName,
        /// Its number.
        ordinal: u32,
    },
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Platform => f.write_str("slipway"),
            Self::Process { process, ordinal } => write!(f, "{process}.{ordinal}"),
        }
    }
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When it was said.
    pub at: Time,
    /// Who said it.
    pub source: Source,
    /// Without its newline.
    pub text: String,
}

impl Line {
    /// Makes a line of bytes that a program wrote: valid UTF-8, one line, at most `LINE_MAX` bytes.
    pub(crate) fn of_bytes(at: Time, source: Source, bytes: &[u8], was_cut: bool) -> Self {
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
            Source::Platform
        } else {
            let (process, ordinal) = source.split_once('.')?;
            Source::Process { process: process.parse().ok()?, ordinal: ordinal.parse().ok()? }
        };
        Some(Self { at: at.parse().ok()?, source, text: text.into() })
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.at.to_rfc3339_opts(SecondsFormat::Millis, true), self.source, self.text)
    }
}

/// Which lines are wanted; the default is all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only of this process type; the platform's words are left out then.
    pub process: Option<ProcessName>,
    /// Only of this number.
    pub ordinal: Option<u32>,
    /// Only the platform's words.
    pub platform_only: bool,
    /// Only lines that hold this text.
    pub text: Option<String>,
    /// Only lines from this time on.
    pub since: Option<Time>,
}

impl Filter {
    /// Whether a line is wanted.
    pub fn takes(&self, line: &Line) -> bool {
        let source = match &line.source {
            Source::Platform => self.process.is_none() && self.ordinal.is_none(),
            Source::Process { process, ordinal } => {
                !self.platform_only
                    && self.process.as_ref().is_none_or(|wanted| wanted == process)
                    && self.ordinal.is_none_or(|wanted| wanted == *ordinal)
            }
        };
        source && self.text.as_ref().is_none_or(|text| line.text.contains(text.as_str())) && self.since.is_none_or(|since| line.at >= since)
    }
}
