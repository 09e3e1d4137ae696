//! The elasticsearch sink's keys.

use anyhow::Context as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Batching, Destination, HttpClient, Signing, WithoutRegion};
use crate::config::Secret;
use crate::config::document::{KeyPath, Problem};
use crate::config::units::shortened;
use crate::config::validate;
use crate::format::Format;
use crate::sink::elasticsearch::{self, Credentials, Index, NameError};
use crate::sink::{Planned, batch, opening};

/// The data stream that Elastic's integration of Bedrock has for invocations.
const DATA_STREAM: &str = "logs-aws_bedrock.invocation-default";

/// The index for all else.
const INDEX: &str = "bedrock-tap";

/// The first parts of names that Elasticsearch makes data streams of, by the templates that it comes with. Source: its
/// reference, "Index templates".
const STREAM_TYPES: [&str; 4] = ["logs", "metrics", "traces", "synthetics"];

/// What a request has unless it is told otherwise: clusters in AWS take 10 MiB on small nodes, Elasticsearch 100 MiB, and
/// its guides find the best speed at 5 to 15 MB.
const USUAL_BYTES: usize = 5 << 20;

/// Elasticsearch or OpenSearch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Elasticsearch {
    /// The cluster's URLs (`http` or `https`), 1 to 64: its nodes, which are asked in turn, or what stands before them. A
    /// node that fails is left alone for half a minute, as long as another works.
    #[schemars(length(min = 1, max = 64))]
    pub urls: Vec<String>,
    /// The index, data stream or alias, as a template: `{date}`, `{year}`, `{month}`, `{day}`, `{hour}` (of the call,
    /// UTC), `{account}`, `{region}`, `{provider}`, `{model}`, `{operation}` and `{id}` stand for what they say; what
    /// they fill in is made lower case. Default: for the format `ecs`, `logs-aws_bedrock.invocation-default`, the data
    /// stream of Elastic's own integration; for all else `bedrock-tap`, because a data stream takes only what has an
    /// `@timestamp`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<String>,
    /// Who writes: exactly one way. Default: nobody, for a cluster without security.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<ClusterAuth>,
    /// The ingest pipeline that documents go through; `_none` leaves out the index's own as well. Default: the index's
    /// own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<String>,
    /// Whether a document's id is the event's, so that what is delivered again is found to be there and not written
    /// twice. Default: `true`. OpenSearch Serverless takes no ids in collections for time series: there it is `false`,
    /// and what is delivered again may be there twice.
    #[serde(default = "yes")]
    pub ids: bool,
    /// Whether requests are compressed (gzip). Default: `true`: a tenth of the bytes go over the wire, and cost little
    /// time.
    #[serde(default = "yes")]
    pub gzip: bool,
    /// How requests are sent.
    #[serde(flatten)]
    pub client: HttpClient,
    /// How items are gathered.
    #[serde(flatten)]
    pub batching: Batching,
}

/// Who writes to a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClusterAuth {
    /// An API key of Elasticsearch: what it gives out as `encoded`.
    ApiKey(Secret),
    /// A user with a password.
    Basic(ClusterUser),
    /// Requests are signed with AWS Signature Version 4, for OpenSearch at AWS: the service is `es`, or `aoss` for
    /// OpenSearch Serverless.
    Sigv4(Signing),
}

/// A user of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClusterUser {
    /// The user, without a colon.
    pub user: String,
    /// The password.
    pub password: Secret,
}

fn yes() -> bool {
    true
}

impl ClusterAuth {
    fn check(&self, at: &KeyPath, problems: &mut Vec<Problem>) {
        match self {
            Self::ApiKey(key) => key.check(&at.key("api_key"), problems),
            Self::Basic(ClusterUser { user, password }) => {
                let at = at.key("basic");
                if user.is_empty() || user.contains(|c: char| c == ':' || c.is_control()) {
                    problems.push(Problem::value(at.key("user"), "is no name of a user"));
                }
                password.check(&at.key("password"), problems);
            }
            Self::Sigv4(signing) => {
                let at = at.key("sigv4");
                signing.check(&at, problems);
                if !["es", "aoss"].contains(&signing.service.as_str()) {
                    let problem = Problem::value(at.key("service"), "is no service that has OpenSearch");
                    problems.push(problem.allowed("\"es\", \"aoss\""));
                }
            }
        }
    }

