//! Single situations, each as a newcomer would ask about it, and any snapshot at all under the invariants.

use std::time::Duration;

use crate::world::{World, app, host, host_name, invariants};
use chrono::TimeDelta;
use model::{HostState, InstanceState, Intent, ReleaseNumber};
use proptest::prelude::*;
use scheduler::{Plan, Policy};

fn shop(hosts: &[(&str, &str, u32, u32)], count: u32) -> World {
    let mut world = World::new(1);
    world.seen.policy = Policy { settle: Duration::from_secs(5), ..Policy::default() };
    for (name, zone, slots, memory_mb) in hosts {
        world.add(host(name, zone, *slots, *memory_mb, 8_000));
    }
    world.release(&app("shop"), 1, &[("web", 512)]);
    world.want(&app("shop"), 1, 0, &[("web", count)]);
    world.settle();
    world
}

fn deploy(world: &mut World, release: u32, count: u32) {
    world.release(&app("shop"), release, &[("web", 512)]);
    world.want(&app("shop"), release, 0, &[("web", count)]);
}

fn labels(changes: &[scheduler::Change]) -> Vec<String> {
    changes.iter().map(|change| format!("{} {}", change.assignment.label(), change.assignment.release)).collect()
}

/// Runs on until the plan says `wanted`, with a deadline.
fn until(world: &mut World, wanted: &str, holds: impl Fn(&Plan, &World) -> bool) -> Plan {
    for _ in 0..60 {
        world.step(0, 0);
        let plan = world.activate();
        if holds(&plan, world) {
            return plan;
        }
    }
    panic!("60 s and still not: {wanted}; {:#?}", world.table());
}

#[test]
fn a_rollout_with_room_starts_all_and_ends_each_old_one_after_its_successor_is_healthy() {
    let mut world = shop(&[("a", "za", 10, 8_192)], 2);
    deploy(&mut world, 2, 2);
    let plan = world.activate();
    assert_eq!(labels(&plan.place), ["web.1 v2", "web.2 v2"]);
    assert!(plan.drain.is_empty());
    let plan = until(&mut world, "old ones drain", |plan, _| !plan.drain.is_empty());
    assert_eq!(labels(&plan.drain), ["web.1 v1", "web.2 v1"]);
    world.settle();
    assert_eq!(world.table(), ["shop web.1 v2 healthy on a", "shop web.2 v2 healthy on a"]);
}

#[test]
fn a_rollout_with_room_for_one_goes_one_at_a_time() {
    let mut world = shop(&[("a", "za", 3, 8_192)], 2);
    deploy(&mut world, 2, 2);
    let plan = world.activate();
    assert_eq!(labels(&plan.place), ["web.1 v2"]);
    let line = plan.blocked[0].to_string();
    let expected =
        "web.2 of acme/shop/dev v2 has no host: 1 host, none with a free slot (a has 3); v1 keeps serving; room comes when others end";
    assert_eq!(line, expected);
    world.settle();
    assert_eq!(world.table(), ["shop web.1 v2 healthy on a", "shop web.2 v2 healthy on a"]);
}

#[test]
fn the_last_slot_is_not_taken_from_the_one_that_serves() {
    let mut world = shop(&[("host-1", "za", 5, 712)], 1);
    deploy(&mut world, 2, 1);
    world.settle();
    assert_eq!(world.table(), ["shop web.1 v1 healthy on host-1"]);
    let plan = world.activate();
    assert_eq!(plan.blocked[0].why(), "1 host, none with 512 MB free (host-1 has 200 MB)");
    assert_eq!((plan.blocked[0].serving, plan.blocked[0].moving), (Some(ReleaseNumber(1)), false));
}

#[test]
fn the_last_slot_is_taken_from_one_that_crashes() {
    let mut world = shop(&[("a", "za", 1, 8_192)], 1);
    world.bad.insert((app("shop"), ReleaseNumber(1)));
    world.step(0, 0);
    deploy(&mut world, 2, 1);
    let plan = world.activate();
    assert_eq!(labels(&plan.drain), ["web.1 v1"]);
    assert!(plan.blocked[0].moving && plan.blocked[0].serving.is_none(), "{plan}");
    world.settle();
    assert_eq!(world.table(), ["shop web.1 v2 healthy on a"]);
}

