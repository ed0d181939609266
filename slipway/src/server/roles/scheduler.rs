//! The scheduler, and its reasons for what has no place, as the manager asks for them.

use std::sync::Arc;

use ::manager::Placement;
use ::scheduler::{BlockedByApp, Config, Scheduler};
use anyhow::{Context, Result};
use model::AppEnv;
use tokio::sync::watch;

use super::{Role, Stage};

/// Its reasons; the manager is made with them.
pub const PLACEMENT: Role = Role { name: "placement", needs: &[], start: |wiring| Box::pin(prepare(wiring)) };
/// Its loop: once the manager has brought desired state up to date.
pub const ROLE: Role = Role { name: "scheduler", needs: &["placement", "manager"], start: |wiring| Box::pin(start(wiring)) };

async fn prepare(wiring: &mut super::Wiring) -> Result<()> {
    let scheduler = Scheduler::new(wiring.live.clone(), Config::default());
    wiring.placement = Some(Arc::new(Blocks(scheduler.blocked())));
    wiring.scheduler = Some(scheduler);
    Ok(())
}

async fn start(wiring: &mut super::Wiring) -> Result<()> {
    let scheduler = wiring.scheduler.take().context("the scheduler was not prepared")?;
    wiring.spawn(Stage::Core, ROLE.name, |stop| async move {
        scheduler.run(stop).await;
        Ok(())
    });
    Ok(())
}

/// What is blocked, at any moment.
struct Blocks(watch::Receiver<BlockedByApp>);

impl Placement for Blocks {
    fn blocked(&self, app: &AppEnv) -> Vec<String> {
        self.0.borrow().get(app).into_iter().flatten().map(ToString::to_string).collect()
    }
}
