//! The server: binds, takes connections, and ends in order.

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

use crate::config::Config;
use crate::connection::Connection;
use crate::desk::{Desk, Open};
use crate::door::Hall;
use crate::gate::Gate;
use crate::git::Git;
use crate::hook::HookKind;
use crate::host_key::{self, HostKeyError};
use crate::house::{House, PerUser};
use crate::housekeeping::Housekeeping;
use crate::pushes::Pushes;
use crate::repositories::{Repositories, private_dirs};
use crate::{algorithms, chance, hook_desk, leftovers};

/// How long a client may take to read the last words, and again to hang up when asked.
const GOODBYE: Duration = Duration::from_secs(2);

/// Why the server can not run.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address is taken, or not ours.
    #[error("the SSH address {address} can not be bound")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A directory or file of the server.
    #[error("{} can not be used", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The host key.
    #[error(transparent)]
    HostKey(#[from] HostKeyError),
}

/// A server that is bound and does not serve yet.
pub struct Server {
    house: Arc<House>,
    listener: TcpListener,
    hooks: UnixListener,
    host_key: PrivateKey,
}

impl Server {
    /// Makes the directories, the host key, the hooks and both sockets.
    pub async fn bind(config: Config, desk: Arc<dyn Desk>) -> Result<Self, ServerError> {
        let in_data = |name: &str| config.data_dir.join(name);
        let (hooks, home, spool_dir) = (in_data("hooks"), in_data("home"), in_data("spool"));
        let notes = config.run_dir.join("pushes");
        for dir in [&config.data_dir, &config.run_dir, &hooks, &home, &spool_dir, &notes] {
            private_dirs(dir).map_err(|source| ServerError::File { path: dir.clone(), source })?;
        }
        for kind in HookKind::ALL {
            let path = hooks.join(kind.file_name());
            link(&config.hook_program, &path).map_err(|source| ServerError::File { path, source })?;
        }
        let host_key = host_key::load_or_create(&in_data("host_ed25519"))?;
        let hook_socket = config.run_dir.join("hook.sock");
        let hook_listener = hook_desk::bind(&hook_socket).map_err(|source| ServerError::File { path: hook_socket.clone(), source })?;
        let address = config.listen;
        let listener = TcpListener::bind(address).await.map_err(|source| ServerError::Bind { address, source })?;
        let house = House {
            git: Git { program: config.git_program.clone(), search: config.search.clone(), home },
            repositories: Repositories::new(in_data("repositories"), &hooks, config.max_pack),
            pushes: Pushes::default(),
            housekeeping: Housekeeping::default(),
            hook_socket,
            notes,
            spool_dir: spool_dir.into(),
            work: TaskTracker::new(),
            abort: CancellationToken::new(),
            running: Arc::new(PerUser::default()),
            config,
            desk,
        };
        Ok(Self { house: Arc::new(house), listener, hooks: hook_listener, host_key })
    }

    /// Where the server listens, with the port that was given to it.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// What users compare on their first connection.
    pub fn host_fingerprint(&self) -> String {
        host_key::fingerprint(&self.host_key)
    }

    /// The repositories, for whoever reads or removes one.
    pub fn repositories(&self) -> Repositories {
        self.house.repositories.clone()
    }

    /// How git is run here, for a [`crate::Source`] of an accepted commit.
    pub fn git(&self) -> Git {
        self.house.git.clone()
    }