#[test]
fn a_failed_rollout_goes_back_without_a_restart() {
    let mut world = shop(&[("a", "za", 10, 8_192)], 2);
    let before: Vec<_> = world.assigned().map(|(_, assignment)| assignment.instance.clone()).collect();
    world.bad.insert((app("shop"), ReleaseNumber(2)));
    deploy(&mut world, 2, 2);
    for _ in 0..10 {
        world.activate();
        world.step(0, 0);
    }
    world.want(&app("shop"), 1, 0, &[("web", 2)]);
    let plan = world.activate();
    assert_eq!(labels(&plan.drain), ["web.1 v2", "web.2 v2"]);
    assert!(plan.place.is_empty());
    world.settle();
    let after: Vec<_> = world.assigned().map(|(_, assignment)| assignment.instance.clone()).collect();
    assert_eq!(before, after);
}

#[test]
fn a_restart_replaces_like_a_release_does() {
    let mut world = shop(&[("a", "za", 10, 8_192)], 1);
    world.want(&app("shop"), 1, 1, &[("web", 1)]);
    assert_eq!(labels(&world.activate().place), ["web.1 v1"]);
    world.settle();
    assert_eq!(world.assigned().map(|(_, assignment)| assignment.epoch).collect::<Vec<_>>(), [1]);
}

#[test]
fn a_host_that_is_away_for_a_moment_keeps_its_instances() {
    let mut world = shop(&[("a", "za", 4, 4_096), ("b", "zb", 4, 4_096)], 2);
    let machine = world.machine("a");
    machine.up = false;
    machine.reports.clear();
    let plan = world.activate();
    assert!(plan.is_empty(), "{plan}");
    assert_eq!(plan.look_again, Some(world.now + TimeDelta::seconds(5)), "it says when it would be time");
    world.step(0, 0);
    world.machine("a").up = true;
    world.settle();
    assert_eq!(world.table(), ["shop web.1 v1 healthy on a", "shop web.2 v1 healthy on b"]);
}

#[test]
fn the_instances_of_a_host_that_is_gone_run_elsewhere() {
    let mut world = shop(&[("a", "za", 4, 4_096), ("b", "zb", 4, 4_096)], 2);
    let machine = world.machine("a");
    machine.up = false;
    machine.reports.clear();
    let plan = until(&mut world, "a replacement", |plan, _| !plan.place.is_empty());
    assert_eq!(labels(&plan.place), ["web.1 v1"]);
    world.settle();
    assert_eq!(world.table(), ["shop web.1 v1 healthy on b", "shop web.2 v1 healthy on b"]);
}

#[test]
fn the_only_host_keeps_its_assignments_while_it_is_away() {
    let mut world = shop(&[("a", "za", 4, 4_096)], 1);
    let machine = world.machine("a");
    machine.up = false;
    machine.reports.clear();
    for _ in 0..30 {
        world.step(0, 0);
        assert!(world.activate().is_empty());
    }
    assert_eq!(world.activate().blocked[0].why(), "1 host, away (a)");
    world.machine("a").up = true;
    world.settle();
    assert_eq!(world.table(), ["shop web.1 v1 healthy on a"]);
}

#[test]
fn a_host_in_maintenance_is_emptied_once_others_serve() {
    let mut world = shop(&[("a", "za", 4, 4_096), ("b", "zb", 4, 4_096)], 2);
    world.machine("a").host.state = HostState::Maintenance;
    let plan = world.activate();
    assert_eq!((labels(&plan.place), plan.drain.len()), (vec!["web.1 v1".to_owned()], 0));
    world.settle();
    assert_eq!(world.table(), ["shop web.1 v1 healthy on b", "shop web.2 v1 healthy on b"]);
}

#[test]
fn zones_come_before_free_memory() {
    let world = shop(&[("a1", "za", 8, 65_536), ("a2", "za", 8, 65_536), ("b", "zb", 8, 2_048)], 4);
    let in_b = world.assigned().filter(|(host, _)| **host == host_name("b")).count();
    assert_eq!(in_b, 2, "{:#?}", world.table());
}

