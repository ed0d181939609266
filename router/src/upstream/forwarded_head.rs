//! The head that an app gets: rebuilt from what passed, never copied.
//!
//! Owns which headers travel. Must never pass a framing header, a hop-by-hop header, or anything by which a client could speak
//! in our name: what the app reads in `X-Forwarded-*` was written here.

use std::io::Write;
use std::net::SocketAddr;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;

use crate::downstream::request_head::{Framing, RequestHead, has_token};

/// Who asks, and by which way.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// The client's address.
    pub peer: SocketAddr,
    /// The address that it reached.
    pub local: SocketAddr,
    /// Whether what it says of those behind it is believed.
    pub trusted: bool,
    /// The request's id.
    pub id: &'a str,
}

/// Headers that we write or that hold for one connection; none of them is copied.
const OURS: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-forwarded-server",
    "x-forwarded-ssl",
    "x-forwarded-prefix",
    "x-real-ip",
    "x-request-id",
];

/// Headers that end to end security or meaning hangs on: naming them in `Connection` does not take them out.
const KEPT: &[&str] = &["authorization", "cookie", "content-type", "content-encoding", "origin", "range", "if-match", "if-none-match"];

/// Writes the head of the request as the app gets it.
pub fn head(out: &mut Vec<u8>, parts: &Parts, request_head: &RequestHead, origin: Origin<'_>) {
    let target = match &request_head.raw_target {
        Some(raw) => raw,
        None => parts.uri.path_and_query().map_or(&b"/"[..], |path| path.as_str().as_bytes()),
    };
    for piece in [parts.method.as_str().as_bytes(), b" ", target, b" HTTP/1.1\r\nhost: ", request_head.authority.text.as_bytes()] {
        out.extend_from_slice(piece);
    }
    if let Some(port) = request_head.authority.port {
        print(out, format_args!(":{port}"));
    }
    out.extend_from_slice(b"\r\n");

    let named: Vec<&[u8]> = parts
        .headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|list| list.as_bytes().split(|b| *b == b','))
        .map(<[u8]>::trim_ascii)
        .collect();
    for (name, value) in &parts.headers {
        if travels(name, &named) {
            field(out, name.as_str(), value.as_bytes());
        }
    }

    match request_head.framing {
        Framing::None => {}
        Framing::Length(len) => print(out, format_args!("content-length: {len}\r\n")),
        Framing::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
    }
    if request_head.websocket {
        out.extend_from_slice(b"connection: upgrade\r\nupgrade: websocket\r\n");
    } else if wants_trailers(&parts.headers) {
        out.extend_from_slice(b"connection: te\r\nte: trailers\r\n");
    }
    forwarded(out, &parts.headers, request_head, origin);
    out.extend_from_slice(b"\r\n");
}

fn forwarded(out: &mut Vec<u8>, headers: &HeaderMap, request_head: &RequestHead, origin: Origin<'_>) {
    let told = |name: &'static str| headers.get(name).filter(|_| origin.trusted);
    let address = origin.peer.ip();
    out.extend_from_slice(b"x-forwarded-for: ");
    if origin.trusted {
        for earlier in headers.get_all("x-forwarded-for") {
            out.extend_from_slice(earlier.as_bytes());
            out.extend_from_slice(b", ");
        }
    }
    print(out, format_args!("{address}\r\n"));
    field(out, "x-forwarded-proto", told("x-forwarded-proto").map_or(b"http", HeaderValue::as_bytes));
    match told("x-forwarded-host") {
        Some(host) => field(out, "x-forwarded-host", host.as_bytes()),
        None => field(out, "x-forwarded-host", request_head.authority.text.as_bytes()),
    }
    match told("x-forwarded-port") {
        Some(port) => field(out, "x-forwarded-port", port.as_bytes()),
        None => print(out, format_args!("x-forwarded-port: {}\r\n", request_head.authority.port.unwrap_or(origin.local.port()))),
    }
    match told("x-real-ip") {
        Some(real) => field(out, "x-real-ip", real.as_bytes()),
        None => print(out, format_args!("x-real-ip: {address}\r\n")),
    }
    field(out, "x-request-id", origin.id.as_bytes());
}

fn print(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to memory can not fail");
}

fn field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn wants_trailers(headers: &HeaderMap) -> bool {
    headers.get_all(header::TE).iter().any(|te| has_token(te.as_bytes(), b"trailers"))
}

