//! `EngineLock`: the right to use the engine under the tests' own scope, for one test at a time on this machine.
//!
//! Limits, caches and leftovers are judged per scope, and a builder ends what another life of its scope left behind. So whoever
//! runs these tests, as threads or as processes, from one folder or from two, waits here for its turn. What a killed test left
//! is removed when the next one comes, and each one removes its own at its end.

use std::fs::File;
use std::process::Command;

/// The scope, which is the name of the tests' build network.
pub const SCOPE: &str = "slipway-build-test";

/// Held as long as a test uses the engine.
pub struct EngineLock(File);

impl EngineLock {
    /// Waits for the turn, and starts from nothing.
    pub async fn wait() -> Self {
        let waiting = tokio::task::spawn_blocking(|| {
            let path = std::env::temp_dir().join("slipway-build-test.lock");
            let file = File::create(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            file.lock().expect("the lock is waited for");
            file
        });
        let lock = Self(waiting.await.expect("a lock"));
        lock.sweep();
        lock
    }

    /// Containers and volumes of the scope, as the engine lists them.
    pub fn found(&self) -> Vec<String> {
        let containers = listed(&["ps", "--all", "--filter", &label(), "--format", "container {{.Names}}"]);
        let volumes = listed(&["volume", "ls", "--filter", &label(), "--format", "volume {{.Name}}"]);
        containers.into_iter().chain(volumes).collect()
    }

    /// Removes all of it, in the order in which it hangs together.
    fn sweep(&self) {
        let remove = |command: &[&str], names: Vec<String>| {
            if !names.is_empty() {
                let _ = Command::new("docker").args(command).args(names).output();
            }
        };
        remove(&["rm", "--force", "--volumes"], listed(&["ps", "--all", "--quiet", "--filter", &label()]));
        remove(&["volume", "rm"], listed(&["volume", "ls", "--quiet", "--filter", &label()]));
        remove(&["network", "rm"], listed(&["network", "ls", "--quiet", "--filter", &format!("name=^{SCOPE}$")]));
    }
}

impl Drop for EngineLock {
    fn drop(&mut self) {
        self.sweep();
        let _ = self.0.unlock();
    }
}

fn label() -> String {
    format!("label=slipway.scope={SCOPE}")
}

fn listed(args: &[&str]) -> Vec<String> {
    let output = Command::new("docker").args(args).output().expect("the docker client is installed");
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}
