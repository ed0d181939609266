//! The permit of one connection: that it is counted, whether it is logged in, and whether a command runs on it.
//!
//! Ends connections that do not log in, or that stay idle. The counts themselves are in `connection_limits`.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::ConnectionLimits;
use crate::ssh::connection_limits::{ConnectionCounts, CountedConnection, LimitReached};
use crate::ssh::unknown_keys::UnknownKeys;

/// All connections of the server.
pub(crate) struct Connections {
    counts: Mutex<ConnectionCounts>,
    unknown_keys: Mutex<UnknownKeys>,
}

impl Connections {
    pub(crate) fn new(limits: ConnectionLimits, now: Instant) -> Arc<Self> {
        Arc::new(Self { counts: Mutex::new(ConnectionCounts::new(limits, now)), unknown_keys: Mutex::default() })
    }

    /// A permit for a new connection, or the limit that refuses it.
    pub(crate) fn admit(self: &Arc<Self>, from: IpAddr, now: Instant) -> Result<Arc<ConnectionPermit>, LimitReached> {
        let counted = self.counts().open(from, now)?;
        let (running, _) = watch::channel(0);
        Ok(Arc::new(ConnectionPermit {
            connections: self.clone(),
            counted: Mutex::new(counted),
            logged_in: CancellationToken::new(),
            running,
            cut: CancellationToken::new(),
        }))
    }

    fn counts(&self) -> MutexGuard<'_, ConnectionCounts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unknown_keys(&self) -> MutexGuard<'_, UnknownKeys> {
        self.unknown_keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One admitted connection; dropping it counts the connection off.
pub(crate) struct ConnectionPermit {
    connections: Arc<Connections>,
    counted: Mutex<CountedConnection>,
    logged_in: CancellationToken,
    /// How many commands run on the connection.
    running: watch::Sender<usize>,
    /// Cancelling it ends the connection.
    pub cut: CancellationToken,
}

impl ConnectionPermit {
    /// How long to wait before the first byte is sent.
    pub(crate) fn wait(&self) -> Duration {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner).wait
    }

    /// The login succeeded.
    pub(crate) fn logged_in(&self, from: IpAddr) {
        self.connections.counts().logged_in(&mut self.counted.lock().unwrap_or_else(PoisonError::into_inner));
        self.connections.unknown_keys().accepted(from);
        self.logged_in.cancel();
    }

    /// A key was offered that belongs to no user.
    pub(crate) fn unknown_key(&self, from: IpAddr, fingerprint: String, now: Instant) {
        self.connections.unknown_keys().refused(from, fingerprint, now);
    }

    /// What the next login from this address is told, after an unknown key.
    pub(crate) fn banner(&self, from: IpAddr, now: Instant) -> Option<String> {
        self.connections.unknown_keys().banner(from, now)
    }

    /// Counts a running command until the guard is dropped.
    pub(crate) fn command(&self) -> CommandGuard {
        self.running.send_modify(|count| *count += 1);
        CommandGuard { running: self.running.clone() }
    }

    /// Returns when the connection is to end: no login in time, idle for too long, or `closing` while nothing runs.
    pub(crate) async fn expired(&self, login: Duration, idle: Duration, closing: CancellationToken) {
        if tokio::time::timeout(login, self.logged_in.cancelled()).await.is_err() {
            return;
        }
        let mut running = self.running.subscribe();
        loop {
            let began = tokio::select! {
                began = tokio::time::timeout(idle, running.wait_for(|count| *count > 0)) => matches!(began, Ok(Ok(_))),
                () = closing.cancelled() => false,
            };
            if !began || running.wait_for(|count| *count == 0).await.is_err() {
                return;
            }
        }
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        self.connections.counts().close(&counted);
    }
}

/// A command that runs on a connection, which does not count as idle meanwhile.
pub(crate) struct CommandGuard {
    running: watch::Sender<usize>,
}

impl Drop for CommandGuard {
    fn drop(&mut self) {
        self.running.send_modify(|count| *count -= 1);
    }
}
