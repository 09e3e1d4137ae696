//! Lines of metrics, held against what the specification allows.

use std::sync::Mutex;

use prometheus::{CounterVec, GaugeVec, HistogramOpts, HistogramVec, Opts, Registry};
use serde_json::{Value, json};

use super::*;
use crate::source::BoxFuture;

/// What is measured in these tests.
struct Process {
    registry: Registry,
    items: CounterVec,
    lag: GaugeVec,
    seconds: HistogramVec,
}

impl Process {
    fn new() -> Self {
        let items = CounterVec::new(Opts::new("bedrock_tap_items_total", "a"), &["sink", "code"]).unwrap();
        let lag = GaugeVec::new(Opts::new("bedrock_tap_lag_seconds", "a"), &["stream", "shard"]).unwrap();
        let opts = HistogramOpts::new("bedrock_tap_call_seconds", "a").buckets(vec![1.0]);
        let seconds = HistogramVec::new(opts, &["sink"]).unwrap();
        let registry = Registry::new();
        registry.register(Box::new(items.clone())).unwrap();
        registry.register(Box::new(lag.clone())).unwrap();
        registry.register(Box::new(seconds.clone())).unwrap();
        Self { registry, items, lag, seconds }
    }

    fn documents(&self, before: &Metrics, labels: &[&str], constant: &[(&str, &str)]) -> (Vec<Value>, Metrics) {
        let dimensions = constant.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let directive = Directive { namespace: "Tap".into(), log_group: None, dimensions };
        let families = self.registry.gather();
        let metrics = Metrics::of(families.iter(), |label| labels.contains(&label), &directive.dimensions);
        let documents = metrics.documents(before, &directive, Timestamp::UNIX_EPOCH);
        documents.iter().for_each(assert_valid);
        (documents, metrics)
    }
}

/// Holds a line against the rules of the "CloudWatch embedded metric format specification" (its JSON Schema and the
/// limits around it), as far as they concern what is written here.
fn assert_valid(document: &Value) {
    let root = document.as_object().unwrap();
    assert!(document.to_string().len() < 256 << 10, "a log event has 256 KiB in the smallest of its limits");
    let head = root["_aws"].as_object().unwrap();
    assert!(head["Timestamp"].is_u64(), "milliseconds since 1970: {head:?}");
    assert!(head.keys().all(|key| ["Timestamp", "CloudWatchMetrics", "LogGroupName"].contains(&key.as_str())));
    let mut told: Vec<&str> = vec!["_aws"];
    for directive in head["CloudWatchMetrics"].as_array().unwrap() {
        let namespace = directive["Namespace"].as_str().unwrap();
        assert!((1..=1024).contains(&namespace.len()));
        for set in directive["Dimensions"].as_array().unwrap() {
            let set = set.as_array().unwrap();
            assert!(set.len() <= 30, "{} dimensions", set.len());
            for name in set.iter().map(|name| name.as_str().unwrap()) {
                assert!((1..=250).contains(&name.len()) && name.is_ascii() && !name.starts_with(':'), "{name:?}");
                let value = root[name].as_str().unwrap();
                assert!((1..=1024).contains(&value.chars().count()) && !value.trim().is_empty(), "{value:?}");
                assert!(value.chars().all(|c| c.is_ascii() && !c.is_control()) && !value.starts_with(':'), "{value:?}");
                told.push(name);
            }
        }
        let metrics = directive["Metrics"].as_array().unwrap();
        assert!((1..=100).contains(&metrics.len()), "{} metrics", metrics.len());
        for metric in metrics {
            let name = metric["Name"].as_str().unwrap();
            assert!((1..=1024).contains(&name.len()));
            assert!(["Seconds", "Bytes", "Count", "None"].contains(&metric["Unit"].as_str().unwrap()));
            let values = root[name].as_array().cloned().unwrap_or_else(|| vec![root[name].clone()]);
            assert!((1..=100).contains(&values.len()) && values.iter().all(Value::is_number), "{values:?}");
            assert!(!told.contains(&name), "{name} twice");
            told.push(name);
        }
    }
    assert!(root.keys().all(|key| told.contains(&key.as_str())), "{document} has members that nothing names");
}

#[test]
fn a_line_holds_what_grew_and_what_is_by_the_labels_that_are_kept() {
    let process = Process::new();
    process.items.with_label_values(&["lake", "a"]).inc_by(3.0);
    process.items.with_label_values(&["lake", "b"]).inc_by(4.0);
    process.lag.with_label_values(&["s", "1"]).set(0.5);
    process.lag.with_label_values(&["s", "2"]).set(2.0);
    process.seconds.with_label_values(&["lake"]).observe(0.25);
    let constant = [("Service", "prod")];
    let (documents, before) = process.documents(&Metrics::default(), &["sink", "stream"], &constant);
    let line = |set: &str, metrics: Value| {
        let head = json!({ "Namespace": "Tap", "Dimensions": [["Service", set]], "Metrics": metrics });
        json!({ "_aws": { "Timestamp": 0, "CloudWatchMetrics": [head] }, "Service": "prod" })
    };
    let of = |name: &str, unit: &str| json!({ "Name": name, "Unit": unit });
    let calls = ["bedrock_tap_call_seconds_count", "bedrock_tap_call_seconds_sum", "bedrock_tap_items_total"];
    let mut lake = line("sink", json!([of(calls[0], "Count"), of(calls[1], "Seconds"), of(calls[2], "Count")]));
    lake["sink"] = json!("lake");
    lake[calls[0]] = json!(1.0);
    lake[calls[1]] = json!(0.25);
    lake[calls[2]] = json!(7.0);
    let mut lag = line("stream", json!([of("bedrock_tap_lag_seconds", "Seconds")]));
    lag["stream"] = json!("s");
    lag["bedrock_tap_lag_seconds"] = json!([0.5, 2.0]);
    assert_eq!(documents, [lake, lag.clone()]);

    // What did not move is left out where it has dimensions; a gauge is as it is.
    assert_eq!(process.documents(&before, &["sink", "stream"], &constant).0, [lag]);
    process.items.with_label_values(&["lake", "b"]).inc();
    let (documents, _) = process.documents(&before, &["sink"], &constant);
    assert_eq!(documents.iter().find(|line| line["sink"] == "lake").unwrap()["bedrock_tap_items_total"], json!(1.0));

    // Without labels there is one set, without dimensions, in which counters are at zero too.
    let (documents, before) = process.documents(&Metrics::default(), &[], &[]);
    assert_eq!((documents.len(), &documents[0]["bedrock_tap_items_total"]), (1, &json!(8.0)));
    assert_eq!(documents[0]["_aws"]["CloudWatchMetrics"][0]["Dimensions"], json!([[]]));
    assert_eq!(process.documents(&before, &[], &[]).0[0]["bedrock_tap_items_total"], json!(0.0));
}

