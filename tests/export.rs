//! Metrics that are sent: to a collector of the OpenTelemetry project's own messages, and as lines for CloudWatch.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use bedrock_tap::config::{Config, Environment};
use bedrock_tap::metrics::otlp::Exporter;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{AggregationTemporality, Metric};
use prometheus::{GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};
use serde_json::Value;
use tonic::Code;

use crate::support::otlp_double::{Collector, Meet, busy};

fn config(sections: &str) -> Result<Config, String> {
    let text = format!("source.file.paths = ['-']\nsinks.a.file.path = 'a'\n{sections}\n");
    Config::parse(&text, "t.toml", &Environment::default()).map_err(|error| error.to_string())
}

/// An exporter as the configuration makes it.
fn exporter(section: &str) -> Exporter {
    let config = config(&format!("[metrics.otlp]\n{section}")).unwrap_or_else(|error| panic!("{error}"));
    let mut exporter = Exporter::open(config.metrics.otlp.unwrap().settings()).unwrap();
    assert!(exporter.wants_instance());
    exporter.of_instance("task-1");
    exporter
}

fn registry() -> Registry {
    let registry = Registry::new();
    let items = IntCounterVec::new(Opts::new("tap_items_total", "Items."), &["sink"]).unwrap();
    items.with_label_values(&["lake"]).inc_by(3);
    let memory = GaugeVec::new(Opts::new("tap_memory_bytes", "Memory."), &[]).unwrap();
    memory.with_label_values::<&str>(&[]).set(0.0);
    let opts = HistogramOpts::new("tap_call_seconds", "Calls.").buckets(vec![0.5, 1.0]);
    let calls = HistogramVec::new(opts, &["service"]).unwrap();
    [0.25, 0.75, 0.75, 4.0].iter().for_each(|seconds| calls.with_label_values(&["s3"]).observe(*seconds));
    registry.register(Box::new(items)).unwrap();
    registry.register(Box::new(memory)).unwrap();
    registry.register(Box::new(calls)).unwrap();
    registry
}

/// The attributes as `key=value`.
fn texts(attributes: &[KeyValue]) -> Vec<String> {
    let mut texts: Vec<_> = attributes
        .iter()
        .map(|attribute| match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
            Some(Any::StringValue(text)) => format!("{}={text}", attribute.key),
            other => panic!("{other:?}"),
        })
        .collect();
    texts.sort();
    texts
}

fn metrics(request: &ExportMetricsServiceRequest) -> Vec<Metric> {
    let [resource] = &request.resource_metrics[..] else { panic!("{request:?}") };
    let [scope] = &resource.scope_metrics[..] else { panic!("{request:?}") };
    assert_eq!(scope.scope.as_ref().unwrap().name, "bedrock-tap");
    scope.metrics.clone()
}

/// What a collector took of the registry.
fn assert_taken(request: &ExportMetricsServiceRequest) {
    let resource = request.resource_metrics[0].resource.as_ref().unwrap();
    let version = concat!("service.version=", env!("CARGO_PKG_VERSION"));
    let expected = ["service.instance.id=task-1", "service.name=mine", version, "team=red"];
    assert_eq!(texts(&resource.attributes), expected);
    let cumulative = AggregationTemporality::Cumulative as i32;
    let [calls, items, memory] = &metrics(request)[..] else { panic!("{request:?}") };
    assert_eq!(
        (calls.name.as_str(), calls.unit.as_str(), calls.description.as_str()),
        ("tap_call_seconds", "s", "Calls.")
    );
    let Some(Data::Histogram(histogram)) = &calls.data else { panic!("{calls:?}") };
    let [point] = &histogram.data_points[..] else { panic!("{calls:?}") };
    assert_eq!(
        (histogram.aggregation_temporality, texts(&point.attributes)),
        (cumulative, vec!["service=s3".to_owned()])
    );
    assert_eq!((&point.bucket_counts[..], &point.explicit_bounds[..]), (&[1, 2, 1][..], &[0.5, 1.0][..]));
    assert_eq!((point.count, point.sum), (4, Some(5.75)));
    assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (1_000_000_000, 61_000_000_000));
    assert_eq!((items.name.as_str(), items.unit.as_str()), ("tap_items_total", ""));
    let Some(Data::Sum(sum)) = &items.data else { panic!("{items:?}") };
    let [point] = &sum.data_points[..] else { panic!("{items:?}") };
    assert_eq!((sum.is_monotonic, sum.aggregation_temporality), (true, cumulative));
    assert_eq!((texts(&point.attributes), point.value), (vec!["sink=lake".to_owned()], Some(Number::AsDouble(3.0))));
    assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (1_000_000_000, 61_000_000_000));
    assert_eq!((memory.name.as_str(), memory.unit.as_str()), ("tap_memory_bytes", "By"));
    let Some(Data::Gauge(gauge)) = &memory.data else { panic!("{memory:?}") };
    assert_eq!(gauge.data_points[0].value, Some(Number::AsDouble(0.0)), "zero is a value");
}

