//! `Follower`: keeps the router's table equal to what coordination says, and says which instances are drained.
//!
//! Owns the loop `activate()`: read, build, swap, mark. It fires on a watch and on a timer, takes no input and may run at any
//! time. Must never empty the table because coordination can not be read: the last good one stays.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use model::{InstanceId, InstanceState, InstanceStatus, Route, RouterId};
use store::live::{Area, Live, LiveError, Session, Watch};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::router::Handle;
use crate::routing::drain::DrainState;
use crate::routing::snapshot::Snapshot;
use crate::routing::table::table;

/// How often coordination is read although nothing woke.
const EVERY: Duration = Duration::from_secs(5);
/// The least time between two readings: a storm of changes becomes one table.
const PAUSE: Duration = Duration::from_millis(10);

/// Follows coordination for one router.
#[derive(Debug)]
pub struct Follower {
    handle: Handle,
    live: Live,
    id: RouterId,
    session: Option<Session>,
    routes_changed: Watch,
    instances_changed: Watch,
    /// The routes as they were read last; none: they are to be read.
    routes: Option<Vec<Route>>,
    /// Instances that this router has said it sends nothing new to.
    unrouted: BTreeSet<InstanceId>,
    /// Instances that this router has said are drained.
    drained: BTreeSet<InstanceId>,
    /// Instances whose quiet is waited for.
    awaited: BTreeSet<InstanceId>,
    quiet: Arc<Notify>,
    waiting: JoinSet<()>,
    failing: bool,
    snapshot: Option<Snapshot>,
}

impl Follower {
    /// Follows `live` under the name `id`.
    pub fn new(handle: Handle, live: Live, id: RouterId) -> Self {
        Self {
            routes_changed: live.watch(&[Area::Routes]),
            instances_changed: live.watch(&[Area::Instances]),
            handle,
            live,
            id,
            session: None,
            routes: None,
            unrouted: BTreeSet::new(),
            drained: BTreeSet::new(),
            awaited: BTreeSet::new(),
            quiet: Arc::default(),
            waiting: JoinSet::new(),
            failing: false,
            snapshot: None,
        }
    }

    /// Keeps the last good state in a file, to start with when coordination does not answer.
    #[must_use]
    pub fn with_snapshot(mut self, snapshot: Snapshot) -> Self {
        self.snapshot = Some(snapshot);
        self
    }

    /// Reads coordination until it has answered once, or takes the snapshot. To be awaited before the router serves:
    /// connections wait in the kernel meanwhile, and no visitor is told that an app does not exist only because nobody has
    /// looked.
    pub async fn first(&mut self) {
        let mut is_looked = false;
        while !self.activate().await {
            if !std::mem::replace(&mut is_looked, true) && self.restore() {
                return;
            }
            tokio::select! {
                () = self.instances_changed.changed() => {}
                () = tokio::time::sleep(EVERY / 10) => {}
            }
        }
    }

    fn restore(&mut self) -> bool {
        let Some(snapshot) = &self.snapshot else { return false };
        match snapshot.read() {
            Ok((routes, instances)) => {
                tracing::warn!(routes = routes.len(), "coordination is away: starting with the last state on disk");
                self.handle.swap(table(&routes, &instances, &self.handle.table()));
                true
            }
            Err(error) => {
                tracing::warn!(%error, "coordination is away, and there is no last state on disk to start with");
                false
            }
        }
    }

    /// Keeps a new state on disk. That it can not be kept stops nothing.
    async fn keep(&self, routes: &[Route], instances: &[InstanceStatus]) {
        let Some(snapshot) = self.snapshot.clone() else { return };
        let (routes, instances) = (routes.to_vec(), instances.to_vec());
        let written = tokio::task::spawn_blocking(move || snapshot.write(&routes, &instances)).await;
        if let Err(error) = written.map_err(std::io::Error::other).and_then(|result| result) {
            tracing::warn!(%error, "could not keep the state on disk");
        }
    }