#[test]
fn limits_of_a_line_make_more_lines() {
    let process = Process::new();
    for shard in 0..250 {
        process.lag.with_label_values(&["s", &shard.to_string()]).set(f64::from(shard));
    }
    process.lag.with_label_values(&["s", "new"]).set(f64::NAN);
    let (documents, _) = process.documents(&Metrics::default(), &[], &[]);
    let values: Vec<f64> = documents
        .iter()
        .flat_map(|line| line["bedrock_tap_lag_seconds"].as_array().unwrap())
        .map(|value| value.as_f64().unwrap())
        .collect();
    assert_eq!((documents.len(), values.len()), (3, 250), "what is no number is left out");
    assert!((values.iter().sum::<f64>() - 31125.0).abs() < 1e-6);

    let registry = Registry::new();
    for number in 0..230 {
        let counter = CounterVec::new(Opts::new(format!("bedrock_tap_{number}_total"), "a"), &[]).unwrap();
        counter.with_label_values::<&str>(&[]).inc_by(f64::from(number));
        registry.register(Box::new(counter)).unwrap();
    }
    let process = Process { registry, ..process };
    let (documents, _) = process.documents(&Metrics::default(), &[], &[]);
    let names = |line: &Value| line["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array().unwrap().len();
    assert_eq!(documents.iter().map(names).collect::<Vec<_>>(), [100, 100, 30]);
}

#[test]
fn values_of_labels_are_such_that_cloudwatch_takes_them() {
    let process = Process::new();
    let check = |label: &str, expected: &str| {
        process.items.reset();
        process.items.with_label_values(&[label, ""]).inc();
        let (documents, _) = process.documents(&Metrics::default(), &["sink"], &[]);
        assert_eq!(documents[0]["sink"], json!(expected), "{label:?}");
    };
    check("lake", "lake");
    check("", "none");
    check(" ", "none");
    check("ü\n\u{1b}[31m", "___[31m");
    check(":own", "_own");
    check(&"x".repeat(2000), &"x".repeat(1024));
}

/// A target that fails as often as it is told, and keeps what it took.
struct Scripted {
    failures: Mutex<usize>,
    taken: Arc<Mutex<Vec<Value>>>,
}

impl Sink for Scripted {
    fn deliver(&self, batch: Arc<Batch>) -> BoxFuture<'_, Result<(), SinkError>> {
        Box::pin(async move {
            let mut failures = self.failures.lock().unwrap();
            if *failures > 0 {
                *failures -= 1;
                return Err(SinkError::retry("full"));
            }
            let lines = batch.parts.iter().flat_map(|lines| lines.iter());
            self.taken.lock().unwrap().extend(lines.map(|line| serde_json::from_slice::<Value>(line).unwrap()));
            Ok(())
        })
    }
}

#[tokio::test]
async fn what_could_not_be_written_is_written_before_the_next() {
    let (process, taken) = (Process::new(), Arc::new(Mutex::new(Vec::new())));
    let mut pattern = globset::GlobSetBuilder::new();
    pattern.add(globset::Glob::new("items_*").unwrap());
    let mut exporter = Exporter {
        out: Box::new(Scripted { failures: Mutex::new(2), taken: Arc::clone(&taken) }),
        directive: Directive { namespace: "Tap".into(), log_group: Some("/tap".into()), dimensions: BTreeMap::new() },
        metrics: pattern.build().unwrap(),
        labels: vec!["sink".into()],
        before: Metrics::default(),
        pending: None,
    };
    let items = process.items.with_label_values(&["lake", ""]);
    process.lag.with_label_values(&["s", "1"]).set(1.0);
    for (grown, fails) in [(3.0, true), (4.0, true), (5.0, false), (6.0, false)] {
        items.inc_by(grown);
        let result = exporter.export(&process.registry.gather(), Timestamp::UNIX_EPOCH).await;
        assert_eq!(result.is_err(), fails);
    }
    let taken = taken.lock().unwrap();
    let grown: Vec<_> = taken.iter().map(|line| line["bedrock_tap_items_total"].as_f64().unwrap()).collect();
    assert_eq!(grown, [3.0, 9.0, 6.0], "nothing is missing, and nothing twice");
    assert!(taken.iter().all(|line| line["_aws"]["LogGroupName"] == json!("/tap")));
    taken.iter().for_each(assert_valid);
}
