//! A cluster in memory: hosts, supervisors, reports that come late. Owns the truth and what the planner may see of it.

pub mod invariants;

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use model::{
    AppEnv, Assignment, Capacity, Formation, Host, HostAssignments, HostName, HostState, InstanceId, InstanceState, InstanceStatus, Intent,
    ProcessName, ReleaseNumber, Resources, Time, ZoneName,
};
use scheduler::{Plan, Snapshot};
use store::live::Fenced;

/// A small seeded source of random (splitmix64).
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub fn percent(&mut self, share: u64) -> bool {
        self.below(100) < share
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }
}

pub fn app(name: &str) -> AppEnv {
    format!("acme/{name}/dev").parse().expect("an app")
}

pub fn process(name: &str) -> ProcessName {
    ProcessName::new(name).expect("a process name")
}

pub fn host_name(name: &str) -> HostName {
    HostName::new(name).expect("a host name")
}

pub fn id(number: u64) -> InstanceId {
    let mut bytes = [0; 10];
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = (number / 30u64.pow(i as u32) % 30) as u8;
    }
    bytes.reverse();
    InstanceId::mint(bytes)
}

pub fn start_of_time() -> Time {
    Time::from_timestamp(1_700_000_000, 0).expect("a time")
}

pub fn host(name: &str, zone: &str, slots: u32, memory_mb: u32, cpu_millis: u32) -> Host {
    Host {
        name: host_name(name),
        zone: ZoneName::new(zone).expect("a zone name"),
        labels: BTreeMap::new(),
        capacity: Capacity { slots, memory_mb, cpu_millis },
        state: HostState::Ok,
        since: start_of_time(),
    }
}

pub fn status(host: &Host, assignment: &Assignment, state: InstanceState, since: Time) -> InstanceStatus {
    InstanceStatus {
        id: assignment.instance.clone(),
        app: assignment.app.clone(),
        process: assignment.process.clone(),
        ordinal: assignment.ordinal,
        release: assignment.release,
        epoch: assignment.epoch,
        host: host.name.clone(),
        zone: host.zone.clone(),
        state,
        address: None,
        since,
        restarts: 0,
        last_exit: None,
        reason: None,
        code: None,
    }
}

const STATES: [InstanceState; 10] = [
    InstanceState::Pulling,
    InstanceState::Starting,
    InstanceState::Healthy,
    InstanceState::Healthy,
    InstanceState::Healthy,
    InstanceState::Unhealthy,
    InstanceState::Crashed,
    InstanceState::ImageMissing,
    InstanceState::Draining,
    InstanceState::Stopped,
];

/// One machine with its supervisor.
#[derive(Debug, Clone)]
pub struct Machine {
    pub host: Host,
    pub up: bool,
    /// What runs on it, also while it is away.
    pub containers: BTreeMap<InstanceId, (Assignment, InstanceState)>,
    /// What was reported last.
    pub reports: BTreeMap<InstanceId, InstanceStatus>,
}

/// The whole.
#[derive(Debug, Clone)]
pub struct World {
    pub now: Time,
    pub random: Random,
    pub seen: Snapshot,
    pub machines: BTreeMap<HostName, Machine>,
    pub docs: BTreeMap<HostName, Fenced>,
    pub formations: BTreeMap<AppEnv, Formation>,
    pub specs: BTreeMap<(AppEnv, ReleaseNumber), BTreeMap<ProcessName, Resources>>,
    /// Releases that crash.
    pub bad: BTreeSet<(AppEnv, ReleaseNumber)>,
    pub absent_since: BTreeMap<HostName, Time>,
    pub ids: u64,
    pub version: u64,
}

impl World {
    pub fn new(seed: u64) -> Self {
        Self {
            now: start_of_time(),
            random: Random(seed),
            seen: Snapshot::default(),
            machines: BTreeMap::new(),
            docs: BTreeMap::new(),
            formations: BTreeMap::new(),
            specs: BTreeMap::new(),
            bad: BTreeSet::new(),
            absent_since: BTreeMap::new(),
            ids: 0,
            version: 0,
        }
    }

    pub fn add(&mut self, host: Host) {
        let machine = Machine { host: host.clone(), up: true, containers: BTreeMap::new(), reports: BTreeMap::new() };
        self.machines.insert(host.name, machine);
    }

    pub fn release(&mut self, app: &AppEnv, release: u32, processes: &[(&str, u32)]) {
        let of = |memory_mb: &u32| Resources { memory_mb: *memory_mb, cpu_millis: 500, pids: 64 };
        let spec = processes.iter().map(|(name, memory_mb)| (process(name), of(memory_mb))).collect();
        self.specs.insert((app.clone(), ReleaseNumber(release)), spec);
    }

