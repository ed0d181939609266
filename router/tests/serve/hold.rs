//! Requests that are held: for whom, for how long, in which order, and who is turned away.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use model::{InstanceState, RouteState};

use crate::harness::{App, Client, HOST, Running, wait_until};

fn held(running: &Running, n: usize) -> Vec<Client> {
    (0..n)
        .map(|n| {
            let mut client = running.connect();
            client.send(format!("GET /{n} HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
            // Order of arrival is what is tested.
            wait_until("a held request", || running.handle.metrics().held == n as u64 + 1);
            client
        })
        .collect()
}

#[test]
fn states_answer_each_in_its_own_way() {
    let app = App::echo();
    let running = Running::with_times(&[&app], |times| {
        (times.paused, times.missing, times.starting) =
            (Duration::from_millis(150), Duration::from_millis(100), Duration::from_millis(200));
    });
    let wait = |wanted: &str| {
        let start = Instant::now();
        let answer = running.get("/");
        assert_eq!((answer.status, answer.code()), (503, "SW-H503"));
        assert!(answer.text().contains(wanted), "{}", answer.text());
        start.elapsed()
    };
    running.route(RouteState::Maintenance, &[&app]);
    assert!(wait("being worked on") < Duration::from_millis(100));
    running.route(RouteState::Stopped, &[&app]);
    assert!(wait("is stopped") < Duration::from_millis(100));
    running.route(RouteState::Paused, &[&app]);
    assert!(wait("paused") >= Duration::from_millis(150));
    running.route(RouteState::Ready, &[]);
    assert!(wait("no instance that is ready") >= Duration::from_millis(100));
    let mut status = app.status();
    status.state = InstanceState::Starting;
    running.swap(RouteState::Ready, &[status.clone()]);
    assert!(wait("no instance that is ready") >= Duration::from_millis(200));
    status.state = InstanceState::Flapping;
    running.swap(RouteState::Ready, &[status]);
    assert!(wait("keeps failing to start") < Duration::from_millis(100));
    assert_eq!(app.seen(), 0);
}

#[test]
fn held_requests_go_on_oldest_first_when_an_instance_is_there() {
    let order = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&order);
    let app = App::new(move |conversation| {
        while let Some(got) = conversation.next() {
            seen.lock().expect("not poisoned").push((conversation.ordinal, got.path().to_owned()));
            conversation.say("late");
        }
    });
    let running = Running::start(|config| config.workers = Some(1));
    running.route(RouteState::Ready, &[]);
    let mut clients = held(&running, 20);
    assert_eq!(app.seen(), 0);
    running.route(RouteState::Ready, &[&app]);
    for client in &mut clients {
        assert_eq!(client.answer("GET").text(), "late");
    }
    // The threads of the app run as they like; its connections were made in the order of the queue.
    let mut order = order.lock().expect("not poisoned").clone();
    order.sort();
    assert!(order.iter().enumerate().all(|(at, (_, path))| *path == format!("/{at}")), "{order:?}");
    assert!(running.lines().lines().all(|line| !line.contains("queue_ms=0.000")));
}

#[test]
fn too_many_are_turned_away_and_who_leaves_makes_room() {
    let app = App::echo();
    let running = Running::start(|config| config.max_held = 3);
    running.route(RouteState::Paused, &[&app]);
    let mut clients = held(&running, 3);
    let answer = running.get("/");
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")));
    assert!(answer.text().contains("too many requests wait"), "{}", answer.text());
    drop(clients.remove(0));
    // The place is free once the router has noticed.
    let mut next = running.connect();
    wait_until("a place after one has left", || {
        next = running.connect();
        next.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
        next.stream.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
        next.stream.peek(&mut [0]).is_err()
    });
    next.stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    running.route(RouteState::Ready, &[&app]);
    assert_eq!(next.answer("GET").status, 200);
    for client in &mut clients {
        assert_eq!(client.answer("GET").status, 200);
    }
}

#[test]
fn a_held_body_stays_with_its_client() {
    use std::io::Write;
    let app = App::echo();
    let running = Running::with(&[&app]);
    running.route(RouteState::Paused, &[&app]);
    let mut client = running.connect();
    client.send(format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 50000000\r\n\r\n"));
    client.stream.set_write_timeout(Some(Duration::from_millis(300))).expect("a timeout");
    let block = vec![b'x'; 1 << 20];
    let sent = (0..50).take_while(|_| client.stream.write_all(&block).is_ok()).count();
    assert!(sent < 20, "{sent} MB were taken although nobody reads them");
    drop(client);
    // A client that goes although its body is not read is noticed too: its place is given up long before the deadline.
    let mut client = running.connect();
    client.send(format!("POST /gone HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 1000\r\n\r\nabc"));
    std::thread::sleep(Duration::from_millis(100));
    drop(client);
    let start = Instant::now();
    wait_until("the held request is gone", || running.log.text().contains("path=\"/gone\""));
    assert!(start.elapsed() < Duration::from_secs(5));
    assert_eq!(app.seen(), 0);
    // The end of the other client lies behind bytes that nobody read: it is found when they are.
    running.route(RouteState::Ready, &[&app]);
}

#[test]
fn a_woken_app_is_not_run_over() {
    let busy = Arc::new(Mutex::new((0, 0)));
    let count = Arc::clone(&busy);
    let app = App::new(move |conversation| {
        while conversation.next().is_some() {
            {
                let mut busy = count.lock().expect("not poisoned");
                busy.0 += 1;
                busy.1 = busy.1.max(busy.0);
            }
            std::thread::sleep(Duration::from_millis(20));
            count.lock().expect("not poisoned").0 -= 1;
            conversation.say("ok");
        }
    });
    let running = Running::with(&[]);
    let mut clients: Vec<_> = (0..300).map(|_| running.connect()).collect();
    for client in &mut clients {
        client.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
    }
    std::thread::sleep(Duration::from_millis(100));
    running.route(RouteState::Ready, &[&app]);
    for client in &mut clients {
        assert_eq!(client.answer("GET").status, 200);
    }
    let most = busy.lock().expect("not poisoned").1;
    assert!(most <= 2 * 64, "{most} at once");
}
