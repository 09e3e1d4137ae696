//! Metrics to an OpenTelemetry collector, or to any other endpoint of OTLP: all families of the table in one request.
//!
//! Sums are cumulative since the process began, so an export that was lost is made up for by the next. Names are those of
//! the table, endings included: a collector that writes for Prometheus adds an ending only where it is missing (source:
//! OpenTelemetry specification, "Prometheus and OpenMetrics Compatibility").

use std::collections::BTreeMap;

use jiff::Timestamp;
use prometheus::proto::{LabelPair, Metric as Sample, MetricFamily, MetricType};
use prost::Message as _;

use super::unit;
use crate::sink::SinkError;
use crate::sink::otlp::{Endpoint, KeyValue, METRICS, Resource, Scope, Sender, compressed};

use self::message::{
    CUMULATIVE, Data, Export, Gauge, Histogram, HistogramPoint, Metric, NumberPoint, ResourceMetrics, ScopeMetrics, Sum,
};

mod message;

/// What the exporter is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where requests go, and how.
    pub endpoint: Endpoint,
    /// Attributes of the resource that metrics speak of.
    pub resource: BTreeMap<String, String>,
}

/// Sends metrics to a collector.
#[derive(Debug)]
pub struct Exporter {
    sender: Sender,
    gzip: bool,
    resource: BTreeMap<String, String>,
}

impl Exporter {
    /// Reads the secrets and makes the client.
    ///
    /// # Errors
    /// A URL, header, secret or certificate that is of no use.
    pub fn open(settings: Settings) -> anyhow::Result<Self> {
        let Settings { endpoint, mut resource } = settings;
        for (key, value) in [("service.name", env!("CARGO_PKG_NAME")), ("service.version", env!("CARGO_PKG_VERSION"))] {
            resource.entry(key.to_owned()).or_insert_with(|| value.to_owned());
        }
        Ok(Self { gzip: endpoint.gzip, sender: Sender::open(endpoint, METRICS)?, resource })
    }

    /// Says which of several processes this one is, unless the settings do.
    pub fn of_instance(&mut self, id: &str) {
        self.resource.entry(INSTANCE.to_owned()).or_insert_with(|| id.to_owned());
    }

    /// Whether it is to be told which of several processes this one is.
    pub fn wants_instance(&self) -> bool {
        !self.resource.contains_key(INSTANCE)
    }

    /// Sends what the families hold now, counted since `started`.
    ///
    /// # Errors
    /// What the collector's answer, or none, means.
    pub async fn export(&self, families: &[MetricFamily], started: Timestamp, now: Timestamp) -> Result<(), SinkError> {
        let (export, points) = self.request(families, started, now);
        let bytes = export.encode_to_vec();
        let body = if self.gzip { compressed(&bytes).map_err(SinkError::retry)? } else { bytes };
        self.sender.send(body, points).await
    }

    /// The request, and how many points it holds.
    fn request(&self, families: &[MetricFamily], started: Timestamp, now: Timestamp) -> (Export, usize) {
        let times = Times { start: nanoseconds(started), now: nanoseconds(now) };
        let points = families.iter().map(|family| family.get_metric().len()).sum();
        let attributes = self.resource.iter().map(|(key, value)| KeyValue::text(key, value)).collect();
        let scope = Scope { name: env!("CARGO_PKG_NAME").into(), version: env!("CARGO_PKG_VERSION").into() };
        let metrics = families.iter().map(|family| times.metric(family)).collect();
        let resource_metrics = vec![ResourceMetrics {
            resource: Some(Resource { attributes }),
            scope_metrics: vec![ScopeMetrics { scope: Some(scope), metrics }],
        }];
        (Export { resource_metrics }, points)
    }
}

/// The attribute that tells the processes of one service apart; two that have the same one overwrite each other's sums
/// (source: OpenTelemetry semantic conventions, "Service").
const INSTANCE: &str = "service.instance.id";

/// The times of an export's points.
struct Times {
    start: u64,
    now: u64,
}

impl Times {
    fn metric(&self, family: &MetricFamily) -> Metric {
        let samples = family.get_metric();
        let data = match family.get_field_type() {
            MetricType::COUNTER => Data::Sum(Sum {
                data_points: samples
                    .iter()
                    .map(|each| self.number(each, each.get_counter().get_value(), true))
                    .collect(),
                aggregation_temporality: CUMULATIVE,
                is_monotonic: true,
            }),
            MetricType::HISTOGRAM => Data::Histogram(Histogram {
                data_points: samples.iter().map(|sample| self.distribution(sample)).collect(),
                aggregation_temporality: CUMULATIVE,
            }),
            _ => Data::Gauge(Gauge {
                data_points: samples
                    .iter()
                    .map(|each| self.number(each, each.get_gauge().get_value(), false))
                    .collect(),
            }),
        };
        let name = family.name().to_owned();
        let unit = match unit(&name) {
            Some("seconds") => "s",
            Some("bytes") => "By",
            // "1" would make a collector that writes for Prometheus add `_ratio`.
            _ => "",
        };
        Metric { unit: unit.to_owned(), name, description: family.help().to_owned(), data: Some(data) }
    }

    fn number(&self, sample: &Sample, value: f64, has_start: bool) -> NumberPoint {
        NumberPoint {
            attributes: attributes(sample.get_label()),
            start_time_unix_nano: if has_start { self.start } else { 0 },
            time_unix_nano: self.now,
            as_double: Some(value),
        }
    }

    fn distribution(&self, sample: &Sample) -> HistogramPoint {
        let histogram = sample.get_histogram();
        // Prometheus' buckets hold all that is below their bound, those of OTLP what is above the bound before.
        let (mut explicit_bounds, mut bucket_counts, mut below) = (Vec::new(), Vec::new(), 0);
        for bucket in histogram.get_bucket().iter().filter(|bucket| bucket.upper_bound().is_finite()) {
            explicit_bounds.push(bucket.upper_bound());
            bucket_counts.push(bucket.cumulative_count().saturating_sub(below));
            below = bucket.cumulative_count();
        }
        bucket_counts.push(histogram.get_sample_count().saturating_sub(below));
        HistogramPoint {
            attributes: attributes(sample.get_label()),
            start_time_unix_nano: self.start,
            time_unix_nano: self.now,
            // The sum of the buckets: both were not read at one moment.
            count: bucket_counts.iter().sum(),
            sum: Some(histogram.get_sample_sum()),
            bucket_counts,
            explicit_bounds,
        }
    }
}

fn attributes(labels: &[LabelPair]) -> Vec<KeyValue> {
    labels.iter().map(|label| KeyValue::text(label.name(), label.value())).collect()
}

/// A time before 1970 cannot be said: 0 is "unknown".
fn nanoseconds(time: Timestamp) -> u64 {
    u64::try_from(time.as_nanosecond()).unwrap_or(0)
}
