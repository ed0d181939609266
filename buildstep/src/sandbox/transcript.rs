//! `Transcript`: the output of a build, cleaned, up to a total. The build itself is never stopped for what it prints. Pure.

pub use model::clean::Sanitizer;

/// The output of a build, both of its streams: clean lines up to a total, then only a count and the last words.
#[derive(Debug)]
pub struct Transcript {
    streams: [Sanitizer; 2],
    left: u64,
    /// Bytes that were not passed on.
    pub hidden: u64,
    /// The end of what was not passed on.
    tail: Vec<u8>,
}

/// How much of the end is kept.
const TAIL: usize = 16 * 1024;

impl Transcript {
    /// A transcript that ends after `total` bytes.
    pub fn new(total: u64) -> Self {
        Self { streams: Default::default(), left: total, hidden: 0, tail: Vec::new() }
    }

    /// Takes the next bytes of a stream; appends the lines to pass on.
    pub fn push(&mut self, error: bool, bytes: &[u8], lines: &mut Vec<String>) {
        if self.hidden > 0 {
            self.hide(bytes);
            return;
        }
        let before = lines.len();
        self.streams[usize::from(error)].push(bytes, lines);
        self.charge(before, lines);
    }

    /// Ends the output; appends the lines to pass on.
    pub fn finish(&mut self, lines: &mut Vec<String>) {
        if self.hidden > 0 {
            lines.push(model::push_output::detail(format!("{} of output were not shown", model::push_output::size(self.hidden))));
            return;
        }
        let before = lines.len();
        for stream in &mut self.streams {
            stream.finish(lines);
        }
        self.charge(before, lines);
    }

    /// The last words among what was not passed on.
    pub fn last_words(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut sanitizer = Sanitizer::default();
        sanitizer.push(&self.tail, &mut lines);
        sanitizer.finish(&mut lines);
        lines
    }

    fn charge(&mut self, before: usize, lines: &mut Vec<String>) {
        for at in before..lines.len() {
            let cost = lines[at].len() as u64 + 1;
            if cost > self.left {
                for line in lines.split_off(at) {
                    self.hide(line.as_bytes());
                    self.hide(b"\n");
                }
                lines.push(model::push_output::warn("The output is too long: the rest is not shown. The build goes on."));
                return;
            }
            self.left -= cost;
        }
    }

    fn hide(&mut self, bytes: &[u8]) {
        self.hidden += bytes.len() as u64;
        self.tail.extend_from_slice(&bytes[bytes.len().saturating_sub(TAIL)..]);
        if self.tail.len() > 8 * TAIL {
            self.tail.drain(..self.tail.len() - TAIL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_ends_at_its_total_and_its_last_words_stay() {
        let mut transcript = Transcript::new(8);
        let mut lines = Vec::new();
        transcript.push(false, b"abc\nabcdef\n", &mut lines);
        transcript.push(true, b"\x1b[31mthe reason\x1b[0m\n", &mut lines);
        assert_eq!(lines.len(), 2);
        assert!(lines[0] == "abc" && lines[1].contains("not shown"), "{lines:?}");
        transcript.finish(&mut lines);
        assert!(lines[2].contains("27 B of output"), "{lines:?}");
        assert_eq!(transcript.last_words(), ["abcdef", "\x1b[31mthe reason\x1b[0m"]);
    }
}
