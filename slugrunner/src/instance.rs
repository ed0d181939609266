//! What the supervisor remembers of one instance, and how events change it. No IO; time comes in.

use std::net::{Ipv4Addr, SocketAddr};

use chrono::TimeDelta;
use model::{Assignment, Code, Exit, HostName, InstanceState, InstanceStatus, ProcessSpec, Resources, Time, ZoneName};
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use crate::container::PORT;
use crate::crash_backoff::CrashBackoff;
use crate::health::{Cause, HealthReport};
use crate::plan::Phase;
use crate::runtime::ContainerId;

/// Times of a process whose spec can not be found any more.
const GRACE_S: u32 = 10;
/// KILL again after this, should the engine have lost the first one.
const KILL_AGAIN: TimeDelta = TimeDelta::seconds(10);

/// One instance.
pub(crate) struct Instance {
    pub(crate) assignment: Assignment,
    /// None until its container was adopted or it was started.
    pub(crate) phase: Option<Phase>,
    pub(crate) busy: bool,
    pub(crate) status: InstanceStatus,
    pub(crate) container: Option<ContainerId>,
    pub(crate) address: Option<Ipv4Addr>,
    /// The spec of its process type, once it is known.
    pub(crate) process: Option<ProcessSpec>,
    /// Ends the start that is under way.
    pub(crate) cancel: CancellationToken,
    /// The watch over its health.
    pub(crate) watch: Option<AbortHandle>,
    crashes: CrashBackoff,
    failures: CrashBackoff,
    ever_healthy: bool,
    /// Why its health made us end it.
    kill_reason: Option<Cause>,
    /// Containers that were started for it.
    pub(crate) starts: u32,
}

/// How an ended container is told to its owner.
pub(crate) struct CrashReport {
    pub(crate) text: String,
}

impl Instance {
    pub(crate) fn new(assignment: Assignment, host: &HostName, zone: &ZoneName, now: Time) -> Self {
        let a = assignment.clone();
        Self {
            status: InstanceStatus {
                id: a.instance,
                app: a.app,
                process: a.process,
                ordinal: a.ordinal,
                release: a.release,
                epoch: a.epoch,
                host: host.clone(),
                zone: zone.clone(),
                state: InstanceState::Pulling,
                address: None,
                since: now,
                restarts: 0,
                last_exit: None,
                reason: None,
                code: None,
            },
            assignment,
            phase: None,
            busy: false,
            container: None,
            address: None,
            process: None,
            cancel: CancellationToken::new(),
            watch: None,
            crashes: CrashBackoff::default(),
            failures: CrashBackoff::default(),
            ever_healthy: false,
            kill_reason: None,
            starts: 0,
        }
    }

    fn enter(&mut self, state: InstanceState, now: Time, cause: Option<Cause>) {
        if self.status.state != state {
            self.status.state = state;
            self.status.since = now;
        }
        let (reason, code) = cause.map(|cause| (cause.reason, cause.code)).unzip();
        self.status.reason = reason;
        self.status.code = code;
    }

    /// Its image is being fetched.
    pub(crate) fn pulling(&mut self, now: Time) {
        let cause = self.last_cause();
        self.enter(InstanceState::Pulling, now, cause);
    }

    /// What was wrong last stays visible until it is healthy again; but an engine that goes on with it answers.
    fn last_cause(&self) -> Option<Cause> {
        let code = self.status.code.filter(|code| *code != Code::EngineDown)?;
        Some(Cause { reason: self.status.reason.clone()?, code })
    }

    /// Its engine is away, so that nobody can say whether its container runs.
    pub(crate) fn engine_is_away(&mut self, now: Time) {
        if self.phase.is_none() && !self.busy {
            let reason = "the container engine of its host does not answer".to_owned();
            self.enter(InstanceState::Crashed, now, Some(Cause { code: Code::EngineDown, reason }));
        }
    }

    /// Its container runs.
    pub(crate) fn started(&mut self, container: ContainerId, address: Ipv4Addr, restarts: u32, now: Time) {
        self.phase = Some(Phase::Up);
        self.container = Some(container);
        self.address = Some(address);
        self.failures = CrashBackoff::default();
        self.ever_healthy = false;
        self.kill_reason = None;
        self.starts = restarts + 1;
        self.status.restarts = restarts;
        self.status.address = Some(SocketAddr::from((address, PORT)));
        let cause = self.last_cause();
        self.enter(InstanceState::Starting, now, cause);
    }

