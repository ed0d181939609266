//! The supervisor of this machine.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};

use super::{Role, Stage, made};
use crate::config::Config;

pub const ROLE: Role = Role { name: "supervisor", needs: &["registry"], start: |wiring| Box::pin(start(wiring)) };

async fn start(wiring: &mut super::Wiring) -> Result<()> {
    let (config, registry) = (wiring.config.clone(), made(&wiring.registry)?);
    let network = |name: &str, subnet: &str| -> Result<slugrunner::NetworkConfig> {
        let subnet = subnet.parse().with_context(|| format!("`{subnet}` is not a subnet such as 172.31.240.0/20"))?;
        Ok(slugrunner::NetworkConfig::new(name, subnet))
    };
    let (host, zone) = (config.platform.host.clone(), config.platform.zone.clone());
    let mut settings = slugrunner::Config::new(host, zone, capacity(&config), config.data("supervisor"));
    settings.scope = config.supervisor.network.clone();
    settings.disk = config.supervisor.disk_mb << 20;
    settings.registry = registry.address.to_string();
    settings.registry_credentials =
        Some(slugrunner::config::Credentials { name: registry.login.user.clone(), password: registry.login.secret.clone() });
    settings.network = network(&config.supervisor.network, &config.supervisor.subnet)?;
    settings.build_network = Some(network(&config.builds.network, &config.builds.subnet)?);
    settings.allow = allowed(&config).await;
    let runtime = slugrunner::DockerRuntime::at(&config.docker.socket.to_string_lossy());
    let supervisor = slugrunner::Supervisor::new(settings, wiring.live.clone(), wiring.keyring.clone(), Arc::new(runtime))
        .context("the supervisor could not start")?;
    wiring.logs = Some(supervisor.logs());
    wiring.one_offs = Some(supervisor.oneoffs());
    wiring.spawn(Stage::Core, ROLE.name, |stop| async move {
        supervisor.run(stop).await;
        Ok(())
    });
    Ok(())
}

/// What this machine has to give when nobody says: what it has, less what the platform needs.
fn capacity(config: &Config) -> model::Capacity {
    /// Left for the platform and the system, in MiB.
    const OURS: u32 = 1_024;
    let memory = || {
        let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        u32::try_from(total.unwrap_or(0) / 1024).unwrap_or(u32::MAX).saturating_sub(OURS)
    };
    let cores = || std::thread::available_parallelism().map_or(1, usize::from) as u32 * 1_000 * config.supervisor.cpu_overcommit.max(1);
    let chosen = |value: u32, otherwise: &dyn Fn() -> u32| if value > 0 { value } else { otherwise() };
    model::Capacity {
        slots: config.supervisor.slots,
        memory_mb: chosen(config.supervisor.memory_mb, &memory),
        cpu_millis: chosen(config.supervisor.cpu_millis, &cores),
    }
}

/// The private addresses of the package mirrors and resolvers that this machine itself is configured with, and what the operator adds.
async fn allowed(config: &Config) -> Vec<slugrunner::config::Allow> {
    let mut names: Vec<String> = config.builds.allow.clone();
    names.extend(buildstep::mirrors().await);
    // A name server that does not answer must not keep the platform from starting.
    const PATIENCE: Duration = Duration::from_secs(2);
    let found = futures_util::future::join_all(names.iter().map(|name| tokio::time::timeout(PATIENCE, addresses(name)))).await;
    let mut allow = Vec::new();
    for (name, found) in names.iter().zip(found) {
        match found {
            Ok(found) if !found.is_empty() => allow.extend(found),
            _ => tracing::warn!(name, "a package mirror has no address now; if it is a private one, builds can not reach it"),
        }
    }
    allow.sort();
    allow.dedup();
    allow
}

/// What a name, an address or a network that builds may reach stands for.
async fn addresses(name: &str) -> Vec<slugrunner::config::Allow> {
    if let Ok(to) = name.parse().or_else(|_| name.parse::<std::net::Ipv4Addr>().map(Into::into)) {
        return vec![slugrunner::config::Allow::new(to, None)];
    }
    let (host, port) = name.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?))).unwrap_or((name, 443));
    let Ok(found) = tokio::net::lookup_host((host, port)).await else { return Vec::new() };
    let allow = found.filter_map(|address| match address.ip() {
        std::net::IpAddr::V4(ip) => Some(slugrunner::config::Allow::new(ip.into(), None)),
        std::net::IpAddr::V6(_) => None,
    });
    allow.collect()
}
