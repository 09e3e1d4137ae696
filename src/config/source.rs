//! The source section: where records come from.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::document::{KeyPath, Problem};
use super::units::{DurationText, duration, shortened};
use super::validate;
use crate::record::Position;

/// Where records come from: exactly one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A Kinesis data stream that a CloudWatch Logs subscription filter writes to.
    Kinesis(Box<KinesisSource>),
    /// Files, directories or standard input: for replay, tests and people without a stream.
    File(FileSource),
}

/// A Kinesis data stream, read by polling.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KinesisSource {
    /// The stream's name or ARN. An ARN names the Region too, and is needed for a stream of another account.
    pub stream: String,
    /// The AWS Region, such as `eu-central-1`. Default: the ARN's Region, else the AWS configuration's (`AWS_REGION`,
    /// the profile), because that is where the credentials come from too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// A profile of the AWS configuration files. Default: `AWS_PROFILE`, else the credential chain without a profile
    /// (environment, container role, instance role), because a deployed service has no profiles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Another endpoint of the Kinesis API (`http` or `https`), for emulators and private endpoints. Default: the
    /// Region's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_url: Option<String>,
    /// A role to assume before reading, for a stream of another account. Default: none, the credentials as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assume_role: Option<AssumeRole>,
    /// Where a shard is read from that has no stored position: `trim_horizon` (the oldest record that the stream still
    /// holds), `latest` (what comes after the start), or an RFC 3339 time (what arrived at or after it). Default:
    /// `trim_horizon`, because `latest` passes over, without a trace, all that arrived before the first read; reading
    /// a retention period once costs minutes, and a lost record cannot be bought back.
    #[serde(default)]
    pub start: Start,
    /// The longest pause between two reads of a shard that has nothing new, `200ms` to `1m`. Default: `1s`: a shard takes
    /// five reads a second from all its readers together, and this leaves four to the others.
    #[serde(default = "default_max_idle", with = "duration")]
    #[schemars(with = "DurationText", extend("x-minimum" = "200ms", "x-maximum" = "1m"))]
    pub max_idle: Duration,
    /// Reads of a shard a second, 1 to 5. Default: 4, which leaves one of the service's five to `bedrock-tap tail`; set
    /// less where another application polls the same stream.
    #[serde(default = "default_calls_per_second")]
    #[schemars(range(min = 1, max = 5))]
    pub calls_per_second: u32,
    /// The pause between two looks for new shards, `1s` to `1h`. Default: `1m`: the children of a shard that ends are told
    /// with its last records, so this only finds what was missed.
    #[serde(default = "default_shard_sync_interval", with = "duration")]
    #[schemars(with = "DurationText", extend("x-minimum" = "1s", "x-maximum" = "1h"))]
    pub shard_sync_interval: Duration,
    /// What to do where a stored position is older than the oldest record of its shard, that is, where records are
    /// already lost: `fail` stops with an error that names both positions, `oldest` goes on at the oldest record that
    /// is left, with a warning. Default: `fail`, because a person should know.
    #[serde(default)]
    pub on_trimmed: OnTrimmed,
}

/// What a stream is named by. Source: the Kinesis API reference, `CreateStream` and `StreamARN`.
const STREAM: &str = "a name of 1 to 128 letters, digits, `_`, `.` and `-`, or an ARN such as \
    \"arn:aws:kinesis:eu-central-1:123456789012:stream/bedrock\"";

fn default_max_idle() -> Duration {
    Duration::from_secs(1)
}

fn default_calls_per_second() -> u32 {
    4
}

fn default_shard_sync_interval() -> Duration {
    Duration::from_secs(60)
}

impl KinesisSource {
    /// A source of `stream` with all else at its default.
    pub fn new(stream: impl Into<String>) -> Self {
        Self {
            stream: stream.into(),
            region: None,
            profile: None,
            endpoint_url: None,
            assume_role: None,
            start: Start::default(),
            max_idle: default_max_idle(),
            calls_per_second: default_calls_per_second(),
            shard_sync_interval: default_shard_sync_interval(),
            on_trimmed: OnTrimmed::default(),
        }
    }

