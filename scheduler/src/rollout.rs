//! One process type of one app: which of its instances stay, which end, which numbers are missing.
//!
//! Knows nothing of the capacity of hosts. An instance that serves ends only when another one of its number is healthy, or when its number is
//! no longer wanted. Per number there is at most one instance of the target and at most one that it replaces.
//!
//! ```text
//!  number k:   old healthy ─── new placed ──► new starting ──► new healthy ──► old drains ──► old stopped, removed
//!                   ▲                             │
//!                   └── target goes back: new drains, old was never touched
//! ```

use std::collections::BTreeSet;

use model::{Assignment, HostName, InstanceState, Intent, ReleaseNumber};

use crate::snapshot::HostPresence;

/// An assigned instance of the process type.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Member<'a> {
    pub(crate) host: &'a HostName,
    pub(crate) assignment: &'a Assignment,
    /// As reported; none when nothing is.
    pub(crate) state: Option<InstanceState>,
    pub(crate) presence: HostPresence,
}

/// What should become of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disposition {
    Keep,
    Drain,
    Remove,
}

/// What the process type should become.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    pub(crate) release: ReleaseNumber,
    pub(crate) epoch: u32,
    pub(crate) count: u32,
    /// Instances beyond the count.
    pub(crate) overlap: u32,
}

/// A number of the target without an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Missing {
    pub(crate) ordinal: u32,
    /// The member that it would replace, and that stays until then.
    pub(crate) replaces: Option<usize>,
}

/// What one process type does next.
#[derive(Debug)]
pub(crate) struct RolloutStep {
    /// One per member.
    pub(crate) dispositions: Vec<Disposition>,
    /// What may be placed now, most urgent first.
    pub(crate) missing: Vec<Missing>,
    /// Whether every number of the target is healthy.
    pub(crate) up: bool,
    /// Whether a new instance is on its way that will let an old one go.
    pub(crate) moving: bool,
}

impl Target {
    /// Whether an assignment is what is wanted. An epoch beyond the target's is from a newer formation than was read.
    pub(crate) fn is_met_by(&self, assignment: &Assignment) -> bool {
        assignment.release == self.release && assignment.epoch >= self.epoch
    }
}

impl Member<'_> {
    pub(crate) fn healthy(&self) -> bool {
        self.state == Some(InstanceState::Healthy) && self.presence != HostPresence::Gone
    }

    /// Whether it may be serving: it is healthy, or nothing is known.
    pub(crate) fn may_serve(&self) -> bool {
        matches!(self.state, None | Some(InstanceState::Healthy))
    }

    /// What is settled whatever the target: what ended is removed, what drains goes on draining.
    pub(crate) fn settled(&self) -> Option<Disposition> {
        match (self.state, self.assignment.intent) {
            (Some(InstanceState::Stopped), _) => Some(Disposition::Remove),
            (_, Intent::Drain) if self.presence == HostPresence::Gone => Some(Disposition::Remove),
            (_, Intent::Drain) => Some(Disposition::Keep),
            (_, Intent::Run) => None,
        }
    }

    /// How it ends: by draining; on a host that is away there is nobody to do so.
    pub(crate) fn end(&self) -> Disposition {
        if self.presence == HostPresence::Gone { Disposition::Remove } else { Disposition::Drain }
    }

    /// Whether it is of the target and on a host where it can stay.
    fn is_new(&self, target: &Target) -> bool {
        self.presence == HostPresence::Present && target.is_met_by(self.assignment)
    }

    /// How much there is to lose with it; less is more.
    fn rank(&self) -> u8 {
        if self.presence == HostPresence::Gone {
            return 10;
        }
        match self.state {
            Some(InstanceState::Healthy) => 0,
            // Not reported yet or not reported again after a restart of the supervisor: it may well serve.
            None => 1,
            Some(InstanceState::Unhealthy) => 2,
            Some(InstanceState::Starting) => 3,
            Some(InstanceState::Pulling) => 4,
            Some(InstanceState::Crashed) => 5,
            Some(InstanceState::Flapping) => 6,
            Some(InstanceState::ImagePullFailed) => 7,
            Some(InstanceState::ImageMissing) => 8,
            Some(InstanceState::Draining | InstanceState::Stopping | InstanceState::Stopped) => 9,
        }
    }

    /// Whether it is still on its way to become healthy.
    fn coming(&self) -> bool {
        matches!(self.state, None | Some(InstanceState::Starting | InstanceState::Pulling))
    }
}

