//! When a request that failed is sent again: the table, and the budget that keeps retries from becoming the load.
//!
//! | what happened | retry |
//! |---|---|
//! | not connected, nothing sent | always, another instance first, at most 3 times |
//! | a reused connection closed before any answer, idempotent method, body buffered or none | once, on a fresh connection |
//! | the same, another method, nothing of the request written | once, on a fresh connection |
//! | anything else: an answer began, a POST was sent, the app said 502 | never |
//!
//! Owns the decision. Must never send a request twice that may have been acted on: a POST whose head went out is not
//! repeated, even without a body. Pure.

use http::Method;

/// The most connects for one request after the first.
pub const MAX_CONNECTS: u32 = 3;
/// The largest request body that is kept to be sent again, in bytes.
pub const MAX_REPLAY: usize = 64 * 1024;

/// How an attempt failed that may be made again. An answer that had begun, was nonsense or came too late is never one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No connection was made: nothing was sent.
    NotConnected,
    /// The connection ended before the first byte of an answer.
    Broke {
        /// Whether it had carried requests before.
        reused: bool,
        /// Bytes of this request that were written to it.
        written: u64,
        /// Whether the whole request can be sent again.
        replayable: bool,
    },
}

/// How many times this request was already sent again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tries {
    /// After a connect that failed.
    pub connects: u32,
    /// After a reused connection that broke.
    pub breaks: u32,
}

/// Whether the request is sent again; the budget is asked apart from this.
pub fn should_retry(failure: Failure, method: &Method, tries: Tries) -> bool {
    match failure {
        Failure::NotConnected => tries.connects < MAX_CONNECTS,
        Failure::Broke { reused: true, written, replayable } => tries.breaks == 0 && replayable && (written == 0 || method.is_idempotent()),
        Failure::Broke { reused: false, .. } => false,
    }
}

const WINDOW: usize = 10;
/// Retries that are always allowed within a window, so that a quiet router can retry at all.
const FLOOR: u32 = 20;

/// At most one retry for five requests over ten seconds.
#[derive(Debug, Default, Clone)]
pub struct Budget {
    seconds: [(u64, u32, u32); WINDOW],
}

impl Budget {
    fn at(&mut self, second: u64) -> &mut (u64, u32, u32) {
        let slot = &mut self.seconds[second as usize % WINDOW];
        if slot.0 != second {
            *slot = (second, 0, 0);
        }
        slot
    }

    /// Counts a request.
    pub fn request(&mut self, second: u64) {
        self.at(second).1 += 1;
    }

    /// Takes one retry, if it is still in the budget.
    pub fn take(&mut self, second: u64) -> bool {
        let recent = self.seconds.iter().filter(|slot| slot.0 + WINDOW as u64 > second);
        let (requests, retries) = recent.fold((0, 0), |sum, slot| (sum.0 + slot.1, sum.1 + slot.2));
        let allowed = retries < FLOOR.max(requests / 5);
        if allowed {
            self.at(second).2 += 1;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_table() {
        let none = Tries::default();
        let broke = |reused, written, replayable| Failure::Broke { reused, written, replayable };
        for method in [Method::GET, Method::POST] {
            assert!(should_retry(Failure::NotConnected, &method, none));
            assert!(!should_retry(Failure::NotConnected, &method, Tries { connects: 3, breaks: 0 }));
            assert!(should_retry(broke(true, 0, true), &method, none));
            assert!(!should_retry(broke(false, 10, true), &method, none));
        }
        for (method, expected) in
            [(Method::GET, true), (Method::PUT, true), (Method::DELETE, true), (Method::POST, false), (Method::PATCH, false)]
        {
            assert_eq!(should_retry(broke(true, 10, true), &method, none), expected, "{method}");
            assert!(!should_retry(broke(true, 10, false), &method, none));
            assert!(!should_retry(broke(true, 10, true), &method, Tries { connects: 0, breaks: 1 }));
        }
    }

    proptest! {
        #[test]
        fn retries_stay_in_the_budget(load in prop::collection::vec((0u32..60, 0u32..60), 1..40)) {
            let (mut budget, mut log) = (Budget::default(), Vec::new());
            for (second, (requests, wanted)) in load.into_iter().enumerate() {
                let second = second as u64 + 100;
                for _ in 0..requests {
                    budget.request(second);
                }
                let taken = (0..wanted).filter(|_| budget.take(second)).count() as u32;
                log.push((requests, taken));
                let window = &log[log.len().saturating_sub(WINDOW)..];
                let (requests, taken) = window.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
                // A window that loses a busy second may be over by what that second had allowed; it takes no new ones then.
                let earlier: u32 = log.iter().rev().take(2 * WINDOW).map(|one| one.0).sum();
                prop_assert!(taken <= FLOOR.max(earlier / 5).max(requests / 5));
            }
        }
    }
}
