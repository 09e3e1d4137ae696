//! The documents of the embedded metric format: one for each set of dimension values, within the limits of the
//! specification.

use std::collections::BTreeMap;

use jiff::Timestamp;
use prometheus::proto::{LabelPair, Metric as Sample, MetricFamily, MetricType};
use serde_json::{Map, Value, json};

use crate::metrics::unit;

/// The metrics of a document, and the values of a metric in it (source: "CloudWatch embedded metric format
/// specification", `MetricDirective` and "Target members").
const MAX_METRICS: usize = 100;
const MAX_VALUES: usize = 100;

/// The characters of a dimension's value (the same source, `DimensionSet`).
const MAX_VALUE_CHARS: usize = 1024;

/// What all documents have.
#[derive(Clone, Debug)]
pub(super) struct Directive {
    /// The namespace of the metrics.
    pub(super) namespace: String,
    /// The log group, for an agent.
    pub(super) log_group: Option<String>,
    /// Dimensions that every metric has.
    pub(super) dimensions: BTreeMap<String, String>,
}

/// The dimensions that come of labels, by name.
type Dimensions = BTreeMap<String, String>;

/// What is exported, by dimensions and by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Metrics {
    sets: BTreeMap<Dimensions, BTreeMap<String, Measured>>,
}

/// What a metric came to.
#[derive(Clone, Debug)]
struct Measured {
    unit: &'static str,
    values: Values,
}

#[derive(Clone, Debug)]
enum Values {
    /// Counted since the process began.
    Total(f64),
    /// Each as it is now.
    Now(Vec<f64>),
}

impl Metrics {
    /// What the families hold, by the labels that are kept. Those that become one are added up if they count, else their
    /// values stand beside each other. A dimension that every metric has takes the place of a label.
    pub(super) fn of<'f>(
        families: impl Iterator<Item = &'f MetricFamily>,
        is_kept: impl Fn(&str) -> bool,
        constant: &Dimensions,
    ) -> Self {
        let mut metrics = Self::default();
        for family in families {
            for sample in family.get_metric() {
                let kept = |label: &&LabelPair| is_kept(label.name()) && !constant.contains_key(label.name());
                let labels = sample.get_label().iter().filter(kept);
                let set = labels.map(|label| (label.name().to_owned(), plain(label.value()))).collect();
                metrics.add(set, family, sample);
            }
        }
        metrics
    }

    fn add(&mut self, set: Dimensions, family: &MetricFamily, sample: &Sample) {
        let set = self.sets.entry(set).or_default();
        let name = family.name();
        let of_name = match unit(name) {
            Some("seconds") => Some("Seconds"),
            Some("bytes") => Some("Bytes"),
            _ => None,
        };
        match family.get_field_type() {
            MetricType::COUNTER => {
                count(set, name.to_owned(), of_name.unwrap_or("Count"), sample.get_counter().get_value());
            }
            MetricType::HISTOGRAM => {
                let histogram = sample.get_histogram();
                count(set, format!("{name}_sum"), of_name.unwrap_or("None"), histogram.get_sample_sum());
                #[expect(clippy::cast_precision_loss, reason = "the format's numbers are floating-point")]
                count(set, format!("{name}_count"), "Count", histogram.get_sample_count() as f64);
            }
            _ => {
                let unit = of_name.unwrap_or("None");
                let measured = set.entry(name.to_owned()).or_insert(Measured { unit, values: Values::Now(Vec::new()) });
                if let Values::Now(values) = &mut measured.values {
                    values.push(sample.get_gauge().get_value());
                }
            }
        }
    }

    /// The documents that say what has come since `before`. A counter with dimensions that did not move is left out: it
    /// would cost as much as one that did.
    pub(super) fn documents(&self, before: &Self, directive: &Directive, now: Timestamp) -> Vec<Value> {
        let mut documents = Vec::new();
        for (set, metrics) in &self.sets {
            let earlier = before.sets.get(set);
            let mut said: Vec<_> = Vec::new();
            for (name, measured) in metrics {
                let values = match &measured.values {
                    Values::Now(values) => values.iter().copied().filter(|value| value.is_finite()).collect(),
                    Values::Total(total) => {
                        let grown = (total - earlier.map_or(0.0, |set| counted(set, name))).max(0.0);
                        if grown > 0.0 || set.is_empty() { vec![grown] } else { Vec::new() }
                    }
                };
                said.push((name.as_str(), measured.unit, values));
            }
            let most = said.iter().map(|(_, _, values)| values.len().div_ceil(MAX_VALUES)).max().unwrap_or(0);
            for round in 0..most {
                let round: Vec<_> = said
                    .iter()
                    .filter_map(|(name, unit, values)| Some((*name, *unit, values.chunks(MAX_VALUES).nth(round)?)))
                    .collect();
                documents.extend(round.chunks(MAX_METRICS).map(|metrics| directive.document(set, metrics, now)));
            }
        }
        documents
    }
}

fn count(set: &mut BTreeMap<String, Measured>, name: String, unit: &'static str, value: f64) {
    let measured = set.entry(name).or_insert(Measured { unit, values: Values::Total(0.0) });
    if let Values::Total(total) = &mut measured.values {
        *total += value;
    }
}

/// What a counter held.
fn counted(set: &BTreeMap<String, Measured>, name: &str) -> f64 {
    match set.get(name).map(|measured| &measured.values) {
        Some(Values::Total(total)) => *total,
        _ => 0.0,
    }
}

impl Directive {
    fn document(&self, set: &Dimensions, metrics: &[(&str, &str, &[f64])], now: Timestamp) -> Value {
        let names: Vec<&String> = self.dimensions.keys().chain(set.keys()).collect();
        let definitions: Vec<_> = metrics.iter().map(|(name, unit, _)| json!({ "Name": name, "Unit": unit })).collect();
        let mut head = json!({
            "Timestamp": now.as_millisecond(),
            "CloudWatchMetrics": [{ "Namespace": self.namespace, "Dimensions": [names], "Metrics": definitions }],
        });
        if let Some(log_group) = &self.log_group {
            head["LogGroupName"] = json!(log_group);
        }
        let mut document = Map::new();
        document.insert("_aws".to_owned(), head);
        for (name, value) in self.dimensions.iter().chain(set) {
            document.insert(name.clone(), json!(value));
        }
        for (name, _, values) in metrics {
            let value = if let [only] = values { json!(only) } else { json!(values) };
            document.insert((*name).to_owned(), value);
        }
        Value::Object(document)
    }
}

/// A label's value as CloudWatch takes a dimension's: not empty, of ASCII without control characters, and not too long. A
/// colon at the start is reserved.
fn plain(value: &str) -> String {
    let is_plain = |c: char| c == ' ' || c.is_ascii_graphic();
    let mut text: String = value.chars().take(MAX_VALUE_CHARS).map(|c| if is_plain(c) { c } else { '_' }).collect();
    if text.starts_with(':') {
        text.replace_range(..1, "_");
    }
    if text.trim().is_empty() { "none".to_owned() } else { text }
}
