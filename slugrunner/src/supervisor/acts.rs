//! How each action of the plan is done: what is quick at once, the rest in a task that sends a note when it is done.

use std::time::Duration;

use model::{Code, InstanceId, InstanceState};
use tokio_util::sync::CancellationToken;

use super::notes::Note;
use super::work::Work;
use crate::container::PORT;
use crate::ending;
use crate::health::{self, Target};
use crate::logs::Source;
use crate::logs::copy::Copy;
use crate::plan::{Action, Phase};
use crate::runtime::{Container, ContainerId, RunState, Signal};
use crate::saved::Saved;
use crate::starting::NotStarted;
use crate::unit::Unit;

/// A failed task waits this long before the plan asks again.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

impl Work {
    /// Does one action; true when it is done already, so that the next can be planned at once.
    pub(super) async fn perform(&mut self, action: Action, saved: &mut Saved, containers: &[Container]) -> bool {
        let now = chrono::Utc::now();
        match action {
            Action::Adopt(id, container) => self.adopt(&id, &container, saved, containers).await,
            Action::Start(id) => self.start(&id, saved).await,
            Action::Bury(id, Some(container)) => self.bury(id, container, Note::Buried),
            Action::Bury(id, None) => {
                self.take(Note::Buried(id, None));
                true
            }
            Action::Drain(id) => {
                let Some(unit) = self.units.get_mut(&id) else { return false };
                unit.drain(now);
                true
            }
            Action::Term(id, container) => self.signal(&id, container, Signal::Term),
            Action::Kill(id, container) => self.signal(&id, container, Signal::Kill),
            Action::Finish(id, container) => {
                if !self.units.contains_key(&id) {
                    // Ordered to end before we ever heard of it: it has ended.
                    let Some(a) = saved.assignments().iter().find(|a| a.instance == id) else { return false };
                    let unit = Unit::new(a.clone(), &self.kit.config.host, &self.kit.config.zone, now);
                    self.units.insert(id.clone(), unit);
                }
                match container {
                    Some(container) => self.bury(id, container, Note::Finished),
                    None => {
                        self.take(Note::Finished(id, None));
                        true
                    }
                }
            }
            Action::Remove(id, container) => {
                if let Some(unit) = id.as_ref().and_then(|id| self.units.get_mut(id)) {
                    unit.busy = true;
                }
                self.remove(id, container);
                false
            }
            Action::Forget(id) => {
                self.units.remove(&id);
                // The place in its log is of no use any more; a file that is not there is fine.
                let _ = std::fs::remove_file(self.cursor(&id));
                false
            }
        }
    }

    fn cursor(&self, id: &InstanceId) -> std::path::PathBuf {
        self.kit.config.data_dir.join("cursors").join(id.as_str())
    }

    async fn adopt(&mut self, id: &InstanceId, container: &ContainerId, saved: &mut Saved, containers: &[Container]) -> bool {
        let Some(tag) = Self::tag(containers, container) else { return false };
        let now = chrono::Utc::now();
        let assignment = saved.assignments().iter().find(|a| a.instance == *id).unwrap_or(&tag.assignment).clone();
        let spec = self.spec(saved, &assignment).await;
        let process = spec.and_then(|spec| spec.processes.get(&assignment.process).cloned());
        let config = &self.kit.config;
        let unit = self.units.entry(id.clone()).or_insert_with(|| Unit::new(assignment, &config.host, &config.zone, now));
        unit.process = process;
        unit.started(container.clone(), tag.address, tag.restarts, now);
        let never_started = containers.iter().any(|one| one.id == *container && one.state == RunState::Created);
        if never_started {
            // A start that our last life did not finish.
            unit.phase = Some(Phase::Idle);
            unit.container = None;
            return true;
        }
        tracing::info!(instance = %id, %container, "adopted a container");
        self.attend(id);
        true
    }

    async fn start(&mut self, id: &InstanceId, saved: &mut Saved) -> bool {
        let now = chrono::Utc::now();
        let Some(assignment) = saved.assignments().iter().find(|a| a.instance == *id).cloned() else { return false };
        let spec = self.spec(saved, &assignment).await;
        let process = spec.as_ref().and_then(|spec| spec.processes.get(&assignment.process).cloned());
        let config = &self.kit.config;
        let unit = self.units.entry(id.clone()).or_insert_with(|| Unit::new(assignment.clone(), &config.host, &config.zone, now));
        unit.phase.get_or_insert(Phase::Idle);
        unit.process = process.clone();
        unit.busy = true;
        unit.pulling(now);
        unit.cancel = CancellationToken::new();
        let (cancel, restarts) = (unit.cancel.clone(), unit.starts);
        let (kit, notes, id) = (self.kit.clone(), self.notes.clone(), id.clone());
        let lacks = |what: String| NotStarted::new(InstanceState::ImageMissing, Code::ImageMissing, what);
        self.tasks.spawn(async move {
            let result = match (&spec, &process) {
                (Some(spec), Some(process)) => kit.start(&assignment, spec, process, restarts, &cancel).await,
                (None, _) => Err(lacks(format!("what {} runs is not known to its host yet", assignment.release))),
                (Some(_), None) => Err(lacks(format!("{} has no process type `{}`", assignment.release, assignment.process))),
            };
            // The loop has gone: so has the need to tell it.
            let _ = notes.send(Note::Started(id, result)).await;
        });
        false
    }

