//! `Printable`: text that a terminal may be given. Whatever somebody could name (a file, a branch, a commit) may carry sequences that
//! write the clipboard or turn text around; a value of this type carries colours and nothing else.

use std::fmt;

use crate::clean::Sanitizer;

/// Cleaned text. There is no other way to make one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Printable(String);

impl Printable {
    /// Cleans text of any number of lines; none is cut.
    pub fn text(text: &str) -> Self {
        let is_plain = |byte: u8| matches!(byte, b' '..=b'~' | b'\n' | b'\t');
        if text.bytes().all(is_plain) {
            return Self(text.to_owned());
        }
        let mut lines = Vec::new();
        let mut sanitizer = Sanitizer::without_cut();
        sanitizer.push(text.as_bytes(), &mut lines);
        sanitizer.finish(&mut lines);
        let mut clean = lines.join("\n");
        if text.ends_with('\n') {
            clean.push('\n');
        }
        Self(clean)
    }

    /// A JSON document: what a terminal would obey is written as an escape, so that nothing of it is lost.
    pub fn json(document: &str) -> Self {
        let mut clean = String::with_capacity(document.len());
        for c in document.chars() {
            match c {
                '\n' | '\t' => clean.push(c),
                // Outside of strings JSON has no such characters, and inside of one it may be written so.
                c if c.is_control() || crate::clean::is_hostile(c) => clean.push_str(&format!("\\u{:04x}", u32::from(c))),
                c => clean.push(c),
            }
        }
        Self(clean)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Printable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIPBOARD: &str = "\x1b]52;c;ZXZpbA==\x07";

    #[test]
    fn sequences_go_and_lines_and_colours_stay() {
        let text = format!("one{CLIPBOARD}\n\ttwo \x1b[31mred\x1b[0m\nthree\u{9b}2J\u{202e}\n");
        assert_eq!(Printable::text(&text).as_str(), "one\n\ttwo \x1b[31mred\x1b[0m\nthree2J\n");
        let long = "é".repeat(20_000);
        assert_eq!(Printable::text(&long).as_str(), long, "nothing is cut");
    }

    #[test]
    fn json_loses_nothing() {
        let value = serde_json::json!({ "name": format!("a{CLIPBOARD}\u{9b}b\u{7f}\u{202e}c") });
        let clean = Printable::json(&serde_json::to_string_pretty(&value).expect("JSON"));
        assert!(!clean.as_str().chars().any(|c| (c.is_control() && c != '\n') || crate::clean::is_hostile(c)), "{clean}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(clean.as_str()).expect("JSON"), value);
    }
}
