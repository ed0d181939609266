//! The settings of this role, with their defaults.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Settings of the SSH endpoint. [`Config::new`] has the defaults.
#[derive(Debug, Clone)]
pub struct Config {
    /// The address of the SSH endpoint.
    pub listen: SocketAddr,
    /// The directory of the repositories and the host key.
    pub data_dir: PathBuf,
    /// The directory of the hooks' socket and the pid files of running pushes. A short path: a socket's has at most 107 bytes.
    pub run_dir: PathBuf,
    /// This binary: git starts it as the hooks.
    pub hook_program: PathBuf,
    /// The git program.
    pub git_program: PathBuf,
    /// `PATH` for git.
    pub search: OsString,
    /// Most memory of one git process, in bytes. Contents from 32 MiB on are streamed, so an honest push stays far below.
    pub git_memory: u64,
    /// Largest pack of one push, in bytes.
    pub max_pack: u64,
    /// How long a pack may take to arrive.
    pub receive_timeout: Duration,
    /// How long a fetch may take.
    pub upload_timeout: Duration,
    /// Time for the key exchange and the login.
    pub login_timeout: Duration,
    /// How long a connection without a command is kept.
    pub idle_timeout: Duration,
    /// Least time that a refused key takes, the same for every reason.
    pub rejection_time: Duration,
    /// Refuse key exchanges that a later quantum computer could undo. Clients older than OpenSSH 9.9 can not connect then.
    pub post_quantum_only: bool,
    /// Silence after which a keepalive message is sent; five without an answer end the connection.
    pub keepalive: Duration,
    /// How many connections are admitted, and how fast.
    pub connection_limits: ConnectionLimits,
    /// Commands that one user may run at once.
    pub commands_per_user: usize,
    /// Channels that one connection may have open.
    pub channels_per_connection: usize,
    /// How long running pushes may take to end when the server stops.
    pub grace: Duration,
}

/// How many connections are admitted, and how fast.
#[derive(Debug, Clone)]
pub struct ConnectionLimits {
    /// Open connections of the whole server.
    pub total: usize,
    /// Open connections from one address (for IPv6: from one /64 network).
    pub per_address: usize,
    /// Open connections from one address that are not logged in yet.
    pub logging_in: usize,
    /// New connections from one address without a wait. A login that succeeds does not count.
    pub burst: u32,
    /// New connections from one address per second beyond the burst; others wait, for ten seconds at most.
    pub per_second: f64,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self { total: 1000, per_address: 100, logging_in: 50, burst: 10, per_second: 5.0 }
    }
}

impl Config {
    /// The defaults; the arguments have none.
    pub fn new(listen: SocketAddr, data_dir: PathBuf, run_dir: PathBuf, hook_program: PathBuf) -> Self {
        Self {
            listen,
            data_dir,
            run_dir,
            hook_program,
            git_program: "git".into(),
            search: "/usr/local/bin:/usr/bin:/bin".into(),
            git_memory: 1 << 30,
            max_pack: 2_000_000_000,
            receive_timeout: Duration::from_secs(3600),
            upload_timeout: Duration::from_secs(3600),
            login_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(300),
            rejection_time: Duration::from_millis(300),
            post_quantum_only: false,
            keepalive: Duration::from_secs(15),
            connection_limits: ConnectionLimits::default(),
            commands_per_user: 32,
            channels_per_connection: 10,
            grace: Duration::from_secs(30),
        }
    }
}