    fn credentials(&self) -> Credentials {
        match self {
            Self::ApiKey(key) => Credentials::ApiKey(key.clone()),
            Self::Basic(ClusterUser { user, password }) => {
                Credentials::Basic { user: user.clone(), password: password.clone() }
            }
            Self::Sigv4(signing) => Credentials::Sigv4 { access: signing.access(), service: signing.service.clone() },
        }
    }
}

impl Elasticsearch {
    fn index(&self, format: Format) -> &str {
        self.index.as_deref().unwrap_or(if format == Format::Ecs { DATA_STREAM } else { INDEX })
    }

    /// Whether the index is a data stream of Elasticsearch by its name alone.
    fn is_data_stream(&self, format: Format) -> bool {
        let parts: Vec<&str> = self.index(format).splitn(3, '-').collect();
        let is_aws = matches!(self.auth, Some(ClusterAuth::Sigv4(_)));
        parts.len() == 3 && STREAM_TYPES.contains(&parts[0]) && !is_aws
    }

    fn settings(&self, index: Result<Index, NameError>) -> anyhow::Result<elasticsearch::Settings> {
        let urls = self.urls.iter().map(|url| url.parse()).collect::<Result<Vec<_>, _>>();
        Ok(elasticsearch::Settings {
            urls: urls.ok().filter(|urls| !urls.is_empty()).context("`urls` are no URLs")?,
            client: self.client.settings(),
            index: index.context("`index`")?,
            credentials: self.auth.as_ref().map(ClusterAuth::credentials),
            pipeline: self.pipeline.clone(),
            ids: self.ids,
            gzip: self.gzip,
        })
    }
}

impl Destination for Elasticsearch {
    const KIND: &'static str = "elasticsearch";

    fn check(&self, format: Format, at: &KeyPath, problems: &mut Vec<Problem>) {
        for (n, url) in self.urls.iter().enumerate() {
            let parsed = || url.parse::<reqwest::Url>().map(|_| ()).map_err(|_| "the URL is not valid".into());
            if let Err(message) = validate::endpoint(url).and_then(|()| parsed()) {
                let problem = Problem::value(at.key("urls").index(n), message).secret();
                problems.push(problem.allowed("such as \"https://search.example:9200\""));
            }
        }
        if let Some(Err(error)) = self.index.as_deref().map(Index::parse) {
            let allowed = "such as \"bedrock-{year}.{month}\"; the places are {date}, {year}, {month}, {day}, {hour}, \
                {account}, {region}, {provider}, {model}, {operation}, {id}";
            problems.push(Problem::value(at.key("index"), error.to_string()).allowed(allowed));
        }
        if format == Format::Text {
            let problem = Problem::value(at.key("format"), "a document is a JSON object, and `text` is none");
            problems.push(problem.hint("`format = \"ecs\"`, the names that Elastic has for these fields"));
        } else if format != Format::Ecs && self.pipeline.is_none() && self.is_data_stream(format) {
            let message = format!(
                "{} is the name of a data stream, which takes only what has an `@timestamp`",
                shortened(self.index(format))
            );
            let hint = "`format = \"ecs\"`, another `index`, or a `pipeline` that sets `@timestamp`";
            problems.push(Problem::value(at.key("index"), message).hint(hint));
        }
        if self.pipeline.as_ref().is_some_and(|name| name.trim().is_empty() || name.len() > 255) {
            problems.push(Problem::value(at.key("pipeline"), "is no name of a pipeline").hint("leave it out for none"));
        }
        if let Some(auth) = &self.auth {
            auth.check(&at.key("auth"), problems);
        }
        self.client.check(at, problems);
    }

    fn describe(&self, format: &str) -> String {
        let of_format = if format == Format::Ecs.as_str() { Format::Ecs } else { Format::default() };
        let first = self.urls.first().map(String::as_str).unwrap_or_default();
        let nodes = if self.urls.len() > 1 { format!(" and {} more", self.urls.len() - 1) } else { String::new() };
        let no_time = self.pipeline.is_none() && of_format != Format::Ecs;
        let time = if no_time { " without @timestamp (not for data streams)" } else { "" };
        let ids = if self.ids { "" } else { ", without ids" };
        format!("elasticsearch {first}{nodes}, index {}, {format}{time}{ids}", self.index(of_format))
    }

