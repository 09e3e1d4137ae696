//! The kinesis sink's keys.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AwsAccess, Batching, Destination, WithoutRegion};
use crate::config::KinesisSource;
use crate::config::document::{KeyPath, Problem};
use crate::format::Format;
use crate::format::key::{Place, Template};
use crate::sink::{Planned, kinesis};

/// A Kinesis data stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Kinesis {
    /// The stream's name or ARN, which names the Region too; no stream that the source reads. An event that makes a record
    /// of more than the stream takes (1 MiB with its partition key, up to 10 MiB where the stream is made to, which is
    /// asked with DescribeStreamSummary) goes to the dead letter.
    pub stream: String,
    /// What decides on an event's shard, a template with the places `{date}`, `{year}`, `{month}`, `{day}`, `{hour}`,
    /// `{account}`, `{region}`, `{model}`, `{provider}`, `{operation}` and `{id}`, 1 to 256 ASCII characters when it is
    /// filled in; what an event makes longer is cut. Default: `{id}`, the event's identity, which spreads evenly;
    /// `{account}` keeps the order of each account's events (with `concurrency = 1`), as far as nothing is sent again.
    #[serde(default = "default_partition_key")]
    pub partition_key: String,
    /// How the service is reached.
    #[serde(flatten)]
    pub access: AwsAccess,
    /// How items are gathered.
    #[serde(flatten)]
    pub batching: Batching,
}

/// Bytes of a request where none are set: as much as a shard takes in a second.
const USUAL_BATCH_BYTES: usize = 1 << 20;

fn default_partition_key() -> String {
    "{id}".into()
}

impl Kinesis {
    /// What is wrong with the partition key.
    fn check_partition_key(&self) -> Option<String> {
        let template = match Template::parse(&self.partition_key) {
            Ok(template) => template,
            Err(error) => return Some(error.to_string()),
        };
        // What an event adds to this is longer or shorter, and never empty.
        let shortest = template.tag_of([0; 16], jiff::Timestamp::UNIX_EPOCH).key;
        match shortest.len() {
            0 => Some("the partition key is empty".into()),
            _ if !shortest.is_ascii() => Some("the partition key has characters that are not ASCII".into()),
            length if length > kinesis::MAX_KEY_CHARS => Some(format!("the partition key has {length} characters")),
            _ => None,
        }
    }

    /// Whether this is the stream that the source reads, as far as the configuration tells: an account, a Region or an
    /// endpoint that only one of both names does not set them apart.
    pub(in crate::config) fn is_read_by(&self, source: &KinesisSource) -> bool {
        let differ = |a: Option<&str>, b: Option<&str>| a.is_some() && b.is_some() && a != b;
        let region = KinesisSource::region_in(&self.stream).or(self.access.region.as_deref());
        source.streams().into_iter().any(|read| {
            KinesisSource::name_of(read) == KinesisSource::name_of(&self.stream)
                && !differ(source.region_of(read), region)
                && !differ(KinesisSource::account_of(read), KinesisSource::account_of(&self.stream))
                && !differ(source.endpoint_url.as_deref(), self.access.endpoint_url.as_deref())
        })
    }
}

impl Destination for Kinesis {
    const KIND: &'static str = "kinesis";

    fn check(&self, _: Format, at: &KeyPath, problems: &mut Vec<Problem>) {
        KinesisSource::check_stream(&self.stream, at.key("stream"), self.access.region.as_deref(), at, problems);
        if let Some(message) = self.check_partition_key() {
            let places: Vec<String> = Place::ALL.iter().map(|place| format!("`{{{}}}`", place.as_str())).collect();
            let allowed = format!("1 to 256 ASCII characters with the places {}", places.join(", "));
            problems.push(Problem::value(at.key("partition_key"), message).allowed(allowed));
        }
        self.access.check(at, problems);
    }

    fn describe(&self, format: &str) -> String {
        format!("kinesis {}{}, {format}", self.stream, self.access.describe())
    }

