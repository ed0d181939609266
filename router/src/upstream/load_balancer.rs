//! Which backend takes a request: the better of two drawn at random.
//!
//! Owns the policy: (in flight + 1) × recent latency, a slow start for new instances, ejected ones avoided unless too few
//! are left. Must never wait or remember: pure, randomness is an argument.

use fastrand::Rng;
use std::time::Duration;

/// How long a new instance is warmed up.
pub const SLOW_START: Duration = Duration::from_secs(10);

/// What one worker knows of one backend at this moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// Requests in flight, over all workers.
    pub in_flight: u32,
    /// Recent latency in milliseconds; none before the first answer.
    pub latency_ms: Option<f64>,
    /// For how long it has been healthy.
    pub age: Duration,
    /// Whether this worker keeps away from it after failures.
    pub ejected: bool,
    /// Whether this request has already failed on it.
    pub tried: bool,
}

impl Candidate {
    /// The share of its traffic that an instance of this age gets: a tenth at first, all after the slow start.
    fn weight(&self) -> f64 {
        (self.age.as_secs_f64() / SLOW_START.as_secs_f64()).clamp(0.1, 1.0)
    }

    /// What a request on it costs; `other` lends its latency to one that has none yet.
    fn cost(&self, other: &Self) -> f64 {
        let latency = self.latency_ms.or(other.latency_ms).unwrap_or(1.0);
        (f64::from(self.in_flight) + 1.0) * latency.max(0.05)
    }
}

/// Picks one of `count` candidates, of which `look` tells; none only when there are none.
pub fn pick(count: usize, look: impl Fn(usize) -> Candidate, random: &mut Rng) -> Option<usize> {
    match count {
        0 => return None,
        1 => return Some(0),
        _ => {}
    }
    // Two at random decide it nearly always; the scan runs only when one of them must be avoided.
    let (first, second) = two(count, random);
    let (a, b) = (look(first), look(second));
    if !(a.ejected || b.ejected || a.tried || b.tried) {
        return Some(if prefer_first(&a, &b, random) { first } else { second });
    }
    let all: Vec<Candidate> = (0..count).map(look).collect();
    let usable = all.iter().filter(|one| !one.ejected).count();
    // Under half healthy, the fault is more likely ours or everyone's: use all rather than bury the rest.
    let panic = usable * 2 < count;
    let good = |one: &Candidate| !one.tried && (panic || !one.ejected);
    let mut left: Vec<usize> = (0..count).filter(|at| good(&all[*at])).collect();
    if left.is_empty() {
        left = (0..count).filter(|at| !all[*at].tried).collect();
    }
    if left.is_empty() {
        left = (0..count).collect();
    }
    if left.len() == 1 {
        return Some(left[0]);
    }
    let (first, second) = two(left.len(), random);
    let (first, second) = (left[first], left[second]);
    Some(if prefer_first(&all[first], &all[second], random) { first } else { second })
}

/// Two different numbers below `count`.
fn two(count: usize, random: &mut Rng) -> (usize, usize) {
    let first = random.usize(..count);
    let second = random.usize(..count - 1);
    (first, if second >= first { second + 1 } else { second })
}

fn prefer_first(a: &Candidate, b: &Candidate, random: &mut Rng) -> bool {
    // A new instance stands for the draw only as often as its weight says; of two new ones the warmer is the measure.
    let (weight_a, weight_b) = (a.weight(), b.weight());
    if weight_a < weight_b && random.f64() >= weight_a / weight_b {
        return false;
    }
    if weight_b < weight_a && random.f64() >= weight_b / weight_a {
        return true;
    }
    let (cost_a, cost_b) = (a.cost(b), b.cost(a));
    if (cost_a - cost_b).abs() < f64::EPSILON { random.bool() } else { cost_a < cost_b }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WARM: Candidate = Candidate { in_flight: 0, latency_ms: Some(5.0), age: Duration::from_secs(60), ejected: false, tried: false };

    fn shares(all: &[Candidate], seed: u64) -> Vec<f64> {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut hits = vec![0u32; all.len()];
        for _ in 0..4000 {
            hits[pick(all.len(), |at| all[at], &mut random).expect("not empty")] += 1;
        }
        hits.iter().map(|n| f64::from(*n) / 4000.0).collect()
    }

    #[test]
    fn equals_share_equally_and_the_idle_one_is_preferred() {
        for share in shares(&[WARM; 4], 1) {
            assert!((share - 0.25).abs() < 0.05, "{share}");
        }
        let busy = Candidate { in_flight: 10, ..WARM };
        assert_eq!(shares(&[busy, WARM], 2), [0.0, 1.0]);
        let slow = Candidate { latency_ms: Some(50.0), ..WARM };
        assert_eq!(shares(&[slow, WARM], 3), [0.0, 1.0]);
    }

    #[test]
    fn an_unmeasured_instance_is_tried() {
        let new = Candidate { latency_ms: None, ..WARM };
        let share = shares(&[new, WARM], 4)[0];
        assert!((share - 0.5).abs() < 0.05, "{share}");
    }

    proptest! {
        /// The share of a new instance never falls while it ages, is small at first, and is full after the slow start.
        #[test]
        fn slow_start(seed in any::<u64>(), fleet in 1usize..5) {
            let mut last = 0.0;
            let full = 1.0 / (fleet + 1) as f64;
            for age in [0u64, 2, 4, 6, 8, 10, 30] {
                let mut all = vec![WARM; fleet];
                all.push(Candidate { age: Duration::from_secs(age), latency_ms: None, ..WARM });
                let share = shares(&all, seed)[fleet];
                prop_assert!(share >= last - 0.04, "{share} after {last} at {age} s");
                if age == 0 {
                    prop_assert!(share > 0.0 && share < 0.25 * full + 0.03, "{share} at the start");
                }
                if age >= 10 {
                    prop_assert!((share - full).abs() < 0.06, "{share} of {full}");
                }
                last = share;
            }
        }

        /// An ejected or tried instance is picked only when nothing better is left, and something is always picked.
        #[test]
        fn avoids_what_failed(flags in prop::collection::vec((any::<bool>(), any::<bool>()), 2..8), seed in any::<u64>()) {
            let all: Vec<_> = flags.iter().map(|(ejected, tried)| Candidate { ejected: *ejected, tried: *tried, ..WARM }).collect();
            let mut random = fastrand::Rng::with_seed(seed);
            let usable = all.iter().filter(|one| !one.ejected).count();
            let picked = all[pick(all.len(), |at| all[at], &mut random).expect("not empty")];
            if all.iter().any(|one| !one.tried) {
                prop_assert!(!picked.tried);
            }
            if usable * 2 >= all.len() && all.iter().any(|one| !one.tried && !one.ejected) {
                prop_assert!(!picked.ejected);
            }
        }
    }
}