#[tokio::test]
async fn a_collector_takes_sums_gauges_and_histograms() {
    let (started, now) = ("1970-01-01T00:00:01Z".parse().unwrap(), "1970-01-01T00:01:01Z".parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    std::fs::write(&token, "Bearer of the test\n").unwrap();
    for protocol in ["http", "grpc"] {
        let collector = if protocol == "grpc" { Collector::over_grpc().await } else { Collector::over_http().await };
        for compression in ["gzip", "none"] {
            let exporter = exporter(&format!(
                "url = 'http://{}'\nprotocol = '{protocol}'\ncompression = '{compression}'\ntimeout = '5s'\n\
                 resource = {{ 'service.name' = 'mine', team = 'red' }}\nheaders.x-scope = 'a'\n\
                 secret_headers.authorization.file = '{}'",
                collector.address,
                token.display()
            ));
            exporter.export(&registry().gather(), started, now).await.unwrap();
        }
        let taken = collector.metrics();
        assert_eq!(taken.len(), 2, "{protocol}");
        taken.iter().for_each(assert_taken);
        for head in collector.heads() {
            assert_eq!(
                (&head["x-scope"], &head["authorization"]),
                (&"a".parse().unwrap(), &"Bearer of the test".parse().unwrap())
            );
        }
    }
}

#[tokio::test]
async fn what_is_not_taken_is_an_error_that_quotes_nothing() {
    let check = async |protocol: &str, meet: Meet, expected: &str| {
        let collector = if protocol == "grpc" { Collector::over_grpc().await } else { Collector::over_http().await };
        collector.script([meet]);
        let exporter =
            exporter(&format!("url = 'http://{}'\nprotocol = '{protocol}'\ntimeout = '1s'", collector.address));
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let error = exporter.export(&registry().gather(), now, now).await.unwrap_err();
        let text = format!("{:#}", anyhow::Error::new(error));
        assert!(text.contains(expected) && !text.contains("hush"), "{text}");
        exporter.export(&registry().gather(), now, now).await.unwrap();
        assert_eq!(collector.metrics().len(), 1, "the next export makes up for it");
    };
    check("http", Meet::Http(503, &[("retry-after", "7")], b"hush".to_vec()), "503").await;
    check("http", Meet::Http(401, &[], b"hush".to_vec()), "secret_headers").await;
    check("http", Meet::Http(404, &[], Vec::new()), "/v1/metrics").await;
    check("http", Meet::Hang, "not answered").await;
    check("grpc", Meet::Grpc(busy(Code::Unavailable, 1)), "UNAVAILABLE").await;
    check("grpc", Meet::Grpc(tonic::Status::unimplemented("hush")), "a collector for metrics").await;
}

/// Runs the program on a file with one call, and ends with it.
fn run(directory: &Path, sections: &str) -> (Output, Duration) {
    let record = r#"{"schemaType":"ModelInvocationLog","schemaVersion":"1.0","timestamp":"2026-01-02T03:04:05Z","accountId":"123456789012","region":"us-east-1","requestId":"a","operation":"Converse","modelId":"test.model","input":{"inputTokenCount":1000,"inputBodyJson":{"messages":[{"role":"user","content":[{"text":"the prompt of the test"}]}]}},"output":{"outputTokenCount":10}}"#;
    std::fs::write(directory.join("in"), format!("{record}\n")).unwrap();
    let config = directory.join("config.toml");
    let path = |name: &str| directory.join(name).display().to_string();
    let text = format!(
        "source.file.paths = [{:?}]\ncoordination.local.directory = {:?}\n[sinks.lake.file]\npath = {:?}\n{sections}\n",
        path("in"),
        path("state"),
        path("out"),
    );
    std::fs::write(&config, text).unwrap();
    let begun = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_bedrock-tap"))
        .args(["run", "--config"])
        .arg(&config)
        .env("TAP_TEST_TOKEN", "Bearer of-the-test")
        .env_remove("ECS_CONTAINER_METADATA_URI_V4")
        .output()
        .unwrap();
    (output, begun.elapsed())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_exports_a_last_time_when_it_ends() {
    let collector = Collector::over_http().await;
    let directory = tempfile::tempdir().unwrap();
    let sections = format!(
        "[metrics.otlp]\nurl = 'http://{}'\ninterval = '1h'\nsecret_headers.authorization.env = 'TAP_TEST_TOKEN'\n\
         [metrics.emf]\ninterval = '1h'\ndimensions.Service = 'test'\nmetrics = ['records_*', 'invocations_total', 'sink_*']\n\
         labels = ['sink', 'model']",
        collector.address
    );
    let directory_path = directory.path().to_owned();
    let (output, _) = tokio::task::spawn_blocking(move || run(&directory_path, &sections)).await.unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");

    let taken = collector.metrics();
    let [request] = &taken[..] else { panic!("{} requests: {said}", taken.len()) };
    assert_eq!(collector.heads()[0]["authorization"], "Bearer of-the-test");
    let resource = texts(&request.resource_metrics[0].resource.as_ref().unwrap().attributes);
    assert!(resource.contains(&"service.name=bedrock-tap".to_owned()), "{resource:?}");
    assert!(
        resource
            .iter()
            .any(|text| text.len() > "service.instance.id=".len() && text.starts_with("service.instance.id="))
    );
    let sum = |name: &str| {
        let metric = metrics(request).into_iter().find(|metric| metric.name == format!("bedrock_tap_{name}")).unwrap();
        let Some(Data::Sum(sum)) = metric.data else { panic!("{metric:?}") };
        sum.data_points
            .iter()
            .map(|point| if let Some(Number::AsDouble(value)) = point.value { value } else { 0.0 })
            .sum::<f64>()
    };
    let counted = ["records_read_total", "records_delivered_total", "invocations_total", "sink_items_total"].map(sum);
    assert_eq!(counted, [1.0; 4], "what the last moment counted is in it");

    let lines: Vec<Value> = text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let value = |name: &str| {
        let of_line = |line: &Value| line[format!("bedrock_tap_{name}")].as_f64();
        lines.iter().filter_map(of_line).sum::<f64>()
    };
    let counted = ["records_read_total", "records_delivered_total", "invocations_total", "sink_items_total"].map(value);
    assert_eq!(counted, [1.0; 4], "{lines:?}");
    for line in &lines {
        let directive = &line["_aws"]["CloudWatchMetrics"][0];
        assert_eq!((&directive["Namespace"], &line["Service"]), (&"BedrockTap".into(), &"test".into()));
    }
    assert!(lines.iter().any(|line| line["model"] == "test.model"), "{lines:?}");
    assert!(!text(&output.stdout).contains("prompt") && !said.contains("of-the-test"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_takes_nothing_costs_a_line_of_the_log() {
    let collector = Collector::over_http().await;
    collector.script([Meet::Hang]);
    let nobody = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    for (address, expected) in [(nobody, 1), (collector.address, 0)] {
        let directory = tempfile::tempdir().unwrap();
        let sections = format!(
            "[metrics.otlp]\nurl = 'http://{address}'\ninterval = '1h'\ntimeout = '30s'\n\
             secret_headers.authorization.env = 'TAP_TEST_TOKEN'"
        );
        let path = directory.path().to_owned();
        let (output, took) = tokio::task::spawn_blocking(move || run(&path, &sections)).await.unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert!(std::fs::metadata(directory.path().join("out")).unwrap().len() > 0, "it was delivered all the same");
        assert_eq!(said.matches("metrics cannot be exported").count(), expected, "{said}");
        assert!(!said.contains("of-the-test"), "{said}");
        // Well below the 30 seconds that a request may take.
        assert!(took < Duration::from_secs(15), "{took:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_takes_lines_over_tcp() {
    let agent = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let sections =
        format!("[metrics.emf]\ntarget = 'tcp://{}'\nlog_group = '/tap'\ninterval = '1h'", agent.local_addr().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_owned();
    let running = tokio::task::spawn_blocking(move || run(&path, &sections));
    let (mut stream, _) = agent.accept().await.unwrap();
    let mut taken = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut taken).await.unwrap();
    assert_eq!(running.await.unwrap().0.status.code(), Some(0));
    let lines: Vec<Value> = text(&taken).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().all(|line| line["_aws"]["LogGroupName"] == "/tap"), "{lines:?}");
    assert!(lines.iter().any(|line| line["bedrock_tap_records_read_total"] == 1.0), "{lines:?}");
}

#[test]
fn sections_are_checked() {
    let check = |section: &str, expected: &[&str]| match config(section) {
        Ok(_) => assert!(expected.is_empty(), "{section} is valid"),
        Err(error) => {
            // Errors are folded.
            let error = error.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(!expected.is_empty() && expected.iter().all(|part| error.contains(part)), "{section}: {error}");
        }
    };
    let otlp = |lines: &str, expected: &[&str]| check(&format!("[metrics.otlp]\nurl = 'http://a'\n{lines}"), expected);
    let emf = |lines: &str, expected: &[&str]| check(&format!("[metrics.emf]\n{lines}"), expected);
    check("[metrics.otlp]", &["`metrics.otlp.url`: missing"]);
    check("[metrics.statsd]", &["statsd"]);
    otlp("", &[]);
    otlp("protocol = 'grpc'\ninterval = '1s'\ntimeout = '1m'", &[]);
    otlp("protocol = 'http_json'", &["`metrics.otlp.protocol`"]);
    otlp("interval = '100ms'", &["`metrics.otlp.interval`"]);
    otlp("headers.authorization = 'abc'", &["is a secret", "secret_headers"]);
    otlp("client_certificate = 'a.pem'", &["`metrics.otlp.client_key`: missing"]);
    otlp("resource.'' = 'a'", &["`metrics.otlp.resource`"]);
    emf("", &[]);
    emf("target = 'stderr'\nmetrics = ['*', 'bedrock_tap_shards', 'process_open_fds']\nlabels = []", &[]);
    emf("target = 'tcp://127.0.0.1:25888'\nlog_group = '/tap'", &[]);
    emf("target = 'tcp://127.0.0.1:25888'", &["`metrics.emf.log_group`: missing"]);
    emf("log_group = '/tap'", &["`metrics.emf.log_group`: is of no use"]);
    for target in ["file", "udp://a:1", "tcp://a", "tcp://:1", "tcp://a:0", "tcp://a b:1", "tcp://a:99999"] {
        emf(&format!("target = '{target}'"), &["`metrics.emf.target`", "tcp://HOST:PORT"]);
    }
    emf("namespace = ''", &["`metrics.emf.namespace`"]);
    emf("namespace = 'AWS/Bedrock'", &["`metrics.emf.namespace`", "AWS"]);
    emf("namespace = 'a\"b'", &["`metrics.emf.namespace`"]);
    emf("metrics = ['shard_lag']", &["`metrics.emf.metrics[0]`", "METRICS.md"]);
    emf("metrics = ['[']", &["`metrics.emf.metrics[0]`"]);
    emf("labels = ['prompt']", &["`metrics.emf.labels[0]`"]);
    emf("dimensions.':a' = 'b'", &["is no name of a dimension"]);
    emf("dimensions.bedrock_tap_shards = 'b'", &["is no name of a dimension"]);
    emf("dimensions.a = 'ü'", &["`metrics.emf.dimensions.a`"]);
    let many: String = (0..21).map(|number| format!("dimensions.d{number} = 'x'\n")).collect();
    emf(&many, &["21 dimensions"]);
    let stdout = "[sinks.b.stdout]\n[metrics.emf]\n";
    check(stdout, &["`metrics.emf.target`", "`sinks.b.stdout` writes to standard output", "stderr"]);
    check(&format!("{stdout}target = 'stderr'"), &[]);
    check("[dead_letter.stdout]\n[metrics.emf]", &["`dead_letter.stdout` writes to standard output"]);
}
