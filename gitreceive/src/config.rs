//! What an operator may set for this role.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Settings of the SSH endpoint. [`Config::new`] has the defaults.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where repositories and the host key live.
    pub data_dir: PathBuf,
    /// Where the socket for hooks and the notes of running pushes live. A short path: a socket's path has at most 107 bytes.
    pub run_dir: PathBuf,
    /// This binary: git starts it as the hooks.
    pub hook_program: PathBuf,
    /// The git program.
    pub git_program: PathBuf,
    /// `PATH` for git.
    pub search: OsString,
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
    /// Silence after which the client is asked whether it is still there; five unanswered questions end the connection.
    pub keepalive: Duration,
    /// Connections, caps and rates.
    pub caps: Caps,
    /// Commands that one user may run at once.
    pub commands_per_user: usize,
    /// Channels that one connection may have open.
    pub channels_per_connection: usize,
    /// How long running pushes may take to end when the server stops.
    pub grace: Duration,
}

/// How many connections are taken.
#[derive(Debug, Clone)]
pub struct Caps {
    /// All together.
    pub total: usize,
    /// From one address (for IPv6: from one /64 network).
    pub per_address: usize,
    /// From one address, before they are logged in.
    pub logging_in: usize,
    /// Greeted from one address without a wait. A login that succeeds does not count.
    pub burst: u32,
    /// Greeted from one address per second beyond that; others wait, for ten seconds at most.
    pub per_second: f64,
}

impl Default for Caps {
    fn default() -> Self {
        Self { total: 1000, per_address: 100, logging_in: 50, burst: 10, per_second: 5.0 }
    }
}

impl Config {
    /// The defaults, with what has none.
    pub fn new(listen: SocketAddr, data_dir: PathBuf, run_dir: PathBuf, hook_program: PathBuf) -> Self {
        Self {
            listen,
            data_dir,
            run_dir,
            hook_program,
            git_program: "git".into(),
            search: "/usr/local/bin:/usr/bin:/bin".into(),
            max_pack: 2_000_000_000,
            receive_timeout: Duration::from_secs(3600),
            upload_timeout: Duration::from_secs(3600),
            login_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(300),
            rejection_time: Duration::from_millis(300),
            post_quantum_only: false,
            keepalive: Duration::from_secs(15),
            caps: Caps::default(),
            commands_per_user: 32,
            channels_per_connection: 10,
            grace: Duration::from_secs(30),
        }
    }
}
