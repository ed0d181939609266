//! Log lines for browsers: colours become classes, everything else that a terminal would obey is dropped. Pure.
//!
//! A line becomes runs of plain text with a class each. The server writes them escaped, the script in the page sets them as
//! text nodes: no markup of a log line can ever become markup of the page.

use serde::Serialize;

/// Longest shown line, in characters.
const MAX_LINE: usize = 4_000;

/// A run of text of one look. The class is made here, of fixed words only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Run(pub(crate) String, pub(crate) String);

/// A line for a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Line {
    /// What it is in the grammar of push output: `step`, `result`, `bad` or nothing.
    #[serde(rename = "k")]
    pub(crate) kind: &'static str,
    /// Its runs: class and text.
    #[serde(rename = "r")]
    pub(crate) runs: Vec<Run>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Look {
    colour: Option<u8>,
    bold: bool,
    dim: bool,
    italic: bool,
    underlined: bool,
}

impl Look {
    fn class(self) -> String {
        let mut words = Vec::new();
        if let Some(colour) = self.colour {
            words.push(format!("c{colour}"));
        }
        for (on, word) in [(self.bold, "b"), (self.dim, "d"), (self.italic, "i"), (self.underlined, "u")] {
            if on {
                words.push(word.to_owned());
            }
        }
        words.join(" ")
    }

    /// Obeys the numbers of one `ESC [ … m`.
    fn obey(&mut self, parameters: &str) {
        let mut numbers = parameters.split([';', ':']).map(|number| number.parse::<u32>().unwrap_or(0));
        while let Some(number) = numbers.next() {
            match number {
                0 => *self = Self::default(),
                1 => self.bold = true,
                2 => self.dim = true,
                3 => self.italic = true,
                4 => self.underlined = true,
                22 => (self.bold, self.dim) = (false, false),
                23 => self.italic = false,
                24 => self.underlined = false,
                30..=37 => self.colour = Some((number - 30) as u8),
                39 => self.colour = None,
                90..=97 => self.colour = Some((number - 90 + 8) as u8),
                // Colours of a larger palette: those of the first sixteen are known, the others are left out.
                38 | 48 | 58 => match numbers.next() {
                    Some(5) => {
                        let index = numbers.next().unwrap_or(0);
                        if number == 38 && index < 16 {
                            self.colour = Some(index as u8);
                        }
                    }
                    Some(2) => drop(numbers.nth(2)),
                    _ => {}
                },
                _ => {}
            }
        }
    }
}

/// Which step of the push grammar a line is.
fn kind(plain: &str) -> &'static str {
    if plain.starts_with("-----> ") {
        "step"
    } else if plain.starts_with("=====> ") {
        "result"
    } else if plain.starts_with(" !") {
        "bad"
    } else {
        ""
    }
}

/// Reads a line.
pub(crate) fn line(text: &str) -> Line {
    // A progress bar overwrites itself: what stood last is what a terminal would show.
    let text = text.trim_end_matches(['\r', '\n']);
    let text = text.rsplit('\r').find(|part| !part.is_empty()).unwrap_or("");
    let mut runs: Vec<Run> = Vec::new();
    let mut look = Look::default();
    let mut run = String::new();
    let mut shown = 0;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter == '\u{1b}' || letter == '\u{9b}' {
            let before = look;
            let rest = letters.as_str();
            let rest = if letter == '\u{1b}' { sequence(rest, &mut look) } else { control_sequence(rest, &mut look) };
            letters = rest.chars();
            if look != before && !run.is_empty() {
                runs.push(Run(before.class(), std::mem::take(&mut run)));
            }
            continue;
        }
        // Other controls, and letters that turn the direction of what follows, show nothing.
        if (letter.is_control() && letter != '\t') || matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            continue;
        }
        shown += 1;
        if shown > MAX_LINE {
            run.push('…');
            break;
        }
        run.push(letter);
    }
    if !run.is_empty() {
        runs.push(Run(look.class(), run));
    }
    let plain: String = runs.iter().flat_map(|Run(_, text)| text.chars()).take(8).collect();
    Line { kind: kind(&plain), runs }
}

