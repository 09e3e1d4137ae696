//! The metrics section: where metrics are sent, beside what `[http]` answers.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::document::{KeyPath, Problem};
use super::sinks::{check_headers, check_url};
use super::units::{DurationText, duration};
use super::{Compression, HttpClient, Secret};
use crate::metrics::{emf, otlp};
use crate::sink::otlp::{Endpoint, Protocol};

/// Where metrics are sent; `[http]` answers whoever asks for them, and is enough for Prometheus. `deploy/METRICS.md` names
/// them all. What cannot be sent is said in the log and delays nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// An OpenTelemetry collector, or any other endpoint of OTLP, is sent all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp: Option<OtlpMetrics>,
    /// CloudWatch is sent some of them, as lines of its embedded metric format: each metric there has its price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub emf: Option<EmfMetrics>,
}

/// How metrics travel to a collector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MetricsProtocol {
    /// Protobuf over HTTP.
    #[default]
    Http,
    /// gRPC.
    Grpc,
}

/// Metrics for a collector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OtlpMetrics {
    /// The endpoint's URL, such as `http://localhost:4318`. Over HTTP, `/v1/metrics` is added where it has no path; gRPC,
    /// at port 4317 in most places, has none.
    pub url: String,
    /// How metrics travel: `http` (Protobuf over HTTP) or `grpc`. Default: `http`, which every collector and every proxy
    /// takes.
    #[serde(default)]
    pub protocol: MetricsProtocol,
    /// How often they are sent, `1s` to `1h`; the last time when the process ends. Default: `1m`, as often as
    /// OpenTelemetry's own libraries do.
    #[serde(default = "default_interval", with = "duration")]
    #[schemars(with = "DurationText", extend("x-minimum" = "1s", "x-maximum" = "1h"))]
    pub interval: Duration,
    /// How long a request may take, `1s` to `1m`. Default: `10s`. What was lost is made up for by the next export.
    #[serde(default = "default_timeout", with = "duration")]
    #[schemars(with = "DurationText", extend("x-minimum" = "1s", "x-maximum" = "1m"))]
    pub timeout: Duration,
    /// Headers of each request, or metadata of each call. Those with a secret are `secret_headers`. Default: none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Headers whose values are secret, whole: with `authorization`, `Bearer ` is a part of the secret. They are read at
    /// the start, and again when the collector does not accept them. Default: none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secret_headers: BTreeMap<String, Secret>,
    /// How requests are compressed: `none` or `gzip`. Default: `gzip`, which every collector has to take.
    #[serde(default = "default_compression")]
    pub compression: Compression,
    /// Attributes of the resource that metrics speak of. Default: `service.name` is `bedrock-tap`, `service.version` the
    /// program's, and `service.instance.id` the id of the ECS task, or the host's name with what no other process has.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub resource: BTreeMap<String, String>,
    /// The proxy that requests go through (`http` or `https`). Default: what `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and
    /// `NO_PROXY` say, but this host is asked directly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// A file of certificates (PEM) that the collector's certificate may be signed by, beside the system's. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// A file with this client's certificate and its chain (PEM). Default: none; then the collector must not ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<PathBuf>,
    /// The certificate's private key (PEM).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_key: Option<Secret>,
}

/// Metrics for CloudWatch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EmfMetrics {
    /// Where lines go: `stdout`, `stderr`, or the CloudWatch agent at `tcp://HOST:PORT`, which listens at port 25888.
    /// Default: `stdout`, which ECS' log driver takes to CloudWatch Logs, where they become metrics. Where a
    /// sink writes events to standard output it must be `stderr`; the log's own lines do no harm there.
    pub target: String,
    /// The log group that the agent puts lines into; needed with an agent, and of no use without one. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_group: Option<String>,
    /// The namespace of the metrics in CloudWatch. Default: `BedrockTap`.
    pub namespace: String,
    /// How often lines are written, `1s` to `1h`; the last time when the process ends. Default: `1m`, the resolution of
    /// metrics in CloudWatch.
    #[serde(with = "duration")]
    #[schemars(with = "DurationText", extend("x-minimum" = "1s", "x-maximum" = "1h"))]
    pub interval: Duration,
    /// Dimensions that every metric has, 20 at most, such as `Service = "bedrock-tap-prod"`, to tell deployments apart.
    /// Default: none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub dimensions: BTreeMap<String, String>,
    /// The metrics that are exported, as patterns with `*` and `?`; `bedrock_tap_` may be left out. CloudWatch charges for
    /// each name with each set of dimension values by the month. Default: whether the daemon keeps up, what was read, delivered and rejected, how
    /// many calls there were, and what goes wrong at sinks; a dozen metrics and a few for each sink.
    pub metrics: Vec<String>,
    /// The labels that become dimensions; counts over all others are added up, and a gauge has one value for each of
    /// them. Default: those of sinks and rejects and the stream, which are few; `shard` and `model` may be many.
    pub labels: Vec<String>,
}

