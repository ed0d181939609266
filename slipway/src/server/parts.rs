//! Each role as the configuration wants it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use async_trait::async_trait;
use registry::{Admission, Credentials, Doorkeeper, Grant, Registry};
use store::{Keyring, Live, Records};
use tokio_util::sync::CancellationToken;

use crate::config::Config;

/// The roles' own login at the registry: nobody else has one yet.
#[derive(Clone)]
pub struct Login {
    pub user: String,
    pub secret: String,
}

/// A bound registry.
pub struct BoundRegistry {
    pub registry: Arc<Registry>,
    pub login: Login,
    pub address: SocketAddr,
    server: registry::Server,
}

impl BoundRegistry {
    /// Serves until it is told to stop.
    pub async fn serve(self, shutdown: CancellationToken) -> Result<()> {
        self.server.serve(shutdown).await;
        Ok(())
    }
}

/// The roles come in with the secret of this install.
struct RolesOnly(Login);

#[async_trait]
impl Doorkeeper for RolesOnly {
    async fn admit(&self, credentials: Option<Credentials>) -> Admission {
        let same = |a: &str, b: &str| a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |rest, (a, b)| rest | (a ^ b)) == 0;
        match credentials {
            Some(shown) if same(&shown.user, &self.0.user) && same(&shown.secret, &self.0.secret) => Admission::Granted(Grant::full()),
            _ => Admission::Refused,
        }
    }
}

/// The secret of this install, made once, mode 0600.
pub fn login(config: &Config) -> Result<Login> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let path = config.data("registry.secret");
    let secret = match std::fs::read_to_string(&path) {
        Ok(secret) if !secret.trim().is_empty() => secret.trim().to_owned(),
        _ => {
            let secret = store::random::secret();
            let draft = path.with_extension("new");
            let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
            file.write_all(secret.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&draft, &path)?;
            secret
        }
    };
    Ok(Login { user: "slipway".into(), secret })
}

/// The registry.
pub async fn registry(config: &Config, _records: Records) -> Result<BoundRegistry> {
    let login = login(config)?;
    let registry = Registry::on_disk(&config.data("registry"))?;
    let listen = config.registry.listen;
    let server = registry
        .bind(listen, Arc::new(RolesOnly(login.clone())))
        .await
        .with_context(|| format!("could not listen on {listen} for images"))?;
    let address = server.address();
    Ok(BoundRegistry { registry, login, address, server })
}

/// The builder.
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

/// The router.
pub fn router(config: &Config) -> Result<router::Router> {
    let settings = router::Config {
        listen: vec![config.router.listen],
        workers: Some(config.router.workers).filter(|workers| *workers > 0),
        trusted: config.router.trusted.clone(),
        errors: format!("{}/errors/", config.dashboard()),
        ..router::Config::default()
    };
    let path = config.data("access.log");
    let kept = &config.retention;
    let log = router::LogRotation::open(&path, kept.access_log_mb.max(1) * 1_000_000, kept.access_log_files)
        .with_context(|| format!("could not open {}", path.display()))?;
    router::Router::bind(settings, Some(Box::new(log))).with_context(|| format!("could not listen on {} for apps", config.router.listen))
}

/// gitreceive.
pub fn git_config(config: &Config) -> Result<gitreceive::Config> {
    let program = std::env::current_exe().context("could not find this program")?;
    let mut settings = gitreceive::Config::new(config.ssh.listen, config.data("git"), config.platform.run_dir.join("git"), program);
    settings.max_pack = config.ssh.max_push_mb * 1_000_000;
    settings.post_quantum_only = config.ssh.post_quantum_only;
    Ok(settings)
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
    if let Ok(to) = name.parse() {
        return vec![slugrunner::config::Allow { to, port: None }];
    }
    let (host, port) = name.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?))).unwrap_or((name, 443));
    let Ok(found) = tokio::net::lookup_host((host, port)).await else { return Vec::new() };
    let allow = found.filter_map(|address| match address.ip() {
        std::net::IpAddr::V4(ip) => Some(slugrunner::config::Allow { to: slugrunner::subnet::Subnet::host(ip), port: None }),
        std::net::IpAddr::V6(_) => None,
    });
    allow.collect()
}

/// The supervisor of this machine.
pub async fn supervisor(
    config: &Config,
    live: Live,
    keyring: Arc<Keyring>,
    registry: SocketAddr,
    login: &Login,
) -> Result<slugrunner::Supervisor> {
    let network = |name: &str, subnet: &str| -> Result<slugrunner::NetworkConfig> {
        let subnet = subnet.parse().with_context(|| format!("`{subnet}` is not a subnet such as 172.31.240.0/20"))?;
        Ok(slugrunner::NetworkConfig { name: name.to_owned(), subnet })
    };
    let (host, zone) = (config.platform.host.clone(), config.platform.zone.clone());
    let mut settings = slugrunner::Config::new(host, zone, capacity(config), config.data("supervisor"));
    settings.scope = config.supervisor.network.clone();
    settings.disk = config.supervisor.disk_mb << 20;
    settings.registry = registry.to_string();
    settings.registry_credentials = Some(slugrunner::config::Credentials { name: login.user.clone(), password: login.secret.clone() });
    settings.network = network(&config.supervisor.network, &config.supervisor.subnet)?;
    settings.build_network = Some(network(&config.builds.network, &config.builds.subnet)?);
    settings.allow = allowed(config).await;
    let runtime = slugrunner::DockerRuntime::at(&config.docker.socket.to_string_lossy());
    slugrunner::Supervisor::new(settings, live, keyring, Arc::new(runtime)).context("the supervisor could not start")
}
