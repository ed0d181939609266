//! The head of an app's answer, and how its body is framed.
//!
//! Owns what a well-formed answer is. Must never guess: an answer with two readings is a bad answer, its connection is not
//! used again and the client gets a 502. Pure: bytes come in, an `ResponseHead` goes out.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};

use crate::downstream::request_head::{has_token, number};

/// The longest head of an answer, in bytes.
pub const MAX_HEAD: usize = 64 * 1024;
/// The most header fields.
const MAX_HEADERS: usize = 128;

/// Why an answer can not be passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadResponse {
    /// The head breaks the grammar.
    #[error("its head breaks the grammar of HTTP/1.1")]
    Grammar,
    /// The head is too long.
    #[error("its head is too long")]
    TooLong,
    /// It has a length and a transfer coding, or several lengths.
    #[error("the length of its body is ambiguous")]
    Length,
    /// A transfer coding other than `chunked`.
    #[error("its transfer coding is not `chunked`")]
    Coding,
    /// 101 to a request that did not ask for it.
    #[error("it switched protocols without being asked")]
    Unasked,
    /// The chunked body is malformed.
    #[error("its chunked body is malformed")]
    Chunk,
    /// The connection ended inside the body.
    #[error("its body ended too early")]
    Truncated,
}

/// How the body of an answer is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// There is none.
    Empty,
    /// So many bytes.
    Exact(u64),
    /// In chunks.
    Chunked,
    /// Until the connection ends.
    UntilClose,
}

/// The head of an answer.
#[derive(Debug)]
pub struct ResponseHead {
    /// Its status.
    pub status: StatusCode,
    /// Its end-to-end headers; hop-by-hop ones are gone, `Content-Length` is kept as one number.
    pub headers: HeaderMap,
    /// How its body is framed.
    pub length: Length,
    /// Whether the connection can carry another request after the body.
    pub keep_alive: bool,
}

/// Reads a head at the start of `bytes`. None: it is not whole yet. With it, how many bytes it took.
pub fn parse(bytes: &Bytes, method: &Method) -> Result<Option<(ResponseHead, usize)>, BadResponse> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut fields);
    let used = match response.parse(bytes) {
        Ok(httparse::Status::Complete(used)) if used > MAX_HEAD => return Err(BadResponse::TooLong),
        Ok(httparse::Status::Complete(used)) => used,
        Ok(httparse::Status::Partial) if bytes.len() > MAX_HEAD => return Err(BadResponse::TooLong),
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(BadResponse::TooLong),
        Err(_) => return Err(BadResponse::Grammar),
    };
    let (Some(version), Some(code)) = (response.version, response.code) else { return Err(BadResponse::Grammar) };
    let status = StatusCode::from_u16(code).map_err(|_| BadResponse::Grammar)?;

    let mut headers = HeaderMap::with_capacity(response.headers.len() + 2);
    let (mut length, mut coding, mut close, mut keep) = (None, None, false, false);
    let mut named: Vec<&[u8]> = Vec::new();
    for field in response.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| BadResponse::Grammar)?;
        match name {
            header::CONTENT_LENGTH => {
                let value = number(field.value).map_err(|_| BadResponse::Length)?;
                if length.replace(value).is_some_and(|earlier| earlier != value) {
                    return Err(BadResponse::Length);
                }
                continue;
            }
            header::TRANSFER_ENCODING => {
                if coding.replace(field.value).is_some() {
                    return Err(BadResponse::Coding);
                }
                continue;
            }
            header::CONNECTION => {
                close |= has_token(field.value, b"close");
                keep |= has_token(field.value, b"keep-alive");
                named.extend(field.value.split(|b| *b == b',').map(<[u8]>::trim_ascii));
                continue;
            }
            _ => {}
        }
        headers.append(name, HeaderValue::from_maybe_shared(bytes.slice_ref(field.value)).map_err(|_| BadResponse::Grammar)?);
    }
    let switching = status == StatusCode::SWITCHING_PROTOCOLS;
    strip(&mut headers, &named, switching);

    let body_less =
        *method == Method::HEAD || status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let framing = match (length, coding) {
        (Some(_), Some(_)) => return Err(BadResponse::Length),
        (None, Some(coding)) if version == 1 && coding.eq_ignore_ascii_case(b"chunked") => Length::Chunked,
        (None, Some(_)) => return Err(BadResponse::Coding),
        (Some(length), None) => Length::Exact(length),
        (None, None) => Length::UntilClose,
    };
    let says_length = !(status.is_informational() || status == StatusCode::NO_CONTENT);
    if let (Some(length), true) = (length, says_length) {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    let framing = if body_less || framing == Length::Exact(0) { Length::Empty } else { framing };
    let keep_alive = !close && (version == 1 || keep) && framing != Length::UntilClose && !switching;
    Ok(Some((ResponseHead { status, headers, length: framing, keep_alive }, used)))
}

