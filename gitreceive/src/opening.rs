//! The first lines of a push, as the client sends them: read along for one word, `shallow`.
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
}

impl Opening {
    /// Reads on; whether the client just said that its clone is shallow.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> bool {
        if self.done {
            return false;
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
            if self.kept[4..length].starts_with(b"shallow ") {
                self.finish();
                return true;
            }
            self.kept.drain(..length);
        }
        if self.done {
            self.finish();
        }
        false
    }

    fn finish(&mut self) {
        self.done = true;
        self.kept = Vec::new();
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
            let first = if shallow { packet("shallow 1234") } else { packet("old new refs/heads/shallow ") };
            let text = format!("{first}{}0000{behind}{}", packet("old new refs/heads/x"), packet("shallow 5"));
            let mut opening = Opening::default();
            let found = text.as_bytes().chunks(cut).filter(|chunk| opening.read(chunk)).count() == 1;
            prop_assert_eq!(found, shallow);
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
