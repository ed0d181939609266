//! The planner: one snapshot in, one plan out. First what ends, then, in the capacity that this leaves, what begins.

use std::collections::{BTreeMap, BTreeSet};

use model::{AppEnv, HostName, InstanceId, InstanceState, ProcessName, Resources, Time, ZoneName};

use crate::blocked::{Blocked, Cause, Refused};
use crate::evaluate::{Evaluated, Request, evaluate};
use crate::feasible::{HostCapacity, Refusal};
use crate::plan::{Change, Plan};
use crate::rollout::Disposition;
use crate::score::Score;
use crate::snapshot::{HostPresence, Snapshot};

/// Plans. `ids` brings a new id for every placement.
pub fn reconcile(snapshot: &Snapshot, now: Time, ids: &mut dyn FnMut() -> InstanceId) -> Plan {
    let (mut evaluated, requests) = evaluate(snapshot, now);
    let mut cluster = ClusterCapacity::new(snapshot, &evaluated);
    let mut plan = Plan { look_again: look_again(snapshot, now), ..Plan::default() };

    let mut refused = Vec::new();
    let mut arriving = BTreeSet::new();
    for request in requests {
        match request.wants.and_then(|wants| cluster.place(&request.formation.app, request.process, &wants)) {
            Some(host) => {
                plan.place.push(Change { host: host.clone(), assignment: request.assignment(ids()) });
                if request.covered {
                    arriving.insert(request.key());
                }
            }
            None => refused.push(request),
        }
    }
    for request in &refused {
        cluster.clear(snapshot, request, &mut evaluated);
    }
    let ending = evaluated.iter().any(|evaluated| evaluated.is_ending() && snapshot.hosts.contains_key(evaluated.member.host));
    for request in &refused {
        let moving = ending || request.moving || arriving.contains(&request.key());
        plan.blocked.push(cluster.blocked(snapshot, request, &evaluated, moving));
    }
    plan.blocked.sort_by(|a, b| (&a.app, &a.process, a.ordinal).cmp(&(&b.app, &b.process, b.ordinal)));

    for Evaluated { member, disposition } in &evaluated {
        let change = || Change { host: member.host.clone(), assignment: member.assignment.clone() };
        match disposition {
            Disposition::Keep => plan.keep.push(member.assignment.instance.clone()),
            Disposition::Drain => plan.drain.push(change()),
            Disposition::Remove => plan.remove.push(change()),
        }
    }
    plan.write(&snapshot.assignments);
    plan
}

/// When the first of the missed hosts will count as gone.
fn look_again(snapshot: &Snapshot, now: Time) -> Option<Time> {
    let missed = snapshot.assignments.keys().filter(|host| !snapshot.hosts.contains_key(*host));
    missed.filter_map(|host| snapshot.settles_at(host)).filter(|at| *at > now).min()
}

/// The hosts that are there and what is free on them.
struct ClusterCapacity<'a> {
    hosts: BTreeMap<&'a HostName, HostCapacity<'a>>,
    /// Instances of each process type that stay, by zone.
    zones: BTreeMap<(&'a AppEnv, &'a ProcessName), BTreeMap<&'a ZoneName, u32>>,
}

impl<'a> ClusterCapacity<'a> {
    fn new(snapshot: &'a Snapshot, evaluated: &[Evaluated<'a>]) -> Self {
        let hosts = snapshot.hosts.iter().map(|(name, host)| (name, HostCapacity::new(host, &snapshot.policy))).collect();
        let mut cluster = Self { hosts, zones: BTreeMap::new() };
        for evaluated in evaluated.iter().filter(|evaluated| evaluated.disposition != Disposition::Remove) {
            let assignment = evaluated.member.assignment;
            let resources = snapshot.resources(&assignment.app, assignment.release, &assignment.process);
            // The replaced ones of a rollout are about to go; where they are says nothing of where the new ones should be.
            let target = snapshot.formations.get(&assignment.app).map(|formation| formation.release);
            let stays = evaluated.stays() && target == Some(assignment.release);
            cluster.take(evaluated.member.host, &assignment.app, &assignment.process, &resources, stays);
        }
        cluster
    }

    fn take(&mut self, host: &HostName, app: &'a AppEnv, process: &'a ProcessName, resources: &Resources, stays: bool) {
        let Some(capacity) = self.hosts.get_mut(host) else { return };
        capacity.take(app, process, resources, stays);
        if stays {
            *self.zones.entry((app, process)).or_default().entry(&capacity.host.zone).or_default() += 1;
        }
    }

    /// Reserves capacity on the best host, if any has it.
    fn place(&mut self, app: &'a AppEnv, process: &'a ProcessName, wants: &Resources) -> Option<&'a HostName> {
        let zones = self.zones.entry((app, process)).or_default();
        let able = self.hosts.values().filter(|capacity| capacity.check(wants).is_ok());
        let best = able.map(|capacity| Score::of(capacity, zones, app, process, wants)).min()?;
        let host = best.host();
        self.take(host, app, process, wants, true);
        Some(host)
    }

    /// When nothing else makes room, the instance that would be replaced does, provided that it is known not to serve.
    fn clear(&self, snapshot: &Snapshot, request: &Request<'_>, evaluated: &mut [Evaluated<'_>]) {
        let Some((wants, old)) = request.wants.zip(request.replaces.map(|i| &mut evaluated[i])) else { return };
        let failing = old.member.state.is_some_and(|state| state != InstanceState::Healthy);
        let assignment = old.member.assignment;
        let frees = snapshot.resources(&assignment.app, assignment.release, &assignment.process);
        let helps = self.hosts.get(old.member.host).is_some_and(|capacity| capacity.check_without(&wants, &frees).is_ok());
        if failing && helps {
            old.disposition = old.member.end();
        }
    }

    fn blocked(&self, snapshot: &Snapshot, request: &Request<'_>, evaluated: &[Evaluated<'_>], moving: bool) -> Blocked {
        let old = request.replaces.map(|i| &evaluated[i]);
        let serves = old.filter(|old| old.stays() && old.member.presence != HostPresence::Gone && old.member.may_serve());
        Blocked {
            app: request.formation.app.clone(),
            process: request.process.clone(),
            ordinal: request.ordinal,
            release: request.formation.release,
            wants: request.wants.unwrap_or(Resources::INSTANCE),
            cause: request.wants.map_or(Cause::NoSpec, |wants| Cause::Hosts(self.refusals(snapshot, &wants))),
            serving: serves.map(|old| old.member.assignment.release),
            moving: moving && request.wants.is_some(),
        }
    }

    /// Every host that was ever seen, with the filter that refuses it now.
    fn refusals(&self, snapshot: &Snapshot, wants: &Resources) -> Vec<Refused> {
        let there = self.hosts.values().filter_map(|capacity| {
            let refusal = capacity.check(wants).err()?;
            Some(Refused { host: capacity.host.name.clone(), refusal })
        });
        let away = snapshot.known.keys().filter(|host| !self.hosts.contains_key(host));
        there.chain(away.map(|host| Refused { host: host.clone(), refusal: Refusal::Away })).collect()
    }
}
