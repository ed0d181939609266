//! The table: host name → rule → pool of backends, as one immutable value that is swapped whole.
//!
//! Owns which instances a host name leads to. Must never be changed in place, and never cost by the number of hosts when one
//! app changes: both maps are in shards, and a shard that did not change is shared with the table before.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;
use std::time::Duration;

use model::{AppEnv, Hostname, InstanceId, InstanceState, InstanceStatus, Route, RouteState};

use crate::routing::backend::{Backend, Load};

const SHARDS: usize = 256;
/// The process type that takes requests.
const WEB: &str = "web";

/// What is done with requests for one host name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Which app answers.
    pub app: AppEnv,
    /// Whether it is asked at all.
    pub state: RouteState,
    /// How long it may take to the first byte.
    pub first_byte: Duration,
}

/// Why a pool has no backend, as far as it matters to a waiting request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    /// It has some.
    Ready,
    /// An instance is being started or mended: it is worth waiting.
    Starting,
    /// There is none; the scheduler may just be moving it.
    Missing,
    /// There are some and they stay down: flapping, or without an image.
    Down,
}

/// The backends of one app.
#[derive(Debug)]
pub struct Pool {
    /// Which app.
    pub app: AppEnv,
    /// Instances that take requests.
    pub backends: Vec<Arc<Backend>>,
    /// What to expect when there is none.
    pub availability: Availability,
}

type Shards<K, V> = Vec<Arc<HashMap<K, Arc<V>>>>;

/// Everything the request path knows of routes and instances.
#[derive(Debug, Clone)]
pub struct Table {
    generation: u64,
    next_key: u64,
    hasher: RandomState,
    rules: Shards<Hostname, Rule>,
    pools: Shards<AppEnv, Pool>,
}

impl Default for Table {
    fn default() -> Self {
        let rules = (0..SHARDS).map(|_| Arc::default()).collect();
        let pools = (0..SHARDS).map(|_| Arc::default()).collect();
        Self { generation: 0, next_key: 1, hasher: RandomState::new(), rules, pools }
    }
}

/// Builds the table of all routes and instances. What did not change is shared with `previous`, and a backend that stays
/// keeps its counter.
pub fn table(routes: &[Route], instances: &[InstanceStatus], previous: &Table) -> Table {
    let mut next = Table { generation: previous.generation + 1, ..previous.clone() };

    let mut by_shard: Vec<Vec<&Route>> = vec![Vec::new(); SHARDS];
    for route in routes {
        by_shard[next.shard(&route.hostname)].push(route);
    }
    for (shard, routes) in by_shard.into_iter().enumerate() {
        let old = &previous.rules[shard];
        let new: HashMap<_, _> = routes.into_iter().map(|route| (route.hostname.clone(), next.rule(route))).collect();
        if new.len() != old.len() || new.iter().any(|(host, rule)| old.get(host).is_none_or(|old| !Arc::ptr_eq(old, rule))) {
            next.rules[shard] = Arc::new(new);
        }
    }

    let mut by_app: HashMap<&AppEnv, Vec<&InstanceStatus>> = HashMap::new();
    for instance in instances.iter().filter(|instance| instance.process.as_str() == WEB) {
        by_app.entry(&instance.app).or_default().push(instance);
    }
    let mut by_shard: Vec<HashMap<AppEnv, Arc<Pool>>> = vec![HashMap::new(); SHARDS];
    for (app, instances) in by_app {
        let shard = next.shard(app);
        by_shard[shard].insert(app.clone(), next.build_pool(app, &instances));
    }
    for (shard, new) in by_shard.into_iter().enumerate() {
        let old = &previous.pools[shard];
        if new.len() != old.len() || new.iter().any(|(app, pool)| old.get(app).is_none_or(|old| !Arc::ptr_eq(old, pool))) {
            next.pools[shard] = Arc::new(new);
        }
    }
    next
}

impl Table {
    /// Counts up with every table.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// What is done with requests for `host`.
    pub fn find(&self, host: &Hostname) -> Option<&Arc<Rule>> {
        self.rules[self.shard(host)].get(host)
    }

