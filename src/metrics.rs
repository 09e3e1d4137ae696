//! Metrics: what the process counts and measures, one registry for the process, as its log is one. Everything that is
//! exported comes from the one table here: names, labels and what they mean.
//!
//! Names follow Prometheus' conventions (base units, `_total`). Sets of label values are bounded: rules, sinks, shards
//! and calls of AWS are few by themselves, models and errors are capped, and nothing of a prompt or an answer is ever a
//! label.

use std::collections::BTreeSet;
use std::sync::{LazyLock, Mutex, PoisonError};

use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{
    CounterVec, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry,
};

use crate::detect::Detector;
use crate::pipeline::{MAX_MODELS, OTHERS, Tally};
use crate::reject::{Reason, Stage};

pub mod text;

/// What every name begins with.
const PREFIX: &str = "bedrock_tap_";

/// Seconds of calls and deliveries: from a local disk's to what a time-out cuts.
const SECONDS: [f64; 12] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

/// The kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Grows until the process ends.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution: buckets, a sum and a count.
    Histogram,
}

impl Kind {
    /// The name in Prometheus' text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// The whole name.
    pub name: &'static str,
    /// The kind.
    pub kind: Kind,
    /// What it tells.
    pub help: &'static str,
    /// The names of its labels.
    pub labels: &'static [&'static str],
}

/// A kind of family, as the table names it.
trait Family: Collector + Clone + 'static {
    const KIND: Kind;
    fn make(opts: Opts, labels: &[&str]) -> prometheus::Result<Self>;
    /// A family without labels is there from the start, at zero.
    fn touch(&self);
}

macro_rules! family {
    ($type:ty, $kind:ident, |$opts:ident| $made:expr) => {
        impl Family for $type {
            const KIND: Kind = Kind::$kind;
            fn make($opts: Opts, labels: &[&str]) -> prometheus::Result<Self> {
                Self::new($made, labels)
            }
            fn touch(&self) {
                let _at_zero = self.with_label_values::<&str>(&[]);
            }
        }
    };
}
family!(IntCounterVec, Counter, |opts| opts);
family!(CounterVec, Counter, |opts| opts);
family!(IntGaugeVec, Gauge, |opts| opts);
family!(GaugeVec, Gauge, |opts| opts);
family!(HistogramVec, Histogram, |opts| HistogramOpts::from(opts).buckets(SECONDS.to_vec()));