fn default_interval() -> Duration {
    Duration::from_secs(60)
}

fn default_timeout() -> Duration {
    Duration::from_secs(10)
}

fn default_compression() -> Compression {
    Compression::Gzip
}

impl Default for EmfMetrics {
    fn default() -> Self {
        let texts = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect();
        Self {
            target: "stdout".to_owned(),
            log_group: None,
            namespace: "BedrockTap".to_owned(),
            interval: default_interval(),
            dimensions: BTreeMap::new(),
            metrics: texts(&[
                "shard_lag_seconds",
                "records_*",
                "rejects_total",
                "invocations_total",
                "sink_*_items_total",
                "sink_retries_total",
                "sink_up",
            ]),
            labels: texts(&["sink", "stage", "reason", "stream"]),
        }
    }
}

/// The constant dimensions. With the labels of any metric they are below the 30 that a set may have (source: "CloudWatch
/// embedded metric format specification", `DimensionSet`).
const MAX_DIMENSIONS: usize = 20;

/// The characters of names in CloudWatch (source: `PutMetricData` of the CloudWatch API reference).
const MAX_NAME_CHARS: usize = 255;
/// The characters of a dimension's name and value (source: the specification's JSON Schema).
const MAX_DIMENSION_CHARS: usize = 250;
const MAX_VALUE_CHARS: usize = 1024;

impl Metrics {
    /// Whether metrics are sent anywhere.
    pub fn is_any(&self) -> bool {
        self.otlp.is_some() || self.emf.is_some()
    }

    pub(super) fn check(&self, problems: &mut Vec<Problem>) {
        if let Some(otlp) = &self.otlp {
            otlp.check(&KeyPath::of(&["metrics", "otlp"]), problems);
        }
        if let Some(emf) = &self.emf {
            emf.check(&KeyPath::of(&["metrics", "emf"]), problems);
        }
    }
}

impl OtlpMetrics {
    fn check(&self, at: &KeyPath, problems: &mut Vec<Problem>) {
        self.client().check(at, problems);
        check_url(&self.url, self.protocol(), self.proxy.is_some(), at, problems);
        check_headers(&self.headers, &self.secret_headers, at, problems);
        if self.resource.contains_key("") {
            problems.push(Problem::key(at.key("resource"), "an attribute has no name"));
        }
    }

    fn protocol(&self) -> Protocol {
        match self.protocol {
            MetricsProtocol::Http => Protocol::Http,
            MetricsProtocol::Grpc => Protocol::Grpc,
        }
    }

    fn client(&self) -> HttpClient {
        HttpClient {
            timeout: self.timeout,
            proxy: self.proxy.clone(),
            ca_file: self.ca_file.clone(),
            client_certificate: self.client_certificate.clone(),
            client_key: self.client_key.clone(),
        }
    }

    /// What the exporter is told.
    pub fn settings(&self) -> otlp::Settings {
        let endpoint = Endpoint {
            url: self.url.clone(),
            protocol: self.protocol(),
            headers: self.headers.clone(),
            secret_headers: self.secret_headers.clone(),
            gzip: self.compression == Compression::Gzip,
            client: self.client().settings(),
        };
        otlp::Settings { endpoint, resource: self.resource.clone() }
    }

    /// The section in a line.
    pub fn describe(&self) -> String {
        let protocol = if self.protocol == MetricsProtocol::Grpc { "grpc" } else { "http" };
        format!("all to otlp {} by {protocol}, every {}", self.url, super::units::format_duration(self.interval))
    }
}

