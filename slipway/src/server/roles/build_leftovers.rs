//! Removes what builds left in the engine: after a call that it answered too late, or a removal that it did not do.

use std::sync::Arc;
use std::time::Duration;

use ::manager::Builder;
use anyhow::Result;
use tokio_util::sync::CancellationToken;

use super::{Role, Stage, made};

/// How often the engine is looked at.
const ROUND: Duration = Duration::from_secs(30);

pub const ROLE: Role = Role { name: "build leftovers", needs: &["builder"], start: |wiring| Box::pin(start(wiring)) };

async fn start(wiring: &mut super::Wiring) -> Result<()> {
    let builder = made(&wiring.builder)?.clone();
    wiring.spawn(Stage::Core, ROLE.name, |stop| run(builder, stop));
    Ok(())
}

/// Looks on a timer until it is told to stop. The first look is the manager's, when it recovers.
async fn run(builder: Arc<dyn Builder>, shutdown: CancellationToken) -> Result<()> {
    let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + ROUND, ROUND);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            _ = tick.tick() => builder.reap().await,
        }
    }
}
