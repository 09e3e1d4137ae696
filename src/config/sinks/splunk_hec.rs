//! The splunk_hec sink's keys.

use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Batching, Compression, Destination, HttpClient};
use crate::config::Secret;
use crate::config::document::{KeyPath, Problem};
use crate::config::units::{DurationText, duration};
use crate::config::validate;
use crate::format::Format;
use crate::format::key::Template;
use crate::sink::splunk_hec::{self, Acknowledge, Endpoint, Settings};
use crate::sink::{Planned, batch};

/// A request before compression: what Splunk recommends for its cloud ("HTTP Event Collector maximum content length size
/// limit"); Splunk Enterprise takes 800 MB.
const USUAL_BYTES: usize = 1 << 20;

/// Splunk's HTTP Event Collector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SplunkHec {
    /// The collector's URL: `http` or `https`, host and port, without a path.
    pub url: String,
    /// The collector's token. One from a file is read again when the collector does not take it, so that it can be replaced
    /// without a restart.
    pub token: Secret,
    /// What is sent: `event` (each item is an event with its own time, and with its identity in the indexed field
    /// `event_id`, by which a search tells doubles) or `raw` (each item is a line, which Splunk breaks into events and
    /// finds the time of by the source type). Default: `event`.
    #[serde(default)]
    pub endpoint: Endpoint,
    /// Whether events count as delivered only once the indexers have acknowledged them: `auto` (if the token has indexer
    /// acknowledgement), `always` (nothing is sent with a token that does not have it) or `never` (what the collector took
    /// counts as delivered, though Splunk may lose it). Default: `auto`.
    #[serde(default)]
    pub acknowledge: Acknowledge,
    /// How long the acknowledgement of a request is waited for, `1s` to `30m`; then it is sent again, and may be there
    /// twice. Default: `3m`: indexers that are busy need a minute, and doubles would make them busier.
    #[serde(default = "default_acknowledge_timeout", with = "duration")]
    #[schemars(with = "DurationText", extend("x-minimum" = "1s", "x-maximum" = "30m"))]
    pub acknowledge_timeout: Duration,
    /// The index. Default: the token's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<String>,
    /// The events' source, 1 to 1024 characters. Default: the token's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub source: Option<String>,
    /// The events' source type, 1 to 1024 characters. Default: `aws:bedrock:invocation`, as Splunk names source types
    /// (vendor, product, kind). Splunk need not know it: searches find JSON fields by themselves (`AUTO_KV_JSON`).
    #[serde(default = "default_source_type")]
    #[schemars(length(min = 1, max = 1024))]
    pub source_type: String,
    /// The events' host, 1 to 1024 characters. Default: the token's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub host: Option<String>,
    /// How requests are compressed: `none` or `gzip`. Default: `gzip`, which makes JSON a fifth of its size.
    #[serde(default = "default_compression")]
    pub compression: Compression,
    /// How requests are sent.
    #[serde(flatten)]
    pub client: HttpClient,
    /// How items are gathered.
    #[serde(flatten)]
    pub batching: Batching,
}

fn default_acknowledge_timeout() -> Duration {
    Duration::from_secs(180)
}

fn default_source_type() -> String {
    "aws:bedrock:invocation".to_owned()
}

fn default_compression() -> Compression {
    Compression::Gzip
}

impl SplunkHec {
    fn settings(&self, format: Format) -> Settings {
        Settings {
            url: self.url.clone(),
            token: self.token.clone(),
            endpoint: self.endpoint,
            acknowledge: self.acknowledge,
            acknowledge_timeout: self.acknowledge_timeout,
            index: self.index.clone(),
            source: self.source.clone(),
            source_type: self.source_type.clone(),
            host: self.host.clone(),
            text: format == Format::Text,
            gzip: self.compression == Compression::Gzip,
            client: self.client.settings(),
        }
    }
}

/// Whether Splunk allows an index of this name ("Create custom indexes").
fn is_index(name: &str) -> bool {
    validate::is_name(name, 80, b"_-")
        && !name.starts_with(['_', '-'])
        && !name.bytes().any(|byte| byte.is_ascii_uppercase())
}

impl Destination for SplunkHec {
    const KIND: &'static str = "splunk_hec";

    fn check(&self, _: Format, at: &KeyPath, problems: &mut Vec<Problem>) {
        let url = validate::endpoint(&self.url).and_then(|()| {
            let path = self.url.splitn(4, '/').nth(3).unwrap_or_default();
            if path.is_empty() { Ok(()) } else { Err("the URL has a path; the collector's paths are known".into()) }
        });
        if let Err(message) = url {
            let problem = Problem::value(at.key("url"), message).secret();
            problems.push(problem.allowed("such as \"https://splunk.example:8088\""));
        }
        self.token.check(&at.key("token"), problems);
        if self.index.as_deref().is_some_and(|index| !is_index(index)) {
            let problem = Problem::value(at.key("index"), "is no index that events are written to");
            problems
                .push(problem.allowed("1 to 80 of `a` to `z`, digits, `_` and `-`, with a letter or a digit first"));
        }
        self.client.check(at, problems);
    }

