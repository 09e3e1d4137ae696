//! Keys: whether one that encrypts what is read can be used. Source: the KMS API reference, `DescribeKey`.

use serde::Deserialize;

use super::Reach;
use crate::aws::signed::{Call, Service};
use crate::doctor::facts::{Asked, Refusal};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    key_metadata: Metadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata {
    key_state: String,
}

/// The state of a key, such as `Enabled`.
pub(super) async fn state(reach: &Reach, key: &str) -> Asked<String> {
    let body = serde_json::json!({ "KeyId": key }).to_string();
    let call = Call::json(Service::Kms, "TrentService", "DescribeKey", body);
    let answer = reach.signed(&call).await?;
    let answer = serde_json::from_slice::<Answer>(&answer.body);
    answer.map(|answer| answer.key_metadata.key_state).map_err(|_| Refusal::unreadable("kms:DescribeKey"))
}
