//! Clients and servers that go away in the middle.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use gitreceive::{PushDecision, RolloutOutcome, Unsettled};
use tokio::sync::Notify;

use crate::backend::TestBackend;
use crate::harness::{DEADLINE, TestServer, key_line, noise, ok, run};

#[test]
fn a_client_killed_in_the_hook_changes_nothing() {
    let server = TestServer::start();
    let at = server.work("work");
    let go = Arc::new(Notify::new());
    let (gate, backend) = (go.clone(), server.backend.clone());
    server.backend.on_pre(move |_, output| {
        let (gate, backend) = (gate.clone(), backend.clone());
        async move {
            backend.note("building");
            gate.notified().await;
            for n in 0..5_000 {
                output.say(format!("line {n} to nobody, long enough to fill every buffer on the way to the client that is gone"));
            }
            PushDecision::Accept
        }
    });
    let mut child = server.git(&at, &["push", "paas-dev", "main"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("git runs");
    server.wait("the build", |seen| seen.iter().any(|line| line == "building"));
    child.kill().expect("the end of git");
    child.wait().expect("git");
    go.notify_one();
    let head = server.head(&at);
    server.wait("the push to complete without its client", |seen| {
        seen.iter().any(|l| l == "post acme/shop/dev") && seen.iter().any(|l| *l == format!("settle acme/shop/dev {head}"))
    });
    assert_eq!(server.branch("acme/shop/dev", "main"), Some(head));
}

#[test]
fn a_client_killed_in_the_middle_of_the_pack_leaves_nothing() {
    let server = TestServer::start();
    let at = server.work("work");
    let head = server.head(&at);
    server.commit(&at, "big.bin", &noise(3_000_000));
    let mut pack = server.git(&at, &["pack-objects", "--all", "--stdout", "-q"]);
    let pack = pack.output().expect("git runs").stdout;
    let mut ssh = server.ssh("ann", &[], &["git-receive-pack '/acme/shop/dev'"]);
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
    server.wait("settle", |seen| seen.iter().any(|line| line == "settle acme/shop/dev nothing"));
    assert_eq!(server.objects(), []);
    assert!(!server.backend.noted().iter().any(|line| line.starts_with("pre")));
}

#[test]
fn a_pack_that_never_ends_is_ended() {
    let server = TestServer::start_with(|config| config.receive_timeout = Duration::from_millis(300));
    let mut ssh = server.ssh("ann", &[], &["git-receive-pack '/acme/shop/dev'"]);
    let mut child = ssh.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("ssh runs");
    let _stdin = child.stdin.take();
    let mut text = String::new();
    child.stderr.take().expect("stderr").read_to_string(&mut text).expect("text");
    assert!(text.contains("did not arrive in time [SW-H408]"), "{text}");
    assert!(!child.wait().expect("ssh").success());
}

#[test]
fn a_slow_rollout_outlives_its_client_too() {
    let server = TestServer::start();
    let at = server.work("work");
    let go = Arc::new(Notify::new());
    let (gate, backend) = (go.clone(), server.backend.clone());
    server.backend.on_post(move |_, output| {
        let (gate, backend) = (gate.clone(), backend.clone());
        async move {
            backend.note("rolling");
            gate.notified().await;
            output.say("live");
            backend.note("rolled");
            RolloutOutcome::Live
        }
    });
    let mut child = server.git(&at, &["push", "paas-dev", "main"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("git runs");
    server.wait("the rollout", |seen| seen.iter().any(|line| line == "rolling"));
    child.kill().expect("the end of git");
    child.wait().expect("git");
    go.notify_one();
    server.wait("the end of the rollout, and settle", |seen| {
        seen.iter().any(|l| l == "rolled") && seen.last().is_some_and(|l| l.starts_with("settle"))
    });
}

/// Where the server of the next test finds its data, in a process of its own.
const DOOMED: &str = "GITRECEIVE_TEST_DOOMED";

/// Not a test: the server that the next test kills. It says where it listens in a file, and builds without end.
#[test]
#[ignore = "started by another test"]
fn doomed_server() {
    let Some(dir) = std::env::var_os(DOOMED).map(PathBuf::from) else { return };
    let backend = Arc::new(TestBackend::default());
    let key = std::fs::read_to_string(dir.join("key-ann.pub")).expect("the key");
    backend.keys.lock().expect("the backend").insert(key_line(&key), "ann");
    let building = dir.join("building");
    backend.on_pre(move |_, _| {
        std::fs::write(&building, "").expect("a mark");
        std::future::pending()
    });
    let server = TestServer::over(tempfile::tempdir().expect("a directory"), backend, |config| {
        (config.data_dir, config.run_dir) = (dir.join("data"), dir.join("run"));
    });
    std::fs::write(dir.join("port.new"), server.address.port().to_string()).expect("the port");
    std::fs::rename(dir.join("port.new"), dir.join("port")).expect("the port");
    server.wait("the end, which comes from outside", |_| false);
}

fn wait_for(path: &Path) {
    let deadline = std::time::Instant::now() + DEADLINE;
    while !path.exists() {
        assert!(std::time::Instant::now() < deadline, "missing: {}", path.display());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn after_a_kill_in_the_build_the_old_ref_stands_and_is_settled() {
    let mut server = TestServer::start();
    let at = server.work("work");
    ok(server.git(&at, &["push", "-q", "paas-dev", "main"]));
    let old = server.head(&at);
    server.commit(&at, "app.txt", b"two\n");
    server.stop();
    let dir = server.dir.path().to_owned();
    let mut doomed = std::process::Command::new(std::env::current_exe().expect("this program"));
    doomed
        .args(["--exact", "vanish::doomed_server", "--ignored", "--nocapture"])
        .env(DOOMED, &dir)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut doomed = doomed.spawn().expect("a server of its own");
    wait_for(&dir.join("port"));
    let port = std::fs::read_to_string(dir.join("port")).expect("the port");
    let url = format!("ssh://paas@127.0.0.1:{port}/acme/shop/dev");
    let ssh = server.ssh_words("ann").join(" ").replace(&format!("-p {}", server.address.port()), "");
    let mut git = server.git(&at, &["push", &url, "main"]);
    let mut child = git.env("GIT_SSH_COMMAND", ssh).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("git runs");
    wait_for(&dir.join("building"));
    assert_eq!(std::fs::read_dir(dir.join("run/pushes")).expect("the notes").count(), 1);
    doomed.kill().expect("the end of the server");
    doomed.wait().expect("the server");
    assert!(!child.wait().expect("git").success());

    let (dir, backend) = server.take();
    backend.seen.send_modify(Vec::clear);
    backend.settled.lock().expect("the backend").clear();
    backend.unsettled.lock().expect("the backend").push("acme/other/prod".parse().expect("a path"));
    let server = TestServer::over(dir, backend, |_| {});
    server.wait("both to be settled", |seen| {
        seen.iter().any(|l| *l == format!("settle acme/shop/dev {old}")) && seen.iter().any(|l| l == "settle acme/other/prod nothing")
    });
    assert_eq!(*server.backend.settled.lock().expect("the backend"), [Unsettled::EarlierServer, Unsettled::EarlierServer]);
    assert_eq!(server.branch("acme/shop/dev", "main"), Some(old));
    assert_eq!(std::fs::read_dir(server.dir.path().join("run/pushes")).expect("the notes").count(), 0);
    server.objects();
    let (code, text) = run(server.git(&at, &["push", &server.url("acme/shop/dev"), "main"]));
    assert_eq!(code, Some(0), "{text}");
    ok(server.git(&server.bare(), &["fsck", "--full", "--strict"]));
}

#[test]
fn a_stop_waits_for_the_running_push() {
    let mut server = TestServer::start();
    let at = server.work("work");
    let go = Arc::new(Notify::new());
    let (gate, backend) = (go.clone(), server.backend.clone());
    server.backend.on_pre(move |_, _| {
        let (gate, backend) = (gate.clone(), backend.clone());
        async move {
            backend.note("building");
            gate.notified().await;
            PushDecision::Accept
        }
    });
    let mut child = server.git(&at, &["push", "paas-dev", "main"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("git runs");
    server.wait("the build", |seen| seen.iter().any(|line| line == "building"));
    let later = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        go.notify_one();
    });
    server.stop();
    later.join().expect("the notifier");
    assert!(child.wait().expect("git").success());
    assert_eq!(server.branch("acme/shop/dev", "main"), Some(server.head(&at)));
}

#[test]
fn a_follower_is_told_that_its_client_is_gone() {
    let server = TestServer::start();
    let mut child = server.ssh("ann", &[], &["wait"]).spawn().expect("ssh runs");
    server.wait("the verb", |seen| seen.iter().any(|line| line == "waiting"));
    child.kill().expect("the end of ssh");
    child.wait().expect("ssh");
    server.wait("the verb to be told", |seen| seen.iter().any(|line| line == "gone"));
}