    pub fn want(&mut self, app: &AppEnv, release: u32, epoch: u32, counts: &[(&str, u32)]) {
        let generation = self.formations.get(app).map_or(1, |formation| formation.generation + 1);
        let counts = counts.iter().map(|(name, count)| (process(name), *count)).collect();
        let formation = Formation { app: app.clone(), generation, release: ReleaseNumber(release), epoch, counts };
        self.formations.insert(app.clone(), formation);
    }

    pub fn machine(&mut self, name: &str) -> &mut Machine {
        self.machines.get_mut(&host_name(name)).expect("a machine of this name")
    }

    /// A snapshot of now, with the assignments read before all else.
    pub fn snapshot(&mut self) -> Snapshot {
        let up = || self.machines.values().filter(|machine| machine.up);
        let hosts: BTreeMap<_, _> = up().map(|machine| (machine.host.name.clone(), machine.host.clone())).collect();
        let before = std::mem::take(&mut self.absent_since);
        let missed = self.docs.keys().filter(|host| !hosts.contains_key(*host));
        self.absent_since = missed.map(|host| (host.clone(), before.get(host).copied().unwrap_or(self.now))).collect();
        let used: BTreeSet<_> = self
            .assigned()
            .map(|(_, assignment)| (assignment.app.clone(), assignment.release))
            .chain(self.formations.values().map(|formation| (formation.app.clone(), formation.release)))
            .collect();
        Snapshot {
            policy: self.seen.policy,
            formations: self.formations.clone(),
            specs: self.specs.iter().filter(|(key, _)| used.contains(*key)).map(|(key, spec)| (key.clone(), spec.clone())).collect(),
            instances: up().flat_map(|machine| machine.reports.clone()).collect(),
            hosts,
            known: self.machines.values().map(|machine| (machine.host.name.clone(), machine.host.clone())).collect(),
            absent_since: self.absent_since.clone(),
            assignments: self.docs.clone(),
        }
    }

    pub fn assigned(&self) -> impl Iterator<Item = (&HostName, &Assignment)> {
        self.docs.iter().flat_map(|(host, fenced)| fenced.assignments.assignments.iter().map(move |assignment| (host, assignment)))
    }

    /// Plans on a snapshot; every id is new.
    pub fn plan(&mut self, snapshot: &Snapshot) -> Plan {
        let (now, mut ids) = (self.now, self.ids);
        let plan = scheduler::reconcile(snapshot, now, &mut || {
            ids += 1;
            id(ids)
        });
        self.ids = ids;
        plan
    }

    /// Commits as coordination does: all or nothing, fenced by version.
    pub fn commit(&mut self, plan: &Plan) -> bool {
        let holds =
            plan.changes().iter().all(|change| self.docs.get(&change.assignments.host).and_then(|doc| doc.version) == change.version);
        if holds {
            self.version += 1;
            for change in plan.changes() {
                let doc = Fenced { assignments: change.assignments.clone(), version: Some(self.version) };
                self.docs.insert(change.assignments.host.clone(), doc);
            }
        }
        holds
    }

    /// One look of the scheduler with fresh eyes.
    pub fn activate(&mut self) -> Plan {
        let snapshot = self.snapshot();
        let plan = self.plan(&snapshot);
        assert!(self.commit(&plan), "nobody else writes");
        plan
    }

    /// One second of every supervisor: `slow` is the share of steps that do not happen yet, `faults` of those that go wrong.
    pub fn step(&mut self, slow: u64, faults: u64) {
        self.now += TimeDelta::seconds(1);
        let Self { machines, docs, random, bad, now, .. } = self;
        for machine in machines.values_mut().filter(|machine| machine.up) {
            let told: BTreeMap<_, _> = docs
                .get(&machine.host.name)
                .map_or(&[][..], |doc| &doc.assignments.assignments)
                .iter()
                .map(|assignment| (assignment.instance.clone(), assignment.clone()))
                .collect();
            machine.containers.retain(|instance, _| told.contains_key(instance));
            for (instance, assignment) in told {
                if random.percent(slow) {
                    continue;
                }
                let crashes = bad.contains(&(assignment.app.clone(), assignment.release)) || random.percent(faults);
                let before = machine.containers.get(&instance).map(|(_, state)| *state);
                machine.containers.insert(instance, (assignment.clone(), next(before, assignment.intent, crashes, random)));
            }
            for (instance, (assignment, state)) in &machine.containers {
                let same = machine.reports.get(instance).is_some_and(|report| report.state == *state);
                if !same && !random.percent(slow) {
                    machine.reports.insert(instance.clone(), status(&machine.host, assignment, *state, *now));
                }
            }
            let Machine { reports, containers, .. } = machine;
            reports.retain(|instance, _| containers.contains_key(instance));
        }
    }