#[test]
fn one_of_everything_comes_before_the_second_of_anything() {
    let mut world = World::new(1);
    world.add(host("a", "za", 2, 4_096, 8_000));
    for name in ["blog", "shop"] {
        world.release(&app(name), 1, &[("web", 512)]);
        world.want(&app(name), 1, 0, &[("web", 3)]);
    }
    let plan = world.activate();
    let placed: Vec<_> = plan.place.iter().map(|change| change.assignment.app.app.to_string()).collect();
    assert_eq!(placed, ["blog", "shop"]);
    assert_eq!(plan.blocked.len(), 4);
}

#[test]
fn fewer_ends_the_highest_and_none_ends_all() {
    let mut world = shop(&[("a", "za", 10, 8_192)], 3);
    world.want(&app("shop"), 1, 0, &[("web", 1)]);
    assert_eq!(labels(&world.activate().drain), ["web.2 v1", "web.3 v1"]);
    world.want(&app("shop"), 1, 0, &[("web", 0)]);
    assert_eq!(labels(&world.activate().drain), ["web.1 v1"]);
    world.settle();
    assert_eq!(world.assigned().count(), 0);
}

#[test]
fn the_last_one_that_serves_outlives_a_scale_down() {
    let mut world = shop(&[("a", "za", 10, 8_192)], 2);
    let first = world.assigned().find(|(_, a)| a.ordinal == 1).map(|(_, a)| a.instance.clone()).expect("web.1");
    if let Some(report) = world.machine("a").reports.get_mut(&first) {
        report.state = InstanceState::Crashed;
    }
    world.want(&app("shop"), 1, 0, &[("web", 1)]);
    assert!(world.activate().drain.is_empty(), "web.2 alone serves");
    world.settle();
    assert_eq!(world.table(), ["shop web.1 v1 healthy on a"]);
}

#[test]
fn a_dropped_process_type_ends_when_the_release_is_up_and_not_before() {
    let mut world = shop(&[("a", "za", 10, 8_192)], 1);
    world.release(&app("shop"), 2, &[("web", 512), ("worker", 256)]);
    world.want(&app("shop"), 2, 0, &[("web", 1), ("worker", 1)]);
    world.settle();
    deploy(&mut world, 3, 1);
    let plan = world.activate();
    assert!(plan.drain.is_empty(), "{plan}");
    world.settle();
    assert_eq!(world.table(), ["shop web.1 v3 healthy on a"]);
}

#[test]
fn an_app_that_is_gone_ends() {
    let mut world = shop(&[("a", "za", 10, 8_192)], 2);
    world.formations.clear();
    let plan = world.activate();
    assert_eq!(plan.drain.len(), 2);
    assert!(world.assigned().all(|(_, assignment)| assignment.intent == Intent::Drain));
    world.settle();
    assert_eq!(world.assigned().count(), 0);
}

#[test]
fn a_release_without_a_spec_touches_nothing_and_says_so() {
    let mut world = shop(&[("a", "za", 10, 8_192)], 1);
    world.want(&app("shop"), 2, 0, &[("web", 1)]);
    let plan = world.activate();
    assert!(plan.is_empty());
    let line = plan.to_string();
    assert_eq!(line, "blocked web.1 of acme/shop/dev v2 has no host: what v2 runs is not known yet; v1 keeps serving");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Not only what our own plans lead to: assignments, reports and hosts thrown together without any history.
    #[test]
    fn any_snapshot_at_all_keeps_the_laws(seed in any::<u64>()) {
        let mut world = World::new(seed);
        let overlap_percent = *world.random.pick(&[1, 30, 100, 200]);
        world.seen.policy = Policy { overlap_percent, cpu_percent: 200, settle: Duration::from_secs(3) };
        for number in 0..world.random.below(5) {
            let (slots, memory_mb) = (world.random.below(12) as u32, 256 * world.random.below(20) as u32);
            let zone = *world.random.pick(&["za", "zb"]);
            world.add(host(&format!("host-{number}"), zone, slots, memory_mb, 4_000));
        }
        world.scramble();
        let snapshot = world.snapshot();
        let plan = world.plan(&snapshot);
        invariants::check(&snapshot, &plan, world.now);
    }
}
