//! `Sanitizer`: what builds and apps print, made safe for terminals, logs and pages.
//!
//! Keeps text, tabs and colours. Removes every other escape sequence and control character, replaces invalid UTF-8 and cuts
//! long lines. Pure: bytes in, lines out.

/// Longest line, in bytes of text.
pub const MAX_LINE: usize = 10_000;
/// Longest colour sequence that is kept.
const MAX_COLOUR: usize = 32;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Text,
    /// After ESC.
    Escape,
    /// Inside a control sequence: `ESC [`.
    Control,
    /// Inside a string that ends with BEL or ST: OSC, DCS, SOS, PM, APC.
    String,
    /// After an ESC inside of such a string.
    StringEscape,
}

/// Turns the bytes of one stream into clean lines.
#[derive(Debug)]
pub struct Sanitizer {
    state: State,
    line: Vec<u8>,
    sequence: Vec<u8>,
    coloured: bool,
    cut: bool,
    /// Longest line, in bytes.
    most: usize,
    /// A carriage return was seen: what comes next writes over the line.
    over: bool,
}

impl Default for Sanitizer {
    fn default() -> Self {
        Self { state: State::Text, line: Vec::new(), sequence: Vec::new(), coloured: false, cut: false, most: MAX_LINE, over: false }
    }
}

impl Sanitizer {
    /// One that cuts no line: for text whose size is known to be small.
    pub fn without_cut() -> Self {
        Self { most: usize::MAX, ..Self::default() }
    }

    /// Takes the next bytes and appends the lines that they complete.
    pub fn push(&mut self, bytes: &[u8], lines: &mut Vec<String>) {
        let mut rest = bytes;
        while let Some((&first, after)) = rest.split_first() {
            if self.state == State::Text {
                // Most of what builds print is plain: whole runs of it pass at once.
                let plain = rest.iter().position(|byte| matches!(byte, 0..0x20 | 0x7f)).unwrap_or(rest.len());
                if plain > 0 {
                    self.put(&rest[..plain]);
                    rest = &rest[plain..];
                    continue;
                }
            }
            self.step(first, lines);
            rest = after;
        }
    }

    /// Ends the stream: an unfinished line is given out.
    pub fn finish(&mut self, lines: &mut Vec<String>) {
        self.state = State::Text;
        if !self.line.is_empty() {
            self.end_line(lines);
        }
    }

    fn step(&mut self, byte: u8, lines: &mut Vec<String>) {
        // A line end ends every sequence: a broken one can not swallow the rest of the log.
        if byte == b'\n' {
            self.state = State::Text;
            self.over = false;
            self.end_line(lines);
            return;
        }
        match self.state {
            State::Text => match byte {
                0x1b => self.state = State::Escape,
                b'\r' => self.over = true,
                b'\t' => self.put(b"\t"),
                _ => {}
            },
            State::Escape => {
                self.state = match byte {
                    b'[' => {
                        self.sequence.clear();
                        State::Control
                    }
                    b']' | b'P' | b'X' | b'^' | b'_' => State::String,
                    // Two-byte sequences with an intermediate: one more byte follows.
                    0x20..0x30 => State::Escape,
                    _ => State::Text,
                }
            }
            State::Control => match byte {
                0x40..0x7f => {
                    let plain = self.sequence.len() <= MAX_COLOUR && self.sequence.iter().all(|b| b.is_ascii_digit() || b";:".contains(b));
                    if byte == b'm' && plain {
                        self.colour();
                    }
                    self.state = State::Text;
                }
                0x20..0x40 => {
                    if self.sequence.len() <= MAX_COLOUR {
                        self.sequence.push(byte);
                    }
                }
                0x1b => self.state = State::Escape,
                _ => self.state = State::Text,
            },
            State::String => match byte {
                0x07 => self.state = State::Text,
                0x1b => self.state = State::StringEscape,
                _ => {}
            },
            State::StringEscape => {
                self.state = match byte {
                    b'\\' => State::Text,
                    0x1b => State::StringEscape,
                    _ => State::String,
                }
            }
        }
    }

    fn put(&mut self, bytes: &[u8]) {
        if std::mem::take(&mut self.over) {
            self.line.clear();
            self.coloured = false;
            self.cut = false;
        }
        let room = self.most.saturating_sub(self.line.len());
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.cut |= bytes.len() > room;
    }

