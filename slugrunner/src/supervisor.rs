//! The loop of one host: reads assignments, lists containers, plans, executes, reports. Fires on signals and on a timer.
//!
//! Owns the memory of every instance here. Must never wait for a container, a pull or a probe: those are tasks that send
//! events. Its own end touches no container: the next process adopts them.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use model::{Host, HostState, Time, error_chain};
use store::live::Area;
use store::{Keyring, Live};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::addresses::AddressPool;
use crate::checkpoint::Checkpoint;
use crate::config::Config;
use crate::context::HostContext;
use crate::disk::Target;
use crate::firewall::{Firewall, FirewallError};
use crate::labels;
use crate::logs::{LogLimits, LogStore};
use crate::oneoff::OneOffs;
use crate::reporter::StatusReporter;
use crate::runtime::{Container, Runtime, RuntimeError};

mod disk_watcher;
mod event_handler;
mod events;
mod executor;
mod state;

use state::State;

/// The timer: how long a lost signal can go unseen.
const TICK: Duration = Duration::from_secs(5);
/// How often coordination is asked again whether routers have let go of a draining instance, should a watch be lost.
const DRAIN_TICK: Duration = Duration::from_millis(500);
/// How often unused images are looked for.
const IMAGE_ROUND: Duration = Duration::from_secs(600);
/// Why isolation can not be checked while the engine is away.
const ENGINE_AWAY: &str = "the container engine is away";
/// Task events that may wait; senders wait when so many do.
const EVENT_QUEUE: usize = 1024;

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
    context: HostContext,
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
        // Logs and assignments are the platform's: other users of the host can not read them.
        let private = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(&config.data_dir, private)
            .map_err(|source| SupervisorError::Directory { path: config.data_dir.clone(), source })?;
        let logs = LogStore::new(config.data_dir.join("logs"), LogLimits::default());
        let addresses = AddressPool::new(config.network.subnet);
        let context = HostContext { config: Arc::new(config), keyring, runtime, addresses, is_isolated: Arc::default() };
        let oneoffs = OneOffs::new(context.clone(), live.clone());
        Ok(Self { context, live, logs, oneoffs })
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
        let (sender, mut events) = mpsc::channel(EVENT_QUEUE);
        let mut watch = self.live.watch(&[Area::Assignments, Area::Drained, Area::Maintenance]);
        let engine_changed = Arc::new(Notify::new());
        let mut side = JoinSet::new();
        side.spawn(listen(self.context.runtime.clone(), self.context.config.scope.clone(), engine_changed.clone()));
        let (host, zone) = (self.context.config.host.clone(), self.context.config.zone.clone());
        tracing::info!(%host, %zone, "the supervisor runs");
        let (running, targets) = watch::channel(Vec::new());
        let runtime = self.context.runtime.clone();
        side.spawn(disk_watcher::DiskWatcher { runtime, targets, events: sender.clone(), stop: shutdown.clone() }.run());
        let mut reconciler = Reconciler::new(self, sender, running);
        loop {
            let wake = reconciler.activate().await;
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = watch.changed() => {}
                () = engine_changed.notified() => {}
                event = events.recv() => if let Some(event) = event { reconciler.state.take(event) },
                () = tokio::time::sleep(wake) => {}
            }
            while let Ok(event) = events.try_recv() {
                reconciler.state.take(event);
            }
        }
        tracing::info!(%host, "the supervisor ends; its instances run on");
        reconciler.state.end();
    }
}

/// Wakes the loop with every container event, through restarts of the engine.
async fn listen(runtime: Arc<dyn Runtime>, scope: String, engine_changed: Arc<Notify>) {
    loop {
        let mut changes = runtime.events(labels::SCOPE, &scope);
        while let Some(Ok(container)) = changes.next().await {
            engine_changed.notify_one();
            // The engine sends the event of an end before its list shows it. It answers an inspect when all is done; then the
            // list is true; without this, it would be read only with the next timer.
            let (runtime, engine_changed) = (runtime.clone(), engine_changed.clone());
            tokio::spawn(async move {
                drop(runtime.inspect(&container).await);
                engine_changed.notify_one();
            });
        }
        // The engine went away: look as soon as it is back, as events may have been lost.
        tokio::time::sleep(Duration::from_secs(1)).await;
        engine_changed.notify_one();
    }
}

/// The loop's parts: what is remembered, where it is kept, where it is reported.
struct Reconciler {
    state: State,
    live: Live,
    checkpoint: Checkpoint,
    reporter: StatusReporter,
    firewall: Firewall,
    since: Time,
    /// Why containers can not be isolated from each other at present.
    problem: Option<String>,
    engine_down: bool,
    /// Whether an operator took this host out of service, as coordination last said.
    in_maintenance: bool,
    is_first: bool,
    ticked: Option<tokio::time::Instant>,
    images: tokio::time::Instant,
}

impl Reconciler {
    fn new(supervisor: Supervisor, events: mpsc::Sender<events::TaskEvent>, running: watch::Sender<Vec<Target>>) -> Self {
        let Supervisor { context, live, logs, oneoffs } = supervisor;
        Self {
            checkpoint: Checkpoint::open(context.config.data_dir.join("assignments.json")),
            reporter: StatusReporter::new(live.clone()),
            firewall: Firewall::new(&context.config),
            since: chrono::Utc::now(),
            problem: None,
            engine_down: false,
            in_maintenance: false,
            is_first: true,
            ticked: None,
            images: tokio::time::Instant::now() + IMAGE_ROUND,
            state: State::new(context, live.clone(), logs, oneoffs, events, running),
            live,
        }
    }

