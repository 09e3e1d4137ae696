//! The cloudwatch source's keys.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::AwsAccess;
use crate::config::document::{KeyPath, Problem};

/// Log groups, read by the API of CloudWatch Logs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CloudwatchSource {
    /// The log groups, each by its name or its ARN, 1 to 10.
    #[schemars(length(min = 1, max = 10))]
    pub log_groups: Vec<String>,
    /// How CloudWatch Logs is reached.
    #[serde(flatten)]
    pub aws: AwsAccess,
}

impl CloudwatchSource {
    pub(in crate::config) fn check(&self, at: &KeyPath, problems: &mut Vec<Problem>) {
        self.aws.check(at, problems);
    }

    /// What is read, a line each, for `bedrock-tap check`.
    pub fn describe(&self) -> Vec<String> {
        Vec::new()
    }
}