    fn colour(&mut self) {
        let reset = matches!(self.sequence.as_slice(), b"" | b"0");
        if self.line.len() + self.sequence.len() + 3 <= self.most {
            let sequence = std::mem::take(&mut self.sequence);
            self.line.extend_from_slice(b"\x1b[");
            self.line.extend_from_slice(&sequence);
            self.line.push(b'm');
            self.coloured = !reset;
        }
    }

    fn end_line(&mut self, lines: &mut Vec<String>) {
        let line = std::mem::take(&mut self.line);
        let mut text = match String::from_utf8(line) {
            Ok(text) if text.is_ascii() => text,
            Ok(text) => text.chars().filter(|c| !is_hostile(*c)).collect(),
            Err(error) => String::from_utf8_lossy(error.as_bytes()).chars().filter(|c| !is_hostile(*c)).collect(),
        };
        if self.coloured {
            text.push_str("\x1b[0m");
        }
        if self.cut {
            text.push_str(" … (line cut)");
        }
        lines.push(text);
        self.coloured = false;
        self.cut = false;
    }
}

/// Control characters beyond ASCII, and those that turn text around so that it reads as something else.
pub(crate) fn is_hostile(c: char) -> bool {
    matches!(c, '\u{80}'..='\u{9f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{feff}')
}

/// One line, cleaned.
pub fn line(text: &str) -> String {
    let mut lines = Vec::new();
    let mut sanitizer = Sanitizer::default();
    sanitizer.push(text.as_bytes(), &mut lines);
    sanitizer.finish(&mut lines);
    lines.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn clean(input: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        let mut sanitizer = Sanitizer::default();
        sanitizer.push(input, &mut lines);
        sanitizer.finish(&mut lines);
        lines
    }

    #[test]
    fn colours_stay_and_the_rest_goes() {
        assert_eq!(clean(b"\x1b[31mred\x1b[0m plain\n"), ["\x1b[31mred\x1b[0m plain"]);
        assert_eq!(clean(b"\x1b[1;31mopen\n"), ["\x1b[1;31mopen\x1b[0m"]);
        assert_eq!(clean(b"a\x1b[2Jb\x1b[10;10Hc\x1b[?25ld"), ["abcd"]);
        assert_eq!(clean(b"a\x1b]0;title\x07b\x1b]8;;http://x\x1b\\c\x1bPdcs\x1b\\d"), ["abcd"]);
        assert_eq!(clean(b"\x1b(Bx\x1bcy"), ["xy"]);
        assert_eq!(clean("\u{202e}abc\u{9b}31m".as_bytes()), ["abc31m"]);
    }

    #[test]
    fn bytes_become_text() {
        assert_eq!(clean(b"a\0b\x08c\xffd"), ["abc\u{fffd}d"]);
        assert_eq!(clean(b"10%\r50%\r100%\nnext\r\n"), ["100%", "next"]);
        assert_eq!(clean(b"\xe2\x9c\x93 ok"), ["✓ ok"]);
        assert_eq!(clean(b"\x1b]never ends\nnext"), ["", "next"]);
    }

    #[test]
    fn lines_and_totals_are_cut() {
        let lines = clean(&vec![b'x'; 50_000]);
        assert_eq!(lines.len(), 1);
        assert!(lines[0].len() < MAX_LINE + 40 && lines[0].ends_with("(line cut)"));
    }

    #[test]
    fn one_line_stays_one_line() {
        assert_eq!(line("\x1b]0;owned\x07a\x08b\u{9b}2J \x1b[32mok"), "ab2J \x1b[32mok\x1b[0m");
        assert_eq!(line(""), "");
        assert_eq!(line("a\nb"), "a b");
    }

    proptest! {
        #[test]
        fn nothing_hostile_comes_through(input in proptest::collection::vec(any::<u8>(), 0..400), split in 0usize..400) {
            let whole = clean(&input);
            for line in &whole {
                let without = line.split("\x1b[").enumerate().map(|(i, part)| if i == 0 { part } else { part.split_once('m').map_or("\x1b", |(_, rest)| rest) }).collect::<String>();
                prop_assert!(!without.chars().any(|c| (c.is_control() && c != '\t') || is_hostile(c)), "{line:?}");
            }
            let mut lines = Vec::new();
            let mut sanitizer = Sanitizer::default();
            let (a, b) = input.split_at(split.min(input.len()));
            sanitizer.push(a, &mut lines);
            sanitizer.push(b, &mut lines);
            sanitizer.finish(&mut lines);
            prop_assert_eq!(whole, lines);
        }
    }
}
