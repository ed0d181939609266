//! Hundreds of seeded simulated runs of a cluster: crashes, delays, stale snapshots, hosts that come and go, changes mid-rollout.
//! Every plan of every run must keep the invariants; a run without further faults ends at exactly what is wanted.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use crate::world::{World, app, host, invariants};
use model::{HostState, InstanceState, Intent, ReleaseNumber};
use scheduler::{Policy, Snapshot};

const RUNS: u64 = 400;
const STEPS: usize = 120;
const APPS: [&str; 3] = ["blog", "cart", "shop"];

fn birth(seed: u64) -> World {
    let mut world = World::new(seed);
    let overlap_percent = *world.random.pick(&[1, 25, 50, 100, 100]);
    let cpu_percent = *world.random.pick(&[100, 400, 1_000]);
    let settle = Duration::from_secs(world.random.below(8));
    world.seen.policy = Policy { overlap_percent, cpu_percent, settle };
    for number in 0..1 + world.random.below(5) {
        let zone = *world.random.pick(&["za", "zb", "zc"]);
        let slots = 1 + world.random.below(8) as u32;
        let memory_mb = 512 * (1 + world.random.below(6) as u32);
        world.add(host(&format!("host-{number}"), zone, slots, memory_mb, 2_000));
    }
    world
}

/// Something happens, or nothing.
fn fate(world: &mut World) {
    let name = *world.random.pick(&APPS);
    let app = app(name);
    let names: Vec<_> = world.machines.keys().cloned().collect();
    let chosen = world.random.pick(&names).clone();
    match world.random.below(40) {
        0..=3 => deploy(world, name),
        4 => {
            // Back to an earlier release, as a failed rollout does.
            if let Some(formation) = world.formations.get_mut(&app) {
                formation.generation += 1;
                formation.release = ReleaseNumber(formation.release.0.saturating_sub(1).max(1));
            }
        }
        5..=6 => {
            let count = world.random.below(5) as u32;
            let name = *world.random.pick(&["web", "worker"]);
            let process = crate::world::process(name);
            if let Some(formation) = world.formations.get_mut(&app) {
                formation.generation += 1;
                formation.counts.insert(process, count);
            }
        }
        7 => {
            if let Some(formation) = world.formations.get_mut(&app) {
                formation.generation += 1;
                formation.epoch += 1;
            }
        }
        8 if world.random.percent(30) => {
            world.formations.remove(&app);
        }
        9 => {
            // Its supervisor is gone, and with it every report; the containers may run on.
            let reboot = world.random.percent(50);
            if let Some(machine) = world.machines.get_mut(&chosen) {
                machine.up = false;
                machine.reports.clear();
                if reboot {
                    machine.containers.clear();
                }
            }
        }
        10..=12 => {
            if let Some(machine) = world.machines.get_mut(&chosen) {
                machine.up = true;
            }
        }
        13 => {
            let state = *world.random.pick(&[HostState::Ok, HostState::Full, HostState::Maintenance]);
            if let Some(machine) = world.machines.get_mut(&chosen) {
                machine.host.state = state;
            }
        }
        14 if names.len() < 8 => {
            let memory_mb = 512 * (1 + world.random.below(8) as u32);
            world.add(host(&format!("host-{}", names.len()), "zb", 6, memory_mb, 4_000));
        }
        15 => {
            let release = world.formations.get(&app).map(|formation| formation.release);
            if let Some(release) = release
                && !world.bad.remove(&(app.clone(), release))
            {
                world.bad.insert((app, release));
            }
        }
        16 if world.random.percent(30) => {
            let release = world.formations.get(&app).map_or(ReleaseNumber(1), |formation| formation.release);
            world.specs.remove(&(app, release));
        }
        _ => {}
    }
}

