//! Facts: what was asked, and what came back: an answer, or a refusal that names the action.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::operation::RequestId;
use jiff::SignedDuration;

use crate::aws::error::{Failure, Meaning};
use crate::aws::signed::SignedError;
use crate::source::cloudwatch::client::LogGroup;

/// What came of a question.
pub(crate) type Asked<T> = Result<T, Refusal>;

/// A question without an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The IAM action, such as `logs:DescribeLogGroups`.
    pub(crate) action: String,
    /// What it means.
    pub(crate) refused: Refused,
    /// The error's code, or what happened on the way.
    pub(crate) code: String,
    /// What the service said of it.
    pub(crate) message: Option<String>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The right to ask is missing.
    Right,
    /// The credentials are not taken, whatever is asked.
    Credentials,
    /// What is asked about does not exist.
    Missing,
    /// The service did not answer in time.
    Late,
    /// Anything else.
    Other,
}

impl Refusal {
    /// No answer came within the limit.
    pub(crate) fn late(action: &str, limit: Duration) -> Self {
        let code = format!("no answer within {limit:?}");
        Self { action: action.to_owned(), refused: Refused::Late, code, message: None }
    }

    /// An answer that lacks what it is asked for.
    pub(crate) fn unreadable(action: &str) -> Self {
        let code = "the answer is not readable".to_owned();
        Self { action: action.to_owned(), refused: Refused::Other, code, message: None }
    }

    /// Reads a failure.
    pub(crate) fn of(action: &str, failure: Failure) -> Self {
        let Failure { meaning, code, message, .. } = failure;
        let refused = match (meaning, code.as_str()) {
            (
                _,
                "AccessDeniedException"
                | "AccessDenied"
                | "UnauthorizedOperation"
                | "NotAuthorized"
                | "AuthorizationError"
                | "status 403",
            ) => Refused::Right,
            (
                _,
                "ResourceNotFoundException"
                | "NoSuchEntity"
                | "NoSuchBucket"
                | "NotFound"
                | "NotFoundException"
                | "QueueDoesNotExist"
                | "AWS.SimpleQueueService.NonExistentQueue",
            ) => Refused::Missing,
            (Meaning::Denied, _) => Refused::Credentials,
            (_, "no answer in time") => Refused::Late,
            _ => Refused::Other,
        };
        Self { action: action.to_owned(), refused, code, message }
    }

    /// Reads an error of the SDK.
    pub(crate) fn read<E>(action: &str, error: &SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + RequestId + Error + 'static,
    {
        Self::of(action, Failure::read(error))
    }

    /// What happened, in a few words.
    pub(crate) fn said(&self) -> String {
        match (self.refused, &self.message) {
            // The service's own words only repeat who asked for what.
            (Refused::Right, _) => format!("{} is denied", self.action),
            (_, Some(message)) => format!("{}: {}: {message}", self.action, self.code),
            (_, None) => format!("{}: {}", self.action, self.code),
        }
    }

    /// What a person does about it.
    pub(crate) fn way_out(&self) -> String {
        match self.refused {
            Refused::Right => format!("grant {} to whoever runs this, or ask again as somebody who may", self.action),
            Refused::Credentials => crate::aws::error::CREDENTIALS_ADVICE.to_owned(),
            Refused::Missing => "check the name, the account and the Region".to_owned(),
            Refused::Late | Refused::Other => {
                "check the network path (proxy, VPC endpoint, security group) and endpoint_url, and ask again"
                    .to_owned()
            }
        }
    }
}

impl From<SignedError> for Refusal {
    fn from(error: SignedError) -> Self {
        Self::of(&error.action, error.failure)
    }
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) arn: String,
    pub(crate) account: String,
}

/// What is known about who asks, and about the time.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// The role that was taken on.
    pub(crate) role: Option<String>,
    pub(crate) identity: Asked<Identity>,
    /// How far this host's clock is ahead of the service's.
    pub(crate) ahead: Option<SignedDuration>,
}

/// Bedrock's logging in a Region.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Logging {
    pub(crate) text: bool,
    pub(crate) image: bool,
    pub(crate) embedding: bool,
    /// Where events go in CloudWatch Logs.
    pub(crate) group: Option<String>,
    /// Where large data goes beside the events in CloudWatch Logs.
    pub(crate) large_bucket: Option<String>,
    /// The bucket that objects of many calls go to.
    pub(crate) bucket: Option<String>,
}

/// A log group and its subscriptions.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) name: String,
    /// None if there is no such log group.
    pub(crate) found: Asked<Option<LogGroup>>,
    pub(crate) filters: Asked<Vec<Filter>>,
    /// The state of the key that encrypts it, if it has one of its own.
    pub(crate) key: Option<Asked<String>>,
}

/// A subscription filter, or what an account-level policy makes of every log group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) name: String,
    pub(crate) pattern: String,
    pub(crate) destination: String,
    pub(crate) role: Option<String>,
    pub(crate) distribution: Option<String>,
    /// Whether a record of Bedrock matches the pattern, where the service was asked.
    pub(crate) matches: Option<Asked<bool>>,
}

/// An account-level subscription policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AccountPolicy {
    pub(crate) filter: Filter,
    /// The log groups that it does not take.
    pub(crate) except: Vec<String>,
}

/// The role of a subscription filter.
#[derive(Clone, Debug)]
pub(crate) struct WriterRole {
    /// Whether it exists.
    pub(crate) exists: Asked<bool>,
    /// Whether it may write to the stream.
    pub(crate) may_write: Option<Asked<bool>>,
}

