//! The loop of one host: reads orders, looks at containers, plans, acts, reports. Fires on signals and on a timer.
//!
//! Owns the memory of every instance here. Must never wait for a container, a pull or a probe: those are tasks that send
//! notes. Its own end touches no container: the next life adopts them.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use model::{Host, HostState, Time};
use store::live::Area;
use store::{Keyring, Live};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::addresses::Addresses;
use crate::config::{Config, Filtering};
use crate::disk::Target;
use crate::firewall::{Firewall, FirewallError};
use crate::labels;
use crate::logs::{Limits, LogStore};
use crate::oneoff::OneOffs;
use crate::reports::Reports;
use crate::runtime::{Container, Runtime, RuntimeError};
use crate::saved::Saved;
use crate::starting::Kit;

mod acts;
mod disks;
mod notes;
mod work;

use work::Work;

/// The timer: how long a lost signal can go unseen.
const TICK: Duration = Duration::from_secs(5);
/// How often routers are asked again about a draining instance, should their word have been lost.
const DRAIN_TICK: Duration = Duration::from_millis(500);
/// How often unused images are looked for.
const IMAGE_ROUND: Duration = Duration::from_secs(600);
/// Why nothing is safe to start while there is nothing to start it with.
const ENGINE_AWAY: &str = "the container engine is away";
/// Notes that may wait; senders wait then.
const NOTES: usize = 1024;

/// Why a supervisor can not begin.
#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    /// Its directory can not be made.
    #[error("could not make the supervisor's directory {}", .path.display())]
    Directory {
        /// The directory.
        path: std::path::PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

/// The supervisor of one host, before it runs.
pub struct Supervisor {
    kit: Kit,
    live: Live,
    logs: LogStore,
    oneoffs: OneOffs,
}

impl Supervisor {
    /// Makes its directories; touches nothing else.
    pub fn new(config: Config, live: Live, keyring: Arc<Keyring>, runtime: Arc<dyn Runtime>) -> Result<Self, SupervisorError> {
        for path in [config.data_dir.join("logs"), config.data_dir.join("cursors")] {
            std::fs::create_dir_all(&path).map_err(|source| SupervisorError::Directory { path, source })?;
        }
        // Logs and orders are for the platform: other users of the host see nothing of it.
        let private = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(&config.data_dir, private)
            .map_err(|source| SupervisorError::Directory { path: config.data_dir.clone(), source })?;
        let logs = LogStore::new(config.data_dir.join("logs"), Limits::default());
        let addresses = Addresses::new(config.network.subnet);
        let kit = Kit { config: Arc::new(config), keyring, runtime, addresses, is_safe: Arc::default() };
        let oneoffs = OneOffs::new(kit.clone(), live.clone());
        Ok(Self { kit, live, logs, oneoffs })
    }

    /// The logs of this host's instances.
    pub fn logs(&self) -> LogStore {
        self.logs.clone()
    }

    /// For running single commands here.
    pub fn oneoffs(&self) -> OneOffs {
        self.oneoffs.clone()
    }

    /// Runs until told to end.
    pub async fn run(self, shutdown: CancellationToken) {
        let (sender, mut notes) = mpsc::channel(NOTES);
        let mut watch = self.live.watch(&[Area::Assignments, Area::Drained]);
        let events = Arc::new(Notify::new());
        let mut side = JoinSet::new();
        side.spawn(listen(self.kit.runtime.clone(), self.kit.config.scope.clone(), events.clone()));
        let (host, zone) = (self.kit.config.host.clone(), self.kit.config.zone.clone());
        tracing::info!(%host, %zone, "the supervisor runs");
        let (running, targets) = watch::channel(Vec::new());
        let runtime = self.kit.runtime.clone();
        side.spawn(disks::Watcher { runtime, targets, notes: sender.clone(), stop: shutdown.clone() }.run());
        let mut round = Round::new(self, sender, running);
        loop {
            let wake = round.activate().await;
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = watch.changed() => {}
                () = events.notified() => {}
                note = notes.recv() => if let Some(note) = note { round.work.take(note) },
                () = tokio::time::sleep(wake) => {}
            }
            while let Ok(note) = notes.try_recv() {
                round.work.take(note);
            }
        }
        tracing::info!(%host, "the supervisor ends; its instances run on");
        round.work.end();
    }
}

