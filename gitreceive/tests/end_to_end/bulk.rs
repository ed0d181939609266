//! Much data: both directions at once, large packs, many connections.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::harness::{TestServer, noise, ok};

const MB: usize = 1_000_000;

fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("the status of this process");
    let line = status.lines().find(|line| line.starts_with("VmHWM")).expect("the peak");
    line.split_whitespace().nth(1).expect("a number").parse::<u64>().expect("a number") * 1024
}

#[test]
fn two_hundred_megabytes_both_ways_do_not_hang() {
    let server = TestServer::start();
    let block = noise(MB);
    let before = peak_memory();
    let mut ssh = server.ssh("ann", &[], &["cat"]);
    let mut child = ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("ssh runs");
    let mut stdin = child.stdin.take().expect("stdin");
    let mut stdout = child.stdout.take().expect("stdout");
    let sent = block.clone();
    let writer = std::thread::spawn(move || {
        for _ in 0..200 {
            stdin.write_all(&sent).expect("ssh reads");
        }
    });
    let started = Instant::now();
    let mut got = vec![0; MB];
    for n in 0..200 {
        // Falling behind for a while is what fills the queues.
        if n == 20 {
            std::thread::sleep(Duration::from_millis(700));
        }
        stdout.read_exact(&mut got).expect("the echo");
        assert!(got == block, "block {n} came back changed");
    }
    writer.join().expect("the writer");
    assert_eq!(stdout.read(&mut got).expect("the end"), 0);
    assert!(child.wait().expect("ssh").success());
    eprintln!("200 MB both ways in {:?}, memory grew by {} MB", started.elapsed(), (peak_memory() - before) / MB as u64);
    assert!(peak_memory() - before < 64 * MB as u64, "memory is not bounded");
}

#[test]
fn a_push_of_two_hundred_megabytes() {
    let server = TestServer::start();
    let at = server.work("work");
    for n in 0..8 {
        server.commit(&at, &format!("big-{n}.bin"), &noise(25 * MB));
    }
    let before = peak_memory();
    let started = Instant::now();
    ok(server.git(&at, &["-c", "core.bigFileThreshold=1m", "push", "-q", "paas-dev", "main"]));
    eprintln!("200 MB pushed in {:?}, memory grew by {} MB", started.elapsed(), (peak_memory() - before) / MB as u64);
    assert!(peak_memory() - before < 64 * MB as u64, "memory is not bounded");
    assert_eq!(server.branch("acme/shop/dev", "main"), Some(server.head(&at)));
    let dir = server.dir.path();
    let started = Instant::now();
    ok(server.git(dir, &["clone", "-q", &server.url("acme/shop/dev"), "copy"]));
    eprintln!("and cloned in {:?}", started.elapsed());
}

#[test]
fn nonsense_before_the_login_costs_nothing() {
    let server = TestServer::start_with(|config| {
        config.connection_limits.burst = 1000;
        config.login_timeout = Duration::from_secs(2);
    });
    let before = peak_memory();
    let huge = b"SSH-2.0-x\r\n\xff\xff\xff\xff\x00\x00\x00\x00".to_vec();
    let endless = vec![b'a'; 4 * MB];
    let lines = b"hello\r\n".repeat(100_000);
    let zeros = [b"SSH-2.0-x\r\n".to_vec(), vec![0; 4 * MB]].concat();
    for nonsense in [huge, endless, lines, zeros] {
        for _ in 0..10 {
            let mut stream = TcpStream::connect(server.address).expect("a connection");
            stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
            // The server may hang up in the middle of it.
            let _ = stream.write_all(&nonsense);
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest);
            assert!(rest.len() < 10_000);
        }
    }
    let grown = (peak_memory() - before) / MB as u64;
    assert!(grown < 64, "memory grew by {grown} MB");
    assert_eq!(ok(server.ssh("ann", &[], &["status", "0"])), "out\n");
}

#[test]
fn connections_are_capped_and_those_that_do_not_log_in_are_ended() {
    let server = TestServer::start_with(|config| {
        config.login_timeout = Duration::from_millis(1500);
        config.connection_limits.logging_in = 10;
        config.connection_limits.burst = 100;
    });
    let before = peak_memory();
    let mut open: Vec<TcpStream> = (0..60).map(|_| TcpStream::connect(server.address).expect("a connection")).collect();
    let mut greeted = 0;
    for stream in &mut open {
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        let mut greeting = [0; 4];
        greeted += usize::from(stream.read_exact(&mut greeting).is_ok() && &greeting == b"SSH-");
    }
    assert_eq!(greeted, 10, "connections before the login");
    let started = Instant::now();
    for stream in &mut open {
        let mut rest = Vec::new();
        // Either an end or a reset: the server hangs up, this side never did.
        let _ = stream.read_to_end(&mut rest);
    }
    assert!(started.elapsed() < Duration::from_secs(15), "silent connections were kept");
    assert!(peak_memory() - before < 32 * MB as u64);
    assert_eq!(ok(server.ssh("ann", &[], &["status", "0"])), "out\n");
}
