//! Request targets as browsers and scripts send them: they reach the app byte for byte, or are refused and logged.

use crate::harness::{App, HOST, Running, wait_until};

#[test]
fn every_byte_of_a_target_reaches_the_app_at_every_split() {
    let app = App::echo();
    let running = Running::with(&[&app]);
    let targets = [&b"/s?q=a^b"[..], b"/a`b\\c", b"/?q=\"x\"&r=<y>", b"/caf\xc3\xa9?q=\xe9\xff"];
    for target in targets {
        let body = b"0\r\n0:x\r\n\r\nGET / HTTP/1.1";
        let head = format!(" HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {}\r\n\r\n", body.len());
        let bytes = [b"POST ", target, head.as_bytes(), body].concat();
        for split in 1..bytes.len() {
            let mut client = running.connect();
            client.send(&bytes[..split]);
            client.send(&bytes[split..]);
            let answer = client.answer("POST");
            assert_eq!(answer.status, 200, "split at {split}: {:?}", String::from_utf8_lossy(target));
            let seen = &answer.body;
            let line = seen.split(|byte| *byte == b'\r').next().expect("a line");
            assert_eq!(line, [b"POST ", target, b" HTTP/1.1"].concat(), "split at {split}");
            assert!(seen.ends_with(&[b"\r\n\r\n", &body[..]].concat()), "split at {split}: {:?}", String::from_utf8_lossy(seen));
        }
        // The connection is as good as any other: the next request on it is read on its own.
        let mut client = running.connect();
        client.send([&bytes[..], format!("GET /next HTTP/1.1\r\nHost: {HOST}\r\n\r\n").as_bytes()].concat());
        assert!(client.answer("POST").body.starts_with(&[b"POST ", target].concat()));
        assert!(client.answer("GET").body.starts_with(b"GET /next HTTP/1.1\r\n"));
    }
    let path = "path=\"/caf\\u{e9}\"";
    wait_until("the path in the access log", || running.log.text().contains(path));
}

#[test]
fn a_refused_request_is_logged_with_what_was_read() {
    let app = App::echo();
    let running = Running::with(&[&app]);
    for (bytes, line) in [
        (
            format!("PUT /two?token=1 HTTP/1.1\r\nHost: {HOST}\r\nHost: b\r\n\r\n"),
            format!("method=PUT host={HOST} path=\"/two\" status=400"),
        ),
        (
            "GET /\u{7f} HTTP/1.1\r\nHost: a\u{1b}]52;c\u{7}\r\n\r\n".into(),
            "method=GET host=a\\u{1b}]52;c\\u{7} path=\"/\\u{7f}\" status=400".into(),
        ),
        ("G(T /x HTTP/1.1\r\nHost: a\r\n\r\n".into(), "method=- host=a path=\"\" status=400".into()),
    ] {
        let mut client = running.connect();
        client.send(bytes.as_bytes());
        assert_eq!(client.answer("GET").status, 400);
        wait_until(&line, || running.log.text().contains(&line));
    }
    assert!(!running.log.text().contains("token"), "a query is never logged");
}