    /// The backends of `app`; none when no instance of it is known.
    pub fn pool(&self, app: &AppEnv) -> Option<&Arc<Pool>> {
        self.pools[self.shard(app)].get(app)
    }

    /// Whether it says the same as `other`, from which it was made.
    pub fn is_same(&self, other: &Self) -> bool {
        let same_rules = self.rules.iter().zip(&other.rules).all(|(a, b)| Arc::ptr_eq(a, b));
        same_rules && self.pools.iter().zip(&other.pools).all(|(a, b)| Arc::ptr_eq(a, b))
    }

    /// How many host names it has.
    pub fn hosts(&self) -> usize {
        self.rules.iter().map(|shard| shard.len()).sum()
    }

    /// The same table with other instances of one app: copies one shard, whatever the number of apps.
    pub fn with_instances(&self, app: &AppEnv, instances: &[InstanceStatus]) -> Self {
        let mut next = Self { generation: self.generation + 1, ..self.clone() };
        let instances: Vec<_> = instances.iter().filter(|one| one.app == *app && one.process.as_str() == WEB).collect();
        let shard = next.shard(app);
        let mut pools = HashMap::clone(&self.pools[shard]);
        if instances.is_empty() {
            pools.remove(app);
        } else {
            pools.insert(app.clone(), next.build_pool(app, &instances));
        }
        next.pools[shard] = Arc::new(pools);
        next
    }

    /// The same table with one more or one changed route: copies one shard.
    pub fn with_route(&self, route: &Route) -> Self {
        let mut next = Self { generation: self.generation + 1, ..self.clone() };
        let shard = next.shard(&route.hostname);
        let mut rules = HashMap::clone(&self.rules[shard]);
        rules.insert(route.hostname.clone(), next.rule(route));
        next.rules[shard] = Arc::new(rules);
        next
    }

    /// The same table without one host name: copies one shard.
    pub fn without_route(&self, host: &Hostname) -> Self {
        let mut next = Self { generation: self.generation + 1, ..self.clone() };
        let shard = next.shard(host);
        let mut rules = HashMap::clone(&self.rules[shard]);
        rules.remove(host);
        next.rules[shard] = Arc::new(rules);
        next
    }

    /// Backends of this table that `next` has no more.
    pub fn departed(&self, next: &Self) -> Vec<Arc<Backend>> {
        let changed = self.pools.iter().zip(&next.pools).filter(|(old, new)| !Arc::ptr_eq(old, new));
        let gone_from =
            |new: Option<&Arc<Pool>>, backend: &Backend| new.is_none_or(|pool| !pool.backends.iter().any(|one| one.key == backend.key));
        changed
            .flat_map(|(old, _)| old.values())
            .flat_map(|pool| pool.backends.iter().filter(|backend| gone_from(next.pool(&pool.app), backend)))
            .cloned()
            .collect()
    }

    /// All backends, for whoever lists them.
    pub fn backends(&self) -> impl Iterator<Item = (&AppEnv, &Arc<Backend>)> {
        self.pools.iter().flat_map(|shard| shard.values()).flat_map(|pool| pool.backends.iter().map(|backend| (&pool.app, backend)))
    }

    fn shard(&self, key: &impl Hash) -> usize {
        self.hasher.hash_one(key) as usize % SHARDS
    }

    /// The rule of a route, the previous one when it says the same.
    fn rule(&self, route: &Route) -> Arc<Rule> {
        let first_byte = Duration::from_secs(route.first_byte_s.max(1).into());
        match self.find(&route.hostname) {
            Some(old) if old.app == route.app && old.state == route.state && old.first_byte == first_byte => Arc::clone(old),
            _ => Arc::new(Rule { app: route.app.clone(), state: route.state, first_byte }),
        }
    }

