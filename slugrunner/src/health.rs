//! Whether an instance can take requests: checked before it gets any and for as long as it runs. Probes come from the host.
//!
//! `HealthTracker` is pure: the age of the container and the result of a probe go in, the transition comes out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use model::health::Probe;
use model::{Code, HealthCheck};
use tokio::time::Instant;

use crate::runtime::{ContainerId, Runtime};

pub mod listening;
mod probe;

pub use probe::Fault;

/// A process without a check is healthy when it still runs after this.
const SETTLED: Duration = Duration::from_secs(1);
/// How often the reason why a starting instance is not healthy yet is reported.
const REPORT_EVERY: Duration = Duration::from_secs(2);

/// Why an instance is not healthy, as its owner reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// The stable code, `SW-…`.
    pub code: Code,
    /// The reason as a fragment: "it listens on 5000, not on $PORT".
    pub reason: String,
}

/// A change of an instance's health.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealthReport {
    /// It takes requests.
    Healthy,
    /// It is still starting, and this is what it waits for.
    NotYet(Cause),
    /// It was healthy and is not any more.
    Unhealthy(Cause),
    /// It will not become healthy by waiting: end it.
    GiveUp(Cause),
}

/// What a probe's result changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transition {
    /// Nothing new.
    Same,
    /// It became healthy.
    Healthy,
    /// It became unhealthy.
    Unhealthy,
    /// Its start time is over.
    GiveUp,
}

/// The health of one container, from the results of its probes.
#[derive(Debug, Clone)]
pub struct HealthTracker {
    check: HealthCheck,
    healthy: bool,
    ever: bool,
    in_row: u32,
    bad_since: Duration,
}

impl HealthTracker {
    /// Not healthy yet, nothing probed.
    pub fn new(check: HealthCheck) -> Self {
        Self { check, healthy: false, ever: false, in_row: 0, bad_since: Duration::ZERO }
    }

    /// Takes the result of a probe at an age of the container.
    pub fn step(&mut self, age: Duration, passed: bool) -> Transition {
        if passed {
            self.in_row = 0;
            self.ever = true;
            return if std::mem::replace(&mut self.healthy, true) { Transition::Same } else { Transition::Healthy };
        }
        self.in_row = self.in_row.saturating_add(1);
        if self.healthy && self.in_row >= self.check.failures {
            self.healthy = false;
            self.bad_since = age;
            return Transition::Unhealthy;
        }
        // A hung instance gets as long to come back as it had to start.
        let patience = Duration::from_secs(self.check.start_s.max(1).into());
        if !self.healthy && age.saturating_sub(self.bad_since) >= patience { Transition::GiveUp } else { Transition::Same }
    }

    /// How long to wait before the next probe.
    pub fn pause(&self, age: Duration) -> Duration {
        let slow = matches!(self.check.probe, Probe::Exec { .. });
        let interval = Duration::from_secs(self.check.interval_s.max(1).into());
        let wait = match (self.healthy, self.ever) {
            (true, _) if self.in_row == 0 => interval,
            // A failure is looked at again soon, in whatever interval its owner chose.
            (true, _) | (false, true) => interval.min(Duration::from_secs(1)),
            // Somebody waits for the first answer, and asking costs next to nothing.
            (false, false) if age < Duration::from_secs(2) => Duration::from_millis(20),
            (false, false) if age < Duration::from_secs(5) => Duration::from_millis(100),
            (false, false) => Duration::from_millis(250),
        };
        if slow { wait.max(Duration::from_millis(500)) } else { wait }
    }
}

/// What is probed.
#[derive(Clone)]
pub struct Target {
    /// The engine, for probes by command.
    pub runtime: Arc<dyn Runtime>,
    /// The container.
    pub container: ContainerId,
    /// Its address and port.
    pub address: SocketAddr,
    /// Its first process on the host.
    pub pid: Option<u32>,
    /// When it was started.
    pub started: Instant,
}

/// Probes until the task is aborted or the start time is over; `report` gets every change.
pub async fn watch<S, F>(target: Target, check: Option<HealthCheck>, report: S)
where
    S: Fn(HealthReport) -> F + Send,
    F: Future<Output = ()> + Send,
{
    let Some(check) = check else {
        tokio::time::sleep_until(target.started + SETTLED).await;
        report(HealthReport::Healthy).await;
        return;
    };
    let limit = Duration::from_secs(check.timeout_s.max(1).into());
    let mut tracker = HealthTracker::new(check.clone());
    let mut reported: Option<(Instant, Cause)> = None;
    loop {
        let result = probe::run(&target, &check.probe, limit).await;
        let age = target.started.elapsed();
        if result == Err(Fault::NotRun) {
            // A fault of the engine, which says nothing about the instance.
            tokio::time::sleep(tracker.pause(age).max(Duration::from_secs(1))).await;
            continue;
        }
        match (tracker.step(age, result.is_ok()), result) {
            (Transition::Healthy, _) => report(HealthReport::Healthy).await,
            (Transition::Unhealthy, Err(fault)) => report(HealthReport::Unhealthy(explain(&fault, &target, age))).await,
            (Transition::GiveUp, Err(fault)) => {
                report(HealthReport::GiveUp(explain(&fault, &target, age))).await;
                return;
            }
            (Transition::Same, Err(fault)) if !tracker.ever => {
                let due = reported.as_ref().map_or(target.started, |(at, _)| *at).elapsed() >= REPORT_EVERY;
                if due {
                    let cause = explain(&fault, &target, age);
                    let is_new = reported.as_ref().is_none_or(|(_, before)| *before != cause);
                    reported = Some((Instant::now(), cause.clone()));
                    if is_new {
                        report(HealthReport::NotYet(cause)).await;
                    }
                }
            }
            _ => {}
        }
        tokio::time::sleep(tracker.pause(age)).await;
    }
}

/// A fault as a cause, with the ports that the host sees the instance listen on.
fn explain(fault: &Fault, target: &Target, age: Duration) -> Cause {
    let bound = target.pid.and_then(listening::of_process);
    fault.explain(target.address.port(), bound.as_deref(), age)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gate_opens_once_closes_after_failures_and_gives_up_in_time() {
        let mut tracker = HealthTracker::new(HealthCheck { start_s: 60, failures: 3, interval_s: 10, timeout_s: 5, probe: Probe::Tcp });
        let s = Duration::from_secs;
        assert_eq!([0, 2, 5].map(|age| tracker.pause(s(age)).as_millis()), [20, 100, 250]);
        assert_eq!([tracker.step(s(1), false), tracker.step(s(59), false)], [Transition::Same; 2]);
        assert_eq!(tracker.clone().step(s(60), false), Transition::GiveUp);
        assert_eq!([tracker.step(s(60), true), tracker.step(s(61), true)], [Transition::Healthy, Transition::Same]);
        assert_eq!(tracker.pause(s(61)), s(10));
        assert_eq!([tracker.step(s(71), false), tracker.step(s(72), false)], [Transition::Same; 2]);
        assert_eq!(tracker.pause(s(72)), s(1));
        assert_eq!(tracker.step(s(73), false), Transition::Unhealthy);
        assert_eq!([tracker.step(s(74), false), tracker.step(s(132), false)], [Transition::Same; 2]);
        assert_eq!(tracker.clone().step(s(133), false), Transition::GiveUp);
        assert_eq!(tracker.step(s(133), true), Transition::Healthy);
    }
}
