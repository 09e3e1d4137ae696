//! The Kinesis source: the streams, how they are reached, and how they are read.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::access::{Access, AssumeRole};
use crate::config::document::{KeyPath, Problem};
use crate::config::start::Start;
use crate::config::units::{DurationText, duration, shortened};
use crate::config::validate;

/// Kinesis data streams that CloudWatch Logs subscription filters write to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["stream"] }, { "required": ["streams"] }]))]
pub struct KinesisSource {
    /// The stream's name or ARN; either this or `streams`. An ARN names the Region too, and is needed for a stream of
    /// another account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// The names or ARNs of 1 to 100 streams, which are read together; either this or `stream`. Streams of one name are
    /// told apart by their ARNs. Positions are kept under other keys than those of `stream`, as the KCL keeps them:
    /// whoever changes from one key to the other begins at `start` again, in another directory or table.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 100))]
    pub streams: Vec<String>,
    /// How records come: `polling` (GetRecords: free of charge, all readers of a shard share 2 MiB/s), `fan-out` (pushed
    /// to a registered consumer, with 2 MiB/s of its own, charged by the shard-hour and the GB), or `auto` (as `fan-out`,
    /// and with a warning as `polling` where that is not allowed). Default: `polling`, because it costs nothing extra.
    #[serde(default)]
    pub mode: Mode,
    /// The name of the enhanced fan-out consumer: 1 to 128 letters, digits, `_`, `.` and `-`. All workers share it; no
    /// other application may have the same. Default: `bedrock-tap`, the same at each start, because a stream has room
    /// for 20 consumers, and names made up at each start would use them up.
    #[serde(default = "default_consumer")]
    pub consumer: String,
    /// Whether the consumer is registered if the stream does not have it. Default: `false`, because each one costs money
    /// by the shard-hour until somebody deregisters it.
    #[serde(default)]
    pub register_consumer: bool,
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
    /// The role to assume for the streams of one account, by the account's 12 digits, which the ARN of a stream names.
    /// Default: none; streams of other accounts, and streams given by name, are read as `assume_role` says.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = { "pattern": "^[0-9]{12}$" }))]
    pub account_roles: BTreeMap<String, AssumeRole>,
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

/// How records come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// By GetRecords; all readers of a shard share its 2 MiB/s.
    #[default]
    Polling,
    /// By SubscribeToShard, for a registered consumer with 2 MiB/s of each shard for itself.
    FanOut,
    /// By SubscribeToShard, and with a warning by GetRecords where that is not allowed.
    Auto,
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

/// The consumer's name where none is configured.
pub const DEFAULT_CONSUMER: &str = "bedrock-tap";

/// The most streams of one source. Each costs a listing of its shards at every `shard_sync_interval`, and one process
/// has one memory budget for all; whoever has more gives each deployment its share.
const MAX_STREAMS: usize = 100;

/// What a stream is named by. Source: the Kinesis API reference, `CreateStream` and `StreamARN`.
const STREAM: &str = "a name of 1 to 128 letters, digits, `_`, `.` and `-`, or an ARN such as \
    \"arn:aws:kinesis:eu-central-1:123456789012:stream/bedrock\"";

fn default_consumer() -> String {
    DEFAULT_CONSUMER.into()
}

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
    /// A source of one stream with all else at its default.
    pub fn new(stream: impl Into<String>) -> Self {
        Self {
            stream: Some(stream.into()),
            streams: Vec::new(),
            mode: Mode::default(),
            consumer: default_consumer(),
            register_consumer: false,
            region: None,
            profile: None,
            endpoint_url: None,
            assume_role: None,
            account_roles: BTreeMap::new(),
            start: Start::default(),
            max_idle: default_max_idle(),
            calls_per_second: default_calls_per_second(),
            shard_sync_interval: default_shard_sync_interval(),
            on_trimmed: OnTrimmed::default(),
        }
    }

    pub(in crate::config) fn check(&self, at: &KeyPath, problems: &mut Vec<Problem>) {
        let known = self.check_streams(at, problems);
        // Source: the Kinesis API reference, `RegisterStreamConsumer`.
        if !validate::is_name(&self.consumer, 128, b"_.-") {
            let message = format!("{} is no consumer's name", shortened(&self.consumer));
            let allowed = "1 to 128 letters, digits, `_`, `.` and `-`";
            problems.push(Problem::value(at.key("consumer"), message).allowed(allowed));
        }
        let access = Access {
            region: self.region.as_deref(),
            profile: self.profile.as_deref(),
            endpoint_url: self.endpoint_url.as_deref(),
            assume_role: self.assume_role.as_ref(),
        };
        access.check(at, problems);
        for (account, role) in &self.account_roles {
            let at = at.key("account_roles").key(account);
            role.check(&at, problems);
            if !validate::is_account(account) {
                problems.push(Problem::key(at, "is no account id").allowed("12 digits"));
            } else if known && !self.streams().into_iter().any(|stream| Self::account_of(stream) == Some(account)) {
                let hint = "a stream's account is told by its ARN; streams given by name take `assume_role`";
                problems.push(Problem::key(at, "no stream's ARN is of this account").hint(hint));
            }
        }
    }

