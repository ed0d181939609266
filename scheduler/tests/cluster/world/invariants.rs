//! What must hold of every plan, computed here a second time and by other means than the planner's.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use model::{AppEnv, Assignment, HostName, HostState, InstanceState, Intent, ProcessName, Resources, Time};
use scheduler::{Blocked, Cause, Plan, Refusal, Snapshot, reconcile};

use super::{applied, id};

type Placement<'a> = (&'a HostName, &'a Assignment);

fn placements(snapshot: &Snapshot) -> Vec<Placement<'_>> {
    let documents = snapshot.assignments.iter();
    documents.flat_map(|(host, doc)| doc.assignments.assignments.iter().map(move |assignment| (host, assignment))).collect()
}

fn state(snapshot: &Snapshot, placement: Placement<'_>) -> Option<InstanceState> {
    snapshot.instances.get(&placement.1.instance).filter(|status| status.host == *placement.0).map(|status| status.state)
}

fn gone(snapshot: &Snapshot, host: &HostName, now: Time) -> bool {
    let settle = TimeDelta::from_std(snapshot.policy.settle).expect("a short time");
    !snapshot.hosts.contains_key(host) && snapshot.absent_since.get(host).is_none_or(|since| *since + settle <= now)
}

fn uses(snapshot: &Snapshot, assignment: &Assignment) -> Resources {
    let spec = snapshot.specs.get(&(assignment.app.clone(), assignment.release));
    spec.and_then(|spec| spec.get(&assignment.process)).copied().unwrap_or(Resources::INSTANCE)
}

/// Taken slots, memory and cpu of a host.
fn taken(snapshot: &Snapshot, host: &HostName) -> (u64, u64, u64) {
    let here = placements(snapshot).into_iter().filter(|placement| placement.0 == host);
    here.map(|placement| uses(snapshot, placement.1))
        .fold((0, 0, 0), |(slots, memory, cpu), uses| (slots + 1, memory + u64::from(uses.memory_mb), cpu + u64::from(uses.cpu_millis)))
}

/// Checks every invariant for one plan.
pub fn check(snapshot: &Snapshot, plan: &Plan, now: Time) {
    let after = applied(snapshot, plan);
    every_instance_is_in_one_bucket(snapshot, plan);
    placements_have_room_on_ready_hosts(snapshot, &after, plan);
    never_above_count_and_overlap(&after, plan, now);
    nothing_that_serves_ends_early(snapshot, &after, now);
    reasons_are_true(&after, plan, now);

    let mut more = 30u64.pow(9);
    let again = reconcile(&after, now, &mut || {
        more += 1;
        id(more)
    });
    assert!(again.is_empty(), "the plan\n{plan}\napplied, another one follows:\n{again}");
    assert_eq!(plan.blocked, again.blocked, "the same is blocked for the same reasons");
}

fn every_instance_is_in_one_bucket(snapshot: &Snapshot, plan: &Plan) {
    let changed = [&plan.drain, &plan.remove].into_iter().flatten().map(|change| &change.assignment.instance);
    let mut planned: Vec<_> = changed.chain(&plan.keep).collect();
    planned.sort();
    let mut assigned: Vec<_> = placements(snapshot).into_iter().map(|placement| &placement.1.instance).collect();
    assigned.sort();
    assert_eq!(planned, assigned, "every assigned instance is drained, removed or kept\n{plan}");
    for change in plan.changes() {
        let before = snapshot.assignments.get(&change.assignments.host);
        assert_eq!(change.version, before.and_then(|before| before.version), "fenced by what was read");
        assert_eq!(change.assignments.generation, before.map_or(0, |before| before.assignments.generation) + 1);
    }
    let hosts: BTreeSet<_> = [&plan.place, &plan.drain, &plan.remove].into_iter().flatten().map(|change| change.host.clone()).collect();
    assert_eq!(hosts, plan.changes().iter().map(|change| change.assignments.host.clone()).collect(), "only changed hosts are written");
}

fn placements_have_room_on_ready_hosts(snapshot: &Snapshot, after: &Snapshot, plan: &Plan) {
    for change in &plan.place {
        let host = snapshot.hosts.get(&change.host).unwrap_or_else(|| panic!("{change} is placed on a host that is not there"));
        assert_eq!(host.state, HostState::Ok, "{change}");
        let (slots, memory, cpu) = taken(after, &host.name);
        let promised = u64::from(host.capacity.cpu_millis) * u64::from(snapshot.policy.cpu_percent) / 100;
        assert!(slots <= u64::from(host.capacity.slots), "{change}: {slots} slots taken");
        assert!(memory <= u64::from(host.capacity.memory_mb), "{change}: {memory} MB taken");
        assert!(cpu <= promised, "{change}: {cpu} cpu taken");
        assert!(!snapshot.instances.contains_key(&change.assignment.instance), "{change} has a used id");
        let formation = &snapshot.formations[&change.assignment.app];
        assert_eq!((change.assignment.release, change.assignment.epoch), (formation.release, formation.epoch));
        assert!((1..=formation.counts[&change.assignment.process]).contains(&change.assignment.ordinal), "{change}");
    }
}

