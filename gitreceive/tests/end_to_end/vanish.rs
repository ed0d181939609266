//! Clients and servers that go away in the middle.

use std::io::{Read, Write};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use gitreceive::{Rollout, Verdict};
use tokio::sync::Notify;

use crate::harness::{House, noise, ok, run};

#[test]
fn a_client_killed_in_the_hook_changes_nothing() {
    let house = House::start();
    let at = house.work("work");
    let go = Arc::new(Notify::new());
    let (gate, desk) = (go.clone(), house.desk.clone());
    house.desk.on_pre(move |_, said| {
        let (gate, desk) = (gate.clone(), desk.clone());
        async move {
            desk.note("building");
            gate.notified().await;
            for n in 0..5_000 {
                said.say(format!("line {n} to nobody, long enough to fill every buffer on the way to the client that is gone"));
            }
            Verdict::Accept
        }
    });
    let mut child = house.git(&at, &["push", "paas-dev", "main"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("git runs");
    house.wait("the build", |seen| seen.iter().any(|line| line == "building"));
    child.kill().expect("the end of git");
    child.wait().expect("git");
    go.notify_one();
    let head = house.head(&at);
    house.wait("the push to complete without its client", |seen| {
        seen.iter().any(|l| l == "post acme/shop/dev") && seen.iter().any(|l| *l == format!("settle acme/shop/dev {head}"))
    });
    assert_eq!(house.branch("acme/shop/dev", "main"), Some(head));
}

#[test]
fn a_client_killed_in_the_middle_of_the_pack_leaves_nothing() {
    let house = House::start();
    let at = house.work("work");
    let head = house.head(&at);
    house.commit(&at, "big.bin", &noise(3_000_000));
    let mut pack = house.git(&at, &["pack-objects", "--all", "--stdout", "-q"]);
    let pack = pack.output().expect("git runs").stdout;
    let mut ssh = house.ssh("ann", &[], &["git-receive-pack '/acme/shop/dev'"]);
    let mut child = ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("ssh runs");
    let mut advertised = [0; 4];
    child.stdout.take().expect("stdout").read_exact(&mut advertised).expect("the advertisement");
    let mut stdin = child.stdin.take().expect("stdin");
    let line = format!("{} {head} refs/heads/main\0 report-status", "0".repeat(40));
    write!(stdin, "{:04x}{line}0000", line.len() + 4).expect("the command");
    stdin.write_all(&pack[..2_000_000]).expect("half a pack");
    stdin.flush().expect("half a pack");
    child.kill().expect("the end of ssh");
    child.wait().expect("ssh");
    house.wait("settle", |seen| seen.iter().any(|line| line == "settle acme/shop/dev nothing"));
    assert_eq!(house.objects(), []);
    assert!(!house.desk.noted().iter().any(|line| line.starts_with("pre")));
}

#[test]
fn a_pack_that_never_ends_is_ended() {
    let house = House::start_with(|config| config.receive_timeout = Duration::from_millis(300));
    let mut ssh = house.ssh("ann", &[], &["git-receive-pack '/acme/shop/dev'"]);
    let mut child = ssh.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("ssh runs");
    let _stdin = child.stdin.take();
    let mut text = String::new();
    child.stderr.take().expect("stderr").read_to_string(&mut text).expect("text");
    assert!(text.contains("did not arrive in time [SW-H408]"), "{text}");
    assert!(!child.wait().expect("ssh").success());
}

#[test]
fn a_slow_rollout_outlives_its_client_too() {
    let house = House::start();
    let at = house.work("work");
    let go = Arc::new(Notify::new());
    let (gate, desk) = (go.clone(), house.desk.clone());
    house.desk.on_post(move |_, said| {
        let (gate, desk) = (gate.clone(), desk.clone());
        async move {
            desk.note("rolling");
            gate.notified().await;
            said.say("live");
            desk.note("rolled");
            Rollout::Live
        }
    });
    let mut child = house.git(&at, &["push", "paas-dev", "main"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("git runs");
    house.wait("the rollout", |seen| seen.iter().any(|line| line == "rolling"));
    child.kill().expect("the end of git");
    child.wait().expect("git");
    go.notify_one();
    house.wait("the end of the rollout, and settle", |seen| {
        seen.iter().any(|l| l == "rolled") && seen.last().is_some_and(|l| l.starts_with("settle"))
    });
}

#[test]
fn after_a_crash_in_the_build_the_old_ref_stands_and_is_settled() {
    let house = House::start();
    let at = house.work("work");
    ok(house.git(&at, &["push", "-q", "paas-dev", "main"]));
    let old = house.head(&at);
    house.commit(&at, "app.txt", b"two\n");
    let desk = house.desk.clone();
    house.desk.on_pre(move |_, _| {
        let desk = desk.clone();
        async move {
            desk.note("building");
            std::future::pending().await
        }
    });
    let mut git = house.git(&at, &["push", "paas-dev", "main"]);
    let mut child = git.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("git runs");
    house.wait("the build", |seen| seen.iter().any(|line| line == "building"));
    let notes = house.dir.path().join("run/pushes");
    let notes: Vec<_> = std::fs::read_dir(notes).expect("the notes").flatten().map(|note| note.path()).collect();
    let kept: Vec<_> = notes.iter().map(|path| std::fs::read(path).expect("a note")).collect();
    assert_eq!(kept.len(), 1, "one note of the running push");
    let (dir, desk) = house.crash();
    // A process that is killed removes nothing; the runtime of this one did.
    for (path, note) in notes.iter().zip(kept) {
        std::fs::write(path, note).expect("a note");
    }
    assert!(!child.wait().expect("git").success());
    desk.seen.send_modify(Vec::clear);
    desk.unsettled.lock().expect("the desk").push("acme/other/prod".parse().expect("a path"));
    let house = House::over(dir, desk, |_| {});
    house.wait("both to be settled", |seen| {
        seen.iter().any(|l| *l == format!("settle acme/shop/dev {old}")) && seen.iter().any(|l| l == "settle acme/other/prod nothing")
    });
    assert_eq!(house.branch("acme/shop/dev", "main"), Some(old));
    house.objects();
    house.desk.on_pre(|_, _| async { Verdict::Accept });
    let port = house.url("acme/shop/dev");
    let at = house.dir.path().join("work");
    let (code, text) = run(house.git(&at, &["push", &port, "main"]));
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn a_stop_waits_for_the_running_push() {
    let mut house = House::start();
    let at = house.work("work");
    let go = Arc::new(Notify::new());
    let (gate, desk) = (go.clone(), house.desk.clone());
    house.desk.on_pre(move |_, _| {
        let (gate, desk) = (gate.clone(), desk.clone());
        async move {
            desk.note("building");
            gate.notified().await;
            Verdict::Accept
        }
    });
    let mut child = house.git(&at, &["push", "paas-dev", "main"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("git runs");
    house.wait("the build", |seen| seen.iter().any(|line| line == "building"));
    let later = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        go.notify_one();
    });
    house.stop();
    later.join().expect("the notifier");
    assert!(child.wait().expect("git").success());
    assert_eq!(house.branch("acme/shop/dev", "main"), Some(house.head(&at)));
}

#[test]
fn a_follower_is_told_that_its_client_is_gone() {
    let house = House::start();
    let mut child = house.ssh("ann", &[], &["wait"]).spawn().expect("ssh runs");
    house.wait("the verb", |seen| seen.iter().any(|line| line == "waiting"));
    child.kill().expect("the end of ssh");
    child.wait().expect("ssh");
    house.wait("the verb to be told", |seen| seen.iter().any(|line| line == "gone"));
}
