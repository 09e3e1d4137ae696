//! The configuration: the shape of the TOML file, checked without touching the outside.
//!
//! Each key is documented once, by the doc comment of its field: its meaning, unit, default, and the reason for the
//! default. The JSON Schema (`bedrock-tap schema --format config`) takes its descriptions from there.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use conform::Findings;
use document::{Document, MAX_FAULTS, Problem};
use shape::Shape;

mod access;
mod alerts;
mod bodies;
mod conform;
mod coordination;
mod cost;
mod decode;
mod destinations;
mod detect;
mod document;
mod environment;
mod error;
mod extract;
mod http;
mod log;
mod metrics;
mod needs;
mod panther;
mod redact;
mod rule;
mod secret;
mod select;
mod shape;
mod sinks;
mod source;
mod start;
pub mod units;
mod validate;

pub use access::AssumeRole;
pub use alerts::{AlertSink, Alerts, Told};
pub use bodies::Bodies;
pub use coordination::{Coordination, DynamodbCoordination, LocalCoordination};
pub use cost::{Cost, ModelPrice, PerMillion, PriceError};
pub use decode::Decode;
pub use detect::{ActiveRules, Detect};
pub use environment::Environment;
pub(crate) use error::fold;
pub use error::{ConfigError, Look};
pub use extract::Extract;
pub use http::HttpServer;
pub use log::{Log, LogFormat, LogLevel};
pub use metrics::{EmfMetrics, Metrics, MetricsProtocol, OtlpMetrics};
pub use needs::{Home, Need, in_use};
pub use panther::Panther;
pub use redact::{Redact, RedactedBodies};
pub use rule::{Baseline, RuleFile, RuleFilesError, RuleTest, managed_rules, own_rules, rule_files};
pub use secret::{Secret, SecretError};
pub use select::{Sample, Select};
pub use sinks::{
    AwsAccess, Batching, Compression, DeadLetter, Elasticsearch, Events, FileDeadLetter, FileSink, Firehose, Http,
    HttpClient, Kinesis, Null, ObjectCompression, ObjectEncoding, Otlp, S3, Signing, Sink, SplunkHec, Sqs, Sse, Stdout,
    Taken,
};
pub(crate) use source::check_group;
pub use source::{
    CloudwatchMode, CloudwatchSource, DEFAULT_CONSUMER, FileSource, FirehoseSource, KinesisSource, Mode, OnTrimmed,
    S3List, S3Source, Source,
};
pub use start::Start;
pub use units::ByteSize;

/// The configuration of bedrock-tap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Bytes in flight between the source and the sinks, over all shards together, `32 MiB` to `1024 GiB`. Default:
    /// `256 MiB`: a read brings 10 MiB at most, so two dozen shards run ahead of slow sinks, and the smallest Fargate
    /// task (512 MiB) still has room for the rest.
    #[serde(default = "default_memory_budget")]
    #[schemars(extend("x-minimum" = "32 MiB", "x-maximum" = "1024 GiB"))]
    pub memory_budget: ByteSize,
    /// How long a stop waits for what was read to be delivered, `1s` to `120s`. Default: `25s`, below the 30 s after
    /// which ECS kills a task that was asked to stop (`stopTimeout`, 120 s at most).
    #[serde(default = "default_drain_timeout", with = "units::duration")]
    #[schemars(with = "units::DurationText", extend("x-minimum" = "1s", "x-maximum" = "120s"))]
    pub drain_timeout: Duration,
    /// Where records come from: exactly one kind.
    pub source: Source,
    /// Who reads what, and where positions are stored. Default: `local`.
    #[serde(default)]
    pub coordination: Coordination,
    /// Limits on what one record may become.
    #[serde(default)]
    pub decode: Decode,
    /// Bodies that Bedrock wrote to S3 because they are too large for a log event (over 100 KB) or binary. They are
    /// put into their events as if they had been there, for all but the format `raw`, which shows the record as it came.
    #[serde(default)]
    pub bodies: Bodies,
    /// Which log events are taken.
    #[serde(default)]
    pub extract: Extract,
    /// Which invocations are delivered, by expressions in CEL (the Common Expression Language) over two variables:
    /// `event` is the record with its own names (`event.input.inputTokenCount`), `view` has the same names for every
    /// model, as `bedrock-tap decode --format view FILE` shows them. `drop` is asked first, then `keep`, then `sample`.
    /// What is not known of an invocation is null: `view.error == 'x'` is false for a call without an error, and
    /// `has(view.error)` asks whether there is one. An expression that cannot be evaluated for an invocation (null is
    /// neither less nor more than a number), or gives neither true nor false, leaves nothing out and is counted
    /// (`unevaluated`), because an invocation too many is better than a lost one. There are `has`, `all`, `exists`,
    /// `exists_one`, `filter`, `map` (two in each other at most, 100000 steps), `size`, `contains`, `startsWith`,
    /// `endsWith`, `matches`, `split` and conversions. Default: all are delivered.
    #[serde(default)]
    pub select: Select,
    /// What the `panther` format writes beside the schema's fields.
    #[serde(default)]
    pub panther: Panther,
    /// What calls cost, for the formats that write an estimate of it. The prices of the program's own table are AWS' list
    /// prices; this is for what the table does not have, or what you pay less for.
    #[serde(default)]
    pub cost: Cost,
    /// What sinks are not to see: `[redact.NAME]`, chosen by a sink's key `redact`. Looked through are the bodies, the
    /// request's metadata and every field that the schema does not know. Default: no policy; sinks see everything.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub redact: BTreeMap<String, Redact>,
    /// Where events go: `[sinks.NAME.KIND]`, at least one. Names are of lower-case letters, digits, and single `-` and
    /// `_` between them. A batch counts as delivered when every sink has it.
    #[schemars(extend("minProperties" = 1, "propertyNames" = { "pattern": "^[a-z](?:[_-]?[a-z0-9])*$", "maxLength": 64 }))]
    pub sinks: BTreeMap<String, Sink>,
    /// What is looked for in the invocations that are kept, and in CloudTrail's records that come with them: detection
    /// rules, the program's and your own.
    #[serde(default)]
    pub detect: Detect,
    /// Where alerts go, which are what the findings of a rule add up to: `[alerts.NAME.KIND]`, of any kind that a sink may
    /// be, with the kind's keys. An alert is sent when it is opened, and again as it grows; each is told by all of them
    /// in the end, whatever happens in between. What a destination refuses for good goes to `[dead_letter]`. Default:
    /// none; findings mark their events.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub alerts: BTreeMap<String, AlertSink>,
    /// Where rejects go. Default: the file `dead-letter.jsonl` in the directory of the positions; with
    /// `[coordination.dynamodb]`, which has no directory, it must be set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letter: Option<DeadLetter>,
    /// Further dead letters, `[dead_letters.NAME.KIND]`, each for the sinks that name it by their key `dead_letter`. What
    /// cannot be read goes to `[dead_letter]` all the same. Default: none; all sinks share `[dead_letter]`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dead_letters: BTreeMap<String, DeadLetter>,
    /// Where the process answers about itself. Default: nowhere; the container's image sets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpServer>,
    /// Where metrics are sent; `[http]` answers whoever asks for them. Default: nowhere.
    #[serde(default)]
    pub metrics: Metrics,
    /// The service's own log on standard error.
    #[serde(default)]
    pub log: Log,
}