/// Wakes the loop with every container event, through restarts of the engine.
async fn listen(runtime: Arc<dyn Runtime>, scope: String, bell: Arc<Notify>) {
    loop {
        let mut events = runtime.events(labels::SCOPE, &scope);
        while let Some(Ok(container)) = events.next().await {
            bell.notify_one();
            // The engine tells of an end before its list shows it. It answers for the one container when all is done; then the
            // list is true, and without this the truth would wait for the timer.
            let (runtime, bell) = (runtime.clone(), bell.clone());
            tokio::spawn(async move {
                drop(runtime.inspect(&container).await);
                bell.notify_one();
            });
        }
        // The engine went away: look as soon as it is back, as events may have been lost.
        tokio::time::sleep(Duration::from_secs(1)).await;
        bell.notify_one();
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// What one activation needs.
struct Round {
    work: Work,
    live: Live,
    saved: Saved,
    reports: Reports,
    firewall: Firewall,
    since: Time,
    /// Why containers can not be kept apart just now.
    problem: Option<String>,
    engine_down: bool,
    is_first: bool,
    ticked: Option<tokio::time::Instant>,
    images: tokio::time::Instant,
}

impl Round {
    fn new(supervisor: Supervisor, notes: mpsc::Sender<notes::Note>, running: watch::Sender<Vec<Target>>) -> Self {
        let Supervisor { kit, live, logs, oneoffs } = supervisor;
        Self {
            saved: Saved::open(kit.config.data_dir.join("assignments.json")),
            reports: Reports::new(live.clone()),
            firewall: Firewall::new(&kit.config),
            since: chrono::Utc::now(),
            problem: None,
            engine_down: false,
            is_first: true,
            ticked: None,
            images: tokio::time::Instant::now() + IMAGE_ROUND,
            work: Work::new(kit, live.clone(), logs, oneoffs, notes, running),
            live,
        }
    }

    /// One round; returns how long nothing is known to change by time alone. Idempotent.
    async fn activate(&mut self) -> Duration {
        let is_tick = self.ticked.is_none_or(|at| at.elapsed() >= TICK);
        if is_tick {
            self.ticked = Some(tokio::time::Instant::now());
            self.secure().await;
            let host = self.host();
            self.reports.check(&host).await;
        }
        // What notes have changed goes out first: a router waits for it.
        self.report().await;
        match self.live.assignments_of(&self.work.kit.config.host).await {
            Ok(Some(orders)) => drop(self.saved.take(orders)),
            Ok(None) => {}
            Err(error) => tracing::debug!(%error, "coordination is not reachable; the last assignments hold"),
        }
        self.work.follow(self.saved.assignments());
        let seen = self.list().await;
        let Some(containers) = seen else {
            self.work.lack_engine(&self.saved);
            self.report().await;
            return Duration::from_secs(1);
        };
        if std::mem::take(&mut self.is_first) {
            containers.iter().filter_map(|one| labels::address(&one.labels)).for_each(|a| self.work.kit.addresses.mark(a));
        }
        let is_draining = self.work.hear_routers().await;
        let mut wake = self.work.act(&mut self.saved, &containers).await;
        if is_tick {
            self.work.reap_oneoffs(&containers);
        }
        if self.images <= tokio::time::Instant::now() {
            self.images = tokio::time::Instant::now() + IMAGE_ROUND;
            self.work.reap_images();
        }
        self.work.watch_disks();
        self.report().await;
        if is_draining {
            wake = wake.min(DRAIN_TICK);
        }
        if !self.work.kit.is_safe.load(Ordering::Acquire) {
            // Another program may have held the packet filter for a moment: nothing may start until the rules stand.
            self.ticked = None;
            wake = wake.min(Duration::from_secs(1));
        }
        wake.min(TICK)
    }

    /// Looks at the engine; none while it can not be reached.
    async fn list(&mut self) -> Option<Vec<Container>> {
        let kit = &self.work.kit;
        match kit.runtime.list(labels::SCOPE, &kit.config.scope).await {
            Ok(containers) => {
                if std::mem::take(&mut self.engine_down) {
                    tracing::info!("the container engine is back");
                    // It may have come back without our jumps.
                    self.secure().await;
                }
                Some(containers)
            }
            Err(error) => {
                if !std::mem::replace(&mut self.engine_down, true) {
                    tracing::error!(%error, "the container engine does not answer; what runs is left alone until it does");
                }
                None
            }
        }
    }

    /// Makes sure that the networks and the egress rules stand. A reason why they do not is logged once.
    async fn secure(&mut self) {
        let problem = self.try_secure().await.err();
        self.work.kit.is_safe.store(problem.is_none(), Ordering::Release);
        if let Some(problem) = problem.as_ref().filter(|_| self.problem != problem) {
            tracing::error!(problem, "nothing is started: containers could not be kept apart");
        }
        if problem.is_none() && self.problem.is_some() {
            tracing::info!("containers are kept apart again");
        }
        self.problem = problem;
    }

    async fn try_secure(&self) -> Result<(), String> {
        let kit = &self.work.kit;
        // An engine that is away is asked by the list alone; when it is back, everything is made sure again before anything starts.
        let networks = std::iter::once(&kit.config.network).chain(&kit.config.build_network).filter(|_| !self.engine_down);
        for network in networks {
            match kit.runtime.ensure_network(network).await {
                Err(RuntimeError::Unreachable(_)) => return Err(ENGINE_AWAY.to_owned()),
                made => made.map_err(|error| format!("the network `{}` could not be made: {}", network.name, chain(&error)))?,
            }
        }
        if kit.config.filtering == Filtering::Enforced {
            match self.firewall.assert().await {
                Ok(true) => tracing::info!("wrote the egress rules of containers"),
                Ok(false) => {}
                // It makes its chain when it comes up.
                Err(FirewallError::NoEngineChain) if self.engine_down => return Err(ENGINE_AWAY.to_owned()),
                Err(error) => return Err(format!("the egress rules do not stand: {}", chain(&error))),
            }
        }
        Ok(())
    }

    fn host(&self) -> Host {
        let config = &self.work.kit.config;
        let is_full = self.saved.assignments().len() >= config.capacity.slots as usize;
        Host {
            name: config.host.clone(),
            zone: config.zone.clone(),
            labels: config.labels.clone(),
            capacity: config.capacity,
            state: if is_full { HostState::Full } else { HostState::Ok },
            since: self.since,
        }
    }

    async fn report(&mut self) {
        let statuses: BTreeMap<_, _> = self.work.statuses();
        let host = self.host();
        self.reports.sync(&host, &statuses).await;
    }
}