    /// One pass; returns for how long nothing changes by time alone. Idempotent.
    async fn activate(&mut self) -> Duration {
        let is_tick = self.ticked.is_none_or(|at| at.elapsed() >= TICK);
        if is_tick {
            self.ticked = Some(tokio::time::Instant::now());
            self.isolate().await;
            let host = self.host();
            self.reporter.check(&host).await;
        }
        match self.live.is_in_maintenance(&self.state.context.config.host).await {
            Ok(is_on) if is_on != self.in_maintenance => {
                tracing::info!(is_on, "an operator changed whether this host is in maintenance");
                self.in_maintenance = is_on;
            }
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "whether this host is in maintenance can not be read; the last answer holds"),
        }
        // Changes by events are reported first: routers wait for them.
        self.report().await;
        match self.live.assignments_of(&self.state.context.config.host).await {
            Ok(Some(orders)) => drop(self.checkpoint.take(orders)),
            Ok(None) => {}
            Err(error) => tracing::debug!(%error, "coordination is not reachable; the last assignments hold"),
        }
        self.state.follow(self.checkpoint.assignments());
        let seen = self.list().await;
        let Some(containers) = seen else {
            self.state.mark_engine_away(&self.checkpoint);
            self.report().await;
            return Duration::from_secs(1);
        };
        if std::mem::take(&mut self.is_first) {
            containers.iter().filter_map(|one| labels::address(&one.labels)).for_each(|a| self.state.context.addresses.mark(a));
        }
        let is_draining = self.state.poll_drained().await;
        let mut wake = self.state.act(&mut self.checkpoint, &containers).await;
        if is_tick {
            self.state.reap_oneoffs(&containers);
        }
        if self.images <= tokio::time::Instant::now() {
            self.images = tokio::time::Instant::now() + IMAGE_ROUND;
            self.state.reap_images();
        }
        self.state.watch_disks();
        self.report().await;
        if is_draining {
            wake = wake.min(DRAIN_TICK);
        }
        if !self.state.context.is_isolated.load(Ordering::Acquire) {
            // Another program may have held the packet filter for a moment: nothing may start until the rules stand.
            self.ticked = None;
            wake = wake.min(Duration::from_secs(1));
        }
        wake.min(TICK)
    }

    /// The containers of this platform; none while the engine can not be reached.
    async fn list(&mut self) -> Option<Vec<Container>> {
        let context = &self.state.context;
        match context.runtime.list(labels::SCOPE, &context.config.scope).await {
            Ok(containers) => {
                if std::mem::take(&mut self.engine_down) {
                    tracing::info!("the container engine is back");
                    // An engine that was restarted may have reset the chains that ours are called from.
                    self.isolate().await;
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
    async fn isolate(&mut self) {
        let problem = self.try_isolate().await.err();
        self.state.context.is_isolated.store(problem.is_none(), Ordering::Release);
        if let Some(problem) = problem.as_ref().filter(|_| self.problem != problem) {
            tracing::error!(problem, "nothing is started: containers could not be kept apart");
        }
        if problem.is_none() && self.problem.is_some() {
            tracing::info!("containers are kept apart again");
        }
        self.problem = problem;
    }

    async fn try_isolate(&self) -> Result<(), String> {
        let context = &self.state.context;
        // An engine that is away is asked by the list alone; when it is back, everything is made sure again before anything starts.
        let networks = std::iter::once(&context.config.network).chain(&context.config.build_network).filter(|_| !self.engine_down);
        for network in networks {
            match context.runtime.ensure_network(network).await {
                Err(RuntimeError::Unreachable(_)) => return Err(ENGINE_AWAY.to_owned()),
                made => made.map_err(|error| format!("the network `{}` could not be made: {}", network.name, error_chain(&error)))?,
            }
        }
        match self.firewall.assert().await {
            Ok(true) => tracing::info!("wrote the egress rules of containers"),
            Ok(false) => {}
            // It makes its chain when it comes up.
            Err(FirewallError::NoEngineChain) if self.engine_down => return Err(ENGINE_AWAY.to_owned()),
            Err(error) => return Err(format!("the egress rules do not stand: {}", error_chain(&error))),
        }
        Ok(())
    }

    fn host(&self) -> Host {
        let config = &self.state.context.config;
        let is_full = self.checkpoint.assignments().len() >= config.capacity.slots as usize;
        Host {
            name: config.host.clone(),
            zone: config.zone.clone(),
            labels: config.labels.clone(),
            capacity: config.capacity,
            state: match (self.in_maintenance, is_full) {
                (true, _) => HostState::Maintenance,
                (false, true) => HostState::Full,
                (false, false) => HostState::Ok,
            },
            since: self.since,
        }
    }

    async fn report(&mut self) {
        let statuses: BTreeMap<_, _> = self.state.statuses();
        let host = self.host();
        self.reporter.sync(&host, &statuses).await;
    }
}