    pub(super) fn check(&self, at: &KeyPath, problems: &mut Vec<Problem>) {
        match self.stream_arn() {
            Some(text) => match validate::arn(text, "kinesis") {
                Err(message) => problems.push(Problem::value(at.key("stream"), message).allowed(STREAM)),
                Ok(arn) => self.check_arn(&arn, at, problems),
            },
            None if !validate::is_name(&self.stream, 128, b"_.-") => {
                let message = format!("{} is neither a stream's name nor its ARN", shortened(&self.stream));
                problems.push(Problem::value(at.key("stream"), message).allowed(STREAM));
            }
            None => {}
        }
        if let Some(region) = self.region.as_deref().filter(|region| !validate::is_region(region)) {
            let message = format!("{} has not the form of a Region", shortened(region));
            problems.push(Problem::value(at.key("region"), message).allowed("such as \"eu-central-1\""));
        }
        if self.profile.as_deref().is_some_and(|profile| profile.trim().is_empty()) {
            problems.push(Problem::value(at.key("profile"), "is empty").hint("leave it out for the default"));
        }
        if let Some(Err(message)) = self.endpoint_url.as_deref().map(validate::endpoint) {
            let problem = Problem::value(at.key("endpoint_url"), message);
            problems.push(problem.secret().allowed("such as \"http://localhost:4567\""));
        }
        if let Some(role) = &self.assume_role {
            role.check(&at.key("assume_role"), problems);
        }
    }

    fn check_arn(&self, arn: &validate::Arn<'_>, at: &KeyPath, problems: &mut Vec<Problem>) {
        let name = arn.resource.strip_prefix("stream/").unwrap_or_default();
        if !validate::is_name(name, 128, b"_.-") || !validate::is_region(arn.region) {
            let message = "the ARN is not one of a stream";
            problems.push(Problem::value(at.key("stream"), message).allowed(STREAM));
        } else if let Some(region) = self.region.as_deref().filter(|region| *region != arn.region) {
            let message = format!("{} is not the Region of the stream's ARN, {}", shortened(region), arn.region);
            problems.push(Problem::value(at.key("region"), message).hint("leave it out: the ARN names it"));
        }
    }

    /// The stream's ARN, if it was given as one.
    pub fn stream_arn(&self) -> Option<&str> {
        self.stream.starts_with("arn:").then_some(self.stream.as_str())
    }

    /// The stream's name, also where it was given as an ARN.
    pub fn stream_name(&self) -> &str {
        match self.stream_arn() {
            Some(arn) => arn.rsplit_once('/').map_or(arn, |(_, name)| name),
            None => &self.stream,
        }
    }

    /// The Region that the configuration names, by itself or in the stream's ARN.
    pub fn region(&self) -> Option<&str> {
        self.region.as_deref().or_else(|| self.stream_arn()?.split(':').nth(3))
    }
}

/// A role to assume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AssumeRole {
    /// The role's ARN.
    pub role_arn: String,
    /// The external id that the role's trust policy asks for; it is no secret. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// The session's name, as CloudTrail shows it. Default: `bedrock-tap`, so that the reads can be told apart.
    #[serde(default = "default_session_name")]
    pub session_name: String,
}

impl AssumeRole {
    /// Source of the forms: the STS API reference, `AssumeRole`.
    fn check(&self, at: &KeyPath, problems: &mut Vec<Problem>) {
        const ROLE: &str = "an ARN such as \"arn:aws:iam::123456789012:role/reader\"";
        let role = validate::arn(&self.role_arn, "iam").and_then(|arn| {
            let name = arn.resource.strip_prefix("role/").filter(|name| !name.is_empty());
            name.map(|_| ()).ok_or_else(|| "the ARN is not one of a role".into())
        });
        if let Err(message) = role {
            problems.push(Problem::value(at.key("role_arn"), message).allowed(ROLE));
        }
        let external_id = self.external_id.as_deref().unwrap_or("none");
        if external_id.len() < 2 || !validate::is_name(external_id, 1224, b"_+=,.@:/-") {
            let allowed = "2 to 1224 letters, digits and any of `_+=,.@:/-`";
            problems.push(Problem::value(at.key("external_id"), "is no external id").allowed(allowed));
        }
        if self.session_name.len() < 2 || !validate::is_name(&self.session_name, 64, b"_+=,.@-") {
            let allowed = "2 to 64 letters, digits and any of `_+=,.@-`";
            problems.push(Problem::value(at.key("session_name"), "is no session name").allowed(allowed));
        }
    }
}

