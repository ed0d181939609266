//! WebSockets: nothing passes before the 101, everything passes after it, and they end in their own time.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use model::RouteState;
use router::DrainState;

use crate::harness::{App, Client, HOST, Running, wait_until};

const UPGRADE: &str =
    "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13";

/// Switches protocols, then sends back every byte.
fn echo() -> App {
    App::new(|conversation| {
        let Some(got) = conversation.next() else { return };
        assert_eq!((got.header("connection"), got.header("upgrade")), (Some("upgrade"), Some("websocket")));
        assert!(got.header("sec-websocket-key").is_some());
        conversation.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
        let mut stream = conversation.stream.try_clone().expect("a second handle");
        let _ = std::io::copy(&mut conversation.reader, &mut stream);
    })
}

fn open(running: &Running) -> Client {
    let mut client = running.connect();
    client.send(format!("GET /ws HTTP/1.1\r\nHost: {HOST}\r\n{UPGRADE}\r\n\r\n"));
    let (status, head) = client.head();
    assert_eq!(status, 101, "{head}");
    let head = head.to_ascii_lowercase();
    assert!(
        head.contains("upgrade: websocket")
            && head.contains("connection: upgrade")
            && head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="),
        "{head}"
    );
    client
}

fn roundtrip(client: &mut Client, bytes: &[u8]) {
    let mut back = vec![0; bytes.len()];
    std::thread::scope(|scope| {
        let mut stream = client.stream.try_clone().expect("a second handle");
        scope.spawn(move || stream.write_all(bytes).expect("the router takes it"));
        client.reader.read_exact(&mut back).expect("it comes back");
    });
    assert!(back == bytes, "the bytes changed on the way");
}

/// A masked binary frame.
fn frame(payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x82];
    match payload.len() {
        len @ 0..126 => bytes.push(0x80 | len as u8),
        len => {
            bytes.push(0x80 | 127);
            bytes.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(payload);
    bytes
}

#[test]
fn every_byte_goes_through_both_ways() {
    let app = echo();
    let running = Running::with(&[&app]);
    let mut client = open(&running);
    roundtrip(&mut client, &frame(b"hello"));
    let large: Vec<u8> = (0..3_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    roundtrip(&mut client, &frame(&large));
    // What is no frame at all goes through as well.
    roundtrip(&mut client, b"\x00\x01garbage\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff");
    client.stream.shutdown(std::net::Shutdown::Write).expect("half closed");
    assert!(client.is_closed());
    wait_until("the app's side is closed", || app.open.load(std::sync::atomic::Ordering::SeqCst) == 0);
    let lines = running.lines();
    assert!(lines.contains("status=101") && lines.contains("end=whole") && lines.contains("bytes_in=30000"), "{lines}");
}

#[test]
fn nothing_passes_before_the_answer() {
    let app = App::new(|conversation| {
        conversation.next();
        std::thread::sleep(Duration::from_millis(200));
        conversation.stream.set_nonblocking(true).expect("non-blocking");
        let early = conversation.reader.read(&mut [0; 10]);
        assert!(early.is_err(), "bytes came before the upgrade was granted");
        conversation.stream.set_nonblocking(false).expect("blocking");
        conversation.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhi");
        let mut got = [0; 5];
        conversation.reader.read_exact(&mut got).expect("what the client sent early");
        conversation.send(got);
    });
    let running = Running::with(&[&app]);
    let mut client = running.connect();
    client.send(format!("GET /ws HTTP/1.1\r\nHost: {HOST}\r\n{UPGRADE}\r\n\r\nearly"));
    assert_eq!(client.head().0, 101);
    let mut back = [0; 7];
    client.reader.read_exact(&mut back).expect("both");
    assert_eq!(&back, b"hiearly");
}

#[test]
fn a_refused_upgrade_leaves_an_ordinary_connection() {
    let app = App::says("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
    let running = Running::with(&[&app]);
    let mut client = running.connect();
    // A request hidden behind the upgrade is an ordinary next request, judged like any other.
    client.send(format!("GET /ws HTTP/1.1\r\nHost: {HOST}\r\n{UPGRADE}\r\n\r\nGET /hidden HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"));
    assert_eq!(client.answer("GET").status, 403);
    assert_eq!(client.answer("GET").status, 400);
    assert!(client.is_closed());
    let mut client = running.connect();
    for _ in 0..3 {
        client.send(format!("GET /ws HTTP/1.1\r\nHost: {HOST}\r\n{UPGRADE}\r\n\r\n"));
        assert_eq!(client.answer("GET").status, 403);
    }
    assert_eq!(app.seen(), 4);
}

#[test]
fn an_upgrade_to_anything_else_is_dropped() {
    let app = App::echo();
    let running = Running::with(&[&app]);
    let answer = running.ask(&format!(
        "GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n\r\n"
    ));
    let text = answer.text().to_ascii_lowercase();
    assert!(!text.contains("upgrade") && !text.contains("http2-settings"), "{text}");
}

#[test]
fn a_quiet_tunnel_is_closed() {
    let app = echo();
    let running = Running::with_times(&[&app], |times| times.quiet = Duration::from_millis(200));
    let mut client = open(&running);
    roundtrip(&mut client, b"\x81\x02hi");
    assert!(client.is_closed());
}

#[test]
fn tunnels_of_an_instance_that_leaves_end_between_frames_within_their_time() {
    let (old, new) = (echo(), echo());
    let running = Running::with_times(&[&old], |times| times.tunnel_drain = Duration::from_millis(600));
    let mut clients: Vec<_> = (0..8).map(|_| open(&running)).collect();
    for client in &mut clients {
        roundtrip(client, &frame(b"hello"));
    }
    running.route(RouteState::Ready, &[&new]);
    let app = crate::harness::APP.parse().expect("an app");
    wait_until("workers have the new table", || {
        matches!(running.handle.drain_state(&app, &old.id()), DrainState::Draining { requests: 0, .. })
    });
    assert_eq!(running.handle.drain_state(&app, &new.id()), DrainState::Serving);
    let start = Instant::now();
    let mut ends = Vec::new();
    std::thread::scope(|scope| {
        let threads: Vec<_> = clients
            .into_iter()
            .map(|mut client| {
                scope.spawn(move || {
                    let mut rest = Vec::new();
                    client.reader.read_to_end(&mut rest).expect("a clean end");
                    (rest, start.elapsed())
                })
            })
            .collect();
        ends.extend(threads.into_iter().map(|thread| thread.join().expect("read to the end")));
    });
    for (rest, _) in &ends {
        assert_eq!(rest, &[0x88, 0x02, 0x03, 0xe9], "1001, going away");
    }
    let (first, last) = (ends.iter().map(|end| end.1).min(), ends.iter().map(|end| end.1).max());
    assert!(last < Some(Duration::from_secs(8)), "{last:?}");
    assert!(
        last.zip(first).is_some_and(|(last, first)| last - first > Duration::from_millis(50)),
        "they ended all at once: {first:?} {last:?}"
    );
    wait_until("the old instance is drained", || running.handle.drain_state(&app, &old.id()) == DrainState::Drained);
}
