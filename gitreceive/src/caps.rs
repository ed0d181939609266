//! How many connections are taken, and from whom. Pure; the clock is an argument.
//!
//! Counts what is there, per address and in total, before and after the login, and greets new ones at a pace: whoever comes
//! too fast waits before the first byte, which costs the server nothing. For IPv6 an address is its /64 network: one machine
//! has that many.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use crate::config::Caps;

/// Longest wait for a greeting; whoever would have to wait longer is turned away.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a connection is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    Total,
    Address,
    LoggingIn,
    Rate,
}

#[derive(Debug)]
struct Address {
    open: usize,
    logging_in: usize,
    tokens: f64,
    at: Instant,
}

/// The counts.
pub(crate) struct Doors {
    caps: Caps,
    total: usize,
    addresses: HashMap<IpAddr, Address>,
    swept: Instant,
}

/// A counted connection; hand it back with [`Doors::close`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seat {
    address: IpAddr,
    logged_in: bool,
    /// How long to wait before the greeting.
    pub wait: Duration,
}

impl Doors {
    pub(crate) fn new(caps: Caps, now: Instant) -> Self {
        Self { caps, total: 0, addresses: HashMap::new(), swept: now }
    }

    /// Takes a connection, or says why not.
    pub(crate) fn open(&mut self, address: IpAddr, now: Instant) -> Result<Seat, Full> {
        self.sweep(now);
        let address = network(address);
        let caps = &self.caps;
        let full_bucket = f64::from(caps.burst);
        let entry = self.addresses.entry(address).or_insert(Address { open: 0, logging_in: 0, tokens: full_bucket, at: now });
        let passed = now.saturating_duration_since(entry.at).as_secs_f64();
        entry.tokens = (entry.tokens + passed * caps.per_second).min(full_bucket);
        entry.at = now;
        if self.total >= caps.total {
            return Err(Full::Total);
        }
        if entry.open >= caps.per_address {
            return Err(Full::Address);
        }
        if entry.logging_in >= caps.logging_in {
            return Err(Full::LoggingIn);
        }
        let owed = (1.0 - entry.tokens).max(0.0);
        let wait = Duration::from_secs_f64(owed / caps.per_second.max(0.01));
        if wait > PATIENCE {
            return Err(Full::Rate);
        }
        entry.tokens -= 1.0;
        entry.open += 1;
        entry.logging_in += 1;
        self.total += 1;
        Ok(Seat { address, logged_in: false, wait })
    }

    /// The login succeeded: the connection counts as logged in, and a good one does not use up the rate.
    pub(crate) fn logged_in(&mut self, seat: &mut Seat) {
        if !std::mem::replace(&mut seat.logged_in, true)
            && let Some(entry) = self.addresses.get_mut(&seat.address)
        {
            entry.logging_in -= 1;
            entry.tokens = (entry.tokens + 1.0).min(f64::from(self.caps.burst));
        }
    }

    /// The connection is over.
    pub(crate) fn close(&mut self, seat: &Seat) {
        self.total -= 1;
        if let Some(entry) = self.addresses.get_mut(&seat.address) {
            entry.open -= 1;
            if !seat.logged_in {
                entry.logging_in -= 1;
            }
        }
    }

    /// Forgets addresses that left and whose rate has recovered, now and then.
    fn sweep(&mut self, now: Instant) {
        if now.saturating_duration_since(self.swept) < Duration::from_secs(60) {
            return;
        }
        self.swept = now;
        let recovered = Duration::from_secs_f64(f64::from(self.caps.burst) / self.caps.per_second.max(0.01));
        self.addresses.retain(|_, a| a.open > 0 || now.saturating_duration_since(a.at) < recovered);
    }
}

/// What counts as one address.
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

    fn caps() -> Caps {
        Caps { total: 5, per_address: 3, logging_in: 2, burst: 10, per_second: 1.0 }
    }

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn each_cap_is_named() {
        let now = Instant::now();
        let mut doors = Doors::new(caps(), now);
        let mut first = doors.open(ip(1), now).expect("a seat");
        let _second = doors.open(ip(1), now).expect("a seat");
        assert_eq!(doors.open(ip(1), now), Err(Full::LoggingIn));
        doors.logged_in(&mut first);
        let _third = doors.open(ip(1), now).expect("a seat");
        assert_eq!(doors.open(ip(1), now), Err(Full::Address));
        doors.open(ip(2), now).expect("a seat");
        doors.open(ip(3), now).expect("a seat");
        assert_eq!(doors.open(ip(4), now), Err(Full::Total));
        doors.close(&first);
        assert!(doors.open(ip(4), now).is_ok());
    }

    #[test]
    fn the_rate_recovers_and_good_logins_do_not_use_it() {
        let start = Instant::now();
        let mut doors = Doors::new(caps(), start);
        for _ in 0..10 {
            let seat = doors.open(ip(1), start).expect("within the burst");
            doors.close(&seat);
        }
        for n in 1..=10 {
            let seat = doors.open(ip(1), start).expect("within the patience");
            assert_eq!(seat.wait, Duration::from_secs(n));
            doors.close(&seat);
        }
        assert_eq!(doors.open(ip(1), start), Err(Full::Rate));
        let later = start + Duration::from_secs(12);
        for _ in 0..100 {
            let mut seat = doors.open(ip(1), later).expect("good logins");
            assert_eq!(seat.wait, Duration::ZERO);
            doors.logged_in(&mut seat);
            doors.close(&seat);
        }
    }

    #[test]
    fn one_network_is_one_address_and_is_forgotten() {
        let now = Instant::now();
        let mut doors = Doors::new(caps(), now);
        let a = doors.open("2001:db8::1".parse().expect("an address"), now).expect("a seat");
        let b = doors.open("2001:db8::2".parse().expect("an address"), now).expect("a seat");
        assert_eq!(doors.addresses.len(), 1);
        doors.close(&a);
        doors.close(&b);
        let later = now + Duration::from_secs(100);
        doors.open(ip(9), later).expect("a seat");
        assert_eq!(doors.addresses.len(), 1);
    }

    proptest! {
        #[test]
        fn counts_never_drift(steps in proptest::collection::vec((0_u8..4, 0_u8..3), 0..200)) {
            let now = Instant::now();
            let mut doors = Doors::new(Caps { burst: 1000, ..caps() }, now);
            let mut seats: Vec<Seat> = Vec::new();
            for (address, what) in steps {
                match what {
                    0 => seats.extend(doors.open(ip(address), now).ok()),
                    1 => if let Some(seat) = seats.last_mut() { doors.logged_in(seat) },
                    _ => if let Some(seat) = seats.pop() { doors.close(&seat) },
                }
                prop_assert_eq!(doors.total, seats.len());
                prop_assert!(doors.total <= 5);
            }
            for seat in seats { doors.close(&seat); }
            prop_assert!(doors.addresses.values().all(|a| a.open == 0 && a.logging_in == 0));
        }
    }
}
