//! The server: all roles in one process. Wires them, starts them in order, stops them in the opposite one.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use manager::{Manager, Settings};
use store::live::Embedded;
use store::postgres::Postgres;
use store::{Keyring, Live, Records};
use tokio::net::UnixListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::cli::exit;
use crate::config::{self, Config};

pub mod boot;
mod desk;
pub mod doctor;
mod estate;
mod leftovers;
mod logs;
mod one_off;
mod parts;
mod placement;
mod retention;
mod room;
pub mod router;
mod sources;
mod sweeper;
mod telemetry;
mod verbs;

/// `slipway up`; with `own_router`, the router is a process of its own.
pub fn main(path: Option<&Path>, own_router: bool) -> ExitCode {
    run(path, async |config| up(config, own_router).await)
}

/// Runs a role, or all of them, to its end.
fn run(path: Option<&Path>, role: impl AsyncFnOnce(Config) -> Result<()>) -> ExitCode {
    let config = match config::load(path) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{:#}", anyhow::Error::from(error));
            return ExitCode::from(exit::USAGE);
        }
    };
    telemetry::start(&config.log.level);
    // The request path has its own threads; what is left is control work.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).max_blocking_threads(16).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("could not start: {error}");
            return ExitCode::from(exit::FAILED);
        }
    };
    let result = runtime.block_on(role(config));
    // Every role has been told to end and was waited for; a file that still is read somewhere must not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(5));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "the server ends");
            eprintln!("slipway: {error:#}");
            eprintln!("next: slipway doctor");
            ExitCode::from(exit::FAILED)
        }
    }
}

/// Two servers over one data directory would both write every fact.
fn only_one(config: &Config) -> Result<File> {
    let path = config.data("server.lock");
    let file = File::create(&path).with_context(|| format!("could not make {}", path.display()))?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(_) => bail!("another server runs over {}", config.platform.data_dir.display()),
    }
}

async fn database(config: &Config) -> Result<(Records, Option<Postgres>)> {
    if config.database.url == "managed" {
        let postgres = Postgres::start(&config.data("postgres"), &config.platform.run_dir.join("postgres")).await?;
        let records = Records::open(postgres.options(), config.database.connections).await?;
        return Ok((records, Some(postgres)));
    }
    let options = config.database.url.parse().context("`database.url` is neither `managed` nor the address of a PostgreSQL")?;
    Ok((Records::open(options, config.database.connections).await?, None))
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

async fn up(config: Config, own_router: bool) -> Result<()> {
    let begun = Instant::now();
    for dir in [&config.platform.data_dir, &config.platform.run_dir] {
        std::fs::create_dir_all(dir).with_context(|| format!("could not make {}", dir.display()))?;
        // Others may pass through to what is theirs (the database's own directory), and see nothing.
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o711))?;
    }
    let _lock = only_one(&config)?;
    let keyring = Arc::new(Keyring::open(&config.data("master.key"))?);
    let (records, postgres) = database(&config).await?;
    let stop = CancellationToken::new();
    let keeping = postgres.map(|postgres| tokio::spawn(postgres.keep(stop.clone())));
    let result = roles(&config, begun, records.clone(), keyring, own_router).await;
    records.close().await;
    stop.cancel();
    if let Some(keeping) = keeping
        && let Err(error) = keeping.await
    {
        tracing::error!(%error, "the keeper of the database broke");
    }
    tracing::info!("stopped");
    result
}

