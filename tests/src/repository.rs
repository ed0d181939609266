//! A git repository of the test's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::platform::Platform;

/// A repository with work tree.
pub struct Repository<'a> {
    platform: &'a Platform,
    path: PathBuf,
}

/// How a push ended.
#[derive(Debug)]
pub struct Pushed {
    /// Whether git says that it worked.
    pub ok: bool,
    /// Everything that the pusher saw.
    pub said: String,
}

/// A push that runs.
pub struct Pushing(Child);

impl Pushing {
    /// Waits for its end.
    pub fn wait(self) -> Result<Pushed> {
        let output = self.0.wait_with_output()?;
        Ok(Pushed { ok: output.status.success(), said: String::from_utf8_lossy(&output.stderr).replace("remote: ", "") })
    }
}

impl<'a> Repository<'a> {
    /// An empty repository.
    pub fn new(platform: &'a Platform, name: &str) -> Result<Self> {
        let path = platform.path().join("work").join(name);
        fs::create_dir_all(&path)?;
        let repository = Self { platform, path };
        repository.git(&["init", "-q", "--initial-branch=main"])?;
        Ok(repository)
    }

    /// One that an earlier step made.
    pub fn reopen(platform: &'a Platform, name: &str) -> Self {
        Self { platform, path: platform.path().join("work").join(name) }
    }

    /// A copy of one of the examples, committed.
    pub fn example(platform: &'a Platform, example: &str, name: &str) -> Result<Self> {
        let repository = Self::new(platform, name)?;
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(example);
        let status = Command::new("cp").arg("-a").arg(format!("{}/.", from.display())).arg(&repository.path).status()?;
        if !status.success() {
            bail!("could not copy {}", from.display());
        }
        repository.commit("Hello")?;
        Ok(repository)
    }

    /// Writes a file.
    pub fn write(&self, path: &str, text: &str) -> Result<()> {
        self.write_bytes(path, text.as_bytes())
    }

    /// Writes a file that is no text.
    pub fn write_bytes(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let path = self.path.join(path);
        fs::create_dir_all(path.parent().context("a folder")?)?;
        Ok(fs::write(path, bytes)?)
    }

    /// Reads a file.
    pub fn read(&self, path: &str) -> Result<String> {
        Ok(fs::read_to_string(self.path.join(path))?)
    }

    /// Commits everything.
    pub fn commit(&self, message: &str) -> Result<String> {
        self.git(&["add", "-A"])?;
        self.git(&["commit", "-q", "--allow-empty", "-m", message])?;
        self.git(&["rev-parse", "HEAD"])
    }

    /// Runs git here; an error when it fails.
    pub fn git(&self, words: &[&str]) -> Result<String> {
        let output = self.platform.command("git").arg("-C").arg(&self.path).args(words).output()?;
        if !output.status.success() {
            bail!("git {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// A push, not started yet.
    pub fn pushing(&self, app: &str, what: &[&str]) -> Command {
        let mut command = self.platform.command("git");
        command.arg("-C").arg(&self.path).arg("push").arg(self.platform.remote(app)).args(what);
        command
    }

    /// Pushes and tells how it ended.
    pub fn push_refs(&self, app: &str, what: &[&str]) -> Result<Pushed> {
        let output = self.pushing(app, what).output()?;
        Ok(Pushed { ok: output.status.success(), said: String::from_utf8_lossy(&output.stderr).replace("remote: ", "") })
    }

    /// Pushes `main` and does not wait for its end.
    pub fn push_in_background(&self, app: &str) -> Result<Pushing> {
        let mut command = self.pushing(app, &["main"]);
        Ok(Pushing(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?))
    }

    /// Pushes `main`.
    pub fn push(&self, app: &str) -> Result<Pushed> {
        self.push_refs(app, &["main"])
    }
}
