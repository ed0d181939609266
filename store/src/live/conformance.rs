//! What every coordination backend must do, as checks that a test runs against the real thing.
//!
//! Public, so that backends in other places (and tests of other crates) prove themselves by the same list.

use std::sync::Arc;
use std::time::Duration;

use super::{Coordination, Expect, Life, LiveError, Op, Watch};

fn put(path: &str, data: &str, expect: Expect, life: Life) -> Op {
    Op::Put { path: path.into(), data: data.into(), expect, life }
}

async fn must_ring(watch: &mut Watch, what: &str) {
    let rang = tokio::time::timeout(Duration::from_secs(10), watch.changed()).await;
    assert!(rang.is_ok(), "the watch did not ring within 10 s for: {what}");
}

/// Runs every check. `tree` must hold nothing under `t/`.
///
/// # Panics
/// When a rule is broken.
pub async fn run(tree: Arc<dyn Coordination>) {
    versions_fence(&*tree).await;
    commits_are_all_or_nothing(&*tree).await;
    sessions_end(&*tree).await;
    watches_ring(&*tree).await;
    scans_are_sorted_and_exact(&*tree).await;
    large_nodes_are_named(&*tree).await;
    racing_writers_take_turns(tree).await;
}

async fn versions_fence(tree: &dyn Coordination) {
    tree.commit(vec![put("t/v", "1", Expect::Absent, Life::Persistent)]).await.expect("a first write");
    let first = tree.get("t/v").await.expect("a read").expect("the node");
    let again = tree.commit(vec![put("t/v", "2", Expect::Absent, Life::Persistent)]).await;
    assert!(matches!(again, Err(LiveError::Conflict { .. })), "a node was made twice");
    tree.commit(vec![put("t/v", "2", Expect::Version(first.version), Life::Persistent)]).await.expect("a fenced write");
    let stale = tree.commit(vec![put("t/v", "3", Expect::Version(first.version), Life::Persistent)]).await;
    assert!(matches!(stale, Err(LiveError::Conflict { .. })), "a stale write went through");
    tree.commit(vec![Op::Delete { path: "t/v".into(), expect: Expect::Any }]).await.expect("a delete");
    tree.commit(vec![Op::Delete { path: "t/v".into(), expect: Expect::Any }]).await.expect("a delete of what is gone");
    tree.commit(vec![put("t/v", "4", Expect::Absent, Life::Persistent)]).await.expect("made again");
    let stale = tree.commit(vec![put("t/v", "5", Expect::Version(first.version), Life::Persistent)]).await;
    assert!(stale.is_err(), "a version came back after the node was made again");
}

async fn commits_are_all_or_nothing(tree: &dyn Coordination) {
    let ops = vec![
        put("t/a1", "x", Expect::Any, Life::Persistent),
        Op::Check { path: "t/missing".into(), expect: Expect::Version(1) },
        put("t/a2", "x", Expect::Any, Life::Persistent),
    ];
    assert!(matches!(tree.commit(ops).await, Err(LiveError::Conflict { path }) if path == "t/missing"));
    assert!(tree.get("t/a1").await.expect("a read").is_none(), "half of a commit was done");
}

async fn sessions_end(tree: &dyn Coordination) {
    let session = tree.session().await.expect("a session");
    tree.commit(vec![put("t/s", "x", Expect::Any, session.life())]).await.expect("an ephemeral write");
    let mut watch = tree.watch(&["t/s"]);
    let life = session.life();
    drop(session);
    must_ring(&mut watch, "the end of a session").await;
    assert!(tree.get("t/s").await.expect("a read").is_none(), "a node outlived its session");
    let late = tree.commit(vec![put("t/s", "x", Expect::Any, life)]).await;
    assert!(matches!(late, Err(LiveError::SessionEnded)), "an ended session wrote");
}

async fn watches_ring(tree: &dyn Coordination) {
    let mut watch = tree.watch(&["t/w/"]);
    tree.commit(vec![put("t/other", "x", Expect::Any, Life::Persistent)]).await.expect("a write elsewhere");
    tree.commit(vec![put("t/w/1", "x", Expect::Any, Life::Persistent)]).await.expect("a write");
    must_ring(&mut watch, "a write that came before the wait").await;
    tree.commit(vec![Op::Delete { path: "t/w/1".into(), expect: Expect::Any }]).await.expect("a delete");
    must_ring(&mut watch, "a delete").await;
}

async fn scans_are_sorted_and_exact(tree: &dyn Coordination) {
    for name in ["b", "a", "c"] {
        tree.commit(vec![put(&format!("t/scan/{name}"), name, Expect::Any, Life::Persistent)]).await.expect("a write");
    }
    tree.commit(vec![put("t/scanner", "x", Expect::Any, Life::Persistent)]).await.expect("a neighbour");
    let paths: Vec<String> = tree.scan("t/scan/").await.expect("a scan").into_iter().map(|node| node.path).collect();
    assert_eq!(paths, ["t/scan/a", "t/scan/b", "t/scan/c"]);
}

async fn large_nodes_are_named(tree: &dyn Coordination) {
    let large = "x".repeat(super::MAX_NODE + 1);
    let refused = tree.commit(vec![put("t/large", &large, Expect::Any, Life::Persistent)]).await;
    assert!(matches!(refused, Err(LiveError::TooLarge { path }) if path == "t/large"));
}

async fn racing_writers_take_turns(tree: Arc<dyn Coordination>) {
    tree.commit(vec![put("t/count", "0", Expect::Any, Life::Persistent)]).await.expect("a counter");
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let tree = tree.clone();
        tasks.spawn(async move {
            let mut done = 0;
            while done < 20 {
                let node = tree.get("t/count").await.expect("a read").expect("the counter");
                let count: u32 = String::from_utf8_lossy(&node.data).parse().expect("a number");
                let op = put("t/count", &(count + 1).to_string(), Expect::Version(node.version), Life::Persistent);
                match tree.commit(vec![op]).await {
                    Ok(()) => done += 1,
                    Err(LiveError::Conflict { .. }) => {}
                    Err(error) => panic!("a racing write failed: {error}"),
                }
            }
        });
    }
    while let Some(joined) = tasks.join_next().await {
        joined.expect("a writer panicked");
    }
    let node = tree.get("t/count").await.expect("a read").expect("the counter");
    assert_eq!(String::from_utf8_lossy(&node.data), "160", "an update was lost");
}
