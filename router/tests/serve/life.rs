//! Time limits, and how connections and the router itself end.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::harness::{App, HOST, Running, wait_until};

const SHORT: Duration = Duration::from_millis(200);

#[test]
fn a_slow_head_is_answered_408_and_a_silent_client_is_closed() {
    let app = App::echo();
    let running = Running::with_times(&[&app], |times| times.head = SHORT);
    let mut client = running.connect();
    client.send("GET / HTTP/1.1\r\nHo");
    let answer = client.answer("GET");
    assert_eq!((answer.status, answer.code()), (408, "SW-H408"));
    assert!(client.is_closed());
    assert!(running.connect().is_closed(), "nothing was asked, nothing is answered");
    // One byte now and then does not help.
    let mut client = running.connect();
    let start = Instant::now();
    for byte in format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n").bytes().cycle() {
        if client.stream.write_all(&[byte]).is_err() || start.elapsed() > Duration::from_secs(3) {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
        if start.elapsed() > 3 * SHORT {
            break;
        }
    }
    assert_eq!(client.answer("GET").status, 408);
}

#[test]
fn an_idle_connection_is_closed() {
    let app = App::echo();
    let running = Running::with_times(&[&app], |times| times.keep_alive = SHORT);
    let mut client = running.connect();
    client.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
    assert_eq!(client.answer("GET").status, 200);
    let start = Instant::now();
    assert!(client.is_closed());
    assert!(start.elapsed() >= SHORT / 2 && start.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_slow_body_is_answered_408() {
    let app = App::echo();
    let running = Running::with_times(&[&app], |times| times.client_body = SHORT);
    let mut client = running.connect();
    client.send(format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 10\r\n\r\nabc"));
    let answer = client.answer("POST");
    assert_eq!((answer.status, answer.code()), (408, "SW-H408"));
    assert!(client.is_closed());
}

#[test]
fn an_app_that_does_not_answer_is_504_by_its_route() {
    let app = App::new(|conversation| {
        conversation.next();
        conversation.next();
    });
    let running = Running::with(&[&app]);
    let start = Instant::now();
    let answer = running.get("/");
    assert_eq!((answer.status, answer.code(), app.seen()), (504, "SW-H504", 1));
    assert!(start.elapsed() >= Duration::from_secs(1) && start.elapsed() < Duration::from_secs(4));
}

#[test]
fn an_app_that_stops_inside_its_answer_is_cut_off_and_an_event_stream_is_not() {
    let pause = |kind: &'static str| {
        App::new(move |conversation| {
            conversation.next();
            conversation.send(format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"));
            std::thread::sleep(4 * SHORT);
            conversation.send("1\r\nb\r\n0\r\n\r\n");
        })
    };
    let (page, events) = (pause("text/html"), pause("text/event-stream"));
    let running = Running::with_times(&[&page], |times| times.answer = SHORT);
    let mut client = running.connect();
    client.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
    assert_eq!(client.head().0, 200);
    assert!(client.chunks().is_err());
    running.route(model::RouteState::Ready, &[&events]);
    assert_eq!(running.get("/").text(), "ab");
    assert!(running.lines().contains("end=app-too-slow"));
}

#[test]
fn a_client_that_does_not_read_is_cut_off() {
    let app = App::new(|conversation| {
        conversation.next();
        conversation.send("HTTP/1.1 200 OK\r\n\r\n");
        while conversation.stream.write_all(&[0; 65536]).is_ok() {}
    });
    let running = Running::with_times(&[&app], |times| times.client_read = SHORT);
    let mut client = running.connect();
    client.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
    wait_until("the app's connection is closed", || app.opened() == 1 && app.open.load(std::sync::atomic::Ordering::SeqCst) == 0);
}

#[test]
fn shutdown_finishes_what_is_in_flight_and_takes_nothing_new() {
    let app = App::new(|conversation| {
        while conversation.next().is_some() {
            std::thread::sleep(2 * SHORT);
            conversation.say("done");
        }
    });
    let mut running = Running::with(&[&app]);
    let mut idle = running.connect();
    let mut client = running.connect();
    client.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
    wait_until("the request is in flight", || app.seen() == 1);
    let start = Instant::now();
    running.shutdown.cancel();
    let answer = client.answer("GET");
    assert_eq!((answer.text().as_str(), answer.header("connection")), ("done", Some("close")));
    assert!(client.is_closed() && idle.is_closed());
    running.stop();
    assert!(start.elapsed() < Duration::from_secs(5), "it does not wait for its deadline");
    assert!(std::net::TcpStream::connect(running.address).is_err());
    assert!(running.log.text().contains("end=whole"), "the log is written before it returns");
}

#[test]
fn shutdown_has_a_deadline() {
    let app = App::new(|conversation| {
        conversation.next();
        conversation.next();
    });
    let mut running = Running::with_times(&[&app], |times| times.shutdown = SHORT);
    let mut client = running.connect();
    client.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
    wait_until("the request is in flight", || app.seen() == 1);
    let start = Instant::now();
    running.stop();
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[test]
fn idle_connections_to_apps_are_few_and_short() {
    let app = App::new(|conversation| {
        while conversation.next().is_some() {
            std::thread::sleep(Duration::from_millis(100));
            conversation.say("x");
        }
    });
    let running = Running::start(|config| {
        config.workers = Some(1);
        config.times.idle = Duration::from_secs(2);
    });
    running.route(model::RouteState::Ready, &[&app]);
    let mut clients: Vec<_> = (0..20).map(|_| running.connect()).collect();
    for client in &mut clients {
        client.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
    }
    for client in &mut clients {
        assert_eq!(client.answer("GET").status, 200);
    }
    let open = || app.open.load(std::sync::atomic::Ordering::SeqCst);
    wait_until("all but eight idle connections are closed", || open() <= 8);
    assert!(open() > 0);
    wait_until("idle connections are closed in time", || open() == 0);
}

#[test]
fn a_port_that_is_taken_is_refused_and_both_families_are_served() {
    let app = App::echo();
    let running = Running::start(|config| config.listen = vec!["[::]:0".parse().expect("an address")]);
    running.route(model::RouteState::Ready, &[&app]);
    for address in ["127.0.0.1", "[::1]"] {
        let mut client = crate::harness::Client::new(format!("{address}:{}", running.address.port()).parse().expect("an address"));
        client.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
        let text = client.answer("GET").text();
        assert!(text.contains(&format!("x-forwarded-for: {}\r\n", address.trim_matches(['[', ']']))), "{text}");
    }
    let config = router::Config { listen: vec![running.address], ..router::Config::default() };
    let error = router::Router::bind(config, None).map(|_| ()).expect_err("the port is taken");
    assert!(error.to_string().contains(&format!("could not listen on [::]:{}", running.address.port())), "{error}");
}
