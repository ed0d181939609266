//! Chunked bodies, strictly: used to check what clients send and to decode what apps send.
//!
//! ```text
//!  size ──► (extension) ──► LF ──► data ──► CR LF ──► size …
//!                            └ size 0 ──► trailer lines ──► empty line: done
//! ```
//! Owns where data lies in the bytes and where the body ends. Must never accept a bare line feed, a size of more than 16
//! digits or one that overflows. Pure: bytes come in, positions go out.

/// The chunked coding was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed chunk")]
pub struct BadChunk;

/// The longest extension of one chunk, in bytes. Discard uses them; without a limit they are a way to send without end.
const MAX_EXTENSION: u32 = 256;
/// The longest trailer, in bytes.
const MAX_TRAILER: usize = 8 * 1024;
/// The most trailer fields.
const MAX_TRAILER_FIELDS: usize = 32;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Size { digits: u8 },
    Extension { len: u32 },
    SizeEnd,
    Data,
    DataCr,
    DataLf,
    Trailer { line: usize },
    Done,
}

/// A reader of one chunked body.
#[derive(Debug, Clone)]
pub struct Chunked {
    state: State,
    left: u64,
    trailer: Vec<u8>,
}

/// What lies next in the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// All of it was framing; more is needed.
    More,
    /// After `skip` bytes of framing, `len` bytes of data.
    Data {
        /// Bytes of framing before the data.
        skip: usize,
        /// Bytes of data, at least one.
        len: usize,
    },
    /// The body ends after `used` bytes.
    End {
        /// Bytes that belonged to it.
        used: usize,
    },
}

impl Default for Chunked {
    fn default() -> Self {
        Self { state: State::Size { digits: 0 }, left: 0, trailer: Vec::new() }
    }
}

impl Chunked {
    /// Reads on. The caller takes `skip + len` or `used` bytes off before the next call, or all of them after `More`.
    pub fn step(&mut self, bytes: &[u8]) -> Result<Piece, BadChunk> {
        for (at, &byte) in bytes.iter().enumerate() {
            self.state = match self.state {
                State::Data => {
                    let rest = (bytes.len() - at) as u64;
                    let len = rest.min(self.left);
                    self.left -= len;
                    if self.left == 0 {
                        self.state = State::DataCr;
                    }
                    return Ok(Piece::Data { skip: at, len: len as usize });
                }
                State::Size { digits } => match char::from(byte).to_digit(16) {
                    Some(_) if digits == 16 || self.left >> 59 != 0 => return Err(BadChunk),
                    Some(digit) => {
                        self.left = self.left << 4 | u64::from(digit);
                        State::Size { digits: digits + 1 }
                    }
                    None if digits == 0 => return Err(BadChunk),
                    None if byte == b'\r' => State::SizeEnd,
                    None if byte == b';' => State::Extension { len: 0 },
                    None => return Err(BadChunk),
                },
                State::Extension { .. } if byte == b'\r' => State::SizeEnd,
                State::Extension { len } if len < MAX_EXTENSION && (byte == b'\t' || (byte >= b' ' && byte != 0x7f)) => {
                    State::Extension { len: len + 1 }
                }
                State::Extension { .. } => return Err(BadChunk),
                State::SizeEnd if byte != b'\n' => return Err(BadChunk),
                State::SizeEnd if self.left == 0 => State::Trailer { line: 0 },
                State::SizeEnd => State::Data,
                State::DataCr if byte == b'\r' => State::DataLf,
                State::DataLf if byte == b'\n' => State::Size { digits: 0 },
                State::DataCr | State::DataLf => return Err(BadChunk),
                State::Trailer { line } => match self.trailer_byte(line, byte)? {
                    State::Done => {
                        self.state = State::Done;
                        return Ok(Piece::End { used: at + 1 });
                    }
                    next => next,
                },
                State::Done => return Ok(Piece::End { used: at }),
            };
        }
        if self.state == State::Done { Ok(Piece::End { used: 0 }) } else { Ok(Piece::More) }
    }