    fn without_region(&self) -> Option<WithoutRegion<'_>> {
        match &self.auth {
            Some(ClusterAuth::Sigv4(signing)) => signing.without_region(),
            _ => None,
        }
    }

    fn plan(&self, format: Format) -> Planned {
        let text = self.index(format).to_owned();
        let (index, template) = match Index::parse(&text) {
            Ok((index, template)) => (Ok(index), Some(template.into())),
            Err(error) => (Err(error), None),
        };
        let settings = self.settings(index);
        let opening = opening(async { elasticsearch::Elasticsearch::open(settings?).await });
        let most = batch::Settings {
            max_batch_bytes: 64 << 20,
            max_batch_items: elasticsearch::MAX_BATCH_ITEMS,
            max_item_bytes: elasticsearch::MAX_ITEM_BYTES,
            item_overhead_bytes: elasticsearch::ACTION_BYTES + text.len(),
            ..batch::Settings::DEFAULT
        };
        Planned { opening, batch: self.batching.settings(USUAL_BYTES, most), tags: template, may_refuse: true }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Environment};

    fn parse(sink: &str) -> Result<Config, String> {
        let text = format!("[source.kinesis]\nstream = 'bedrock'\n[sinks.search.elasticsearch]\n{sink}");
        Config::parse(&text, "t.toml", &Environment::default()).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_wrong_is_found_before_anything_runs() {
        let url = "urls = ['https://search.example:9200']\n";
        let check = |keys: &str, expected: &[&str]| {
            let error = parse(&format!("{url}{keys}")).map(|_| ()).unwrap_err();
            let error = error.split_whitespace().collect::<Vec<_>>().join(" ");
            for part in expected {
                assert!(error.contains(part), "{keys}: {part}\n{error}");
            }
        };
        check("format = 'text'", &["format`", "JSON object", "hint: `format = \"ecs\"`"]);
        check("index = 'Logs'", &["index`", "lower case"]);
        check("index = 'a/{date}'", &["index`", "have no space"]);
        check("index = '{day'", &["a brace has no partner"]);
        check("index = 'logs-bedrock-prod'", &["is the name of a data stream", "`@timestamp`", "format = \"ecs\""]);
        check("pipeline = ''", &["pipeline`", "is no name of a pipeline"]);
        check("auth.basic = { user = 'a:b', password = { env = 'P' } }", &["is no name of a user"]);
        check("auth.basic = { user = 'a', password = 'b' }", &["auth.basic.password"]);
        check("auth.api_key = { env = '' }", &["names no environment variable"]);
        check("auth.sigv4 = { service = 's3' }", &["auth.sigv4.service", "\"es\", \"aoss\""]);
        check("auth.sigv4 = { service = 'es', region = 'x' }", &["has not the form of a Region"]);
        check("auth.api_key.env = 'K'\nauth.basic = { user = 'a', password = { env = 'P' } }", &["auth`"]);
        check("proxy = 'proxy'", &["proxy`"]);
        for (urls, part) in [
            ("[]", "urls`: is empty"),
            ("['search.example']", "urls[0]`: the URL begins with neither"),
            ("['http://a', 'http://u:p@b']", "urls[1]`: the URL holds a user"),
            ("'http://a'", "urls`: expected"),
        ] {
            let error = parse(&format!("urls = {urls}")).map(|_| ()).unwrap_err();
            let error = error.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(error.contains(part), "{urls}: {error}");
            assert!(!error.contains("u:p"), "{error}");
        }
    }

    #[test]
    fn a_sink_says_where_it_writes() {
        let check = |keys: &str, expected: &str| {
            let config = parse(&format!("urls = ['https://a:9200', 'https://b:9200']\n{keys}"));
            let sinks = config.unwrap_or_else(|error| panic!("{keys}: {error}")).sinks;
            let sink = &sinks["search"];
            assert_eq!(sink.describe(), format!("elasticsearch https://a:9200 and 1 more, index {expected}"));
            let planned = sink.plan();
            assert!(planned.may_refuse && planned.tags.is_some());
        };
        check("", "bedrock-tap, panther without @timestamp (not for data streams)");
        check("format = 'ecs'", "logs-aws_bedrock.invocation-default, ecs");
        check("format = 'ecs'\nindex = 'calls-{date}'\nids = false", "calls-{date}, ecs, without ids");
        check("index = 'logs-bedrock-prod'\npipeline = 'time'", "logs-bedrock-prod, panther");
        check(
            "index = 'logs-a-b'\nauth.sigv4.service = 'es'",
            "logs-a-b, panther without @timestamp (not for data streams)",
        );
    }
}