    /// Finds what is wrong with the streams, and says whether nothing is.
    fn check_streams(&self, at: &KeyPath, problems: &mut Vec<Problem>) -> bool {
        let before = problems.len();
        let (one, many) = (at.key("stream"), at.key("streams"));
        match (&self.stream, self.streams.as_slice()) {
            (Some(_), [_, ..]) => {
                let message = "`stream` is set too, and only one of them can be";
                problems.push(Problem::key(many.clone(), message).hint("put the one into the list of the others"));
            }
            // What cannot be read was taken out, and has its own fault.
            (None, []) if problems.iter().any(|problem| [&one, &many].iter().any(|key| problem.path.is_below(key))) => {
                return false;
            }
            (None, []) => {
                let problem = Problem::key(at.clone(), "has neither `stream` nor `streams`");
                problems.push(problem.allowed("exactly one of stream = \"NAME\", streams = [\"NAME\", …]"));
            }
            _ => {}
        }
        if let Some(stream) = &self.stream {
            Self::check_stream(stream, one, self.region.as_deref(), at, problems);
        }
        if self.streams.len() > MAX_STREAMS {
            let message = format!("has {} streams", self.streams.len());
            problems.push(Problem::key(many.clone(), message).allowed(format!("1 to {MAX_STREAMS}")));
        }
        for (index, stream) in self.streams.iter().take(MAX_STREAMS).enumerate() {
            let (at_item, earlier) = (many.index(index), &self.streams[..index]);
            let same_name = |other: &&String| {
                Self::name_of(other) == Self::name_of(stream)
                    && Self::arn_of(other).is_some() != Self::arn_of(stream).is_some()
            };
            if earlier.contains(stream) {
                problems.push(Problem::value(at_item, format!("{} stands here twice", shortened(stream))));
            } else if let Some(other) = earlier.iter().find(same_name) {
                let message = format!("may be the same stream as {}", shortened(other));
                problems.push(Problem::value(at_item, message).hint("give both as ARNs"));
            } else {
                Self::check_stream(stream, at_item, self.region.as_deref(), at, problems);
            }
        }
        problems.len() == before
    }

    /// Checks one stream, which stands at `at_stream`; `at` is the table that names its Region, if it does.
    pub(in crate::config) fn check_stream(
        stream: &str,
        at_stream: KeyPath,
        region: Option<&str>,
        at: &KeyPath,
        problems: &mut Vec<Problem>,
    ) {
        if Self::arn_of(stream).is_none() {
            if !validate::is_name(stream, 128, b"_.-") {
                let message = format!("{} is neither a stream's name nor its ARN", shortened(stream));
                problems.push(Problem::value(at_stream, message).allowed(STREAM));
            }
            return;
        }
        let arn = match validate::arn(stream, "kinesis") {
            Ok(arn) => arn,
            Err(message) => return problems.push(Problem::value(at_stream, message).allowed(STREAM)),
        };
        let name = arn.resource.strip_prefix("stream/").unwrap_or_default();
        if !validate::is_name(name, 128, b"_.-") || !validate::is_region(arn.region) {
            problems.push(Problem::value(at_stream, "the ARN is not one of a stream").allowed(STREAM));
        } else if let Some(region) = region.filter(|region| *region != arn.region) {
            let at = at.key("region");
            // One stream is enough to show it.
            if !problems.iter().any(|problem| problem.path == at) {
                let message = format!("{} is not the Region of the stream's ARN, {}", shortened(region), arn.region);
                problems.push(Problem::value(at, message).hint("leave it out: the ARN names it"));
            }
        }
    }

    /// The streams as they were given, each a name or an ARN; at least one.
    pub fn streams(&self) -> Vec<&str> {
        self.stream.iter().chain(&self.streams).map(String::as_str).collect()
    }

    /// Whether the streams were given as `streams`, also where that is a list of one: positions then have the keys of
    /// several streams.
    pub fn is_multi(&self) -> bool {
        !self.streams.is_empty()
    }

    /// The role to assume for a stream: its account's, else the one for all.
    pub fn role_of(&self, stream: &str) -> Option<&AssumeRole> {
        let of_account = Self::account_of(stream).and_then(|account| self.account_roles.get(account));
        of_account.or(self.assume_role.as_ref())
    }

    /// The Region that the configuration names for a stream, in its ARN or by itself; `None` leaves it to the AWS
    /// configuration.
    pub fn region_of<'c>(&'c self, stream: &'c str) -> Option<&'c str> {
        Self::region_in(stream).or(self.region.as_deref())
    }

    /// The Regions of the streams; `None` is the AWS configuration's, which is not known here.
    pub(in crate::config) fn regions(&self) -> BTreeSet<Option<&str>> {
        self.streams().into_iter().map(|stream| self.region_of(stream)).collect()
    }

    /// The Region of a stream that is given as an ARN.
    pub fn region_in(stream: &str) -> Option<&str> {
        Self::arn_of(stream)?.split(':').nth(3)
    }

    /// A stream's name, also where it is given as an ARN.
    pub fn name_of(stream: &str) -> &str {
        Self::arn_of(stream).and_then(|arn| arn.rsplit_once('/')).map_or(stream, |(_, name)| name)
    }

    /// The account of a stream that is given as an ARN.
    pub fn account_of(stream: &str) -> Option<&str> {
        Self::arn_of(stream)?.split(':').nth(4)
    }

    fn arn_of(stream: &str) -> Option<&str> {
        stream.starts_with("arn:").then_some(stream)
    }
}
