//! The sinks and dead letter sections: where events and rejects go.

use std::path::Path;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::document::{KeyPath, Problem};
use crate::format::Format;
use crate::sink::Planned;
use crate::sink::retry::Patience;

mod aws;
mod batching;
mod client;
mod elasticsearch;
mod events;
mod file;
mod firehose;
mod http;
mod kinesis;
mod local;
mod otlp;
mod s3;
mod splunk_hec;
mod sqs;

pub use aws::AwsAccess;
pub use batching::Batching;
pub use client::{HttpClient, Signing};
pub(super) use elasticsearch::ClusterAuth;
pub use elasticsearch::Elasticsearch;
pub use events::{Events, Taken};
pub use file::{Compression, FileDeadLetter, FileSink};
pub use firehose::Firehose;
pub use http::Http;
pub(super) use http::HttpAuth;
pub use kinesis::Kinesis;
pub use local::{Null, Stdout};
pub use otlp::Otlp;
pub(super) use otlp::{check_headers, check_url};
pub use s3::{ObjectCompression, ObjectEncoding, S3, Sse};
pub use splunk_hec::SplunkHec;
pub(super) use sqs::QueueUrl;
pub use sqs::Sqs;

/// One destination of events: exactly one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sink {
    /// Standard output.
    Stdout(Events<Stdout>),
    /// A file that is rotated; written and synced before an event counts as delivered.
    File(Events<FileSink>),
    /// Objects of an S3 bucket, or of one at any S3-compatible endpoint.
    S3(Events<S3>),
    /// An Amazon Data Firehose delivery stream.
    Firehose(Events<Firehose>),
    /// A Kinesis data stream.
    Kinesis(Events<Kinesis>),
    /// An SQS queue.
    Sqs(Events<Sqs>),
    /// Any HTTP endpoint.
    Http(Events<Http>),
    /// Splunk's HTTP Event Collector.
    SplunkHec(Events<SplunkHec>),
    /// Elasticsearch or OpenSearch.
    Elasticsearch(Events<Elasticsearch>),
    /// An OpenTelemetry collector, or any other endpoint of OTLP.
    Otlp(Events<Otlp>),
    /// Nothing, for measurements: what is delivered is gone.
    Null(Events<Null>),
}

/// Where rejects go, as JSON lines with origin, stage, reason and the original bytes in base64: at most one kind.
/// Default: a file beside the positions, because a reject must never go nowhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeadLetter {
    /// A file that is rotated.
    File(FileDeadLetter),
    /// Standard output. It shows prompts and answers to whoever reads it.
    Stdout(Stdout),
    /// Objects of an S3 bucket, or of one at any S3-compatible endpoint.
    S3(S3),
    /// An Amazon Data Firehose delivery stream.
    Firehose(Firehose),
    /// A Kinesis data stream.
    Kinesis(Kinesis),
    /// An SQS queue.
    Sqs(Sqs),
    /// Any HTTP endpoint.
    Http(Http),
    /// Splunk's HTTP Event Collector.
    SplunkHec(SplunkHec),
    /// Elasticsearch or OpenSearch.
    Elasticsearch(Elasticsearch),
    /// An OpenTelemetry collector, or any other endpoint of OTLP.
    Otlp(Otlp),
}

/// What the configuration of every kind of destination says of itself.
pub(super) trait Destination {
    /// The kind, as in `[sinks.NAME.KIND]`.
    const KIND: &'static str;

    /// Finds what is wrong although each value by itself has the right shape; `at` is the destination's table.
    fn check(&self, format: Format, at: &KeyPath, problems: &mut Vec<Problem>);

    /// One line about it, for `bedrock-tap check`.
    fn describe(&self, format: &str) -> String;

    /// What leaves its Region to the AWS configuration, if anything does.
    fn without_region(&self) -> Option<WithoutRegion<'_>> {
        None
    }

    /// What to open, and how it is fed items of `format`.
    fn plan(&self, format: Format) -> Planned;

    /// The file that it writes and whether that is compressed, if it writes one.
    fn path(&self) -> Option<(&Path, Compression)> {
        None
    }
}

/// What asks AWS and names no Region itself.
pub(super) struct WithoutRegion<'c> {
    /// The keys from the destination's table to the one that may have a `region`.
    pub(super) below: &'static [&'static str],
    /// The profile that it names, which may have a Region.
    pub(super) profile: Option<&'c str>,
}

