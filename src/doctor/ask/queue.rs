//! The S3 way: the queue of notifications, and the buckets.

use aws_config::retry::RetryConfig;
use aws_sdk_sqs::types::QueueAttributeName;

use super::{Reach, Reaches};
use crate::config::{Config, S3List, Source};
use crate::doctor::facts::{Asked, Bucket, Facts, Queue, QueueFound, Refusal, Refused};

/// Asks the queue and the buckets, one after another: there is one of each, mostly.
pub(super) async fn ask(config: &Config, reaches: &mut Reaches, facts: &mut Facts) {
    let Source::S3(source) = &config.source else { return };
    if let Some(url) = &source.queue_url {
        match reaches.get(&source.queue_access()).await {
            Ok(reach) => {
                let found = attributes(&reach, url).await;
                facts.queue = Some(Queue { url: url.clone(), found });
            }
            Err(why) => facts.unreached.push(("the queue".to_owned(), why)),
        }
    }
    let listed = source.list.as_ref().and_then(|list| S3List::place(&list.url).ok());
    let names: Vec<_> = match listed {
        Some((bucket, _)) => vec![bucket.to_owned()],
        None => source.buckets.clone(),
    };
    let reach = match reaches.get(&source.access()).await {
        Ok(reach) => reach,
        Err(why) => return facts.unreached.push(("the buckets".to_owned(), why)),
    };
    for name in names {
        let found = bucket(&reach, &name).await;
        facts.buckets.push(Bucket { name, found });
    }
}

async fn attributes(reach: &Reach, url: &str) -> Asked<QueueFound> {
    let action = "sqs:GetQueueAttributes";
    let mut builder = aws_sdk_sqs::config::Builder::from(&reach.config).retry_config(RetryConfig::disabled());
    if let Some(url) = &reach.endpoint_url {
        builder = builder.endpoint_url(url);
    }
    let client = aws_sdk_sqs::Client::from_conf(builder.build());
    let (redrive, retention) = (QueueAttributeName::RedrivePolicy, QueueAttributeName::MessageRetentionPeriod);
    let call = client.get_queue_attributes().queue_url(url);
    let call = call.attribute_names(redrive.clone()).attribute_names(retention.clone());
    let asked = async {
        let answer = Box::pin(call.send()).await.map_err(|error| Refusal::read(action, &error))?;
        let told = answer.attributes.unwrap_or_default();
        let retention_seconds = told.get(&retention).and_then(|seconds| seconds.parse().ok()).unwrap_or_default();
        Ok(QueueFound { has_redrive: told.contains_key(&redrive), retention_seconds })
    };
    reach.within(action, asked).await
}

async fn bucket(reach: &Reach, name: &str) -> Asked<()> {
    let action = "s3:ListBucket";
    let mut builder = aws_sdk_s3::config::Builder::from(&reach.config).retry_config(RetryConfig::disabled());
    if let Some(url) = &reach.endpoint_url {
        builder = builder.endpoint_url(url).force_path_style(true);
    } else if reach.config.endpoint_url().is_some() {
        builder = builder.force_path_style(true);
    }
    let client = aws_sdk_s3::Client::from_conf(builder.build());
    let asked = async {
        let sent = Box::pin(client.list_objects_v2().bucket(name).max_keys(1).send()).await;
        sent.map(|_| ()).map_err(|error| Refusal::read(action, &error))
    };
    match reach.within(action, asked).await {
        // S3 says it in several ways.
        Err(refusal) if refusal.code == "NoSuchBucket" => Err(Refusal { refused: Refused::Missing, ..refusal }),
        asked => asked,
    }
}
