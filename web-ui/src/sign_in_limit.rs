//! How often somebody may try a password: per address and account, per address, and per account. Pure core, time comes in.
//!
//! An account is held back over all addresses too, so that many machines together guess no faster; but not for an address from which
//! its owner has signed in before, so that nobody can lock another person out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use model::{Code, UserError};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::connection_limits::network;

/// Wrong tries of one account from one address within a window.
const PER_ACCOUNT_AND_ADDRESS: u32 = 5;
/// Wrong tries from one address within a window, whatever the accounts.
const PER_ADDRESS: u32 = 30;
/// Wrong tries of one account within a window, from addresses that it has not signed in from.
const PER_ACCOUNT: u32 = 30;
/// The window, from the first wrong try on.
const WINDOW: Duration = Duration::from_secs(5 * 60);
/// Entries kept; beyond it the ended ones are forgotten, and if none has ended, all.
const MAX_ENTRIES: usize = 20_000;
/// Characters of an account's name that are told apart.
const NAME: usize = 64;

/// What tries are counted by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    AccountAndAddress(String, Option<IpAddr>),
    Address(Option<IpAddr>),
    Account(String),
}

#[derive(Debug, Clone, Copy)]
struct Count {
    tries: u32,
    ends: Instant,
}

/// The counts.
#[derive(Debug, Default)]
struct Counts {
    wrong: HashMap<Key, Count>,
    /// Where accounts have signed in from.
    known: HashMap<(String, Option<IpAddr>), Instant>,
}

/// Why a try is not made.
#[derive(Debug, PartialEq, Eq)]
struct Refused {
    whose: &'static str,
    wait: Duration,
}

impl Counts {
    fn keys(&self, account: &str, address: Option<IpAddr>) -> Vec<(Key, u32, &'static str)> {
        let mut keys = vec![
            (Key::AccountAndAddress(account.into(), address), PER_ACCOUNT_AND_ADDRESS, "from your address"),
            (Key::Address(address), PER_ADDRESS, "from your address"),
        ];
        if !self.known.contains_key(&(account.to_owned(), address)) {
            keys.push((Key::Account(account.into()), PER_ACCOUNT, "for this account from new addresses"));
        }
        keys
    }

    /// Counts a try before it is made; the time to wait when it may not be.
    fn take(&mut self, account: &str, address: Option<IpAddr>, now: Instant) -> Result<(), Refused> {
        let keys = self.keys(account, address);
        for (key, most, whose) in &keys {
            if let Some(count) = self.wrong.get(key).filter(|count| count.ends > now && count.tries >= *most) {
                return Err(Refused { whose, wait: count.ends - now });
            }
        }
        if self.wrong.len() >= MAX_ENTRIES {
            self.wrong.retain(|_, count| count.ends > now);
            if self.wrong.len() >= MAX_ENTRIES {
                self.wrong.clear();
            }
        }
        for (key, ..) in keys {
            let count = self.wrong.entry(key).or_insert(Count { tries: 0, ends: now + WINDOW });
            if count.ends <= now {
                *count = Count { tries: 0, ends: now + WINDOW };
            }
            count.tries += 1;
        }
        Ok(())
    }

    /// The try was right: it does not count, and the account is known from there.
    fn forgive(&mut self, account: &str, address: Option<IpAddr>, now: Instant) {
        for (key, ..) in self.keys(account, address) {
            match key {
                Key::AccountAndAddress(..) => drop(self.wrong.remove(&key)),
                _ => {
                    if let Some(count) = self.wrong.get_mut(&key) {
                        count.tries = count.tries.saturating_sub(1);
                    }
                }
            }
        }
        if self.known.len() >= MAX_ENTRIES {
            let oldest = self.known.iter().min_by_key(|(_, at)| **at).map(|(key, _)| key.clone());
            oldest.and_then(|key| self.known.remove(&key));
        }
        self.known.insert((account.to_owned(), address), now);
    }
}