    /// Assignments, reports and hosts without any history.
    pub fn scramble(&mut self) {
        let apps = [app("blog"), app("shop"), app("lost")];
        for app in &apps[..2] {
            for release in 1..4 {
                let memory = *self.random.pick(&[128, 256, 700]);
                let both = self.random.percent(70);
                self.release(app, release, if both { &[("web", 256), ("worker", 128)][..] } else { &[("web", 512)][..] });
                if self.random.percent(20) {
                    self.release(app, release, &[("web", memory)]);
                }
            }
            let (release, epoch) = (1 + self.random.below(3) as u32, self.random.below(2) as u32);
            let (web, worker) = (self.random.below(4) as u32, self.random.below(3) as u32);
            self.want(app, release, epoch, &[("web", web), ("worker", worker)]);
        }
        let names: Vec<_> = self.machines.keys().cloned().chain([host_name("forgotten")]).collect();
        for number in 0..self.random.below(25) {
            let type_name = *self.random.pick(&["web", "web", "worker", "clock"]);
            let assignment = Assignment {
                instance: id(1_000_000 + number),
                app: self.random.pick(&apps).clone(),
                process: process(type_name),
                ordinal: 1 + self.random.below(4) as u32,
                release: ReleaseNumber(1 + self.random.below(3) as u32),
                epoch: self.random.below(2) as u32,
                intent: if self.random.percent(25) { Intent::Drain } else { Intent::Run },
            };
            let name = self.random.pick(&names).clone();
            let state = *self.random.pick(&STATES);
            if let Some(machine) = self.machines.get_mut(&name)
                && self.random.percent(85)
            {
                machine.reports.insert(assignment.instance.clone(), status(&machine.host, &assignment, state, self.now));
            }
            let assignments = HostAssignments { host: name.clone(), generation: 1, assignments: Vec::new() };
            let doc = self.docs.entry(name).or_insert(Fenced { assignments, version: Some(1) });
            doc.assignments.assignments.push(assignment);
        }
        for machine in self.machines.values_mut() {
            machine.up = !self.random.percent(20);
            machine.host.state = *self.random.pick(&[HostState::Ok, HostState::Ok, HostState::Full, HostState::Maintenance]);
        }
        for host in names {
            if self.random.percent(50) {
                self.absent_since.insert(host, self.now - TimeDelta::seconds(self.random.below(6) as i64));
            }
        }
    }

    /// Without faults until nothing changes any more.
    pub fn settle(&mut self) {
        for _ in 0..400 {
            self.step(0, 0);
            let plan = self.activate();
            let calm = self.machines.values().filter(|machine| machine.up).all(|machine| {
                machine.containers.iter().all(|(instance, (_, state))| machine.reports.get(instance).is_some_and(|r| r.state == *state))
            });
            let moving =
                self.machines.values().filter(|machine| machine.up).flat_map(|machine| machine.containers.values()).any(|(_, state)| {
                    matches!(state, InstanceState::Pulling | InstanceState::Starting | InstanceState::Draining | InstanceState::Stopping)
                });
            if plan.is_empty() && plan.look_again.is_none() && calm && !moving {
                return;
            }
        }
        panic!("the cluster still moves after 400 s: {:#?}", self.table());
    }

    /// What is assigned and how it is, for messages and expectations: `web.1 v2 healthy on a`.
    pub fn table(&self) -> Vec<String> {
        let mut lines: Vec<String> = self
            .assigned()
            .map(|(host, assignment)| {
                let report = self.machines.get(host).and_then(|machine| machine.reports.get(&assignment.instance));
                let state = report.map_or("silent", |report| report.state.as_str());
                let drains = if assignment.intent == Intent::Drain { " drain" } else { "" };
                format!("{} {} {} {state} on {host}{drains}", assignment.app.app, assignment.label(), assignment.release)
            })
            .collect();
        lines.sort();
        lines
    }
}

fn next(before: Option<InstanceState>, intent: Intent, crashes: bool, random: &mut Random) -> InstanceState {
    use InstanceState::{Crashed, Draining, Flapping, Healthy, Pulling, Starting, Stopped, Stopping, Unhealthy};
    match (before, intent) {
        (None | Some(Stopped), Intent::Drain) => Stopped,
        (Some(Draining), Intent::Drain) => Stopping,
        (Some(Stopping), Intent::Drain) => Stopped,
        (Some(_), Intent::Drain) => Draining,
        (None, Intent::Run) => Pulling,
        (Some(Pulling), Intent::Run) => Starting,
        (Some(_), Intent::Run) if crashes => *random.pick(&[Crashed, Flapping, Unhealthy, Crashed]),
        (Some(Crashed | Flapping), Intent::Run) => Starting,
        (Some(_), Intent::Run) => Healthy,
    }
}

/// A snapshot as it is after the plan was committed and before anything else happened.
pub fn applied(snapshot: &Snapshot, plan: &Plan) -> Snapshot {
    let mut after = snapshot.clone();
    for change in plan.changes() {
        let doc = Fenced { assignments: change.assignments.clone(), version: Some(change.version.unwrap_or(0) + 1) };
        after.assignments.insert(change.assignments.host.clone(), doc);
    }
    after
}
