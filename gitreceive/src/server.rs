//! The server: binds the sockets, accepts connections, and shuts down in order.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use russh::keys::PrivateKey;
use russh::{Disconnect, MethodKind, MethodSet, SshId};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backend::{Backend, Unsettled};
use crate::config::Config;
use crate::git::housekeeping::Housekeeping;
use crate::git::pid_files;
use crate::git::process::Git;
use crate::git::pushes::Pushes;
use crate::git::repositories::{Repositories, private_dirs};
use crate::hooks::hook_server;
use crate::hooks::wire::HookKind;
use crate::random;
use crate::server_state::{CommandsPerUser, ServerState};
use crate::ssh::algorithms;
use crate::ssh::cancellable_stream::CancellableStream;
use crate::ssh::connection::Connection;
use crate::ssh::connection_permit::{ConnectionPermit, Connections};
use crate::ssh::host_key::{self, HostKeyError};

/// How long a client may take to read the last output, and again to hang up when asked to.
const HANG_UP_WAIT: Duration = Duration::from_secs(2);

/// Why the server can not run.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address is in use, or does not belong to this machine.
    #[error("the SSH address {address} can not be bound")]
    Bind {
        /// `ssh.listen` of the configuration.
        address: SocketAddr,
        /// The error of the system.
        #[source]
        source: io::Error,
    },
    /// A directory or file of the server can not be made or opened.
    #[error("{} can not be used", .path.display())]
    File {
        /// The directory or file.
        path: PathBuf,
        /// The error of the system.
        #[source]
        source: io::Error,
    },
    /// The host key can not be read or made.
    #[error(transparent)]
    HostKey(#[from] HostKeyError),
}

/// A server that is bound and does not serve yet.
pub struct Server {
    state: Arc<ServerState>,
    listener: TcpListener,
    hooks: UnixListener,
    host_key: PrivateKey,
}

impl Server {
    /// Makes the directories, the host key, the hooks and both sockets.
    pub async fn bind(config: Config, backend: Arc<dyn Backend>) -> Result<Self, ServerError> {
        let in_data = |name: &str| config.data_dir.join(name);
        let (hooks, home, spool_dir) = (in_data("hooks"), in_data("home"), in_data("spool"));
        let pid_dir = config.run_dir.join("pushes");
        for dir in [&config.data_dir, &config.run_dir, &hooks, &home, &spool_dir, &pid_dir] {
            private_dirs(dir).map_err(|source| ServerError::File { path: dir.clone(), source })?;
        }
        for kind in HookKind::ALL {
            let path = hooks.join(kind.file_name());
            link(&config.hook_program, &path).map_err(|source| ServerError::File { path, source })?;
        }
        let host_key = host_key::load_or_create(&in_data("host_ed25519"))?;
        let hook_socket = config.run_dir.join("hook.sock");
        let hook_listener = hook_server::bind(&hook_socket).map_err(|source| ServerError::File { path: hook_socket.clone(), source })?;
        let address = config.listen;
        let listener = TcpListener::bind(address).await.map_err(|source| ServerError::Bind { address, source })?;
        let git = Git { program: config.git_program.clone(), search: config.search.clone(), home, memory: config.git_memory };
        let repositories = Repositories::new(in_data("repositories"), &hooks, config.max_pack);
        let abort = CancellationToken::new();
        let state = ServerState {
            housekeeping: Housekeeping::new(git.clone(), repositories.clone(), abort.clone()),
            git,
            repositories,
            pushes: Pushes::default(),
            hook_socket,
            pid_dir,
            spool_dir: spool_dir.into(),
            work: TaskTracker::new(),
            abort,
            running: Arc::new(CommandsPerUser::default()),
            config,
            backend,
        };
        Ok(Self { state: Arc::new(state), listener, hooks: hook_listener, host_key })
    }

    /// The bound address, with the port that the system chose for port 0.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The fingerprint of the host key, which users compare on their first connection.
    pub fn host_fingerprint(&self) -> String {
        host_key::fingerprint(&self.host_key)
    }

    /// The repositories, for reading or removing one outside of this role.
    pub fn repositories(&self) -> Repositories {
        self.state.repositories.clone()
    }

    /// The git program, for a [`crate::CommitSource`] of an accepted commit.
    pub fn git(&self) -> Git {
        self.state.git.clone()
    }

