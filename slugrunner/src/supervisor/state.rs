//! `State`: what the loop remembers of every instance on this host, and one planning step over it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use model::{Assignment, InstanceId, InstanceStatus, Intent, RunSpec};
use store::Live;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::TICK;
use super::events::TaskEvent;
use crate::checkpoint::Checkpoint;
use crate::context::HostContext;
use crate::disk::Target;
use crate::instance::Instance;
use crate::labels::{self, InstanceLabels};
use crate::logs::LogStore;
use crate::oneoff::OneOffs;
use crate::plan::{Action, Observed, Owner, Phase, SeenContainer, next_wake, plan};
use crate::reaper;
use crate::runtime::{Container, ContainerId};

/// Planning steps in one pass; further ones wait for the next pass.
const STEPS: usize = 4;

/// Everything that the loop remembers.
pub(super) struct State {
    pub(super) context: HostContext,
    pub(super) live: Live,
    pub(super) logs: LogStore,
    pub(super) oneoffs: OneOffs,
    pub(super) events: mpsc::Sender<TaskEvent>,
    pub(super) instances: BTreeMap<InstanceId, Instance>,
    /// Tasks that copy the output of containers.
    pub(super) copies: BTreeMap<ContainerId, JoinHandle<()>>,
    /// Containers whose removal is under way.
    pub(super) removing: BTreeSet<ContainerId>,
    pub(super) tasks: JoinSet<()>,
    /// Containers whose writable layer is measured; read by the disk watcher.
    running: watch::Sender<Vec<Target>>,
    /// Images of containers that were last seen.
    used_images: BTreeSet<String>,
}

impl State {
    pub(super) fn new(
        context: HostContext,
        live: Live,
        logs: LogStore,
        oneoffs: OneOffs,
        events: mpsc::Sender<TaskEvent>,
        running: watch::Sender<Vec<Target>>,
    ) -> Self {
        Self {
            context,
            live,
            logs,
            oneoffs,
            events,
            running,
            instances: BTreeMap::new(),
            copies: BTreeMap::new(),
            removing: BTreeSet::new(),
            tasks: JoinSet::new(),
            used_images: BTreeSet::new(),
        }
    }

    /// Takes over the assigned intents. An instance that is assigned no more is ended like one that is to drain.
    pub(super) fn follow(&mut self, assigned: &[Assignment]) {
        let wanted: BTreeMap<&InstanceId, &Assignment> = assigned.iter().map(|a| (&a.instance, a)).collect();
        for (id, instance) in &mut self.instances {
            let intent = wanted.get(id).map_or(Intent::Drain, |a| a.intent);
            instance.assignment.intent = intent;
            if intent == Intent::Drain {
                instance.cancel.cancel();
            }
        }
        // Ended tasks are only joined to drop them.
        while self.tasks.try_join_next().is_some() {}
    }

    /// Asks coordination which draining instances all routers have let go of; returns whether any is still draining.
    pub(super) async fn poll_drained(&mut self) -> bool {
        let draining = |instance: &Instance| matches!(instance.phase, Some(Phase::Draining { drained: false, .. }));
        let ids: Vec<InstanceId> = self.instances.iter().filter(|(_, instance)| draining(instance)).map(|(id, _)| id.clone()).collect();
        for id in &ids {
            // While coordination is away, the deadline decides.
            if self.live.is_drained(id).await.unwrap_or(false)
                && let Some(instance) = self.instances.get_mut(id)
            {
                instance.drained();
            }
        }
        !ids.is_empty()
    }

    /// Plans and executes until nothing can be done at once; returns for how long the plan holds by time alone.
    pub(super) async fn act(&mut self, checkpoint: &mut Checkpoint, containers: &[Container]) -> Duration {
        self.used_images = containers.iter().map(|one| one.image.clone()).collect();
        let is_isolated = self.context.is_isolated.load(Ordering::Acquire);
        for _ in 0..STEPS {
            let now = chrono::Utc::now();
            let observed = self.observe(containers);
            let actions = plan(checkpoint.assignments(), &observed, now);
            let (mut again, mut begins_to_drain) = (false, false);
            for action in actions {
                if matches!(action, Action::Start(_)) && !is_isolated {
                    continue;
                }
                tracing::debug!(%action, "next step");
                begins_to_drain |= matches!(action, Action::Drain(_));
                again |= self.perform(action, checkpoint, containers).await;
            }
            if begins_to_drain {
                // Reported first, so that routers see it; then they are asked at once.
                return Duration::ZERO;
            }
            if !again {
                let wake = next_wake(&self.observe(containers), now).and_then(|at| (at - now).to_std().ok());
                return wake.unwrap_or(TICK).max(Duration::from_millis(5));
            }
        }
        Duration::ZERO
    }

