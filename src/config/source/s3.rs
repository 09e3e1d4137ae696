//! The s3 source's keys.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::AwsAccess;
use crate::config::document::{KeyPath, Problem};

/// Objects of S3 buckets, each read once from beginning to end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct S3Source {
    /// The URL of the queue that the bucket's notifications come to, by itself or behind SNS or EventBridge.
    pub queue_url: String,
    /// How S3 is reached.
    #[serde(flatten)]
    pub aws: AwsAccess,
}

impl S3Source {
    pub(in crate::config) fn check(&self, at: &KeyPath, problems: &mut Vec<Problem>) {
        self.aws.check(at, problems);
    }

    /// What is read, a line each, for `bedrock-tap check`.
    pub fn describe(&self) -> Vec<String> {
        Vec::new()
    }
}
