//! `UpstreamState`: what one worker knows of one backend: idle connections, latency, failures.
//!
//! Owns reuse and ejection. Must never be shared: each worker learns for itself, so that nothing on the request path is
//! contended.

use std::time::{Duration, Instant};

use tokio::net::TcpStream;

/// Idle connections kept per worker and instance.
const MAX_IDLE: usize = 8;
/// While many requests are in flight at once, more may be idle for a moment, or every second request would have to connect.
const MAX_IDLE_BUSY: usize = 512;
/// How long that moment is.
const BUSY: Duration = Duration::from_millis(500);
/// Connects that fail in a row before the instance is avoided.
const EJECT_AFTER: u32 = 3;
/// The first time of avoidance; each further one doubles it.
const EJECT_FIRST: Duration = Duration::from_secs(1);
const EJECT_MAX: Duration = Duration::from_secs(30);
/// How fast an old latency is forgotten.
const DECAY: f64 = 10.0;

/// Recent latency: jumps up at once, comes down over seconds.
#[derive(Debug, Default, Clone, Copy)]
pub struct Latency(Option<(f64, Instant)>);

impl Latency {
    /// The value at `now`, in milliseconds.
    pub fn at(&self, now: Instant) -> Option<f64> {
        self.0.map(|(value, then)| value * fade(now.saturating_duration_since(then)))
    }

    /// Adds an answer that took `took`.
    pub fn add(&mut self, took: Duration, now: Instant) {
        let sample = took.as_secs_f64() * 1000.0;
        let value = match self.0 {
            None => sample,
            Some((value, _)) if sample > value => sample,
            Some((value, then)) => {
                // At least a twentieth of a sample counts, or a burst of answers would never bring a peak down.
                let keep = fade(now.saturating_duration_since(then)).min(0.95);
                value * keep + sample * (1.0 - keep)
            }
        };
        self.0 = Some((value, now));
    }
}

fn fade(passed: Duration) -> f64 {
    (-passed.as_secs_f64() / DECAY).exp()
}

/// Failed connects, and until when the instance is avoided for them.
#[derive(Debug, Default, Clone, Copy)]
pub struct Failures {
    in_a_row: u32,
    ejections: u32,
    until: Option<Instant>,
}

impl Failures {
    /// A connect failed.
    pub fn failed(&mut self, now: Instant) {
        self.in_a_row += 1;
        // After its time is over an instance has one try; that failing, it is out again for longer.
        let again = self.ejections > 0 && self.until.is_none_or(|until| until <= now);
        if self.in_a_row >= EJECT_AFTER || again {
            self.until = Some(now + EJECT_FIRST.saturating_mul(1 << self.ejections.min(5)).min(EJECT_MAX));
            self.ejections += 1;
            self.in_a_row = 0;
        }
    }

    /// A connect succeeded.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Whether the instance is avoided at `now`.
    pub fn ejected(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }
}

/// One backend, to one worker.
#[derive(Debug, Default)]
pub(crate) struct UpstreamState {
    pub(crate) latency: Latency,
    pub(crate) failures: Failures,
    idle: Vec<(TcpStream, Instant)>,
}

impl UpstreamState {
    /// The connection that was used last, if it still lives; dead and old ones are dropped on the way.
    pub(crate) fn checkout(&mut self, now: Instant, max_idle: Duration) -> Option<TcpStream> {
        while let Some((stream, since)) = self.idle.pop() {
            if now.saturating_duration_since(since) >= max_idle {
                // The rest is older.
                self.idle.clear();
                return None;
            }
            // Answered from what the runtime already knows: no system call while the connection is quiet. An app that closed
            // it, or sent something unasked, makes it readable.
            let alive = matches!(stream.try_read(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock);
            if alive {
                return Some(stream);
            }
        }
        None
    }

    /// Keeps a connection for the next request.
    pub(crate) fn checkin(&mut self, stream: TcpStream, now: Instant) {
        if self.idle.len() < MAX_IDLE_BUSY {
            self.idle.push((stream, now));
        }
    }

    /// Drops connections that were idle for too long, the oldest first: which are at the front, for the last one in is the
    /// first one out.
    pub(crate) fn sweep(&mut self, now: Instant, max_idle: Duration) {
        let old = |limit| self.idle.iter().take_while(|(_, since)| now.saturating_duration_since(*since) >= limit).count();
        let surplus = self.idle.len().saturating_sub(MAX_IDLE).min(old(BUSY));
        let drop = old(max_idle).max(surplus);
        self.idle.drain(..drop);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latency_peaks_at_once_and_is_forgotten() {
        let start = Instant::now();
        let mut latency = Latency::default();
        assert_eq!(latency.at(start), None);
        latency.add(Duration::from_millis(10), start);
        latency.add(Duration::from_millis(500), start);
        assert_eq!(latency.at(start), Some(500.0));
        let later = latency.at(start + Duration::from_secs(30)).expect("measured");
        assert!(later < 30.0, "{later}");
        for n in 0..200 {
            latency.add(Duration::from_millis(10), start + Duration::from_millis(n));
        }
        let calm = latency.at(start + Duration::from_millis(200)).expect("measured");
        assert!(calm < 20.0, "{calm}");
    }

    #[test]
    fn three_failures_eject_and_each_further_one_for_longer() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut failures = Failures::default();
        failures.failed(at(0));
        failures.failed(at(0));
        assert!(!failures.ejected(at(0)));
        failures.failed(at(0));
        assert!(failures.ejected(at(999)) && !failures.ejected(at(1000)));
        failures.failed(at(1000));
        assert!(failures.ejected(at(2999)) && !failures.ejected(at(3000)));
        failures.succeeded();
        failures.failed(at(3000));
        assert!(!failures.ejected(at(3000)));
        let mut worst = Failures::default();
        let mut now = start;
        for _ in 0..40 {
            worst.failed(now);
            now = worst.until.unwrap_or(now);
        }
        assert!(now - start < EJECT_MAX * 40);
    }
}
