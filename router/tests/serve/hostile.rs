//! Requests with two readings, and answers with two readings: each is refused, on a connection that is not used again.

use std::time::Duration;

use crate::harness::{App, HOST, Running};

/// Sends raw bytes; the app must see nothing, the client one answer and the end.
fn refused(running: &Running, app: &App, bytes: &[u8], status: u16, code: &str) {
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
    let before = app.seen();
    let mut client = running.connect();
    client.send(bytes);
    let answer = client.answer("GET");
    assert_eq!((answer.status, answer.code()), (status, code), "{shown:?}");
    assert_eq!(answer.header("connection"), Some("close"), "{shown:?}");
    assert!(client.is_closed(), "{shown:?}");
    assert_eq!(app.seen(), before, "reached the app: {shown:?}");
}

#[test]
fn every_hostile_row_is_refused_and_the_connection_ends() {
    let app = App::echo();
    let running = Running::with(&[&app]);
    let post = |rest: &str| format!("POST / HTTP/1.1\r\nHost: {HOST}\r\n{rest}");
    let get = |rest: &str| format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n{rest}\r\n\r\n");
    let smuggled = format!("GET /smuggled HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    let rows: Vec<String> = vec![
        // One length too many, or a transfer coding that is not one.
        post(&format!("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}")),
        post(&format!("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\n{smuggled}0\r\n\r\n")),
        post("Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        post("Transfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n\r\n0\r\n\r\n"),
        post("Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
        post("Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
        post("Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
        post("Transfer-Encoding:\u{b}chunked\r\n\r\n0\r\n\r\n"),
        post(" Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        post("X: y\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("POST / HTTP/1.0\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        post("Content-Length: 3\r\nContent-Length: 5\r\n\r\nabcde"),
        post("Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"),
        post("Content-Length: 3, 3\r\n\r\nabc"),
        post("Content-Length: -3\r\n\r\nabc"),
        post("Content-Length: 0x3\r\n\r\nabc"),
        post("Content-Length: 3 3\r\n\r\nabc"),
        post("Content-Length: 18446744073709551617\r\n\r\nabc"),
        // Chunks.
        post("Transfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n"),
        post("Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
        post("Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n"),
        post("Transfer-Encoding: chunked\r\n\r\n5\r\nhello0\r\n\r\n"),
        post("Transfer-Encoding: chunked\r\n\r\nx\r\n\r\n"),
        post("Transfer-Encoding: chunked\r\n\r\n5;\u{1}\r\nhello\r\n0\r\n\r\n"),
        // Hosts.
        get("Host: other.localhost"),
        get(&format!("Host: {HOST}")),
        "GET / HTTP/1.1\r\n\r\n".into(),
        "GET / HTTP/1.0\r\n\r\n".into(),
        "GET / HTTP/1.1\r\nHost: \r\n\r\n".into(),
        format!("GET / HTTP/1.1\r\nHost: {HOST}, other\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: user@{HOST}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: {HOST}/x\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: {HOST}:80x\r\n\r\n"),
        "GET / HTTP/1.1\r\nHost: bücher.de\r\n\r\n".into(),
        format!("GET http://other.localhost/ HTTP/1.1\r\nHost: {HOST}\r\n\r\n"),
        format!("GET http://{HOST}@other.localhost/ HTTP/1.1\r\nHost: {HOST}\r\n\r\n"),
        // Lines and bytes.
        get("X: a\r\n folded"),
        get("X: a\0b"),
        get("X: a\rb"),
        get("X: a\u{7f}b"),
        get("X y: b"),
        get(": b"),
        get("no colon"),
        format!("GET / HTTP/1.1\nHost: {HOST}\n\n"),
        format!("GET / HTTP/1.1\r\nHost: {HOST}\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\n"),
        format!("GET  / HTTP/1.1\r\nHost: {HOST}\r\n\r\n"),
        format!("GET /a b HTTP/1.1\r\nHost: {HOST}\r\n\r\n"),
        format!("GET /#a HTTP/1.1\r\nHost: {HOST}\r\n\r\n"),
        format!("GET / HTTP/1.1 \r\nHost: {HOST}\r\n\r\n"),
        format!(" GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n"),
        format!("GET\t/ HTTP/1.1\r\nHost: {HOST}\r\n\r\n"),
        format!("GET x HTTP/1.1\r\nHost: {HOST}\r\n\r\n"),
        "GET /\r\n\r\n".into(),
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\r\n\r\n".into(),
        // Upgrades.
        post("Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n\r\nabc"),
        post("Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
    ];
    for row in &rows {
        refused(&running, &app, row.as_bytes(), 400, "SW-H400");
    }
    refused(&running, &app, get("X: \u{ff}").replace('\u{ff}', "\u{1}").as_bytes(), 400, "SW-H400");
    for (row, status, code) in [
        (format!("CONNECT {HOST}:80 HTTP/1.1\r\nHost: {HOST}\r\n\r\n"), 405, "SW-H400"),
        (format!("TRACE / HTTP/1.1\r\nHost: {HOST}\r\n\r\n"), 405, "SW-H400"),
        (post("Expect: something\r\nContent-Length: 3\r\n\r\nabc"), 417, "SW-H400"),
        (format!("GET / HTTP/2.0\r\nHost: {HOST}\r\n\r\n"), 505, "SW-H400"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), 505, "SW-H400"),
        (format!("GET /{} HTTP/1.1\r\nHost: {HOST}\r\n\r\n", "a".repeat(20_000)), 414, "SW-H431"),
        (get(&format!("X: {}", "a".repeat(70_000))), 431, "SW-H431"),
        (get(&(0..110).map(|n| format!("x-{n}: 1")).collect::<Vec<_>>().join("\r\n")), 431, "SW-H431"),
    ] {
        refused(&running, &app, row.as_bytes(), status, code);
    }
}

/// Such a client waits for an answer to its hello; with these times nothing but the recognition of it ends the wait.
#[test]
fn a_client_that_speaks_tls_is_told_at_once() {
    let app = App::echo();
    let running = Running::with_times(&[&app], |times| times.head = Duration::from_secs(3600));
    let hellos: [&[u8]; 3] = [
        b"\x16\x03",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x8a\x00",
        // Its random bytes may look like lines.
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\x00\r\n\x07",
    ];
    for hello in hellos {
        refused(&running, &app, hello, 400, "SW-H400");
    }
    let mut client = running.connect();
    client.send(b"\x16");
    client.send(b"\x03\x03");
    let answer = client.answer("GET");
    assert!(answer.text().contains("the client began with https"), "{}", answer.text());
    assert_eq!(running.lines().lines().filter(|line| line.contains("status=400") && line.contains("code=SW-H400")).count(), 4);
}

#[test]
fn a_megabyte_without_an_end_is_cut_off_early() {
    use std::io::Write;
    let app = App::echo();
    let running = Running::with(&[&app]);
    for start in ["GET /", "GET / HTTP/1.1\r\nCookie: "] {
        let mut client = running.connect();
        client.send(start);
        let mut sent = 0;
        while sent < 1 << 20 && client.stream.write_all(&[b'a'; 8192]).is_ok() {
            sent += 8192;
        }
        let answer = client.answer("GET");
        assert!(matches!(answer.status, 414 | 431), "{}", answer.head);
    }
}

#[test]
fn what_is_wrong_comes_after_what_was_right() {
    let app = App::echo();
    let running = Running::with(&[&app]);
    let mut client = running.connect();
    let good = format!("GET /good HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    client.send(format!("{good}{good}GET /bad HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n{good}"));
    assert_eq!(client.answer("GET").status, 200);
    assert_eq!(client.answer("GET").status, 200);
    assert_eq!(client.answer("GET").status, 400);
    assert!(client.is_closed());
    assert_eq!(app.seen(), 2);
    assert_eq!(running.lines().lines().filter(|line| line.contains("code=SW-H400")).count(), 1);
}

#[test]
fn a_chunk_that_breaks_later_is_answered_and_never_completed() {
    let app = App::echo();
    let running = Running::with(&[&app]);
    let mut client = running.connect();
    client.send(format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"));
    crate::harness::wait_until("the app has the head", || app.seen() == 1);
    client.send("zz\r\nGET /smuggled HTTP/1.1\r\n\r\n");
    let answer = client.answer("POST");
    assert_eq!((answer.status, answer.code()), (400, "SW-H400"));
    assert!(client.is_closed());
    assert_eq!(app.seen(), 1);
    assert_eq!(running.get("/next").status, 200);
    assert_eq!(app.opened(), 2, "the connection with half a request was not used again");
}

#[test]
fn hosts_lead_to_one_tenant_or_to_none() {
    let app = App::echo();
    let running = Running::with(&[&app]);
    let port = running.address.port();
    for host in [HOST.to_owned(), HOST.to_uppercase(), format!("{HOST}."), format!("{HOST}:{port}"), format!("{HOST}.:{port}")] {
        let answer = running.ask(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(answer.status, 200, "{host}");
        assert!(answer.text().contains(&format!("\r\nhost: {HOST}")), "{}", answer.text());
    }
    assert_eq!(running.ask(&format!("GET http://{HOST}:{port}/x HTTP/1.1\r\nHost: {HOST}:{port}\r\n\r\n")).status, 200);
    for host in [
        "127.0.0.1",
        "[::1]:80",
        "other.localhost",
        "acme.localhost",
        "xn--bcher-kva.de",
        "shop_acme.localhost",
        "*.acme.localhost".trim_start_matches("*."),
    ] {
        let answer = running.ask(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!((answer.status, answer.code()), (404, "SW-H404"), "{host}");
        assert!(answer.text().contains("No app has this host name"), "{}", answer.text());
    }
}

#[test]
fn bad_answers_become_502_and_their_connection_is_not_used_again() {
    for bad in [
        "nonsense\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        "HTTP/2 200\r\n\r\n",
        "HTTP/1.1 99 Low\r\n\r\n",
    ] {
        let app = App::says(bad);
        let running = Running::with(&[&app]);
        for _ in 0..2 {
            let answer = running.get("/");
            assert_eq!((answer.status, answer.code()), (502, "SW-H502"), "{bad:?}");
        }
        assert_eq!(app.opened(), 2, "{bad:?}");
    }
}

#[test]
fn surplus_bytes_after_an_answer_reach_nobody() {
    let app = App::says("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
    let running = Running::with(&[&app]);
    for _ in 0..3 {
        assert_eq!(running.get("/").text(), "ok");
    }
    assert_eq!(app.opened(), 3);
}

#[test]
fn an_answer_that_breaks_off_breaks_off_for_the_client() {
    for (head, body) in [
        ("Content-Length: 100", "abc"),
        ("Transfer-Encoding: chunked", "3\r\nabc\r\n"),
        ("Transfer-Encoding: chunked", "3\r\nabc\r\nzz\r\n"),
    ] {
        let app = App::new(move |conversation| {
            conversation.next();
            conversation.send(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}"));
        });
        let running = Running::with(&[&app]);
        let mut client = running.connect();
        client.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
        // The head may not have left yet when the body breaks off; what counts is that nothing looks whole.
        let mut all = Vec::new();
        let _ = std::io::Read::read_to_end(&mut client.reader, &mut all);
        let all = String::from_utf8_lossy(&all);
        assert!(all.is_empty() || all.starts_with("HTTP/1.1 200"), "{all}");
        assert!(all.len() < 400 && !all.ends_with("0\r\n\r\n"), "{all}");
        drop(client);
        assert!(running.lines().contains("end=app-broke-off"));
    }
}
