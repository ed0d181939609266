//! What tasks tell the loop, and what each note changes in the memory of an instance.

use model::{Code, Exit, InstanceId, InstanceState};

use super::work::Work;
use crate::health::{Cause, Verdict};
use crate::runtime::ContainerId;
use crate::starting::{NotStarted, Started};

/// One piece of news from a task.
pub(super) enum Note {
    /// A start ended.
    Started(InstanceId, Result<Started, NotStarted>),
    /// A health watch saw a change.
    Judged(InstanceId, ContainerId, Verdict),
    /// A container wrote more to its own disk than it may.
    Overwrote(ContainerId, String),
    /// A container that ended by itself is removed.
    Buried(InstanceId, Option<Exit>),
    /// A container that was told to end is removed.
    Finished(InstanceId, Option<Exit>),
    /// A signal was sent.
    Signalled(InstanceId),
    /// A superfluous container is removed.
    Removed(Option<InstanceId>, ContainerId),
    /// A task could not do what it was asked; the plan asks again.
    Failed(Option<InstanceId>, Option<ContainerId>),
}

impl Work {
    /// Takes one note.
    pub(super) fn take(&mut self, note: Note) {
        let now = chrono::Utc::now();
        match note {
            Note::Started(id, result) => self.take_start(&id, result),
            Note::Judged(id, container, verdict) => self.take_verdict(&id, &container, verdict),
            Note::Overwrote(container, reason) => self.take_overwrote(container, reason),
            Note::Buried(id, exit) => {
                let Some(unit) = self.settle(&id) else { return };
                let obituary = unit.crashed(exit, now);
                let (app, release) = (unit.assignment.app.clone(), unit.assignment.release);
                tracing::warn!(app = %app.app_ref(), env = %app.env, %release, instance = %id, text = obituary.text, "an instance crashed");
                self.logs.say(&app, obituary.text);
            }
            Note::Finished(id, exit) => {
                let Some(unit) = self.settle(&id) else { return };
                unit.finished(exit, now);
                let text = match &unit.status.reason {
                    Some(reason) => format!("{} stopped: {reason}", unit.assignment.label()),
                    None => format!("{} stopped", unit.assignment.label()),
                };
                let app = unit.assignment.app.clone();
                self.logs.say(&app, text);
            }
            Note::Signalled(id) => {
                if let Some(unit) = self.units.get_mut(&id) {
                    unit.busy = false;
                }
            }
            Note::Removed(id, container) => {
                self.removing.remove(&container);
                if let Some(unit) = id.and_then(|id| self.units.get_mut(&id)) {
                    unit.busy = false;
                }
            }
            Note::Failed(id, container) => {
                if let Some(container) = container {
                    self.removing.remove(&container);
                }
                if let Some(unit) = id.and_then(|id| self.units.get_mut(&id)) {
                    unit.busy = false;
                }
            }
        }
    }

    /// Ends what belonged to a container that is gone, and gives its address back.
    fn settle(&mut self, id: &InstanceId) -> Option<&mut crate::unit::Unit> {
        let unit = self.units.get_mut(id)?;
        unit.busy = false;
        if let Some(watch) = unit.watch.take() {
            watch.abort();
        }
        if let Some(address) = unit.address.take() {
            self.kit.addresses.release(address);
        }
        Some(unit)
    }

    fn take_start(&mut self, id: &InstanceId, result: Result<Started, NotStarted>) {
        let now = chrono::Utc::now();
        let Some(unit) = self.units.get_mut(id) else { return };
        unit.busy = false;
        match result {
            Ok(started) => {
                let restarts = unit.starts;
                unit.started(started.container, started.address, restarts, now);
                let text = format!("{} started with {} on {}", unit.assignment.label(), unit.assignment.release, unit.status.host);
                let app = unit.assignment.app.clone();
                self.logs.say(&app, text);
                self.attend(id);
            }
            Err(failed) => {
                let NotStarted { state, cause } = failed;
                let (app, label) = (unit.assignment.app.clone(), unit.assignment.label());
                if !unit.cancel.is_cancelled() {
                    let is_news = unit.status.reason.as_ref() != Some(&cause.reason);
                    if is_news {
                        self.logs.say(&app, format!("{label} could not be started: {}", cause.reason));
                    }
                }
                unit.not_started(state, cause, now);
            }
        }
    }

    /// Ends what wrote too much: an instance crashes with that cause, a one-off is told it at its end.
    fn take_overwrote(&mut self, container: ContainerId, reason: String) {
        let Some(unit) = self.units.values_mut().find(|unit| unit.container.as_ref() == Some(&container)) else {
            if self.oneoffs.give_up(&container, reason) {
                self.condemn(container);
            }
            return;
        };
        if unit.judged(Verdict::GiveUp(Cause { code: Code::InstanceDisk, reason: reason.clone() }), chrono::Utc::now()) {
            let (app, label) = (unit.assignment.app.clone(), unit.assignment.label());
            self.logs.say(&app, format!("{label} is ended: {reason}"));
            self.condemn(container);
        }
    }

    fn take_verdict(&mut self, id: &InstanceId, container: &ContainerId, verdict: Verdict) {
        let Some(unit) = self.units.get_mut(id).filter(|unit| unit.container.as_ref() == Some(container)) else { return };
        let before = unit.status.state;
        let kill = unit.judged(verdict, chrono::Utc::now());
        let after = unit.status.state;
        let (app, label, reason) = (unit.assignment.app.clone(), unit.assignment.label(), unit.status.reason.clone());
        let reason = reason.unwrap_or_default();
        match after {
            InstanceState::Healthy if before != after => self.logs.say(&app, format!("{label} is healthy")),
            InstanceState::Unhealthy if kill => self.logs.say(&app, format!("{label} is ended for its health: {reason}")),
            InstanceState::Unhealthy if before != after => self.logs.say(&app, format!("{label} is unhealthy: {reason}")),
            _ => {}
        }
        if kill {
            self.condemn(container.clone());
        }
    }
}