    fn describe(&self, format: &str) -> String {
        let index = self.index.as_ref().map(|index| format!(", index {index}")).unwrap_or_default();
        let endpoint = if self.endpoint == Endpoint::Raw { " as lines" } else { "" };
        format!("splunk_hec {}{index}, {format}{endpoint}", self.url)
    }

    fn plan(&self, format: Format) -> Planned {
        let settings = self.settings(format);
        let most = batch::Settings {
            max_batch_bytes: usize::MAX,
            item_overhead_bytes: settings.item_overhead_bytes(),
            ..batch::Settings::DEFAULT
        };
        // Lines have no place for what a tag says.
        let template = (self.endpoint == Endpoint::Event).then(|| Template::parse("").ok()).flatten();
        Planned {
            opening: splunk_hec::opening(settings),
            batch: self.batching.settings(USUAL_BYTES, most),
            tags: template.map(Arc::new),
            may_refuse: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Environment};
    use crate::sink::Planned;

    /// Parses a section, and compares what its errors say with `expected`.
    #[track_caller]
    fn check(section: &str, expected: &[&str]) {
        let text = format!("source.file.paths = ['-']\n[sinks.a.splunk_hec]\n{section}\n");
        match Config::parse(&text, "t.toml", &Environment::default()) {
            Ok(_) => assert!(expected.is_empty(), "{section} is valid"),
            Err(error) => {
                let error = error.to_string();
                assert!(!expected.is_empty() && expected.iter().all(|part| error.contains(part)), "{error}");
            }
        }
    }

    const MINIMAL: &str = "url = 'https://splunk.example:8088'\ntoken.env = 'TOKEN'\n";

    #[test]
    fn what_is_wrong_is_said_at_its_key() {
        check(MINIMAL, &[]);
        check(&format!("{MINIMAL}index = 'bedrock_calls-1'\nhost = 'a'\nacknowledge_timeout = '30m'"), &[]);
        check("url = 'https://splunk.example:8088/'\ntoken.file = '/run/token'", &[]);
        check("url = 'https://splunk.example:8088'", &["`sinks.a.splunk_hec.token`", "missing"]);
        let at = |key: &str| format!("`sinks.a.splunk_hec.{key}`");
        check(
            "url = 'https://a:8088/services/collector'\ntoken.env = ''",
            &[&at("url"), "has a path", &at("token.env"), "names no environment variable"],
        );
        check("url = 'splunk:8088'\ntoken.env = 'T'", &[&at("url"), "begins with neither"]);
        check("url = 'https://x:pw@a:8088'\ntoken.env = 'T'", &[&at("url"), "password"]);
        for index in ["", "_internal", "-a", "Main", "a b", "ü"] {
            check(&format!("{MINIMAL}index = '{index}'"), &[&at("index"), "is no index"]);
        }
        check(&format!("{MINIMAL}source_type = ''"), &[&at("source_type"), "has 0 characters"]);
        check(&format!("{MINIMAL}acknowledge = 'yes'"), &[&at("acknowledge"), "\"auto\", \"always\", \"never\""]);
        check(&format!("{MINIMAL}acknowledge_timeout = '0s'"), &[&at("acknowledge_timeout"), "out of range"]);
        check(&format!("{MINIMAL}endpoint = 'metrics'"), &[&at("endpoint"), "\"event\", \"raw\""]);
        check(&format!("{MINIMAL}client_certificate = 'a'"), &[&at("client_key"), "missing"]);
        check("url = 'https://a:8088'\ntoken = 'abc'", &[&at("token"), "a secret is never written here"]);
    }

    #[test]
    fn events_have_tags_and_lines_have_none() {
        let plan = |section: &str| -> (Planned, String) {
            let text = format!("source.file.paths = ['-']\n[sinks.a.splunk_hec]\n{MINIMAL}{section}\n");
            let config = Config::parse(&text, "t.toml", &Environment::default()).unwrap();
            (config.sinks["a"].plan(), config.sinks["a"].describe())
        };
        let (planned, line) = plan("index = 'calls'\nbatch_size = '4 MiB'");
        assert_eq!(line, "splunk_hec https://splunk.example:8088, index calls, panther");
        assert!(planned.tags.is_some() && planned.batch.item_overhead_bytes > 100);
        assert_eq!((planned.batch.max_batch_bytes, planned.batch.max_item_bytes), (4 << 20, usize::MAX));
        let (planned, line) = plan("endpoint = 'raw'");
        assert_eq!(line, "splunk_hec https://splunk.example:8088, panther as lines");
        assert!(planned.tags.is_none() && planned.batch.item_overhead_bytes == 0);
        assert_eq!(planned.batch.max_batch_bytes, 1 << 20);
    }
}
