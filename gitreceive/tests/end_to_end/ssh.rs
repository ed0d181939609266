//! The SSH side: who gets in, what is refused, and how.

use std::process::Stdio;

use crate::harness::{TestServer, ok, run};

#[test]
fn verbs_have_streams_and_a_status() {
    let server = TestServer::start();
    ok(server.ssh("ann", &[], &["status", "0"]));
    let output = server.ssh("ann", &[], &["status", "7"]).output().expect("ssh runs");
    assert_eq!(output.status.code(), Some(7));
    assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b"out\n"[..], &b"err\n"[..]));
    let (code, text) = run(server.ssh("ann", &[], &["no-such-verb"]));
    assert_eq!((code, text.as_str()), (Some(2), "unknown\n"));
    ok(server.ssh("ann", &[], &["status 0 'two words' a\\ b"]));
    assert_eq!(server.backend.noted().last().map(String::as_str), Some(r#"verb ann ["status", "0", "two words", "a b"]"#));
    assert_eq!(ok(server.ssh("ann", &["-tt"], &["terminal"])).split(' ').count(), 3);
    assert_eq!(ok(server.ssh("ann", &[], &["terminal"])), "none");
}

#[test]
fn any_user_name_is_taken_and_none_counts() {
    let server = TestServer::start();
    for name in ["git", "paas", "root", "ann", "no such user"] {
        let mut ssh = server.ssh("ann", &["-l", name], &["status", "0"]);
        ssh.stderr(Stdio::null());
        assert!(ssh.output().expect("ssh runs").status.success(), "{name}");
        assert!(server.backend.noted().last().expect("a verb").starts_with("verb ann"));
    }
}

#[test]
fn an_unknown_key_is_refused_and_told_on_the_next_try() {
    let server = TestServer::start();
    server.make_key("stranger", &["-t", "ed25519"]);
    let (code, text) = run(server.ssh("stranger", &[], &["status", "0"]));
    assert_eq!(code, Some(255));
    assert!(text.contains("Permission denied (publickey)"), "{text}");
    let (_, text) = run(server.ssh("stranger", &[], &["status", "0"]));
    assert!(text.contains("SHA256:") && text.contains("[SW-K401]"), "{text}");
    assert_eq!(server.backend.noted(), Vec::<String>::new());
    let (code, _) = run(server.ssh("ann", &[], &["status", "0"]));
    assert_eq!(code, Some(0));
    let (_, text) = run(server.ssh("ann", &[], &["status", "0"]));
    assert!(!text.contains("SW-K401"), "the banner is for strangers: {text}");
}

#[test]
fn several_keys_are_tried_until_one_fits() {
    let server = TestServer::start();
    server.make_key("first", &["-t", "ed25519"]);
    let key = server.key("ann").display().to_string();
    ok(server.ssh("first", &["-i", &key], &["status", "0"]));
}

#[test]
fn every_good_kind_of_key_works_and_bad_ones_do_not() {
    let server = TestServer::start();
    for (name, kind) in
        [("rsa", &["-t", "rsa", "-b", "3072"][..]), ("p256", &["-t", "ecdsa", "-b", "256"]), ("p521", &["-t", "ecdsa", "-b", "521"])]
    {
        let line = server.make_key(name, kind);
        server.backend.keys.lock().expect("the backend").insert(line, "ann");
        ok(server.ssh(name, &[], &["status", "0"]));
    }
    let (code, _) = run(server.ssh("rsa", &["-o", "PubkeyAcceptedAlgorithms=ssh-rsa"], &["status", "0"]));
    assert_eq!(code, Some(255), "RSA with SHA-1");
    let line = server.make_key("short", &["-t", "rsa", "-b", "1024"]);
    server.backend.keys.lock().expect("the backend").insert(line.split(' ').take(2).collect::<Vec<_>>().join(" "), "ann");
    let (code, _) = run(server.ssh("short", &["-o", "RequiredRSASize=1024"], &["status", "0"]));
    assert_eq!(code, Some(255), "RSA with 1024 bits");
}

#[test]
fn a_certificate_is_no_key() {
    let server = TestServer::start();
    server.make_key("authority", &["-t", "ed25519"]);
    let mut sign = std::process::Command::new("ssh-keygen");
    sign.args(["-q", "-I", "x", "-n", "paas", "-s"]).arg(server.key("authority")).arg(server.key("ann").with_extension("pub"));
    ok(sign);
    let (code, text) = run(server.ssh("ann", &["-o", "PubkeyAcceptedAlgorithms=ssh-ed25519-cert-v01@openssh.com"], &["status", "0"]));
    assert_eq!(code, Some(255), "{text}");
    ok(server.ssh("ann", &[], &["status", "0"]));
}

#[test]
fn passwords_are_not_even_offered() {
    let server = TestServer::start();
    server.make_key("stranger", &["-t", "ed25519"]);
    let (_, text) =
        run(server.ssh("stranger", &["-v", "-o", "PreferredAuthentications=password,keyboard-interactive,publickey"], &["status", "0"]));
    let offered: Vec<&str> = text.lines().filter(|line| line.contains("Authentications that can continue")).collect();
    assert!(!offered.is_empty() && offered.iter().all(|line| line.trim().ends_with(": publickey")), "{offered:?}");
}

#[test]
fn a_shell_a_subsystem_and_git_in_a_terminal_are_refused() {
    let server = TestServer::start();
    for options in [&[][..], &["-tt"]] {
        let (code, text) = run(server.ssh("ann", options, &[]));
        assert_ne!(code, Some(0), "{text}");
        assert!(text.contains("shell request failed"), "{text}");
    }
    let (code, text) = run(server.ssh("ann", &["-s"], &["sftp"]));
    assert_ne!(code, Some(0));
    assert!(text.contains("subsystem request failed"), "{text}");
    let (code, text) = run(server.ssh("ann", &["-tt"], &["git-upload-pack '/acme/shop/dev'"]));
    assert_ne!(code, Some(0));
    assert!(text.contains("git can not run in a terminal"), "{text}");
}

#[test]
fn nothing_is_forwarded() {
    let server = TestServer::start();
    let port = server.address.port();
    let (code, text) = run(server.ssh("ann", &["-W", &format!("127.0.0.1:{port}")], &[]));
    assert_ne!(code, Some(0));
    assert!(text.contains("administratively prohibited"), "{text}");
    let (code, text) = run(server.ssh("ann", &["-o", "ExitOnForwardFailure=yes", "-R", "127.0.0.1:0:127.0.0.1:1"], &["status", "0"]));
    assert_ne!(code, Some(0), "{text}");
    let socket = server.dir.path().join("remote.sock").display().to_string();
    let (code, text) =
        run(server.ssh("ann", &["-o", "ExitOnForwardFailure=yes", "-R", &format!("{socket}:127.0.0.1:1")], &["status", "0"]));
    assert_ne!(code, Some(0), "{text}");
    // Agent, X11 and foreign variables are refused and do not disturb the command.
    let mut ssh = server.ssh("ann", &["-A", "-X", "-o", "SendEnv=LD_PRELOAD LANG"], &["status", "0"]);
    ssh.env("LANG", "C.UTF-8").env("DISPLAY", ":99");
    assert_eq!(ok(ssh), "out\n");
}

/// A connection that several commands share, as `ControlMaster` makes it.
struct SharedConnection {
    master: std::process::Child,
    path: String,
}

impl SharedConnection {
    fn open(server: &TestServer) -> Self {
        let control = server.dir.path().join("control");
        let path = format!("ControlPath={}", control.display());
        let master = server.ssh("ann", &["-M", "-N", "-o", &path], &[]).spawn().expect("ssh runs");
        let deadline = std::time::Instant::now() + crate::harness::DEADLINE;
        while !control.exists() {
            assert!(std::time::Instant::now() < deadline, "missing: the shared connection");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        Self { master, path }
    }

    fn ssh(&self, server: &TestServer, command: &[&str]) -> std::process::Command {
        // Without its own connection: a client that finds the shared one closed would open another.
        server.ssh("ann", &["-o", &self.path, "-o", "ProxyCommand=false"], command)
    }
}

impl Drop for SharedConnection {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.master.kill();
        let _ = self.master.wait();
    }
}

#[test]
fn a_revoked_key_stops_in_the_middle_of_a_connection() {
    let server = TestServer::start();
    let shared = SharedConnection::open(&server);
    ok(shared.ssh(&server, &["status", "0"]));
    server.backend.keys.lock().expect("the backend").clear();
    let (code, text) = run(shared.ssh(&server, &["status", "0"]));
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("your key was removed"), "{text}");
}

