//! The output of a hook: lines for the pusher, written without ever waiting for them.
//!
//! Owns the frames that travel from the server to a hook. A line can not forge a frame or command the terminal beyond colours.

use std::sync::Arc;

use bytes::Bytes;
use model::{UserError, push_output};

use crate::spool::SpoolWriter;

/// Longest line, in bytes; the rest of it is cut.
const MAX_LINE: usize = 8 * 1024;

/// Writes lines to one pusher; clones write to the same one.
#[derive(Clone)]
pub struct HookOutput {
    frames: Arc<SpoolWriter>,
}

impl HookOutput {
    pub(crate) fn new(frames: SpoolWriter) -> Self {
        Self { frames: Arc::new(frames) }
    }

    /// Writes one or more lines. It returns at once; when nobody reads any more, nothing happens.
    pub fn say(&self, text: impl AsRef<str>) {
        for line in text.as_ref().split('\n') {
            self.frame(b'L', clean(line).as_bytes());
        }
    }

    /// Writes an error as one block of lines.
    pub fn error(&self, user_error: &UserError) {
        for line in push_output::user_error(user_error) {
            self.say(line);
        }
    }

    /// Ends the hook with a status.
    pub(crate) fn exit(&self, status: u8) {
        self.frame(b'X', status.to_string().as_bytes());
        self.frames.end();
    }

    fn frame(&self, kind: u8, body: &[u8]) {
        let mut frame = Vec::with_capacity(body.len() + 2);
        frame.push(kind);
        frame.extend_from_slice(body);
        frame.push(b'\n');
        // A full spool or disk costs the pusher some lines; the build record has them all.
        if let Err(error) = self.frames.push(Bytes::from(frame)) {
            tracing::debug!(%error, "a line for a pusher is dropped");
        }
    }
}

/// A line without anything that a terminal obeys, colours excepted.
fn clean(line: &str) -> String {
    let line = line.strip_suffix('\r').unwrap_or(line);
    let mut out = String::with_capacity(line.len().min(MAX_LINE));
    let mut letters = line.char_indices();
    while let Some((at, letter)) = letters.next() {
        if out.len() >= MAX_LINE {
            out.push('…');
            break;
        }
        match letter {
            '\x1b' => {
                if let Some(colour) = colour(&line[at..]) {
                    out.push_str(colour);
                    // The escape itself is consumed; the rest of the sequence is ASCII.
                    for _ in 1..colour.len() {
                        letters.next();
                    }
                } else {
                    out.push('\u{fffd}');
                }
            }
            '\t' => out.push('\t'),
            // What follows a bare carriage return would overwrite the line, and the prefix that git put before it.
            '\r' => out.push(' '),
            letter if letter.is_control() => out.push('\u{fffd}'),
            letter => out.push(letter),
        }
    }
    out
}

/// A colour sequence (`ESC [ digits and semicolons m`) at the start of a text.
fn colour(text: &str) -> Option<&str> {
    let body = text.strip_prefix("\x1b[")?;
    let end = body.find(|c: char| !(c.is_ascii_digit() || c == ';'))?;
    (end <= 20 && body[end..].starts_with('m')).then(|| &text[..end + 3])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn colours_stay_and_everything_else_goes() {
        assert_eq!(clean("\x1b[1;32mok\x1b[0m"), "\x1b[1;32mok\x1b[0m");
        assert_eq!(clean("a\x1b[2Jb\x1b]0;t\x07"), "a\u{fffd}[2Jb\u{fffd}]0;t\u{fffd}");
        assert_eq!(clean("10%\r20%\r"), "10% 20%");
        assert!(clean(&"x".repeat(100_000)).len() < MAX_LINE + 8);
    }

    proptest! {
        #[test]
        fn no_line_breaks_out_of_its_frame(text in "(\\PC|[\\x00-\\x1f\\x7f-\\x9f]){0,80}") {
            let clean = clean(&text.replace('\n', ""));
            let forbidden = ['\n', '\r', '\x07', '\u{9b}'];
            prop_assert!(!clean.contains(forbidden));
            for (at, _) in clean.match_indices('\x1b') {
                prop_assert!(colour(&clean[at..]).is_some());
            }
        }
    }
}