    fn without_region(&self) -> Option<WithoutRegion<'_>> {
        self.access.without_region().filter(|_| KinesisSource::region_in(&self.stream).is_none())
    }

    fn plan(&self, _: Format) -> Planned {
        let settings = kinesis::Settings::new(&self.stream, self.access.access());
        // It was checked; a template that is none would give all records one key.
        let key = Template::parse(&self.partition_key).ok().map(Arc::new);
        kinesis::planned(settings, self.batching.settings(USUAL_BATCH_BYTES, kinesis::LIMITS), key)
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Environment};

    const ARN: &str = "arn:aws:kinesis:eu-central-1:123456789012:stream/calls";

    /// Parses a configuration of this source and a sink with these keys; what `check` says of it, or else the sink, holds
    /// all that is expected.
    #[track_caller]
    fn check(source: &str, keys: &str, expected: &[&str]) {
        let text = format!("[source]\n{source}\n[sinks.a.kinesis]\n{keys}\n");
        let said = match Config::parse(&text, "t.toml", &Environment::default()) {
            Ok(config) => {
                let planned = config.sinks["a"].plan();
                assert!(planned.tags.is_some() && planned.batch.max_batch_bytes == 1 << 20);
                config.sinks["a"].describe()
            }
            Err(error) => error.to_string().split_whitespace().collect::<Vec<_>>().join(" "),
        };
        assert!(expected.iter().all(|part| said.contains(part)), "{said}");
    }

    #[test]
    fn what_is_wrong_is_found_offline() {
        let file = "file.paths = ['-']";
        check(file, "stream = 'calls'\nregion = 'eu-central-1'", &["kinesis calls in eu-central-1, panther"]);
        check(file, &format!("stream = '{ARN}'"), &["stream/calls, panther"]);
        check(file, "", &["`sinks.a.kinesis.stream`: missing"]);
        check(file, "stream = 'a b'", &["`sinks.a.kinesis.stream`", "neither a stream's name nor its ARN"]);
        check(file, &format!("stream = '{ARN}'\nregion = 'us-east-1'"), &["`sinks.a.kinesis.region`", "leave it out"]);
        check(file, &format!("stream = '{}'", ARN.replace("stream/", "table/")), &["`sinks.a.kinesis.stream`"]);
    }

    #[test]
    fn a_partition_key_is_a_template_of_some_length() {
        let said = |key: &str, expected: &[&str]| {
            check("file.paths = ['-']", &format!("stream = 'calls'\npartition_key = '{key}'"), expected);
        };
        for key in ["{id}", "{account}", "all", "{account}/{region}/{model}", &"x".repeat(256)] {
            said(key, &["kinesis calls, panther"]);
        }
        said("", &["`sinks.a.kinesis.partition_key`", "is empty"]);
        said("{accounts}", &["there is no place {accounts}", "`{account}`"]);
        said("{id", &["a brace has no partner"]);
        said("ü{id}", &["not ASCII"]);
        said(&"x".repeat(257), &["has 257 characters"]);
        said(&format!("{}{{id}}", "x".repeat(225)), &["has 257 characters"]);
    }

    #[test]
    fn nothing_is_written_into_the_stream_that_is_read() {
        let refused = ["`sinks.a.kinesis.stream`", "is read by the source too", "ARN"];
        let taken = ["kinesis ", ", panther"];
        let (same, other) = ("stream = 'calls'", "stream = 'events'");
        check("kinesis.stream = 'calls'", same, &refused);
        check("kinesis.stream = 'calls'", other, &taken);
        check("kinesis.streams = ['other', 'calls']", same, &refused);
        check(&format!("kinesis.stream = '{ARN}'"), same, &refused);
        check("kinesis.stream = 'calls'", &format!("stream = '{ARN}'"), &refused);
        let elsewhere = [ARN.replace("eu-central-1", "us-east-1"), ARN.replace("1234", "4321")];
        for arn in elsewhere {
            check(&format!("kinesis.stream = '{ARN}'"), &format!("stream = '{arn}'"), &taken);
        }
        let at = |port: u16| format!("endpoint_url = 'http://localhost:{port}'");
        check(&format!("kinesis = {{ {same}, {} }}", at(1)), &format!("{same}\n{}", at(1)), &refused);
        check(&format!("kinesis = {{ {same}, {} }}", at(1)), &format!("{same}\n{}", at(2)), &taken);
        let region = |region: &str| format!("{same}\nregion = '{region}'");
        check("kinesis = { stream = 'calls', region = 'us-east-1' }", &region("us-east-1"), &refused);
        check("kinesis = { stream = 'calls', region = 'us-east-1' }", &region("us-east-2"), &taken);
    }

    #[test]
    fn dead_letters_are_not_written_into_the_stream_that_is_read_either() {
        let text = "source.kinesis.stream = 'calls'\nsinks.a.stdout = {}\n[dead_letter.kinesis]\nstream = 'calls'\n\
            [dead_letters.b.kinesis]\nstream = 'calls'\n";
        let error = Config::parse(text, "t.toml", &Environment::default()).unwrap_err().to_string();
        for part in ["2 faults", "`dead_letter.kinesis.stream`", "`dead_letters.b.kinesis.stream`"] {
            assert!(error.contains(part), "{error}");
        }
    }
}
