//! The memory of the loop, and one planning step over it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use model::{Assignment, InstanceId, InstanceStatus, Intent, RunSpec};
use store::Live;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::TICK;
use super::notes::Note;
use crate::disk::Target;
use crate::labels::{self, Tag};
use crate::logs::LogStore;
use crate::oneoff::OneOffs;
use crate::plan::{Action, Observed, Phase, Seen, Whose, next_wake, plan};
use crate::reaper;
use crate::runtime::{Container, ContainerId};
use crate::saved::Saved;
use crate::starting::Kit;
use crate::unit::Unit;

/// Steps that follow each other in one round; more wait for the next one.
const STEPS: usize = 4;

/// Everything the loop remembers.
pub(super) struct Work {
    pub(super) kit: Kit,
    pub(super) live: Live,
    pub(super) logs: LogStore,
    pub(super) oneoffs: OneOffs,
    pub(super) notes: mpsc::Sender<Note>,
    pub(super) units: BTreeMap<InstanceId, Unit>,
    /// Tasks that copy the output of containers.
    pub(super) copies: BTreeMap<ContainerId, JoinHandle<()>>,
    /// Containers whose removal is under way.
    pub(super) removing: BTreeSet<ContainerId>,
    pub(super) tasks: JoinSet<()>,
    /// Whose own disk is watched.
    running: watch::Sender<Vec<Target>>,
    /// Images of containers that were last seen.
    used_images: BTreeSet<String>,
}

impl Work {
    pub(super) fn new(
        kit: Kit,
        live: Live,
        logs: LogStore,
        oneoffs: OneOffs,
        notes: mpsc::Sender<Note>,
        running: watch::Sender<Vec<Target>>,
    ) -> Self {
        Self {
            kit,
            live,
            logs,
            oneoffs,
            notes,
            running,
            units: BTreeMap::new(),
            copies: BTreeMap::new(),
            removing: BTreeSet::new(),
            tasks: JoinSet::new(),
            used_images: BTreeSet::new(),
        }
    }

    /// Takes over what is wanted now. An instance that left the list is ended like one that is to drain.
    pub(super) fn follow(&mut self, assigned: &[Assignment]) {
        let wanted: BTreeMap<&InstanceId, &Assignment> = assigned.iter().map(|a| (&a.instance, a)).collect();
        for (id, unit) in &mut self.units {
            let intent = wanted.get(id).map_or(Intent::Drain, |a| a.intent);
            unit.assignment.intent = intent;
            if intent == Intent::Drain {
                unit.cancel.cancel();
            }
        }
        // Ended tasks are only joined to drop them.
        while self.tasks.try_join_next().is_some() {}
    }

    /// Asks about draining instances; says whether there are any.
    pub(super) async fn hear_routers(&mut self) -> bool {
        let draining = |unit: &Unit| matches!(unit.phase, Some(Phase::Draining { drained: false, .. }));
        let ids: Vec<InstanceId> = self.units.iter().filter(|(_, unit)| draining(unit)).map(|(id, _)| id.clone()).collect();
        for id in &ids {
            // Without coordination the deadline decides.
            if self.live.is_drained(id).await.unwrap_or(false)
                && let Some(unit) = self.units.get_mut(id)
            {
                unit.drained();
            }
        }
        !ids.is_empty()
    }