    /// Settles what an earlier server left open, then serves until `stop`; afterwards running pushes get their grace.
    pub async fn serve(self, stop: CancellationToken) -> Result<(), ServerError> {
        let Self { house, listener, hooks, host_key } = self;
        settle_old(&house).await?;
        let hooks_stop = CancellationToken::new();
        let hooks = tokio::spawn(hook_desk::serve(house.clone(), hooks, hooks_stop.clone()));
        let ssh = Arc::new(ssh_config(&house.config, host_key));
        let hall = Hall::new(house.config.caps.clone(), Instant::now());
        let connections = TaskTracker::new();
        let cut_all = CancellationToken::new();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => match hall.open(peer.ip(), Instant::now()) {
                    Ok(door) => {
                        let one = One { house: house.clone(), ssh: ssh.clone(), closing: stop.clone(), cut_all: cut_all.clone() };
                        connections.spawn(one.serve(stream, peer, door));
                    }
                    Err(full) => tracing::warn!(%peer, ?full, "a connection was turned away"),
                },
                Err(error) => {
                    tracing::error!(%error, "no connection can be taken");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        drop(listener);
        house.work.close();
        if tokio::time::timeout(house.config.grace, house.work.wait()).await.is_err() {
            tracing::warn!(running = house.work.len(), "pushes still run at the end of the grace; git is ended");
            house.abort.cancel();
        }
        cut_all.cancel();
        connections.close();
        connections.wait().await;
        hooks_stop.cancel();
        // It ends at once, and has nothing to say.
        let _ = hooks.await;
        Ok(())
    }
}

/// Ends gits of a dead server, sweeps up after them, and lets the desk settle.
async fn settle_old(house: &Arc<House>) -> Result<(), ServerError> {
    let (notes, repositories) = (house.notes.clone(), house.repositories.clone());
    let ended = tokio::task::spawn_blocking(move || {
        let apps = leftovers::end_all(&notes)?;
        for app in &apps {
            repositories.sweep(&app.app_ref());
        }
        Ok(apps)
    });
    let ended = ended.await.map_err(io::Error::other).and_then(|ended| ended);
    let mut apps = ended.map_err(|source| ServerError::File { path: house.notes.clone(), source })?;
    apps.extend(house.desk.unsettled().await);
    apps.sort();
    apps.dedup();
    for app in apps {
        house.desk.settle(&app, Open::Earlier, house.repositories.refs(&app)).await;
    }
    Ok(())
}

/// What one connection needs.
struct One {
    house: Arc<House>,
    ssh: Arc<russh::server::Config>,
    closing: CancellationToken,
    cut_all: CancellationToken,
}

impl One {
    async fn serve(self, stream: TcpStream, peer: SocketAddr, door: Arc<crate::door::Door>) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "a socket without nodelay");
        }
        tokio::time::sleep(door.wait()).await;
        let cut = door.cut.clone();
        let connection = Connection::new(self.house.clone(), door.clone(), peer.ip());
        let config = &self.house.config;
        let mut over = pin!(async {
            tokio::select! {
                () = door.watch(config.login_timeout, config.idle_timeout, self.closing) => {}
                () = self.cut_all.cancelled() => {}
            }
        });
        let greeted = tokio::select! {
            greeted = russh::server::run_stream(self.ssh, Gate::new(stream, cut.clone()), connection) => greeted,
            () = &mut over => return,
        };
        let ended = match greeted {
            Ok(session) => {
                let handle = session.handle();
                let mut session = pin!(session);
                tokio::select! {
                    ended = &mut session => ended,
                    () = &mut over => {
                        let ended = tokio::select! {
                            ended = &mut session => Some(ended),
                            () = goodbye(&handle) => None,
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
            // Clients that hang up without a word are the rule.
            tracing::debug!(%peer, %error, "a connection ended");
        }
    }
}

/// Lets the client hang up by itself, which it does after the last exit status; then asks it to. A client that is asked too
/// early takes the question for an error, whatever the exit status was.
async fn goodbye(handle: &russh::server::Handle) {
    tokio::time::sleep(GOODBYE).await;
    let asking = handle.disconnect(Disconnect::ByApplication, "the server closes this connection".into(), String::new());
    // Whether it could be asked or not, it gets the same time to go.
    let _ = tokio::time::timeout(GOODBYE, asking).await;
    tokio::time::sleep(GOODBYE).await;
}

fn ssh_config(config: &Config, host_key: PrivateKey) -> russh::server::Config {
    russh::server::Config {
        server_id: SshId::Standard("SSH-2.0-slipway".into()),
        methods: MethodSet::from(&[MethodKind::PublicKey][..]),
        auth_rejection_time: config.rejection_time,
        // The question which methods there are is not a try.
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

/// Links `path` to the program, in the place of an older link.
fn link(program: &Path, path: &Path) -> io::Result<()> {
    if std::fs::read_link(path).is_ok_and(|now| now == program) {
        return Ok(());
    }
    let aside = path.with_extension(format!("new-{}", chance::hex::<8>()));
    symlink(program, &aside)?;
    std::fs::rename(&aside, path)
}
