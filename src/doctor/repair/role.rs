//! The two roles: with which CloudWatch Logs writes to a stream, and with which Bedrock writes to a log group. Their
//! policies are those of `deploy/iam`.

use serde_json::{Value, json};

use super::Repair;
use super::command::Command;

/// Why `--apply` makes none.
const BY_HAND: &str = "who may write where is decided by a person; skip it if the role is there";

/// A role of a service.
pub(super) struct Role<'a> {
    /// Its ARN.
    pub(super) arn: &'a str,
    /// The service that takes it on: `logs`, `bedrock`.
    pub(super) service: &'static str,
    pub(super) region: &'a str,
    pub(super) account: &'a str,
    pub(super) partition: &'static str,
    /// What it may do, and on what.
    pub(super) actions: &'a [&'static str],
    pub(super) resource: &'a str,
}

impl Role<'_> {
    fn name(&self) -> &str {
        self.arn.rsplit('/').next().unwrap_or(self.arn)
    }

    fn trust(&self) -> Value {
        let Self { service, region, account, partition, .. } = self;
        json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Effect": "Allow",
                "Principal": { "Service": format!("{service}.amazonaws.com") },
                "Action": "sts:AssumeRole",
                "Condition": {
                    "StringEquals": { "aws:SourceAccount": account },
                    "ArnLike": { "aws:SourceArn": format!("arn:{partition}:{service}:{region}:{account}:*") },
                },
            }],
        })
    }

    fn policy(&self) -> Value {
        let (actions, resource) = (self.actions, self.resource);
        let statement = json!([{ "Effect": "Allow", "Action": actions, "Resource": resource }]);
        json!({ "Version": "2012-10-17", "Statement": statement })
    }

    /// The repair that makes it.
    pub(super) fn repair(&self, logical: &str, why: &str, mends: &[&'static str]) -> Repair {
        let (trust, policy) = (self.trust(), self.policy());
        let create = Command::of_iam("create-role").with("--role-name", self.name());
        let create = create.with("--assume-role-policy-document", &trust.to_string());
        let put = Command::of_iam("put-role-policy").with("--role-name", self.name()).with("--policy-name", "write");
        let put = put.with("--policy-document", &policy.to_string());
        let resource = json!({
            "Type": "AWS::IAM::Role",
            "Properties": {
                "RoleName": self.name(),
                "AssumeRolePolicyDocument": trust,
                "Policies": [{ "PolicyName": "write", "PolicyDocument": policy }],
            },
        });
        Repair::new(format!("make the role {}", self.name()), why, mends, create)
            .and(put)
            .by_hand(BY_HAND)
            .resource(logical.to_owned(), resource)
    }
}
