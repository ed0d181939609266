//! The `shallow` lines at the start of a push, parsed from what the client sends to git. Pure.
//!
//! git itself refuses a ref that lacks history, but only after the pre-receive hook, that is after a whole build. A client with
//! a shallow clone sends `shallow` lines first, so the hook can check before anything is built. What git reads is never changed.

/// Most bytes that are searched for `shallow` lines, which come first.
const MOST: usize = 64 * 1024;

/// A parser over the bytes as they arrive.
#[derive(Debug, Default)]
pub(crate) struct ShallowNegotiation {
    /// Bytes of a packet that is not complete yet.
    pending: Vec<u8>,
    done: bool,
    /// The commits at which the client's history ends.
    shallow: Vec<String>,
}

impl ShallowNegotiation {
    /// Takes the next bytes. At the end of the `shallow` lines, returns their commits, once: an empty list for a whole clone.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Option<Vec<String>> {
        if self.done {
            return None;
        }
        self.pending.extend_from_slice(&bytes[..bytes.len().min(MOST)]);
        loop {
            let Some(length) = self.pending.get(..4).and_then(packet_length) else {
                // Not a packet of the git protocol.
                self.done = self.pending.len() >= 4;
                break;
            };
            if length == 0 || self.pending.len() > MOST {
                self.done = true;
                break;
            }
            if self.pending.len() < length {
                break;
            }
            let Some(commit) = self.pending[4..length].strip_prefix(b"shallow ") else {
                // `shallow` lines come before all others.
                self.done = true;
                break;
            };
            self.shallow.push(String::from_utf8_lossy(commit).trim().to_owned());
            self.pending.drain(..length);
        }
        self.done.then(|| {
            self.pending = Vec::new();
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
        fn shallow_lines_are_found_in_any_chunks(shallow in any::<bool>(), cut in 1_usize..90, behind in "[a-z]{0,99}") {
            let first = if shallow { packet("shallow 12\n") + &packet("shallow 34") } else { packet("old new refs/heads/shallow ") };
            let text = format!("{first}{}0000{behind}{}", packet("old new refs/heads/x"), packet("shallow 5"));
            let mut negotiation = ShallowNegotiation::default();
            let found: Vec<Vec<String>> = text.as_bytes().chunks(cut).filter_map(|chunk| negotiation.read(chunk)).collect();
            let wanted: &[&str] = if shallow { &["12", "34"] } else { &[] };
            prop_assert_eq!(found, [wanted]);
        }

        #[test]
        fn nothing_makes_it_panic_or_grow(chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..50)) {
            let mut negotiation = ShallowNegotiation::default();
            for chunk in chunks {
                negotiation.read(&chunk);
                prop_assert!(negotiation.pending.len() <= 2 * MOST);
            }
        }
    }
}