/// Starts every role, waits for a signal or for a role that ends by itself, and stops them.
async fn roles(config: &Config, begun: Instant, records: Records, keyring: Arc<Keyring>, own_router: bool) -> Result<()> {
    let tree = Arc::new(Embedded::open(records.pool()).await?);
    let live = Live::new(tree.clone());
    // In two waves: what takes work from outside stops first, what it stands on afterwards.
    let (front, back) = (CancellationToken::new(), CancellationToken::new());
    let mut fronts: JoinSet<(&'static str, Result<()>)> = JoinSet::new();
    let mut backs: JoinSet<(&'static str, Result<()>)> = JoinSet::new();

    tracing::debug!(role = "registry", "starting");
    let registry = parts::registry(config, records.clone()).await?;
    let registry_login = registry.login.clone();
    let registry_address = registry.address;
    let images = registry.registry.clone();
    backs.spawn(named("registry", registry.serve(back.clone())));

    tracing::debug!(role = "builder", "starting");
    let builder = Arc::new(parts::builder(config, registry_address, &registry_login)?);
    let scheduler = scheduler::Scheduler::new(live.clone(), scheduler::Config::default());
    let placement = Arc::new(placement::Blocks(scheduler.blocked()));
    let manager = Arc::new(Manager::new(records.clone(), live.clone(), keyring.clone(), settings(config), builder.clone(), placement));
    tracing::debug!(role = "manager", "starting");
    manager.recover().await.map_err(|user_error| anyhow::anyhow!("could not recover: {user_error}"))?;
    let stop = back.clone();
    backs.spawn(named("scheduler", async move {
        scheduler.run(stop).await;
        Ok(())
    }));

    // Before the supervisor runs: a router that has served all the time is to be back before an instance is asked whether every
    // router has let go of it. And it ends first: what the supervisor takes back at its end is no news for a router that serves on.
    let socket = socket(&config.coordination_socket()).context("could not make the socket of coordination")?;
    let stop = front.clone();
    fronts.spawn(named("coordination", async move {
        store::live::serve(socket, tree, stop).await;
        Ok(())
    }));
    tracing::debug!(role = "supervisor", "starting");
    let supervisor = parts::supervisor(config, live.clone(), keyring, registry_address, &registry_login).await?;
    let (logs, oneoffs) = (supervisor.logs(), supervisor.oneoffs());
    let stop = back.clone();
    backs.spawn(named("supervisor", async move {
        supervisor.run(stop).await;
        Ok(())
    }));
    backs.spawn(named("sweeper", sweeper::run(config.registry.clone(), records.clone(), images.clone(), back.clone())));

    backs.spawn(named("retention", retention::run(config.retention.clone(), manager.clone(), back.clone())));
    backs.spawn(named("builder's leftovers", leftovers::run(builder.clone(), back.clone())));

    if !own_router {
        tracing::debug!(role = "router", "starting");
        let (router, follower) = router::start(config, live.clone()).await?;
        let stop = back.clone();
        backs.spawn(named("router table", async move {
            follower.run(stop).await;
            Ok(())
        }));
        let stop = front.clone();
        fronts.spawn(named("router", async move { Ok(router.serve(stop).await?) }));
    }

    tracing::debug!(role = "dashboard", "starting");
    let web = web_ui::WebUi::new(manager.clone(), Arc::new(logs::InstanceLogs(logs.clone())), web_ui::Config::default());
    let network =
        web.bind(config.web.listen).await.with_context(|| format!("could not listen on {} for the dashboard", config.web.listen))?;
    let control = web.bind_control(&config.control_socket()).context("could not make the control socket")?;
    for (name, bound) in [("dashboard", network), ("control socket", control)] {
        let stop = front.clone();
        fronts.spawn(named(name, async move {
            bound.serve(stop).await;
            Ok(())
        }));
    }

    // Before gitreceive settles what its last life left open: that begins rollouts of its own.
    if let Err(user_error) = manager.clone().resume_rollouts().await {
        tracing::error!(%user_error, "rollouts of the last life could not be taken up");
    }

    tracing::debug!(role = "gitreceive", "starting");
    let room = room::Room::new(config.platform.data_dir.clone(), config.disk.reserve_mb * 1_000_000);
    let desk = Arc::new(desk::ManagerDesk { manager: manager.clone(), web: web.clone(), oneoffs, room });
    let git = gitreceive::Server::bind(parts::git_config(config)?, desk)
        .await
        .with_context(|| format!("could not listen on {} for git", config.ssh.listen))?;
    let closing = builder.clone();
    let parts = estate::Parts { repositories: git.repositories(), registry: images, builder, logs };
    manager.set_estate(Arc::new(parts));
    let stop = front.clone();
    fronts.spawn(named("gitreceive", async move { Ok(git.serve(stop).await?) }));

    let ready = begun.elapsed().as_millis();
    tracing::info!(duration_ms = ready as u64, dashboard = %config.dashboard(), "ready");
    println!("slipway is ready after {ready} ms: dashboard {}, git {}", config.dashboard(), config.ssh_url());

    let ended = tokio::select! {
        signal = telemetry::signal() => {
            tracing::info!(signal, "stopping");
            Ok(())
        }
        Some(joined) = fronts.join_next() => early(joined),
        Some(joined) = backs.join_next() => early(joined),
    };
    front.cancel();
    finish(&mut fronts, Duration::from_secs(45)).await;
    back.cancel();
    finish(&mut backs, Duration::from_secs(20)).await;
    closing.close().await;
    ended
}

/// A socket for roles of this machine: whoever may be root here.
fn socket(path: &Path) -> std::io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

async fn named(name: &'static str, work: impl Future<Output = Result<()>>) -> (&'static str, Result<()>) {
    (name, work.await)
}

/// A role that ends by itself takes the server with it: half a platform tells no truth.
fn early(joined: Result<(&'static str, Result<()>), tokio::task::JoinError>) -> Result<()> {
    match joined {
        Ok((name, Ok(()))) => bail!("the {name} ended by itself"),
        Ok((name, Err(error))) => Err(error.context(format!("the {name} failed"))),
        Err(error) => bail!("a role broke: {error}"),
    }
}

async fn finish(set: &mut JoinSet<(&'static str, Result<()>)>, limit: Duration) {
    let all = async {
        while let Some(joined) = set.join_next().await {
            match joined {
                Ok((name, Err(error))) => tracing::warn!(role = name, error = format!("{error:#}"), "did not end well"),
                Err(error) => tracing::warn!(%error, "a role broke while it stopped"),
                Ok((_, Ok(()))) => {}
            }
        }
    };
    if tokio::time::timeout(limit, all).await.is_err() {
        tracing::warn!("some roles did not stop in time and are ended");
        set.abort_all();
    }
}
