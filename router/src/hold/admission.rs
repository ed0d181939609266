//! Admission: whether a request goes on, waits or is refused, by the state of its route and the availability of its instances.
//! Pure.

use std::time::Duration;

use model::RouteState;

use crate::config::Times;
use crate::pages::Refusal;
use crate::routing::table::{Availability, Pool};

/// Requests per instance that may be in flight while held ones are let go: an app that just woke is not run over.
const PACE: u32 = 64;

/// What the state of a route means for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It goes on.
    Go,
    /// It waits, at most so long, and is then refused.
    Hold(Duration, Refusal),
    /// It is refused at once.
    Refuse(Refusal),
}

/// Decides for one request.
pub fn admission(state: RouteState, availability: Availability, times: &Times) -> Admission {
    match (state, availability) {
        (RouteState::Maintenance, _) => Admission::Refuse(Refusal::Maintenance),
        (RouteState::Stopped, _) => Admission::Refuse(Refusal::Stopped),
        (RouteState::Empty, _) => Admission::Refuse(Refusal::Empty),
        (RouteState::Failed, _) => Admission::Refuse(Refusal::Failed),
        (RouteState::Paused, _) => Admission::Hold(times.paused, Refusal::Paused),
        (RouteState::Ready, Availability::Ready) => Admission::Go,
        (RouteState::Ready, Availability::Starting) => Admission::Hold(times.starting, Refusal::NoInstance),
        (RouteState::Ready, Availability::Missing) => Admission::Hold(times.missing, Refusal::NoInstance),
        (RouteState::Ready, Availability::Down) => Admission::Refuse(Refusal::Down),
    }
}

/// How many more held requests may be let go to this pool now.
pub fn room(pool: &Pool) -> usize {
    let limit = PACE * pool.backends.len() as u32;
    let busy: u32 = pool.backends.iter().map(|backend| backend.load().requests()).sum();
    limit.saturating_sub(busy) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_and_availability() {
        let times = Times::default();
        let of = |state, availability| admission(state, availability, &times);
        assert_eq!(of(RouteState::Ready, Availability::Ready), Admission::Go);
        assert_eq!(of(RouteState::Ready, Availability::Starting), Admission::Hold(times.starting, Refusal::NoInstance));
        assert_eq!(of(RouteState::Ready, Availability::Down), Admission::Refuse(Refusal::Down));
        assert_eq!(of(RouteState::Paused, Availability::Ready), Admission::Hold(times.paused, Refusal::Paused));
        assert_eq!(of(RouteState::Stopped, Availability::Ready), Admission::Refuse(Refusal::Stopped));
        assert_eq!(of(RouteState::Maintenance, Availability::Ready), Admission::Refuse(Refusal::Maintenance));
    }
}
