//! The house: what all connections of this server share.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use model::UserName;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::desk::Desk;
use crate::git::Git;
use crate::housekeeping::Housekeeping;
use crate::pushes::Pushes;
use crate::repositories::Repositories;
use crate::spool::SpoolLimits;

pub(crate) struct House {
    pub config: Config,
    pub desk: Arc<dyn Desk>,
    pub git: Git,
    pub repositories: Repositories,
    pub pushes: Pushes,
    pub housekeeping: Housekeeping,
    /// Where hooks find the server.
    pub hook_socket: PathBuf,
    /// Where a push leaves a note for the next server, should this one die.
    pub notes: PathBuf,
    pub spool_dir: Arc<Path>,
    /// Every push and command that must be waited for at the end.
    pub work: TaskTracker,
    /// The grace at the end is over: git is ended too.
    pub abort: CancellationToken,
    pub running: Arc<PerUser>,
}

impl House {
    /// For what a client sends, of which at most `disk` bytes may wait.
    pub(crate) fn input_limits(&self, disk: u64) -> SpoolLimits {
        SpoolLimits { memory: 4 << 20, disk, dir: self.spool_dir.clone() }
    }

    /// For what git says to a pusher: text.
    pub(crate) fn output_limits(&self) -> SpoolLimits {
        SpoolLimits { memory: 1 << 20, disk: 256 << 20, dir: self.spool_dir.clone() }
    }

    /// For what the desk says to a hook.
    pub(crate) fn lines_limits(&self) -> SpoolLimits {
        SpoolLimits { memory: 1 << 20, disk: 256 << 20, dir: self.spool_dir.clone() }
    }
}

/// How many commands each user runs.
#[derive(Default)]
pub(crate) struct PerUser {
    counts: Mutex<HashMap<UserName, usize>>,
}

/// A place among the commands of a user, given back when dropped.
pub(crate) struct Place {
    of: Arc<PerUser>,
    user: UserName,
}

impl PerUser {
    /// A place, unless the user has `most` already.
    pub(crate) fn place(self: &Arc<Self>, user: &UserName, most: usize) -> Option<Place> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(user.clone()).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Place { of: self.clone(), user: user.clone() })
    }
}

impl Drop for Place {
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
    fn places_are_given_back() {
        let all = Arc::new(PerUser::default());
        let user = UserName::new("ann").expect("a name");
        let first = all.place(&user, 2);
        let second = all.place(&user, 2);
        assert!(first.is_some() && second.is_some() && all.place(&user, 2).is_none());
        drop(first);
        assert!(all.place(&user, 2).is_some());
        drop(second);
        assert!(all.counts.lock().expect("the table").is_empty());
    }
}
