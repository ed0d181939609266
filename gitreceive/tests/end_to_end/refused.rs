//! Pushes that are refused: nothing moves, nothing stays, and the pusher reads why.

use gitreceive::{PushDecision, Unsettled};
use model::{Code, UserError};

use crate::harness::{TestServer, noise, ok, run};

#[test]
fn a_refused_build_leaves_no_object() {
    let server = TestServer::start();
    let at = server.work("work");
    server.backend.on_pre(|_, output| async move {
        output.say("-----> Building");
        PushDecision::Refuse(
            UserError::new(Code::BuildFailed, "the build of acme/shop/dev failed")
                .evidence("make: *** [all] Error 1")
                .next("slipway builds"),
        )
    });
    let (code, text) = run(server.git(&at, &["push", "paas-dev", "main"]));
    assert_eq!(code, Some(1), "{text}");
    for wanted in [
        "remote: -----> Building",
        "remote:  !     the build of acme/shop/dev failed [SW-B103]",
        "remote:  !       | make: *** [all] Error 1",
        "remote:  !       → slipway builds",
        "(pre-receive hook declined)",
    ] {
        assert!(text.contains(wanted), "{wanted:?} is missing in {text}");
    }
    assert_eq!(server.branch("acme/shop/dev", "main"), None);
    assert_eq!(server.objects(), [], "objects of a refused push");
    server.wait("settle", |seen| seen.iter().any(|line| line == "settle acme/shop/dev nothing"));
}

#[test]
fn a_pack_over_the_limit_says_so() {
    let server = TestServer::start_with(|config| config.max_pack = 1_000_000);
    let at = server.work("work");
    server.commit(&at, "big.bin", &noise(8_000_000));
    let (code, text) = run(server.git(&at, &["push", "paas-dev", "main"]));
    assert_ne!(code, Some(0));
    assert!(text.contains("this push to acme/shop/dev is larger than the 1.0 MB allowed [SW-P106]"), "{text}");
    assert_eq!(server.branch("acme/shop/dev", "main"), None);
    server.wait("settle", |seen| seen.iter().any(|line| line == "settle acme/shop/dev nothing"));
    assert_eq!(server.objects(), []);
    assert_eq!(*server.backend.settled.lock().expect("the backend"), [Unsettled::Push(None)], "it never came to a commit");
    assert!(!server.backend.noted().iter().any(|line| line.starts_with("pre")), "the backend was asked about half a pack");
}

#[test]
fn a_shallow_clone_gets_the_exact_fix() {
    let server = TestServer::start();
    let full = server.work("full");
    server.commit(&full, "app.txt", b"two\n");
    let url = format!("file://{}", full.display());
    ok(server.git(server.dir.path(), &["clone", "-q", "--depth", "1", &url, "shallow"]));
    let at = server.dir.path().join("shallow");
    let (code, text) = run(server.git(&at, &["push", &server.url("acme/shop/dev"), "main"]));
    assert_ne!(code, Some(0));
    assert!(text.contains("[SW-P104]") && text.contains("→ git fetch --unshallow"), "{text}");
    assert!(!server.backend.noted().iter().any(|line| line.starts_with("pre")), "a build was begun");
    ok(server.git(&at, &["fetch", "-q", "--unshallow"]));
    ok(server.git(&at, &["push", "-q", &server.url("acme/shop/dev"), "main"]));
}

/// All that can be seen is there, and git refuses it all the same: the first commit is marked as an end of history.
#[test]
fn a_shallow_root_is_refused_before_the_build_and_once() {
    let server = TestServer::start();
    let full = server.work("full");
    let url = format!("file://{}", full.display());
    ok(server.git(server.dir.path(), &["clone", "-q", "--depth", "1", &url, "shallow"]));
    let at = server.dir.path().join("shallow");
    let root = ok(server.git(&at, &["rev-parse", "HEAD"]));
    std::fs::write(at.join(".git/shallow"), root).expect("a file");
    server.commit(&at, "app.txt", b"two\n");
    let (code, text) = run(server.git(&at, &["push", &server.url("acme/shop/dev"), "main"]));
    assert_ne!(code, Some(0));
    assert_eq!(text.matches("[SW-P104]").count(), 1, "{text}");
    assert!(!server.backend.noted().iter().any(|line| line.starts_with("pre")), "a build was begun");
}

#[test]
fn a_commit_without_files_is_not_built() {
    let server = TestServer::start();
    let at = server.work("work");
    ok(server.git(&at, &["rm", "-q", "-r", "."]));
    ok(server.git(&at, &["commit", "-q", "-m", "nothing"]));
    let (_, text) = run(server.git(&at, &["push", "paas-dev", "main"]));
    assert!(text.contains("holds no files [SW-P105]"), "{text}");
    assert_eq!(server.branch("acme/shop/dev", "main"), None);
}

