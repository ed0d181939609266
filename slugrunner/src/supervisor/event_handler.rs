//! What each task event changes of an instance, and what its app's log says of it.

use model::{Code, InstanceId, InstanceState};

use super::events::TaskEvent;
use super::state::State;
use crate::health::{Cause, HealthReport};
use crate::launcher::{LaunchFailure, Launched};
use crate::runtime::ContainerId;

impl State {
    /// Takes one event.
    pub(super) fn take(&mut self, event: TaskEvent) {
        let now = chrono::Utc::now();
        match event {
            TaskEvent::Started(id, result) => self.take_start(&id, result),
            TaskEvent::HealthChanged(id, container, report) => self.take_health_report(&id, &container, report),
            TaskEvent::DiskExceeded(container, reason) => self.take_disk_exceeded(container, reason),
            TaskEvent::Crashed(id, exit) => {
                let Some(instance) = self.settle(&id) else { return };
                let report = instance.crashed(exit, now);
                let (app, release) = (instance.assignment.app.clone(), instance.assignment.release);
                tracing::warn!(app = %app.app_ref(), env = %app.env, %release, instance = %id, text = report.text, "an instance crashed");
                self.logs.append_platform(&app, report.text);
            }
            TaskEvent::Finished(id, exit) => {
                let Some(instance) = self.settle(&id) else { return };
                instance.finished(exit, now);
                let text = match &instance.status.reason {
                    Some(reason) => format!("{} stopped: {reason}", instance.assignment.label()),
                    None => format!("{} stopped", instance.assignment.label()),
                };
                let app = instance.assignment.app.clone();
                self.logs.append_platform(&app, text);
            }
            TaskEvent::Signalled(id) => {
                if let Some(instance) = self.instances.get_mut(&id) {
                    instance.busy = false;
                }
            }
            TaskEvent::Removed(id, container) => {
                self.removing.remove(&container);
                if let Some(instance) = id.and_then(|id| self.instances.get_mut(&id)) {
                    instance.busy = false;
                }
            }
            TaskEvent::Failed(id, container) => {
                if let Some(container) = container {
                    self.removing.remove(&container);
                }
                if let Some(instance) = id.and_then(|id| self.instances.get_mut(&id)) {
                    instance.busy = false;
                }
            }
        }
    }

    /// Stops the health watch of a container that is gone, and releases its address.
    fn settle(&mut self, id: &InstanceId) -> Option<&mut crate::instance::Instance> {
        let instance = self.instances.get_mut(id)?;
        instance.busy = false;
        if let Some(watch) = instance.watch.take() {
            watch.abort();
        }
        if let Some(address) = instance.address.take() {
            self.context.addresses.release(address);
        }
        Some(instance)
    }

    fn take_start(&mut self, id: &InstanceId, result: Result<Launched, LaunchFailure>) {
        let now = chrono::Utc::now();
        let Some(instance) = self.instances.get_mut(id) else { return };
        instance.busy = false;
        match result {
            Ok(started) => {
                let restarts = instance.starts;
                instance.started(started.container, started.address, restarts, now);
                let text =
                    format!("{} started with {} on {}", instance.assignment.label(), instance.assignment.release, instance.status.host);
                let app = instance.assignment.app.clone();
                self.logs.append_platform(&app, text);
                self.watch_container(id, false);
            }
            Err(failed) => {
                let LaunchFailure { state, cause } = failed;
                let (app, label) = (instance.assignment.app.clone(), instance.assignment.label());
                if !instance.cancel.is_cancelled() {
                    let is_news = instance.status.reason.as_ref() != Some(&cause.reason);
                    if is_news {
                        self.logs.append_platform(&app, format!("{label} could not be started: {}", cause.reason));
                    }
                }
                instance.not_started(state, cause, now);
            }
        }
    }

    /// Ends a container that wrote too much: an instance crashes with that cause, a one-off prints it at its end.
    fn take_disk_exceeded(&mut self, container: ContainerId, reason: String) {
        let Some(instance) = self.instances.values_mut().find(|instance| instance.container.as_ref() == Some(&container)) else {
            if self.oneoffs.end_early(&container, reason) {
                self.kill(container);
            }
            return;
        };
        if instance.judged(HealthReport::GiveUp(Cause { code: Code::InstanceDisk, reason: reason.clone() }), chrono::Utc::now()) {
            let (app, label) = (instance.assignment.app.clone(), instance.assignment.label());
            self.logs.append_platform(&app, format!("{label} is ended: {reason}"));
            self.kill(container);
        }
    }

    fn take_health_report(&mut self, id: &InstanceId, container: &ContainerId, report: HealthReport) {
        let Some(instance) = self.instances.get_mut(id).filter(|instance| instance.container.as_ref() == Some(container)) else { return };
        let before = instance.status.state;
        let kill = instance.judged(report, chrono::Utc::now());
        let after = instance.status.state;
        let (app, label, reason) = (instance.assignment.app.clone(), instance.assignment.label(), instance.status.reason.clone());
        let reason = reason.unwrap_or_default();
        match after {
            InstanceState::Healthy if before != after => self.logs.append_platform(&app, format!("{label} is healthy")),
            InstanceState::Unhealthy if kill => self.logs.append_platform(&app, format!("{label} is ended for its health: {reason}")),
            InstanceState::Unhealthy if before != after => self.logs.append_platform(&app, format!("{label} is unhealthy: {reason}")),
            _ => {}
        }
        if kill {
            self.kill(container.clone());
        }
    }
}
