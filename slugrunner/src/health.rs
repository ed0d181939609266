//! Whether an instance can take requests: checked before it gets any and for as long as it runs. Probes come from the host.
//!
//! What the result of a probe means is decided by `HealthTracker`; what a failed one means in words by `Fault`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use model::health::Probe;
use model::{Code, HealthCheck};
use tokio::time::Instant;

use crate::runtime::{ContainerId, Runtime};

pub mod listening;
mod probe;
pub(crate) mod serving;
mod tracker;

pub use probe::Fault;
pub use serving::Serving;
pub use tracker::{HealthTracker, Transition};

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

/// What is probed.
#[derive(Clone)]
pub struct Target {
    /// The engine, for probes by command.
    pub runtime: Arc<dyn Runtime>,
    /// The container.
    pub container: ContainerId,
    /// Its address and port.
    pub address: SocketAddr,
    /// Those that serve meanwhile, to compare with.
    pub serving: Arc<dyn Serving>,
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
        let result = match &check.probe {
            // A page may take as long as the start; a later one may be slow for reasons of its own.
            Probe::Web { host } if !tracker.was_healthy() => {
                let left = tracker.start_left(target.started.elapsed()).max(limit.min(Duration::from_secs(1)));
                let mut probing = std::pin::pin!(probe::web(&target, host.as_ref(), left));
                match tokio::time::timeout(REPORT_EVERY, &mut probing).await {
                    Ok(result) => result,
                    Err(_) => {
                        let age = target.started.elapsed();
                        report(HealthReport::NotYet(explain(&Fault::NoAnswer(age), &target, age))).await;
                        probing.await
                    }
                }
            }
            Probe::Web { .. } => probe::run(&target, &Probe::Tcp, limit).await,
            probe => probe::run(&target, probe, limit).await,
        };
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
            (Transition::Same, Err(fault)) if !tracker.was_healthy() => {
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
