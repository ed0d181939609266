//! `DiskSchedule`: which instances' writable layers are to be measured now, and which have grown too large. Pure: the time is an argument.
//!
//! A measurement costs a `stat` of each file that an instance has written: a millisecond for a usual app, seconds for a million
//! files. So each is followed by a rest of 200 times what it took, from one minute to a quarter of an hour: half a percent of
//! one core for each instance at most, and an idle one is walked sixty times an hour at most. Somebody who writes in a hurry is found
//! sooner: free space tells of it for one `statvfs`, and when it falls, all that have rested 20 times what they cost are due. So is
//! one that was found to grow. Measurements take turns and are held to a tenth of one core in all (`supervisor/disk_watcher.rs`).

use std::collections::BTreeMap;
use std::time::Duration;

use model::push_output;

use crate::runtime::ContainerId;

pub(crate) mod measure;

pub(crate) use measure::Usage;

/// Files and folders that an instance may make.
pub(crate) const FILES: u64 = 1_000_000;
/// Measurements of one round, so that the list of targets is read again often.
const PER_ROUND: usize = 16;
/// Rest after a measurement, in times of what it took, and its bounds.
const REST: u32 = 200;
const REST_LEAST: Duration = Duration::from_secs(60);
const REST_MOST: Duration = Duration::from_secs(900);
/// The same when somebody seems to write a lot.
const HURRIED: u32 = 20;
const HURRIED_LEAST: Duration = Duration::from_secs(2);
/// A fall of free space that is looked into.
const FALL: u64 = 64 << 20;
/// Growth between two measurements, as a part of what is allowed, that is followed closely.
const GROWTH: u64 = 16;

/// One layer to watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// The container that owns the layer.
    pub(crate) container: ContainerId,
    /// Bytes that it may hold.
    pub(crate) allowed: u64,
}

/// What is remembered of one layer.
#[derive(Debug, Clone, Copy)]
struct Measured {
    bytes: u64,
    /// When it is due.
    next: Duration,
    /// When it is due in a hurry.
    soonest: Duration,
}

/// Remembers what was measured when.
#[derive(Debug, Default)]
pub(crate) struct DiskSchedule {
    seen: BTreeMap<ContainerId, Measured>,
    /// The most free space since it last fell.
    free: Option<u64>,
}

impl DiskSchedule {
    /// Takes how many bytes are free where the layers lie.
    pub(crate) fn free(&mut self, free: u64) {
        let most = self.free.map_or(free, |most| most.max(free));
        let fell = most - free >= FALL;
        if fell {
            self.seen.values_mut().for_each(|seen| seen.next = seen.next.min(seen.soonest));
        }
        self.free = Some(if fell { free } else { most });
    }

    /// What is to be measured at `now`, counted from any fixed moment; the longest due first.
    pub(crate) fn due(&mut self, targets: &[Target], now: Duration) -> Vec<Target> {
        self.seen.retain(|container, _| targets.iter().any(|target| target.container == *container));
        let next = |target: &Target| self.seen.get(&target.container).map_or(Duration::ZERO, |seen| seen.next);
        let mut due: Vec<&Target> = targets.iter().filter(|target| next(target) <= now).collect();
        due.sort_by_key(|target| next(target));
        due.into_iter().take(PER_ROUND).cloned().collect()
    }

    /// Takes a measurement that ended at `now`; why the instance has to end, if it does.
    pub(crate) fn measured(&mut self, target: &Target, usage: Usage, took: Duration, now: Duration) -> Option<String> {
        let before = self.seen.get(&target.container).map_or(0, |seen| seen.bytes);
        let soonest = now + (took * HURRIED).clamp(HURRIED_LEAST, REST_MOST);
        let rested = now + (took * REST).clamp(REST_LEAST, REST_MOST);
        let over = over(usage, target.allowed);
        let grows = usage.bytes.saturating_sub(before) >= target.allowed / GROWTH;
        let seen = match over {
            // Reported once; the loop ends the instance.
            Some(_) => Measured { bytes: usage.bytes, next: rested, soonest: rested },
            None => Measured { bytes: usage.bytes, next: if grows { soonest } else { rested }, soonest },
        };
        self.seen.insert(target.container.clone(), seen);
        over
    }
}

