//! Starts the real server with a backend, makes keys and working copies, and runs the real clients against it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use gitreceive::{Config, Repositories, Server};
use model::{AppEnv, AppRef};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::backend::TestBackend;

/// How long anything may take before the test fails.
pub const DEADLINE: Duration = Duration::from_secs(60);

pub struct TestServer {
    pub dir: TempDir,
    pub backend: Arc<TestBackend>,
    pub address: SocketAddr,
    pub repositories: Repositories,
    runtime: Option<Runtime>,
    stop: CancellationToken,
    served: Option<tokio::task::JoinHandle<()>>,
}

impl TestServer {
    pub fn start() -> Self {
        Self::start_with(|_| {})
    }

    pub fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let backend = Arc::new(TestBackend::default());
        let server = Self::over(dir, backend, change);
        server.add_key("ann");
        server
    }

    /// A server over data that is there already.
    pub fn over(dir: TempDir, backend: Arc<TestBackend>, change: impl FnOnce(&mut Config)) -> Self {
        let hook = PathBuf::from(env!("CARGO_BIN_EXE_gitreceive-hook"));
        let listen = "127.0.0.1:0".parse().expect("an address");
        let mut config = Config::new(listen, dir.path().join("data"), dir.path().join("run"), hook);
        config.grace = Duration::from_secs(10);
        change(&mut config);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let server = runtime.block_on(Server::bind(config, backend.clone())).expect("a server");
        let (address, repositories) = (server.address().expect("an address"), server.repositories());
        let stop = CancellationToken::new();
        let token = stop.clone();
        let served = runtime.spawn(async move { server.serve(token).await.expect("serving") });
        Self { dir, backend, address, repositories, runtime: Some(runtime), stop, served: Some(served) }
    }

    /// The data and the backend, for another server.
    pub fn take(mut self) -> (TempDir, Arc<TestBackend>) {
        let dir = std::mem::replace(&mut self.dir, tempfile::tempdir().expect("a directory"));
        (dir, self.backend.clone())
    }

    /// Stops in order and waits for it.
    pub fn stop(&mut self) {
        self.stop.cancel();
        if let (Some(runtime), Some(served)) = (&self.runtime, self.served.take()) {
            runtime.block_on(async { tokio::time::timeout(DEADLINE, served).await.expect("the server did not stop") }).expect("serving");
        }
    }

    /// Makes a key of that name and tells the backend whose it is.
    pub fn add_key(&self, user: &'static str) {
        let line = self.make_key(user, &["-t", "ed25519"]);
        self.backend.keys.lock().expect("the backend").insert(line, user);
    }

    /// Makes a key that nobody knows; its line.
    pub fn make_key(&self, name: &str, kind: &[&str]) -> String {
        let path = self.key(name);
        let made = Command::new("ssh-keygen").args(["-q", "-N", "", "-C", "test key"]).args(kind).arg("-f").arg(&path).status();
        assert!(made.expect("ssh-keygen runs").success());
        let text = std::fs::read_to_string(path.with_extension("pub")).expect("the public key");
        key_line(&text)
    }

    pub fn key(&self, name: &str) -> PathBuf {
        self.dir.path().join(format!("key-{name}"))
    }

    /// The words before the host of an ssh command line.
    pub fn ssh_words(&self, user: &str) -> Vec<String> {
        let mut words: Vec<String> = ["ssh", "-F", "/dev/null", "-a", "-x"].map(str::to_owned).into();
        words.extend(["-p".into(), self.address.port().to_string(), "-i".into(), self.key(user).display().to_string()]);
        let known = self.dir.path().join("known_hosts").display().to_string();
        for option in [
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            "StrictHostKeyChecking=accept-new",
            "BatchMode=yes",
            "ConnectTimeout=20",
            &format!("UserKnownHostsFile={known}"),
        ] {
            words.extend(["-o".into(), option.to_owned()]);
        }
        words
    }

    /// ssh as a user, with options before the host and a command behind it.
    pub fn ssh(&self, user: &str, options: &[&str], command: &[&str]) -> Command {
        let words = self.ssh_words(user);
        let mut ssh = Command::new(&words[0]);
        ssh.args(&words[1..]).args(options).arg("paas@127.0.0.1").args(command).stdin(Stdio::null());
        ssh
    }

    /// git in a directory, as a user of the server, without any settings of this machine.
    pub fn git(&self, at: &Path, words: &[&str]) -> Command {
        self.git_as("ann", at, words)
    }

    pub fn git_as(&self, user: &str, at: &Path, words: &[&str]) -> Command {
        let mut git = Command::new("git");
        git.current_dir(at)
            .args(words)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_SSH_COMMAND", self.ssh_words(user).join(" "))
            .env("GIT_TERMINAL_PROMPT", "0")
            .stdin(Stdio::null());
        for role in ["AUTHOR", "COMMITTER"] {
            git.env(format!("GIT_{role}_NAME"), "Ann").env(format!("GIT_{role}_EMAIL"), "ann@example.org");
        }
        git
    }

    pub fn url(&self, path: &str) -> String {
        format!("ssh://paas@127.0.0.1:{}/{path}", self.address.port())
    }

    /// A working copy with one commit and both remotes.
    pub fn work(&self, name: &str) -> PathBuf {
        let at = self.dir.path().join(name);
        std::fs::create_dir(&at).expect("a directory");
        ok(self.git(&at, &["init", "-q", "-b", "main"]));
        for env in ["dev", "prod"] {
            ok(self.git(&at, &["remote", "add", &format!("paas-{env}"), &self.url(&format!("acme/shop/{env}"))]));
        }
        self.commit(&at, "app.txt", b"hello\n");
        at
    }

    pub fn commit(&self, at: &Path, file: &str, bytes: &[u8]) -> String {
        let path = at.join(file);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(path, bytes).expect("a file");
        ok(self.git(at, &["add", "-A"]));
        ok(self.git(at, &["commit", "-q", "-m", &format!("change {file}")]));
        self.head(at)
    }

    pub fn head(&self, at: &Path) -> String {
        ok(self.git(at, &["rev-parse", "HEAD"])).trim().to_owned()
    }

    /// Where a branch of an environment stands on the server.
    pub fn branch(&self, app: &str, branch: &str) -> Option<String> {
        let app: AppEnv = app.parse().expect("a path");
        let branch = gitreceive::BranchName::new(branch).expect("a branch");
        self.repositories.refs(&app).branch(&branch).expect("the refs").map(|id| id.to_string())
    }

    pub fn bare(&self) -> PathBuf {
        let app: AppEnv = "acme/shop/dev".parse().expect("a path");
        let app: AppRef = app.app_ref();
        self.repositories.path(&app)
    }

    /// Every file below `objects` of the server's repository, with sizes.
    pub fn objects(&self) -> Vec<(PathBuf, u64)> {
        let mut files = Vec::new();
        let mut dirs = vec![self.bare().join("objects")];
        while let Some(dir) = dirs.pop() {
            for entry in std::fs::read_dir(dir).expect("a directory").flatten() {
                let meta = entry.metadata().expect("a file");
                if meta.is_dir() {
                    assert!(!entry.file_name().to_string_lossy().starts_with("tmp_objdir"), "a quarantine was left behind");
                    dirs.push(entry.path());
                } else {
                    files.push((entry.path(), meta.len()));
                }
            }
        }
        files
    }

    /// Waits until the backend's record fits, or fails with what was missing.
    pub fn wait(&self, what: &str, fits: impl Fn(&[String]) -> bool) {
        let runtime = self.runtime.as_ref().expect("a running server");
        let mut seen = self.backend.seen.subscribe();
        let waited = runtime.block_on(async { tokio::time::timeout(DEADLINE, seen.wait_for(|seen| fits(seen))).await.is_ok() });
        assert!(waited, "missing: {what}; seen: {:#?}", self.backend.noted());
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
    }
}

/// Algorithm and blob of a `.pub` file, without its comment.
pub fn key_line(text: &str) -> String {
    text.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

/// Runs a command that must succeed; its output.
pub fn ok(mut command: Command) -> String {
    let output = command.output().expect("the program runs");
    assert!(output.status.success(), "{command:?}\n{}", text(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs a command and shows everything it output.
pub fn run(mut command: Command) -> (Option<i32>, String) {
    let output = command.output().expect("the program runs");
    (output.status.code(), text(&output))
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Bytes that do not compress.
pub fn noise(bytes: usize) -> Vec<u8> {
    use std::io::Read;
    let mut all = vec![0; bytes];
    std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut all)).expect("random bytes");
    all
}