macro_rules! families {
    ($($field:ident: $type:ty = $name:literal [$($label:literal),*] $help:literal;)+) => {
        /// The families, by what the code calls them.
        #[derive(Debug)]
        pub struct Families {
            $(#[doc = $help] pub $field: $type,)+
        }

        /// Every metric of the program, in the order in which the data flows.
        pub const TABLE: &[Metric] = &[$(Metric {
            name: concat!("bedrock_tap_", $name),
            kind: <$type as Family>::KIND,
            help: $help,
            labels: &[$($label),*],
        }),+];

        impl Families {
            fn register(registry: &Registry) -> prometheus::Result<Self> {
                Ok(Self {
                    $($field: register(registry, $name, $help, &[$($label),*])?,)+
                })
            }
        }
    };
}

families! {
    build_info: IntGaugeVec = "build_info" ["version", "commit"] "Always 1: which program this is.";
    start_time: GaugeVec = "start_time_seconds" [] "When the daemon began, in seconds since 1970.";
    records_read: IntCounterVec = "records_read_total" [] "Records that sources handed over.";
    records_delivered: IntCounterVec = "records_delivered_total" [] "Records of which everything is durable.";
    record_bytes: IntCounterVec = "record_bytes_total" [] "Bytes of the records that sources handed over, as they came.";
    payloads: IntCounterVec = "payloads_total" [] "Records after taking aggregates and batches apart.";
    envelopes: IntCounterVec = "envelopes_total" ["kind"] "Subscription envelopes: data, or CloudWatch Logs' own control messages.";
    log_events: IntCounterVec = "log_events_total" [] "Log events read: the sum of invocations, skipped ones and rejects, once their records are done.";
    invocations_read: IntCounterVec = "invocations_read_total" [] "Log events that became invocations and were kept.";
    skipped: IntCounterVec = "skipped_total" ["reason"] "Log events that are not delivered, and are not meant to be.";
    rejects: IntCounterVec = "rejects_total" ["stage", "reason"] "What could not be read or was refused; it is in the dead letter.";
    invocations: IntCounterVec = "invocations_total" ["model", "operation", "error"] "Kept invocations by model, API operation and error; at most 100 models are told apart.";
    tokens: IntCounterVec = "tokens_total" ["model", "kind"] "Tokens of kept invocations: input, output, cache_read, cache_write.";
    cost: CounterVec = "cost_usd_total" ["model"] "Estimated cost of kept invocations, in USD at list prices or those of the configuration.";
    unpriced: IntCounterVec = "unpriced_invocations_total" [] "Kept invocations whose model has no price.";
    unevaluated: IntCounterVec = "unevaluated_expressions_total" [] "Filters that could not be evaluated for an event, which was kept.";
    masked: IntCounterVec = "masked_secrets_total" ["kind"] "Secrets that redaction masked, over all sinks.";
    bodies: IntCounterVec = "bodies_total" ["state"] "Bodies in S3 that were to be fetched, by what became of them.";
    lag: GaugeVec = "shard_lag_seconds" ["stream", "shard"] "How far the last read of a shard was behind its newest record (millis_behind_latest).";
    committed: GaugeVec = "shard_committed_timestamp_seconds" ["stream", "shard"] "The time of the newest record whose delivery is committed, in seconds since 1970.";
    shards: IntGaugeVec = "shards" [] "Partitions (shards, files, log groups) that are being read now.";
    leases_owned: IntGaugeVec = "leases_owned" [] "Leases that this worker holds.";
    leases_taken: IntCounterVec = "leases_taken_total" [] "Leases that this worker began to hold.";
    leases_lost: IntCounterVec = "leases_lost_total" [] "Leases that another worker took, or that could not be renewed in time.";
    budget: IntGaugeVec = "memory_budget_bytes" ["stage"] "The bytes that may be in flight: read, or encoded and not durable.";
    in_flight: IntGaugeVec = "memory_in_flight_bytes" ["stage"] "The bytes in flight now.";
    sink_items: IntCounterVec = "sink_items_total" ["sink"] "Items that a sink delivered.";
    sink_bytes: IntCounterVec = "sink_bytes_total" ["sink"] "Bytes that a sink delivered, before compression.";
    sink_seconds: HistogramVec = "sink_delivery_seconds" ["sink"] "How long one try to deliver a batch took.";
    sink_retries: IntCounterVec = "sink_retries_total" ["sink"] "Tries that failed and are made again.";
    sink_refused: IntCounterVec = "sink_refused_items_total" ["sink"] "Items that a destination refused for good; they are in the dead letter.";
    sink_dropped: IntCounterVec = "sink_dropped_items_total" ["sink"] "Items that a sink which is not required dropped.";
    sink_pending_items: IntGaugeVec = "sink_pending_items" ["sink"] "Items that are queued or under way.";
    sink_pending_bytes: IntGaugeVec = "sink_pending_bytes" ["sink"] "Bytes that are queued or under way.";
    sink_up: IntGaugeVec = "sink_up" ["sink"] "1, or 0 while the destination counts as down.";
    aws_calls: IntCounterVec = "aws_calls_total" ["service", "operation", "result"] "Calls of AWS: ok, throttled, denied, invalid, or failed.";
    aws_seconds: HistogramVec = "aws_call_seconds" ["service", "operation"] "How long calls of AWS took; those that wait by design are among them.";
    findings: IntCounterVec = "findings_total" ["rule"] "Events that a detection rule matched, by what it remembers.";
    rule_failures: IntCounterVec = "rule_failures_total" ["rule"] "Events that a rule could not be evaluated for; they were delivered.";
    alerts: IntCounterVec = "alerts_opened_total" [] "Alerts that were opened.";
    detection_keys: IntGaugeVec = "detection_keys" [] "Groups that detection remembers.";
    detection_bytes: IntGaugeVec = "detection_state_bytes" [] "What detection remembers, in bytes of memory.";
    detection_evicted: IntCounterVec = "detection_evicted_total" [] "Groups that detection forgot for want of room.";
    reloads: IntCounterVec = "config_reloads_total" ["result"] "Reloads of the configuration: applied, or refused.";
}

fn register<F: Family>(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<F> {
    let family = F::make(Opts::new(format!("{PREFIX}{name}"), help), labels)?;
    if labels.is_empty() {
        family.touch();
    }
    registry.register(Box::new(family.clone()))?;
    Ok(family)
}

/// The registry and its families.
struct Store {
    registry: Registry,
    families: Families,
    models: Mutex<BTreeSet<String>>,
}

static STORE: LazyLock<Store> = LazyLock::new(|| {
    let registry = Registry::new();
    // The table is fixed: a test registers it, so this cannot fail in what is shipped.
    let families = Families::register(&registry).expect("the table holds valid names, each once");
    #[cfg(target_os = "linux")]
    if let Err(error) = registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self())) {
        tracing::warn!(%error, "the process's own figures are not measured");
    }
    Store { registry, families, models: Mutex::default() }
});

/// The families of the process.
pub fn families() -> &'static Families {
    &STORE.families
}

/// What all families hold now.
pub fn gather() -> Vec<MetricFamily> {
    STORE.registry.gather()
}