/// What stands before every check of a password.
pub(crate) struct SignInLimits {
    counts: Mutex<Counts>,
    /// A password check takes 19 MiB: no more than a few at once.
    at_once: Semaphore,
}

impl Default for SignInLimits {
    fn default() -> Self {
        Self { counts: Mutex::default(), at_once: Semaphore::new(3) }
    }
}

fn account(user: &str) -> String {
    user.chars().take(NAME).collect()
}

impl SignInLimits {
    /// Lets a try through, or says how long to wait.
    pub(crate) async fn enter(&self, client: Option<IpAddr>, user: &str) -> Result<SemaphorePermit<'_>, UserError> {
        let taken = self.counts.lock().expect("no holder panics").take(&account(user), client.map(network), Instant::now());
        if let Err(refused) = taken {
            return Err(UserError::new(Code::TooManyTries, "too many wrong tries to sign in")
                .why(format!("Tries {} are refused for another {} s.", refused.whose, refused.wait.as_secs() + 1))
                .next("wait, then try again")
                .next("if the password is lost, an operator sets a new one: slipway users:password <name>   # the wait stays"));
        }
        Ok(self.at_once.acquire().await.expect("the semaphore is never closed"))
    }

    /// The try was right.
    pub(crate) fn was_right(&self, client: Option<IpAddr>, user: &str) {
        self.counts.lock().expect("no holder panics").forgive(&account(user), client.map(network), Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(n: u32) -> Option<IpAddr> {
        Some(IpAddr::from(n.to_be_bytes()))
    }

    #[test]
    fn tries_are_counted_per_account_and_per_address_and_end_with_the_window() {
        let mut counts = Counts::default();
        let now = Instant::now();
        for _ in 0..PER_ACCOUNT_AND_ADDRESS {
            assert!(counts.take("ada", ip(1), now).is_ok());
        }
        assert_eq!(counts.take("ada", ip(1), now).expect_err("too many").wait, WINDOW);
        assert!(counts.take("ada", ip(2), now).is_ok(), "another address is another count");
        for n in 0..PER_ADDRESS - PER_ACCOUNT_AND_ADDRESS {
            assert!(counts.take(&format!("u{n}"), ip(1), now).is_ok());
        }
        assert!(counts.take("fresh", ip(1), now).is_err(), "a spray over names is stopped by address");
        assert!(counts.take("ada", ip(1), now + WINDOW).is_ok());
    }

    #[test]
    fn many_addresses_guess_no_faster_and_lock_nobody_out() {
        let mut counts = Counts::default();
        let now = Instant::now();
        assert!(counts.take("ada", ip(1), now).is_ok());
        counts.forgive("ada", ip(1), now);
        for n in 0..PER_ACCOUNT {
            assert!(counts.take("ada", ip(1000 + n), now).is_ok());
        }
        let refused = counts.take("ada", ip(9999), now).expect_err("the account is held back");
        assert_eq!(refused.whose, "for this account from new addresses");
        assert!(counts.take("ada", ip(1), now).is_ok(), "its owner gets in from where they were");
        assert!(counts.take("bob", ip(9999), now).is_ok(), "others get in from anywhere");
    }

    #[test]
    fn a_right_password_is_not_counted_and_the_tables_are_bounded() {
        let mut counts = Counts::default();
        let now = Instant::now();
        for _ in 0..PER_ADDRESS * 2 {
            assert!(counts.take("ada", ip(1), now).is_ok());
            counts.forgive("ada", ip(1), now);
        }
        for n in 0..MAX_ENTRIES as u32 {
            let _ = counts.take("eve", ip(n), now);
            counts.forgive(&format!("u{n}"), ip(n), now);
        }
        assert!(counts.wrong.len() <= MAX_ENTRIES + 3 && counts.known.len() <= MAX_ENTRIES);
    }
}
