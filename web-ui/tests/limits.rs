//! Whoever holds connections or streams takes them from nobody else. Over real sockets, from several addresses of this machine.

mod platform;

use std::net::SocketAddr;
use std::time::Duration;

use platform::Platform;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;
use web_ui::Config;

const LIMIT: Duration = Duration::from_secs(10);

async fn connect(from: &str, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(format!("{from}:0").parse().expect("an address")).expect("an address of this machine");
    socket.connect(to).await.expect("a connection")
}

/// The first line of the answer and the rest; empty when the connection was closed without one.
async fn ask(from: &str, to: SocketAddr, path: &str, token: &str) -> String {
    let mut stream = connect(from, to).await;
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n");
    let mut text = String::new();
    let answered = async {
        // A connection that is closed at once may be so before the request is written.
        if stream.write_all(request.as_bytes()).await.is_ok() {
            let _ = stream.read_to_string(&mut text).await;
        }
    };
    tokio::time::timeout(LIMIT, answered).await.expect("neither an answer nor an end within 10 s");
    text
}

struct Served {
    platform: Platform,
    address: SocketAddr,
    shutdown: CancellationToken,
    serving: tokio::task::JoinHandle<()>,
}

impl Served {
    async fn start(config: Config) -> Self {
        let platform = Platform::start_with(config).await;
        let bound = platform.ui.bind("127.0.0.1:0".parse().expect("an address")).await.expect("a listener");
        let (address, shutdown) = (bound.address().expect("an address"), CancellationToken::new());
        let serving = tokio::spawn(bound.serve(shutdown.clone()));
        Self { platform, address, shutdown, serving }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(LIMIT, self.serving).await.expect("the listener went on").expect("no panic");
        self.platform.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_of_one_address_keep_nobody_else_out() {
    let served = Served::start(Config { connections: 12, connections_per_address: 5, ..Config::default() }).await;
    let token = served.platform.token("ada").await;
    let (to, token) = (served.address, token.as_str());
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(connect("127.0.0.2", to).await);
    }
    let own = ask("127.0.0.3", to, "/api/v1/whoami", token).await;
    assert!(own.starts_with("HTTP/1.1 200") && own.contains("\"user\":\"ada\""), "{own}");
    for n in 10..20 {
        silent.push(connect(&format!("127.0.0.{n}"), to).await);
    }
    // The total is reached: a new address is told so, and health is answered.
    let health = ask("127.0.0.4", to, "/healthz", token).await;
    assert!(health.starts_with("HTTP/1.1 200"), "{health}");
    let refused = ask("127.0.0.4", to, "/api/v1/whoami", token).await;
    assert!(refused.starts_with("HTTP/1.1 429") && refused.contains("SW-A429"), "{refused}");
    drop(silent);
    let deadline = tokio::time::Instant::now() + LIMIT;
    while !ask("127.0.0.2", to, "/api/v1/whoami", token).await.starts_with("HTTP/1.1 200") {
        assert!(tokio::time::Instant::now() < deadline, "the places of closed connections did not come back within 10 s");
    }
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_have_limits_of_their_own_and_leave_connections_free() {
    let served = Served::start(Config { connections_per_address: 4, streams: [100, 6, 20], ..Config::default() }).await;
    let token = served.platform.token("vic").await;
    let to = served.address;
    let path = "/api/v1/apps/acme/shop/envs/dev/logs?follow=true";
    let open = async || {
        let mut stream = connect("127.0.0.1", to).await;
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("a write");
        let mut bytes = vec![0; 4096];
        let read = tokio::time::timeout(LIMIT, stream.read(&mut bytes)).await.expect("a head within 10 s").expect("a head");
        (stream, String::from_utf8_lossy(&bytes[..read]).into_owned())
    };
    let mut streams = Vec::new();
    for n in 0..6 {
        let (stream, head) = open().await;
        assert!(head.starts_with("HTTP/1.1 200"), "stream {n} of 6, over 4 connections: {head}");
        streams.push(stream);
    }
    let (_, refused) = open().await;
    assert!(refused.starts_with("HTTP/1.1 429") && refused.contains("vic has 6 open"), "{refused}");
    let answered = ask("127.0.0.1", to, "/api/v1/whoami", &token).await;
    assert!(answered.starts_with("HTTP/1.1 200"), "{answered}");
    let other = served.platform.token("ada").await;
    assert!(ask("127.0.0.1", to, "/api/v1/whoami", &other).await.starts_with("HTTP/1.1 200"));

    drop(streams);
    let deadline = tokio::time::Instant::now() + LIMIT;
    loop {
        let (_, head) = open().await;
        if head.starts_with("HTTP/1.1 200") {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "the places of closed streams did not come back within 10 s");
        // A stream learns that its reader has left when it next writes.
        let _ = served.platform.lines.coming.send("2026-01-01T00:00:00Z web.1 a line".into());
    }
    served.stop().await;
}