    /// Follows until `shutdown`.
    pub async fn run(mut self, shutdown: CancellationToken) {
        loop {
            let quiet = Arc::clone(&self.quiet);
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.routes_changed.changed() => self.routes = None,
                () = self.instances_changed.changed() => {}
                () = quiet.notified() => {}
                () = tokio::time::sleep(EVERY) => self.routes = None,
            }
            self.activate().await;
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    /// Makes the table what coordination says, and tells it who is drained. False: it could not be reached.
    pub async fn activate(&mut self) -> bool {
        let result = self.follow().await;
        match &result {
            Err(LiveError::SessionEnded) => {
                self.forget_session();
                self.quiet.notify_one();
            }
            Err(error) if !self.failing => tracing::warn!(%error, "could not read coordination; the last table stays"),
            Ok(()) if self.failing => tracing::info!("coordination is readable again"),
            Err(_) | Ok(()) => {}
        }
        self.failing = result.is_err();
        result.is_ok()
    }

    /// All that was said in the session is gone: it is to be said again in a new one.
    fn forget_session(&mut self) {
        self.session = None;
        self.unrouted.clear();
        self.drained.clear();
    }

    async fn follow(&mut self) -> Result<(), LiveError> {
        // First of all it must be known that there is a router: an instance is stopped when every known one has let go of it. A server
        // that came back since the last reading knows of none, and reading alone would not tell.
        if self.session.is_some() && !self.live.is_router_registered(&self.id).await? {
            self.forget_session();
        }
        if self.session.is_none() {
            let session = self.live.session().await?;
            self.live.register_router(&session, &self.id).await?;
            self.session = Some(session);
        }
        let routes = match self.routes.take() {
            Some(routes) => routes,
            None => self.live.routes().await?,
        };
        let instances = self.live.instances().await?;
        let present = self.handle.table();
        let next = table(&routes, &instances, &present);
        self.routes = Some(routes);
        if !next.is_same(&present) {
            tracing::debug!(generation = next.generation(), hosts = next.hosts(), "new table");
            self.handle.swap(next);
            self.keep(self.routes.as_deref().unwrap_or_default(), &instances).await;
        }
        self.mark(&instances).await
    }

    /// Marks instances that leave and are quiet here; waits for those that are not quiet yet.
    async fn mark(&mut self, instances: &[InstanceStatus]) -> Result<(), LiveError> {
        let Some(session) = &self.session else { return Ok(()) };
        while self.waiting.try_join_next().is_some() {}
        let leaving = |status: &&InstanceStatus| matches!(status.state, InstanceState::Draining | InstanceState::Stopping);
        let mut there = BTreeSet::new();
        for status in instances.iter().filter(leaving) {
            there.insert(status.id.clone());
            if self.drained.contains(&status.id) {
                continue;
            }
            if self.handle.drain_state(&status.app, &status.id) == DrainState::Drained {
                self.live.mark_drained(session, &self.id, &status.id).await?;
                tracing::debug!(app = %status.app, instance = %status.id, release = %status.release, "drained");
                self.unrouted.insert(status.id.clone());
                self.drained.insert(status.id.clone());
                continue;
            }
            if !self.unrouted.contains(&status.id) && self.handle.is_unrouted(&status.app, &status.id) {
                self.live.mark_unrouted(session, &self.id, &status.id).await?;
                self.unrouted.insert(status.id.clone());
            }
            if self.awaited.insert(status.id.clone()) {
                let (handle, id, quiet) = (self.handle.clone(), status.id.clone(), Arc::clone(&self.quiet));
                self.waiting.spawn(async move {
                    handle.unrouted(&id).await;
                    quiet.notify_one();
                    handle.drained(&id).await;
                    quiet.notify_one();
                });
            }
        }
        self.awaited.retain(|id| there.contains(id));
        let gone: Vec<_> = self.unrouted.difference(&there).cloned().collect();
        for id in gone {
            self.live.unmark_drained(&self.id, &id).await?;
            self.unrouted.remove(&id);
            self.drained.remove(&id);
        }
        Ok(())
    }
}
