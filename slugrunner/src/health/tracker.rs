//! `HealthTracker`: the health of one container, from the results of its probes. Pure: the age of the container is an argument.

use std::time::Duration;

use model::HealthCheck;
use model::health::Probe;

/// After its first answer, a web process with the default check has to stay up for this part of the time that the answer took, within
/// these bounds. What takes long to start has more that can fail after it; a quick one costs a push next to nothing.
const SETTLING_PART: u32 = 10;
const SETTLING_LEAST: Duration = Duration::from_millis(25);
const SETTLING_MOST: Duration = Duration::from_secs(1);

/// What a probe's result changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transition {
    /// Nothing new.
    Same,
    /// It became healthy.
    Healthy,
    /// It became unhealthy.
    Unhealthy,
    /// Its start time is over.
    GiveUp,
}

/// The health of one container, from the results of its probes.
#[derive(Debug, Clone)]
pub struct HealthTracker {
    check: HealthCheck,
    healthy: bool,
    ever: bool,
    in_row: u32,
    bad_since: Duration,
    /// When it first answered without a failure since.
    answered: Option<Duration>,
}

impl HealthTracker {
    /// Not healthy yet, nothing probed.
    pub fn new(check: HealthCheck) -> Self {
        Self { check, healthy: false, ever: false, in_row: 0, bad_since: Duration::ZERO, answered: None }
    }

    /// Whether it was healthy at any time.
    pub fn was_healthy(&self) -> bool {
        self.ever
    }

    /// What is left of the time that it has to become healthy at an age of the container.
    pub fn start_left(&self, age: Duration) -> Duration {
        Duration::from_secs(self.check.start_s.max(1).into()).saturating_sub(age)
    }

    /// Takes the result of a probe at an age of the container.
    pub fn step(&mut self, age: Duration, passed: bool) -> Transition {
        if passed {
            self.in_row = 0;
            let answered = *self.answered.get_or_insert(age);
            if age < answered + self.settling(answered) {
                return Transition::Same;
            }
            self.ever = true;
            return if std::mem::replace(&mut self.healthy, true) { Transition::Same } else { Transition::Healthy };
        }
        self.answered = None;
        self.in_row = self.in_row.saturating_add(1);
        if self.healthy && self.in_row >= self.check.failures {
            self.healthy = false;
            self.bad_since = age;
            return Transition::Unhealthy;
        }
        // A hung instance gets as long to come back as it had to start.
        let patience = Duration::from_secs(self.check.start_s.max(1).into());
        if !self.healthy && age.saturating_sub(self.bad_since) >= patience { Transition::GiveUp } else { Transition::Same }
    }

    /// How long it has to stay up after its first answer.
    fn settling(&self, answered: Duration) -> Duration {
        match self.check.probe {
            Probe::Web { .. } if !self.ever => (answered / SETTLING_PART).clamp(SETTLING_LEAST, SETTLING_MOST),
            _ => Duration::ZERO,
        }
    }

    /// How long to wait before the next probe.
    pub fn pause(&self, age: Duration) -> Duration {
        let slow = matches!(self.check.probe, Probe::Exec { .. });
        let interval = Duration::from_secs(self.check.interval_s.max(1).into());
        let wait = match (self.healthy, self.ever, self.answered) {
            (true, ..) if self.in_row == 0 => interval,
            // A failure is looked at again soon, in whatever interval its owner chose.
            (true, ..) | (false, true, _) => interval.min(Duration::from_secs(1)),
            (false, false, Some(answered)) => (answered + self.settling(answered)).saturating_sub(age),
            // Somebody waits for the first answer, and asking costs next to nothing.
            (false, false, None) if age < Duration::from_secs(2) => Duration::from_millis(20),
            (false, false, None) if age < Duration::from_secs(5) => Duration::from_millis(100),
            (false, false, None) => Duration::from_millis(250),
        };
        if slow { wait.max(Duration::from_millis(500)) } else { wait }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_once_closes_after_failures_and_gives_up_in_time() {
        let mut tracker = HealthTracker::new(HealthCheck { start_s: 60, failures: 3, interval_s: 10, timeout_s: 5, probe: Probe::Tcp });
        let s = Duration::from_secs;
        assert_eq!([0, 2, 5].map(|age| tracker.pause(s(age)).as_millis()), [20, 100, 250]);
        assert_eq!([tracker.step(s(1), false), tracker.step(s(59), false)], [Transition::Same; 2]);
        assert_eq!(tracker.clone().step(s(60), false), Transition::GiveUp);
        assert_eq!([tracker.step(s(60), true), tracker.step(s(61), true)], [Transition::Healthy, Transition::Same]);
        assert_eq!(tracker.pause(s(61)), s(10));
        assert_eq!([tracker.step(s(71), false), tracker.step(s(72), false)], [Transition::Same; 2]);
        assert_eq!(tracker.pause(s(72)), s(1));
        assert_eq!(tracker.step(s(73), false), Transition::Unhealthy);
        assert_eq!([tracker.step(s(74), false), tracker.step(s(132), false)], [Transition::Same; 2]);
        assert_eq!(tracker.clone().step(s(133), false), Transition::GiveUp);
        assert_eq!(tracker.step(s(133), true), Transition::Healthy);
    }

    #[test]
    fn a_web_process_has_to_stay_up_after_its_first_answer() {
        let ms = Duration::from_millis;
        let fresh = || HealthTracker::new(HealthCheck::web_default());
        let mut quick = fresh();
        assert_eq!((quick.step(ms(40), true), quick.pause(ms(41))), (Transition::Same, ms(24)));
        assert_eq!(quick.step(ms(65), true), Transition::Healthy);
        assert_eq!(quick.pause(ms(65)), Duration::from_secs(10));
        let mut slow = fresh();
        assert_eq!((slow.step(ms(3_000), true), slow.pause(ms(3_000))), (Transition::Same, ms(300)));
        // It went away meanwhile, and came back: its time begins anew.
        assert_eq!([slow.step(ms(3_300), false), slow.step(ms(3_400), true)], [Transition::Same; 2]);
        assert_eq!([slow.step(ms(3_700), true), slow.step(ms(3_740), true)], [Transition::Same, Transition::Healthy]);
        let mut slowest = fresh();
        assert_eq!((slowest.step(ms(50_000), true), slowest.pause(ms(50_000))), (Transition::Same, ms(1_000)));
        let mut tcp = HealthTracker::new(HealthCheck::of(Probe::Tcp));
        assert_eq!(tcp.step(ms(40), true), Transition::Healthy, "an explicit check has no such time");
    }
}
