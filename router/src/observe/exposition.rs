//! The metrics of a router in the text format that Prometheus scrapes.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use crate::observe::metrics::{CLASSES_MS, Metrics};

/// What is scraped at one moment.
#[derive(Debug)]
struct Scrape(Metrics);

/// All metrics as text.
pub(crate) fn text(metrics: Metrics) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("slipway_router");
    registry.register_collector(Box::new(Scrape(metrics)));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Self(metrics) = self;
        let about = "Requests that have ended, by the first digit of their status; none: the client left before there was one";
        let mut family = encoder.encode_descriptor("requests", about, None, MetricType::Counter)?;
        for (digit, count) in metrics.statuses.iter().enumerate() {
            let class = if digit == 0 { "none".to_owned() } else { format!("{digit}xx") };
            let labels = [("status", class)];
            ConstCounter::new(*count).encode(family.encode_family(&labels)?)?;
        }
        let about = "Time from the arrival of a request to the end of its answer";
        let mut histogram = encoder.encode_descriptor("request_duration", about, Some(&Unit::Seconds), MetricType::Histogram)?;
        let ends = CLASSES_MS.iter().map(|end| *end as f64 / 1000.0).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = ends.zip(metrics.latencies).collect();
        let count = metrics.latencies.iter().sum();
        histogram.encode_histogram::<NoLabelSet>(metrics.total_us as f64 / 1e6, count, &buckets, None)?;
        for (name, about, value) in [
            ("retries", "Times that a request was sent again to an instance", metrics.retries),
            ("received_bytes", "Bytes of request bodies", metrics.received),
            ("sent_bytes", "Bytes of response bodies", metrics.sent),
            ("refused", "Requests that were answered with a page of the router", metrics.refused),
            ("dropped_log_lines", "Access lines that were dropped because the disk did not keep up", metrics.dropped_lines),
        ] {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, about, None, counter.metric_type())?)?;
        }
        for (name, about, value) in [
            ("connections", "Client connections that are open", metrics.connections),
            ("held_requests", "Requests that wait until their app has an instance", metrics.held),
        ] {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, about, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_there_and_buckets_add_up() {
        let metrics = Metrics {
            statuses: [1, 0, 7, 0, 0, 2],
            latencies: [4, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3],
            total_us: 1_500_000,
            held: 9,
            ..Metrics::default()
        };
        let text = text(metrics).expect("text");
        for line in [
            "slipway_router_requests_total{status=\"2xx\"} 7",
            "slipway_router_requests_total{status=\"none\"} 1",
            "slipway_router_request_duration_seconds_bucket{le=\"0.002\"} 7",
            "slipway_router_request_duration_seconds_bucket{le=\"10.0\"} 7",
            "slipway_router_request_duration_seconds_bucket{le=\"+Inf\"} 10",
            "slipway_router_request_duration_seconds_sum 1.5",
            "slipway_router_request_duration_seconds_count 10",
            "slipway_router_retries_total 0",
            "slipway_router_held_requests 9",
        ] {
            assert!(text.lines().any(|there| there == line), "{line} is missing in\n{text}");
        }
    }
}
