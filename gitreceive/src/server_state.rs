//! What all connections and hooks of one server share.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use model::UserName;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backend::Backend;
use crate::config::Config;
use crate::git::housekeeping::Housekeeping;
use crate::git::process::Git;
use crate::git::pushes::Pushes;
use crate::git::repositories::Repositories;
use crate::spool::SpoolLimits;

pub(crate) struct ServerState {
    pub config: Config,
    pub backend: Arc<dyn Backend>,
    pub git: Git,
    pub repositories: Repositories,
    pub pushes: Pushes,
    pub housekeeping: Housekeeping,
    /// The unix socket that hooks connect to.
    pub hook_socket: PathBuf,
    /// The directory of the pid files of running pushes.
    pub pid_dir: PathBuf,
    pub spool_dir: Arc<Path>,
    /// Pushes and commands that a shutdown waits for.
    pub work: TaskTracker,
    /// Cancelled when the grace of a shutdown is over: running git processes are ended.
    pub abort: CancellationToken,
    pub running: Arc<CommandsPerUser>,
}

impl ServerState {
    /// Limits for what a client sends, of which at most `disk` bytes may wait on disk.
    pub(crate) fn input_limits(&self, disk: u64) -> SpoolLimits {
        SpoolLimits { memory: 4 << 20, disk, dir: self.spool_dir.clone() }
    }

    /// Limits for text on its way to a pusher: from git, and from the backend to a hook.
    pub(crate) fn output_limits(&self) -> SpoolLimits {
        SpoolLimits { memory: 1 << 20, disk: 256 << 20, dir: self.spool_dir.clone() }
    }
}

/// How many commands each user runs.
#[derive(Default)]
pub(crate) struct CommandsPerUser {
    counts: Mutex<HashMap<UserName, usize>>,
}

/// One running command of a user; dropping it frees the slot.
pub(crate) struct CommandSlot {
    of: Arc<CommandsPerUser>,
    user: UserName,
}

impl CommandsPerUser {
    /// A slot, unless the user already runs `most` commands.
    pub(crate) fn acquire(self: &Arc<Self>, user: &UserName, most: usize) -> Option<CommandSlot> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(user.clone()).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(CommandSlot { of: self.clone(), user: user.clone() })
    }
}

impl Drop for CommandSlot {
    fn drop(&mut self) {
        let mut counts = self.of.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_freed_when_dropped() {
        let all = Arc::new(CommandsPerUser::default());
        let user = UserName::new("ann").expect("a name");
        let first = all.acquire(&user, 2);
        let second = all.acquire(&user, 2);
        assert!(first.is_some() && second.is_some() && all.acquire(&user, 2).is_none());
        drop(first);
        assert!(all.acquire(&user, 2).is_some());
        drop(second);
        assert!(all.counts.lock().expect("the table").is_empty());
    }
}
