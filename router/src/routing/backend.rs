//! `Backend`: one instance as the routers' workers see it, and `Load`: the one counter that all workers share.
//!
//! Owns the count of what is in flight and the word that an instance is leaving. Must never hold what one worker learns for
//! itself (latency, failures, idle connections): that lives in `UpstreamState`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use model::{InstanceId, ReleaseNumber, Time, ZoneName};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// What is in flight to one instance, over all workers. Alone on its cache line: each request writes it twice.
#[repr(align(128))]
#[derive(Debug, Default)]
pub struct Load {
    requests: AtomicU32,
    tunnels: AtomicU32,
    quiet: Notify,
}

impl Load {
    /// Requests in flight, without tunnels.
    pub fn requests(&self) -> u32 {
        self.requests.load(Ordering::Acquire)
    }

    /// Open WebSockets.
    pub fn tunnels(&self) -> u32 {
        self.tunnels.load(Ordering::Acquire)
    }

    /// Woken whenever one of the two counts falls to zero.
    pub(crate) fn quiet(&self) -> &Notify {
        &self.quiet
    }
}

/// An instance that takes requests.
#[derive(Debug)]
pub struct Backend {
    /// Unique among the backends of one process; another address or another start is another backend.
    pub key: u64,
    /// Which instance.
    pub id: InstanceId,
    /// Where it listens.
    pub address: SocketAddr,
    /// Which release it runs.
    pub release: ReleaseNumber,
    /// Its failure domain.
    pub zone: ZoneName,
    /// Since when it is healthy; it is warmed up from there.
    pub since: Time,
    load: Arc<Load>,
    gone: AtomicBool,
    leaving: CancellationToken,
}

impl Backend {
    pub(crate) fn new(key: u64, status: &model::InstanceStatus, address: SocketAddr, load: Arc<Load>) -> Self {
        Self {
            key,
            id: status.id.clone(),
            address,
            release: status.release,
            zone: status.zone.clone(),
            since: status.since,
            load,
            gone: AtomicBool::new(false),
            leaving: CancellationToken::new(),
        }
    }

    /// Whether `status` describes this very backend.
    pub(crate) fn is(&self, status: &model::InstanceStatus, address: SocketAddr) -> bool {
        self.id == status.id
            && self.address == address
            && self.since == status.since
            && self.release == status.release
            && self.zone == status.zone
    }

    /// What is in flight to it.
    pub fn load(&self) -> &Arc<Load> {
        &self.load
    }

    /// It has left the table.
    pub(crate) fn leave(&self) {
        self.gone.store(true, Ordering::Release);
        self.leaving.cancel();
    }

    /// Whether it has left the table.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Wakes its WebSockets when it has left: they are to end.
    pub(crate) fn leaving(&self) -> &CancellationToken {
        &self.leaving
    }

    /// Counts one request in, until the lease is dropped.
    pub(crate) fn lease(self: &Arc<Self>) -> Lease {
        self.load.requests.fetch_add(1, Ordering::AcqRel);
        Lease { backend: Arc::clone(self), tunnel: false }
    }
}

/// One request (or one tunnel) in flight; dropping it counts down, whatever way the request ends.
#[derive(Debug)]
pub struct Lease {
    backend: Arc<Backend>,
    tunnel: bool,
}

impl Lease {
    /// The instance it is on.
    pub fn backend(&self) -> &Arc<Backend> {
        &self.backend
    }

    /// The request has become a WebSocket, which drains in its own time.
    pub(crate) fn into_tunnel(mut self) -> Self {
        if !self.tunnel {
            self.tunnel = true;
            self.backend.load.tunnels.fetch_add(1, Ordering::AcqRel);
            self.count_down(&self.backend.load.requests);
        }
        self
    }

    fn count_down(&self, count: &AtomicU32) {
        if count.fetch_sub(1, Ordering::AcqRel) == 1 && self.backend.is_gone() {
            self.backend.load.quiet.notify_waiters();
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let load = &self.backend.load;
        self.count_down(if self.tunnel { &load.tunnels } else { &load.requests });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::table::tests::status;

    #[test]
    fn leases_count_requests_and_tunnels_apart() {
        let status = status("i-0000000000", "acme/shop/prod", 1);
        let backend = Arc::new(Backend::new(1, &status, "127.0.0.1:1".parse().expect("an address"), Arc::default()));
        let (first, second) = (backend.lease(), backend.lease());
        assert_eq!((backend.load().requests(), backend.load().tunnels()), (2, 0));
        let tunnel = first.into_tunnel();
        assert_eq!((backend.load().requests(), backend.load().tunnels()), (1, 1));
        drop(second);
        drop(tunnel);
        assert_eq!((backend.load().requests(), backend.load().tunnels()), (0, 0));
    }
}
