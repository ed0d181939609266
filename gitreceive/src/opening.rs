//! The first lines of a push, as the client sends them: read along for its `shallow` lines.
//!
//! git itself refuses a ref that lacks history, but only after the pre-receive hook, that is after a whole build. A client with
//! a shallow clone says so first of all; the hook then looks before anything is built. Pure. It never changes what git reads.

/// Longest opening that is read along; a client that says more first is not shallow, or odd.
const MOST: usize = 64 * 1024;

/// What was read so far.
#[derive(Debug, Default)]
pub(crate) struct Opening {
    kept: Vec<u8>,
    done: bool,
    /// The commits at which the client's history ends.
    shallow: Vec<String>,
}

impl Opening {
    /// Reads on; once the opening is over, gives the commits at which the client's history ends: none for a whole clone.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Option<Vec<String>> {
        if self.done {
            return None;
        }
        self.kept.extend_from_slice(&bytes[..bytes.len().min(MOST)]);
        loop {
            let Some(length) = self.kept.get(..4).and_then(packet_length) else {
                // Four letters that are no length: not the opening of a push.
                self.done = self.kept.len() >= 4;
                break;
            };
            if length == 0 || self.kept.len() > MOST {
                self.done = true;
                break;
            }
            if self.kept.len() < length {
                break;
            }
            let Some(commit) = self.kept[4..length].strip_prefix(b"shallow ") else {
                // They come first of all.
                self.done = true;
                break;
            };
            self.shallow.push(String::from_utf8_lossy(commit).trim().to_owned());
            self.kept.drain(..length);
        }
        self.done.then(|| {
            self.kept = Vec::new();
            std::mem::take(&mut self.shallow)
        })
    }
}

/// The length of a packet with its own four digits; 0 for the flush packet, `None` for what is no length.
fn packet_length(digits: &[u8]) -> Option<usize> {
    match usize::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()? {
        0 => Some(0),
        length @ 4.. => Some(length),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet(text: &str) -> String {
        format!("{:04x}{text}", text.len() + 4)
    }

    proptest! {
        #[test]
        fn the_word_is_found_in_any_slicing(shallow in any::<bool>(), cut in 1_usize..90, behind in "[a-z]{0,99}") {
            let first = if shallow { packet("shallow 12\n") + &packet("shallow 34") } else { packet("old new refs/heads/shallow ") };
            let text = format!("{first}{}0000{behind}{}", packet("old new refs/heads/x"), packet("shallow 5"));
            let mut opening = Opening::default();
            let found: Vec<Vec<String>> = text.as_bytes().chunks(cut).filter_map(|chunk| opening.read(chunk)).collect();
            let wanted: &[&str] = if shallow { &["12", "34"] } else { &[] };
            prop_assert_eq!(found, [wanted]);
        }

        #[test]
        fn nothing_makes_it_panic_or_grow(chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..50)) {
            let mut opening = Opening::default();
            for chunk in chunks {
                opening.read(&chunk);
                prop_assert!(opening.kept.len() <= 2 * MOST);
            }
        }
    }
}