    /// Settles what an earlier server left behind, serves until `stop`, and then gives running pushes their grace to end.
    pub async fn serve(self, stop: CancellationToken) -> Result<(), ServerError> {
        let Self { state, listener, hooks, host_key } = self;
        settle_earlier_server(&state).await?;
        let hooks_stop = CancellationToken::new();
        let hooks = tokio::spawn(hook_server::serve(state.clone(), hooks, hooks_stop.clone()));
        let ssh = Arc::new(ssh_config(&state.config, host_key));
        let admitted = Connections::new(state.config.connection_limits.clone(), Instant::now());
        let connections = TaskTracker::new();
        let cut_all = CancellationToken::new();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => match admitted.admit(peer.ip(), Instant::now()) {
                    Ok(permit) => {
                        let task =
                            ConnectionTask { state: state.clone(), ssh: ssh.clone(), closing: stop.clone(), cut_all: cut_all.clone() };
                        connections.spawn(task.serve(stream, peer, permit));
                    }
                    Err(limit) => tracing::warn!(%peer, ?limit, "a connection was refused"),
                },
                Err(error) => {
                    tracing::error!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        drop(listener);
        state.work.close();
        if tokio::time::timeout(state.config.grace, state.work.wait()).await.is_err() {
            tracing::warn!(running = state.work.len(), "pushes still run at the end of the grace; git is ended");
            state.abort.cancel();
        }
        cut_all.cancel();
        connections.close();
        connections.wait().await;
        hooks_stop.cancel();
        // It ends at once, and returns nothing.
        let _ = hooks.await;
        Ok(())
    }
}

/// Ends the git processes of a dead server, removes what they left, and lets the backend settle their pushes.
async fn settle_earlier_server(state: &Arc<ServerState>) -> Result<(), ServerError> {
    let (pid_dir, repositories) = (state.pid_dir.clone(), state.repositories.clone());
    let ended = tokio::task::spawn_blocking(move || {
        let apps = pid_files::end_all(&pid_dir)?;
        for app in &apps {
            repositories.sweep(&app.app_ref());
        }
        Ok(apps)
    });
    let ended = ended.await.map_err(io::Error::other).and_then(|ended| ended);
    let mut apps = ended.map_err(|source| ServerError::File { path: state.pid_dir.clone(), source })?;
    apps.extend(state.backend.unsettled().await);
    apps.sort();
    apps.dedup();
    for app in apps {
        state.backend.settle(&app, Unsettled::EarlierServer, state.repositories.refs(&app)).await;
    }
    Ok(())
}

/// Serves one connection to its end.
struct ConnectionTask {
    state: Arc<ServerState>,
    ssh: Arc<russh::server::Config>,
    /// Cancelled when the server shuts down: idle connections end.
    closing: CancellationToken,
    /// Cancelled at the end of the shutdown: all connections end.
    cut_all: CancellationToken,
}

impl ConnectionTask {
    async fn serve(self, stream: TcpStream, peer: SocketAddr, permit: Arc<ConnectionPermit>) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "nodelay could not be set");
        }
        tokio::time::sleep(permit.wait()).await;
        let cut = permit.cut.clone();
        let connection = Connection::new(self.state.clone(), permit.clone(), peer.ip());
        let config = &self.state.config;
        let mut expired = pin!(async {
            tokio::select! {
                () = permit.expired(config.login_timeout, config.idle_timeout, self.closing) => {}
                () = self.cut_all.cancelled() => {}
            }
        });
        let started = tokio::select! {
            started = russh::server::run_stream(self.ssh, CancellableStream::new(stream, cut.clone()), connection) => started,
            () = &mut expired => return,
        };
        let ended = match started {
            Ok(session) => {
                let handle = session.handle();
                let mut session = pin!(session);
                tokio::select! {
                    ended = &mut session => ended,
                    () = &mut expired => {
                        let ended = tokio::select! {
                            ended = &mut session => Some(ended),
                            () = hang_up(&handle) => None,
                        };
                        match ended {
                            Some(ended) => ended,
                            None => {
                                cut.cancel();
                                session.await
                            }
                        }
                    }
                }
            }
            Err(error) => Err(error),
        };
        if let Err(error) = ended {
            // Most clients hang up without a disconnect message.
            tracing::debug!(%peer, %error, "a connection ended");
        }
    }
}

/// Lets the client hang up by itself, which it does after the last exit status; then asks it to. A client that is asked too
/// early reports an error, whatever the exit status was.
async fn hang_up(handle: &russh::server::Handle) {
    tokio::time::sleep(HANG_UP_WAIT).await;
    let disconnect = handle.disconnect(Disconnect::ByApplication, "the server closes this connection".into(), String::new());
    // Whether it could be asked or not, it gets the same time to go.
    let _ = tokio::time::timeout(HANG_UP_WAIT, disconnect).await;
    tokio::time::sleep(HANG_UP_WAIT).await;
}

fn ssh_config(config: &Config, host_key: PrivateKey) -> russh::server::Config {
    russh::server::Config {
        server_id: SshId::Standard("SSH-2.0-slipway".into()),
        methods: MethodSet::from(&[MethodKind::PublicKey][..]),
        auth_rejection_time: config.rejection_time,
        // Asking which methods are offered is not an attempt.
        auth_rejection_time_initial: Some(Duration::ZERO),
        keys: vec![host_key],
        preferred: algorithms::preferred(config.post_quantum_only),
        max_auth_attempts: 10,
        inactivity_timeout: Some(Duration::from_secs(600)),
        keepalive_interval: Some(config.keepalive),
        keepalive_max: 5,
        nodelay: true,
        ..russh::server::Config::default()
    }
}

/// Makes `path` a link to the program, replacing an older link.
fn link(program: &Path, path: &Path) -> io::Result<()> {
    if std::fs::read_link(path).is_ok_and(|now| now == program) {
        return Ok(());
    }
    let aside = path.with_extension(format!("new-{}", random::hex::<8>()));
    symlink(program, &aside)?;
    std::fs::rename(&aside, path)
}
