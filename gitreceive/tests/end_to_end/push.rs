//! Pushes that go through, and what a pusher sees of them.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::sync::Arc;

use gitreceive::{CommitId, Open, Rollout, Verdict};
use tokio::sync::Notify;

use crate::harness::{House, noise, ok, run};

#[test]
fn lines_arrive_one_by_one_and_the_ref_moves_in_between() {
    let house = House::start();
    let at = house.work("work");
    let go = Arc::new(Notify::new());
    let gate = go.clone();
    house.desk.on_pre(move |push, said| {
        let gate = gate.clone();
        async move {
            said.say(format!("-----> Build {} of {}", push.id, push.who.user));
            gate.notified().await;
            said.say("two\nthree \x1b[32mgreen\x1b[0m \x1b[2Jcleared");
            Verdict::Accept
        }
    });
    let mut git = house.git(&at, &["push", "paas-dev", "main"]);
    let mut child = git.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("git runs");
    let mut lines = BufReader::new(child.stderr.take().expect("stderr")).lines().map(|line| line.expect("text"));
    let first = lines.find(|line| line.contains("-----> Build p-")).expect("the first line while the build waits");
    assert!(first.starts_with("remote: -----> Build p-") && first.contains("of ann"), "{first}");
    assert_eq!(house.branch("acme/shop/dev", "main"), None, "the ref waits for the verdict");
    go.notify_one();
    let rest: Vec<String> = lines.collect();
    assert!(child.wait().expect("git").success(), "{rest:#?}");
    let rest = rest.join("\n");
    for wanted in ["remote: two", "remote: three \u{1b}[32mgreen\u{1b}[0m \u{fffd}[2Jcleared", "remote: =====> live", "[new branch]"] {
        assert!(rest.contains(wanted), "{wanted:?} is missing in {rest}");
    }
    assert_eq!(house.branch("acme/shop/dev", "main"), Some(house.head(&at)));
    let head = house.head(&at);
    house.wait("settle after the push", |seen| seen.last().is_some_and(|last| *last == format!("settle acme/shop/dev {head}")));
    assert_eq!(
        *house.desk.settled.lock().expect("the desk"),
        [Open::Of(CommitId::new(&head))],
        "a push settles its own release and no other"
    );
    assert_eq!(house.desk.noted()[..2], ["pre acme/shop/dev main", "post acme/shop/dev"]);
}

#[test]
fn prod_gets_what_dev_has_for_nothing_and_sees_no_ref_of_it() {
    let house = House::start();
    let at = house.work("work");
    house.commit(&at, "big.bin", &noise(5_000_000));
    ok(house.git(&at, &["push", "-q", "paas-dev", "main"]));
    let before: u64 = house.objects().iter().map(|(_, size)| size).sum();
    assert!(before > 5_000_000);
    ok(house.git(&at, &["push", "-q", "paas-prod", "main"]));
    let after: u64 = house.objects().iter().map(|(_, size)| size).sum();
    assert!(after - before < 2_000, "{} bytes were sent again", after - before);
    assert_eq!(house.branch("acme/shop/prod", "main"), Some(house.head(&at)));
    // The environments do not see each other's refs.
    house.commit(&at, "app.txt", b"two\n");
    ok(house.git(&at, &["push", "-q", "paas-dev", "main"]));
    let refs = ok(house.git(&at, &["ls-remote", "paas-prod"]));
    assert!(!refs.contains(&house.head(&at)) && !refs.contains("namespaces"), "{refs}");
}

#[test]
fn a_clone_checks_out_the_deploy_branch() {
    let house = House::start();
    let at = house.work("work");
    ok(house.git(&at, &["push", "-q", "paas-dev", "main:trunk"]));
    let dir = house.dir.path();
    for (url, name) in [("acme/shop/dev", "one"), ("acme/shop/dev.git", "two"), ("shop/dev", "three")] {
        ok(house.git(dir, &["clone", "-q", &house.url(url), name]));
        assert_eq!(ok(house.git(&dir.join(name), &["rev-parse", "--abbrev-ref", "HEAD"])).trim(), "trunk");
        assert_eq!(std::fs::read_to_string(dir.join(name).join("app.txt")).expect("the file"), "hello\n");
    }
    let empty = run(house.git(dir, &["clone", &house.url("acme/shop/prod"), "empty"]));
    assert_eq!(empty.0, Some(0), "{}", empty.1);
    let bare = dir.join("one");
    ok(house.git(&bare, &["-c", "protocol.version=0", "fetch", "-q"]));
    ok(house.git(&bare, &["-c", "protocol.version=2", "fetch", "-q"]));
}

