//! Bedrock's logging: on or off in the Region, what is logged, and where it goes. Source: the Amazon Bedrock API
//! reference, `GetModelInvocationLoggingConfiguration`.

use serde::Deserialize;

use super::Reach;
use crate::aws::signed::{Call, Service};
use crate::doctor::facts::{Asked, Logging, Refusal};

/// The path of the configuration.
pub(in crate::doctor) const PATH: &str = "/logging/modelinvocations";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    logging_config: Option<Config>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    cloud_watch_config: Option<CloudWatch>,
    s3_config: Option<Bucket>,
    // What an answer leaves out is delivered: so the API reference says of each.
    text_data_delivery_enabled: Option<bool>,
    image_data_delivery_enabled: Option<bool>,
    embedding_data_delivery_enabled: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CloudWatch {
    log_group_name: Option<String>,
    #[serde(rename = "largeDataDeliveryS3Config")]
    large: Option<Bucket>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bucket {
    bucket_name: Option<String>,
}

/// Asks for it; none if it is off.
pub(super) async fn logging(reach: &Reach) -> Asked<Option<Logging>> {
    let operation = "GetModelInvocationLoggingConfiguration";
    let call = Call::rest(Service::Bedrock, operation, reqwest::Method::GET, PATH, String::new());
    let answer = reach.signed(&call).await?;
    read(&answer.body).ok_or_else(|| Refusal::unreadable("bedrock:GetModelInvocationLoggingConfiguration"))
}

/// Reads an answer; none if it is none.
fn read(body: &[u8]) -> Option<Option<Logging>> {
    let answer: Answer = serde_json::from_slice(body).ok()?;
    let logging = answer.logging_config.map(|config| {
        let (group, large) = match config.cloud_watch_config {
            Some(to) => (to.log_group_name, to.large),
            None => (None, None),
        };
        let named = |name: Option<String>| name.filter(|name| !name.is_empty());
        Logging {
            text: config.text_data_delivery_enabled.unwrap_or(true),
            image: config.image_data_delivery_enabled.unwrap_or(true),
            embedding: config.embedding_data_delivery_enabled.unwrap_or(true),
            group: named(group),
            large_bucket: named(large.and_then(|large| large.bucket_name)),
            bucket: named(config.s3_config.and_then(|to| to.bucket_name)),
        }
    });
    // What goes nowhere is not logged.
    Some(logging.filter(|logging| logging.group.is_some() || logging.bucket.is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_as_they_come() {
        let check =
            |body: &str, expected: Option<Option<Logging>>| assert_eq!(read(body.as_bytes()), expected, "{body}");
        check("{}", Some(None));
        check(r#"{"loggingConfig":null}"#, Some(None));
        check("[", None);
        check(r#"{"loggingConfig":7}"#, None);
        let all = Logging { text: true, image: true, embedding: true, ..Logging::default() };
        check(r#"{"loggingConfig":{"more":1}}"#, Some(None));
        check(
            r#"{"loggingConfig":{"cloudWatchConfig":{"logGroupName":"/b","roleArn":"r","largeDataDeliveryS3Config":
               {"bucketName":"large","keyPrefix":""}},"s3Config":{"bucketName":"logs"},"imageDataDeliveryEnabled":false}}"#,
            Some(Some(Logging {
                image: false,
                group: Some("/b".into()),
                large_bucket: Some("large".into()),
                bucket: Some("logs".into()),
                ..all
            })),
        );
    }
}
