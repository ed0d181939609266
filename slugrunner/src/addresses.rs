//! Which address of the app network belongs to which container. Addresses go round, so that one is not used again at once:
//! a router that is a moment behind must not reach another tenant's instance.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use ipnet::Ipv4Net;

/// The pool of one network; clones share it.
#[derive(Debug, Clone)]
pub struct AddressPool {
    subnet: Ipv4Net,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    taken: BTreeSet<Ipv4Addr>,
    last: Option<Ipv4Addr>,
}

impl AddressPool {
    /// An empty pool.
    pub fn new(subnet: Ipv4Net) -> Self {
        Self { subnet, inner: Arc::default() }
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().expect("no holder of the pool's lock panics")
    }

    /// Takes the next free address; none when all are taken.
    pub fn take(&self) -> Option<Ipv4Addr> {
        let mut inner = self.inner();
        let last = inner.last;
        let free = |address: &Ipv4Addr| !inner.taken.contains(address);
        // The first address is the bridge's own.
        let usable = || self.subnet.hosts().skip(1);
        let next = usable().filter(|address| last.is_none_or(|last| *address > last)).find(free).or_else(|| usable().find(free))?;
        inner.taken.insert(next);
        inner.last = Some(next);
        Some(next)
    }

    /// Notes that a container has an address already.
    pub fn mark(&self, address: Ipv4Addr) {
        self.inner().taken.insert(address);
    }

    /// Gives an address back.
    pub fn release(&self, address: Ipv4Addr) {
        self.inner().taken.remove(&address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_go_round_and_run_out() {
        let pool = AddressPool::new("10.0.0.0/29".parse().expect("a subnet"));
        pool.mark(Ipv4Addr::new(10, 0, 0, 3));
        let first = pool.take().expect("an address");
        pool.release(first);
        let second = pool.take().expect("an address");
        assert_ne!(first, second, "an address was used again at once");
        assert!((0..3).all(|_| pool.take().is_some()));
        assert_eq!(pool.take(), None);
    }
}
