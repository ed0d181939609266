//! The policy on request heads: what is refused before anything else sees it.
//!
//! Owns where a head ends, how its body is framed and for which host it is. Must never repair: two readings of one request
//! are how requests are smuggled, so whatever has two readings is refused. Pure; `RequestFilter` feeds it.

use http::Method;

use crate::downstream::authority::Authority;

/// The longest head, in bytes.
pub const MAX_HEAD: usize = 64 * 1024;
/// The longest request target, in bytes.
pub const MAX_TARGET: usize = 16 * 1024;
/// The most header fields.
pub const MAX_HEADERS: usize = 100;

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The request line or a header breaks the grammar.
    #[error("the request line or a header breaks the grammar of HTTP/1.1")]
    Grammar,
    /// A line ends with a line feed alone.
    #[error("a line ends without a carriage return")]
    BareLineFeed,
    /// The request target is not one.
    #[error("the request target is not a path")]
    Target,
    /// Not exactly one `Host`.
    #[error("there must be exactly one Host header")]
    Hosts,
    /// `Host` is not a host.
    #[error("the Host header is not a host name")]
    Host,
    /// An absolute target names another host than `Host`.
    #[error("the request target and the Host header name different hosts")]
    TwoHosts,
    /// `Content-Length` beside `Transfer-Encoding`.
    #[error("Content-Length and Transfer-Encoding exclude each other")]
    TwoLengths,
    /// More than one `Content-Length`, or one that is not a number.
    #[error("Content-Length must be one number")]
    Length,
    /// A transfer coding other than `chunked`.
    #[error("the only transfer coding is `chunked`, once")]
    Coding,
    /// A transfer coding in HTTP/1.0.
    #[error("HTTP/1.0 has no transfer codings")]
    CodingInOld,
    /// A WebSocket upgrade that is not a GET without a body.
    #[error("a WebSocket begins with a GET in HTTP/1.1 without a body")]
    Upgrade,
    /// The chunked body is malformed.
    #[error("the chunked body is malformed")]
    Chunk,
    /// An expectation other than `100-continue`.
    #[error("the only expectation is `100-continue`")]
    Expectation,
    /// A method that is not served.
    #[error("this method is not served")]
    Method,
    /// A version other than 1.0 and 1.1.
    #[error("this version of HTTP is not served here")]
    Version,
    /// The target is too long.
    #[error("the request target is too long")]
    TargetLength,
    /// The head is too long.
    #[error("the request's headers are too long or too many")]
    HeadLength,
    /// The head did not arrive in time.
    #[error("the request did not arrive in time")]
    Slow,
    /// The client speaks TLS.
    #[error("this port serves http, and the client began with https; ask http:// here")]
    Tls,
}

impl Fault {
    /// The status that answers it.
    pub fn status(self) -> u16 {
        match self {
            Self::Method => 405,
            Self::Slow => 408,
            Self::TargetLength => 414,
            Self::Expectation => 417,
            Self::HeadLength => 431,
            Self::Version => 505,
            _ => 400,
        }
    }
}

/// How the body of a request is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// So many bytes.
    Length(u64),
    /// In chunks.
    Chunked,
}

/// What is known of a request that passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHead {
    /// The host it is for.
    pub authority: Authority,
    /// How its body is framed.
    pub framing: Framing,
    /// Whether it asks for a WebSocket.
    pub websocket: bool,
    /// The target byte for byte, where it holds what hyper's URI type does not take; none: hyper has it.
    pub raw_target: Option<Box<[u8]>>,
}

/// A request that passed.
#[derive(Debug, PartialEq, Eq)]
pub struct Judged {
    /// What is known of it.
    pub head: RequestHead,
    /// What hyper is to read in place of the head: the same head, with a plain target in place of the raw one.
    pub stand_in: Option<Vec<u8>>,
}

/// What could be read of a request that was refused, for the access line.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Glimpse {
    /// The first word, if it can be a method.
    pub method: Option<Method>,
    /// The value of the first `Host` line, without control characters.
    pub host: String,
    /// The second word up to a query.
    pub path: String,
}