/// Skips what follows an ESC, obeying colours; gives the rest.
fn sequence<'a>(rest: &'a str, look: &mut Look) -> &'a str {
    match rest.chars().next() {
        Some('[') => control_sequence(&rest[1..], look),
        // A text for the terminal (its title, a link): up to its end, or to the end of the line.
        Some(']' | 'P' | 'X' | '^' | '_') => {
            let end = rest.find(['\u{7}', '\u{9c}']).map(|at| at + rest[at..].chars().next().map_or(1, char::len_utf8));
            let other = rest.find("\u{1b}\\").map(|at| at + 2);
            let end = [end, other].into_iter().flatten().min().unwrap_or(rest.len());
            &rest[end..]
        }
        Some(letter) => &rest[letter.len_utf8()..],
        None => rest,
    }
}

/// Skips a control sequence after its introducer, obeying it when it is a colour.
fn control_sequence<'a>(rest: &'a str, look: &mut Look) -> &'a str {
    let end = rest.find(|c: char| ('\u{40}'..='\u{7e}').contains(&c) || !('\u{20}'..='\u{3f}').contains(&c));
    let Some(end) = end else { return "" };
    if rest.as_bytes()[end] == b'm' {
        look.obey(&rest[..end]);
    }
    let last = rest[end..].chars().next();
    match last {
        Some(letter) if ('\u{40}'..='\u{7e}').contains(&letter) => &rest[end + 1..],
        // Broken off: the letter belongs to the text.
        _ => &rest[end..],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn runs(text: &str) -> Vec<(String, String)> {
        line(text).runs.into_iter().map(|Run(class, text)| (class, text)).collect()
    }

    fn run(class: &str, text: &str) -> (String, String) {
        (class.into(), text.into())
    }

    #[test]
    fn colours_become_classes_and_nothing_else_survives() {
        assert_eq!(runs("\u{1b}[1;32mok\u{1b}[0m done"), [run("c2 b", "ok"), run("", " done")]);
        assert_eq!(runs("\u{1b}[38;5;9mred\u{1b}[39m \u{1b}[38;2;1;2;3mx"), [run("c9", "red"), run("", " x")]);
        assert_eq!(runs("\u{1b}]8;;javascript:alert(1)\u{7}link\u{1b}]8;;\u{1b}\\!"), [run("", "link!")]);
        assert_eq!(runs("\u{1b}[2J\u{1b}[10;10Hclear\u{8}\u{0}"), [run("", "clear")]);
        assert_eq!(runs("10%\r50%\r100%\r\n"), [run("", "100%")]);
        assert_eq!(runs("a\u{202e}b"), [run("", "ab")]);
        assert_eq!(runs("\u{1b}"), []);
        assert_eq!(runs("\u{1b}[31"), []);
    }

    #[test]
    fn the_push_grammar_is_known() {
        assert_eq!(line("-----> Build").kind, "step");
        assert_eq!(line("\u{1b}[1m=====> live").kind, "result");
        assert_eq!(line(" !     broken [SW-B103]").kind, "bad");
        assert_eq!(line("       detail").kind, "");
    }

    proptest! {
        #[test]
        fn any_line_gives_text_without_controls(text in ".{0,200}", escape in "(\u{1b}[\\[\\]a-zP0-9;]{0,8}|\u{9b}|é|\u{7}){0,12}") {
            for Run(class, text) in line(&format!("{text}{escape}{text}")).runs {
                prop_assert!(text.chars().all(|c| !c.is_control() || c == '\t'));
                prop_assert!(class.bytes().all(|b| b.is_ascii_alphanumeric() || b == b' '));
            }
        }
    }
}
