//! The last assignments of this host, in a file: a host that comes back with nothing else up restarts its instances from it, and
//! assignments older than the last ones are refused.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use model::{AppEnv, Assignment, HostAssignments, ReleaseNumber, RunSpec};
use serde::{Deserialize, Serialize};

/// The content of the file.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Document {
    orders: Option<HostAssignments>,
    /// Specs of what is assigned; their config is sealed here as everywhere.
    specs: Vec<RunSpec>,
}

/// The last orders and the specs they need.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    path: PathBuf,
    orders: Option<HostAssignments>,
    specs: BTreeMap<(AppEnv, ReleaseNumber), RunSpec>,
    warned: Option<u64>,
}

impl Checkpoint {
    /// Reads the file. A missing or damaged one is the same as never having been told anything.
    pub(crate) fn open(path: PathBuf) -> Self {
        let document: Document = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                tracing::warn!(%error, path = %path.display(), "the file of the last assignments is damaged and is left aside");
                Document::default()
            }),
            Err(_) => Document::default(),
        };
        let specs = document.specs.into_iter().map(|spec| ((spec.app.clone(), spec.release), spec)).collect();
        Self { path, orders: document.orders, specs, warned: None }
    }

    /// What to run.
    pub(crate) fn assignments(&self) -> &[Assignment] {
        self.orders.as_ref().map_or(&[], |orders| &orders.assignments)
    }

    /// Takes new orders unless they are older than the last; says whether anything changed.
    pub(crate) fn take(&mut self, orders: HostAssignments) -> bool {
        let last = self.orders.as_ref().map_or(0, |last| last.generation);
        if orders.generation < last {
            if self.warned != Some(orders.generation) {
                let path = self.path.display();
                tracing::warn!(offered = orders.generation, last, %path, "older assignments than the last ones are refused");
                self.warned = Some(orders.generation);
            }
            return false;
        }
        if self.orders.as_ref() == Some(&orders) {
            return false;
        }
        let wanted: Vec<_> = orders.assignments.iter().map(|a| (a.app.clone(), a.release)).collect();
        self.specs.retain(|key, _| wanted.contains(key));
        self.orders = Some(orders);
        self.write();
        true
    }

    /// A spec that was needed before.
    pub(crate) fn spec(&self, app: &AppEnv, release: ReleaseNumber) -> Option<&RunSpec> {
        self.specs.get(&(app.clone(), release))
    }

    /// Keeps a spec.
    pub(crate) fn keep_spec(&mut self, spec: RunSpec) {
        self.specs.insert((spec.app.clone(), spec.release), spec);
        self.write();
    }

    fn write(&self) {
        let document = Document { orders: self.orders.clone(), specs: self.specs.values().cloned().collect() };
        if let Err(error) = replace(&self.path, &serde_json::to_vec(&document).expect("a model document is always JSON")) {
            tracing::error!(%error, path = %self.path.display(), "the last assignments could not be kept");
        }
    }
}

/// Writes beside and renames: a crash leaves the old file or the new one.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let draft = path.with_extension("new");
    let mut file = std::fs::File::create(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(draft, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_order_is_refused_also_after_a_restart() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("assignments.json");
        let orders = |generation| HostAssignments { host: "h".parse().expect("a host"), generation, assignments: Vec::new() };
        let mut checkpoint = Checkpoint::open(path.clone());
        assert!(checkpoint.take(orders(5)) && !checkpoint.take(orders(5)) && !checkpoint.take(orders(4)));
        let mut again = Checkpoint::open(path.clone());
        assert!(!again.take(orders(4)) && again.take(orders(6)));
        std::fs::write(&path, b"{").expect("a damaged file");
        assert!(Checkpoint::open(path).take(orders(1)));
    }
}