/// The longest part of a refused request that is kept for its access line, in bytes.
const GLIMPSE: usize = 1024;

/// Looks for the end of a head without reading any byte twice.
#[derive(Debug, Default, Clone)]
pub struct HeadEnd {
    /// Bytes of empty lines before the request line.
    blank: usize,
    seen: usize,
    line: usize,
}

/// Empty lines before a request line that are forgiven; old clients send one after a body.
const MAX_BLANK: usize = 2;

impl HeadEnd {
    /// Where the head in `bytes` ends, if it does. `bytes` begins with the request line and grows from call to call.
    pub fn find(&mut self, bytes: &[u8]) -> Result<Option<usize>, Fault> {
        while let Some(at) = bytes[self.seen..].iter().position(|b| *b == b'\n').map(|at| at + self.seen) {
            if at == self.line || bytes[at - 1] != b'\r' {
                return Err(Fault::BareLineFeed);
            }
            let empty = at - 1 == self.line;
            let first = self.line == self.blank;
            self.check_target(at)?;
            (self.seen, self.line) = (at + 1, at + 1);
            if empty && first {
                self.blank = self.seen;
                if self.blank > 2 * MAX_BLANK {
                    return Err(Fault::Grammar);
                }
            } else if empty {
                return if self.seen > MAX_HEAD { Err(Fault::HeadLength) } else { Ok(Some(self.seen)) };
            }
        }
        self.seen = bytes.len();
        self.check_target(bytes.len())?;
        if bytes.len() > MAX_HEAD { Err(Fault::HeadLength) } else { Ok(None) }
    }

    /// Whether nothing but empty lines came so far.
    pub fn is_blank(&self) -> bool {
        self.seen == self.blank
    }

    fn check_target(&self, end: usize) -> Result<(), Fault> {
        // 32 bytes leave room for the method and the version beside the target.
        if self.line == self.blank && end > self.blank + MAX_TARGET + 32 { Err(Fault::TargetLength) } else { Ok(()) }
    }
}

/// Whether bytes that are not a head begin a handshake of TLS: a record's type, and the first half of its version.
pub fn is_tls(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x16, 0x03])
}

/// Judges a whole head, its empty line included.
pub fn judge(head: &[u8]) -> Result<Judged, Fault> {
    match judge_plain(head) {
        Ok(head) => Ok(Judged { head, stand_in: None }),
        Err(fault @ (Fault::Target | Fault::Grammar)) => {
            let (stand_in, raw) = with_plain_target(head).ok_or(fault)?;
            let head = RequestHead { raw_target: Some(raw), ..judge_plain(&stand_in)? };
            Ok(Judged { head, stand_in: Some(stand_in) })
        }
        Err(fault) => Err(fault),
    }
}

/// The head with `/` as its target, and its target, where that is a path with bytes that browsers send and hyper's URI type does not
/// take: `^`, `\`, `"`, a backtick, anything beyond ASCII. They have one reading, so they pass as they came. None: it is no such target.
fn with_plain_target(head: &[u8]) -> Option<(Vec<u8>, Box<[u8]>)> {
    let line = head.iter().position(|byte| !matches!(byte, b'\r' | b'\n'))?;
    let begin = line + head[line..].iter().position(|byte| *byte == b' ')? + 1;
    let end = begin + head[begin..].iter().position(|byte| matches!(byte, b' ' | b'\r'))?;
    let target = &head[begin..end];
    let is_path = target.first() == Some(&b'/') && target.len() <= MAX_TARGET;
    if !is_path || target.iter().any(|byte| byte.is_ascii_control() || *byte == b'#') {
        return None;
    }
    Some(([&head[..begin], b"/", &head[end..]].concat(), target.into()))
}