/// Notes what detection remembers and has counted so far.
pub fn note_detection(detector: &Detector) {
    let families = families();
    let counts = detector.state().counts();
    let set = |family: &IntGaugeVec, value: u64| {
        family.with_label_values::<&str>(&[]).set(i64::try_from(value).unwrap_or(i64::MAX));
    };
    let up_to = |counter: IntCounter, value: u64| counter.inc_by(value.saturating_sub(counter.get()));
    set(&families.detection_keys, counts.keys);
    set(&families.detection_bytes, counts.bytes);
    up_to(families.alerts.with_label_values::<&str>(&[]), counts.alerts);
    up_to(families.detection_evicted.with_label_values::<&str>(&[]), counts.evicted);
    for (rule, count) in detector.failures() {
        up_to(families.rule_failures.with_label_values(&[&rule]), count);
    }
}

/// Adds what a group of records came to.
pub fn add_tally(tally: &Tally) {
    let families = families();
    let total = |family: &IntCounterVec, count: u64| family.with_label_values::<&str>(&[]).inc_by(count);
    total(&families.payloads, tally.payloads);
    total(&families.log_events, tally.log_events);
    total(&families.invocations_read, tally.invocations);
    families.envelopes.with_label_values(&["control"]).inc_by(tally.control);
    families.envelopes.with_label_values(&["data"]).inc_by(tally.envelopes.saturating_sub(tally.control));
    for (skip, count) in &tally.skipped {
        families.skipped.with_label_values(&[skip.as_str()]).inc_by(*count);
    }
    for ((stage, reason), count) in &tally.rejects {
        families.rejects.with_label_values(&[stage.as_str(), reason.as_str()]).inc_by(*count);
    }
    let noted = &tally.noted;
    total(&families.unevaluated, noted.unevaluated);
    total(&families.unpriced, noted.unpriced.values().sum());
    for (kind, count) in &noted.masked {
        families.masked.with_label_values(&[kind]).inc_by(*count);
    }
    for (state, count) in &noted.bodies {
        families.bodies.with_label_values(&[state]).inc_by(*count);
    }
    for (model, used) in &noted.models {
        let model = STORE.label_of(model);
        let model = model.as_str();
        for ((operation, error), count) in &used.calls {
            families.invocations.with_label_values(&[model, operation, error]).inc_by(*count);
        }
        let tokens = |kind, count| families.tokens.with_label_values(&[model, kind]).inc_by(count);
        tokens("input", used.input);
        tokens("output", used.output);
        tokens("cache_read", used.cache_read);
        tokens("cache_write", used.cache_write);
        families.cost.with_label_values(&[model]).inc_by(used.cost.as_f64());
    }
}

impl Store {
    /// The model as a label: its name, or that of all others once there are too many.
    fn label_of(&self, model: &str) -> String {
        let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        let known = models.contains(model) || models.len() < MAX_MODELS && models.insert(model.to_owned());
        if known { model } else { OTHERS }.to_owned()
    }
}

/// What is measured of one sink.
#[derive(Debug)]
pub struct Sink {
    items: IntCounter,
    bytes: IntCounter,
    pending_items: IntGauge,
    pending_bytes: IntGauge,
    /// How long one try took.
    pub(crate) seconds: Histogram,
    /// Tries that failed and are made again.
    pub(crate) retries: IntCounter,
    refused: IntCounter,
    /// Items that were dropped.
    pub(crate) dropped: IntCounter,
    /// 0 while the destination counts as down.
    pub(crate) up: IntGauge,
}

impl Sink {
    /// The measures of the sink with this name.
    pub(crate) fn named(name: &str) -> Self {
        let families = families();
        let sink = Self {
            items: families.sink_items.with_label_values(&[name]),
            bytes: families.sink_bytes.with_label_values(&[name]),
            pending_items: families.sink_pending_items.with_label_values(&[name]),
            pending_bytes: families.sink_pending_bytes.with_label_values(&[name]),
            seconds: families.sink_seconds.with_label_values(&[name]),
            retries: families.sink_retries.with_label_values(&[name]),
            refused: families.sink_refused.with_label_values(&[name]),
            dropped: families.sink_dropped.with_label_values(&[name]),
            up: families.sink_up.with_label_values(&[name]),
        };
        sink.up.set(1);
        sink
    }

    /// Notes what was submitted.
    pub(crate) fn submitted(&self, items: usize, bytes: usize) {
        self.pending_items.add(signed(items));
        self.pending_bytes.add(signed(bytes));
    }

    /// Notes what is done, however it ended.
    pub(crate) fn done(&self, items: usize, bytes: usize) {
        self.pending_items.sub(signed(items));
        self.pending_bytes.sub(signed(bytes));
    }

    /// Notes what the destination refused; it is in the dead letter, as what cannot be read is.
    pub(crate) fn refused(&self, items: usize) {
        self.refused.inc_by(items as u64);
        let labels = [Stage::Deliver.as_str(), Reason::Refused.as_str()];
        families().rejects.with_label_values(&labels).inc_by(items as u64);
    }

    /// Notes what is durable.
    pub(crate) fn delivered(&self, items: usize, bytes: usize) {
        self.items.inc_by(items as u64);
        self.bytes.inc_by(bytes as u64);
    }
}

/// A size as a gauge takes it.
pub(crate) fn signed(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}
