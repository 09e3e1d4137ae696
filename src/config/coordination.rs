//! The coordination section: who reads what, and where positions are stored.

use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::access::{Access, AssumeRole};
use super::document::{KeyPath, Problem};
use super::units::{DurationText, duration, shortened};
use super::{KinesisSource, Source, validate};

/// The name of the file of the positions in its directory.
pub(super) const POSITIONS_FILE: &str = "positions.redb";

/// The place for a service's state.
pub(super) const DEFAULT_DIRECTORY: &str = "/var/lib/bedrock-tap";

/// Who reads what, and where positions are stored: at most one kind. Default: `local`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Coordination {
    /// One worker, with its positions in a local directory.
    Local(LocalCoordination),
    /// Any number of workers, which share the shards by leases in a DynamoDB table of the KCL's format.
    Dynamodb(Box<DynamodbCoordination>),
}

impl Default for Coordination {
    fn default() -> Self {
        Self::Local(LocalCoordination::default())
    }
}

/// One worker, with its positions in a local directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LocalCoordination {
    /// The directory of the positions, and of the dead letter if none is configured; it must outlive the process, so in
    /// a container it is a volume. Default: `/var/lib/bedrock-tap`, the place for a service's state.
    pub directory: PathBuf,
}

impl Default for LocalCoordination {
    fn default() -> Self {
        Self { directory: DEFAULT_DIRECTORY.into() }
    }
}

/// Any number of workers, which share the shards by leases in a DynamoDB table of the KCL's format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DynamodbCoordination {
    /// The table of the leases, which hold the positions: 3 to 255 letters, digits, `_`, `.` and `-`. A KCL application
    /// calls its table by its application name; with the same name here, either goes on where the other stopped.
    pub table: String,
    /// Whether the table is made if it is missing, billed on demand. Default: `false`, because a name with a typo would
    /// otherwise be a new table, and the streams would be read from `start` again.
    #[serde(default)]
    pub create_table: bool,
    /// How long a worker may leave its leases without renewal until others take them, `1s` to `10m`. Each is renewed
    /// after a third of it. Default: `30s`: one write in 10 s, 0.26 million a shard and month of 30 days. Where KCL
    /// workers share the table, set theirs (10 s unless they changed it): whoever waits less takes leases from the living.
    #[serde(default = "default_failover_time", with = "duration")]
    #[schemars(with = "DurationText", extend("x-minimum" = "1s", "x-maximum" = "10m"))]
    pub failover_time: Duration,
    /// How long a worker that was asked for a lease may take to deliver what it has read before the lease is taken all the
    /// same, `1s` to `10m`. Default: `30s`, as with the KCL; what is delivered later is delivered twice.
    #[serde(default = "default_handoff_timeout", with = "duration")]
    #[schemars(with = "DurationText", extend("x-minimum" = "1s", "x-maximum" = "10m"))]
    pub handoff_timeout: Duration,
    /// The table's AWS Region. Default: the streams' Region; where they are of several, there is no default, because the
    /// order of a list should not decide where positions are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// A profile of the AWS configuration files. Default: the source's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Another endpoint of the DynamoDB API (`http` or `https`), for emulators and private endpoints. Default: the
    /// Region's own, whatever the source's is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_url: Option<String>,
    /// A role to assume before the table is used. Default: none, whatever the source's is, because the table usually
    /// lives in the workers' own account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assume_role: Option<AssumeRole>,
}

fn default_failover_time() -> Duration {
    Duration::from_secs(30)
}

fn default_handoff_timeout() -> Duration {
    Duration::from_secs(30)
}

impl Coordination {
    pub(super) fn check(&self, source: &Source, problems: &mut Vec<Problem>) {
        match self {
            Self::Local(local) if local.directory.as_os_str().is_empty() => {
                let at = KeyPath::of(&["coordination", "local", "directory"]);
                problems.push(Problem::value(at, "is empty").hint("`.` is the working directory"));
            }
            Self::Local(_) => {}
            Self::Dynamodb(dynamodb) => {
                dynamodb.check(&KeyPath::of(&["coordination", "dynamodb"]), source, problems);
            }
        }
    }

    /// The local directory for state; workers that share a table have none.
    pub fn directory(&self) -> Option<&Path> {
        match self {
            Self::Local(local) => Some(&local.directory),
            Self::Dynamodb(_) => None,
        }
    }
}

impl DynamodbCoordination {
    /// A table with all else at its default.
    pub fn new(table: impl Into<String>) -> Self {
        Self {
            table: table.into(),
            create_table: false,
            failover_time: default_failover_time(),
            handoff_timeout: default_handoff_timeout(),
            region: None,
            profile: None,
            endpoint_url: None,
            assume_role: None,
        }
    }

    fn check(&self, at: &KeyPath, source: &Source, problems: &mut Vec<Problem>) {
        // Source: the DynamoDB API reference, `CreateTable`.
        if self.table.len() < 3 || !validate::is_name(&self.table, 255, b"_.-") {
            let message = format!("{} is no table's name", shortened(&self.table));
            let allowed = "3 to 255 letters, digits, `_`, `.` and `-`";
            problems.push(Problem::value(at.key("table"), message).allowed(allowed));
        }
        let access = Access {
            region: self.region.as_deref(),
            profile: self.profile.as_deref(),
            endpoint_url: self.endpoint_url.as_deref(),
            assume_role: self.assume_role.as_ref(),
        };
        access.check(at, problems);
        match source {
            Source::Kinesis(source) if self.region.is_none() && source.regions().len() > 1 => {
                let problem = Problem::key(at.clone(), "the table's Region cannot be told from the streams'");
                problems.push(problem.hint("set [coordination.dynamodb] region"));
            }
            Source::Kinesis(_) => {}
            other => {
                let message = format!("has leases of shards, and `source.{}` has no shards", other.kind());
                problems.push(Problem::key(at.clone(), message).allowed("[coordination.local], which is the default"));
            }
        }
    }

    /// The table's Region beside this source; `None` leaves it to the AWS configuration.
    pub fn region_beside<'c>(&'c self, source: &'c KinesisSource) -> Option<&'c str> {
        self.region.as_deref().or_else(|| source.regions().first().copied().flatten())
    }

    /// The profile beside this source.
    pub fn profile_beside<'c>(&'c self, source: &'c KinesisSource) -> Option<&'c str> {
        self.profile.as_deref().or(source.profile.as_deref())
    }
}
