//! `RunningSlug`: a slug that was pulled and runs, as a supervisor would run it; and the engine's own client.

use std::process::Command;

use buildstep::Login;
use manager::builder::Slug;

use super::engine_lock::{EngineLock, SCOPE};

/// Pulls the image of a slug from a registry; gives its name.
pub fn pulled(registry: &str, login: &Login, slug: &Slug) -> String {
    let image = slug.image.pull_name(registry);
    let folder = tempfile::tempdir().expect("a folder");
    let token = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("{}:{}", login.username, login.password));
    let config = format!(r#"{{"auths":{{"{registry}":{{"auth":"{token}"}}}}}}"#);
    std::fs::write(folder.path().join("config.json"), config).expect("written");
    docker(&["--config", &folder.path().display().to_string(), "pull", "--quiet", &image]);
    image
}

/// A running slug, in the network of builds: the engine's own default one may be off.
pub struct RunningSlug {
    container: String,
    image: String,
    address: String,
    /// Dropped last: it removes the network.
    _lock: EngineLock,
}

impl RunningSlug {
    /// Runs a command of an image.
    pub fn start(lock: EngineLock, image: String, command: &str) -> Self {
        let label = format!("slipway.scope={SCOPE}");
        let mut run = vec!["run", "--detach", "--init", "--label", &label, "--network", SCOPE, "--read-only", "--tmpfs", "/tmp"];
        let profile = concat!("seccomp=", env!("CARGO_MANIFEST_DIR"), "/../model/data/seccomp.json");
        run.extend(["--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--security-opt", profile]);
        run.extend(["--env", "PORT=8123", "--publish", "127.0.0.1::8123", &image, "/bin/bash", "-c", command]);
        let container = docker(&run);
        let mut running = Self { container, image, address: String::new(), _lock: lock };
        running.address = docker(&["port", &running.container, "8123"]).lines().next().expect("a port").to_owned();
        running
    }

    /// The answer to a GET, once there is one: status line, headers, body.
    pub async fn get(&self, path: &str) -> String {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        loop {
            let output = Command::new("curl")
                .args(["--silent", "--show-error", "--include", "--max-time", "5", &format!("http://{}{path}", self.address)])
                .output()
                .expect("curl");
            if output.status.success() {
                return String::from_utf8_lossy(&output.stdout).into_owned();
            }
            assert!(
                std::time::Instant::now() < deadline,
                "{path} did not answer: {}\n{}",
                String::from_utf8_lossy(&output.stderr),
                docker(&["logs", &self.container])
            );
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }

    /// What a command in it prints.
    pub fn exec(&self, command: &str) -> String {
        docker(&["exec", &self.container, "/bin/sh", "-c", command])
    }

    /// Whether it ends by itself when it is asked to, before it is killed.
    pub fn ends_when_asked(&self) -> bool {
        docker(&["stop", "--time", "20", &self.container]);
        docker(&["inspect", "--format", "{{.State.ExitCode}}", &self.container]) != "137"
    }
}

impl Drop for RunningSlug {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["rm", "--force", "--volumes", &self.container]).output();
        let _ = Command::new("docker").args(["rmi", &self.image]).output();
    }
}

/// Runs docker; gives what it prints.
pub fn docker(args: &[&str]) -> String {
    let output = Command::new("docker").args(args).output().expect("the docker client is installed");
    // What the engine says of a failed `exec` comes on standard output.
    let said = [output.stderr.as_slice(), output.stdout.as_slice()].map(String::from_utf8_lossy).concat();
    assert!(output.status.success(), "docker {args:?}: {said}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