fn never_above_count_and_overlap(after: &Snapshot, plan: &Plan, now: Time) {
    let placed: BTreeSet<(&AppEnv, &ProcessName)> =
        plan.place.iter().map(|change| (&change.assignment.app, &change.assignment.process)).collect();
    for (app, process) in placed {
        let formation = &after.formations[app];
        let count = formation.counts[process];
        let here = placements(after).into_iter().filter(|(host, _)| !gone(after, host, now));
        let running: Vec<_> =
            here.filter(|(_, a)| a.app == *app && a.process == *process && a.intent == Intent::Run).map(|(_, a)| a).collect();
        let most = count + (count * after.policy.overlap_percent).div_ceil(100).max(1);
        assert!(running.len() <= most as usize, "{} run of {process} of {app}, {most} may\n{plan}", running.len());
        let mut numbers = BTreeMap::<_, u32>::new();
        for assignment in running {
            *numbers.entry(assignment.ordinal).or_default() += 1;
        }
        assert!(numbers.values().all(|count| *count <= 2), "no number runs more than twice: {numbers:?}\n{plan}");
    }
}

fn nothing_that_serves_ends_early(before: &Snapshot, after: &Snapshot, now: Time) {
    for (app, formation) in &before.formations {
        let Some(spec) = before.specs.get(&(app.clone(), formation.release)) else {
            let runs = |snapshot: &Snapshot| {
                placements(snapshot)
                    .iter()
                    .filter(|(_, a)| {
                        a.app == *app && a.intent == Intent::Run && formation.counts.get(&a.process).is_some_and(|count| *count > 0)
                    })
                    .count()
            };
            let ended = placements(before)
                .into_iter()
                .filter(|placement| {
                    placement.1.app == *app
                        && state(before, *placement) == Some(InstanceState::Stopped)
                        && placement.1.intent == Intent::Run
                })
                .count();
            assert!(runs(after) + ended >= runs(before), "{app} has no spec and is left alone");
            continue;
        };
        for (process, count) in formation.counts.iter().filter(|(process, count)| **count > 0 && spec.contains_key(*process)) {
            let serving = |snapshot: &Snapshot| -> BTreeSet<u32> {
                let of_process = placements(snapshot)
                    .into_iter()
                    .filter(|(host, a)| a.app == *app && a.process == *process && a.intent == Intent::Run && !gone(snapshot, host, now));
                of_process
                    .filter(|placement| state(snapshot, *placement) == Some(InstanceState::Healthy))
                    .map(|placement| placement.1.ordinal)
                    .collect()
            };
            let (was, is) = (serving(before), serving(after));
            let lost: Vec<_> = was.iter().filter(|ordinal| **ordinal <= *count && !is.contains(ordinal)).collect();
            assert!(lost.is_empty(), "{process} {lost:?} of {app} served and was ended");
            assert!(was.is_empty() || !is.is_empty(), "the last one of {process} of {app} that served was ended");
        }
    }
}

fn reasons_are_true(after: &Snapshot, plan: &Plan, now: Time) {
    for blocked in &plan.blocked {
        let formation = &after.formations[&blocked.app];
        let spec = after.specs.get(&(blocked.app.clone(), formation.release));
        let Cause::Hosts(hosts) = &blocked.cause else {
            assert!(spec.is_none(), "{blocked}");
            continue;
        };
        assert_eq!(spec.map(|spec| spec[&blocked.process]), Some(blocked.wants), "{blocked}");
        let named: Vec<_> = hosts.iter().map(|refused| &refused.host).collect();
        let distinct: BTreeSet<_> = named.iter().copied().collect();
        assert_eq!(named.len(), distinct.len(), "{blocked}");
        assert_eq!(distinct, after.hosts.keys().chain(after.known.keys()).collect(), "{blocked}");
        for refused in hosts {
            assert!(refusal_is_true(after, &refused.host, refused.refusal, &blocked.wants), "{refused:?} of {blocked}");
        }
        if let Some(serving) = blocked.serving {
            assert!(somebody_serves(after, blocked, serving.0, now), "{blocked}");
        }
    }
}

fn refusal_is_true(after: &Snapshot, name: &HostName, refusal: Refusal, wants: &Resources) -> bool {
    let Some(host) = after.hosts.get(name) else { return refusal == Refusal::Away };
    let (slots, memory, cpu) = taken(after, name);
    let promised = u64::from(host.capacity.cpu_millis) * u64::from(after.policy.cpu_percent) / 100;
    match refusal {
        Refusal::Away => false,
        Refusal::Maintenance => host.state == HostState::Maintenance,
        Refusal::Full => host.state == HostState::Full,
        Refusal::Slots { slots: all } => all == host.capacity.slots && slots >= u64::from(all),
        Refusal::Memory { free_mb } => {
            u64::from(free_mb) == u64::from(host.capacity.memory_mb).saturating_sub(memory) && free_mb < wants.memory_mb
        }
        Refusal::Cpu { free_millis } => free_millis == promised.saturating_sub(cpu) && free_millis < u64::from(wants.cpu_millis),
    }
}

fn somebody_serves(after: &Snapshot, blocked: &Blocked, release: u32, now: Time) -> bool {
    placements(after).into_iter().any(|placement| {
        let (host, a) = placement;
        a.app == blocked.app
            && a.process == blocked.process
            && a.ordinal == blocked.ordinal
            && a.release.0 == release
            && a.intent == Intent::Run
            && !gone(after, host, now)
            && matches!(state(after, placement), None | Some(InstanceState::Healthy))
    })
}
