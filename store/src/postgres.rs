//! The PostgreSQL of a one-machine install: a private server as a supervised child, on a unix socket only.
//!
//! Owns one data directory and one socket directory; never touches a cluster of the distribution. The server runs as an
//! unprivileged user, peer authentication maps this process's user to the owner role. A server that outlived a crash of this
//! process is adopted: its data is never started twice.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// Role and database of the platform.
const ROLE: &str = "slipway";
/// How long a start may take, crash recovery included.
const START: Duration = Duration::from_secs(60);
/// How long one try may take.
const TRY: Duration = Duration::from_secs(3);
/// How long after a failed start the next one is tried.
const AGAIN: Duration = Duration::from_secs(2);

/// Why there is no database.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// PostgreSQL is not installed.
    #[error("no PostgreSQL server program was found; install the distribution's `postgresql` package")]
    NotInstalled,
    /// The user that the server should run as does not exist.
    #[error("PostgreSQL can not run as root and there is no user `postgres` to run it as")]
    NoUser,
    /// A file or a process failed.
    #[error("could not {what}")]
    Io {
        /// What was being done.
        what: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// initdb failed.
    #[error("could not make the database directory: {output}")]
    Init {
        /// What it said.
        output: String,
    },
    /// The server did not answer.
    #[error("PostgreSQL did not become ready within {} s; its log is {}", START.as_secs(), .log.display())]
    NotReady {
        /// Where its log is.
        log: PathBuf,
        /// The last answer.
        #[source]
        source: Option<sqlx::Error>,
    },
}

/// A running private server.
pub struct Postgres {
    data: PathBuf,
    sockets: PathBuf,
    child: Option<Child>,
}

fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> PostgresError {
    let what = what.into();
    move |source| PostgresError::Io { what, source }
}

/// The newest server programs of the distribution, or those on the path.
fn programs() -> Option<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, bin)| bin.join("postgres").exists())
        .collect();
    found.sort();
    found.pop().map(|(_, bin)| bin).or_else(|| {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).find(|dir| dir.join("postgres").exists() && dir.join("initdb").exists())
    })
}

/// User and group of `postgres`, when this process is root.
fn server_user() -> Result<Option<(u32, u32)>, PostgresError> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let passwd = std::fs::read_to_string("/etc/passwd").map_err(io("read /etc/passwd"))?;
    let ids = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == "postgres").then_some(())?;
        Some((fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?))
    });
    ids.map(Some).ok_or(PostgresError::NoUser)
}

impl Postgres {
    /// Starts the server of `data`, making it first when there is none; its sockets are in `sockets`.
    pub async fn start(data: &Path, sockets: &Path) -> Result<Self, PostgresError> {
        let bin = programs().ok_or(PostgresError::NotInstalled)?;
        let user = server_user()?;
        for dir in [data, sockets] {
            std::fs::create_dir_all(dir).map_err(io(format!("make {}", dir.display())))?;
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
            std::fs::set_permissions(dir, mode).map_err(io(format!("protect {}", dir.display())))?;
            if let Some((uid, gid)) = user {
                std::os::unix::fs::chown(dir, Some(uid), Some(gid)).map_err(io(format!("give {} away", dir.display())))?;
            }
        }
        if !data.join("PG_VERSION").exists() {
            init(&bin, data, user).await?;
        }
        let mut server = Self { data: data.into(), sockets: sockets.into(), child: None };
        if server.running_pid().is_none() {
            server.child = Some(server.spawn(&bin, user)?);
        } else {
            tracing::info!("adopted the PostgreSQL server that was left running");
        }
        server.wait_ready().await?;
        Ok(server)
    }

    /// How to connect.
    pub fn options(&self) -> PgConnectOptions {
        options(&self.sockets).database(ROLE)
    }

    fn log(&self) -> PathBuf {
        self.data.join("server.log")
    }

    /// The process that owns the data directory, if it lives.
    fn running_pid(&self) -> Option<rustix::process::Pid> {
        let text = std::fs::read_to_string(self.data.join("postmaster.pid")).ok()?;
        let pid: i32 = text.lines().next()?.trim().parse().ok()?;
        let comm = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        (comm.trim() == "postgres").then(|| rustix::process::Pid::from_raw(pid)).flatten()
    }