/// Reads what there is to read of a request that was refused. Decides nothing: what it gives is only written down.
pub fn glimpse(bytes: &[u8]) -> Glimpse {
    let bytes = &bytes[..bytes.len().min(GLIMPSE)];
    let mut lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).skip_while(|line| line.is_empty());
    let mut words = lines.next().unwrap_or_default().split(|byte| *byte == b' ');
    let method = words.next().filter(|word| !word.is_empty()).and_then(|word| Method::from_bytes(word).ok());
    let target = words.next().unwrap_or_default();
    let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
    let host = lines.find_map(|line| {
        let (name, value) = line.split_at_checked(5)?;
        name.eq_ignore_ascii_case(b"host:").then(|| value.trim_ascii())
    });
    Glimpse {
        path: if method.is_some() { String::from_utf8_lossy(path).into_owned() } else { String::new() },
        host: String::from_utf8_lossy(host.unwrap_or_default()).into_owned(),
        method,
    }
}

fn judge_plain(head: &[u8]) -> Result<RequestHead, Fault> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(head) {
        Ok(httparse::Status::Complete(len)) if len == head.len() => {}
        Ok(_) => return Err(Fault::Grammar),
        Err(httparse::Error::TooManyHeaders) => return Err(Fault::HeadLength),
        Err(httparse::Error::Version) if names_version(head) => return Err(Fault::Version),
        Err(_) => return Err(Fault::Grammar),
    }
    let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version) else {
        return Err(Fault::Grammar);
    };
    if matches!(method, "CONNECT" | "TRACE") {
        return Err(Fault::Method);
    }
    if target.len() > MAX_TARGET {
        return Err(Fault::TargetLength);
    }
    let absolute = check_target(method, target)?;

    let (mut host, mut length, mut coding) = (None, None, None);
    let (mut upgrade, mut websocket, mut expect) = (false, false, false);
    for field in request.headers.iter() {
        let name = field.name.as_bytes();
        let is = |wanted: &str| name.eq_ignore_ascii_case(wanted.as_bytes());
        // The first letter rules out most fields before any comparison.
        match name.first().map(u8::to_ascii_lowercase) {
            Some(b'h') if is("host") && host.replace(field.value).is_some() => return Err(Fault::Hosts),
            Some(b'c') if is("content-length") && length.replace(field.value).is_some() => return Err(Fault::Length),
            Some(b't') if is("transfer-encoding") && coding.replace(field.value).is_some() => return Err(Fault::Coding),
            Some(b'c') if is("connection") => upgrade |= has_token(field.value, b"upgrade"),
            Some(b'u') if is("upgrade") => websocket |= has_token(field.value, b"websocket"),
            Some(b'e') if is("expect") => {
                if !field.value.eq_ignore_ascii_case(b"100-continue") {
                    return Err(Fault::Expectation);
                }
                expect = true;
            }
            _ => {}
        }
    }

    let host = Authority::parse(host.ok_or(Fault::Hosts)?).ok_or(Fault::Host)?;
    if let Some(absolute) = absolute {
        let named = Authority::parse(absolute.as_bytes()).ok_or(Fault::Target)?;
        if named != host {
            return Err(Fault::TwoHosts);
        }
    }
    let framing = match (length, coding) {
        (Some(_), Some(_)) => return Err(Fault::TwoLengths),
        (None, None) => Framing::None,
        (Some(digits), None) => Framing::Length(number(digits)?),
        (None, Some(_)) if version == 0 => return Err(Fault::CodingInOld),
        (None, Some(coding)) if coding.eq_ignore_ascii_case(b"chunked") => Framing::Chunked,
        (None, Some(_)) => return Err(Fault::Coding),
    };
    let websocket = upgrade && websocket;
    if websocket && (method != "GET" || version == 0 || framing != Framing::None || expect) {
        return Err(Fault::Upgrade);
    }
    Ok(RequestHead { authority: host, framing, websocket, raw_target: None })
}

/// Whether the request line has three words and the last is a version, only not one of ours.
fn names_version(head: &[u8]) -> bool {
    let line = head.split(|b| *b == b'\r').find(|line| !line.trim_ascii().is_empty()).unwrap_or_default();
    let mut words = line.trim_ascii().split(|b| *b == b' ');
    let version = words.nth(2).unwrap_or_default();
    words.next().is_none()
        && matches!(version, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit())
}

