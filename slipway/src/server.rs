//! The server: all roles in one process. Wires them, starts them in order, stops them in the opposite one.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use store::live::Embedded;
use store::postgres::Postgres;
use store::{Keyring, Records};
use tokio_util::sync::CancellationToken;

use crate::cli::exit;
use crate::config::{self, Config};
use roles::{Stage, Wiring};

mod app_cleanup;
mod backend;
pub mod boot;
mod disk_reserve;
pub mod doctor;
mod domain_proof;
mod logs;
mod memory;
mod one_off;
mod roles;
pub mod router_process;
mod router_status;
mod sources;
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
    memory::set_up();
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
    let result = serve(config, begun, records.clone(), keyring, own_router).await;
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

/// Starts the roles, waits for a signal or for a role that ends by itself, and stops them.
async fn serve(config: Config, begun: Instant, records: Records, keyring: Arc<Keyring>, own_router: bool) -> Result<()> {
    let tree = Arc::new(Embedded::open(records.pool()).await?);
    let mut wiring = Wiring::new(config, records, keyring, tree);
    wiring.spawn(Stage::Core, "allocator", |stop| async move {
        memory::trim(stop).await;
        Ok(())
    });
    wiring.start(if own_router { &["router"] } else { &[] }).await?;
    let ready = begun.elapsed().as_millis();
    let (dashboard, ssh) = (wiring.config.dashboard(), wiring.config.ssh_url());
    tracing::info!(duration_ms = ready as u64, %dashboard, "ready");
    println!("slipway is ready after {ready} ms: dashboard {dashboard}, git {ssh}");
    let ended = wiring.wait(telemetry::signal()).await;
    wiring.stop().await;
    ended
}