    /// The pool of these instances, the previous one when nothing changed.
    fn build_pool(&mut self, app: &AppEnv, instances: &[&InstanceStatus]) -> Arc<Pool> {
        let old = self.pools[self.shard(app)].get(app).cloned();
        let known = |id: &InstanceId| old.as_ref().and_then(|pool| pool.backends.iter().find(|backend| backend.id == *id));
        let mut backends = Vec::new();
        for status in instances.iter().filter(|status| status.state.takes_requests()) {
            let Some(address) = status.address else { continue };
            backends.push(match known(&status.id) {
                Some(backend) if backend.is(status, address) => Arc::clone(backend),
                other => {
                    let load = other.map_or_else(Arc::<Load>::default, |backend| Arc::clone(backend.load()));
                    self.next_key += 1;
                    Arc::new(Backend::new(self.next_key, status, address, load))
                }
            });
        }
        backends.sort_by(|a, b| a.id.cmp(&b.id));
        let availability = availability(!backends.is_empty(), instances);
        let same = |old: &Pool| {
            old.availability == availability
                && old.backends.len() == backends.len()
                && old.backends.iter().zip(&backends).all(|(a, b)| a.key == b.key)
        };
        match old {
            Some(old) if same(&old) => old,
            _ => Arc::new(Pool { app: app.clone(), backends, availability }),
        }
    }
}

