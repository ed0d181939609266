//! Packs are joined now and then: every push brings one, and each costs every later reader a look.
//!
//! git's own automatic collection is off (it would run in the middle of a push); this runs after one. It deletes no object.

use std::sync::{Mutex, PoisonError};

use model::AppRef;

use crate::git;
use crate::house::House;

/// From how many packs on they are joined.
const MANY: usize = 50;

/// The repositories that are being kept right now.
#[derive(Default)]
pub(crate) struct Housekeeping {
    at: Mutex<Vec<AppRef>>,
}

/// Joins the packs of an app's repository when there are many. Readers and pushes go on meanwhile: git looks again when a pack
/// is gone.
pub(crate) async fn keep(house: &House, app: &AppRef) {
    if house.repositories.packs(app) < MANY || !house.housekeeping.begin(app) {
        return;
    }
    let joined = join(house, app).await;
    house.housekeeping.end(app);
    match joined {
        Ok(true) => tracing::info!(app = %app, packs = house.repositories.packs(app), "packs joined"),
        Ok(false) => tracing::warn!(app = %app, "git could not join packs"),
        Err(error) => tracing::warn!(app = %app, %error, "git could not join packs"),
    }
}

async fn join(house: &House, app: &AppRef) -> std::io::Result<bool> {
    let mut command = house.git.over(&house.repositories.path(app), None);
    // In powers of two, so that the large old pack is not written again each time.
    command.args(["repack", "-d", "-q", "--geometric=2"]).kill_on_drop(true);
    let child = command.spawn()?;
    git::limit(&child)?;
    tokio::select! {
        output = child.wait_with_output() => Ok(output?.status.success()),
        () = house.abort.cancelled() => Ok(false),
    }
}

impl Housekeeping {
    fn begin(&self, app: &AppRef) -> bool {
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        let free = !at.contains(app);
        if free {
            at.push(app.clone());
        }
        free
    }

    fn end(&self, app: &AppRef) {
        self.at.lock().unwrap_or_else(PoisonError::into_inner).retain(|other| other != app);
    }
}
