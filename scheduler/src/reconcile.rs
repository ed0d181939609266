//! The planner: one snapshot in, one plan out. First what ends, then, in the room that leaves, what begins.

use std::collections::{BTreeMap, BTreeSet};

use model::{AppEnv, HostName, InstanceId, InstanceState, ProcessName, Resources, Time, ZoneName};

use crate::blocked::{Blocked, Cause, Refused};
use crate::feasible::{Refusal, Room};
use crate::judge::{Judged, Request, judge};
use crate::plan::{Change, Plan};
use crate::rollout::Verdict;
use crate::score::Score;
use crate::snapshot::{Site, Snapshot};

/// Plans. `ids` brings a new id for every placement.
pub fn reconcile(snapshot: &Snapshot, now: Time, ids: &mut dyn FnMut() -> InstanceId) -> Plan {
    let (mut judged, requests) = judge(snapshot, now);
    let mut floor = Floor::new(snapshot, &judged);
    let mut plan = Plan { look_again: look_again(snapshot, now), ..Plan::default() };

    let mut refused = Vec::new();
    let mut arriving = BTreeSet::new();
    for request in requests {
        match request.wants.and_then(|wants| floor.place(&request.formation.app, request.process, &wants)) {
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
        floor.clear(snapshot, request, &mut judged);
    }
    let ending = judged.iter().any(|judged| judged.is_ending() && snapshot.hosts.contains_key(judged.member.host));
    for request in &refused {
        let moving = ending || request.moving || arriving.contains(&request.key());
        plan.blocked.push(floor.blocked(snapshot, request, &judged, moving));
    }
    plan.blocked.sort_by(|a, b| (&a.app, &a.process, a.ordinal).cmp(&(&b.app, &b.process, b.ordinal)));

    for Judged { member, verdict } in &judged {
        let change = || Change { host: member.host.clone(), assignment: member.assignment.clone() };
        match verdict {
            Verdict::Keep => plan.keep.push(member.assignment.instance.clone()),
            Verdict::Drain => plan.drain.push(change()),
            Verdict::Remove => plan.remove.push(change()),
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
struct Floor<'a> {
    rooms: BTreeMap<&'a HostName, Room<'a>>,
    /// Instances of each process type that stay, by zone.
    zones: BTreeMap<(&'a AppEnv, &'a ProcessName), BTreeMap<&'a ZoneName, u32>>,
}

impl<'a> Floor<'a> {
    fn new(snapshot: &'a Snapshot, judged: &[Judged<'a>]) -> Self {
        let rooms = snapshot.hosts.iter().map(|(name, host)| (name, Room::new(host, &snapshot.policy))).collect();
        let mut floor = Self { rooms, zones: BTreeMap::new() };
        for judged in judged.iter().filter(|judged| judged.verdict != Verdict::Remove) {
            let assignment = judged.member.assignment;
            let resources = snapshot.resources(&assignment.app, assignment.release, &assignment.process);
            // The replaced ones of a rollout are about to go; where they are says nothing of where the new ones should be.
            let target = snapshot.formations.get(&assignment.app).map(|formation| formation.release);
            let stays = judged.stays() && target == Some(assignment.release);
            floor.take(judged.member.host, &assignment.app, &assignment.process, &resources, stays);
        }
        floor
    }

    fn take(&mut self, host: &HostName, app: &'a AppEnv, process: &'a ProcessName, resources: &Resources, stays: bool) {
        let Some(room) = self.rooms.get_mut(host) else { return };
        room.take(app, process, resources, stays);
        if stays {
            *self.zones.entry((app, process)).or_default().entry(&room.host.zone).or_default() += 1;
        }
    }

    /// Takes room on the best host, if any has it.
    fn place(&mut self, app: &'a AppEnv, process: &'a ProcessName, wants: &Resources) -> Option<&'a HostName> {
        let zones = self.zones.entry((app, process)).or_default();
        let able = self.rooms.values().filter(|room| room.check(wants).is_ok());
        let best = able.map(|room| Score::of(room, zones, app, process, wants)).min()?;
        let host = best.host();
        self.take(host, app, process, wants, true);
        Some(host)
    }

    /// When nothing else makes room, the instance that would be replaced does, provided that it is known not to serve.
    fn clear(&self, snapshot: &Snapshot, request: &Request<'_>, judged: &mut [Judged<'_>]) {
        let Some((wants, old)) = request.wants.zip(request.replaces.map(|i| &mut judged[i])) else { return };
        let failing = old.member.state.is_some_and(|state| state != InstanceState::Healthy);
        let assignment = old.member.assignment;
        let frees = snapshot.resources(&assignment.app, assignment.release, &assignment.process);
        let helps = self.rooms.get(old.member.host).is_some_and(|room| room.check_without(&wants, &frees).is_ok());
        if failing && helps {
            old.verdict = old.member.end();
        }
    }

    fn blocked(&self, snapshot: &Snapshot, request: &Request<'_>, judged: &[Judged<'_>], moving: bool) -> Blocked {
        let old = request.replaces.map(|i| &judged[i]);
        let serves = old.filter(|old| old.stays() && old.member.site != Site::Gone && old.member.may_serve());
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
        let there = self.rooms.values().filter_map(|room| {
            let refusal = room.check(wants).err()?;
            Some(Refused { host: room.host.name.clone(), refusal })
        });
        let away = snapshot.known.keys().filter(|host| !self.rooms.contains_key(host));
        there.chain(away.map(|host| Refused { host: host.clone(), refusal: Refusal::Away })).collect()
    }
}
