//! How many connections are served at once, in total and from one address. Pure counts; a permit gives its place back when dropped.
//!
//! Beyond the limits a connection is served in a reduced way: it is asked for its request, `/healthz` is answered, and everything
//! else is told to come back. So whoever holds many connections takes them from nobody else. For IPv6 an address is its /64 network:
//! one machine has that many.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;

/// Connections that are served in the reduced way, in total and from one address.
const REDUCED: usize = 128;
const REDUCED_PER_ADDRESS: usize = 16;

/// How a connection is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    /// Everything.
    Full,
    /// Health, and the word that it is too many.
    Reduced,
}

#[derive(Debug, Default)]
struct Counts {
    total: [usize; 2],
    by_address: HashMap<IpAddr, [usize; 2]>,
}

/// The limits of one listener.
#[derive(Debug)]
pub(crate) struct ConnectionLimits {
    total: usize,
    per_address: usize,
    trusted: Vec<IpNet>,
    counts: Mutex<Counts>,
}

/// A counted connection.
#[derive(Debug)]
pub(crate) struct ConnectionPermit {
    limits: Arc<ConnectionLimits>,
    address: Option<IpAddr>,
    service: Service,
    is_held: bool,
}

impl ConnectionLimits {
    /// At most so many; connections of trusted proxies carry those of many clients and count in total only.
    pub(crate) fn new(total: usize, per_address: usize, trusted: Vec<IpNet>) -> Arc<Self> {
        Arc::new(Self { total, per_address, trusted, counts: Mutex::default() })
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a connection; none when not even the reduced service has one. Without an address it is the operator's own.
    pub(crate) fn admit(self: &Arc<Self>, peer: Option<IpAddr>) -> Option<ConnectionPermit> {
        let address = peer.map(network).filter(|_| !peer.is_some_and(|peer| is_trusted(&self.trusted, peer)));
        let mut counts = self.counts();
        let of_address = address.and_then(|address| counts.by_address.get(&address).copied()).unwrap_or_default();
        let fits = |service: Service| {
            let (total, per_address) = match service {
                Service::Full => (self.total, self.per_address),
                Service::Reduced => (REDUCED, REDUCED_PER_ADDRESS),
            };
            counts.total[service as usize] < total && of_address[service as usize] < per_address
        };
        let service = [Service::Full, Service::Reduced].into_iter().find(|service| fits(*service))?;
        counts.total[service as usize] += 1;
        if let Some(address) = address {
            counts.by_address.entry(address).or_default()[service as usize] += 1;
        }
        drop(counts);
        Some(ConnectionPermit { limits: self.clone(), address, service, is_held: true })
    }
}

impl ConnectionPermit {
    pub(crate) fn service(&self) -> Service {
        self.service
    }

    /// Gives the place back while the connection goes on: it has become a stream, which has limits of its own.
    pub(crate) fn release(&mut self) {
        if !std::mem::replace(&mut self.is_held, false) {
            return;
        }
        let mut counts = self.limits.counts();
        counts.total[self.service as usize] -= 1;
        if let Some(address) = self.address
            && let Some(of_address) = counts.by_address.get_mut(&address)
        {
            of_address[self.service as usize] -= 1;
            if *of_address == [0, 0] {
                counts.by_address.remove(&address);
            }
        }
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.release();
    }
}

/// Whether an address is that of a proxy whose word on its clients is believed.
pub(crate) fn is_trusted(trusted: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    trusted.iter().any(|net| net.contains(&address))
}

/// What counts as one address.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().expect("an address"))
    }

    #[test]
    fn one_address_takes_its_share_and_no_more() {
        let limits = ConnectionLimits::new(10, 3, vec!["10.9.0.0/16".parse().expect("a network")]);
        let mut held: Vec<_> = (0..3 + REDUCED_PER_ADDRESS).map(|_| limits.admit(ip("192.0.2.1")).expect("a place")).collect();
        let full = held.iter().filter(|permit| permit.service() == Service::Full).count();
        assert_eq!((full, limits.admit(ip("192.0.2.1")).is_none()), (3, true));
        assert_eq!(limits.admit(ip("192.0.2.2")).expect("another address").service(), Service::Full);
        // A proxy's connections count in total only; so do those of the operator's socket.
        held.extend((0..4).map(|_| limits.admit(ip("::ffff:10.9.1.1")).expect("a place")));
        held.extend((0..3).map(|_| limits.admit(None).expect("a place")));
        assert_eq!(limits.admit(ip("192.0.2.3")).expect("the total is reached").service(), Service::Reduced);
        drop(held);
        assert!(limits.counts().by_address.is_empty());
        assert_eq!(limits.counts().total, [0, 0]);
    }

    #[test]
    fn a_network_of_ipv6_is_one_address_and_a_stream_gives_its_place_back_once() {
        let limits = ConnectionLimits::new(10, 1, Vec::new());
        let mut first = limits.admit(ip("2001:db8::1")).expect("a place");
        assert_eq!(limits.admit(ip("2001:db8::2")).expect("the same network").service(), Service::Reduced);
        assert_eq!(limits.admit(ip("2001:db8:0:1::1")).expect("another network").service(), Service::Full);
        first.release();
        let second = limits.admit(ip("2001:db8::2")).expect("a place");
        assert_eq!(second.service(), Service::Full);
        drop(first);
        assert_eq!(limits.admit(ip("2001:db8::3")).expect("the same network").service(), Service::Reduced);
    }
}
