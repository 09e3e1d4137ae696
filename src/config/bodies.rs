//! The bodies section: bodies that Bedrock wrote to S3, and whether they are fetched.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::access::{Access, AssumeRole};
use super::document::{KeyPath, Problem};
use super::units::{ByteSize, DurationText, duration, shortened};
use super::{Source, validate};

/// Bodies of the largest size that fit into the memory at least: an event may have two, of which one is inflated beside
/// its compressed bytes while the other is held, and a quarter of the memory is for bodies that are asked for again.
const BODIES_IN_MEMORY: u64 = 5;

/// Bodies that Bedrock wrote to S3 because they are too large for a log event (over 100 KB) or binary. They are put into
/// their events as if they had been there, for all but the format `raw`, which shows the record as it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Bodies {
    /// Whether they are fetched. One that cannot be had is left out, and its event says so under `bedrock_tap`. Default:
    /// `false`, because it needs rights on a bucket, and costs a request a body.
    pub fetch: bool,
    /// The buckets that may be read, by their exact names, at least one if `fetch` is true. Default: `[]`: where a body is
    /// stands in a log, and whoever can write to the log could name any object that this service may read.
    pub buckets: Vec<String>,
    /// Bytes of one body, as it is stored and after inflating, `64 KiB` to `1 GiB`. Default: `25 MiB`, more than a request
    /// to a model may have (25,000,000 bytes).
    #[schemars(extend("x-minimum" = "64 KiB", "x-maximum" = "1 GiB"))]
    pub max_body: ByteSize,
    /// Requests at a time, over all shards together, 1 to 256. Default: 16, some hundred bodies a second.
    #[schemars(range(min = 1, max = 256))]
    pub concurrency: u16,
    /// How long after its event's time a body may still land, `0s` to `5m`; a shard goes on when it has, or when the time
    /// is over. After a stop it is waited for 5 s at most. Default: `90s`: bodies have been seen to land a minute after
    /// their record.
    #[serde(with = "duration")]
    #[schemars(with = "DurationText", extend("x-minimum" = "0s", "x-maximum" = "5m"))]
    pub wait: Duration,
    /// Bytes of bodies at a time, over all shards together and beside `memory_budget`, five times `max_body` to `1024
    /// GiB`; a quarter of it keeps bodies for records that come again. Where it is used up, shards wait for each other.
    /// Default: `128 MiB`, five of the largest, or some hundred ordinary ones.
    #[schemars(extend("x-minimum" = "320 KiB", "x-maximum" = "1024 GiB"))]
    pub memory: ByteSize,
    /// The buckets' AWS Region. Default: the streams' Region if there is one, because Bedrock logs to its own Region; else
    /// the AWS configuration's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// A profile of the AWS configuration files. Default: the source's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Another endpoint of the S3 API (`http` or `https`), for emulators and private endpoints; buckets are then named in
    /// the path. Default: the Region's own, whatever the source's is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint_url: Option<String>,
    /// A role to assume before bodies are read. Default: none, whatever the source's is, because a role that reads a
    /// stream seldom reads a bucket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assume_role: Option<AssumeRole>,
}

impl Default for Bodies {
    fn default() -> Self {
        Self {
            fetch: false,
            buckets: Vec::new(),
            max_body: ByteSize::mib(25),
            concurrency: 16,
            wait: Duration::from_secs(90),
            memory: ByteSize::mib(128),
            region: None,
            profile: None,
            endpoint_url: None,
            assume_role: None,
        }
    }
}

impl Bodies {
    pub(super) fn check(&self, problems: &mut Vec<Problem>) {
        let at = KeyPath::of(&["bodies"]);
        if self.fetch && self.buckets.is_empty() {
            let problem = Problem::value(at.key("fetch"), "names no bucket that may be read");
            problems.push(problem.hint("set [bodies] buckets to the bucket of Bedrock's `largeDataDeliveryS3Config`"));
        }
        for (index, bucket) in self.buckets.iter().enumerate() {
            // Source: the Amazon S3 User Guide, "General purpose bucket naming rules".
            if bucket.len() < 3
                || !validate::is_name(bucket, 63, b".-")
                || bucket.bytes().any(|b| b.is_ascii_uppercase())
            {
                let message = format!("{} is no bucket's name", shortened(bucket));
                let allowed = "3 to 63 lower-case letters, digits, `.` and `-`";
                problems.push(Problem::value(at.key("buckets").index(index), message).allowed(allowed));
            }
        }
        if self.memory.bytes() < self.max_body.bytes().saturating_mul(BODIES_IN_MEMORY) {
            let message = format!("has no room for {BODIES_IN_MEMORY} bodies of `max_body`, {}", self.max_body);
            problems.push(Problem::value(at.key("memory"), message));
        }
        let access = Access {
            region: self.region.as_deref(),
            profile: self.profile.as_deref(),
            endpoint_url: self.endpoint_url.as_deref(),
            assume_role: self.assume_role.as_ref(),
        };
        access.check(&at, problems);
    }

    /// The buckets' Region beside this source; `None` leaves it to the AWS configuration.
    pub fn region_beside<'c>(&'c self, source: &'c Source) -> Option<&'c str> {
        self.region
            .as_deref()
            .or_else(|| Some(source.regions()).filter(|regions| regions.len() == 1)?.first().copied()?)
    }

    /// The profile beside this source.
    pub fn profile_beside<'c>(&'c self, source: &'c Source) -> Option<&'c str> {
        self.profile.as_deref().or(source.profile())
    }
}
