//! What a hook and the server say to each other: one line of JSON there, frames of one line each back.
//!
//! `L` and a text is a line for the pusher, `X` and a number the exit status, after which nothing follows.

use serde::{Deserialize, Serialize};

use super::HookKind;

/// Longest greeting that the server reads.
pub(crate) const MAX_HELLO: u64 = 8 * 1024 * 1024;

/// What a hook says first, and all it says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hello {
    /// The secret of the push.
    pub token: String,
    /// Which hook.
    pub kind: HookKind,
    /// `<old> <new> <ref>`, as git gave them.
    pub updates: Vec<String>,
    /// Push options.
    pub options: Vec<String>,
    /// Where the new objects wait.
    pub quarantine: Option<QuarantinePaths>,
}

/// The quarantine as git names it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct QuarantinePaths {
    pub objects: String,
    pub alternates: String,
}

/// One frame from the server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    Line(&'a [u8]),
    Exit(u8),
}

impl<'a> Frame<'a> {
    pub(crate) fn parse(line: &'a [u8]) -> Option<Self> {
        match line.split_first()? {
            (b'L', text) => Some(Frame::Line(text)),
            (b'X', number) => std::str::from_utf8(number).ok()?.parse().ok().map(Frame::Exit),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_read_back() {
        assert_eq!(Frame::parse(b"L-----> Building"), Some(Frame::Line(b"-----> Building")));
        assert_eq!(Frame::parse(b"L"), Some(Frame::Line(b"")));
        assert_eq!(Frame::parse(b"X0"), Some(Frame::Exit(0)));
        assert_eq!(Frame::parse(b"X256"), None);
        assert_eq!(Frame::parse(b""), None);
        assert_eq!(Frame::parse(b"hello"), None);
    }
}