    fn observe(&self, containers: &[Container]) -> Vec<Observed> {
        let mut seen: BTreeMap<InstanceId, Vec<SeenContainer>> = self.instances.keys().map(|id| (id.clone(), Vec::new())).collect();
        let mut unreadable = Vec::new();
        for container in containers.iter().filter(|one| one.labels.get(labels::KIND).is_some_and(|kind| kind == labels::INSTANCE)) {
            if self.removing.contains(&container.id) {
                continue;
            }
            let one = SeenContainer { id: container.id.clone(), state: container.state };
            match labels::read(&container.labels) {
                Some(tag) => seen.entry(tag.assignment.instance).or_default().push(one),
                None => unreadable.push(one),
            }
        }
        let mut all: Vec<Observed> = seen
            .into_iter()
            .map(|(id, containers)| {
                let instance = self.instances.get(&id);
                let (phase, busy) = instance.map_or((None, false), |instance| (instance.phase, instance.busy));
                Observed { owner: Owner::Instance(id), containers, phase, busy }
            })
            .collect();
        all.push(Observed { owner: Owner::Unreadable, containers: unreadable, phase: None, busy: false });
        all
    }

    /// The labels of a listed container.
    pub(super) fn tag(containers: &[Container], id: &ContainerId) -> Option<InstanceLabels> {
        labels::read(&containers.iter().find(|one| one.id == *id)?.labels)
    }

    /// The spec of a release: from the checkpoint if it is there, as specs never change.
    pub(super) async fn spec(&self, checkpoint: &mut Checkpoint, assignment: &Assignment) -> Option<RunSpec> {
        if let Some(spec) = checkpoint.spec(&assignment.app, assignment.release) {
            return Some(spec.clone());
        }
        match self.live.spec(&assignment.app, assignment.release).await {
            Ok(Some(spec)) => {
                checkpoint.keep_spec(spec.clone());
                Some(spec)
            }
            Ok(None) => None,
            Err(error) => {
                tracing::warn!(%error, app = %assignment.app, release = %assignment.release, "a release's spec could not be read");
                None
            }
        }
    }

    /// Reports assigned instances whose containers were not found yet as crashed for want of the engine; the others keep their state.
    pub(super) fn mark_engine_away(&mut self, checkpoint: &Checkpoint) {
        let now = chrono::Utc::now();
        let (host, zone) = (&self.context.config.host, &self.context.config.zone);
        for assignment in checkpoint.assignments().iter().filter(|a| a.intent == Intent::Run) {
            self.instances
                .entry(assignment.instance.clone())
                .or_insert_with(|| Instance::new(assignment.clone(), host, zone, now))
                .engine_is_away(now);
        }
    }

    /// The statuses to report.
    pub(super) fn statuses(&self) -> BTreeMap<InstanceId, InstanceStatus> {
        self.instances.iter().map(|(id, instance)| (id.clone(), instance.status.clone())).collect()
    }

    /// Passes what runs to the disk watcher.
    pub(super) fn watch_disks(&self) {
        let allowed = self.context.config.disk;
        let instances =
            self.instances.values().filter(|instance| instance.phase == Some(Phase::Up)).filter_map(|instance| instance.container.clone());
        let containers = instances.chain(self.oneoffs.attached()).filter(|_| allowed > 0);
        let targets: Vec<Target> = containers.map(|container| Target { container, allowed }).collect();
        self.running.send_if_modified(|known| {
            let is_news = *known != targets;
            *known = targets;
            is_news
        });
    }

    /// Removes one-offs that nobody is attached to.
    pub(super) fn reap_oneoffs(&mut self, containers: &[Container]) {
        for id in reaper::stale_oneoffs(containers, &self.oneoffs.attached(), chrono::Utc::now()) {
            tracing::info!(container = %id, "removing a one-off that an earlier life left behind");
            if let Some(address) = containers.iter().find(|one| one.id == id).and_then(|one| labels::address(&one.labels)) {
                self.context.addresses.release(address);
            }
            self.remove(None, id);
        }
    }

    /// Removes images that nothing runs or may run again soon, in a task.
    pub(super) fn reap_images(&mut self) {
        let (context, live, used) = (self.context.clone(), self.live.clone(), self.used_images.clone());
        self.tasks.spawn(async move {
            let config = &context.config;
            let wanted = match live.specs().await {
                Ok(specs) => reaper::wanted_images(&specs, &config.registry),
                Err(error) => {
                    tracing::debug!(%error, "what releases name is not known now; no image is removed");
                    return;
                }
            };
            if let Err(error) = reaper::reap_images(&*context.runtime, &config.registry, config.keep_images, &used, &wanted).await {
                tracing::warn!(%error, "unused images could not be removed");
            }
        });
    }

    /// Ends all tasks of ours; containers are left alone.
    pub(super) fn end(mut self) {
        self.tasks.abort_all();
        self.instances.values_mut().filter_map(|instance| instance.watch.take()).for_each(|watch| watch.abort());
        self.copies.values().for_each(JoinHandle::abort);
    }
}
