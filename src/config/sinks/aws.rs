//! Access to AWS: the keys of all sinks and sources that are AWS services.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::WithoutRegion;
use crate::aws::{self, CredentialsFrom};
use crate::config::access::{Access, AssumeRole};
use crate::config::document::{KeyPath, Problem};

/// How the service is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AwsAccess {
    /// The AWS Region, such as `eu-central-1`. Default: the AWS configuration's (`AWS_REGION`, the profile).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// A profile of the AWS configuration files. Default: `AWS_PROFILE`, else the credential chain without a profile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Another endpoint of the service's API (`http` or `https`), for emulators and private endpoints. Default: the
    /// Region's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint_url: Option<String>,
    /// A role to assume before the service is called. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assume_role: Option<AssumeRole>,
}

impl AwsAccess {
    pub(in crate::config) fn check(&self, at: &KeyPath, problems: &mut Vec<Problem>) {
        let access = Access {
            region: self.region.as_deref(),
            profile: self.profile.as_deref(),
            endpoint_url: self.endpoint_url.as_deref(),
            assume_role: self.assume_role.as_ref(),
        };
        access.check(at, problems);
    }

    /// What the service's client is told.
    pub fn access(&self) -> aws::Access {
        aws::Access {
            region: self.region.clone(),
            profile: self.profile.clone(),
            endpoint_url: self.endpoint_url.clone(),
            assume_role: self.assume_role.as_ref().map(AssumeRole::settings),
            credentials: CredentialsFrom::Chain,
        }
    }

    /// What the Region is left to, if it is.
    pub(in crate::config) fn without_region(&self) -> Option<WithoutRegion<'_>> {
        self.region.is_none().then_some(WithoutRegion { below: &[], profile: self.profile.as_deref() })
    }

    /// The Region, role and endpoint, for `bedrock-tap check`.
    pub(in crate::config) fn describe(&self) -> String {
        let part = |before: &str, text: Option<&str>| text.map(|text| format!("{before}{text}")).unwrap_or_default();
        part(" in ", self.region.as_deref())
            + &part(", as ", self.assume_role.as_ref().map(|role| role.role_arn.as_str()))
            + &part(", at ", self.endpoint_url.as_deref())
    }
}
