//! The loop: read one snapshot, plan, commit, publish what is blocked. Decides nothing itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use model::{AppEnv, HostName, InstanceId, ProcessName, ReleaseNumber, Resources, Time, error_chain};
use store::live::{Area, Live, LiveError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::blocked::Blocked;
use crate::config::Config;
use crate::plan::{Change, Plan};
use crate::reconcile::reconcile;
use crate::snapshot::Snapshot;

/// What every app waits for. An app that waits for nothing is not in it.
pub type BlockedByApp = Arc<BTreeMap<AppEnv, Vec<Blocked>>>;

type Specs = BTreeMap<(AppEnv, ReleaseNumber), BTreeMap<ProcessName, Resources>>;

/// Why the scheduler could not do its work this time.
#[derive(Debug, thiserror::Error)]
pub enum SchedulerError {
    /// Coordination could not be read.
    #[error("the state of the cluster could not be read")]
    Read(#[source] LiveError),
    /// Another writer was faster; the next look will see what it did.
    #[error("assignments were changed by another writer")]
    Conflict,
    /// Assignments could not be written.
    #[error("assignments could not be written")]
    Write(#[source] LiveError),
}

/// Places instances, for as long as it runs.
#[derive(Debug)]
pub struct Scheduler {
    live: Live,
    config: Config,
    blocked: watch::Sender<BlockedByApp>,
    /// Specs never change: each is read once and kept for as long as something is of its release.
    specs: Specs,
    absent_since: BTreeMap<HostName, Time>,
}

impl Scheduler {
    /// Over coordination.
    pub fn new(live: Live, config: Config) -> Self {
        let (blocked, _) = watch::channel(BlockedByApp::default());
        Self { live, config, blocked, specs: Specs::new(), absent_since: BTreeMap::new() }
    }

    /// What is blocked, now and whenever it changes.
    pub fn blocked(&self) -> watch::Receiver<BlockedByApp> {
        self.blocked.subscribe()
    }

    /// Works until `shutdown`. A change in coordination wakes it, and a timer, so that a lost wake-up costs seconds only.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut watch = self.live.watch(&[Area::Formations, Area::Hosts, Area::Instances, Area::Assignments]);
        loop {
            // The activation is not cut short: a commit that is under way is seen to its end.
            let pause = match self.activate().await {
                Ok(plan) => self.pause(plan.look_again),
                // The other writer's change has rung the watch, so that this look is followed by another one at once.
                Err(SchedulerError::Conflict) => self.config.interval,
                Err(failure) => {
                    error!(error = %error_chain(&failure), "could not plan");
                    self.config.interval
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = watch.changed() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// One look at the whole: reads, plans, commits. Doing it twice does nothing the second time.
    pub async fn activate(&mut self) -> Result<Plan, SchedulerError> {
        let snapshot = self.read().await.map_err(SchedulerError::Read)?;
        let plan = reconcile(&snapshot, Utc::now(), &mut || InstanceId::mint(store::random::bytes()));
        if !plan.is_empty() {
            self.live.commit_assignments(plan.changes()).await.map_err(|failure| match failure {
                LiveError::Conflict { .. } => SchedulerError::Conflict,
                other => SchedulerError::Write(other),
            })?;
            log(&plan);
        }
        self.publish(&plan);
        Ok(plan)
    }

    /// Assignments come first: whatever is read after them is at least as new, and they are fenced.
    async fn read(&mut self) -> Result<Snapshot, LiveError> {
        let assignments: BTreeMap<_, _> =
            self.live.assignments().await?.into_iter().map(|fenced| (fenced.assignments.host.clone(), fenced)).collect();
        let formations: BTreeMap<_, _> =
            self.live.formations().await?.into_iter().map(|formation| (formation.app.clone(), formation)).collect();
        let hosts: BTreeMap<_, _> = self.live.hosts().await?.into_iter().map(|host| (host.name.clone(), host)).collect();
        let known: BTreeMap<_, _> = self.live.known_hosts().await?.into_iter().map(|host| (host.name.clone(), host)).collect();
        let instances = self.live.instances().await?.into_iter().map(|status| (status.id.clone(), status)).collect();

        let assigned = assignments.values().flat_map(|fenced| &fenced.assignments.assignments);
        let mut releases: BTreeSet<_> = assigned.map(|assignment| (assignment.app.clone(), assignment.release)).collect();
        releases.extend(formations.values().map(|formation| (formation.app.clone(), formation.release)));
        self.read_specs(&releases).await?;
        self.miss(assignments.keys().filter(|host| !hosts.contains_key(*host)), Utc::now());

        let absent_since = self.absent_since.clone();
        let specs = self.specs.clone();
        Ok(Snapshot { policy: self.config.policy, formations, specs, hosts, known, absent_since, assignments, instances })
    }

    async fn read_specs(&mut self, releases: &BTreeSet<(AppEnv, ReleaseNumber)>) -> Result<(), LiveError> {
        self.specs.retain(|release, _| releases.contains(release));
        for key @ (app, release) in releases {
            if self.specs.contains_key(key) {
                continue;
            }
            match self.live.spec(app, *release).await {
                Ok(Some(spec)) => {
                    let resources = spec.processes.into_iter().map(|(process, spec)| (process, spec.resources)).collect();
                    self.specs.insert(key.clone(), resources);
                }
                Ok(None) => {}
                // One app's damaged document must not hold up the others; the app itself is shown as blocked.
                Err(failure @ LiveError::Damaged { .. }) => {
                    error!(app = %app.app_ref(), env = %app.env, %release, error = %error_chain(&failure), "skipped a spec");
                }
                Err(other) => return Err(other),
            }
        }
        Ok(())
    }

    fn miss<'a>(&mut self, missed: impl Iterator<Item = &'a HostName>, now: Time) {
        let before = std::mem::take(&mut self.absent_since);
        // A clock that was set back must not keep a host alive for the difference.
        self.absent_since = missed.map(|host| (host.clone(), before.get(host).copied().unwrap_or(now).min(now))).collect();
    }

    /// Until the next look, should nothing change.
    fn pause(&self, look_again: Option<Time>) -> Duration {
        let due = look_again.map(|at| (at - Utc::now()).to_std().unwrap_or(Duration::ZERO) + Duration::from_millis(1));
        due.unwrap_or(self.config.interval).min(self.config.interval)
    }

    fn publish(&self, plan: &Plan) {
        let mut by_app: BTreeMap<AppEnv, Vec<Blocked>> = BTreeMap::new();
        for blocked in &plan.blocked {
            by_app.entry(blocked.app.clone()).or_default().push(blocked.clone());
        }
        self.blocked.send_if_modified(|current| {
            if **current == by_app {
                return false;
            }
            for blocked in by_app.values().flatten().filter(|blocked| !current.values().flatten().any(|before| before == *blocked)) {
                info!(app = %blocked.app.app_ref(), env = %blocked.app.env, release = %blocked.release, "blocked: {blocked}");
            }
            *current = Arc::new(by_app);
            true
        });
    }
}

fn log(plan: &Plan) {
    for (verb, bucket) in [("place", &plan.place), ("drain", &plan.drain), ("remove", &plan.remove)] {
        for Change { host, assignment } in bucket {
            let (app, env, release) = (assignment.app.app_ref(), &assignment.app.env, assignment.release);
            info!(%app, %env, %release, instance = %assignment.instance, %host, "{verb} {}", assignment.label());
        }
    }
}