#[test]
fn trees_that_attack_a_checkout_are_refused() {
    let server = TestServer::start();
    let at = server.work("work");
    for (name, kind) in [(".git", "100644"), ("..", "40000"), (".GIT", "40000")] {
        let object = if kind == "40000" { "HEAD^{tree}" } else { "HEAD:app.txt" };
        let id = ok(server.git(&at, &["rev-parse", object])).trim().to_owned();
        let mut tree = format!("{kind} {name}\0").into_bytes();
        tree.extend((0..20).map(|n| u8::from_str_radix(&id[2 * n..2 * n + 2], 16).expect("hex")));
        let file = server.dir.path().join("tree");
        std::fs::write(&file, tree).expect("a file");
        let file = file.display().to_string();
        let tree = ok(server.git(&at, &["hash-object", "-t", "tree", "-w", "--literally", &file])).trim().to_owned();
        let commit = ok(server.git(&at, &["commit-tree", &tree, "-m", "evil"])).trim().to_owned();
        let (code, text) = run(server.git(&at, &["push", "paas-dev", &format!("{commit}:refs/heads/main")]));
        assert_ne!(code, Some(0), "{name}: {text}");
        assert_eq!(server.branch("acme/shop/dev", "main"), None, "{name}");
    }
    assert_eq!(server.objects(), []);
}

#[test]
fn other_peoples_apps_look_like_none() {
    let server = TestServer::start();
    server.add_key("bob");
    let at = server.work("work");
    ok(server.git(&at, &["push", "-q", "paas-dev", "main"]));
    let (code, mine) = run(server.git_as("bob", &at, &["push", "paas-dev", "main"]));
    assert_ne!(code, Some(0));
    let (_, none) = run(server.git_as("bob", &at, &["push", &server.url("acme/nosuch/dev"), "main"]));
    // The two streams of ssh have no common order.
    let lines = |text: String| text.lines().map(str::to_owned).collect::<std::collections::BTreeSet<String>>();
    assert_eq!(lines(mine.replace("shop", "X")), lines(none.replace("nosuch", "X")));
    assert!(mine.contains("there is no app acme/shop/dev that you may know of [SW-A404]"), "{mine}");
    assert!(mine.contains("fatal: remote error: there is no app"), "{mine}");
    assert_eq!(mine.matches("[SW-A404]").count(), 1, "it is output once: {mine}");
    let (_, fetched) = run(server.git_as("bob", &at, &["fetch", "paas-dev"]));
    assert!(fetched.contains("[SW-A404]"), "{fetched}");
}

#[test]
fn hostile_names_never_get_far() {
    let server = TestServer::start();
    let at = server.work("work");
    for path in [
        "acme/..%2f..%2fetc/dev",
        "../../etc/passwd",
        "acme/$(touch x)/dev",
        "acme/shop;id/dev",
        "acme/-oX/dev",
        "a/b/c/d",
        "acme/SHOP/dev",
        "acme/shop/dev/",
    ] {
        let (code, text) = run(server.git(&at, &["push", &server.url(path), "main"]));
        assert_ne!(code, Some(0), "{path}: {text}");
        assert!(text.contains("[SW-A4"), "{path}: {text}");
    }
    for line in [
        "git-receive-pack '/acme/shop/dev'; id",
        "git-upload-pack --upload-pack=id '/acme/shop/dev'",
        "git-shell -c id",
        "git-upload-archive '/acme/shop/dev'",
    ] {
        let (code, text) = run(server.ssh("ann", &[], &[line]));
        assert_eq!(code, Some(1), "{line}: {text}");
        assert!(text.contains("[SW-A422]"), "{line}: {text}");
    }
    assert!(!server.bare().exists());
}

#[test]
fn a_push_that_needs_too_much_memory_is_refused_by_name() {
    let server = TestServer::start_with(|config| config.git_memory = 64 << 20);
    let at = server.work("work");
    // It compresses to next to nothing, and must be held in memory as a whole to be checked.
    std::fs::write(server.dir.path().join("message"), "x".repeat(100_000_000)).expect("a file");
    ok(server.git(&at, &["commit", "-q", "--allow-empty", "-F", "../message"]));
    let (code, text) = run(server.git(&at, &["push", "paas-dev", "main"]));
    assert_ne!(code, Some(0), "{text}");
    assert!(text.contains("git needs more memory for this push to acme/shop/dev"), "{text}");
    assert_eq!(server.branch("acme/shop/dev", "main"), None);
}