#[test]
fn push_options_arrive_and_a_forced_push_is_known() {
    let house = House::start();
    let at = house.work("work");
    let desk = house.desk.clone();
    house.desk.on_pre(move |push, _| {
        let desk = desk.clone();
        async move {
            let forced = push.change.old.as_ref().is_some_and(|old| !push.source.follows(old).expect("history"));
            desk.note(format!("options {:?} forced {forced}", push.options));
            Verdict::Accept
        }
    });
    ok(house.git(&at, &["push", "-q", "-o", "detach", "-o", "note=x y", "paas-dev", "main"]));
    house.commit(&at, "app.txt", b"two\n");
    ok(house.git(&at, &["push", "-q", "paas-dev", "main"]));
    ok(house.git(&at, &["commit", "-q", "--amend", "-m", "other"]));
    let (code, _) = run(house.git(&at, &["push", "-q", "paas-dev", "main"]));
    assert_eq!(code, Some(1), "git itself asks for --force");
    ok(house.git(&at, &["push", "-q", "--force", "paas-dev", "main"]));
    let seen: Vec<String> = house.desk.noted().into_iter().filter(|line| line.starts_with("options")).collect();
    assert_eq!(seen, ["options [\"detach\", \"note=x y\"] forced false", "options [] forced false", "options [] forced true"]);
}

#[test]
fn a_failed_rollout_keeps_the_ref_and_fails_the_push() {
    let house = House::start();
    let at = house.work("work");
    house.desk.on_post(|_, said| async move {
        said.say(" !     still serving v1");
        Rollout::Failed
    });
    let (code, text) = run(house.git(&at, &["push", "paas-dev", "main"]));
    assert_ne!(code, Some(0), "{text}");
    assert!(text.contains("remote:  !     still serving v1"), "{text}");
    assert_eq!(house.branch("acme/shop/dev", "main"), Some(house.head(&at)));
}

#[test]
fn many_pushes_do_not_leave_many_packs() {
    let mut house = House::start();
    let at = house.work("work");
    for n in 0..55 {
        house.commit(&at, "app.txt", format!("{n}\n").as_bytes());
        ok(house.git(&at, &["push", "-q", "paas-dev", "main"]));
    }
    house.stop();
    let packs = house.objects().iter().filter(|(path, _)| path.extension().is_some_and(|ext| ext == "pack")).count();
    assert!(packs < 20, "{packs} packs");
    ok(house.git(&house.bare(), &["fsck", "--full", "--strict"]));
    assert_eq!(house.branch("acme/shop/dev", "main"), Some(house.head(&at)));
}

#[test]
fn the_same_pack_is_pushed_to_several_environments_at_once() {
    let house = House::start();
    let at = house.work("work");
    for round in 0..6 {
        house.commit(&at, "app.txt", format!("round {round}\n").as_bytes());
        let mut children: Vec<_> = ["dev", "prod", "beta", "test"]
            .map(|env| {
                let mut git = house.git(&at, &["push", &house.url(&format!("acme/shop/{env}")), "main"]);
                git.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("git runs")
            })
            .into();
        for child in &mut children {
            let mut text = String::new();
            child.stderr.take().expect("stderr").read_to_string(&mut text).expect("text");
            assert!(child.wait().expect("git").success(), "round {round}: {text}");
        }
    }
    assert_eq!(house.branch("acme/shop/dev", "main"), house.branch("acme/shop/test", "main"));
    assert!(!house.objects().iter().any(|(path, _)| path.extension().is_some_and(|ext| ext == "keep")));
    ok(house.git(&house.bare(), &["fsck", "--full", "--strict"]));
}