    fn trailer_byte(&mut self, line: usize, byte: u8) -> Result<State, BadChunk> {
        if self.trailer.len() >= MAX_TRAILER {
            return Err(BadChunk);
        }
        self.trailer.push(byte);
        if byte != b'\n' {
            return Ok(State::Trailer { line });
        }
        let len = self.trailer.len();
        if len < line + 2 || self.trailer[len - 2] != b'\r' {
            return Err(BadChunk);
        }
        if len > line + 2 {
            return Ok(State::Trailer { line: len });
        }
        let mut fields = [httparse::EMPTY_HEADER; MAX_TRAILER_FIELDS];
        match httparse::parse_headers(&self.trailer, &mut fields) {
            Ok(httparse::Status::Complete(_)) => Ok(State::Done),
            _ => Err(BadChunk),
        }
    }

    /// The trailer lines with their empty line, once the body has ended; empty when there were none.
    pub fn trailer(&self) -> &[u8] {
        if self.trailer.len() > 2 { &self.trailer } else { &[] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Decodes bytes that come in the given pieces: the data, and how many bytes belonged to the body.
    fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Option<(Vec<u8>, usize)>, BadChunk> {
        let (mut reader, mut data, mut total) = (Chunked::default(), Vec::new(), 0);
        for mut piece in pieces {
            loop {
                match reader.step(piece)? {
                    Piece::More => {
                        total += piece.len();
                        break;
                    }
                    Piece::Data { skip, len } => {
                        data.extend_from_slice(&piece[skip..skip + len]);
                        total += skip + len;
                        piece = &piece[skip + len..];
                    }
                    Piece::End { used } => return Ok(Some((data, total + used))),
                }
            }
        }
        Ok(None)
    }

    #[test]
    fn broken_framing_is_refused() {
        for bad in [
            "5\nhello\r\n0\r\n\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "5\r\nhelloX\r\n0\r\n\r\n",
            "-5\r\n",
            "+5\r\n",
            "0x5\r\n",
            " 5\r\n",
            "5 \r\n",
            "\r\n",
            ";x\r\n",
            "10000000000000000\r\n",
            "ffffffffffffffff0\r\n",
            "00000000000000005\r\n",
            "5\r\r\n",
            "5;a\nb\r\n",
            "0\r\nbad trailer\r\n\r\n",
            "0\r\nA: b\n\r\n",
            "0\r\n\n",
        ] {
            assert_eq!(decode([bad.as_bytes()]), Err(BadChunk), "{bad:?}");
        }
        let long = format!("5;{}\r\n", "x".repeat(300));
        assert_eq!(decode([long.as_bytes()]), Err(BadChunk));
        let trailer = format!("0\r\nA: {}", "x".repeat(MAX_TRAILER));
        assert_eq!(decode([trailer.as_bytes()]), Err(BadChunk));
    }

    #[test]
    fn trailers_are_kept() {
        let mut reader = Chunked::default();
        assert_eq!(reader.step(b"0\r\nA: b\r\n\r\nnext"), Ok(Piece::End { used: 11 }));
        assert_eq!(reader.trailer(), b"A: b\r\n\r\n");
    }

    proptest! {
        #[test]
        fn every_split_gives_the_same_data(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6), extension in any::<bool>(), trailer in any::<bool>()) {
            let mut wire = Vec::new();
            for chunk in &chunks {
                wire.extend_from_slice(format!("{:x}{}\r\n", chunk.len(), if extension { ";a=b" } else { "" }).as_bytes());
                wire.extend_from_slice(chunk);
                wire.extend_from_slice(b"\r\n");
            }
            wire.extend_from_slice(if trailer { b"0\r\nA: b\r\n\r\n" } else { b"0\r\n\r\n" });
            let expected = Some((chunks.concat(), wire.len()));
            wire.extend_from_slice(b"GET / HTTP/1.1\r\n");
            for split in 0..=wire.len() {
                prop_assert_eq!(decode([&wire[..split], &wire[split..]]), Ok(expected.clone()));
            }
            prop_assert_eq!(decode(wire.chunks(1)), Ok(expected));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(bytes.chunks(7));
        }
    }
}
