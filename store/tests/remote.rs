//! Coordination for a role in another process: the same rules over a socket, and what a broken connection means.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use store::live::{Coordination, Embedded, Expect, Life, LiveError, Op, Remote, conformance};
use tokio::net::UnixListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A server of a tree of its own.
fn served(socket: &Path, tree: Embedded) -> (Arc<Embedded>, JoinHandle<()>) {
    let _ = std::fs::remove_file(socket);
    let (listener, tree) = (UnixListener::bind(socket).expect("a socket"), Arc::new(tree));
    (tree.clone(), tokio::spawn(store::live::serve(listener, tree, CancellationToken::new())))
}

fn put(path: &str, life: Life) -> Vec<Op> {
    vec![Op::Put { path: path.into(), data: b"\xff not text".to_vec(), expect: Expect::Any, life }]
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), future).await.unwrap_or_else(|_| panic!("missing after 10 s: {what}"))
}

#[tokio::test]
async fn a_tree_behind_a_socket_keeps_the_rules() {
    let dir = tempfile::tempdir().expect("a folder");
    let socket = dir.path().join("tree");
    let (_tree, _serving) = served(&socket, Embedded::in_memory());
    conformance::run(Arc::new(Remote::open(&socket).await)).await;
}

#[tokio::test]
async fn a_server_that_comes_back_is_found_and_everything_is_said_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let socket = dir.path().join("tree");
    let (_tree, serving) = served(&socket, Embedded::in_memory());
    let remote = Remote::open(&socket).await;
    let session = remote.session().await.expect("a session");
    remote.commit(put("t/mine", session.life())).await.expect("a write");
    let mut watch = remote.watch(&["t/"]);
    assert_eq!(remote.get("t/mine").await.expect("a read").expect("the node").data, b"\xff not text");

    serving.abort();
    let _ = serving.await;
    let away = within("the end of the connection", async {
        loop {
            if let Err(error) = remote.scan("t/").await {
                break error;
            }
        }
    });
    assert!(matches!(away.await, LiveError::Unreachable(_)));

    let (tree, _serving) = served(&socket, Embedded::in_memory());
    tree.commit(put("t/other", Life::Persistent)).await.expect("a write");
    within("the watch after the server came back", watch.changed()).await;
    let late = within("an answer", async {
        loop {
            match remote.commit(put("t/mine", session.life())).await {
                Err(LiveError::Unreachable(_)) => tokio::time::sleep(Duration::from_millis(20)).await,
                other => break other,
            }
        }
    });
    assert!(matches!(late.await, Err(LiveError::SessionEnded)), "a session outlived its connection");
    assert!(remote.get("t/other").await.expect("a read").is_some());
    // The watch is one of the new server, too.
    tree.commit(put("t/more", Life::Persistent)).await.expect("a write");
    within("the watch of the new connection", watch.changed()).await;
    let again = remote.session().await.expect("a session");
    remote.commit(put("t/mine", again.life())).await.expect("a write in a new session");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_role_said_goes_with_its_process() {
    let dir = tempfile::tempdir().expect("a folder");
    let socket = dir.path().join("tree");
    let (tree, _serving) = served(&socket, Embedded::in_memory());
    let role = tokio::task::spawn_blocking(move || {
        let process = tokio::runtime::Runtime::new().expect("a runtime");
        let session = process.block_on(async {
            let remote = Remote::open(&socket).await;
            let session = remote.session().await.expect("a session");
            remote.commit(put("t/mine", session.life())).await.expect("a write");
            session
        });
        // As when it is killed: its connection ends, and it says nothing any more.
        process.shutdown_background();
        std::mem::forget(session);
    });
    role.await.expect("a role");
    let mut watch = tree.watch(&["t/"]);
    within("the end of what it said", async {
        while tree.get("t/mine").await.expect("a read").is_some() {
            tokio::select! { () = watch.changed() => {}, () = tokio::time::sleep(Duration::from_millis(50)) => {} }
        }
    })
    .await;
}
