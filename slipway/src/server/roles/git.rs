//! gitreceive, and the clearing of what destroyed apps leave: the repositories are the last part of it to be there.

use std::sync::Arc;

use anyhow::{Context, Result};

use super::{Role, Stage, made};
use crate::config::Config;
use crate::server::disk_reserve::DiskReserve;
use crate::server::verbs::SshVerbs;
use crate::server::{app_cleanup, backend, domain_proof};

pub const ROLE: Role = Role {
    name: "gitreceive",
    needs: &["registry", "builder", "manager", "supervisor", "dashboard", "rollouts"],
    start: |wiring| Box::pin(start(wiring)),
};

async fn start(wiring: &mut super::Wiring) -> Result<()> {
    let config = wiring.config.clone();
    let disk_reserve = DiskReserve::new(config.platform.data_dir.clone(), config.disk.reserve_mb * 1_000_000);
    let (manager, web) = (made(&wiring.manager)?.clone(), made(&wiring.web)?.clone());
    let verbs = SshVerbs { manager: manager.clone(), web, one_offs: made(&wiring.one_offs)?.clone() };
    let backend = Arc::new(backend::ManagerBackend { manager: manager.clone(), verbs, disk_reserve });
    let git = gitreceive::Server::bind(settings(&config)?, backend)
        .await
        .with_context(|| format!("could not listen on {} for git", config.ssh.listen))?;
    let parts = app_cleanup::AppParts {
        repositories: git.repositories(),
        registry: made(&wiring.registry)?.registry.clone(),
        builder: made(&wiring.builder)?.clone(),
        logs: made(&wiring.logs)?.clone(),
    };
    manager.set_app_cleanup(Arc::new(parts));
    manager.set_domain_proof(Arc::new(domain_proof::SystemDns::default()));
    // What an earlier server did not get done. The engine may be away: nobody waits for it here.
    tokio::spawn(async move {
        if let Err(user_error) = manager.clean_up_all().await {
            tracing::error!(%user_error, "pending cleanups of destroyed apps could not be done; they are tried again");
        }
    });
    wiring.spawn(Stage::Intake, ROLE.name, |stop| async move { Ok(git.serve(stop).await?) });
    Ok(())
}

/// gitreceive as the configuration wants it.
fn settings(config: &Config) -> Result<gitreceive::Config> {
    let program = std::env::current_exe().context("could not find this program")?;
    let mut settings = gitreceive::Config::new(config.ssh.listen, config.data("git"), config.platform.run_dir.join("git"), program);
    settings.max_pack = config.ssh.max_push_mb * 1_000_000;
    settings.post_quantum_only = config.ssh.post_quantum_only;
    Ok(settings)
}