/// Takes out what holds for one connection only.
fn strip(headers: &mut HeaderMap, named: &[&[u8]], switching: bool) {
    for name in named {
        // An app can not make us hide what clients need to read the body.
        let end_to_end = [header::CONTENT_TYPE, header::CONTENT_ENCODING, header::SET_COOKIE, header::CACHE_CONTROL];
        match HeaderName::from_bytes(name) {
            Ok(name) if name == header::UPGRADE && switching => {}
            Ok(name) if end_to_end.contains(&name) => {}
            Ok(name) => drop(headers.remove(name)),
            Err(_) => {}
        }
    }
    for name in ["keep-alive", "proxy-connection", "proxy-authenticate", "te", crate::pages::ERROR_HEADER] {
        headers.remove(name);
    }
    if !switching {
        headers.remove(header::UPGRADE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Option<(ResponseHead, usize)>, BadResponse> {
        parse(&Bytes::copy_from_slice(text.as_bytes()), &Method::GET)
    }

    fn framing(text: &str) -> (Length, bool) {
        let (answer, _) = read(text).expect("well formed").expect("whole");
        (answer.length, answer.keep_alive)
    }

    #[test]
    fn framing_and_reuse() {
        assert_eq!(framing("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"), (Length::Exact(5), true));
        assert_eq!(framing("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n"), (Length::Exact(5), true));
        assert_eq!(framing("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), (Length::Chunked, true));
        assert_eq!(framing("HTTP/1.1 200 OK\r\n\r\n"), (Length::UntilClose, false));
        assert_eq!(framing("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n"), (Length::Exact(5), false));
        assert_eq!(framing("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\n"), (Length::Exact(5), true));
        assert_eq!(framing("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\n"), (Length::Exact(5), false));
        assert_eq!(framing("HTTP/1.1 204 No Content\r\n\r\n"), (Length::Empty, true));
        assert_eq!(framing("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"), (Length::Empty, true));
        assert_eq!(framing("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n"), (Length::Empty, true));
    }

    #[test]
    fn two_readings_are_a_bad_answer() {
        for bad in [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5,5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX: a\r\n folded\r\n\r\n",
            "HTTP/1.1 2000 OK\r\n\r\n",
            "HTTP/3.1 200 OK\r\n\r\n",
            "nonsense\r\n\r\n",
        ] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
        let long = format!("HTTP/1.1 200 OK\r\nX: {}", "a".repeat(MAX_HEAD));
        assert_eq!(read(&long).map(|_| ()), Err(BadResponse::TooLong));
    }

    #[test]
    fn what_holds_for_one_connection_is_taken_out() {
        let (answer, _) = read(
            "HTTP/1.1 200 OK\r\nConnection: X-Hop, Set-Cookie\r\nX-Hop: 1\r\nSet-Cookie: a=b\r\nKeep-Alive: timeout=5\r\nUpgrade: h2c\r\nX-Slipway-Error: SW-H404\r\nX-Kept: 1\r\nContent-Length: 0\r\n\r\n",
        )
        .expect("well formed")
        .expect("whole");
        let mut names: Vec<_> = answer.headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-length", "set-cookie", "x-kept"]);
    }

    proptest! {
        #[test]
        fn every_split_reads_the_same(names in prop::collection::vec("[a-z]{1,8}", 0..6), body in prop::collection::vec(any::<u8>(), 0..30)) {
            let mut wire = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n", body.len()).into_bytes();
            for name in &names {
                wire.extend_from_slice(format!("x-{name}: value of {name}\r\n").as_bytes());
            }
            wire.extend_from_slice(b"\r\n");
            let head = wire.len();
            wire.extend_from_slice(&body);
            for split in 0..=wire.len() {
                let got = parse(&Bytes::copy_from_slice(&wire[..split]), &Method::GET).expect("well formed");
                if split < head {
                    prop_assert!(got.is_none());
                } else {
                    let (answer, used) = got.expect("whole");
                    prop_assert_eq!(used, head);
                    prop_assert_eq!(answer.headers.len(), names.len() + 1);
                }
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&Bytes::from(bytes), &Method::GET);
        }
    }
}
