//! The protocol between a hook and the server: the hook sends one line of JSON, the server answers with frames of one line each.
//!
//! `L` and a text is a line for the pusher; `X` and a number is the exit status, after which nothing follows.

use std::ffi::OsStr;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The variable with the path of the server's socket for hooks.
pub(crate) const SOCKET: &str = "SLIPWAY_HOOK_SOCKET";
/// The variable with the secret that ties a hook to a push of that server.
pub(crate) const TOKEN: &str = "SLIPWAY_HOOK_TOKEN";

/// Longest request that the server reads, in bytes.
pub(crate) const MAX_REQUEST: u64 = 8 * 1024 * 1024;

/// The hooks that this binary is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HookKind {
    /// Before any ref moves; may refuse.
    PreReceive,
    /// After the refs moved.
    PostReceive,
}

impl HookKind {
    /// Every hook that is installed into a repository.
    pub const ALL: [HookKind; 2] = [HookKind::PreReceive, HookKind::PostReceive];

    /// The file name that git looks for.
    pub fn file_name(self) -> &'static str {
        match self {
            HookKind::PreReceive => "pre-receive",
            HookKind::PostReceive => "post-receive",
        }
    }

    /// Which hook a program was started as, from its first argument.
    pub fn from_program(name: &OsStr) -> Option<Self> {
        let name = Path::new(name).file_name()?;
        Self::ALL.into_iter().find(|kind| name == kind.file_name())
    }
}

/// The one message of a hook, sent first.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HookRequest {
    /// The secret of the push, from its environment.
    pub token: String,
    pub kind: HookKind,
    /// `<old> <new> <ref>`, as git gave them.
    pub updates: Vec<String>,
    /// The values of `git push -o`, in order.
    pub options: Vec<String>,
    /// The directories of the new objects; none in the post-receive hook.
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
        assert_eq!(Frame::parse(b"request"), None);
    }
}
