//! Sweeps images that no release and no slug names any more.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use ::registry::{ContentDigest, Registry};
use anyhow::Result;

use store::Records;
use tokio_util::sync::CancellationToken;

use super::{Role, Stage, made};

pub const ROLE: Role = Role { name: "image sweeper", needs: &["registry"], start: |wiring| Box::pin(start(wiring)) };

async fn start(wiring: &mut super::Wiring) -> Result<()> {
    let (config, records, registry) = (wiring.config.registry.clone(), wiring.records.clone(), made(&wiring.registry)?.registry.clone());
    wiring.spawn(Stage::Core, ROLE.name, |stop| run(config, records, registry, stop));
    Ok(())
}

/// Sweeps on a timer until it is told to stop.
async fn run(config: crate::config::Registry, records: Records, registry: Arc<Registry>, shutdown: CancellationToken) -> Result<()> {
    let mut tick = tokio::time::interval(Duration::from_secs(60 * config.sweep_minutes.max(1)));
    let min_age = Duration::from_secs(60 * config.sweep_min_age_minutes);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            _ = tick.tick() => {}
        }
        match sweep(&records, &registry, min_age).await {
            Ok(0) => {}
            Ok(bytes) => tracing::info!(bytes, "swept images that nothing names any more"),
            Err(error) => tracing::error!(error = format!("{error:#}"), "could not sweep images"),
        }
    }
}

async fn sweep(records: &Records, registry: &Registry, min_age: Duration) -> Result<u64> {
    let images = records.release_images().await?.into_iter().chain(records.slug_images().await?);
    let pinned: HashSet<ContentDigest> = images.map(|image| ContentDigest::from(image.digest)).collect();
    let swept = registry.collect(chrono::Utc::now(), min_age, &pinned).await?;
    Ok(swept.bytes)
}