    /// Copies the output of an instance's container and watches its health.
    pub(super) fn attend(&mut self, id: &InstanceId) {
        let cursor = self.cursor(id);
        let Some(unit) = self.units.get_mut(id) else { return };
        let (Some(container), Some(address)) = (unit.container.clone(), unit.address) else { return };
        let source = Source::Process { process: unit.assignment.process.clone(), ordinal: unit.assignment.ordinal };
        let log = self.logs.app(&unit.assignment.app);
        let copy = Copy { runtime: self.kit.runtime.clone(), container: container.clone(), log, source, cursor };
        self.copies.entry(container.clone()).or_insert_with(|| tokio::spawn(copy.run()));

        let check = unit.process.as_ref().and_then(|process| process.health.clone());
        let (runtime, notes, id) = (self.kit.runtime.clone(), self.notes.clone(), id.clone());
        let watch = self.tasks.spawn(async move {
            let started = tokio::time::Instant::now();
            // Only for saying what listens: without it the words are poorer, the verdict is the same.
            let pid = runtime.inspect(&container).await.ok().and_then(|found| found.pid);
            let target = Target { runtime, container: container.clone(), address: (address, PORT).into(), pid, started };
            let say = |verdict| {
                let (notes, note) = (notes.clone(), Note::Judged(id.clone(), container.clone(), verdict));
                async move { drop(notes.send(note).await) }
            };
            health::watch(target, check, say).await;
        });
        if let Some(before) = unit.watch.replace(watch) {
            before.abort();
        }
    }

    fn bury(&mut self, id: InstanceId, container: ContainerId, note: fn(InstanceId, Option<model::Exit>) -> Note) -> bool {
        let Some(unit) = self.units.get_mut(&id) else { return false };
        unit.busy = true;
        if let Some(watch) = unit.watch.take() {
            watch.abort();
        }
        let copy = self.copies.remove(&container);
        let (runtime, notes) = (self.kit.runtime.clone(), self.notes.clone());
        self.tasks.spawn(async move {
            let news = match ending::bury(runtime, container, copy).await {
                Ok(exit) => note(id, exit),
                Err(error) => {
                    tracing::warn!(%error, instance = %id, "an ended container could not be removed");
                    tokio::time::sleep(AFTER_FAILURE).await;
                    Note::Failed(Some(id), None)
                }
            };
            let _ = notes.send(news).await;
        });
        false
    }

    fn signal(&mut self, id: &InstanceId, container: ContainerId, signal: Signal) -> bool {
        let now = chrono::Utc::now();
        let Some(unit) = self.units.get_mut(id) else { return false };
        unit.busy = true;
        if let Some(watch) = unit.watch.take() {
            watch.abort();
        }
        match signal {
            Signal::Term => unit.terminated(now),
            Signal::Kill => unit.killed(now),
        }
        let (runtime, notes, id) = (self.kit.runtime.clone(), self.notes.clone(), id.clone());
        self.tasks.spawn(async move {
            if let Err(error) = runtime.signal(&container, signal).await {
                tracing::warn!(%error, instance = %id, ?signal, "a signal could not be sent");
            }
            let _ = notes.send(Note::Signalled(id)).await;
        });
        false
    }

    /// Kills a container for its health or for what it wrote; its end is seen like any other.
    pub(super) fn condemn(&mut self, container: ContainerId) {
        let runtime = self.kit.runtime.clone();
        self.tasks.spawn(async move {
            while let Err(error) = runtime.signal(&container, Signal::Kill).await {
                tracing::warn!(%error, %container, "a container that has to end could not be killed yet");
                tokio::time::sleep(AFTER_FAILURE).await;
            }
        });
    }

    /// Removes a container that nothing needs.
    pub(super) fn remove(&mut self, id: Option<InstanceId>, container: ContainerId) {
        if !self.removing.insert(container.clone()) {
            return;
        }
        // A copy that still runs ends by itself when its container is gone.
        self.copies.remove(&container);
        let (runtime, notes) = (self.kit.runtime.clone(), self.notes.clone());
        self.tasks.spawn(async move {
            let news = match runtime.remove(&container).await {
                Ok(()) => Note::Removed(id, container),
                Err(error) => {
                    tracing::warn!(%error, %container, "a container that nothing needs could not be removed");
                    tokio::time::sleep(AFTER_FAILURE).await;
                    Note::Failed(id, Some(container))
                }
            };
            let _ = notes.send(news).await;
        });
    }
}
