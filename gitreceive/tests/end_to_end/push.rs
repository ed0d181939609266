//! Pushes that go through, and what a pusher sees of them.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use gitreceive::{CommitId, PushDecision, RolloutOutcome, Unsettled};
use tokio::sync::Notify;

use crate::harness::{TestServer, noise, ok, run};

#[test]
fn lines_arrive_one_by_one_and_the_ref_moves_in_between() {
    let server = TestServer::start();
    let at = server.work("work");
    let go = Arc::new(Notify::new());
    let gate = go.clone();
    server.backend.on_pre(move |push, output| {
        let gate = gate.clone();
        async move {
            output.say(format!("-----> Build {} of {}", push.id, push.who.user));
            gate.notified().await;
            output.say("two\nthree \x1b[32mgreen\x1b[0m \x1b[2Jcleared");
            PushDecision::Accept
        }
    });
    let mut git = server.git(&at, &["push", "paas-dev", "main"]);
    let mut child = git.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("git runs");
    let mut lines = BufReader::new(child.stderr.take().expect("stderr")).lines().map(|line| line.expect("text"));
    let first = lines.find(|line| line.contains("-----> Build p-")).expect("the first line while the build waits");
    assert!(first.starts_with("remote: -----> Build p-") && first.contains("of ann"), "{first}");
    assert_eq!(server.branch("acme/shop/dev", "main"), None, "the ref waits for the decision");
    go.notify_one();
    let rest: Vec<String> = lines.collect();
    assert!(child.wait().expect("git").success(), "{rest:#?}");
    let rest = rest.join("\n");
    for wanted in ["remote: two", "remote: three \u{1b}[32mgreen\u{1b}[0m \u{fffd}[2Jcleared", "remote: =====> live", "[new branch]"] {
        assert!(rest.contains(wanted), "{wanted:?} is missing in {rest}");
    }
    assert_eq!(server.branch("acme/shop/dev", "main"), Some(server.head(&at)));
    let head = server.head(&at);
    server.wait("settle after the push", |seen| seen.last().is_some_and(|last| *last == format!("settle acme/shop/dev {head}")));
    assert_eq!(
        *server.backend.settled.lock().expect("the backend"),
        [Unsettled::Push(CommitId::new(&head))],
        "a push settles its own release and no other"
    );
    assert_eq!(server.backend.noted()[..2], ["pre acme/shop/dev main", "post acme/shop/dev"]);
}

#[test]
fn prod_gets_what_dev_has_for_nothing_and_sees_no_ref_of_it() {
    let server = TestServer::start();
    let at = server.work("work");
    server.commit(&at, "big.bin", &noise(5_000_000));
    ok(server.git(&at, &["push", "-q", "paas-dev", "main"]));
    let before: u64 = server.objects().iter().map(|(_, size)| size).sum();
    assert!(before > 5_000_000);
    ok(server.git(&at, &["push", "-q", "paas-prod", "main"]));
    let after: u64 = server.objects().iter().map(|(_, size)| size).sum();
    assert!(after - before < 2_000, "{} bytes were sent again", after - before);
    assert_eq!(server.branch("acme/shop/prod", "main"), Some(server.head(&at)));
    // The environments do not see each other's refs.
    server.commit(&at, "app.txt", b"two\n");
    ok(server.git(&at, &["push", "-q", "paas-dev", "main"]));
    let refs = ok(server.git(&at, &["ls-remote", "paas-prod"]));
    assert!(!refs.contains(&server.head(&at)) && !refs.contains("namespaces"), "{refs}");
}

#[test]
fn git_runs_within_limits_and_dies_before_the_apps() {
    let server = TestServer::start();
    let at = server.work("work");
    let pid_dir = server.dir.path().join("run/pushes");
    let found: Arc<Mutex<Vec<String>>> = Arc::default();
    let keep = found.clone();
    server.backend.on_pre(move |_, _| {
        for file in std::fs::read_dir(&pid_dir).expect("the pid files").flatten() {
            let text = std::fs::read_to_string(file.path()).expect("a pid file");
            let pid = text.split("\"pid\":").nth(1).and_then(|rest| rest.split([',', '}']).next()).expect("a pid").to_owned();
            let of = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).expect("git runs");
            let limits = of("limits");
            let data = limits.lines().find(|line| line.starts_with("Max data size")).expect("a limit").to_owned();
            keep.lock().expect("the record").extend([of("oom_score_adj").trim().to_owned(), data]);
        }
        async { PushDecision::Accept }
    });
    ok(server.git(&at, &["push", "-q", "paas-dev", "main"]));
    let found = found.lock().expect("the record").clone();
    // Instances of apps run at 500.
    assert!(found[0].parse::<i32>().expect("a number") > 500, "{found:?}");
    let limit: u64 = found[1].split_whitespace().nth(3).and_then(|word| word.parse().ok()).expect("a limit in bytes");
    assert!(limit <= 2 << 30, "{found:?}");
}

