//! A Docker Engine of the test's own, which may be stopped, frozen and killed: the machine's own is never touched.
//!
//! It keeps away from the packet filter and has a default bridge of its own, so two engines stand side by side. It must never be
//! started with `--bridge=none`: such an engine deletes `docker0`, whose ever that is. Containers reach this host and nothing else;
//! the layers of a stack are copied from the machine's engine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::platform::{Platform, wait_for};

/// An engine and everything that it holds.
pub struct OwnEngine {
    dir: tempfile::TempDir,
    bridge: String,
    daemon: Option<Child>,
}

impl OwnEngine {
    /// Starts an empty engine.
    pub fn start() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("slipway-engine-").tempdir()?;
        // By process, as subnets of platforms are.
        let mut engine = Self { dir, bridge: format!("swe{}", std::process::id()), daemon: None };
        let address = format!("10.233.{}.1/24", std::process::id() % 100);
        ip(&["link", "add", &engine.bridge, "type", "bridge"])?;
        ip(&["addr", "add", &address, "dev", &engine.bridge])?;
        ip(&["link", "set", &engine.bridge, "up"])?;
        engine.up()?;
        Ok(engine)
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Where it listens.
    pub fn socket(&self) -> PathBuf {
        self.path().join("docker.sock")
    }

    /// A client of it.
    pub fn docker(&self) -> Command {
        let mut command = Command::new("docker");
        command.arg("--host").arg(format!("unix://{}", self.socket().display()));
        command
    }

    /// Starts the daemon and waits until it answers.
    pub fn up(&mut self) -> Result<()> {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path().join("daemon.log"))?;
        let place = |option: &str, name: &str| format!("--{option}={}", self.path().join(name).display());
        let mut command = Command::new("dockerd");
        command
            .args([place("data-root", "data"), place("exec-root", "exec"), place("pidfile", "pid")])
            .arg(format!("--host=unix://{}", self.socket().display()))
            .arg(format!("--bridge={}", self.bridge))
            .args(["--iptables=false", "--ip6tables=false", "--ip-masq=false", "--shutdown-timeout=5"])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        self.daemon = Some(command.spawn().context("starting dockerd")?);
        wait_for("the answer of the test's own engine", Duration::from_secs(60), || {
            let answers = self.docker().args(["version", "--format", "{{.Server.Version}}"]).output()?.status.success();
            Ok(answers.then_some(()))
        })
        .with_context(|| fs::read_to_string(self.path().join("daemon.log")).unwrap_or_default())
    }

    fn signal(&self, name: &str) -> Result<()> {
        let daemon = self.daemon.as_ref().context("the engine does not run")?;
        if !Command::new("kill").args([&format!("-{name}"), &daemon.id().to_string()]).status()?.success() {
            bail!("the engine could not be sent {name}");
        }
        Ok(())
    }

    /// Stops the daemon as an operator does: containers end with it.
    pub fn stop(&mut self) -> Result<()> {
        self.signal("TERM")?;
        let mut daemon = self.daemon.take().context("the engine does not run")?;
        wait_for("the end of the test's own engine", Duration::from_secs(60), || Ok(daemon.try_wait()?))?;
        Ok(())
    }

    /// Keeps the daemon from running on: it takes connections and answers nothing.
    pub fn freeze(&self) -> Result<()> {
        self.signal("STOP")
    }

    /// Lets it run on.
    pub fn thaw(&self) -> Result<()> {
        self.signal("CONT")
    }

    /// Copies the layers of the Python stack from the machine's engine, made there first if they are not.
    pub fn take_python_stack(&self) -> Result<()> {
        Platform::start()?.slipway(&["boot", "python"])?;
        let listed = Command::new("docker").args(["images", "--format", "{{.Repository}}:{{.Tag}}"]).output()?;
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        let layers = listed.lines().filter(|name| name.starts_with("slipway/stack-python-") || name.starts_with("slipway/stack-base:"));
        let mut save = Command::new("docker").arg("save").args(layers).stdout(Stdio::piped()).spawn()?;
        let loaded = self.docker().args(["load", "--quiet"]).stdin(save.stdout.take().context("a pipe")?).output()?;
        if !save.wait()?.success() || !loaded.status.success() {
            bail!("the stack could not be copied: {}", String::from_utf8_lossy(&loaded.stderr));
        }
        Ok(())
    }
}

fn ip(words: &[&str]) -> Result<()> {
    if !Command::new("ip").args(words).status()?.success() {
        bail!("ip {} failed: the test must run as root", words.join(" "));
    }
    Ok(())
}

impl Drop for OwnEngine {
    fn drop(&mut self) {
        if self.daemon.is_some() {
            // One that is frozen could not end.
            let ended = self.thaw().and_then(|()| self.stop());
            if let Err(error) = ended {
                eprintln!("could not end the test's own engine: {error:#}");
            }
        }
        if let Err(error) = ip(&["link", "del", &self.bridge]) {
            eprintln!("the bridge of the test's own engine stays: {error:#}");
        }
        // What it mounted below its directory would keep that from going.
        let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
        let ours = mounts.lines().filter_map(|line| line.split(' ').nth(1)).filter(|place| Path::new(place).starts_with(self.path()));
        for place in ours.collect::<Vec<_>>().into_iter().rev() {
            let _ = Command::new("umount").args(["-l", place]).status();
        }
    }
}
