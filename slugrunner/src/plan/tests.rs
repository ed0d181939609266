//! The plan against a small model of a host: whatever the start, it converges, and never breaks its rules on the way.

use chrono::TimeDelta;
use model::ReleaseNumber;
use proptest::prelude::*;

use super::*;

fn at(seconds: i64) -> Time {
    Time::UNIX_EPOCH + TimeDelta::seconds(seconds)
}

fn assignment(n: u8, intent: Intent) -> Assignment {
    Assignment {
        instance: InstanceId::mint([n; 10]),
        app: "acme/shop/dev".parse().expect("an app"),
        process: "web".parse().expect("a process"),
        ordinal: n.into(),
        release: ReleaseNumber(1),
        epoch: 0,
        intent,
    }
}

fn observed(owner: Owner, phase: Option<Phase>, containers: Vec<SeenContainer>) -> Observed {
    Observed { owner, containers, phase, busy: false }
}

/// Does what the shell does, at once and without failing.
fn apply(actions: &[Action], observed: &mut Vec<Observed>, now: Time, made: &mut u32) {
    for action in actions {
        let (instance, gone) = match action {
            Action::Remove(instance, container) => (instance.clone(), Some(container)),
            Action::Finish(instance, container) | Action::RecordCrash(instance, container) => (Some(instance.clone()), container.as_ref()),
            Action::Adopt(i, _) | Action::Start(i) | Action::Drain(i) | Action::Term(i, _) | Action::Kill(i, _) | Action::Forget(i) => {
                (Some(i.clone()), None)
            }
        };
        if let Some(gone) = gone {
            observed.iter_mut().for_each(|one| one.containers.retain(|seen| seen.id != *gone));
        }
        let Some(instance) = instance else { continue };
        let owner = Owner::Instance(instance);
        if !observed.iter().any(|one| one.owner == owner) {
            observed.push(super::tests::observed(owner.clone(), Some(Phase::Idle), vec![]));
        }
        let one = observed.iter_mut().find(|one| one.owner == owner).expect("just made sure");
        match action {
            Action::Adopt(..) => one.phase = Some(Phase::Up),
            Action::Start(_) => {
                assert!(one.containers.is_empty(), "a second container of one instance");
                *made += 1;
                one.containers.push(SeenContainer { id: ContainerId(format!("made-{made}")), state: RunState::Running });
                one.phase = Some(Phase::Up);
            }
            Action::RecordCrash(..) => one.phase = Some(Phase::Waiting { until: now + TimeDelta::seconds(1) }),
            Action::Drain(_) => one.phase = Some(Phase::Draining { deadline: now + TimeDelta::seconds(5), drained: false }),
            Action::Term(..) => one.phase = Some(Phase::Ending { kill_at: now + TimeDelta::seconds(5) }),
            Action::Kill(..) => one.containers.iter_mut().for_each(|seen| seen.state = RunState::Exited),
            Action::Finish(..) => one.phase = Some(Phase::Ended),
            Action::Forget(_) => observed.retain(|one| one.owner != owner),
            Action::Remove(..) => {}
        }
    }
}

fn any_state() -> impl Strategy<Value = RunState> {
    prop_oneof![Just(RunState::Created), Just(RunState::Running), Just(RunState::Exited)]
}

fn any_phase() -> impl Strategy<Value = Option<Phase>> {
    prop_oneof![
        Just(None),
        Just(Some(Phase::Idle)),
        Just(Some(Phase::Up)),
        Just(Some(Phase::Ended)),
        (-5_i64..10).prop_map(|s| Some(Phase::Waiting { until: at(s) })),
        (-5_i64..10, any::<bool>()).prop_map(|(s, drained)| Some(Phase::Draining { deadline: at(s), drained })),
        (-5_i64..10).prop_map(|s| Some(Phase::Ending { kill_at: at(s) })),
    ]
}

fn any_host() -> impl Strategy<Value = (Vec<Assignment>, Vec<Observed>)> {
    let intent = prop_oneof![Just(None), Just(Some(Intent::Run)), Just(Some(Intent::Drain))];
    let one = (intent, any::<bool>(), any_phase(), prop::collection::vec(any_state(), 0..3), 0..10_u8);
    prop::collection::vec(one, 0..8).prop_map(|ones| {
        let (mut assigned, mut seen) = (Vec::new(), Vec::new());
        for (n, (intent, is_known, phase, states, kind)) in (0_u8..).zip(ones) {
            let containers =
                states.into_iter().enumerate().map(|(k, state)| SeenContainer { id: ContainerId(format!("c-{n}-{k}")), state }).collect();
            match kind {
                0 => seen.push(observed(Owner::Unreadable, None, containers)),
                _ => {
                    assigned.extend(intent.map(|intent| assignment(n, intent)));
                    if is_known {
                        seen.push(observed(Owner::Instance(InstanceId::mint([n; 10])), phase, containers));
                    }
                }
            }
        }
        (assigned, seen)
    })
}