fn default_session_name() -> String {
    "bedrock-tap".into()
}

/// Where a shard without a stored position is read from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// From the oldest record that the stream still holds.
    #[default]
    TrimHorizon,
    /// From the records that come after the start.
    Latest,
    /// From the first record that arrived at or after this time.
    At(Timestamp),
}

impl Start {
    /// The position that reading starts at.
    pub fn position(self) -> Position {
        match self {
            Self::TrimHorizon => Position::TrimHorizon,
            Self::Latest => Position::Latest,
            Self::At(time) => Position::AtTimestamp(time),
        }
    }
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TrimHorizon => f.write_str("trim_horizon"),
            Self::Latest => f.write_str("latest"),
            Self::At(time) => write!(f, "{time}"),
        }
    }
}

impl Serialize for Start {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Start {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StartVisitor)
    }
}

/// What a start looks like, for messages.
const START: &str = "\"trim_horizon\", \"latest\" or an RFC 3339 time such as \"2026-07-01T12:00:00Z\"";

struct StartVisitor;

impl<'de> de::Visitor<'de> for StartVisitor {
    type Value = Start;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(START)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Start, E> {
        match text {
            "trim_horizon" => Ok(Start::TrimHorizon),
            "latest" => Ok(Start::Latest),
            _ => match text.parse() {
                Ok(time) => Ok(Start::At(time)),
                Err(_) => Err(E::custom(format!("expected {START}, found {}", shortened(text)))),
            },
        }
    }

    /// A time of TOML's own, without quotes.
    fn visit_map<M: de::MapAccess<'de>>(self, map: M) -> Result<Start, M::Error> {
        let time = toml::value::Datetime::deserialize(de::value::MapAccessDeserializer::new(map))?;
        self.visit_str(&time.to_string())
    }
}

impl JsonSchema for Start {
    fn schema_name() -> Cow<'static, str> {
        "Start".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "`trim_horizon`, `latest` or an RFC 3339 time.",
            "anyOf": [
                { "type": "string", "enum": ["trim_horizon", "latest"] },
                { "type": "string", "format": "date-time", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ].+$" }
            ],
            "examples": ["trim_horizon", "latest", "2026-07-01T12:00:00Z"]
        })
    }
}

/// What to do where a stored position was trimmed out of its shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnTrimmed {
    /// Stop with an error that names both positions.
    #[default]
    Fail,
    /// Go on at the oldest record that is left, with a warning.
    Oldest,
}

/// Files, read once from beginning to end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileSource {
    /// Files, globs (`*`, `?`, `[…]`, `{…}`, `**`), directories (all files in them, at any depth), or `-` for standard
    /// input. At least one.
    #[schemars(length(min = 1))]
    pub paths: Vec<String>,
}

impl FileSource {
    pub(super) fn check(&self, at: &KeyPath, problems: &mut Vec<Problem>) {
        let at = at.key("paths");
        for (index, path) in self.paths.iter().enumerate() {
            let at = at.index(index);
            if path.is_empty() {
                problems.push(Problem::value(at, "the path is empty"));
            } else if self.paths[..index].contains(path) {
                problems.push(Problem::value(at, format!("{} stands here twice", shortened(path))));
            } else if Self::is_glob(path)
                && let Err(message) = validate::glob(path)
            {
                problems.push(Problem::value(at, message).hint("a bracket that is meant as itself is written `[[]`"));
            }
        }
    }

    /// Whether a path is a glob: whether it holds one of `*?[{`.
    pub fn is_glob(path: &str) -> bool {
        path.contains(['*', '?', '[', '{'])
    }
}
