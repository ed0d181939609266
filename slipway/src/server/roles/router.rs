//! The request path and its follower of coordination.

use anyhow::{Context, Result};
use router::{Follower, LogRotation, Router, Snapshot, StatusServer};
use store::Live;

use super::{Role, Stage};
use crate::config::Config;

pub const ROLE: Role = Role { name: "router", needs: &[], start: |wiring| Box::pin(run(wiring)) };

async fn run(wiring: &mut super::Wiring) -> Result<()> {
    let (router, follower) = start(&wiring.config, wiring.live.clone()).await?;
    if let Some(status) = status(&wiring.config, &router).await? {
        wiring.spawn(Stage::Core, "router status", |stop| async move {
            status.serve(stop).await;
            Ok(())
        });
    }
    wiring.spawn(Stage::Core, "router table", |stop| async move {
        follower.run(stop).await;
        Ok(())
    });
    wiring.spawn(Stage::Intake, ROLE.name, |stop| async move { Ok(router.serve(stop).await?) });
    Ok(())
}

/// A router that knows its table, and what keeps the table true.
pub async fn start(config: &Config, live: Live) -> Result<(Router, Follower)> {
    let router = bind(config)?;
    let mut follower = Follower::new(router.handle(), live, model::RouterId::mint(store::random::bytes()))
        .with_snapshot(Snapshot::new(config.data("router.snapshot")));
    follower.first().await;
    Ok((router, follower))
}

/// The status port, where one is configured.
pub async fn status(config: &Config, router: &Router) -> Result<Option<StatusServer>> {
    let Some(address) = config.router.status else { return Ok(None) };
    let bound = StatusServer::bind(address, router.handle()).await;
    Ok(Some(bound.with_context(|| format!("could not listen on {address} for the router's status"))?))
}

/// The router as the configuration wants it: it listens, and does not serve yet.
fn bind(config: &Config) -> Result<Router> {
    let settings = router::Config {
        listen: vec![config.router.listen],
        workers: Some(config.router.workers).filter(|workers| *workers > 0),
        trusted: config.router.trusted.clone(),
        errors: format!("{}/errors/", config.dashboard()),
        ..router::Config::default()
    };
    let path = config.data("access.log");
    let kept = &config.retention;
    let log = LogRotation::open(&path, kept.access_log_mb.max(1) * 1_000_000, kept.access_log_files)
        .with_context(|| format!("could not open {}", path.display()))?;
    Router::bind(settings, Some(Box::new(log))).with_context(|| format!("could not listen on {} for apps", config.router.listen))
}