/// Decides over one process type.
pub(crate) fn rollout_step(members: &[Member<'_>], target: &Target) -> RolloutStep {
    let mut dispositions: Vec<Disposition> = members.iter().map(|member| member.settled().unwrap_or(Disposition::Keep)).collect();
    let running: Vec<usize> = (0..members.len()).filter(|i| members[*i].settled().is_none()).collect();
    let mut missing = Vec::new();
    let mut up = true;
    let mut moving = false;

    for ordinal in 1..=target.count {
        let of_number = running.iter().copied().filter(|i| members[*i].assignment.ordinal == ordinal);
        let (mut new, mut old): (Vec<usize>, Vec<usize>) = of_number.partition(|i| members[*i].is_new(target));
        best_first(members, &mut new);
        best_first(members, &mut old);
        end_all(members, &mut dispositions, new.iter().skip(1));
        let healthy = new.first().is_some_and(|i| members[*i].healthy());
        end_all(members, &mut dispositions, old.iter().skip(usize::from(!healthy)));
        up &= healthy;
        match (new.first(), old.first()) {
            (None, replaces) => missing.push(Missing { ordinal, replaces: replaces.copied() }),
            (Some(new), Some(old)) => moving |= members[*new].coming() && members[*old].presence != HostPresence::Gone,
            (Some(_), None) => {}
        }
    }

    let mut above: Vec<usize> = running.iter().copied().filter(|i| is_above(&members[*i], target)).collect();
    above.sort_by_key(|i| (!members[*i].healthy(), members[*i].assignment.ordinal, &members[*i].assignment.instance));
    let serves = running.iter().any(|i| !is_above(&members[*i], target) && members[*i].healthy());
    // The last one that serves stays until one of those that are wanted does.
    let last = target.count > 0 && !serves && above.first().is_some_and(|i| members[*i].healthy());
    end_all(members, &mut dispositions, above.iter().skip(usize::from(last)));

    permit(members, &dispositions, target, &mut missing);
    RolloutStep { dispositions, missing, up, moving }
}

/// Leaves of the missing those that may be placed now: first what runs nowhere, then what replaces, as far as the overlap allows.
fn permit(members: &[Member<'_>], dispositions: &[Disposition], target: &Target, missing: &mut Vec<Missing>) {
    let mut kept: Vec<&Member<'_>> = Vec::new();
    let mut ending: BTreeSet<u32> = BTreeSet::new();
    for (member, disposition) in members.iter().zip(dispositions).filter(|(member, _)| member.presence != HostPresence::Gone) {
        match (member.assignment.intent, disposition) {
            (_, Disposition::Remove) => {}
            (Intent::Run, Disposition::Keep) => kept.push(member),
            (Intent::Drain, _) | (_, Disposition::Drain) => {
                ending.insert(member.assignment.ordinal);
            }
        }
    }
    let covered: BTreeSet<u32> = kept.iter().filter(|member| !is_above(member, target)).map(|member| member.assignment.ordinal).collect();
    // One that was ended to make room counts as a replacement under way, until what it made room for is healthy.
    ending.retain(|ordinal| (1..=target.count).contains(ordinal));
    for member in kept.iter().filter(|member| member.healthy() || !member.is_new(target)) {
        ending.remove(&member.assignment.ordinal);
    }
    let under_way = kept.len() - covered.len() + ending.len();
    let (mut bare, mut covering): (Vec<Missing>, Vec<Missing>) = missing.drain(..).partition(|missing| !covered.contains(&missing.ordinal));
    bare.truncate((target.count.saturating_add(target.overlap) as usize).saturating_sub(kept.len()));
    covering.truncate((target.overlap as usize).saturating_sub(under_way));
    missing.extend(bare.into_iter().chain(covering));
}

fn is_above(member: &Member<'_>, target: &Target) -> bool {
    !(1..=target.count).contains(&member.assignment.ordinal)
}

fn best_first(members: &[Member<'_>], indexes: &mut [usize]) {
    indexes.sort_by_key(|i| {
        let member = &members[*i];
        (member.rank(), std::cmp::Reverse((member.assignment.release, member.assignment.epoch)), &member.assignment.instance)
    });
}

fn end_all<'a>(members: &[Member<'_>], dispositions: &mut [Disposition], indexes: impl Iterator<Item = &'a usize>) {
    for i in indexes {
        dispositions[*i] = members[*i].end();
    }
}
