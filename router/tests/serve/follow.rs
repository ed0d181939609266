//! The router and coordination: what is reported is served, what drains is said to be drained, an outage changes nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use model::{InstanceState, Route, RouteState, RouterId};
use router::{Follower, Snapshot};
use store::live::{Coordination, Embedded, Live, LiveError, Node, Op, Remote, Session, Watch};
use tokio_util::sync::CancellationToken;

use crate::harness::{APP, App, HOST, Running, wait_until};

/// Coordination that can be cut off.
struct Cut {
    tree: Embedded,
    cut: Arc<AtomicBool>,
}

impl Cut {
    fn check(&self) -> Result<(), LiveError> {
        if self.cut.load(Ordering::SeqCst) { Err(LiveError::Unreachable("cut off".into())) } else { Ok(()) }
    }
}

#[async_trait]
impl Coordination for Cut {
    async fn scan(&self, prefix: &str) -> Result<Vec<Node>, LiveError> {
        self.check()?;
        self.tree.scan(prefix).await
    }
    async fn get(&self, path: &str) -> Result<Option<Node>, LiveError> {
        self.check()?;
        self.tree.get(path).await
    }
    async fn commit(&self, ops: Vec<Op>) -> Result<(), LiveError> {
        self.check()?;
        self.tree.commit(ops).await
    }
    fn watch(&self, prefixes: &[&str]) -> Watch {
        self.tree.watch(prefixes)
    }
    async fn session(&self) -> Result<Session, LiveError> {
        self.check()?;
        self.tree.session().await
    }
}

#[test]
fn what_is_reported_is_served_and_what_drains_is_said() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let cut = Arc::new(AtomicBool::new(false));
    let live = Live::new(Arc::new(Cut { tree: Embedded::in_memory(), cut: Arc::clone(&cut) }));
    let running = Running::start(|config| config.times.missing = Duration::from_millis(50));
    let until = CancellationToken::new();
    let dir = tempfile::tempdir().expect("a folder");
    let snapshot = Snapshot::new(dir.path().join("state.json"));
    let mut follower = Follower::new(running.handle.clone(), live.clone(), RouterId::mint([1; 10])).with_snapshot(snapshot.clone());
    runtime.block_on(follower.first());
    runtime.spawn(follower.run(until.clone()));

    let app = APP.parse().expect("an app");
    assert_eq!(running.get("/").status, 404);
    let route = Route { hostname: HOST.parse().expect("a host name"), app, state: RouteState::Ready, first_byte_s: 5 };
    runtime.block_on(live.set_routes(&route.app, std::slice::from_ref(&route))).expect("written");
    wait_until("the route is served", || running.get("/").status == 503);
    let old = App::new(|conversation| {
        while let Some(got) = conversation.next() {
            if got.path() == "/slow" {
                std::thread::sleep(Duration::from_millis(500));
            }
            conversation.say("old");
        }
    });
    let session = runtime.block_on(live.session()).expect("a session");
    let report = |status| runtime.block_on(live.report(&session, &status)).expect("reported");
    let is_drained = |app: &App| runtime.block_on(live.is_drained(&app.id())).expect("read");
    report(old.status());
    wait_until("the instance is served", || running.get("/").text() == "old");

    let new = App::says("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nnew");
    report(new.status());
    let mut client = running.connect();
    wait_until("a slow request is on the old instance", || {
        client = running.connect();
        client.send(format!("GET /slow HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
        std::thread::sleep(Duration::from_millis(20));
        running.handle.table().backends().any(|(_, backend)| backend.id == old.id() && backend.load().requests() > 0)
    });
    let mut draining = old.status();
    draining.state = InstanceState::Draining;
    report(draining);
    wait_until("the router's word that it sends nothing new to the old instance", || {
        runtime.block_on(live.is_unrouted(&old.id())).expect("read")
    });
    assert!((0..50).all(|_| running.get("/").text() == "new"), "the old instance was picked after the router's word");
    assert!(!is_drained(&old), "a request is in flight");
    assert_eq!(client.answer("GET").text(), "old");
    wait_until("the old instance is drained", || is_drained(&old));

    cut.store(true, Ordering::SeqCst);
    drop(session);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(running.get("/").text(), "new", "the last table stays while coordination is away");
    // A router that starts now begins with what this one knew.
    let second = Running::start(|_| {});
    let mut late = Follower::new(second.handle.clone(), live.clone(), RouterId::mint([2; 10])).with_snapshot(snapshot);
    runtime.block_on(late.first());
    assert_eq!(second.get("/").text(), "new");
    cut.store(false, Ordering::SeqCst);
    wait_until("the table follows again", || running.get("/").status == 503);
    until.cancel();
}

/// An instance is stopped when every router that is there has let go of it. A server that came back knows of no router until it speaks.
#[test]
fn a_server_that_comes_back_knows_the_router_before_anything_drains() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let dir = tempfile::tempdir().expect("a folder");
    let socket = dir.path().join("tree");
    let served = || {
        // It is not there the first time.
        let _ = std::fs::remove_file(&socket);
        let _in = runtime.enter();
        let (listener, tree) = (tokio::net::UnixListener::bind(&socket).expect("a socket"), Arc::new(Embedded::in_memory()));
        (tree.clone(), runtime.spawn(store::live::serve(listener, tree, CancellationToken::new())))
    };
    let is_known = |tree: &Embedded| !runtime.block_on(tree.scan("routers/")).expect("read").is_empty();

    let (tree, serving) = served();
    let running = Running::start(|_| {});
    let until = CancellationToken::new();
    let live = Live::new(Arc::new(runtime.block_on(Remote::open(&socket))));
    let mut follower = Follower::new(running.handle.clone(), live, RouterId::mint([1; 10]));
    runtime.block_on(follower.first());
    assert!(is_known(&tree));
    runtime.spawn(follower.run(until.clone()));
    serving.abort();
    // It ends as aborted.
    let _ = runtime.block_on(serving);
    let (tree, _serving) = served();
    wait_until("the router is known to the server that came back", || is_known(&tree));
    until.cancel();
}
