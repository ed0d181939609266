//! Deploys, rollbacks, restarts and scaling under load, and the end of the server itself: no request may be lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use tests::{Ground, Platform, Repository, get, wait_for};

const HOST: &str = "hello-dev.acme.localhost";

struct Load {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    threads: Vec<std::thread::JoinHandle<Vec<String>>>,
}

impl Load {
    /// Four clients, each asking again as soon as it has an answer, over a new connection each time.
    fn start(platform: &Platform) -> Self {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let threads = (0..4)
            .map(|_| {
                let (stop, sent, router) = (stop.clone(), sent.clone(), platform.router);
                std::thread::spawn(move || {
                    let mut failed = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        match get(router, HOST, "/") {
                            Ok(answer) if answer.status == 200 => {}
                            Ok(answer) => failed.push(answer.head),
                            Err(error) => failed.push(format!("{error:#}")),
                        }
                        sent.fetch_add(1, Ordering::Relaxed);
                    }
                    failed
                })
            })
            .collect();
        Self { stop, sent, threads }
    }

    fn end(self) -> (u64, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let failed = self.threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect();
        (self.sent.load(Ordering::Relaxed), failed)
    }
}

#[test]
fn no_request_is_lost_through_deploys_restarts_and_scaling() -> Result<()> {
    let platform = Platform::start()?;
    let repository = Repository::example(&platform, "hello-python", "hello")?;
    let first = repository.push("acme/hello/dev")?;
    assert!(first.ok, "{}", first.said);

    let load = Load::start(&platform);
    for round in 0..3 {
        let app = repository.read("app.py")?;
        repository.write("app.py", &format!("{app}\n# round {round}\n"))?;
        repository.commit(&format!("Round {round}"))?;
        let pushed = repository.push("acme/hello/dev")?;
        assert!(pushed.said.contains("is live"), "{}", pushed.said);
    }
    platform.slipway(&["ps:scale", "web=2", "-a", "acme/hello", "-e", "dev"])?;
    platform.slipway(&["config:set", "COLOUR=blue", "-a", "acme/hello", "-e", "dev"])?;
    platform.slipway(&["rollback", "-a", "acme/hello", "-e", "dev"])?;
    platform.slipway(&["restart", "-a", "acme/hello", "-e", "dev"])?;
    platform.slipway(&["ps:scale", "web=1", "-a", "acme/hello", "-e", "dev"])?;
    wait_for("one instance after all of it", Duration::from_secs(120), || Ok((platform.containers("instance")?.len() == 1).then_some(())))?;
    let (sent, failed) = load.end();
    assert!(sent > 500, "only {sent} requests were sent");
    assert!(failed.is_empty(), "{} of {sent} requests failed, the first: {:?}", failed.len(), failed.first());
    println!("{sent} requests through 3 deploys, a config change, a rollback, a restart and two scalings: 0 failed");
    Ok(())
}

#[test]
fn a_router_of_its_own_serves_on_whatever_becomes_of_the_server() -> Result<()> {
    let mut platform = Platform::start_on(Ground { own_router: true, ..Ground::default() })?;
    let repository = Repository::example(&platform, "hello-python", "hello")?;
    let first = repository.push("acme/hello/dev")?;
    assert!(first.ok, "{}", first.said);

    let load = Load::start(&platform);
    let more = |load: &Load, what: &str| {
        let before = load.sent.load(Ordering::Relaxed);
        let enough = || Ok((load.sent.load(Ordering::Relaxed) > before + 200).then_some(()));
        wait_for(&format!("200 requests {what}"), Duration::from_secs(60), enough)
    };
    platform.kill_server()?;
    more(&load, "without a server")?;
    platform.start_server()?;
    more(&load, "after it came back")?;
    platform.stop_server()?;
    more(&load, "after it was stopped in order")?;
    platform.start_server()?;
    let repository = Repository::reopen(&platform, "hello");
    // What it is told from now on is followed, and what it lets go of is known: the old instance ends.
    let app = repository.read("app.py")?;
    repository.write("app.py", &app.replace("Hello from", "Good morning from"))?;
    repository.commit("Another word")?;
    let pushed = repository.push("acme/hello/dev")?;
    assert!(pushed.said.contains("is live"), "{}", pushed.said);
    assert!(platform.get(HOST, "/")?.body.contains("Good morning"), "the router did not hear of the new release");
    wait_for("the end of the old instance", Duration::from_secs(60), || Ok((platform.containers("instance")?.len() == 1).then_some(())))?;
    let (sent, failed) = load.end();
    assert!(failed.is_empty(), "{} of {sent} requests failed, the first: {:?}", failed.len(), failed.first());
    // When power comes back in any order, a router that is first serves what it served last.
    assert!(platform.stop_router()?, "the router did not end well");
    platform.stop_server()?;
    platform.start_router()?;
    assert!(platform.get(HOST, "/")?.body.contains("Good morning"), "a router alone has forgotten everything");
    assert!(platform.stop_router()?, "the router did not end well");
    Ok(())
}
