//! A disposition for every assigned instance, and what is missing: each app by itself, whatever the capacity of hosts is.

use std::collections::BTreeMap;

use model::{AppEnv, Assignment, Formation, InstanceId, Intent, ProcessName, Resources, Time};

use crate::rollout::{Disposition, Member, Missing, Target, rollout_step};
use crate::snapshot::{HostPresence, Snapshot};

/// Assigned instances, by app and process type.
type Members<'a> = BTreeMap<&'a AppEnv, BTreeMap<&'a ProcessName, Vec<Member<'a>>>>;

/// An assigned instance with what becomes of it.
#[derive(Debug)]
pub(crate) struct Evaluated<'a> {
    pub(crate) member: Member<'a>,
    pub(crate) disposition: Disposition,
}

impl Evaluated<'_> {
    /// Whether it holds its place: it runs, and will go on to.
    pub(crate) fn stays(&self) -> bool {
        self.disposition == Disposition::Keep && self.member.assignment.intent == Intent::Run
    }

    /// Whether it is about to give its room back.
    pub(crate) fn is_ending(&self) -> bool {
        self.disposition == Disposition::Drain || (self.disposition == Disposition::Keep && self.member.assignment.intent == Intent::Drain)
    }
}

/// An instance that is wanted and does not exist.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) formation: &'a Formation,
    pub(crate) process: &'a ProcessName,
    pub(crate) ordinal: u32,
    /// Which of the evaluated it would replace.
    pub(crate) replaces: Option<usize>,
    /// Whether that one may serve meanwhile.
    pub(crate) covered: bool,
    /// None when the release has no spec: then nothing can be placed.
    pub(crate) wants: Option<Resources>,
    /// Whether a new instance of its process type is on its way and will let an old one go.
    pub(crate) moving: bool,
}

impl<'a> Request<'a> {
    pub(crate) fn key(&self) -> (&'a AppEnv, &'a ProcessName) {
        (&self.formation.app, self.process)
    }

    pub(crate) fn assignment(&self, instance: InstanceId) -> Assignment {
        Assignment {
            instance,
            app: self.formation.app.clone(),
            process: self.process.clone(),
            ordinal: self.ordinal,
            release: self.formation.release,
            epoch: self.formation.epoch,
            intent: Intent::Run,
        }
    }
}

/// All dispositions and all requests, those first that matter most.
pub(crate) fn evaluate(snapshot: &Snapshot, now: Time) -> (Vec<Evaluated<'_>>, Vec<Request<'_>>) {
    let members = members(snapshot, now);
    let mut evaluation = Evaluation { snapshot, evaluated: Vec::new(), requests: Vec::new() };
    let none = BTreeMap::new();
    for formation in snapshot.formations.values() {
        evaluation.formation(formation, members.get(&formation.app).unwrap_or(&none));
    }
    for (_, orphans) in members.iter().filter(|(app, _)| !snapshot.formations.contains_key(*app)) {
        evaluation.orphans(orphans.values().flatten());
    }
    // One of everything before the second of anything; what runs nowhere before what only replaces.
    evaluation.requests.sort_by_key(|request| (request.covered, request.ordinal, &request.formation.app, request.process));
    (evaluation.evaluated, evaluation.requests)
}

fn members(snapshot: &Snapshot, now: Time) -> Members<'_> {
    let mut members = Members::new();
    for (host, fenced) in &snapshot.assignments {
        let presence = snapshot.presence(host, now);
        for assignment in &fenced.assignments.assignments {
            let state = snapshot.state(host, &assignment.instance);
            let of_app = members.entry(&assignment.app).or_default();
            of_app.entry(&assignment.process).or_default().push(Member { host, assignment, state, presence });
        }
    }
    members
}

/// The result in the making: one pass over all apps fills it.
struct Evaluation<'a> {
    snapshot: &'a Snapshot,
    evaluated: Vec<Evaluated<'a>>,
    requests: Vec<Request<'a>>,
}

impl<'a> Evaluation<'a> {
    fn formation(&mut self, formation: &'a Formation, members: &BTreeMap<&'a ProcessName, Vec<Member<'a>>>) {
        let spec = self.snapshot.specs.get(&(formation.app.clone(), formation.release));
        let mut up = true;
        for (process, count) in formation.counts.iter().filter(|(_, count)| **count > 0) {
            let of_process = members.get(process).map_or(&[][..], Vec::as_slice);
            match spec.map(|spec| spec.get(process)) {
                Some(Some(wants)) => up &= self.process(formation, process, *count, of_process, Some(*wants)),
                // Nothing is touched on the word of a release that cannot be read.
                None => up &= self.process(formation, process, *count, of_process, None),
                Some(None) => {}
            }
        }
        for (process, of_process) in members {
            let count = formation.counts.get(*process).copied();
            let in_spec = spec.is_none_or(|spec| spec.contains_key(*process));
            if in_spec && count.is_some_and(|count| count > 0) {
                continue;
            }
            let target = Target { release: formation.release, epoch: formation.epoch, count: 0, overlap: 0 };
            for member in of_process {
                // A process type that the release dropped runs on until the release is up: if that fails, nothing was lost.
                let ends = count == Some(0) || up || target.is_met_by(member.assignment);
                let disposition = if ends { member.end() } else { Disposition::Keep };
                self.evaluated.push(Evaluated { member: *member, disposition: member.settled().unwrap_or(disposition) });
            }
        }
    }

    /// Returns whether all that is wanted is healthy.
    fn process(
        &mut self,
        formation: &'a Formation,
        process: &'a ProcessName,
        count: u32,
        members: &[Member<'a>],
        wants: Option<Resources>,
    ) -> bool {
        let overlap = self.snapshot.policy.overlap(count);
        let rollout = rollout_step(members, &Target { release: formation.release, epoch: formation.epoch, count, overlap });
        let base = self.evaluated.len();
        self.requests.extend(rollout.missing.iter().map(|Missing { ordinal, replaces }| Request {
            formation,
            process,
            ordinal: *ordinal,
            replaces: replaces.map(|i| base + i),
            covered: replaces.is_some_and(|i| members[i].presence != HostPresence::Gone),
            wants,
            moving: rollout.moving,
        }));
        self.evaluated.extend(members.iter().zip(&rollout.dispositions).map(|(member, disposition)| {
            let disposition = if wants.is_some() { *disposition } else { member.settled().unwrap_or(Disposition::Keep) };
            Evaluated { member: *member, disposition }
        }));
        rollout.up
    }

    /// Instances of an app that is gone. What was never started needs no draining.
    fn orphans<'b>(&mut self, members: impl Iterator<Item = &'b Member<'a>>)
    where
        'a: 'b,
    {
        for member in members {
            let never_reported = member.state.is_none() && self.snapshot.hosts.contains_key(member.host);
            let disposition = if never_reported { Disposition::Remove } else { member.settled().unwrap_or_else(|| member.end()) };
            self.evaluated.push(Evaluated { member: *member, disposition });
        }
    }
}
