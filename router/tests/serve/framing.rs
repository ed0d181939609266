//! Bodies both ways, in every framing, and what travels in the heads.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use crate::harness::{App, HOST, Running, wait_until};

#[test]
fn a_request_and_its_answer_and_the_line_about_it() {
    let app = App::echo();
    let running = Running::with(&[&app]);
    let answer = running.ask(&format!("GET /a/b?c=secret HTTP/1.1\r\nHost: {HOST}:{}\r\nX-Own: 1\r\n\r\n", running.address.port()));
    assert_eq!(answer.status, 200);
    let id = answer.header("x-request-id").expect("an id").to_owned();
    let text = answer.text();
    assert!(text.starts_with("GET /a/b?c=secret HTTP/1.1\r\n"), "{text}");
    for line in [
        format!("host: {HOST}:{}", running.address.port()),
        "x-own: 1".into(),
        "x-forwarded-for: 127.0.0.1".into(),
        "x-forwarded-proto: http".into(),
        format!("x-forwarded-host: {HOST}"),
        format!("x-forwarded-port: {}", running.address.port()),
        format!("x-request-id: {id}"),
    ] {
        assert!(text.contains(&format!("{line}\r\n")), "{line} is missing in {text}");
    }
    let lines = running.lines();
    let line = lines.lines().next().expect("a line");
    for part in [
        format!("id={id} method=GET host={HOST} path=\"/a/b\" status=200 bytes_in=0 bytes={}", answer.body.len()),
        format!("tenant=acme app=shop env=prod release=v3 instance={} zone=a client=127.0.0.1:", app.id()),
        "retries=0 end=whole".into(),
        "duration_ms=".into(),
    ] {
        assert!(line.contains(&part), "{part} is missing in {line}");
    }
    assert!(!lines.contains("secret"), "{lines}");
}

