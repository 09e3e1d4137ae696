//! The source section: where records come from. One file a kind.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::document::{KeyPath, Problem};

mod cloudwatch;
mod file;
mod firehose;
mod kinesis;
mod s3;

pub(crate) use cloudwatch::check_group;
pub use cloudwatch::{CloudwatchMode, CloudwatchSource};
pub use file::FileSource;
pub use firehose::FirehoseSource;
pub use kinesis::{DEFAULT_CONSUMER, KinesisSource, Mode, OnTrimmed};
pub use s3::{S3List, S3Source};

/// Where records come from: exactly one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A Kinesis data stream that a CloudWatch Logs subscription filter writes to.
    Kinesis(Box<KinesisSource>),
    /// Objects in S3: Bedrock's own logs there, or what Firehose wrote.
    S3(Box<S3Source>),
    /// Log groups of CloudWatch Logs, read by its API: the quickest start, without a stream.
    Cloudwatch(Box<CloudwatchSource>),
    /// An HTTP endpoint that Amazon Data Firehose delivers to.
    Firehose(Box<FirehoseSource>),
    /// Files, directories or standard input: for replay, tests and people without a stream.
    File(FileSource),
}

impl Source {
    /// Finds what is wrong although each value by itself has the right shape.
    pub(super) fn check(&self, problems: &mut Vec<Problem>) {
        let at = KeyPath::of(&["source", self.kind()]);
        match self {
            Self::Kinesis(source) => source.check(&at, problems),
            Self::S3(source) => source.check(&at, problems),
            Self::Cloudwatch(source) => source.check(&at, problems),
            Self::Firehose(source) => source.check(&at, problems),
            Self::File(source) => source.check(&at, problems),
        }
    }

    /// Whether it has positions to come back to. Where it has none, whoever told of the records keeps what is not delivered.
    pub fn has_positions(&self) -> bool {
        match self {
            Self::S3(source) => source.list.is_some(),
            Self::Firehose(_) => false,
            Self::Kinesis(_) | Self::Cloudwatch(_) | Self::File(_) => true,
        }
    }

    /// The kind's name in the file.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Kinesis(_) => "kinesis",
            Self::S3(_) => "s3",
            Self::Cloudwatch(_) => "cloudwatch",
            Self::Firehose(_) => "firehose",
            Self::File(_) => "file",
        }
    }

    /// The Regions of what is read; `None` is the AWS configuration's, which is not known here.
    pub(super) fn regions(&self) -> BTreeSet<Option<&str>> {
        match self {
            Self::Kinesis(source) => source.regions(),
            Self::S3(source) => BTreeSet::from([source.region()]),
            Self::Cloudwatch(source) => BTreeSet::from([source.region()]),
            Self::Firehose(_) | Self::File(_) => BTreeSet::new(),
        }
    }

    /// The profile that it is read by.
    pub(super) fn profile(&self) -> Option<&str> {
        match self {
            Self::Kinesis(source) => source.profile.as_deref(),
            Self::S3(source) => source.aws.profile.as_deref(),
            Self::Cloudwatch(source) => source.aws.profile.as_deref(),
            Self::Firehose(_) | Self::File(_) => None,
        }
    }
}
