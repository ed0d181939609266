//! Metrics: what each worker counts for itself, and the sum over all workers on demand.
//!
//! Owns the numbers that operators watch. Must never be written by two threads in turn: each worker has its own, so counting
//! costs an uncontended store.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper ends of the latency classes, in milliseconds; the last class has no end.
pub const CLASSES_MS: [u64; 13] = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000];

/// The numbers of one worker.
#[repr(align(128))]
#[derive(Debug, Default)]
pub(crate) struct WorkerMetrics {
    statuses: [AtomicU64; 6],
    latencies: [AtomicU64; CLASSES_MS.len() + 1],
    total_us: AtomicU64,
    retries: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    refused: AtomicU64,
}

impl WorkerMetrics {
    /// Counts a request that has ended. `page`: the answer was a page of ours.
    pub(crate) fn request(&self, status: u16, took: Duration, retries: u32, bytes: (u64, u64), page: bool) {
        let add = |to: &AtomicU64, n: u64| to.store(to.load(Ordering::Relaxed) + n, Ordering::Relaxed);
        add(&self.statuses[usize::from(status / 100).min(5)], 1);
        let class = CLASSES_MS.partition_point(|end| Duration::from_millis(*end) < took);
        add(&self.latencies[class], 1);
        add(&self.total_us, took.as_micros() as u64);
        add(&self.retries, retries.into());
        add(&self.received, bytes.0);
        add(&self.sent, bytes.1);
        add(&self.refused, page.into());
    }
}

/// The sum over all workers since the start.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Metrics {
    /// Requests by the first digit of their status; 0: the client left before there was one.
    pub statuses: [u64; 6],
    /// Requests by latency class.
    pub latencies: [u64; CLASSES_MS.len() + 1],
    /// Time of all requests, in microseconds.
    pub total_us: u64,
    /// Times that a request was sent again.
    pub retries: u64,
    /// Bytes of request bodies.
    pub received: u64,
    /// Bytes of response bodies.
    pub sent: u64,
    /// Requests answered with a page of the router.
    pub refused: u64,
    /// Client connections that are open.
    pub connections: u64,
    /// Requests that wait until their app is there.
    pub held: u64,
    /// Access lines that were dropped.
    pub dropped_lines: u64,
}

impl Metrics {
    pub(crate) fn of<'a>(worker_metrics: impl IntoIterator<Item = &'a WorkerMetrics>) -> Self {
        let mut sum = Self::default();
        let get = |from: &AtomicU64| from.load(Ordering::Relaxed);
        for worker in worker_metrics {
            sum.statuses.iter_mut().zip(&worker.statuses).for_each(|(sum, one)| *sum += get(one));
            sum.latencies.iter_mut().zip(&worker.latencies).for_each(|(sum, one)| *sum += get(one));
            sum.total_us += get(&worker.total_us);
            sum.retries += get(&worker.retries);
            sum.received += get(&worker.received);
            sum.sent += get(&worker.sent);
            sum.refused += get(&worker.refused);
        }
        sum
    }

    /// Requests in all.
    pub fn requests(&self) -> u64 {
        self.statuses.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_over_workers() {
        let worker_metrics = [WorkerMetrics::default(), WorkerMetrics::default()];
        worker_metrics[0].request(200, Duration::from_micros(900), 0, (1, 2), false);
        worker_metrics[1].request(502, Duration::from_secs(60), 3, (0, 5), true);
        worker_metrics[1].request(0, Duration::from_millis(1), 0, (0, 0), false);
        let sum = Metrics::of(&worker_metrics);
        assert_eq!((sum.requests(), sum.statuses, sum.retries, sum.sent, sum.refused), (3, [1, 0, 1, 0, 0, 1], 3, 7, 1));
    }
}