#[test]
fn keep_alive_on_both_sides_and_pipelining() {
    let app = App::echo();
    let running = Running::with(&[&app]);
    let mut client = running.connect();
    for n in 0..20 {
        client.send(format!("GET /{n} HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
        assert!(client.answer("GET").text().starts_with(&format!("GET /{n} ")));
    }
    assert_eq!(app.opened(), 1, "one connection to the app carried all");
    client.send((0..10).map(|n| format!("POST /{n} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 5\r\n\r\nbody{n}")).collect::<String>());
    for n in 0..10 {
        let text = client.answer("POST").text();
        assert!(text.starts_with(&format!("POST /{n} ")) && text.ends_with(&format!("body{n}")), "{text}");
    }
}

#[test]
fn every_split_of_a_request_is_the_same_request() {
    let app = App::echo();
    let running = Running::with(&[&app]);
    let request = format!("POST /x HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
    let mut client = running.connect();
    for split in 1..request.len() {
        client.send(&request[..split]);
        // Long enough for the first part to be read alone, most of the time; either way the answer is the same.
        std::thread::sleep(Duration::from_millis(2));
        client.send(&request[split..]);
        let answer = client.answer("POST");
        assert_eq!(answer.status, 200, "split at {split}");
        assert!(answer.text().ends_with("\r\n\r\nabcde"), "split at {split}: {}", answer.text());
    }
}

#[test]
fn chunks_in_and_out_with_trailers() {
    let app = App::new(|conversation| {
        while let Some(got) = conversation.next() {
            conversation.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n");
            for piece in got.body.chunks(7) {
                conversation.send(format!("{:x};ext=1\r\n", piece.len()));
                conversation.send(piece);
                conversation.send("\r\n");
            }
            conversation.send("0\r\nX-Sum: 1\r\n\r\n");
        }
    });
    let running = Running::with(&[&app]);
    let mut client = running.connect();
    for _ in 0..3 {
        client.send(format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n1;a=b\r\nx\r\n14\r\n01234567890123456789\r\n0\r\nX-Trailer: dropped\r\n\r\n"));
        assert_eq!(client.answer("POST").text(), "x01234567890123456789");
    }
    client.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nTE: trailers\r\n\r\n"));
    assert_eq!(client.head().0, 200);
    let mut trailer = [0; 15];
    client.reader.read_exact(&mut trailer).expect("the trailer");
    assert_eq!(String::from_utf8_lossy(&trailer).to_ascii_lowercase(), "0\r\nx-sum: 1\r\n\r\n");
    assert_eq!(app.opened(), 1);
}

#[test]
fn answers_without_a_body() {
    for (method, head, expected) in [
        ("HEAD", "200 OK\r\nContent-Length: 5", Some("5")),
        ("HEAD", "200 OK\r\nTransfer-Encoding: chunked", None),
        ("GET", "204 No Content", None),
        ("GET", "304 Not Modified\r\nETag: \"x\"", None),
        ("GET", "200 OK\r\nContent-Length: 0", Some("0")),
    ] {
        let app = App::says(format!("HTTP/1.1 {head}\r\n\r\n"));
        let running = Running::with(&[&app]);
        let mut client = running.connect();
        for _ in 0..3 {
            client.send(format!("{method} / HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
            let answer = client.answer(method);
            assert_eq!(answer.header("content-length"), expected, "{head}: {}", answer.head);
            assert_eq!(answer.status.to_string(), head[..3]);
        }
        assert_eq!(app.opened(), 1, "{head}");
    }
}

#[test]
fn an_answer_until_close_and_informational_ones_before_it() {
    let app = App::new(|conversation| {
        conversation.next();
        conversation.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 OK\r\n\r\nall of it");
    });
    let running = Running::with(&[&app]);
    assert_eq!(running.get("/").text(), "all of it");
    let mut client = running.connect();
    client.send(format!("GET / HTTP/1.0\r\nHost: {HOST}\r\n\r\n"));
    let answer = client.answer("GET");
    assert_eq!((answer.text().as_str(), answer.header("transfer-encoding")), ("all of it", None));
    assert!(client.is_closed());
}

#[test]
fn an_http_1_0_client_gets_no_chunks_and_may_keep_alive() {
    let app = App::says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    let running = Running::with(&[&app]);
    let mut client = running.connect();
    client.send(format!("GET / HTTP/1.0\r\nHost: {HOST}\r\n\r\n"));
    let answer = client.answer("GET");
    assert_eq!((answer.text().as_str(), answer.header("transfer-encoding")), ("abc", None));
    let app = App::echo();
    running.route(model::RouteState::Ready, &[&app]);
    let mut client = running.connect();
    for _ in 0..2 {
        client.send(format!("GET / HTTP/1.0\r\nHost: {HOST}\r\nConnection: keep-alive\r\n\r\n"));
        assert_eq!(client.answer("GET").status, 200);
    }
}

#[test]
fn continue_is_said_once_the_app_is_there() {
    let app = App::echo();
    let running = Running::with(&[&app]);
    let mut client = running.connect();
    client.send(format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"));
    assert_eq!(client.head().0, 100);
    client.send("abc");
    let answer = client.answer("POST");
    assert!(answer.text().ends_with("abc") && !answer.text().contains("expect"), "{}", answer.text());
}

#[test]
fn an_early_answer_reaches_a_client_that_still_sends() {
    let app = App::new(|conversation| {
        conversation.head();
        conversation.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig");
        // A polite app reads on for a moment, so that its own answer is not reset away.
        let _ = conversation.stream.shutdown(std::net::Shutdown::Write);
        let _ = std::io::copy(&mut conversation.reader, &mut std::io::sink());
    });
    let running = Running::with(&[&app]);
    let mut client = running.connect();
    client.send(format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 100000000\r\n\r\n"));
    let _ = client.stream.write_all(&[b'x'; 200_000]);
    let answer = client.answer("POST");
    assert_eq!((answer.status, answer.text().as_str()), (413, "big"));
    assert!(client.is_closed());
    assert_eq!(running.get("/").status, 413);
    assert_eq!(app.opened(), 2, "a connection with an unfinished request is not used again");
}

#[test]
fn both_directions_stream_at_the_same_time() {
    // Answers each byte when it comes, long before the request ends.
    let app = App::new(|conversation| {
        conversation.head();
        conversation.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
        let mut line = String::new();
        use std::io::BufRead;
        while conversation.reader.read_line(&mut line).is_ok_and(|len| len > 0) && line != "0\r\n" {
            if line.starts_with("event") {
                conversation.send(format!("{:x}\r\n{line}\r\n", line.len()));
            }
            line.clear();
        }
        conversation.send("0\r\n\r\n");
    });
    let running = Running::with(&[&app]);
    let mut client = running.connect();
    client.send(format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n"));
    assert_eq!(client.head().0, 200);
    for n in 0..10 {
        let event = format!("event {n}\n");
        client.send(format!("{:x}\r\n{event}\r\n", event.len()));
        let mut chunk = vec![0; event.len() + 5];
        client.reader.read_exact(&mut chunk).expect("the event comes back at once");
        assert_eq!(String::from_utf8_lossy(&chunk), format!("{:x}\r\n{event}\r\n", event.len()));
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.chunks().expect("the end").len(), 0);
}

fn rss_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("proc");
    let line = status.lines().find(|line| line.starts_with("VmHWM")).expect("a peak");
    line.split_whitespace().nth(1).and_then(|kb| kb.parse().ok()).expect("a number")
}

#[test]
fn a_hundred_megabytes_each_way_in_flat_memory() {
    const LEN: usize = 100 << 20;
    let app = App::new(|conversation| {
        while let Some(head) = conversation.head() {
            let mut block = vec![0; 64 << 10];
            if head.starts_with("POST") {
                let mut left = LEN;
                while left > 0 {
                    let some = conversation.reader.read(&mut block).expect("the body");
                    assert!(some > 0, "the body ended early");
                    left -= some;
                }
                conversation.say("taken");
            } else {
                conversation.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {LEN}\r\n\r\n"));
                for _ in 0..LEN / block.len() {
                    conversation.send(&block);
                }
            }
        }
    });
    let running = Running::with(&[&app]);
    let before = rss_kb();
    let mut client = running.connect();
    client.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
    assert_eq!(client.head().0, 200);
    // A reader that is slow at first: what it does not read must wait in the app, not in us.
    std::thread::sleep(Duration::from_millis(300));
    let len = std::io::copy(&mut client.reader.by_ref().take(LEN as u64), &mut std::io::sink()).expect("the body");
    assert_eq!(len, LEN as u64);
    client.send(format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {LEN}\r\n\r\n"));
    let block = vec![7; 64 << 10];
    for _ in 0..LEN / block.len() {
        client.send(&block);
    }
    assert_eq!(client.answer("POST").text(), "taken");
    let grown = rss_kb() - before;
    assert!(grown < 20 << 10, "memory grew by {grown} KB");
}

#[test]
fn a_client_that_leaves_frees_the_app() {
    let app = App::new(|conversation| {
        conversation.head();
        conversation.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n");
        let _ = conversation.reader.read(&mut [0]);
    });
    let running = Running::with(&[&app]);
    let mut client = running.connect();
    client.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
    assert_eq!(client.head().0, 200);
    drop(client);
    let start = Instant::now();
    wait_until("the app's connection closes", || app.open.load(std::sync::atomic::Ordering::SeqCst) == 0);
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(running.lines().contains("end=client-left"));
}
