//! Whether an instance can take requests: the gate before traffic and the watch after it. Probes come from outside.
//!
//! The gate is pure: it is told the age of the container and how a probe went, and says what that means.

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
/// How often a starting instance says why it is not healthy yet.
const SAY_EVERY: Duration = Duration::from_secs(2);

/// Why an instance is not healthy, in words for its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// The stable code.
    pub code: Code,
    /// The words.
    pub reason: String,
}

/// News about an instance's health.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It takes requests.
    Healthy,
    /// It is still starting, and this is what it waits for.
    NotYet(Cause),
    /// It was healthy and is not any more.
    Unhealthy(Cause),
    /// It will not become healthy by waiting: end it.
    GiveUp(Cause),
}

/// What a probe's result means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Nothing new.
    Same,
    /// It became healthy.
    Healthy,
    /// It became unhealthy.
    Unhealthy,
    /// It had its time.
    GiveUp,
}

/// The gate of one container.
#[derive(Debug, Clone)]
pub struct Gate {
    check: HealthCheck,
    healthy: bool,
    ever: bool,
    in_row: u32,
    bad_since: Duration,
}

impl Gate {
    /// A closed gate.
    pub fn new(check: HealthCheck) -> Self {
        Self { check, healthy: false, ever: false, in_row: 0, bad_since: Duration::ZERO }
    }

    /// Takes the result of a probe at an age of the container.
    pub fn step(&mut self, age: Duration, passed: bool) -> Turn {
        if passed {
            self.in_row = 0;
            self.ever = true;
            return if std::mem::replace(&mut self.healthy, true) { Turn::Same } else { Turn::Healthy };
        }
        self.in_row = self.in_row.saturating_add(1);
        if self.healthy && self.in_row >= self.check.failures {
            self.healthy = false;
            self.bad_since = age;
            return Turn::Unhealthy;
        }
        // A hung instance gets as long to come back as it had to start.
        let patience = Duration::from_secs(self.check.start_s.max(1).into());
        if !self.healthy && age.saturating_sub(self.bad_since) >= patience { Turn::GiveUp } else { Turn::Same }
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

/// Probes until told to stop or until giving up; `push_output` gets every change.
pub async fn watch<S, F>(target: Target, check: Option<HealthCheck>, say: S)
where
    S: Fn(Verdict) -> F + Send,
    F: Future<Output = ()> + Send,
{
    let Some(check) = check else {
        tokio::time::sleep_until(target.started + SETTLED).await;
        say(Verdict::Healthy).await;
        return;
    };
    let limit = Duration::from_secs(check.timeout_s.max(1).into());
    let mut gate = Gate::new(check.clone());
    let mut said: Option<(Instant, Cause)> = None;
    loop {
        let result = probe::run(&target, &check.probe, limit).await;
        let age = target.started.elapsed();
        if result == Err(Fault::NotRun) {
            // The engine's fault, not the instance's: it says nothing about its health.
            tokio::time::sleep(gate.pause(age).max(Duration::from_secs(1))).await;
            continue;
        }
        match (gate.step(age, result.is_ok()), result) {
            (Turn::Healthy, _) => say(Verdict::Healthy).await,
            (Turn::Unhealthy, Err(fault)) => say(Verdict::Unhealthy(explain(&fault, &target, age))).await,
            (Turn::GiveUp, Err(fault)) => {
                say(Verdict::GiveUp(explain(&fault, &target, age))).await;
                return;
            }
            (Turn::Same, Err(fault)) if !gate.ever => {
                let due = said.as_ref().map_or(target.started, |(at, _)| *at).elapsed() >= SAY_EVERY;
                if due {
                    let cause = explain(&fault, &target, age);
                    let news = said.as_ref().is_none_or(|(_, before)| *before != cause);
                    said = Some((Instant::now(), cause.clone()));
                    if news {
                        say(Verdict::NotYet(cause)).await;
                    }
                }
            }
            _ => {}
        }
        tokio::time::sleep(gate.pause(age)).await;
    }
}

/// The truth about a fault, with what can be seen from the host.
fn explain(fault: &Fault, target: &Target, age: Duration) -> Cause {
    let bound = target.pid.and_then(listening::of_process);
    fault.explain(target.address.port(), bound.as_deref(), age)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gate_opens_once_closes_after_failures_and_gives_up_in_time() {
        let mut gate = Gate::new(HealthCheck { start_s: 60, failures: 3, interval_s: 10, timeout_s: 5, probe: Probe::Tcp });
        let s = Duration::from_secs;
        assert_eq!([0, 2, 5].map(|age| gate.pause(s(age)).as_millis()), [20, 100, 250]);
        assert_eq!([gate.step(s(1), false), gate.step(s(59), false)], [Turn::Same; 2]);
        assert_eq!(gate.clone().step(s(60), false), Turn::GiveUp);
        assert_eq!([gate.step(s(60), true), gate.step(s(61), true)], [Turn::Healthy, Turn::Same]);
        assert_eq!(gate.pause(s(61)), s(10));
        assert_eq!([gate.step(s(71), false), gate.step(s(72), false)], [Turn::Same; 2]);
        assert_eq!(gate.pause(s(72)), s(1));
        assert_eq!(gate.step(s(73), false), Turn::Unhealthy);
        assert_eq!([gate.step(s(74), false), gate.step(s(132), false)], [Turn::Same; 2]);
        assert_eq!(gate.clone().step(s(133), false), Turn::GiveUp);
        assert_eq!(gate.step(s(133), true), Turn::Healthy);
    }
}