impl EmfMetrics {
    fn check(&self, at: &KeyPath, problems: &mut Vec<Problem>) {
        match self.target() {
            None => {
                let problem = Problem::value(at.key("target"), "is no place that lines can go to");
                problems.push(problem.allowed("\"stdout\", \"stderr\" or \"tcp://HOST:PORT\""));
            }
            Some(emf::Target::Agent(_)) if self.log_group.is_none() => {
                let hint = "the agent puts the lines there and makes it if it is missing";
                let problem = Problem::key(at.key("log_group"), "missing: an agent needs one");
                problems.push(problem.hint(hint).allowed("such as \"/bedrock-tap/metrics\""));
            }
            Some(emf::Target::Stdout | emf::Target::Stderr) if self.log_group.is_some() => {
                problems.push(Problem::key(at.key("log_group"), "is of no use without an agent").hint("leave it out"));
            }
            Some(_) => {}
        }
        // Source: "Metrics concepts" of the CloudWatch user guide.
        let is_namespace = |c: char| c.is_ascii_alphanumeric() || " ._-/#:".contains(c);
        let (name, most) = (&self.namespace, MAX_NAME_CHARS);
        if name.trim().is_empty() || name.len() > most || name.starts_with(':') || !name.chars().all(is_namespace) {
            let problem = Problem::value(at.key("namespace"), "is no name of a namespace");
            problems.push(problem.allowed("letters, digits and ._-/#: such as \"BedrockTap\", 255 at most"));
        } else if name.starts_with("AWS/") {
            problems.push(Problem::value(at.key("namespace"), "begins as the namespaces of AWS' own services do"));
        }
        self.check_dimensions(&at.key("dimensions"), problems);
        for (index, pattern) in self.metrics.iter().enumerate() {
            let at = at.key("metrics").index(index);
            match GlobBuilder::new(pattern).build() {
                Err(_) => problems.push(Problem::value(at, "is no pattern").allowed("a name, with `*` and `?`")),
                Ok(glob) => {
                    let glob = glob.compile_matcher();
                    let mut names = crate::metrics::TABLE.iter().map(|metric| metric.name);
                    // What the system says of the process is not in the table.
                    if !names.any(|name| crate::metrics::is_named(name, |name| glob.is_match(name)))
                        && !pattern.starts_with("process_")
                    {
                        let problem = Problem::value(at, "is the name of no metric");
                        problems.push(problem.hint("`deploy/METRICS.md` has the names"));
                    }
                }
            }
        }
        for (index, label) in self.labels.iter().enumerate() {
            if !crate::metrics::TABLE.iter().any(|metric| metric.labels.contains(&label.as_str())) {
                let problem = Problem::value(at.key("labels").index(index), "is a label of no metric");
                problems.push(problem.hint("`deploy/METRICS.md` has the labels"));
            }
        }
    }
    fn check_dimensions(&self, at: &KeyPath, problems: &mut Vec<Problem>) {
        if self.dimensions.len() > MAX_DIMENSIONS {
            let message = format!("are {} dimensions, and {MAX_DIMENSIONS} are allowed", self.dimensions.len());
            problems.push(Problem::key(at.clone(), message));
        }
        for (name, value) in &self.dimensions {
            let is_text = |text: &str, most: usize| {
                let is_plain = text.chars().all(|c| c == ' ' || c.is_ascii_graphic());
                is_plain && !text.trim().is_empty() && text.len() <= most && !text.starts_with(':')
            };
            let is_taken = ["_aws", "bedrock_tap_", "process_"].iter().any(|taken| name.starts_with(taken));
            if !is_text(name, MAX_DIMENSION_CHARS) || is_taken {
                let problem = Problem::key(at.key(name), "is no name of a dimension");
                problems.push(problem.allowed("ASCII, 250 characters at most, no colon first, and no metric's name"));
            } else if !is_text(value, MAX_VALUE_CHARS) {
                let problem = Problem::value(at.key(name), "is no value of a dimension");
                problems.push(problem.allowed("ASCII, 1024 characters at most, no colon first"));
            }
        }
    }

    /// Where lines go; nothing if the text is none of its forms.
    pub(super) fn target(&self) -> Option<emf::Target> {
        match self.target.as_str() {
            "stdout" => Some(emf::Target::Stdout),
            "stderr" => Some(emf::Target::Stderr),
            text => {
                let address = text.strip_prefix("tcp://")?;
                let (host, port) = address.rsplit_once(':')?;
                let is_host =
                    !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || "-._[]:".contains(c));
                let is_port = port.parse().is_ok_and(|port: u16| port > 0);
                (is_host && is_port).then(|| emf::Target::Agent(address.to_owned()))
            }
        }
    }

    /// What the exporter is told; nothing for a target that a checked configuration does not have.
    pub fn settings(&self) -> Option<emf::Settings> {
        let mut metrics = GlobSetBuilder::new();
        for glob in self.metrics.iter().filter_map(|pattern| GlobBuilder::new(pattern).build().ok()) {
            metrics.add(glob);
        }
        Some(emf::Settings {
            target: self.target()?,
            namespace: self.namespace.clone(),
            log_group: self.log_group.clone(),
            dimensions: self.dimensions.clone(),
            metrics: metrics.build().unwrap_or_else(|_| GlobSet::empty()),
            labels: self.labels.clone(),
        })
    }

    /// The section in a line.
    pub fn describe(&self) -> String {
        let place = match self.target.as_str() {
            "stdout" => "standard output",
            "stderr" => "standard error",
            agent => agent,
        };
        let group = self.log_group.as_ref().map(|group| format!(" for the log group {group}")).unwrap_or_default();
        let every = super::units::format_duration(self.interval);
        format!("some to CloudWatch as {}, by {place}{group}, every {every}", self.namespace)
    }
}
