//! How often somebody may try a password: per address and user, and per address. Pure core, time comes in.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use model::{Code, UserError};
use tokio::sync::Semaphore;

/// Wrong tries of one user name from one address within a window.
const PER_USER: u32 = 5;
/// Wrong tries from one address within a window, whatever the names.
const PER_ADDRESS: u32 = 30;
/// The window, from the first wrong try on.
const WINDOW: Duration = Duration::from_secs(5 * 60);
/// Entries kept; beyond it the ended ones are forgotten, and if none has ended, all.
const MAX_ENTRIES: usize = 20_000;

#[derive(Debug, Clone, Copy)]
struct Count {
    tries: u32,
    ends: Instant,
}

/// The counts.
#[derive(Debug, Default)]
struct Counts(HashMap<(String, Option<String>), Count>);

impl Counts {
    fn left(&self, key: &(String, Option<String>), most: u32, now: Instant) -> Option<Duration> {
        self.0.get(key).filter(|count| count.ends > now && count.tries >= most).map(|count| count.ends - now)
    }

    /// Counts a try before it is made; the time to wait when it may not be.
    fn take(&mut self, address: &str, user: &str, now: Instant) -> Result<(), Duration> {
        let by_user = (address.to_owned(), Some(user.chars().take(64).collect()));
        let by_address = (address.to_owned(), None);
        if let Some(wait) = self.left(&by_user, PER_USER, now).or_else(|| self.left(&by_address, PER_ADDRESS, now)) {
            return Err(wait);
        }
        if self.0.len() >= MAX_ENTRIES {
            self.0.retain(|_, count| count.ends > now);
            if self.0.len() >= MAX_ENTRIES {
                self.0.clear();
            }
        }
        for key in [by_user, by_address] {
            let count = self.0.entry(key).or_insert(Count { tries: 0, ends: now + WINDOW });
            if count.ends <= now {
                *count = Count { tries: 0, ends: now + WINDOW };
            }
            count.tries += 1;
        }
        Ok(())
    }

    /// The try was right: it does not count.
    fn forgive(&mut self, address: &str, user: &str) {
        self.0.remove(&(address.to_owned(), Some(user.chars().take(64).collect())));
        if let Some(count) = self.0.get_mut(&(address.to_owned(), None)) {
            count.tries = count.tries.saturating_sub(1);
        }
    }
}

/// The gate before passwords.
pub(crate) struct SignIns {
    counts: Mutex<Counts>,
    /// A password check takes 19 MiB: no more than a few at once.
    at_once: Semaphore,
}

impl Default for SignIns {
    fn default() -> Self {
        Self { counts: Mutex::default(), at_once: Semaphore::new(3) }
    }
}

impl SignIns {
    /// Lets a try through, or says how long to wait.
    pub(crate) async fn enter(&self, address: &str, user: &str) -> Result<tokio::sync::SemaphorePermit<'_>, UserError> {
        let taken = self.counts.lock().expect("no holder panics").take(address, user, Instant::now());
        if let Err(wait) = taken {
            return Err(UserError::new(Code::TooManyTries, "too many wrong tries to sign in")
                .why(format!("Tries from your address are refused for another {} s.", wait.as_secs() + 1))
                .next("wait, then try again")
                .next("if the password is lost, an operator sets a new one: slipway users:password <name>   # the wait stays"));
        }
        Ok(self.at_once.acquire().await.expect("the semaphore is never closed"))
    }

    /// The try was right.
    pub(crate) fn was_right(&self, address: &str, user: &str) {
        self.counts.lock().expect("no holder panics").forgive(address, user);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_are_counted_per_user_and_per_address_and_end_with_the_window() {
        let mut counts = Counts::default();
        let now = Instant::now();
        for _ in 0..PER_USER {
            assert!(counts.take("10.0.0.1", "ada", now).is_ok());
        }
        assert_eq!(counts.take("10.0.0.1", "ada", now), Err(WINDOW));
        assert!(counts.take("10.0.0.2", "ada", now).is_ok(), "another address is another count");
        for n in 0..PER_ADDRESS - PER_USER {
            assert!(counts.take("10.0.0.1", &format!("u{n}"), now).is_ok());
        }
        assert!(counts.take("10.0.0.1", "fresh", now).is_err(), "a spray over names is stopped by address");
        assert!(counts.take("10.0.0.1", "ada", now + WINDOW).is_ok());
    }

    #[test]
    fn a_right_password_is_not_counted_and_the_table_is_bounded() {
        let mut counts = Counts::default();
        let now = Instant::now();
        for _ in 0..PER_ADDRESS * 2 {
            assert!(counts.take("10.0.0.1", "ada", now).is_ok());
            counts.forgive("10.0.0.1", "ada");
        }
        for n in 0..MAX_ENTRIES {
            let _ = counts.take(&format!("10.{n}"), "eve", now);
        }
        assert!(counts.0.len() <= MAX_ENTRIES + 2);
    }
}
