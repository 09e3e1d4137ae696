//! The alerts sections: where alerts go, and which of them.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::document::{KeyPath, Problem};
use super::sinks::{Destination, WithoutRegion};
use super::{
    Compression, Elasticsearch, FileSink, Firehose, Http, Kinesis, Null, Otlp, S3, Secret, SplunkHec, Sqs, Stdout,
};
use crate::detect::Severity;
use crate::detect::alert::AlertFormat;
use crate::detect::choice::{Choice, ChoiceError};
use crate::format::Format;
use crate::sink::Planned;

/// One destination of alerts: exactly one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlertSink {
    /// Standard output.
    Stdout(Alerts<Stdout>),
    /// A file that is rotated.
    File(Alerts<FileSink>),
    /// Objects of an S3 bucket, or of one at any S3-compatible endpoint.
    S3(Alerts<S3>),
    /// An Amazon Data Firehose delivery stream.
    Firehose(Alerts<Firehose>),
    /// A Kinesis data stream.
    Kinesis(Alerts<Kinesis>),
    /// An SQS queue.
    Sqs(Alerts<Sqs>),
    /// Any HTTP endpoint, Slack's and PagerDuty's too.
    Http(Alerts<Http>),
    /// Splunk's HTTP Event Collector.
    SplunkHec(Alerts<SplunkHec>),
    /// Elasticsearch or OpenSearch.
    Elasticsearch(Alerts<Elasticsearch>),
    /// An OpenTelemetry collector, or any other endpoint of OTLP.
    Otlp(Alerts<Otlp>),
    /// Nothing, for measurements: what is delivered is gone.
    Null(Alerts<Null>),
}

/// A destination and the alerts that it takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("unevaluatedProperties" = false))]
pub struct Alerts<K> {
    /// What it takes.
    #[serde(flatten)]
    pub alerts: Told,
    /// The destination.
    #[serde(flatten)]
    pub to: K,
}

/// Which alerts a destination takes, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Told {
    /// What an alert is written as: `json` (one object), `ocsf` (a Detection Finding of OCSF 1.8.0), and for `http` alone
    /// `slack` (a message for a webhook of Slack's form) or `pagerduty` (an event of PagerDuty's Events API v2), both one
    /// a request. Default: `json`.
    pub format: AlertFormat,
    /// Which of the rules that are on it hears of: patterns as in `[detect]`. Default: all of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// The least severity that it hears of: `info`, `low`, `medium`, `high` or `critical`. An alert that becomes worse is
    /// told from then on. Default: `info`, so all of them.
    pub severity: Severity,
    /// The routing key of the integration at PagerDuty, for the format `pagerduty` alone, which needs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routing_key: Option<Secret>,
}

impl Default for Told {
    fn default() -> Self {
        Self { format: AlertFormat::default(), rules: Vec::new(), severity: Severity::Info, routing_key: None }
    }
}

impl Told {
    /// The rules that it asks for; none asks for all.
    ///
    /// # Errors
    /// A pattern that is not valid; never for a configuration that was checked.
    pub fn choice(&self) -> Result<Option<Choice>, ChoiceError> {
        if self.rules.is_empty() { Ok(None) } else { Choice::parse(&self.rules).map(Some) }
    }

    fn check(&self, at: &KeyPath, problems: &mut Vec<Problem>) {
        if let Err(error) = self.choice() {
            let problem = Problem::value(at.key("rules").index(error.index), error.message);
            problems.push(Problem { hint: error.hint, ..problem });
        }
        let at = at.key("routing_key");
        match &self.routing_key {
            Some(key) if self.format == AlertFormat::Pagerduty => key.check(&at, problems),
            Some(_) => problems.push(Problem::key(at, "is of no use unless `format` is `pagerduty`")),
            None if self.format == AlertFormat::Pagerduty => {
                let hint =
                    "the integration's key at PagerDuty: `routing_key = { env = \"NAME\" }` or `{ file = \"path\" }`";
                problems.push(Problem::key(at, "missing").hint(hint));
            }
            None => {}
        }
    }
}

macro_rules! of_alert_sink {
    ($self:ident, $to:pat => $result:expr) => {
        match &*$self {
            Self::Stdout($to) => $result,
            Self::File($to) => $result,
            Self::S3($to) => $result,
            Self::Firehose($to) => $result,
            Self::Kinesis($to) => $result,
            Self::Sqs($to) => $result,
            Self::Http($to) => $result,
            Self::SplunkHec($to) => $result,
            Self::Elasticsearch($to) => $result,
            Self::Otlp($to) => $result,
            Self::Null($to) => $result,
        }
    };
}

impl AlertSink {
    /// Which alerts it takes, and how.
    pub fn told(&self) -> &Told {
        of_alert_sink!(self, sink => &sink.alerts)
    }

    /// The kind, as in `[alerts.NAME.KIND]`.
    pub fn kind(&self) -> &'static str {
        fn kind<K: Destination>(_: &Alerts<K>) -> &'static str {
            K::KIND
        }
        of_alert_sink!(self, sink => kind(sink))
    }

    /// What to open, and how it is fed. Alerts come from everywhere, so they are of no range.
    pub fn plan(&self) -> Planned {
        // Alerts are JSON objects, as most formats of events are.
        let mut planned = match self {
            Self::Http(sink) if sink.alerts.format.is_one_by_one() => sink.to.singly().plan(Format::default()),
            _ => of_alert_sink!(self, sink => sink.to.plan(Format::default())),
        };
        planned.batch.ranges = None;
        planned
    }

    pub(super) fn check(&self, at: &KeyPath, problems: &mut Vec<Problem>) {
        let told = self.told();
        told.check(at, problems);
        of_alert_sink!(self, sink => sink.to.check(Format::default(), at, problems));
        match self {
            Self::Http(sink) if told.format.is_one_by_one() && !sink.to.may_be_single() => {
                let message = format!("is not how `{}` takes messages", told.format.as_str());
                let problem = Problem::value(at.key("body"), message);
                problems.push(problem.hint("leave `body` out: the format sends one a request"));
            }
            Self::Http(_) => {}
            _ if told.format.is_one_by_one() => {
                let message = format!("{:?} is a message of an HTTP endpoint", told.format.as_str());
                let problem = Problem::value(at.key("format"), message).allowed("\"json\", \"ocsf\"");
                problems.push(problem.hint("make it `[alerts.NAME.http]` with the endpoint's `url` or `secret_url`"));
            }
            _ => {}
        }
    }

    /// One line about it, for `bedrock-tap check`.
    pub fn describe(&self) -> String {
        let format = self.told().format;
        let name = format.as_str();
        match self {
            Self::Http(sink) if format.is_one_by_one() => sink.to.singly().describe(&format!("{name} messages")),
            _ => of_alert_sink!(self, sink => sink.to.describe(&format!("alerts as {name}"))),
        }
    }

    /// The file that it writes, if it writes one.
    pub(crate) fn path(&self) -> Option<(&Path, Compression)> {
        of_alert_sink!(self, sink => sink.to.path())
    }

    pub(super) fn without_region(&self) -> Option<WithoutRegion<'_>> {
        of_alert_sink!(self, sink => sink.to.without_region())
    }
}