/// The reason to end the instance, when it is over a limit.
fn over(usage: Usage, allowed: u64) -> Option<String> {
    if usage.bytes > allowed {
        // The counting ends where it is enough; there may be more.
        Some(format!("it wrote {} to its own disk; {} are allowed", push_output::size(usage.bytes), push_output::size(allowed)))
    } else if usage.files > FILES {
        Some(format!("it made more than {FILES} files and folders on its own disk"))
    } else {
        usage.too_deep.then(|| "it nests folders on its own disk deeper than can be counted".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GB: u64 = 1_000_000_000;
    const MS: Duration = Duration::from_millis(1);

    fn target(name: &str) -> Target {
        Target { container: ContainerId(name.into()), allowed: 2 * GB }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn bytes(bytes: u64) -> Usage {
        Usage { bytes, files: 1, too_deep: false }
    }

    #[test]
    fn the_one_that_is_over_is_named_and_no_other() {
        let mut rounds = DiskSchedule::default();
        assert_eq!(rounds.measured(&target("a"), bytes(2 * GB), MS, at(0)), None);
        let told = rounds.measured(&target("b"), bytes(2 * GB + 100_000_000), MS, at(0));
        assert_eq!(told.as_deref(), Some("it wrote 2.1 GB to its own disk; 2.0 GB are allowed"));
        rounds.free(100 * GB);
        rounds.free(90 * GB);
        assert_eq!(rounds.due(&[target("a"), target("b")], at(30)), [target("a")], "it was told already");
        let many = rounds.measured(&target("c"), Usage { files: FILES + 1, ..bytes(5) }, MS, at(0));
        assert!(many.expect("too many files").contains("1000000 files"));
        assert!(rounds.measured(&target("d"), Usage { too_deep: true, ..bytes(5) }, MS, at(0)).is_some());
    }

    #[test]
    fn an_idle_layer_rests_longer_the_more_it_costs() {
        let mut rounds = DiskSchedule::default();
        let both = [target("small"), target("large")];
        assert_eq!(rounds.due(&both, at(0)).len(), 2);
        rounds.measured(&both[0], bytes(1), MS, at(0));
        rounds.measured(&both[1], bytes(GB), at(2), at(0));
        rounds.measured(&both[1], bytes(GB), at(2), at(0));
        assert_eq!(rounds.due(&both, at(59)), []);
        assert_eq!(rounds.due(&both, at(61)), [both[0].clone()]);
        assert_eq!(rounds.due(&both, at(399)), [both[0].clone()]);
        assert_eq!(rounds.due(&both, at(401)), both);
    }

    #[test]
    fn falling_space_and_growth_are_followed_closely() {
        let mut rounds = DiskSchedule::default();
        let both = [target("a"), target("b")];
        both.iter().for_each(|target| drop(rounds.measured(target, bytes(1), MS, at(0))));
        rounds.free(100 * GB);
        assert_eq!(rounds.due(&both, at(3)), []);
        rounds.free(100 * GB - FALL / 2);
        assert_eq!(rounds.due(&both, at(4)), [], "a little is no reason");
        rounds.free(100 * GB - FALL);
        assert_eq!(rounds.due(&both, at(5)).len(), 2, "many littles are");
        rounds.measured(&both[0], bytes(1), MS, at(5));
        rounds.measured(&both[1], bytes(GB), MS, at(5));
        assert_eq!(rounds.due(&both, at(8)), [both[1].clone()], "the one that grew");
    }

    #[test]
    fn a_round_is_bounded_and_everyone_has_a_turn() {
        let mut rounds = DiskSchedule::default();
        let all: Vec<Target> = (0..40).map(|n| target(&format!("{n}"))).collect();
        let mut turns = Vec::new();
        for second in 0..3 {
            let due = rounds.due(&all, at(second));
            assert!(due.len() <= PER_ROUND);
            due.iter().for_each(|target| drop(rounds.measured(target, bytes(1), MS, at(second))));
            turns.extend(due);
        }
        turns.sort_by(|a, b| a.container.cmp(&b.container));
        turns.dedup();
        assert_eq!(turns.len(), all.len());
    }
}
