//! `trace`: which way a request would take, as steps that a person can read. Pure; never sends anything.

use std::fmt;

use model::{AppEnv, Hostname, InstanceId, RouteState};
use serde::{Deserialize, Serialize};

use crate::config::Times;
use crate::hold::admission::{Admission, admission};
use crate::routing::table::{Availability, Table};

/// One step of a request's way.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// No rule has this host name: 404.
    NoRule(Hostname),
    /// The rule of this host name leads to this app, in this state.
    Rule(Hostname, AppEnv, RouteState),
    /// The request is held, or refused, or goes on.
    Admission(Admission),
    /// It may go to this instance, with so much in flight to it now.
    Instance(InstanceId, std::net::SocketAddr, u32),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRule(host) => write!(f, "no rule has the host name {host}: 404"),
            Self::Rule(host, app, state) => write!(f, "{host} leads to {app}, which is {}", format!("{state:?}").to_lowercase()),
            Self::Admission(Admission::Go) => f.write_str("it is let through at once"),
            Self::Admission(Admission::Hold(limit, _)) => write!(f, "it is held for at most {} s", limit.as_secs()),
            Self::Admission(Admission::Refuse(refusal)) => write!(f, "it is refused: {}", refusal.status()),
            Self::Instance(id, address, load) => write!(f, "it may go to {id} at {address}, with {load} in flight"),
        }
    }
}

/// The way of a request, as the status port and the API give it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// The host name that was asked for.
    pub host: Hostname,
    /// The app that it leads to.
    pub app: Option<AppEnv>,
    /// Each step, in words.
    pub steps: Vec<String>,
}

/// The steps of a request for `host`.
pub fn trace(table: &Table, host: &Hostname, times: &Times) -> Trace {
    let steps = steps(table, host, times);
    let app = table.find(host).map(|rule| rule.app.clone());
    Trace { host: host.clone(), app, steps: steps.iter().map(Step::to_string).collect() }
}

fn steps(table: &Table, host: &Hostname, times: &Times) -> Vec<Step> {
    let Some(rule) = table.find(host) else { return vec![Step::NoRule(host.clone())] };
    let pool = table.pool(&rule.app);
    let admitted = admission(rule.state, pool.map_or(Availability::Missing, |pool| pool.availability), times);
    let mut steps = vec![Step::Rule(host.clone(), rule.app.clone(), rule.state), Step::Admission(admitted)];
    if !matches!(admitted, Admission::Refuse(_)) {
        let backends = pool.into_iter().flat_map(|pool| &pool.backends);
        steps.extend(backends.map(|backend| Step::Instance(backend.id.clone(), backend.address, backend.load().requests())));
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::table::table;
    use crate::routing::table::tests::{route, status};

    #[test]
    fn the_way_of_a_request() {
        let made = table(&[route("shop.localhost", "acme/shop/prod")], &[status("i-0000000001", "acme/shop/prod", 80)], &Table::default());
        let say = |host: &str| trace(&made, &host.parse().expect("a host name"), &Times::default()).steps;
        assert_eq!(
            say("shop.localhost"),
            [
                "shop.localhost leads to acme/shop/prod, which is ready",
                "it is let through at once",
                "it may go to i-0000000001 at 127.0.0.1:80, with 0 in flight"
            ]
        );
        assert_eq!(say("other.localhost"), ["no rule has the host name other.localhost: 404"]);
    }
}
