//! Connection limits: how many connections are admitted, and from which addresses. Pure; the clock is an argument.
//!
//! Counts open connections per address and in total, before and after the login, and limits the rate of new ones per address by a
//! token bucket: a connection beyond the rate waits before its first byte, which costs the server nothing. An IPv6 address
//! counts as its /64 network, since one machine holds all addresses of one.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use crate::config::ConnectionLimits;

/// Longest time that a connection waits for its first byte; one that would wait longer is refused.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Which limit refuses a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LimitReached {
    Total,
    Address,
    LoggingIn,
    Rate,
}

/// The connections of one address and its token bucket.
#[derive(Debug)]
struct Address {
    open: usize,
    logging_in: usize,
    /// Connections that may come without a wait; negative while others wait.
    tokens: f64,
    /// When `tokens` was last brought up to date.
    at: Instant,
}

/// The open connections of the server, by address.
pub(crate) struct ConnectionCounts {
    limits: ConnectionLimits,
    total: usize,
    addresses: HashMap<IpAddr, Address>,
    swept: Instant,
}

/// An admitted connection; end it with [`ConnectionCounts::close`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CountedConnection {
    address: IpAddr,
    logged_in: bool,
    /// How long to wait before the first byte.
    pub wait: Duration,
}

impl ConnectionCounts {
    pub(crate) fn new(limits: ConnectionLimits, now: Instant) -> Self {
        Self { limits, total: 0, addresses: HashMap::new(), swept: now }
    }

    /// Counts a connection in, or names the limit that refuses it.
    pub(crate) fn open(&mut self, address: IpAddr, now: Instant) -> Result<CountedConnection, LimitReached> {
        self.sweep(now);
        let address = network(address);
        let limits = &self.limits;
        let full_bucket = f64::from(limits.burst);
        let entry = self.addresses.entry(address).or_insert(Address { open: 0, logging_in: 0, tokens: full_bucket, at: now });
        let passed = now.saturating_duration_since(entry.at).as_secs_f64();
        entry.tokens = (entry.tokens + passed * limits.per_second).min(full_bucket);
        entry.at = now;
        if self.total >= limits.total {
            return Err(LimitReached::Total);
        }
        if entry.open >= limits.per_address {
            return Err(LimitReached::Address);
        }
        if entry.logging_in >= limits.logging_in {
            return Err(LimitReached::LoggingIn);
        }
        let owed = (1.0 - entry.tokens).max(0.0);
        let wait = Duration::from_secs_f64(owed / limits.per_second.max(0.01));
        if wait > LONGEST_WAIT {
            return Err(LimitReached::Rate);
        }
        entry.tokens -= 1.0;
        entry.open += 1;
        entry.logging_in += 1;
        self.total += 1;
        Ok(CountedConnection { address, logged_in: false, wait })
    }

    /// The login succeeded: the connection counts as logged in, and a good one does not use up the rate.
    pub(crate) fn logged_in(&mut self, counted: &mut CountedConnection) {
        if !std::mem::replace(&mut counted.logged_in, true)
            && let Some(entry) = self.addresses.get_mut(&counted.address)
        {
            entry.logging_in -= 1;
            entry.tokens = (entry.tokens + 1.0).min(f64::from(self.limits.burst));
        }
    }

    /// Counts a connection off.
    pub(crate) fn close(&mut self, counted: &CountedConnection) {
        self.total -= 1;
        if let Some(entry) = self.addresses.get_mut(&counted.address) {
            entry.open -= 1;
            if !counted.logged_in {
                entry.logging_in -= 1;
            }
        }
    }

    /// Once a minute, forgets addresses without connections whose token bucket is full again.
    fn sweep(&mut self, now: Instant) {
        if now.saturating_duration_since(self.swept) < Duration::from_secs(60) {
            return;
        }
        self.swept = now;
        let recovered = Duration::from_secs_f64(f64::from(self.limits.burst) / self.limits.per_second.max(0.01));
        self.addresses.retain(|_, a| a.open > 0 || now.saturating_duration_since(a.at) < recovered);
    }
}

/// The address that a connection counts under.
fn network(address: IpAddr) -> IpAddr {
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
    use proptest::prelude::*;

    fn limits() -> ConnectionLimits {
        ConnectionLimits { total: 5, per_address: 3, logging_in: 2, burst: 10, per_second: 1.0 }
    }

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn each_limit_is_named() {
        let now = Instant::now();
        let mut counts = ConnectionCounts::new(limits(), now);
        let mut first = counts.open(ip(1), now).expect("an admitted connection");
        let _second = counts.open(ip(1), now).expect("an admitted connection");
        assert_eq!(counts.open(ip(1), now), Err(LimitReached::LoggingIn));
        counts.logged_in(&mut first);
        let _third = counts.open(ip(1), now).expect("an admitted connection");
        assert_eq!(counts.open(ip(1), now), Err(LimitReached::Address));
        counts.open(ip(2), now).expect("an admitted connection");
        counts.open(ip(3), now).expect("an admitted connection");
        assert_eq!(counts.open(ip(4), now), Err(LimitReached::Total));
        counts.close(&first);
        assert!(counts.open(ip(4), now).is_ok());
    }

    #[test]
    fn the_rate_recovers_and_good_logins_do_not_use_it() {
        let start = Instant::now();
        let mut counts = ConnectionCounts::new(limits(), start);
        for _ in 0..10 {
            let counted = counts.open(ip(1), start).expect("within the burst");
            counts.close(&counted);
        }
        for n in 1..=10 {
            let counted = counts.open(ip(1), start).expect("within the longest wait");
            assert_eq!(counted.wait, Duration::from_secs(n));
            counts.close(&counted);
        }
        assert_eq!(counts.open(ip(1), start), Err(LimitReached::Rate));
        let later = start + Duration::from_secs(12);
        for _ in 0..100 {
            let mut counted = counts.open(ip(1), later).expect("good logins");
            assert_eq!(counted.wait, Duration::ZERO);
            counts.logged_in(&mut counted);
            counts.close(&counted);
        }
    }

    #[test]
    fn one_network_is_one_address_and_is_forgotten() {
        let now = Instant::now();
        let mut counts = ConnectionCounts::new(limits(), now);
        let a = counts.open("2001:db8::1".parse().expect("an address"), now).expect("an admitted connection");
        let b = counts.open("2001:db8::2".parse().expect("an address"), now).expect("an admitted connection");
        assert_eq!(counts.addresses.len(), 1);
        counts.close(&a);
        counts.close(&b);
        let later = now + Duration::from_secs(100);
        counts.open(ip(9), later).expect("an admitted connection");
        assert_eq!(counts.addresses.len(), 1);
    }

    proptest! {
        #[test]
        fn counts_never_drift(steps in proptest::collection::vec((0_u8..4, 0_u8..3), 0..200)) {
            let now = Instant::now();
            let mut counts = ConnectionCounts::new(ConnectionLimits { burst: 1000, ..limits() }, now);
            let mut counted: Vec<CountedConnection> = Vec::new();
            for (address, what) in steps {
                match what {
                    0 => counted.extend(counts.open(ip(address), now).ok()),
                    1 => if let Some(counted) = counted.last_mut() { counts.logged_in(counted) },
                    _ => if let Some(counted) = counted.pop() { counts.close(&counted) },
                }
                prop_assert_eq!(counts.total, counted.len());
                prop_assert!(counts.total <= 5);
            }
            for counted in counted { counts.close(&counted); }
            prop_assert!(counts.addresses.values().all(|a| a.open == 0 && a.logging_in == 0));
        }
    }
}