#[test]
fn a_clone_checks_out_the_deploy_branch() {
    let server = TestServer::start();
    let at = server.work("work");
    ok(server.git(&at, &["push", "-q", "paas-dev", "main:trunk"]));
    let dir = server.dir.path();
    for (url, name) in [("acme/shop/dev", "one"), ("acme/shop/dev.git", "two"), ("shop/dev", "three")] {
        ok(server.git(dir, &["clone", "-q", &server.url(url), name]));
        assert_eq!(ok(server.git(&dir.join(name), &["rev-parse", "--abbrev-ref", "HEAD"])).trim(), "trunk");
        assert_eq!(std::fs::read_to_string(dir.join(name).join("app.txt")).expect("the file"), "hello\n");
    }
    let empty = run(server.git(dir, &["clone", &server.url("acme/shop/prod"), "empty"]));
    assert_eq!(empty.0, Some(0), "{}", empty.1);
    let bare = dir.join("one");
    ok(server.git(&bare, &["-c", "protocol.version=0", "fetch", "-q"]));
    ok(server.git(&bare, &["-c", "protocol.version=2", "fetch", "-q"]));
}

#[test]
fn push_options_arrive_and_a_forced_push_is_known() {
    let server = TestServer::start();
    let at = server.work("work");
    let backend = server.backend.clone();
    server.backend.on_pre(move |push, _| {
        let backend = backend.clone();
        async move {
            let forced = push.change.old.as_ref().is_some_and(|old| !push.source.follows(old).expect("history"));
            backend.note(format!("options {:?} forced {forced}", push.options));
            PushDecision::Accept
        }
    });
    ok(server.git(&at, &["push", "-q", "-o", "detach", "-o", "note=x y", "paas-dev", "main"]));
    server.commit(&at, "app.txt", b"two\n");
    ok(server.git(&at, &["push", "-q", "paas-dev", "main"]));
    ok(server.git(&at, &["commit", "-q", "--amend", "-m", "other"]));
    let (code, _) = run(server.git(&at, &["push", "-q", "paas-dev", "main"]));
    assert_eq!(code, Some(1), "git itself asks for --force");
    ok(server.git(&at, &["push", "-q", "--force", "paas-dev", "main"]));
    let seen: Vec<String> = server.backend.noted().into_iter().filter(|line| line.starts_with("options")).collect();
    assert_eq!(seen, ["options [\"detach\", \"note=x y\"] forced false", "options [] forced false", "options [] forced true"]);
}

#[test]
fn a_failed_rollout_keeps_the_ref_and_fails_the_push() {
    let server = TestServer::start();
    let at = server.work("work");
    server.backend.on_post(|_, output| async move {
        output.say(" !     still serving v1");
        RolloutOutcome::Failed
    });
    let (code, text) = run(server.git(&at, &["push", "paas-dev", "main"]));
    assert_ne!(code, Some(0), "{text}");
    assert!(text.contains("remote:  !     still serving v1"), "{text}");
    assert_eq!(server.branch("acme/shop/dev", "main"), Some(server.head(&at)));
}

#[test]
fn many_pushes_do_not_leave_many_packs() {
    let mut server = TestServer::start();
    let at = server.work("work");
    for n in 0..55 {
        server.commit(&at, "app.txt", format!("{n}\n").as_bytes());
        ok(server.git(&at, &["push", "-q", "paas-dev", "main"]));
    }
    server.stop();
    let packs = server.objects().iter().filter(|(path, _)| path.extension().is_some_and(|ext| ext == "pack")).count();
    assert!(packs < 20, "{packs} packs");
    ok(server.git(&server.bare(), &["fsck", "--full", "--strict"]));
    assert_eq!(server.branch("acme/shop/dev", "main"), Some(server.head(&at)));
}

#[test]
fn the_same_pack_is_pushed_to_several_environments_at_once() {
    let server = TestServer::start();
    let at = server.work("work");
    for round in 0..6 {
        server.commit(&at, "app.txt", format!("round {round}\n").as_bytes());
        let mut children: Vec<_> = ["dev", "prod", "beta", "test"]
            .map(|env| {
                let mut git = server.git(&at, &["push", &server.url(&format!("acme/shop/{env}")), "main"]);
                git.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("git runs")
            })
            .into();
        for child in &mut children {
            let mut text = String::new();
            child.stderr.take().expect("stderr").read_to_string(&mut text).expect("text");
            assert!(child.wait().expect("git").success(), "round {round}: {text}");
        }
    }
    assert_eq!(server.branch("acme/shop/dev", "main"), server.branch("acme/shop/test", "main"));
    assert!(!server.objects().iter().any(|(path, _)| path.extension().is_some_and(|ext| ext == "keep")));
    ok(server.git(&server.bare(), &["fsck", "--full", "--strict"]));
}

#[test]
fn a_push_with_nothing_new_tells_what_the_platform_knows() {
    let server = TestServer::start();
    let at = server.work("work");
    let (status, first) = run(server.git(&at, &["push", "paas-dev", "main"]));
    assert!(status == Some(0) && !first.contains("the backend's word"), "{first}");
    let (status, again) = run(server.git(&at, &["push", "paas-dev", "main"]));
    assert_eq!(status, Some(0), "{again}");
    assert!(again.contains(" !     the backend's word on acme/shop/dev") && again.contains("Everything up-to-date"), "{again}");
}
