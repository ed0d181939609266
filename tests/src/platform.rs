//! A server of the test's own.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::http::{self, Answer};

/// Waits until `ready` gives something; says what was missing when it does not in time.
pub fn wait_for<T>(what: &str, limit: Duration, mut ready: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + limit;
    let mut last = None;
    loop {
        match ready() {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => {}
            Err(error) => last = Some(error),
        }
        if Instant::now() > deadline {
            bail!("after {} s still missing: {what}; last: {last:?}", limit.as_secs());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What a platform stands on.
#[derive(Debug, Clone, Default)]
pub struct Ground {
    /// The engine's socket; none for the machine's own.
    pub docker: Option<PathBuf>,
    /// Its data directory; none for one below its own folder.
    pub data: Option<PathBuf>,
    /// Further lines of its settings.
    pub settings: String,
    /// Whether the router is a process of its own.
    pub own_router: bool,
}

/// A running server and everything that belongs to it.
pub struct Platform {
    ground: Ground,
    dir: tempfile::TempDir,
    server: Option<Child>,
    own_router: Option<Child>,
    /// Where the router listens.
    pub router: SocketAddr,
    /// Where the router tells its metrics.
    pub status: SocketAddr,
    /// The port of git.
    pub ssh: u16,
    network: String,
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// The binary under test, built beside the tests.
fn program() -> Result<PathBuf> {
    let mut dir = std::env::current_exe()?;
    while dir.pop() {
        let candidate = dir.join("slipway");
        if candidate.is_file() {
            return Ok(candidate);
        }
    }
    bail!("the slipway binary is not built: cargo build -p slipway")
}

impl Platform {
    /// Starts a server on the machine's own engine and disk, with user `ada` who owns team `main` of tenant `acme`, and her key.
    pub fn start() -> Result<Self> {
        Self::start_on(Ground::default())
    }

    /// The same, on other ground.
    pub fn start_on(ground: Ground) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("slipway-e2e-").tempdir()?;
        fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let (router, status, ssh, web, registry) = (free_port()?, free_port()?, free_port()?, free_port()?, free_port()?);
        // Subnets by process: several platforms may run on one machine.
        let block = std::process::id() % 100;
        let network = format!("swt{}", std::process::id());
        let at = dir.path().display();
        let data = ground.data.clone().unwrap_or_else(|| dir.path().join("data"));
        let docker = ground.docker.as_ref().map(|socket| format!("[docker]\nsocket = \"{}\"\n", socket.display())).unwrap_or_default();
        let config = format!(
            "[platform]\ndata_dir = \"{}\"\nrun_dir = \"{at}/run\"\n[router]\nlisten = \"127.0.0.1:{router}\"\nstatus = \"127.0.0.1:{status}\"\n[ssh]\nlisten = \"127.0.0.1:{ssh}\"\n[web]\nlisten = \"127.0.0.1:{web}\"\n[registry]\nlisten = \"127.0.0.1:{registry}\"\n[supervisor]\nnetwork = \"{network}\"\nsubnet = \"10.231.{block}.0/24\"\n[builds]\nnetwork = \"{network}b\"\nsubnet = \"10.232.{block}.0/24\"\n{docker}{}",
            data.display(),
            ground.settings
        );
        fs::write(dir.path().join("slipway.toml"), config)?;
        let router = SocketAddr::from(([127, 0, 0, 1], router));
        let status = SocketAddr::from(([127, 0, 0, 1], status));
        let mut platform = Self { ground, dir, server: None, own_router: None, router, status, ssh, network };
        platform.start_server()?;
        platform.start_router()?;
        platform.command("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "ada@test", "-f"]).arg(platform.key()).status()?;
        let key = fs::read_to_string(platform.key().with_extension("pub"))?;
        platform.slipway_with_input(&["upload-key", "ada"], &key)?;
        platform.slipway(&["tenants:create", "acme", "--owner", "ada"])?;
        Ok(platform)
    }

    /// The folder of this platform.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The private key of `ada`.
    pub fn key(&self) -> PathBuf {
        self.dir.path().join("ada")
    }

    /// Starts the server and waits until it answers.
    pub fn start_server(&mut self) -> Result<()> {
        let words: &[&str] = if self.ground.own_router { &["up", "--without", "router"] } else { &["up"] };
        self.server = Some(self.logged(words, "server.log")?.spawn().context("starting the server")?);
        wait_for("the server's answer on its control socket", Duration::from_secs(60), || {
            if let Some(status) = self.server.as_mut().and_then(|server| server.try_wait().transpose()).transpose()? {
                bail!("the server ended with {status}: {}", self.server_log());
            }
            Ok(self.slipway(&["whoami"]).ok())
        })?;
        Ok(())
    }

    fn logged(&self, words: &[&str], log: &str) -> Result<Command> {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.dir.path().join(log))?;
        let mut command = self.command_of_slipway(words)?;
        command.stdout(log.try_clone()?).stderr(log).stdin(Stdio::null());
        Ok(command)
    }

    /// Starts the router, where it is a process of its own, and waits until it listens.
    pub fn start_router(&mut self) -> Result<()> {
        if self.ground.own_router {
            self.own_router = Some(self.logged(&["router"], "router.log")?.spawn().context("starting the router")?);
            wait_for("the router", Duration::from_secs(60), || Ok(std::net::TcpStream::connect(self.router).ok().map(drop)))?;
        }
        Ok(())
    }

    /// Stops a router of its own as an operator does; gives whether it ended well.
    pub fn stop_router(&mut self) -> Result<bool> {
        let Some(mut router) = self.own_router.take() else { return Ok(true) };
        Command::new("kill").args(["-TERM", &router.id().to_string()]).status()?;
        Ok(wait_for("the end of the router", Duration::from_secs(90), || Ok(router.try_wait()?))?.success())
    }

    /// Kills the server as a power cut of the process would.
    pub fn kill_server(&mut self) -> Result<()> {
        if let Some(mut server) = self.server.take() {
            server.kill()?;
            server.wait()?;
        }
        Ok(())
    }

    /// Stops the server as an operator does.
    pub fn stop_server(&mut self) -> Result<()> {
        let Some(mut server) = self.server.take() else { return Ok(()) };
        Command::new("kill").args(["-TERM", &server.id().to_string()]).status()?;
        wait_for("the end of the server", Duration::from_secs(90), || Ok(server.try_wait()?))?;
        Ok(())
    }

    /// What the server logged.
    pub fn server_log(&self) -> String {
        fs::read_to_string(self.dir.path().join("server.log")).unwrap_or_default()
    }

    /// A command in the environment of this platform and nobody else's.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("HOME", self.dir.path())
            .env("XDG_CONFIG_HOME", self.dir.path().join("config"))
            .env("SLIPWAY_CONFIG", self.dir.path().join("slipway.toml"))
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_SSH_COMMAND", self.ssh_command())
            .env("GIT_TERMINAL_PROMPT", "0")
            .env_remove("SLIPWAY_SERVER");
        for (key, value) in [("NAME", "Ada"), ("EMAIL", "ada@example.com")] {
            command.env(format!("GIT_AUTHOR_{key}"), value).env(format!("GIT_COMMITTER_{key}"), value);
        }
        command
    }

    fn ssh_command(&self) -> String {
        format!(
            "ssh -F /dev/null -i {} -o IdentitiesOnly=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR",
            self.key().display()
        )
    }

    /// A verb as the operator, not run yet.
    pub fn command_of_slipway(&self, words: &[&str]) -> Result<Command> {
        let mut command = self.command(&program()?.to_string_lossy());
        command.args(words);
        Ok(command)
    }

    /// Runs a verb as the operator and gives what it wrote; an error when it fails.
    pub fn slipway(&self, words: &[&str]) -> Result<String> {
        self.slipway_with_input(words, "")
    }

    /// The same, with standard input.
    pub fn slipway_with_input(&self, words: &[&str], input: &str) -> Result<String> {
        let output = self.run(&mut self.command_of_slipway(words)?, input)?;
        if !output.status.success() {
            bail!("slipway {} ended with {}: {}", words.join(" "), output.status, String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// A verb's JSON answer.
    pub fn json(&self, words: &[&str]) -> Result<Value> {
        let words: Vec<&str> = words.iter().copied().chain(["--json"]).collect();
        Ok(serde_json::from_str(&self.slipway(&words)?)?)
    }

    /// Runs a verb over SSH as `ada`.
    pub fn over_ssh(&self, line: &str) -> Result<Output> {
        let ssh = self.ssh_command();
        let mut words = ssh.split(' ');
        let mut command = self.command(words.next().context("ssh")?);
        command.args(words).args(["-p", &self.ssh.to_string(), "paas@127.0.0.1", line]);
        self.run(&mut command, "")
    }

    fn run(&self, command: &mut Command, input: &str) -> Result<Output> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let mut stdin = child.stdin.take().context("stdin")?;
        // A command that does not read its input is no failure.
        drop(stdin.write_all(input.as_bytes()));
        drop(stdin);
        Ok(child.wait_with_output()?)
    }

    /// GET from the router.
    pub fn get(&self, host: &str, path: &str) -> Result<Answer> {
        http::get(self.router, &format!("{host}:{}", self.router.port()), path)
    }

    /// Where `ada` pushes.
    pub fn remote(&self, app: &str) -> String {
        format!("ssh://paas@127.0.0.1:{}/{app}", self.ssh)
    }

    /// A client of the engine that this platform stands on.
    pub fn docker(&self) -> Command {
        let mut command = Command::new("docker");
        if let Some(socket) = &self.ground.docker {
            command.arg("--host").arg(format!("unix://{}", socket.display()));
        }
        command
    }

    /// Containers of this platform, by kind.
    pub fn containers(&self, kind: &str) -> Result<Vec<String>> {
        // By scope: a build is in the network of another container.
        let scope = if kind == "build" { format!("{}b", self.network) } else { self.network.clone() };
        let filter = format!("label=slipway.scope={scope}");
        let kind = format!("label=slipway.kind={kind}");
        let output = self.docker().args(["ps", "-aq", "--filter", &filter, "--filter", &kind]).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- server.log ---\n{}", self.server_log());
        }
        if let Err(error) = self.stop_router().and_then(|_| self.stop_server()) {
            eprintln!("could not stop the server: {error:#}");
        }
        for network in [self.network.clone(), format!("{}b", self.network)] {
            let listed = self.docker().args(["ps", "-aq", "--filter", &format!("label=slipway.scope={network}")]).output();
            let ids = listed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
            for id in ids.lines() {
                let _ = self.docker().args(["rm", "-f", id]).output();
            }
            let _ = self.docker().args(["network", "rm", &network]).output();
        }
        // Its references to layers; the layers stay for the next test.
        let reference = format!("reference=slipway/stack-*:*-{}b", self.network);
        let listed = self.docker().args(["images", "--filter", &reference, "--format", "{{.Repository}}:{{.Tag}}"]).output();
        for name in listed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default().lines() {
            let _ = self.docker().args(["rmi", name]).output();
        }
        // Rules outlive the server, so that they hold for containers that do. Those of a test would judge a later one's packets.
        for (from, part) in [("DOCKER-USER", "FWD"), ("INPUT", "IN")] {
            let chain = format!("SLW-{}-{part}", self.network);
            for words in [&["-D", from, "-j", &chain][..], &["-F", &chain], &["-X", &chain]] {
                let _ = Command::new("iptables").arg("-w").args(words).output();
            }
        }
    }
}
