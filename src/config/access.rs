//! Access to AWS: the keys that every section with a service of its own has, and the role to assume.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::document::{KeyPath, Problem};
use super::units::shortened;
use super::validate;
use crate::aws;

/// The keys that say how a service is reached.
pub(super) struct Access<'c> {
    pub(super) region: Option<&'c str>,
    pub(super) profile: Option<&'c str>,
    pub(super) endpoint_url: Option<&'c str>,
    pub(super) assume_role: Option<&'c AssumeRole>,
}

impl Access<'_> {
    /// Finds what is wrong with the form of each; `at` is their table.
    pub(super) fn check(&self, at: &KeyPath, problems: &mut Vec<Problem>) {
        if let Some(region) = self.region.filter(|region| !validate::is_region(region)) {
            let message = format!("{} has not the form of a Region", shortened(region));
            problems.push(Problem::value(at.key("region"), message).allowed("such as \"eu-central-1\""));
        }
        if self.profile.is_some_and(|profile| profile.trim().is_empty()) {
            problems.push(Problem::value(at.key("profile"), "is empty").hint("leave it out for the default"));
        }
        if let Some(Err(message)) = self.endpoint_url.map(validate::endpoint) {
            let problem = Problem::value(at.key("endpoint_url"), message);
            problems.push(problem.secret().allowed("such as \"http://localhost:4567\""));
        }
        if let Some(role) = self.assume_role {
            role.check(&at.key("assume_role"), problems);
        }
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
    /// What a service's client is told.
    pub fn settings(&self) -> aws::AssumeRole {
        aws::AssumeRole {
            role_arn: self.role_arn.clone(),
            external_id: self.external_id.clone(),
            session_name: Some(self.session_name.clone()),
        }
    }

    /// Source of the forms: the STS API reference, `AssumeRole`.
    pub(super) fn check(&self, at: &KeyPath, problems: &mut Vec<Problem>) {
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