fn containers_of(action: &Action) -> Option<&ContainerId> {
    match action {
        Action::Adopt(_, c) | Action::Term(_, c) | Action::Kill(_, c) | Action::Remove(_, c) => Some(c),
        Action::RecordCrash(_, c) | Action::Finish(_, c) => c.as_ref(),
        Action::Start(_) | Action::Drain(_) | Action::Forget(_) => None,
    }
}

proptest! {
    #[test]
    fn any_host_converges_and_only_containers_that_were_seen_are_touched((assigned, start) in any_host()) {
        let mut host = start.clone();
        let mut made = 0;
        let mut quiet = false;
        for second in 0..60 {
            let now = at(second);
            for _ in 0..10 {
                let actions = plan(&assigned, &host, now);
                quiet = actions.is_empty();
                if quiet { break; }
                let seen: Vec<&ContainerId> = host.iter().flat_map(|one| &one.containers).map(|seen| &seen.id).collect();
                for action in &actions {
                    if let Some(container) = containers_of(action) {
                        prop_assert!(seen.contains(&container), "{action} touches a container that was not seen");
                    }
                }
                apply(&actions, &mut host, now, &mut made);
            }
        }
        prop_assert!(quiet, "the plan never came to rest");
        for a in &assigned {
            let one = host.iter().find(|one| one.owner == Owner::Instance(a.instance.clone()));
            let ended = one.is_none_or(|one| one.phase == Some(Phase::Ended));
            let running = one.is_some_and(|one| one.containers.len() == 1 && one.containers[0].state == RunState::Running);
            match a.intent {
                Intent::Drain => prop_assert!(ended && !running, "{} still runs", a.instance),
                Intent::Run => prop_assert!(running != ended, "{} neither runs nor has ended", a.instance),
            }
        }
        for one in &host {
            if let Owner::Instance(id) = &one.owner {
                prop_assert!(assigned.iter().any(|a| a.instance == *id), "{id} was not forgotten");
            }
        }
    }

    #[test]
    fn what_is_under_way_is_not_asked_for_again((assigned, mut host) in any_host()) {
        let now = at(0);
        for action in plan(&assigned, &host, now) {
            let (Action::Adopt(i, _) | Action::Start(i) | Action::RecordCrash(i, _) | Action::Drain(i) | Action::Term(i, _)
            | Action::Kill(i, _) | Action::Finish(i, _) | Action::Remove(Some(i), _) | Action::Forget(i)) = action else { continue };
            let owner = Owner::Instance(i);
            match host.iter_mut().find(|one| one.owner == owner) {
                Some(one) => one.busy = true,
                None => host.push(Observed { busy: true, ..observed(owner, Some(Phase::Idle), vec![]) }),
            }
        }
        host.iter_mut().filter(|one| one.owner == Owner::Unreadable).for_each(|one| one.busy = true);
        prop_assert_eq!(plan(&assigned, &host, now), vec![]);
    }

    #[test]
    fn the_next_wake_is_never_missed((assigned, host) in any_host()) {
        let now = at(0);
        let until = next_wake(&host, now).unwrap_or(at(100));
        let before = plan(&assigned, &host, now);
        prop_assert_eq!(before, plan(&assigned, &host, until - TimeDelta::milliseconds(1)), "the plan changed before it was woken");
    }
}

#[test]
fn a_stop_goes_by_drain_then_term_then_kill() {
    let drain = [assignment(1, Intent::Drain)];
    let owner = Owner::Instance(drain[0].instance.clone());
    let container = ContainerId("c".into());
    let running = vec![SeenContainer { id: container.clone(), state: RunState::Running }];
    let id = drain[0].instance.clone();
    let asked = |phase, now| plan(&drain, &[observed(owner.clone(), Some(phase), running.clone())], now);
    assert_eq!(asked(Phase::Up, at(0)), [Action::Drain(id.clone())]);
    assert_eq!(asked(Phase::Draining { deadline: at(5), drained: false }, at(4)), []);
    assert_eq!(asked(Phase::Draining { deadline: at(5), drained: true }, at(4)), [Action::Term(id.clone(), container.clone())]);
    assert_eq!(asked(Phase::Draining { deadline: at(5), drained: false }, at(5)), [Action::Term(id.clone(), container.clone())]);
    assert_eq!(asked(Phase::Ending { kill_at: at(9) }, at(8)), []);
    assert_eq!(asked(Phase::Ending { kill_at: at(9) }, at(9)), [Action::Kill(id, container)]);
}
