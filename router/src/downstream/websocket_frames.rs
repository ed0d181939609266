//! `Frames`: follows the frames of a WebSocket without changing a byte, so that a tunnel can be ended between two of them.
//!
//! Owns nothing but a position. Must never refuse or buffer: what the two ends say to each other is theirs. Pure.

/// How far into a frame one direction of a tunnel is.
#[derive(Debug, Default, Clone)]
pub struct Frames {
    head: [u8; 10],
    have: usize,
    payload: u64,
}

/// Close, 1001 going away, as a server says it.
pub const GOING_AWAY: &[u8] = &[0x88, 0x02, 0x03, 0xe9];

/// The same as a client says it, masked with zeroes.
pub const GOING_AWAY_MASKED: &[u8] = &[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9];

impl Frames {
    /// Goes on over `bytes`.
    pub fn pass(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = &rest[self.step(rest)..];
        }
    }

    /// Goes on to the end of the present frame; none when it ends later. 0: a frame has just ended, or none has begun.
    pub fn finish_frame(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while !self.is_between() {
            if at == bytes.len() {
                return None;
            }
            at += self.step(&bytes[at..]);
        }
        Some(at)
    }

    /// Whether a frame could begin here.
    pub fn is_between(&self) -> bool {
        self.have == 0 && self.payload == 0
    }

    fn step(&mut self, bytes: &[u8]) -> usize {
        if self.payload > 0 {
            let some = self.payload.min(bytes.len() as u64);
            self.payload -= some;
            return some as usize;
        }
        self.head[self.have] = bytes[0];
        self.have += 1;
        if self.have >= 2 {
            let (len, extra) = match self.head[1] & 0x7f {
                126 => (None, 2),
                127 => (None, 8),
                len => (Some(u64::from(len)), 0),
            };
            if self.have == 2 + extra {
                let len = len.unwrap_or_else(|| self.head[2..self.have].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)));
                let mask = if self.head[1] & 0x80 == 0 { 0 } else { 4 };
                (self.payload, self.have) = (len.saturating_add(mask), 0);
            }
        }
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(payload: usize, masked: bool) -> Vec<u8> {
        let mask = if masked { 0x80 } else { 0 };
        let mut bytes = vec![0x82];
        match payload {
            0..126 => bytes.push(mask | payload as u8),
            126..65536 => {
                bytes.push(mask | 126);
                bytes.extend_from_slice(&(payload as u16).to_be_bytes());
            }
            _ => {
                bytes.push(mask | 127);
                bytes.extend_from_slice(&(payload as u64).to_be_bytes());
            }
        }
        bytes.extend(vec![0x55; payload + if masked { 4 } else { 0 }]);
        bytes
    }

    proptest! {
        #[test]
        fn boundaries_are_found_at_any_split(sizes in prop::collection::vec((prop_oneof![0usize..140, Just(65535usize), Just(65536usize)], any::<bool>()), 1..5), cut in 1usize..5000) {
            let (mut wire, mut ends) = (Vec::new(), vec![0]);
            for (payload, masked) in sizes {
                wire.extend(frame(payload, masked));
                ends.push(wire.len());
            }
            let (mut frames, mut at) = (Frames::default(), 0);
            for piece in wire.chunks(cut) {
                let mut copy = frames.clone();
                let next = ends.iter().find(|end| **end >= at).copied().expect("the last end is the length");
                let expected = (next <= at + piece.len()).then(|| next - at);
                prop_assert_eq!(copy.finish_frame(piece), expected);
                frames.pass(piece);
                at += piece.len();
                prop_assert_eq!(frames.is_between(), ends.contains(&at));
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            Frames::default().pass(&bytes);
        }
    }
}
