//! Removes builds and releases that are not kept any more; what only they named then falls to the sweeper of images.

use std::sync::Arc;
use std::time::Duration;

use ::manager::Manager;
use ::manager::retention::Keep;
use anyhow::Result;
use tokio_util::sync::CancellationToken;

use super::{Role, Stage, made};

pub const ROLE: Role = Role { name: "retention", needs: &["manager"], start: |wiring| Box::pin(start(wiring)) };

async fn start(wiring: &mut super::Wiring) -> Result<()> {
    let (config, manager) = (wiring.config.retention.clone(), made(&wiring.manager)?.clone());
    wiring.spawn(Stage::Core, ROLE.name, |stop| run(config, manager, stop));
    Ok(())
}

/// Expires on a timer until it is told to stop.
async fn run(config: crate::config::Retention, manager: Arc<Manager>, shutdown: CancellationToken) -> Result<()> {
    let mut tick = tokio::time::interval(Duration::from_secs(60 * config.round_minutes.max(1)));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // The release that serves and one to go back to are the least that makes sense.
    let keep = Keep { builds: config.builds.max(1), releases: config.releases.max(2) };
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            _ = tick.tick() => {}
        }
        match manager.expire(keep).await {
            Ok((0, 0)) => {}
            Ok((builds, releases)) => tracing::info!(builds, releases, "removed what is not kept any more"),
            Err(user_error) => tracing::error!(%user_error, "could not remove what is not kept any more"),
        }
    }
}
