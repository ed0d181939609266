//! Deploys, rollbacks, restarts and scaling under load: no request may be lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use tests::{Platform, Repository, get, wait_for};

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