fn deploy(world: &mut World, name: &str) {
    let app = app(name);
    let release = world.formations.get(&app).map_or(0, |formation| formation.release.0) + 1;
    let memory = *world.random.pick(&[128, 256, 512, 1_024]);
    let both = world.random.percent(70);
    let processes: &[(&str, u32)] = if both { &[("web", memory), ("worker", 256)] } else { &[("web", memory)] };
    world.release(&app, release, processes);
    if world.random.percent(30) {
        world.bad.insert((app.clone(), ReleaseNumber(release)));
    }
    let before = world.formations.get(&app).map(|formation| (formation.epoch, formation.counts.clone()));
    let (epoch, web) = match before {
        Some((epoch, counts)) => (epoch, counts.get(&crate::world::process("web")).copied().unwrap_or(1)),
        None => (0, 1 + world.random.below(4) as u32),
    };
    let workers = world.random.below(3) as u32;
    if both {
        world.want(&app, release, epoch, &[("web", web), ("worker", workers)]);
    } else {
        world.want(&app, release, epoch, &[("web", web)]);
    }
}

/// What a slow reader might see: assignments of one moment, the rest from one or several others.
fn stale(world: &mut World, past: &VecDeque<Snapshot>) -> Snapshot {
    let mut snapshot = world.snapshot();
    let then = past.get(world.random.below(past.len().max(1) as u64) as usize);
    let Some(then) = then.filter(|_| world.random.percent(25)) else { return snapshot };
    match world.random.below(4) {
        0 => snapshot.instances = then.instances.clone(),
        1 => snapshot.hosts = then.hosts.clone(),
        2 => {
            snapshot.formations = then.formations.clone();
            snapshot.specs.extend(then.specs.clone());
        }
        _ => snapshot.assignments = then.assignments.clone(),
    }
    snapshot
}

fn run_seed(seed: u64) {
    let mut world = birth(seed);
    let mut past = VecDeque::new();
    for _ in 0..STEPS {
        fate(&mut world);
        world.step(30, 3);
        past.push_front(world.snapshot());
        past.truncate(6);
        if world.random.percent(70) {
            let snapshot = stale(&mut world, &past);
            let plan = world.plan(&snapshot);
            invariants::check(&snapshot, &plan, world.now);
            world.commit(&plan);
        }
    }
    rest(&mut world);
}

/// No more faults, and room for all: it must end at exactly what is wanted.
fn rest(world: &mut World) {
    world.bad.clear();
    for name in APPS {
        let app = app(name);
        if let Some(release) = world.formations.get(&app).map(|formation| formation.release.0) {
            let missing = !world.specs.contains_key(&(app.clone(), ReleaseNumber(release)));
            if missing {
                world.release(&app, release, &[("web", 256), ("worker", 256)]);
            }
        }
    }
    for machine in world.machines.values_mut() {
        machine.up = true;
        machine.host.state = HostState::Ok;
    }
    world.add(host("ark", "zc", 200, 200_000, 200_000));
    world.settle();

    let mut wanted = BTreeSet::new();
    for formation in world.formations.values() {
        let spec = &world.specs[&(formation.app.clone(), formation.release)];
        for (process, count) in formation.counts.iter().filter(|(process, _)| spec.contains_key(*process)) {
            wanted.extend((1..=*count).map(|ordinal| (formation.app.clone(), process.clone(), ordinal, formation.release)));
        }
    }
    let assigned: Vec<_> = world.assigned().map(|(_, a)| (a.app.clone(), a.process.clone(), a.ordinal, a.release)).collect();
    assert_eq!(assigned.len(), wanted.len(), "one instance each: {:#?}", world.table());
    assert_eq!(assigned.into_iter().collect::<BTreeSet<_>>(), wanted);
    for (host, assignment) in world.assigned() {
        assert_eq!(assignment.intent, Intent::Run);
        assert!(assignment.epoch >= world.formations[&assignment.app].epoch, "{assignment:?} was restarted");
        assert_eq!(world.machines[host].containers[&assignment.instance].1, InstanceState::Healthy);
    }
}

fn simulate(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let outcome = std::panic::catch_unwind(|| run_seed(seed));
        assert!(outcome.is_ok(), "the run of seed {seed} broke an invariant; its message stands above");
    }
}

// In two halves, so that two cores share them.
#[test]
fn every_run_keeps_the_invariants_and_ends_at_what_is_wanted() {
    simulate(0..RUNS / 2);
}

#[test]
fn every_run_of_the_second_half_does_too() {
    simulate(RUNS / 2..RUNS);
}
