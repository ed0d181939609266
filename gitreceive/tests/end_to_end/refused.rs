//! Pushes that are refused: nothing moves, nothing stays, and the pusher reads why.

use gitreceive::{Open, Verdict};
use model::{Code, UserError};

use crate::harness::{House, noise, ok, run};

#[test]
fn a_refused_build_leaves_no_object() {
    let house = House::start();
    let at = house.work("work");
    house.desk.on_pre(|_, said| async move {
        said.say("-----> Building");
        Verdict::Refuse(
            UserError::new(Code::BuildFailed, "the build of acme/shop/dev failed")
                .evidence("make: *** [all] Error 1")
                .next("slipway builds"),
        )
    });
    let (code, text) = run(house.git(&at, &["push", "paas-dev", "main"]));
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
    assert_eq!(house.branch("acme/shop/dev", "main"), None);
    assert_eq!(house.objects(), [], "objects of a refused push");
    house.wait("settle", |seen| seen.iter().any(|line| line == "settle acme/shop/dev nothing"));
}

#[test]
fn a_pack_over_the_limit_says_so() {
    let house = House::start_with(|config| config.max_pack = 1_000_000);
    let at = house.work("work");
    house.commit(&at, "big.bin", &noise(8_000_000));
    let (code, text) = run(house.git(&at, &["push", "paas-dev", "main"]));
    assert_ne!(code, Some(0));
    assert!(text.contains("this push to acme/shop/dev is larger than the 1.0 MB allowed [SW-P106]"), "{text}");
    assert_eq!(house.branch("acme/shop/dev", "main"), None);
    house.wait("settle", |seen| seen.iter().any(|line| line == "settle acme/shop/dev nothing"));
    assert_eq!(house.objects(), []);
    assert_eq!(*house.desk.settled.lock().expect("the desk"), [Open::Of(None)], "it never came to a commit");
    assert!(!house.desk.noted().iter().any(|line| line.starts_with("pre")), "the desk was asked about half a pack");
}

#[test]
fn a_shallow_clone_gets_the_exact_fix() {
    let house = House::start();
    let full = house.work("full");
    house.commit(&full, "app.txt", b"two\n");
    let url = format!("file://{}", full.display());
    ok(house.git(house.dir.path(), &["clone", "-q", "--depth", "1", &url, "shallow"]));
    let at = house.dir.path().join("shallow");
    let (code, text) = run(house.git(&at, &["push", &house.url("acme/shop/dev"), "main"]));
    assert_ne!(code, Some(0));
    assert!(text.contains("[SW-P104]") && text.contains("→ git fetch --unshallow"), "{text}");
    assert!(!house.desk.noted().iter().any(|line| line.starts_with("pre")), "a build was begun");
    ok(house.git(&at, &["fetch", "-q", "--unshallow"]));
    ok(house.git(&at, &["push", "-q", &house.url("acme/shop/dev"), "main"]));
}

/// All that can be seen is there, and git refuses it all the same: the first commit is marked as an end of history.
#[test]
fn a_shallow_root_is_refused_before_the_build_and_once() {
    let house = House::start();
    let full = house.work("full");
    let url = format!("file://{}", full.display());
    ok(house.git(house.dir.path(), &["clone", "-q", "--depth", "1", &url, "shallow"]));
    let at = house.dir.path().join("shallow");
    let root = ok(house.git(&at, &["rev-parse", "HEAD"]));
    std::fs::write(at.join(".git/shallow"), root).expect("a file");
    house.commit(&at, "app.txt", b"two\n");
    let (code, text) = run(house.git(&at, &["push", &house.url("acme/shop/dev"), "main"]));
    assert_ne!(code, Some(0));
    assert_eq!(text.matches("[SW-P104]").count(), 1, "{text}");
    assert!(!house.desk.noted().iter().any(|line| line.starts_with("pre")), "a build was begun");
}

#[test]
fn a_commit_without_files_is_not_built() {
    let house = House::start();
    let at = house.work("work");
    ok(house.git(&at, &["rm", "-q", "-r", "."]));
    ok(house.git(&at, &["commit", "-q", "-m", "nothing"]));
    let (_, text) = run(house.git(&at, &["push", "paas-dev", "main"]));
    assert!(text.contains("holds no files [SW-P105]"), "{text}");
    assert_eq!(house.branch("acme/shop/dev", "main"), None);
}

#[test]
fn trees_that_attack_a_checkout_are_refused() {
    let house = House::start();
    let at = house.work("work");
    for (name, kind) in [(".git", "100644"), ("..", "40000"), (".GIT", "40000")] {
        let object = if kind == "40000" { "HEAD^{tree}" } else { "HEAD:app.txt" };
        let id = ok(house.git(&at, &["rev-parse", object])).trim().to_owned();
        let mut tree = format!("{kind} {name}\0").into_bytes();
        tree.extend((0..20).map(|n| u8::from_str_radix(&id[2 * n..2 * n + 2], 16).expect("hex")));
        let file = house.dir.path().join("tree");
        std::fs::write(&file, tree).expect("a file");
        let file = file.display().to_string();
        let tree = ok(house.git(&at, &["hash-object", "-t", "tree", "-w", "--literally", &file])).trim().to_owned();
        let commit = ok(house.git(&at, &["commit-tree", &tree, "-m", "evil"])).trim().to_owned();
        let (code, text) = run(house.git(&at, &["push", "paas-dev", &format!("{commit}:refs/heads/main")]));
        assert_ne!(code, Some(0), "{name}: {text}");
        assert_eq!(house.branch("acme/shop/dev", "main"), None, "{name}");
    }
    assert_eq!(house.objects(), []);
}

#[test]
fn other_peoples_apps_look_like_none() {
    let house = House::start();
    house.add_key("bob");
    let at = house.work("work");
    ok(house.git(&at, &["push", "-q", "paas-dev", "main"]));
    let (code, mine) = run(house.git_as("bob", &at, &["push", "paas-dev", "main"]));
    assert_ne!(code, Some(0));
    let (_, none) = run(house.git_as("bob", &at, &["push", &house.url("acme/nosuch/dev"), "main"]));
    // The two streams of ssh have no common order.
    let lines = |text: String| text.lines().map(str::to_owned).collect::<std::collections::BTreeSet<String>>();
    assert_eq!(lines(mine.replace("shop", "X")), lines(none.replace("nosuch", "X")));
    assert!(mine.contains("there is no app acme/shop/dev that you may know of [SW-A404]"), "{mine}");
    assert!(mine.contains("fatal: remote error: there is no app"), "{mine}");
    assert_eq!(mine.matches("[SW-A404]").count(), 1, "it is said once: {mine}");
    let (_, fetched) = run(house.git_as("bob", &at, &["fetch", "paas-dev"]));
    assert!(fetched.contains("[SW-A404]"), "{fetched}");
}

#[test]
fn hostile_names_never_get_far() {
    let house = House::start();
    let at = house.work("work");
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
        let (code, text) = run(house.git(&at, &["push", &house.url(path), "main"]));
        assert_ne!(code, Some(0), "{path}: {text}");
        assert!(text.contains("[SW-A4"), "{path}: {text}");
    }
    for line in [
        "git-receive-pack '/acme/shop/dev'; id",
        "git-upload-pack --upload-pack=id '/acme/shop/dev'",
        "git-shell -c id",
        "git-upload-archive '/acme/shop/dev'",
    ] {
        let (code, text) = run(house.ssh("ann", &[], &[line]));
        assert_eq!(code, Some(1), "{line}: {text}");
        assert!(text.contains("[SW-A422]"), "{line}: {text}");
    }
    assert!(!house.bare().exists());
}
