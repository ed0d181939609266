//! The scheduler's reasons, as the manager asks for them.

use manager::Placement;
use model::AppEnv;
use scheduler::BlockedByApp;
use tokio::sync::watch;

/// What is blocked, at any moment.
pub struct Blocks(pub watch::Receiver<BlockedByApp>);

impl Placement for Blocks {
    fn blocked(&self, app: &AppEnv) -> Vec<String> {
        self.0.borrow().get(app).into_iter().flatten().map(ToString::to_string).collect()
    }
}