    /// It could not be started.
    pub(crate) fn not_started(&mut self, state: InstanceState, cause: Cause, now: Time) {
        let pause = self.failures.crashed(now);
        self.phase = Some(Phase::Waiting { until: pause.until });
        self.container = None;
        self.status.address = None;
        self.enter(state, now, Some(cause));
    }

    /// Takes a verdict of its health watch; true when it is to be killed for it.
    pub(crate) fn judged(&mut self, verdict: HealthReport, now: Time) -> bool {
        if self.phase != Some(Phase::Up) {
            return false;
        }
        match verdict {
            HealthReport::Healthy => {
                self.ever_healthy = true;
                self.crashes.healthy(now);
                self.enter(InstanceState::Healthy, now, None);
                false
            }
            HealthReport::NotYet(cause) => {
                self.enter(InstanceState::Starting, now, Some(cause));
                false
            }
            HealthReport::Unhealthy(cause) => {
                self.crashes.unhealthy();
                self.enter(InstanceState::Unhealthy, now, Some(cause));
                false
            }
            HealthReport::GiveUp(cause) => {
                self.kill_reason = Some(cause.clone());
                self.enter(InstanceState::Unhealthy, now, Some(cause));
                true
            }
        }
    }

    /// Its container ended by itself, or vanished.
    pub(crate) fn crashed(&mut self, exit: Option<Exit>, now: Time) -> CrashReport {
        let cause = self.cause_of(exit.as_ref());
        let ended = exit.as_ref().map_or_else(|| "its container vanished".to_owned(), describe);
        self.status.last_exit = exit.or_else(|| self.status.last_exit.take());
        self.container = None;
        self.status.address = None;
        self.kill_reason = None;
        let pause = self.crashes.crashed(now);
        self.phase = Some(Phase::Waiting { until: pause.until });
        let wait = (pause.until - now).num_seconds();
        let why = cause.as_ref().map(|cause| format!(": {}", cause.reason)).unwrap_or_default();
        let text = format!("{} crashed, {ended}{why}; it is started again in {wait} s", self.assignment.label());
        if pause.flapping {
            let cause = cause.unwrap_or(Cause { code: Code::Flapping, reason: ended });
            let reason = format!("{}; it keeps crashing and is started again after {wait} s", cause.reason);
            self.enter(InstanceState::Flapping, now, Some(Cause { reason, ..cause }));
        } else {
            let cause = cause.or(Some(Cause { code: Code::Unhealthy, reason: ended }));
            self.enter(InstanceState::Crashed, now, cause);
        }
        CrashReport { text }
    }

    fn cause_of(&self, exit: Option<&Exit>) -> Option<Cause> {
        let exit = exit?;
        if exit.oom {
            let memory = self.process.as_ref().map_or(Resources::INSTANCE, |process| process.resources).memory_mb;
            let reason = format!("it needed more than its {memory} MiB of memory and was ended by the kernel");
            return Some(Cause { code: Code::OutOfMemory, reason });
        }
        if let Some(cause) = &self.kill_reason {
            return Some(cause.clone());
        }
        (!self.ever_healthy).then(|| Cause { code: Code::CrashedAtStart, reason: format!("it ended while starting, {}", describe(exit)) })
    }

    /// The routers are to let go of it.
    pub(crate) fn drain(&mut self, now: Time) {
        let drain_s = self.process.as_ref().map_or(0, |process| process.drain_s);
        // Requests go to web processes only; nobody would say of another one that it is drained.
        let wait = if self.assignment.process.is_web() { drain_s } else { 0 };
        self.phase = Some(Phase::Draining { deadline: now + TimeDelta::seconds(wait.into()), drained: wait == 0 });
        self.enter(InstanceState::Draining, now, None);
    }

    /// All routers let go.
    pub(crate) fn drained(&mut self) {
        if let Some(Phase::Draining { drained, .. }) = &mut self.phase {
            *drained = true;
        }
    }