fn travels(name: &HeaderName, named: &[&[u8]]) -> bool {
    let text = name.as_str();
    if OURS.contains(&text) {
        return false;
    }
    if text.contains('_') {
        // CGI-like apps read `X_Real_IP` and `X-Real-IP` as one variable.
        let alias = text.replace('_', "-");
        if OURS.contains(&alias.as_str()) || KEPT.contains(&alias.as_str()) {
            return false;
        }
    }
    KEPT.contains(&text) || !named.iter().any(|one| one.eq_ignore_ascii_case(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::downstream::request_head::judge;
    use http::Request;

    fn forwarded_head(lines: &[&str], trusted: bool) -> String {
        let text = format!("{}\r\n\r\n", lines.join("\r\n"));
        let request_head = judge(text.as_bytes()).expect("passes").head;
        let mut words = lines[0].split(' ');
        let mut request = Request::builder().method(words.next().expect("a method")).uri(words.next().expect("a target"));
        for line in &lines[1..] {
            let (name, value) = line.split_once(": ").expect("a header");
            request = request.header(name, value);
        }
        let (parts, ()) = request.body(()).expect("a request").into_parts();
        let origin = Origin {
            peer: "10.0.0.9:4000".parse().expect("an address"),
            local: "10.0.0.1:8080".parse().expect("an address"),
            trusted,
            id: "r1",
        };
        let mut out = Vec::new();
        head(&mut out, &parts, &request_head, origin);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn an_ordinary_head() {
        assert_eq!(
            forwarded_head(&["GET /a?b=c HTTP/1.1", "Host: Shop.Acme.localhost:8080", "Accept: */*", "Connection: keep-alive"], false),
            "GET /a?b=c HTTP/1.1\r\nhost: shop.acme.localhost:8080\r\naccept: */*\r\nx-forwarded-for: 10.0.0.9\r\nx-forwarded-proto: http\r\n\
             x-forwarded-host: shop.acme.localhost\r\nx-forwarded-port: 8080\r\nx-real-ip: 10.0.0.9\r\nx-request-id: r1\r\n\r\n"
        );
    }

    #[test]
    fn nobody_speaks_in_our_name() {
        let lines = [
            "POST http://a.b/x HTTP/1.1",
            "Host: a.b",
            "X-Forwarded-For: 1.2.3.4",
            "X-Forwarded-Proto: https",
            "X-Forwarded-Host: evil",
            "X-Forwarded-Port: 1",
            "Forwarded: for=1.2.3.4",
            "X-Real-IP: 1.2.3.4",
            "X-Request-Id: mine",
            "X_Forwarded_For: 1.2.3.4",
            "X_Real-IP: 1.2.3.4",
            "Content_Length: 5",
            "Proxy: evil",
            "Authorization: secret",
            "Content-Length: 3",
            "Connection: X-Forwarded-For, Authorization, X-Hop, x-request-id",
            "X-Hop: 1",
            "TE: gzip, trailers",
            "Upgrade: h2c",
            "HTTP2-Settings: x",
            "Expect: 100-continue",
            "Keep-Alive: 5",
            "X-Own: 1",
            "my_own: 1",
        ];
        let head = forwarded_head(&lines, false);
        let names: Vec<_> = head.lines().skip(1).filter_map(|line| line.split_once(": ")).map(|(name, _)| name).collect();
        assert_eq!(
            names,
            [
                "host",
                "authorization",
                "x-own",
                "my_own",
                "content-length",
                "connection",
                "te",
                "x-forwarded-for",
                "x-forwarded-proto",
                "x-forwarded-host",
                "x-forwarded-port",
                "x-real-ip",
                "x-request-id"
            ]
        );
        assert!(head.starts_with("POST /x HTTP/1.1\r\n"), "{head}");
        assert!(!head.contains("1.2.3.4") && !head.contains("evil") && !head.contains("mine") && !head.contains("h2c"), "{head}");
    }

    #[test]
    fn a_trusted_peer_is_added_to() {
        let head = forwarded_head(&["GET / HTTP/1.1", "Host: a.b", "X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https"], true);
        assert!(head.contains("x-forwarded-for: 1.2.3.4, 10.0.0.9\r\nx-forwarded-proto: https\r\n"), "{head}");
    }

    #[test]
    fn a_websocket_keeps_its_upgrade() {
        let head =
            forwarded_head(&["GET /ws HTTP/1.1", "Host: a.b", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: x"], false);
        assert!(head.contains("sec-websocket-key: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n"), "{head}");
    }
}
