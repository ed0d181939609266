//! The builder.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};

use super::registry::Login;
use super::{Role, made};
use crate::config::Config;

pub const ROLE: Role = Role { name: "builder", needs: &["registry"], start: |wiring| Box::pin(start(wiring)) };

async fn start(wiring: &mut super::Wiring) -> Result<()> {
    let registry = made(&wiring.registry)?;
    wiring.builder = Some(Arc::new(builder(&wiring.config, registry.address, &registry.login)?));
    Ok(())
}

/// The builder as the configuration wants it.
pub fn builder(config: &Config, registry: SocketAddr, login: &Login) -> Result<buildstep::Buildstep> {
    let limits = buildstep::Limits {
        memory: u64::from(config.builds.memory_mb) << 20,
        cpu_millis: config.builds.cpu_millis,
        pids: config.builds.pids,
        time: Duration::from_secs(config.builds.time_s),
        disk: config.builds.disk_mb << 20,
        slug: config.builds.slug_mb << 20,
        ..buildstep::Limits::default()
    };
    let base_image = Some(config.builds.stack_image.clone()).filter(|image| !image.is_empty());
    let settings = buildstep::Config {
        docker: config.docker.socket.to_string_lossy().into_owned(),
        work: config.data("build"),
        recipe: buildstep::Recipe { base_image, ..buildstep::Recipe::default() },
        templates: Vec::new(),
        network: config.builds.network.clone(),
        bridge: bridge(&config.builds.network),
        subnet: config.builds.subnet.clone(),
        limits,
        keep_layers: Duration::from_secs(config.retention.stack_days * 86_400),
        ..buildstep::Config::default()
    };
    let store = buildstep::Registry::new(
        registry.to_string(),
        Some(buildstep::Login { username: login.user.clone(), password: login.secret.clone() }),
    );
    buildstep::Buildstep::new(settings, store).context("the builder could not start")
}

/// The name of a network's bridge: interfaces have at most 15 letters.
pub fn bridge(network: &str) -> String {
    network.chars().take(15).collect()
}
