//! Executes the actions of a plan: quick ones at once, the others in a task that sends an event when it is done.

use std::sync::Arc;
use std::time::Duration;

use model::health::Probe;
use model::{Code, InstanceId, InstanceState};
use tokio_util::sync::CancellationToken;

use super::events::TaskEvent;
use super::state::State;
use crate::checkpoint::Checkpoint;
use crate::cleanup;
use crate::container::PORT;
use crate::health::serving::HealthyInstances;
use crate::health::{self, Target};
use crate::instance::Instance;
use crate::launcher::LaunchFailure;
use crate::logs::LogSource;
use crate::logs::copier::LogCopier;
use crate::plan::{Action, Phase};
use crate::runtime::{Container, ContainerId, RunState, Signal};

/// A failed task waits this long before the plan asks again.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

impl State {
    /// Executes one action; true when it is done already, so that the next can be planned at once.
    pub(super) async fn perform(&mut self, action: Action, checkpoint: &mut Checkpoint, containers: &[Container]) -> bool {
        let now = chrono::Utc::now();
        match action {
            Action::Adopt(id, container) => self.adopt(&id, &container, checkpoint, containers).await,
            Action::Start(id) => self.start(&id, checkpoint).await,
            Action::RecordCrash(id, Some(container)) => self.remove_ended(id, container, TaskEvent::Crashed),
            Action::RecordCrash(id, None) => {
                self.take(TaskEvent::Crashed(id, None));
                true
            }
            Action::Drain(id) => {
                let Some(instance) = self.instances.get_mut(&id) else { return false };
                instance.drain(now);
                true
            }
            Action::Term(id, container) => self.signal(&id, container, Signal::Term),
            Action::Kill(id, container) => self.signal(&id, container, Signal::Kill),
            Action::Finish(id, container) => {
                if !self.instances.contains_key(&id) {
                    // It was told to end before this process knew of it, and has no container: it has ended.
                    let Some(a) = checkpoint.assignments().iter().find(|a| a.instance == id) else { return false };
                    let instance = Instance::new(a.clone(), &self.context.config.host, &self.context.config.zone, now);
                    self.instances.insert(id.clone(), instance);
                }
                match container {
                    Some(container) => self.remove_ended(id, container, TaskEvent::Finished),
                    None => {
                        self.take(TaskEvent::Finished(id, None));
                        true
                    }
                }
            }
            Action::Remove(id, container) => {
                if let Some(instance) = id.as_ref().and_then(|id| self.instances.get_mut(id)) {
                    instance.busy = true;
                }
                self.remove(id, container);
                false
            }
            Action::Forget(id) => {
                self.instances.remove(&id);
                // The place in its log is of no use any more; a file that is not there is fine.
                let _ = std::fs::remove_file(self.cursor(&id));
                false
            }
        }
    }

    fn cursor(&self, id: &InstanceId) -> std::path::PathBuf {
        self.context.config.data_dir.join("cursors").join(id.as_str())
    }

    async fn adopt(&mut self, id: &InstanceId, container: &ContainerId, checkpoint: &mut Checkpoint, containers: &[Container]) -> bool {
        let Some(tag) = Self::tag(containers, container) else { return false };
        let now = chrono::Utc::now();
        let assignment = checkpoint.assignments().iter().find(|a| a.instance == *id).unwrap_or(&tag.assignment).clone();
        let spec = self.spec(checkpoint, &assignment).await;
        let process = spec.and_then(|spec| spec.processes.get(&assignment.process).cloned());
        let config = &self.context.config;
        let instance = self.instances.entry(id.clone()).or_insert_with(|| Instance::new(assignment, &config.host, &config.zone, now));
        instance.process = process;
        instance.started(container.clone(), tag.address, tag.restarts, now);
        let never_started = containers.iter().any(|one| one.id == *container && one.state == RunState::Created);
        if never_started {
            // A start that the last process did not finish.
            instance.phase = Some(Phase::Idle);
            instance.container = None;
            return true;
        }
        tracing::info!(instance = %id, %container, "adopted a container");
        self.watch_container(id, true);
        true
    }

    async fn start(&mut self, id: &InstanceId, checkpoint: &mut Checkpoint) -> bool {
        let now = chrono::Utc::now();
        let Some(assignment) = checkpoint.assignments().iter().find(|a| a.instance == *id).cloned() else { return false };
        let spec = self.spec(checkpoint, &assignment).await;
        let process = spec.as_ref().and_then(|spec| spec.processes.get(&assignment.process).cloned());
        let config = &self.context.config;
        let instance =
            self.instances.entry(id.clone()).or_insert_with(|| Instance::new(assignment.clone(), &config.host, &config.zone, now));
        instance.phase.get_or_insert(Phase::Idle);
        instance.process = process.clone();
        instance.busy = true;
        instance.pulling(now);
        instance.cancel = CancellationToken::new();
        let (cancel, restarts) = (instance.cancel.clone(), instance.starts);
        let (context, events, id) = (self.context.clone(), self.events.clone(), id.clone());
        let lacks = |what: String| LaunchFailure::new(InstanceState::ImageMissing, Code::ImageMissing, what);
        self.tasks.spawn(async move {
            let result = match (&spec, &process) {
                (Some(spec), Some(process)) => context.start(&assignment, spec, process, restarts, &cancel).await,
                (None, _) => Err(lacks(format!("what {} runs is not known to its host yet", assignment.release))),
                (Some(_), None) => Err(lacks(format!("{} has no process type `{}`", assignment.release, assignment.process))),
            };
            // A closed channel means that the loop has ended.
            let _ = events.send(TaskEvent::Started(id, result)).await;
        });
        false
    }