/// A place: an account and Region whose Bedrock is read.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) region: String,
    /// Bedrock's logging; none if it is off.
    pub(crate) logging: Asked<Option<Logging>>,
    /// The log groups that are looked at.
    pub(crate) groups: Vec<Group>,
    /// The account's policies, where subscriptions are of use.
    pub(crate) policies: Option<Asked<Vec<AccountPolicy>>>,
    /// Roles of filters that write to the stream that is read, by their ARNs.
    pub(crate) roles: BTreeMap<String, WriterRole>,
    /// The streams that are read here, by the index among the facts' streams.
    pub(crate) streams: Vec<usize>,
}

impl Place {
    /// The account's policy that writes a log group to one of these, if one does.
    pub(crate) fn policy_to(&self, arns: &[&str], group: &str) -> Option<&AccountPolicy> {
        let policies = self.policies.as_ref()?.as_ref().ok()?;
        policies.iter().find(|policy| {
            arns.contains(&policy.filter.destination.as_str()) && !policy.except.iter().any(|except| except == group)
        })
    }
}

/// A stream that is read.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    /// As it was given.
    pub(crate) given: String,
    pub(crate) region: String,
    /// None if there is no such stream.
    pub(crate) found: Asked<Option<StreamFound>>,
    /// The state of the customer's key that encrypts it.
    pub(crate) key: Option<Asked<String>>,
    /// The consumer's status, where fan-out is configured; none if it is not registered.
    pub(crate) consumer: Option<Asked<Option<String>>>,
}

/// What the service says of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StreamFound {
    pub(crate) arn: String,
    pub(crate) status: String,
    pub(crate) on_demand: bool,
    pub(crate) open_shards: i32,
    pub(crate) retention_hours: i32,
    /// The key's id, ARN or alias; none if it is not encrypted.
    pub(crate) key: Option<String>,
    pub(crate) max_record_kib: Option<i32>,
}

/// A table of this program.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) region: String,
    /// The key that it has to have: the names of its attributes, all strings.
    pub(crate) wanted: &'static [&'static str],
    /// Whether the program makes it at its start.
    pub(crate) is_made: bool,
    pub(crate) found: Asked<Option<TableFound>>,
    /// Whether it can be restored to a point in time.
    pub(crate) recovery: Asked<bool>,
    /// The attribute by which rows expire.
    pub(crate) expiry: Asked<Option<String>>,
}

/// What the service says of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TableFound {
    pub(crate) arn: String,
    pub(crate) status: String,
    /// `name (type, HASH)` of each part of the key.
    pub(crate) key: Vec<String>,
    pub(crate) on_demand: bool,
    /// Whether the key is the program's.
    pub(crate) is_ours: bool,
}

/// The queue of the S3 way.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    pub(crate) url: String,
    /// Whether it has a redrive policy, and for how many seconds it keeps messages.
    pub(crate) found: Asked<QueueFound>,
}

/// What the service says of a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct QueueFound {
    pub(crate) has_redrive: bool,
    pub(crate) retention_seconds: u64,
}

/// A bucket that is read.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    pub(crate) name: String,
    pub(crate) found: Asked<()>,
}

/// A destination and what it says.
#[derive(Clone, Debug)]
pub(crate) struct Destination {
    /// As in the configuration: `sinks.lake`, `dead_letter`.
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    pub(crate) answer: Reached,
}

/// What came of asking a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reached {
    /// It answers, and nothing speaks against writing to it.
    Yes,
    /// It has nothing to ask.
    NothingToAsk(&'static str),
    /// It did not answer within the limit.
    Late(Duration),
    /// It cannot be written to.
    No(String),
}

/// Whether an action is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Right {
    pub(crate) action: String,
    pub(crate) resource: String,
    /// What it is for.
    pub(crate) words: &'static str,
    pub(crate) decision: Decision,
}

/// What is known of a right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// IAM's simulation allows it.
    Simulated,
    /// It was done, and it worked.
    Tried,
    /// It was refused, or the simulation says that it would be.
    Denied,
    /// Neither tells; the words say why.
    Unknown(String),
    /// It is needed only where a key of the account's own encrypts, and nothing says which.
    OfSomeKey,
}

/// The service's own log group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OwnLog {
    /// It writes its log there.
    Group(String),
    /// Its log goes to no log group.
    Elsewhere,
    /// Nothing tells.
    Unknown,
}

/// All that is known.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// What cannot be asked because nothing of AWS can be reached, and why.
    pub(crate) unreached: Vec<(String, String)>,
    /// Who asks, for each of the credentials that are used.
    pub(crate) callers: Vec<Caller>,
    pub(crate) places: Vec<Place>,
    pub(crate) streams: Vec<Stream>,
    pub(crate) tables: Vec<Table>,
    pub(crate) queue: Option<Queue>,
    pub(crate) buckets: Vec<Bucket>,
    pub(crate) rights: Vec<Right>,
    pub(crate) destinations: Vec<Destination>,
    pub(crate) own_log: OwnLog,
    /// The subscriptions of the service's own log group.
    pub(crate) own_filters: Option<Asked<Vec<Filter>>>,
}

impl Default for Facts {
    fn default() -> Self {
        Self {
            unreached: Vec::new(),
            callers: Vec::new(),
            places: Vec::new(),
            streams: Vec::new(),
            tables: Vec::new(),
            queue: None,
            buckets: Vec::new(),
            rights: Vec::new(),
            destinations: Vec::new(),
            own_log: OwnLog::Unknown,
            own_filters: None,
        }
    }
}