    /// Plans and acts until nothing can be done at once; returns how long the plan holds by time alone.
    pub(super) async fn act(&mut self, saved: &mut Saved, containers: &[Container]) -> Duration {
        self.used_images = containers.iter().map(|one| one.image.clone()).collect();
        let is_safe = self.kit.is_safe.load(Ordering::Acquire);
        for _ in 0..STEPS {
            let now = chrono::Utc::now();
            let observed = self.observe(containers);
            let actions = plan(saved.assignments(), &observed, now);
            let (mut again, mut begins_to_drain) = (false, false);
            for action in actions {
                if matches!(action, Action::Start(_)) && !is_safe {
                    continue;
                }
                tracing::debug!(%action, "next step");
                begins_to_drain |= matches!(action, Action::Drain(_));
                again |= self.perform(action, saved, containers).await;
            }
            if begins_to_drain {
                // Reported first, so that routers hear of it; then they are asked at once.
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
        let mut seen: BTreeMap<InstanceId, Vec<Seen>> = self.units.keys().map(|id| (id.clone(), Vec::new())).collect();
        let mut unreadable = Vec::new();
        for container in containers.iter().filter(|one| one.labels.get(labels::KIND).is_some_and(|kind| kind == labels::INSTANCE)) {
            if self.removing.contains(&container.id) {
                continue;
            }
            let one = Seen { id: container.id.clone(), state: container.state };
            match labels::read(&container.labels) {
                Some(tag) => seen.entry(tag.assignment.instance).or_default().push(one),
                None => unreadable.push(one),
            }
        }
        let mut all: Vec<Observed> = seen
            .into_iter()
            .map(|(id, containers)| {
                let unit = self.units.get(&id);
                let (phase, busy) = unit.map_or((None, false), |unit| (unit.phase, unit.busy));
                Observed { whose: Whose::Instance(id), containers, phase, busy }
            })
            .collect();
        all.push(Observed { whose: Whose::Unreadable, containers: unreadable, phase: None, busy: false });
        all
    }

    /// The labels of a listed container.
    pub(super) fn tag(containers: &[Container], id: &ContainerId) -> Option<Tag> {
        labels::read(&containers.iter().find(|one| one.id == *id)?.labels)
    }

    /// The spec of a release: ours if we have it, as specs never change.
    pub(super) async fn spec(&self, saved: &mut Saved, assignment: &Assignment) -> Option<RunSpec> {
        if let Some(spec) = saved.spec(&assignment.app, assignment.release) {
            return Some(spec.clone());
        }
        match self.live.spec(&assignment.app, assignment.release).await {
            Ok(Some(spec)) => {
                saved.keep_spec(spec.clone());
                Some(spec)
            }
            Ok(None) => None,
            Err(error) => {
                tracing::warn!(%error, app = %assignment.app, release = %assignment.release, "a release's spec could not be read");
                None
            }
        }
    }

    /// Says of what should run here and was not found yet why it does not. What was found keeps what its health says.
    pub(super) fn lack_engine(&mut self, saved: &Saved) {
        let now = chrono::Utc::now();
        let (host, zone) = (&self.kit.config.host, &self.kit.config.zone);
        for assignment in saved.assignments().iter().filter(|a| a.intent == Intent::Run) {
            self.units
                .entry(assignment.instance.clone())
                .or_insert_with(|| Unit::new(assignment.clone(), host, zone, now))
                .lacks_engine(now);
        }
    }

    /// What is to be reported.
    pub(super) fn statuses(&self) -> BTreeMap<InstanceId, InstanceStatus> {
        self.units.iter().map(|(id, unit)| (id.clone(), unit.status.clone())).collect()
    }

    /// Tells the watcher of disks what runs.
    pub(super) fn watch_disks(&self) {
        let allowed = self.kit.config.disk;
        let instances = self.units.values().filter(|unit| unit.phase == Some(Phase::Up)).filter_map(|unit| unit.container.clone());
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
                self.kit.addresses.release(address);
            }
            self.remove(None, id);
        }
    }

    /// Removes images that nothing runs or may run again soon, in a task.
    pub(super) fn reap_images(&mut self) {
        let (kit, live, used) = (self.kit.clone(), self.live.clone(), self.used_images.clone());
        self.tasks.spawn(async move {
            let config = &kit.config;
            let wanted = match live.specs().await {
                Ok(specs) => reaper::wanted_images(&specs, &config.registry),
                Err(error) => {
                    tracing::debug!(%error, "what releases name is not known now; no image is removed");
                    return;
                }
            };
            if let Err(error) = reaper::reap_images(&*kit.runtime, &config.registry, config.keep_images, &used, &wanted).await {
                tracing::warn!(%error, "unused images could not be removed");
            }
        });
    }

    /// Ends all tasks of ours; containers are left alone.
    pub(super) fn end(mut self) {
        self.tasks.abort_all();
        self.units.values_mut().filter_map(|unit| unit.watch.take()).for_each(|watch| watch.abort());
        self.copies.values().for_each(JoinHandle::abort);
    }
}
