//! A deploy under load: instances come and go, no request is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use model::RouteState;
use router::DrainState;

use crate::harness::{APP, App, Client, HOST, Running, wait_until};

/// An app like real ones: each request takes a moment, and what comes after its end is refused.
fn instance(ended: &Arc<AtomicBool>) -> App {
    let ended = Arc::clone(ended);
    App::new(move |conversation| {
        while let Some(got) = conversation.next() {
            if ended.load(Ordering::SeqCst) {
                // A request after the instance was told to end is a request lost.
                return;
            }
            if got.path().ends_with('7') {
                std::thread::sleep(Duration::from_millis(3));
            }
            conversation.say("ok");
        }
    })
}

#[test]
fn fifty_deploys_under_load_lose_nothing() {
    const REQUESTS: usize = 24_000;
    const CLIENTS: usize = 8;
    let mut ended = Arc::new(AtomicBool::new(false));
    let mut fleet = [instance(&ended), instance(&ended)];
    let running = Running::with(&[&fleet[0], &fleet[1]]);
    let (done, failed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let started = Instant::now();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (address, done, failed) = (running.address, Arc::clone(&done), Arc::clone(&failed));
            std::thread::spawn(move || {
                let mut client = Client::new(address);
                for n in 0..REQUESTS / CLIENTS {
                    if n % 100 == number {
                        client = Client::new(address);
                    }
                    if n % 5 == 0 {
                        client.send(format!("POST /{n} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 4\r\n\r\nbody"));
                    } else {
                        client.send(format!("GET /{n} HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
                    }
                    let answer = client.answer("GET");
                    if (answer.status, answer.text().as_str()) != (200, "ok") {
                        eprintln!("lost: {n}: {} {}", answer.head, answer.text());
                        failed.fetch_add(1, Ordering::SeqCst);
                    }
                    done.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    let app = APP.parse().expect("an app");
    let mut deploys = 0;
    while done.load(Ordering::SeqCst) < REQUESTS || deploys < 50 {
        let next_ended = Arc::new(AtomicBool::new(false));
        let next = [instance(&next_ended), instance(&next_ended)];
        // One after the other, as a rolling update does.
        running.route(RouteState::Ready, &[&next[0], &fleet[1]]);
        running.route(RouteState::Ready, &[&next[0], &next[1]]);
        for old in &fleet {
            wait_until("the old instance is drained", || running.handle.drain_state(&app, &old.id()) == DrainState::Drained);
        }
        ended.store(true, Ordering::SeqCst);
        fleet.iter_mut().for_each(App::end);
        (fleet, ended) = (next, next_ended);
        deploys += 1;
        assert!(
            started.elapsed() < Duration::from_secs(120),
            "{deploys} deploys and {} requests in two minutes",
            done.load(Ordering::SeqCst)
        );
    }
    for client in clients {
        client.join().expect("no client lost its connection");
    }
    assert_eq!(failed.load(Ordering::SeqCst), 0, "lost in {deploys} deploys");
    let metrics = running.handle.metrics();
    assert_eq!((metrics.dropped_lines, metrics.refused, metrics.statuses[2]), (0, 0, REQUESTS as u64));
    let lines = running.lines();
    assert_eq!(lines.lines().count(), REQUESTS);
    assert_eq!(lines.matches("status=200").count(), REQUESTS);
}

#[test]
fn idle_connections_to_an_instance_that_leaves_are_closed_at_once() {
    let (old, new) = (App::echo(), App::echo());
    let running = Running::with_times(&[&old], |times| times.idle = Duration::from_secs(60));
    assert_eq!(running.get("/").status, 200);
    assert_eq!(old.open.load(Ordering::SeqCst), 1);
    running.route(RouteState::Ready, &[&new]);
    wait_until("the idle connection is closed", || old.open.load(Ordering::SeqCst) == 0);
}

#[test]
fn a_request_that_is_in_flight_stays_where_it_is_and_holds_the_drain() {
    let old = App::new(|conversation| {
        while conversation.next().is_some() {
            std::thread::sleep(Duration::from_millis(400));
            conversation.say("old");
        }
    });
    let new = App::says("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nnew");
    let running = Running::with(&[&old]);
    let mut client = running.connect();
    client.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
    wait_until("the request is in flight", || old.seen() == 1);
    running.route(RouteState::Ready, &[&new]);
    let app = APP.parse().expect("an app");
    assert_eq!(running.handle.drain_state(&app, &old.id()), DrainState::Draining { requests: 1, tunnels: 0 });
    assert_eq!(running.get("/").text(), "new");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let drained = tokio::time::timeout(Duration::from_secs(10), async { running.handle.drained(&old.id()).await });
        drained.await.expect("it drains");
    });
    assert_eq!(running.handle.drain_state(&app, &old.id()), DrainState::Drained);
    assert_eq!(client.answer("GET").text(), "old");
}

#[test]
fn a_hundred_thousand_host_names_and_a_swap_of_one() {
    use model::{AppEnv, Route};
    let app = App::echo();
    let running = Running::with(&[]);
    let path = |n: usize| format!("acme/app{n}/prod").parse::<AppEnv>().expect("an app");
    let routes: Vec<_> = (0..100_000)
        .map(|n| Route {
            hostname: format!("app{n}.acme.localhost").parse().expect("a name"),
            app: path(n),
            state: RouteState::Ready,
            first_byte_s: 5,
        })
        .collect();
    let statuses: Vec<_> = (0..100_000)
        .map(|n| {
            let mut status = app.status();
            status.id = format!("i-{n:010}").parse().expect("an id");
            status.app = path(n);
            status
        })
        .collect();
    running.handle.swap(router::table(&routes, &statuses, &running.handle.table()));
    let ask = |n: usize| running.ask(&format!("GET / HTTP/1.1\r\nHost: app{n}.acme.localhost\r\n\r\n")).status;
    for n in [0, 777, 99_999] {
        assert_eq!(ask(n), 200);
    }
    let other = App::says("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother");
    let mut moved = other.status();
    moved.app = path(777);
    let start = Instant::now();
    for _ in 0..100 {
        running.handle.swap(running.handle.table().with_instances(&path(777), std::slice::from_ref(&moved)));
    }
    let each = start.elapsed() / 100;
    assert!(each < Duration::from_millis(20), "a swap of one app takes {each:?}");
    assert_eq!(running.ask("GET / HTTP/1.1\r\nHost: app777.acme.localhost\r\n\r\n").text(), "other");
}
