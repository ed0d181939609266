//! How long to wait after a crash: 1 s, doubled with each crash up to 5 minutes; five crashes within 5 minutes are flapping;
//! ten healthy minutes reset the count. Pure: the time is an argument.

use chrono::TimeDelta;
use model::Time;

const FIRST: TimeDelta = TimeDelta::seconds(1);
const LONGEST: TimeDelta = TimeDelta::minutes(5);
const WINDOW: TimeDelta = TimeDelta::minutes(5);
const FLAPPING_AT: usize = 5;
const FORGIVEN_AFTER: TimeDelta = TimeDelta::minutes(10);

/// The crashes of one instance, or the failed pulls of its image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CrashBackoff {
    /// The last ones, oldest first, at most as many as flapping needs.
    recent: Vec<Time>,
    /// How many in a row, without ten healthy minutes in between.
    streak: u32,
    healthy_since: Option<Time>,
}

/// What a crash leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    /// Not started again before this.
    pub until: Time,
    /// Whether it crashes so often that its owner must hear of it.
    pub flapping: bool,
}

impl CrashBackoff {
    /// It became healthy.
    pub fn healthy(&mut self, now: Time) {
        self.healthy_since.get_or_insert(now);
    }

    /// It is not healthy any more, without having crashed.
    pub fn unhealthy(&mut self) {
        self.healthy_since = None;
    }

    /// It crashed.
    pub fn crashed(&mut self, now: Time) -> Pause {
        if self.healthy_since.take().is_some_and(|since| now - since >= FORGIVEN_AFTER) {
            *self = Self::default();
        }
        self.streak = self.streak.saturating_add(1);
        self.recent.push(now);
        if self.recent.len() > FLAPPING_AT {
            self.recent.remove(0);
        }
        // 2^9 s is beyond the longest pause; a larger shift would overflow.
        let delay = (FIRST * 2_i32.pow((self.streak - 1).min(9))).min(LONGEST);
        let flapping = self.recent.len() >= FLAPPING_AT && now - self.recent[0] <= WINDOW;
        // Once the pauses are long, five crashes do not fit into the window any more; it flaps all the same.
        Pause { until: now + delay, flapping: flapping || self.streak as usize > FLAPPING_AT }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: i64) -> Time {
        Time::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    #[test]
    fn pauses_double_up_to_five_minutes_and_the_fifth_crash_flaps() {
        let mut crashes = CrashBackoff::default();
        let mut now = at(0);
        let mut delays = Vec::new();
        for n in 1..=11 {
            let pause = crashes.crashed(now);
            assert_eq!(pause.flapping, n >= 5, "crash {n}");
            delays.push((pause.until - now).num_seconds());
            now = pause.until;
        }
        assert_eq!(delays, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    }

    #[test]
    fn ten_healthy_minutes_forgive_and_nine_do_not() {
        let mut crashes = CrashBackoff::default();
        for n in 0..6 {
            crashes.crashed(at(n));
        }
        crashes.healthy(at(100));
        assert!((crashes.clone().crashed(at(100 + 540)).until - at(640)).num_seconds() > 1);
        let pause = crashes.crashed(at(100 + 600));
        assert_eq!(pause, Pause { until: at(701), flapping: false });
    }

    proptest! {
        #[test]
        fn a_pause_never_shrinks_without_health_and_never_exceeds_the_longest(gaps in prop::collection::vec(0_i64..1000, 1..40)) {
            let mut crashes = CrashBackoff::default();
            let (mut now, mut before) = (at(0), TimeDelta::zero());
            for gap in gaps {
                now += TimeDelta::seconds(gap);
                let delay = crashes.crashed(now).until - now;
                prop_assert!(delay >= before && delay <= LONGEST);
                before = delay;
            }
        }
    }
}