/// The kind for a product or protocol that people know by another name.
pub(super) fn kind_for(name: &str) -> Option<&'static str> {
    Some(match name.to_ascii_lowercase().as_str() {
        "elastic" | "opensearch" => Elasticsearch::KIND,
        "splunk" | "hec" => SplunkHec::KIND,
        "otel" | "opentelemetry" => Otlp::KIND,
        "datadog" | "https" | "loki" | "pagerduty" | "panther" | "slack" | "sumo" | "webhook" => Http::KIND,
        "console" => Stdout::KIND,
        "minio" => S3::KIND,
        _ => return None,
    })
}

/// What a sink's or a dead letter's own kind says.
macro_rules! of_kind {
    ($self:ident, $on:ident, [$($kind:ident),*], $to:pat => $result:expr) => {
        match &*$self { $($on::$kind($to) => $result),* }
    };
}

macro_rules! of_sink {
    ($self:ident, $to:pat => $result:expr) => {
        of_kind!($self, Sink, [Stdout, File, S3, Firehose, Kinesis, Sqs, Http, SplunkHec, Elasticsearch, Otlp, Null], $to => $result)
    };
}

macro_rules! of_dead_letter {
    ($self:ident, $to:pat => $result:expr) => {
        of_kind!($self, DeadLetter, [File, Stdout, S3, Firehose, Kinesis, Sqs, Http, SplunkHec, Elasticsearch, Otlp], $to => $result)
    };
}

impl Sink {
    /// What the sink takes.
    pub fn events(&self) -> &Taken {
        of_sink!(self, sink => &sink.events)
    }

    /// The format that the sink takes.
    pub fn format(&self) -> Format {
        self.events().format
    }

    /// The name of the policy of redaction that the sink asks for.
    pub fn redact(&self) -> Option<&str> {
        self.events().redact.as_deref()
    }

    /// The kind, as in `[sinks.NAME.KIND]`.
    pub fn kind(&self) -> &'static str {
        fn kind<K: Destination>(_: &Events<K>) -> &'static str {
            K::KIND
        }
        of_sink!(self, sink => kind(sink))
    }

    /// What to open, and how it is fed.
    pub fn plan(&self) -> Planned {
        let mut planned = of_sink!(self, sink => sink.to.plan(sink.events.format));
        if !self.events().required {
            planned.batch.patience = Patience::Limited(BEST_EFFORT);
            planned.batch.ranges = None;
        }
        planned
    }

    pub(super) fn check(&self, at: &KeyPath, problems: &mut Vec<Problem>) {
        of_sink!(self, sink => {
            sink.events.check(at, problems);
            sink.to.check(sink.events.format, at, problems);
        });
    }

    /// One line about it, for `bedrock-tap check`.
    pub fn describe(&self) -> String {
        of_sink!(self, sink => sink.to.describe(sink.events.format.as_str()))
    }

    /// The file that it writes, if it writes one.
    pub(crate) fn path(&self) -> Option<(&Path, Compression)> {
        of_sink!(self, sink => sink.to.path())
    }

    pub(super) fn without_region(&self) -> Option<WithoutRegion<'_>> {
        of_sink!(self, sink => sink.to.without_region())
    }
}

/// How long a sink that is not required tries to deliver a batch.
const BEST_EFFORT: Duration = Duration::from_secs(60);

/// What rejects are written as, in the words of [`Destination::describe`].
const LETTERS: &str = "JSON lines";

impl DeadLetter {
    /// The kind, as in `[dead_letter.KIND]`.
    pub fn kind(&self) -> &'static str {
        fn kind<K: Destination>(_: &K) -> &'static str {
            K::KIND
        }
        of_dead_letter!(self, to => kind(to))
    }

    /// What to open, and how it is fed. Rejects come from everywhere, so they are of no range.
    pub fn plan(&self) -> Planned {
        let mut planned = of_dead_letter!(self, to => to.plan(Format::default()));
        planned.batch.ranges = None;
        planned
    }

    pub(super) fn check(&self, at: &KeyPath, problems: &mut Vec<Problem>) {
        // Rejects are JSON objects, as most formats are.
        of_dead_letter!(self, to => to.check(Format::default(), at, problems));
    }

    /// One line about it, for `bedrock-tap check`.
    pub fn describe(&self) -> String {
        of_dead_letter!(self, to => to.describe(LETTERS))
    }

    /// The file that it writes, if it writes one.
    pub(crate) fn path(&self) -> Option<(&Path, Compression)> {
        of_dead_letter!(self, to => to.path())
    }

    pub(super) fn without_region(&self) -> Option<WithoutRegion<'_>> {
        of_dead_letter!(self, to => to.without_region())
    }
}
