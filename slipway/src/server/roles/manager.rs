//! The manager: made over the builder and the placement, and brought up to date before anything follows it.

use std::sync::Arc;

use ::manager::{Manager, Settings};
use anyhow::{Result, anyhow};

use super::{Role, made};
use crate::config::Config;

pub const ROLE: Role = Role { name: "manager", needs: &["builder", "placement"], start: |wiring| Box::pin(start(wiring)) };
/// Takes up the rollouts of the process before this one; before gitreceive settles what that left open, which begins new ones.
pub const RESUME: Role = Role { name: "rollouts", needs: &["manager"], start: |wiring| Box::pin(resume(wiring)) };

async fn start(wiring: &mut super::Wiring) -> Result<()> {
    let (records, live, keyring) = (wiring.records.clone(), wiring.live.clone(), wiring.keyring.clone());
    let (builder, placement) = (made(&wiring.builder)?.clone(), made(&wiring.placement)?.clone());
    let manager = Arc::new(Manager::new(records, live, keyring, settings(&wiring.config), builder, placement));
    manager.recover().await.map_err(|user_error| anyhow!("could not recover: {user_error}"))?;
    wiring.manager = Some(manager);
    Ok(())
}

async fn resume(wiring: &mut super::Wiring) -> Result<()> {
    if let Err(user_error) = made(&wiring.manager)?.clone().resume_rollouts().await {
        tracing::error!(%user_error, "rollouts of the server before this one could not be taken up");
    }
    Ok(())
}

fn settings(config: &Config) -> Settings {
    Settings {
        domain: config.platform.domain.clone(),
        router_port: config.router.listen.port(),
        dashboard: config.dashboard(),
        ssh: config.ssh_url(),
        builds_dir: config.data("builds"),
        builders: config.builds.at_once,
    }
}
