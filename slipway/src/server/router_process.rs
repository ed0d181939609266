//! `slipway router`: the request path as a process of its own. The server may be stopped, upgraded or killed beside it, and every app
//! is served on: the router keeps its last table, and finds the server again by itself.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use store::Live;
use store::live::Remote;
use tokio_util::sync::CancellationToken;

use super::{roles, telemetry};
use crate::config::Config;

/// Runs until a signal.
pub fn main(path: Option<&Path>) -> ExitCode {
    super::run(path, alone)
}

async fn alone(config: Config) -> Result<()> {
    let begun = Instant::now();
    let live = Live::new(Arc::new(Remote::open(&config.coordination_socket()).await));
    let (router, follower) = roles::router::start(&config, live).await?;
    let (drain, stop) = (CancellationToken::new(), CancellationToken::new());
    if let Some(status) = roles::router::status(&config, &router).await? {
        tokio::spawn(status.serve(stop.clone()));
    }
    let following = tokio::spawn(follower.run(stop.clone()));
    let told = drain.clone();
    tokio::spawn(async move {
        let signal = telemetry::signal().await;
        tracing::info!(signal, "stopping");
        told.cancel();
    });
    let ready = begun.elapsed().as_millis();
    tracing::info!(duration_ms = ready as u64, listen = %config.router.listen, "ready");
    println!("the router is ready after {ready} ms: {}", config.router.listen);
    let served = router.serve(drain).await;
    // Others learn what it has let go of until its last request has ended.
    stop.cancel();
    following.await?;
    tracing::info!("stopped");
    Ok(served?)
}
