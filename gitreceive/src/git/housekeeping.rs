//! Repacking: every push adds a pack, and each pack costs every later reader a look-up, so many are joined into one.
//!
//! git's own automatic collection is off (it would run in the middle of a push); this runs after one. It deletes no object.

use std::sync::{Mutex, PoisonError};

use model::AppRef;
use tokio_util::sync::CancellationToken;

use crate::git::process::Git;
use crate::git::repositories::Repositories;

/// Number of packs from which on they are joined.
const MANY: usize = 50;

/// Repacks repositories, each by one process at a time.
pub(crate) struct Housekeeping {
    git: Git,
    repositories: Repositories,
    abort: CancellationToken,
    /// The apps whose repositories are being repacked now.
    running: Mutex<Vec<AppRef>>,
}

impl Housekeeping {
    pub(crate) fn new(git: Git, repositories: Repositories, abort: CancellationToken) -> Self {
        Self { git, repositories, abort, running: Mutex::default() }
    }

    /// Joins the packs of an app's repository when there are many. Readers and pushes go on meanwhile: git looks again when a
    /// pack is gone.
    pub(crate) async fn repack_if_due(&self, app: &AppRef) {
        if self.repositories.packs(app) < MANY || !self.begin(app) {
            return;
        }
        let repacked = self.repack(app).await;
        self.end(app);
        match repacked {
            Ok(true) => tracing::info!(app = %app, packs = self.repositories.packs(app), "packs joined"),
            Ok(false) => tracing::warn!(app = %app, "git could not join packs"),
            Err(error) => tracing::warn!(app = %app, %error, "git could not join packs"),
        }
    }

    async fn repack(&self, app: &AppRef) -> std::io::Result<bool> {
        let mut command = self.git.over(&self.repositories.path(app), None);
        // In powers of two, so that the large old pack is not written again each time.
        command.args(["repack", "-d", "-q", "--geometric=2"]).kill_on_drop(true);
        let child = command.spawn()?;
        self.git.limit(&child)?;
        tokio::select! {
            output = child.wait_with_output() => Ok(output?.status.success()),
            () = self.abort.cancelled() => Ok(false),
        }
    }

    fn begin(&self, app: &AppRef) -> bool {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let free = !running.contains(app);
        if free {
            running.push(app.clone());
        }
        free
    }

    fn end(&self, app: &AppRef) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).retain(|other| other != app);
    }
}