    /// It got TERM.
    pub(crate) fn terminated(&mut self, now: Time) {
        let grace = self.process.as_ref().map_or(GRACE_S, |process| process.stop_grace_s);
        self.phase = Some(Phase::Ending { kill_at: now + TimeDelta::seconds(grace.into()) });
        self.enter(InstanceState::Stopping, now, None);
    }

    /// It got KILL.
    pub(crate) fn killed(&mut self, now: Time) {
        self.phase = Some(Phase::Ending { kill_at: now + KILL_AGAIN });
        let grace = self.process.as_ref().map_or(GRACE_S, |process| process.stop_grace_s);
        let reason = format!("it ignored TERM for {grace} s and was killed");
        self.enter(InstanceState::Stopping, now, Some(Cause { code: Code::Unhealthy, reason }));
        self.status.code = None;
    }

    /// It has ended because it was told to.
    pub(crate) fn finished(&mut self, exit: Option<Exit>, now: Time) {
        self.phase = Some(Phase::Ended);
        self.container = None;
        self.status.address = None;
        self.status.last_exit = exit.or_else(|| self.status.last_exit.take());
        let reason = self.status.reason.take();
        self.enter(InstanceState::Stopped, now, None);
        self.status.reason = reason;
    }
}

fn describe(exit: &Exit) -> String {
    match exit.code {
        _ if exit.oom => "out of memory".into(),
        code @ 129..=159 => format!("ended by signal {} (exit code {code})", code - 128),
        code => format!("exit code {code}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{InstanceId, Intent, ReleaseNumber};

    fn instance() -> Instance {
        let assignment = Assignment {
            instance: InstanceId::mint([1; 10]),
            app: "acme/shop/dev".parse().expect("an app"),
            process: "web".parse().expect("a process"),
            ordinal: 1,
            release: ReleaseNumber(1),
            epoch: 0,
            intent: Intent::Run,
        };
        Instance::new(assignment, &"h".parse().expect("a host"), &"z".parse().expect("a zone"), Time::UNIX_EPOCH)
    }

    fn exit(code: i64, oom: bool) -> Option<Exit> {
        Some(Exit { code, oom, at: Time::UNIX_EPOCH, last_lines: Vec::new() })
    }

    #[test]
    fn an_engine_that_is_away_is_said_of_what_was_not_found_and_of_nothing_else() {
        let now = Time::UNIX_EPOCH;
        let mut unknown = instance();
        unknown.engine_is_away(now);
        assert_eq!((unknown.status.state, unknown.status.code), (InstanceState::Crashed, Some(Code::EngineDown)));
        assert_eq!(unknown.phase, None, "it is adopted or started as if nothing had been");
        unknown.pulling(now);
        assert_eq!((unknown.status.code, unknown.status.reason), (None, None), "an engine that goes on with it answers");
        let mut up = instance();
        up.started(ContainerId("c".into()), Ipv4Addr::LOCALHOST, 0, now);
        up.judged(HealthReport::Healthy, now);
        up.engine_is_away(now);
        assert_eq!(up.status.state, InstanceState::Healthy, "its health says more");
    }

    #[test]
    fn a_crash_keeps_the_truest_cause() {
        let now = Time::UNIX_EPOCH;
        let fresh = || {
            let mut instance = instance();
            instance.started(ContainerId("c".into()), Ipv4Addr::LOCALHOST, 0, now);
            instance
        };
        let mut at_start = fresh();
        at_start.crashed(exit(1, false), now);
        assert_eq!(at_start.status.code, Some(Code::CrashedAtStart));
        let mut oom = fresh();
        oom.crashed(exit(137, true), now);
        assert_eq!(oom.status.code, Some(Code::OutOfMemory));
        let mut wrong_port = fresh();
        assert!(wrong_port.judged(HealthReport::GiveUp(Cause { code: Code::WrongPort, reason: "it listens on 5000".into() }), now));
        wrong_port.crashed(exit(137, false), now);
        assert_eq!((wrong_port.status.code, wrong_port.status.state), (Some(Code::WrongPort), InstanceState::Crashed));
        assert!(wrong_port.status.reason.expect("a reason").contains("5000"));
        let mut later = fresh();
        later.judged(HealthReport::Healthy, now);
        let report = later.crashed(exit(143, false), now);
        assert!(report.text.contains("ended by signal 15"), "{}", report.text);
    }
}