fn availability(ready: bool, instances: &[&InstanceStatus]) -> Availability {
    use InstanceState as S;
    let any = |states: &[S]| instances.iter().any(|one| states.contains(&one.state));
    if ready {
        Availability::Ready
    } else if any(&[S::Pulling, S::Starting, S::Unhealthy, S::Crashed]) {
        Availability::Starting
    } else if any(&[S::Flapping, S::ImageMissing, S::ImagePullFailed]) {
        Availability::Down
    } else {
        Availability::Missing
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use model::ReleaseNumber;
    use proptest::prelude::*;

    pub(crate) fn status(id: &str, app: &str, port: u16) -> InstanceStatus {
        InstanceStatus {
            id: id.parse().expect("an id"),
            app: app.parse().expect("an app"),
            process: "web".parse().expect("a process"),
            ordinal: 1,
            release: ReleaseNumber(1),
            epoch: 0,
            host: "here".parse().expect("a host"),
            zone: "a".parse().expect("a zone"),
            state: InstanceState::Healthy,
            address: Some(([127, 0, 0, 1], port).into()),
            since: model::Time::UNIX_EPOCH,
            restarts: 0,
            last_exit: None,
            reason: None,
            code: None,
        }
    }

    pub(crate) fn route(host: &str, app: &str) -> Route {
        Route {
            hostname: host.parse().expect("a host name"),
            app: app.parse().expect("an app"),
            state: RouteState::Ready,
            first_byte_s: 30,
        }
    }

    fn id(n: usize) -> String {
        format!("i-{n:010}")
    }

    #[test]
    fn a_swap_of_one_app_shares_everything_else() {
        let routes: Vec<_> = (0..2000).map(|n| route(&format!("app{n}.acme.localhost"), &format!("acme/app{n}/prod"))).collect();
        let mut instances: Vec<_> = (0..2000).map(|n| status(&id(n), &format!("acme/app{n}/prod"), 1000)).collect();
        let first = table(&routes, &instances, &Table::default());
        instances[7] = status(&id(9999), "acme/app7/prod", 1001);
        let second = table(&routes, &instances, &first);
        let shared = |a: &Table, b: &Table| a.pools.iter().zip(&b.pools).filter(|(a, b)| Arc::ptr_eq(a, b)).count();
        assert_eq!(shared(&first, &second), SHARDS - 1);
        assert!(first.rules.iter().zip(&second.rules).all(|(a, b)| Arc::ptr_eq(a, b)), "no host name changed");
        assert_eq!(first.departed(&second).iter().map(|b| b.id.to_string()).collect::<Vec<_>>(), [id(7)]);

        let third = first.with_instances(&"acme/app7/prod".parse().expect("an app"), &instances[7..8]);
        assert_eq!(shared(&first, &third), SHARDS - 1);
        assert_eq!(third.backends().count(), 2000);
    }

    #[test]
    fn a_backend_that_stays_keeps_its_counter_and_one_that_restarts_gets_a_new_key() {
        let routes = [route("a.b", "acme/shop/prod")];
        let first = table(&routes, &[status(&id(1), "acme/shop/prod", 1)], &Table::default());
        let app = "acme/shop/prod".parse().expect("an app");
        let lease = first.pool(&app).expect("a pool").backends[0].lease();
        let same = table(&routes, &[status(&id(1), "acme/shop/prod", 1)], &first);
        assert!(Arc::ptr_eq(same.pool(&app).expect("a pool"), first.pool(&app).expect("a pool")) && same.is_same(&first));
        let moved = table(&routes, &[status(&id(1), "acme/shop/prod", 2)], &same);
        let backend = &moved.pool(&app).expect("a pool").backends[0];
        assert_ne!(backend.key, lease.backend().key);
        assert_eq!(backend.load().requests(), 1);
        assert_eq!(same.departed(&moved).len(), 1);
    }

    #[test]
    fn only_healthy_web_instances_with_an_address_are_backends() {
        let app: AppEnv = "acme/shop/prod".parse().expect("an app");
        let with = |change: fn(&mut InstanceStatus)| {
            let mut one = status(&id(1), "acme/shop/prod", 1);
            change(&mut one);
            table(&[route("a.b", "acme/shop/prod")], &[one], &Table::default())
        };
        assert!(with(|one| one.process = "worker".parse().expect("a process")).pool(&app).is_none());
        for (state, expected) in [
            (InstanceState::Starting, Availability::Starting),
            (InstanceState::Crashed, Availability::Starting),
            (InstanceState::Flapping, Availability::Down),
            (InstanceState::Draining, Availability::Missing),
            (InstanceState::Healthy, Availability::Ready),
        ] {
            let mut one = status(&id(1), "acme/shop/prod", 1);
            one.state = state;
            let made = table(&[], &[one], &Table::default());
            let pool = made.pool(&app).expect("a pool");
            assert_eq!((pool.availability, pool.backends.len()), (expected, usize::from(expected == Availability::Ready)));
        }
        assert!(with(|one| one.address = None).pool(&app).expect("a pool").backends.is_empty());
    }

    proptest! {
        /// However tables follow each other, a table says exactly what its inputs say.
        #[test]
        fn a_table_depends_on_its_inputs_alone(steps in prop::collection::vec((prop::collection::btree_set(0usize..40, 0..20), prop::collection::btree_set(0usize..40, 0..20)), 1..6)) {
            let mut last = Table::default();
            for (hosts, ids) in steps {
                let routes: Vec<_> = hosts.iter().map(|n| route(&format!("h{n}.x"), &format!("acme/a{}/prod", n % 7))).collect();
                let instances: Vec<_> = ids.iter().map(|n| status(&id(*n), &format!("acme/a{}/prod", n % 7), 1)).collect();
                let next = table(&routes, &instances, &last);
                let fresh = table(&routes, &instances, &Table::default());
                prop_assert_eq!(next.hosts(), hosts.len());
                for n in 0..40 {
                    let host = format!("h{n}.x").parse().expect("a host name");
                    prop_assert_eq!(next.find(&host).is_some(), hosts.contains(&n));
                    prop_assert_eq!(next.find(&host), fresh.find(&host));
                }
                let ids_of = |table: &Table| { let mut all: Vec<_> = table.backends().map(|(app, b)| (app.clone(), b.id.clone())).collect(); all.sort(); all };
                prop_assert_eq!(ids_of(&next), ids_of(&fresh));
                let gone: Vec<_> = last.departed(&next).iter().map(|b| b.key).collect();
                for (_, backend) in last.backends() {
                    let stays = next.backends().any(|(_, b)| b.key == backend.key);
                    prop_assert_eq!(gone.contains(&backend.key), !stays);
                }
                last = next;
            }
        }
    }
}