fn default_memory_budget() -> ByteSize {
    ByteSize::mib(256)
}

fn default_drain_timeout() -> Duration {
    Duration::from_secs(25)
}

/// The largest file that is read. A configuration is a few KiB; anything near this is another file, given by mistake.
const MAX_FILE_BYTES: u64 = 1 << 20;

impl Config {
    /// Whether anybody can see metrics.
    pub fn exports_metrics(&self) -> bool {
        self.http.is_some() || self.metrics.is_any()
    }

    /// Reads and checks a configuration file, with the overrides of the process's environment.
    ///
    /// # Errors
    /// A file that cannot be read, or a configuration that is not valid: each fault with its place and the way out.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::load_where(path, &|_| true)
    }

    /// As [`Config::load`], and refuses sinks without a Region where `has_region` says that this machine has none for
    /// them either, neither of its own nor by the profile that is named.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_where(path: &Path, has_region: &dyn Fn(Option<&str>) -> bool) -> Result<Self, ConfigError> {
        let name = path.display().to_string();
        let mut bytes = Vec::new();
        std::fs::File::open(path)
            .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes))
            .map_err(|error| ConfigError::whole(&name, format!("cannot be read: {error}")))?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(ConfigError::whole(&name, format!("is no configuration: over {MAX_FILE_BYTES} bytes")));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let line = error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count() + 1;
            ConfigError::whole(&name, format!("is not UTF-8 in line {line}"))
        })?;
        Self::parse_where(&text, &name, &Environment::of_process(), has_region)
    }

    /// Reads and checks the text of a configuration; `name` is what errors call it.
    ///
    /// # Errors
    /// A configuration that is not valid: each fault with its place and the way out.
    pub fn parse(text: &str, name: &str, environment: &Environment) -> Result<Self, ConfigError> {
        Self::parse_where(text, name, environment, &|_| true)
    }

    fn parse_where(
        text: &str,
        name: &str,
        environment: &Environment,
        has_region: &dyn Fn(Option<&str>) -> bool,
    ) -> Result<Self, ConfigError> {
        let mut document = Document::parse(text).map_err(|faults| ConfigError::new(name, faults))?;
        let shape = Shape::of_config();
        let mut faults = environment.apply(&mut document, &shape);
        let Findings { mut problems, unusable } = shape.check(document.tree.get_ref());
        let config: Option<Self> = document::read(&document, unusable, &mut problems);
        if let Some(config) = &config {
            config.check(&mut problems);
            destinations::check_regions(config, has_region, &mut problems);
        }
        match config {
            Some(config) if problems.is_empty() && faults.is_empty() => Ok(config),
            _ => {
                problems.sort_by_key(|problem| document.start_of(problem));
                let more = problems.len().saturating_sub(MAX_FAULTS);
                let located = problems.into_iter().take(MAX_FAULTS).map(|problem| document.locate(problem));
                faults.splice(0..0, located);
                Err(ConfigError::new(name, faults).and_more(more))
            }
        }
    }

    /// Finds what is wrong although each value by itself has the right shape.
    fn check(&self, problems: &mut Vec<Problem>) {
        self.source.check(problems);
        self.coordination.check(&self.source, problems);
        self.bodies.check(problems);
        self.extract.check(problems);
        self.select.check(problems);
        self.panther.check(problems);
        self.cost.check(problems);
        redact::check(self, problems);
        self.detect.check(problems);
        self.metrics.check(problems);
        destinations::check(self, problems);
    }

    /// Where rejects go: as configured, else a file beside the positions. Where there are none beside it, a valid
    /// configuration has one configured.
    pub fn dead_letter(&self) -> DeadLetter {
        self.dead_letter.clone().unwrap_or_else(|| {
            let directory = self.coordination.directory().unwrap_or(Path::new(coordination::DEFAULT_DIRECTORY));
            DeadLetter::File(FileDeadLetter::new(directory.join("dead-letter.jsonl")))
        })
    }

    /// The JSON Schema (2020-12) of a configuration file, for editors.
    pub fn json_schema() -> serde_json::Value {
        Shape::of_config().into_schema()
    }
}
