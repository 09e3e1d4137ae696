//! The s3 source's keys.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::AwsAccess;
use crate::config::document::{KeyPath, Problem};

mod list;

pub use list::S3List;

/// Objects of S3 buckets, each read once from beginning to end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct S3Source {
    /// The URL of the queue that the bucket's notifications come to, by itself or behind SNS or EventBridge. Either this
    /// or `list`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_url: Option<String>,
    /// Objects that are there, found by listing the bucket: read once, and then the program ends. Either this or
    /// `queue_url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<S3List>,
    /// How S3 is reached.
    #[serde(flatten)]
    pub aws: AwsAccess,
}

impl S3Source {
    pub(in crate::config) fn check(&self, at: &KeyPath, problems: &mut Vec<Problem>) {
        match (&self.queue_url, &self.list) {
            (None, None) => problems.push(Problem::key(at.clone(), "has neither `queue_url` nor `list`")),
            (Some(_), Some(_)) => {
                problems.push(Problem::key(at.key("list"), "stands beside `queue_url`: objects come by one of them"));
            }
            (_, list) => list.iter().for_each(|list| list.check(&at.key("list"), problems)),
        }
        self.aws.check(at, problems);
    }

    /// What is read, a line each, for `bedrock-tap check`.
    pub fn describe(&self) -> Vec<String> {
        let access = self.aws.describe();
        self.list.iter().map(|list| format!("{}{access}", list.describe())).collect()
    }
}
