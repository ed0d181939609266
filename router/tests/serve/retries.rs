//! Each row of the retry table, with apps that count.

use std::net::TcpListener;

use model::RouteState;

use crate::harness::{App, HOST, Running};

fn post(running: &Running, body: &str) -> crate::harness::Answer {
    running.ask(&format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
}

/// Serves the first request of each connection; ends the connection at the second, having read it.
fn breaks_on_reuse() -> App {
    App::new(|conversation| {
        if conversation.next().is_some() {
            conversation.say("first");
            conversation.next();
        }
    })
}

#[test]
fn a_refused_connection_goes_to_another_instance_whatever_the_method() {
    let (dead, app) = (App::dead(), App::echo());
    let running = Running::with(&[&dead, &app]);
    for _ in 0..30 {
        assert_eq!(running.get("/").status, 200);
        assert_eq!(post(&running, "x").status, 200);
    }
    assert_eq!(app.seen(), 60);
    let lines = running.lines();
    assert!(lines.contains("retries=1"), "{lines}");
    // Each worker avoids the dead one after three failures, for a second at first.
    assert!(lines.matches("retries=1").count() <= 12, "{lines}");
}

#[test]
fn nobody_there_is_502_after_three_more_tries() {
    let dead = App::dead();
    let running = Running::with(&[&dead]);
    let answer = running.get("/");
    assert_eq!((answer.status, answer.code()), (502, "SW-H502"));
    assert!(running.lines().contains("status=502"));
}

#[test]
fn an_instance_that_comes_back_within_the_tries_serves() {
    let mut dead = App::new(|_| {});
    let address = dead.address;
    dead.end();
    let running = Running::with(&[&dead]);
    let late = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(60));
        App::on(TcpListener::bind(address).expect("the same port"), |conversation| {
            while conversation.next().is_some() {
                conversation.say("back");
            }
        })
    });
    assert_eq!(running.get("/").text(), "back");
    drop(late.join().expect("the app"));
}

#[test]
fn a_get_on_a_reused_connection_that_breaks_is_sent_once_more() {
    let app = breaks_on_reuse();
    let running = Running::start(|config| config.workers = Some(1));
    running.route(RouteState::Ready, &[&app]);
    for n in 0..5 {
        assert_eq!(running.get("/").text(), "first", "request {n}");
    }
    // Each reuse was seen by the app, ended without an answer, and sent again on a fresh connection.
    assert_eq!((app.seen(), app.opened()), (9, 5));
}

#[test]
fn a_put_with_a_buffered_body_too_but_not_a_large_one() {
    let app = breaks_on_reuse();
    let running = Running::start(|config| config.workers = Some(1));
    running.route(RouteState::Ready, &[&app]);
    let put = |len: usize| running.ask(&format!("PUT / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {len}\r\n\r\n{}", "x".repeat(len)));
    assert_eq!(put(10).status, 200);
    assert_eq!(put(10).status, 200, "sent again from the buffer");
    assert_eq!(put(100_000).status, 502, "too large to be kept");
}

#[test]
fn a_post_is_never_sent_twice() {
    for body in ["", "x"] {
        let app = breaks_on_reuse();
        let running = Running::start(|config| config.workers = Some(1));
        running.route(RouteState::Ready, &[&app]);
        assert_eq!(post(&running, body).status, 200);
        assert_eq!(post(&running, body).status, 502, "{body:?}");
        assert_eq!(app.seen(), 2, "each was seen once: {body:?}");
    }
}

#[test]
fn a_fresh_connection_that_breaks_is_not_repeated_nor_is_a_502_of_the_app() {
    let app = App::new(|conversation| {
        conversation.next();
    });
    let running = Running::with(&[&app]);
    let answer = running.get("/");
    assert_eq!((answer.status, answer.code(), app.seen()), (502, "SW-H502", 1));
    for status in ["502 Bad Gateway", "503 Service Unavailable"] {
        let app = App::says(format!("HTTP/1.1 {status}\r\nContent-Length: 3\r\n\r\nown"));
        running.route(RouteState::Ready, &[&app]);
        let answer = running.get("/");
        assert_eq!((answer.text().as_str(), answer.code(), app.seen()), ("own", "none", 1));
    }
}

#[test]
fn an_answer_that_had_begun_is_never_repeated() {
    let app = App::new(|conversation| {
        conversation.next();
        conversation.send("HTTP/1.1 200 OK\r\nContent-");
    });
    let running = Running::with(&[&app]);
    assert_eq!((running.get("/").status, app.seen()), (502, 1));
}

#[test]
fn a_closed_idle_connection_is_noticed_before_it_is_used() {
    // Closes after each answer without saying so.
    let app = App::new(|conversation| {
        conversation.next();
        conversation.say("once");
    });
    let running = Running::start(|config| config.workers = Some(1));
    running.route(RouteState::Ready, &[&app]);
    for _ in 0..5 {
        assert_eq!(post(&running, "x").text(), "once");
        crate::harness::wait_until("the app has closed", || app.open.load(std::sync::atomic::Ordering::SeqCst) == 0);
        // The close must have travelled to the router's runtime as well.
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!((app.seen(), app.opened()), (5, 5));
}