    fn spawn(&self, bin: &Path, user: Option<(u32, u32)>) -> Result<Child, PostgresError> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log()).map_err(io("open the database log"))?;
        let mut command = std::process::Command::new(bin.join("postgres"));
        command.arg("-D").arg(&self.data);
        let setting = |name: &str, value: &str| format!("{name}={value}");
        for argument in [
            setting("listen_addresses", ""),
            setting("unix_socket_directories", &self.sockets.to_string_lossy()),
            setting("shared_buffers", "24MB"),
            setting("max_connections", "40"),
            setting("jit", "off"),
            // Fewer idle helper processes: the whole platform has a memory budget.
            setting("max_worker_processes", "2"),
            setting("max_wal_senders", "0"),
            setting("wal_level", "minimal"),
            setting("max_logical_replication_workers", "0"),
        ] {
            command.arg("-c").arg(argument);
        }
        command.stdin(Stdio::null()).stdout(log.try_clone().map_err(io("open the database log"))?).stderr(log);
        // Its own group: a Ctrl-C in our terminal is for us, and we stop it in order.
        command.process_group(0);
        if let Some((uid, gid)) = user {
            command.uid(uid).gid(gid);
        }
        Command::from(command).spawn().map_err(io("start PostgreSQL"))
    }

    async fn wait_ready(&mut self) -> Result<(), PostgresError> {
        let deadline = Instant::now() + START;
        let mut last = None;
        while Instant::now() < deadline {
            // A server that accepts and says nothing is asked again.
            match timeout(TRY, options(&self.sockets).database("postgres").connect()).await {
                Ok(Ok(connection)) => return make_database(connection).await.map_err(|source| self.not_ready(Some(source))),
                Ok(Err(error)) => last = Some(error),
                Err(_) => tracing::warn!("PostgreSQL accepts connections and does not answer yet"),
            }
            if let Some(child) = &mut self.child
                && let Ok(Some(_)) = child.try_wait()
            {
                break;
            }
            // The server offers nothing to wait on; each try is a connection attempt on a local socket.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Err(self.not_ready(last))
    }

    fn not_ready(&self, source: Option<sqlx::Error>) -> PostgresError {
        PostgresError::NotReady { log: self.log(), source }
    }

    /// Keeps the server up until told to stop, and stops it then. One that ended by itself, for want of disk or memory, is started
    /// again until it stays.
    pub async fn keep(mut self, shutdown: CancellationToken) {
        let mut is_news = true;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = self.ended() => {}
            }
            if std::mem::take(&mut is_news) {
                tracing::error!(log = %self.log().display(), "PostgreSQL ended by itself and is started again");
            }
            match self.start_again().await {
                Ok(()) => {
                    is_news = true;
                    tracing::info!("PostgreSQL is back");
                }
                Err(error) => {
                    tracing::debug!(error = &error as &dyn std::error::Error, "PostgreSQL does not stay");
                    tokio::select! {
                        () = shutdown.cancelled() => break,
                        () = tokio::time::sleep(AGAIN) => {}
                    }
                }
            }
        }
        self.stop().await;
    }

    /// Waits until the server has ended.
    async fn ended(&mut self) {
        match &mut self.child {
            Some(child) => drop(child.wait().await),
            // One that an earlier life started is nobody's child here.
            None => {
                while self.running_pid().is_some() {
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    async fn start_again(&mut self) -> Result<(), PostgresError> {
        let bin = programs().ok_or(PostgresError::NotInstalled)?;
        let user = server_user()?;
        self.child = Some(self.spawn(&bin, user)?);
        self.wait_ready().await
    }

    /// Stops the server, rolling back what is open, and waits until it is gone.
    pub async fn stop(mut self) {
        let Some(pid) = self.running_pid() else { return };
        if rustix::process::kill_process(pid, rustix::process::Signal::INT).is_err() {
            return;
        }
        match &mut self.child {
            Some(child) => drop(timeout(START, child.wait()).await),
            None => {
                let deadline = Instant::now() + START;
                while self.running_pid().is_some() && Instant::now() < deadline {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        }
    }
}

fn options(sockets: &Path) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass().socket(sockets).port(5432).username(ROLE).application_name("slipway")
}

async fn make_database(mut connection: PgConnection) -> Result<(), sqlx::Error> {
    let there = sqlx::query("SELECT 1 FROM pg_database WHERE datname = $1").bind(ROLE).fetch_optional(&mut connection).await?;
    if there.is_none() {
        sqlx::query("CREATE DATABASE slipway").execute(&mut connection).await?;
    }
    connection.close().await
}

async fn init(bin: &Path, data: &Path, user: Option<(u32, u32)>) -> Result<(), PostgresError> {
    let mut command = std::process::Command::new(bin.join("initdb"));
    command.arg("-D").arg(data).args(["-U", ROLE, "--auth=reject", "-E", "UTF8", "--locale=C", "--no-instructions"]);
    command.stdin(Stdio::null());
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid);
    }
    let output = Command::from(command).output().await.map_err(io("run initdb"))?;
    if !output.status.success() {
        return Err(PostgresError::Init { output: String::from_utf8_lossy(&output.stderr).trim().to_owned() });
    }
    // Only this process's own user may connect, as the owner role.
    let me = std::fs::read_to_string("/etc/passwd").map_err(io("read /etc/passwd"))?;
    let uid = rustix::process::geteuid().as_raw().to_string();
    let name = me.lines().find(|line| line.split(':').nth(2) == Some(&uid)).and_then(|line| line.split(':').next()).unwrap_or("root");
    std::fs::write(data.join("pg_ident.conf"), format!("owner {name} {ROLE}\n")).map_err(io("write pg_ident.conf"))?;
    std::fs::write(data.join("pg_hba.conf"), format!("local all {ROLE} peer map=owner\n")).map_err(io("write pg_hba.conf"))?;
    Ok(())
}