#[test]
fn a_thousand_commands_share_one_connection() {
    let server = TestServer::start();
    let shared = SharedConnection::open(&server);
    for n in 0..1_000 {
        let (code, text) = run(shared.ssh(&server, &["status", "7"]));
        assert_eq!((code, text.as_str()), (Some(7), "out\nerr\n"), "command {n}");
    }
}

#[test]
fn a_connection_has_a_limit_of_open_channels() {
    let server = TestServer::start_with(|config| config.channels_per_connection = 2);
    let shared = SharedConnection::open(&server);
    let mut waiting: Vec<_> = (0..2).map(|_| shared.ssh(&server, &["wait"]).spawn().expect("ssh runs")).collect();
    server.wait("both commands run", |seen| seen.iter().filter(|what| *what == "waiting").count() == 2);
    let (code, text) = run(shared.ssh(&server, &["status", "0"]));
    assert_ne!(code, Some(0), "a third channel was opened: {text}");
    let mut first = waiting.remove(0);
    first.kill().expect("the end of a client");
    first.wait().expect("a client");
    server.wait("one command ends", |seen| seen.iter().any(|what| what == "gone"));
    ok(shared.ssh(&server, &["status", "0"]));
    for mut client in waiting {
        client.kill().expect("the end of a client");
        client.wait().expect("a client");
    }
}

#[test]
#[ignore = "needs ssh-audit, from PyPI, on the PATH"]
fn ssh_audit() {
    for post_quantum_only in [true, false] {
        let server = TestServer::start_with(|config| config.post_quantum_only = post_quantum_only);
        let mut audit = std::process::Command::new("ssh-audit");
        audit.args(["--no-colors", "-p", &server.address.port().to_string(), "127.0.0.1"]);
        let (_, text) = run(audit);
        assert!(text.contains("mlkem768x25519-sha256"), "{text}");
        // What older clients need has one blemish, and it is this one.
        let known = |line: &str| !post_quantum_only && line.contains("does not provide protection against post-quantum attacks");
        let blamed: Vec<&str> = text.lines().filter(|l| (l.contains("[fail]") || l.contains("[warn]")) && !known(l)).collect();
        assert!(blamed.is_empty(), "{text}");
        assert!(!text.contains("insufficient connection throttling"), "{text}");
    }
}
