//! Drains: what is still in flight to instances that have left the table.
//!
//! ```text
//!  serving ──(left the table)──► draining: requests end, WebSockets are told ──► drained (an instance may be stopped)
//! ```
//! Owns the answer to "may this instance be stopped now". Must never say drained while a worker could still pick the
//! instance: every worker first acknowledges the table without it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use model::InstanceId;
use tokio::sync::watch;

use crate::routing::backend::Backend;

/// How far an instance is from quiet, in this router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DrainState {
    /// It is in the table.
    Serving,
    /// It is not in the table; so much is in flight still.
    Draining {
        /// Requests.
        requests: u32,
        /// WebSockets.
        tunnels: u32,
    },
    /// Nothing is in flight and nothing will be.
    Drained,
}

/// Backends of one instance, each with the first generation without it.
type Departed = Vec<(u64, Arc<Backend>)>;

fn last_generation(backends: &Departed) -> Option<u64> {
    backends.iter().map(|(generation, _)| *generation).max()
}

/// The instances that left, of one router.
#[derive(Debug)]
pub struct Drains {
    /// The generation each worker has acknowledged.
    seen: Vec<AtomicU64>,
    acknowledged: watch::Sender<u64>,
    leaving: Mutex<BTreeMap<InstanceId, Departed>>,
}

impl Drains {
    pub(crate) fn new(workers: usize) -> Self {
        Self { seen: (0..workers).map(|_| AtomicU64::new(0)).collect(), acknowledged: watch::Sender::new(0), leaving: Mutex::default() }
    }

    /// These backends are in no table from `generation` on.
    pub(crate) fn departed(&self, generation: u64, backends: Vec<Arc<Backend>>) {
        let mut leaving = self.leaving.lock().unwrap_or_else(PoisonError::into_inner);
        for backend in backends {
            backend.leave();
            leaving.entry(backend.id.clone()).or_default().push((generation, backend));
        }
        // What is quiet needs no memory: an instance that nobody knows is drained.
        let seen = self.seen_by_all();
        leaving.retain(|_, backends| {
            backends.retain(|(generation, backend)| *generation > seen || backend.load().requests() + backend.load().tunnels() > 0);
            !backends.is_empty()
        });
    }

    /// Worker `worker` uses the table of `generation` or a newer one.
    pub(crate) fn acknowledge(&self, worker: usize, generation: u64) {
        self.seen[worker].store(generation, Ordering::Release);
        self.acknowledged.send_replace(self.seen_by_all());
    }

    /// A worker has ended and picks nothing any more.
    pub(crate) fn retire(&self, worker: usize) {
        self.acknowledge(worker, u64::MAX);
    }

    /// The newest generation that every worker uses.
    pub fn seen_by_all(&self) -> u64 {
        self.seen.iter().map(|seen| seen.load(Ordering::Acquire)).min().unwrap_or(u64::MAX)
    }

    /// Waits until every worker uses the table of `generation` or a newer one.
    pub async fn seen(&self, generation: u64) {
        let mut acknowledged = self.acknowledged.subscribe();
        // The sender is a field of self: it can not end before this does.
        let _ = acknowledged.wait_for(|seen| *seen >= generation).await;
    }

    /// Waits until no worker can pick an instance that has left the table.
    pub(crate) async fn unrouted(&self, id: &InstanceId) {
        let last = self.leaving.lock().unwrap_or_else(PoisonError::into_inner).get(id).and_then(last_generation);
        if let Some(generation) = last {
            self.seen(generation).await;
        }
    }

    /// Whether no worker can pick an instance that has left the table.
    pub(crate) fn is_unrouted(&self, id: &InstanceId) -> bool {
        let seen = self.seen_by_all();
        let leaving = self.leaving.lock().unwrap_or_else(PoisonError::into_inner);
        leaving.get(id).and_then(last_generation).is_none_or(|generation| generation <= seen)
    }

    /// What is left of an instance that is in no table.
    pub(crate) fn state(&self, id: &InstanceId) -> DrainState {
        let seen = self.seen_by_all();
        let leaving = self.leaving.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(backends) = leaving.get(id) else { return DrainState::Drained };
        let (mut requests, mut tunnels, mut unseen) = (0, 0, false);
        for (generation, backend) in backends {
            requests += backend.load().requests();
            tunnels += backend.load().tunnels();
            unseen |= *generation > seen;
        }
        if requests + tunnels > 0 || unseen { DrainState::Draining { requests, tunnels } } else { DrainState::Drained }
    }

    /// Waits until nothing is in flight to an instance that has left the table. The deadline is the caller's.
    pub(crate) async fn drained(&self, id: &InstanceId) {
        let backends = self.leaving.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned().unwrap_or_default();
        for (generation, backend) in backends {
            self.seen(generation).await;
            loop {
                let quiet = backend.load().quiet().notified();
                tokio::pin!(quiet);
                quiet.as_mut().enable();
                if backend.load().requests() + backend.load().tunnels() == 0 {
                    break;
                }
                quiet.await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::table::tests::{route, status};
    use crate::routing::table::{Table, table};
    use std::time::Duration;

    #[tokio::test]
    async fn drained_needs_every_worker_and_every_request() {
        let routes = [route("a.b", "acme/shop/prod")];
        let before = table(&routes, &[status("i-0000000001", "acme/shop/prod", 1)], &Table::default());
        let after = table(&routes, &[], &before);
        let backend = Arc::clone(before.backends().next().expect("one").1);
        let (request, tunnel) = (backend.lease(), backend.lease().into_tunnel());
        let drains = Drains::new(2);
        drains.departed(after.generation(), before.departed(&after));
        assert_eq!(drains.state(&backend.id), DrainState::Draining { requests: 1, tunnels: 1 });
        drop(request);
        drop(tunnel);
        assert_eq!(drains.state(&backend.id), DrainState::Draining { requests: 0, tunnels: 0 });
        drains.acknowledge(0, after.generation());
        assert_eq!(drains.state(&backend.id), DrainState::Draining { requests: 0, tunnels: 0 }, "worker 1 may still pick it");
        let late = backend.lease();
        drains.acknowledge(1, after.generation());
        let waiting = drains.drained(&backend.id);
        tokio::pin!(waiting);
        assert!(tokio::time::timeout(Duration::from_millis(20), &mut waiting).await.is_err(), "a request is in flight");
        drop(late);
        tokio::time::timeout(Duration::from_secs(5), waiting).await.expect("the last request woke it");
        assert_eq!(drains.state(&backend.id), DrainState::Drained);
    }
}