/// Checks the target; gives the authority when it is in absolute form.
fn check_target<'a>(method: &str, target: &'a str) -> Result<Option<&'a str>, Fault> {
    // `#` never belongs in a target; what lies outside ASCII must be encoded; the rest is what the URI parser behind refuses.
    if target.bytes().any(|b| !b.is_ascii_graphic() || matches!(b, b'#' | b'<' | b'>' | b'\\' | b'^' | b'`')) {
        return Err(Fault::Target);
    }
    if target.starts_with('/') {
        return if target.parse::<http::uri::PathAndQuery>().is_ok() { Ok(None) } else { Err(Fault::Target) };
    }
    if target == "*" {
        return if method == "OPTIONS" { Ok(None) } else { Err(Fault::Target) };
    }
    let cut = |scheme: &str| target.get(..scheme.len()).filter(|start| start.eq_ignore_ascii_case(scheme)).map(|_| &target[scheme.len()..]);
    let rest = cut("http://").or_else(|| cut("https://")).ok_or(Fault::Target)?;
    if target.parse::<http::Uri>().is_err() {
        return Err(Fault::Target);
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    Ok(Some(&rest[..end]))
}

/// A length of at most 18 digits: no sign, no space, no list.
pub fn number(digits: &[u8]) -> Result<u64, Fault> {
    if digits.is_empty() || digits.len() > 18 || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Fault::Length);
    }
    Ok(digits.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

/// Whether a comma-separated list has `token`, whatever its case.
pub fn has_token(list: &[u8], token: &[u8]) -> bool {
    list.split(|b| *b == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(lines: &[&str]) -> Result<RequestHead, Fault> {
        judge(format!("{}\r\n\r\n", lines.join("\r\n")).as_bytes()).map(|judged| judged.head)
    }

    #[test]
    fn what_has_two_readings_is_refused() {
        let cases: &[(&[&str], Fault)] = &[
            (&["POST / HTTP/1.1", "Host: a", "Content-Length: 3", "Transfer-Encoding: chunked"], Fault::TwoLengths),
            (&["POST / HTTP/1.1", "Host: a", "Transfer-Encoding: gzip, chunked"], Fault::Coding),
            (&["POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked, chunked"], Fault::Coding),
            (&["POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", "Transfer-Encoding: identity"], Fault::Coding),
            (&["POST / HTTP/1.1", "Host: a", "Transfer-Encoding: \"chunked\""], Fault::Coding),
            (&["POST / HTTP/1.1", "Host: a", "Transfer-Encoding: xchunked"], Fault::Coding),
            (&["POST / HTTP/1.0", "Host: a", "Transfer-Encoding: chunked"], Fault::CodingInOld),
            (&["POST / HTTP/1.1", "Host: a", "Transfer-Encoding : chunked"], Fault::Grammar),
            (&["POST / HTTP/1.1", "Host: a", "Content-Length: 3", "Content-Length: 4"], Fault::Length),
            (&["POST / HTTP/1.1", "Host: a", "Content-Length: +3"], Fault::Length),
            (&["POST / HTTP/1.1", "Host: a", "Content-Length: 3, 3"], Fault::Length),
            (&["POST / HTTP/1.1", "Host: a", "Content-Length: 0x3"], Fault::Length),
            (&["POST / HTTP/1.1", "Host: a", "Content-Length: "], Fault::Length),
            (&["POST / HTTP/1.1", "Host: a", "Content-Length: 99999999999999999999"], Fault::Length),
            (&["GET / HTTP/1.1"], Fault::Hosts),
            (&["GET / HTTP/1.0"], Fault::Hosts),
            (&["GET / HTTP/1.1", "Host: a", "Host: b"], Fault::Hosts),
            (&["GET / HTTP/1.1", "Host: a", "Host: a"], Fault::Hosts),
            (&["GET / HTTP/1.1", "Host: "], Fault::Host),
            (&["GET / HTTP/1.1", "Host: a, b"], Fault::Host),
            (&["GET / HTTP/1.1", "Host: a@b"], Fault::Host),
            (&["GET http://b/ HTTP/1.1", "Host: a"], Fault::TwoHosts),
            (&["GET http://a:81/ HTTP/1.1", "Host: a"], Fault::TwoHosts),
            (&["GET http://u@a/ HTTP/1.1", "Host: a"], Fault::Target),
            (&["GET ftp://a/ HTTP/1.1", "Host: a"], Fault::Target),
            (&["GET a HTTP/1.1", "Host: a"], Fault::Target),
            (&["GET * HTTP/1.1", "Host: a"], Fault::Target),
            (&["GET /#x HTTP/1.1", "Host: a"], Fault::Target),
            (&["GET /\u{7f} HTTP/1.1", "Host: a"], Fault::Grammar),
            (&["GET /a\tb HTTP/1.1", "Host: a"], Fault::Grammar),
            (&["GET /a\0b HTTP/1.1", "Host: a"], Fault::Grammar),
            (&["GET /^#x HTTP/1.1", "Host: a"], Fault::Target),
            (&["GET ^ HTTP/1.1", "Host: a"], Fault::Target),
            (&["GET http://a/^\u{e9} HTTP/1.1", "Host: a"], Fault::Target),
            (&["CONNECT a:80 HTTP/1.1", "Host: a"], Fault::Method),
            (&["TRACE / HTTP/1.1", "Host: a"], Fault::Method),
            (&["GET / HTTP/2.0", "Host: a"], Fault::Version),
            (&["GET / HTTP/1.1", "Host: a", " folded"], Fault::Grammar),
            (&["GET / HTTP/1.1", "Host: a", "X: a\0b"], Fault::Grammar),
            (&["GET / HTTP/1.1", "Host: a", "X: a\rb"], Fault::Grammar),
            (&["GET / HTTP/1.1", "Host: a", "X y: b"], Fault::Grammar),
            (&["GET / HTTP/1.1", "Host: a", "no colon"], Fault::Grammar),
            (&["G(T / HTTP/1.1", "Host: a"], Fault::Grammar),
            (&["GET  / HTTP/1.1", "Host: a"], Fault::Grammar),
            (&["GET /a b HTTP/1.1", "Host: a"], Fault::Grammar),
            (&["POST / HTTP/1.1", "Host: a", "Expect: 200-ok"], Fault::Expectation),
            (&["POST / HTTP/1.1", "Host: a", "Connection: upgrade", "Upgrade: websocket"], Fault::Upgrade),
            (&["GET / HTTP/1.0", "Host: a", "Connection: upgrade", "Upgrade: websocket"], Fault::Upgrade),
            (&["GET / HTTP/1.1", "Host: a", "Connection: upgrade", "Upgrade: websocket", "Content-Length: 3"], Fault::Upgrade),
        ];
        for (lines, fault) in cases {
            assert_eq!(verdict(lines), Err(*fault), "{lines:?}");
        }
    }

    #[test]
    fn ordinary_requests_pass() {
        let get = verdict(&["GET /a?b=%20{c}|d HTTP/1.1", "Host: Shop.Example.com:8080"]).expect("ordinary");
        assert_eq!((get.authority.text.as_str(), get.authority.port, get.framing), ("shop.example.com", Some(8080), Framing::None));
        let absolute = verdict(&["GET http://SHOP.example.com./x HTTP/1.1", "Host: shop.example.com"]).expect("the same host");
        assert_eq!(absolute.authority.text, "shop.example.com");
        assert_eq!(verdict(&["POST / HTTP/1.1", "Host: a", "content-length: 12"]).expect("ordinary").framing, Framing::Length(12));
        assert_eq!(verdict(&["POST / HTTP/1.1", "Host: a", "transfer-encoding: Chunked"]).expect("ordinary").framing, Framing::Chunked);
        assert!(verdict(&["OPTIONS * HTTP/1.1", "Host: a"]).is_ok());
        assert!(
            verdict(&["GET / HTTP/1.1", "Host: a", "Connection: keep-alive, Upgrade", "Upgrade: WebSocket"]).expect("ordinary").websocket
        );
        assert!(!verdict(&["GET / HTTP/1.1", "Host: a", "Connection: upgrade", "Upgrade: h2c"]).expect("ordinary").websocket);
        assert!(!verdict(&["GET / HTTP/1.1", "Host: a", "Upgrade: websocket"]).expect("ordinary").websocket);
    }

    #[test]
    fn what_browsers_send_in_a_target_passes_as_it_came() {
        for target in [&b"/?q=a^b"[..], b"/a`b", b"/a\\b?c=\\", b"/?q=\"x\"", b"/caf\xc3\xa9?q=\xe9", b"/?q=<a>", b"/|"] {
            let head = [b"\r\nGET ", target, b" HTTP/1.1\r\nHost: a.b\r\nContent-Length: 3\r\n\r\n"].concat();
            let judged = judge(&head).unwrap_or_else(|fault| panic!("{fault}: {:?}", String::from_utf8_lossy(target)));
            assert_eq!((judged.head.framing, judged.head.authority.text.as_str()), (Framing::Length(3), "a.b"));
            match judged.head.raw_target {
                Some(raw) => {
                    assert_eq!(&*raw, target);
                    assert_eq!(judged.stand_in.as_deref(), Some(&b"\r\nGET / HTTP/1.1\r\nHost: a.b\r\nContent-Length: 3\r\n\r\n"[..]));
                }
                None => assert!(std::str::from_utf8(target).is_ok_and(|text| text.parse::<http::uri::PathAndQuery>().is_ok())),
            }
        }
    }

    #[test]
    fn what_was_read_of_a_refused_request_is_known() {
        let seen = glimpse(b"\r\nGET /shop?token=1 HTTP/1.1\r\nX: y\r\nhost: Shop.example\r\n\r\n");
        assert_eq!(seen, Glimpse { method: Some(Method::GET), host: "Shop.example".into(), path: "/shop".into() });
        assert_eq!(glimpse(b"G(T /x HTTP/1.1\nHost: a"), Glimpse { method: None, host: "a".into(), path: String::new() });
        assert_eq!(glimpse(b"\x16\x03\x01"), Glimpse::default());
        assert_eq!(glimpse(b""), Glimpse::default());
    }

    #[test]
    fn the_end_is_found_at_every_split() {
        let bytes = b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\nrest";
        for split in 0..bytes.len() {
            let mut end = HeadEnd::default();
            let first = end.find(&bytes[..split]).expect("strict line ends");
            let found = first.or(end.find(bytes).expect("strict line ends"));
            assert_eq!(found, Some(bytes.len() - 4), "split at {split}");
        }
        assert_eq!(HeadEnd::default().find(b"GET / HTTP/1.1\nHost: a\n\n"), Err(Fault::BareLineFeed));
        assert_eq!(HeadEnd::default().find(b"\r\n\r\nGET / HTTP/1.1\r\n\r\n"), Ok(Some(22)));
        assert_eq!(HeadEnd::default().find(b"\r\n\r\n\r\n"), Err(Fault::Grammar));
        assert_eq!(HeadEnd::default().find(b"GET / HTTP/1.1\r\nHost: a\r\n\n"), Err(Fault::BareLineFeed));
    }

    #[test]
    fn long_heads_are_refused_before_they_are_whole() {
        let target = format!("GET /{}", "a".repeat(MAX_TARGET + 40));
        assert_eq!(HeadEnd::default().find(target.as_bytes()), Err(Fault::TargetLength));
        let header = format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(MAX_HEAD));
        assert_eq!(HeadEnd::default().find(header.as_bytes()), Err(Fault::HeadLength));
        let many: String = (0..=MAX_HEADERS).map(|n| format!("x-{n}: 1\r\n")).collect();
        assert_eq!(judge(format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n").as_bytes()), Err(Fault::HeadLength));
    }
}