    /// Copies the output of an instance's container and watches its health.
    pub(super) fn watch_container(&mut self, id: &InstanceId, is_adopted: bool) {
        let cursor = self.cursor(id);
        let Some(instance) = self.instances.get_mut(id) else { return };
        let (Some(container), Some(address)) = (instance.container.clone(), instance.address) else { return };
        let source = LogSource::Process { process: instance.assignment.process.clone(), ordinal: instance.assignment.ordinal };
        let log = self.logs.app(&instance.assignment.app);
        let copy = LogCopier { runtime: self.context.runtime.clone(), container: container.clone(), log, source, cursor };
        self.copies.entry(container.clone()).or_insert_with(|| tokio::spawn(copy.run()));

        let mut check = instance.process.as_ref().and_then(|process| process.health.clone());
        // One that ran before this process did may be busy: its port says enough.
        if let Some(check) = check.as_mut().filter(|check| is_adopted && matches!(check.probe, Probe::Web { .. })) {
            check.probe = Probe::Tcp;
        }
        let (app, process) = (instance.assignment.app.clone(), instance.assignment.process.clone());
        let serving = Arc::new(HealthyInstances { live: self.live.clone(), app, process, except: id.clone() });
        let (runtime, events, id) = (self.context.runtime.clone(), self.events.clone(), id.clone());
        let watch = self.tasks.spawn(async move {
            let started = tokio::time::Instant::now();
            // Only to name the ports it listens on: without the pid the reason is less exact, the result is the same.
            let pid = runtime.inspect(&container).await.ok().and_then(|found| found.pid);
            let target = Target { runtime, container: container.clone(), address: (address, PORT).into(), serving, pid, started };
            let report = |report| {
                let (events, event) = (events.clone(), TaskEvent::HealthChanged(id.clone(), container.clone(), report));
                async move { drop(events.send(event).await) }
            };
            health::watch(target, check, report).await;
        });
        if let Some(before) = instance.watch.replace(watch) {
            before.abort();
        }
    }

    fn remove_ended(&mut self, id: InstanceId, container: ContainerId, event: fn(InstanceId, Option<model::Exit>) -> TaskEvent) -> bool {
        let Some(instance) = self.instances.get_mut(&id) else { return false };
        instance.busy = true;
        if let Some(watch) = instance.watch.take() {
            watch.abort();
        }
        let copy = self.copies.remove(&container);
        let (runtime, events) = (self.context.runtime.clone(), self.events.clone());
        self.tasks.spawn(async move {
            let event = match cleanup::remove_ended(runtime, container, copy).await {
                Ok(exit) => event(id, exit),
                Err(error) => {
                    tracing::warn!(%error, instance = %id, "an ended container could not be removed");
                    tokio::time::sleep(AFTER_FAILURE).await;
                    TaskEvent::Failed(Some(id), None)
                }
            };
            let _ = events.send(event).await;
        });
        false
    }

    fn signal(&mut self, id: &InstanceId, container: ContainerId, signal: Signal) -> bool {
        let now = chrono::Utc::now();
        let Some(instance) = self.instances.get_mut(id) else { return false };
        instance.busy = true;
        if let Some(watch) = instance.watch.take() {
            watch.abort();
        }
        match signal {
            Signal::Term => instance.terminated(now),
            Signal::Kill => instance.killed(now),
        }
        let (runtime, events, id) = (self.context.runtime.clone(), self.events.clone(), id.clone());
        self.tasks.spawn(async move {
            if let Err(error) = runtime.signal(&container, signal).await {
                tracing::warn!(%error, instance = %id, ?signal, "a signal could not be sent");
            }
            let _ = events.send(TaskEvent::Signalled(id)).await;
        });
        false
    }

    /// Kills a container for its health or for what it wrote; its end is seen like any other.
    pub(super) fn kill(&mut self, container: ContainerId) {
        let runtime = self.context.runtime.clone();
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
        let (runtime, events) = (self.context.runtime.clone(), self.events.clone());
        self.tasks.spawn(async move {
            let event = match runtime.remove(&container).await {
                Ok(()) => TaskEvent::Removed(id, container),
                Err(error) => {
                    tracing::warn!(%error, %container, "a container that nothing needs could not be removed");
                    tokio::time::sleep(AFTER_FAILURE).await;
                    TaskEvent::Failed(id, Some(container))
                }
            };
            let _ = events.send(event).await;
        });
    }
}
