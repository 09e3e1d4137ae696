//! Bedrock's logging: on, of what, and to where this program reads.

use super::{failed, ok, refused, skipped, warning};
use crate::config::{Config, Source};
use crate::doctor::Check;
use crate::doctor::facts::{Logging, Place};
use crate::source::cloudwatch::client::Group;

/// What else is asked of logging.
const REST: [&str; 3] = ["bedrock.modalities", "bedrock.destination", "bedrock.large_data"];

pub(super) fn judge(config: &Config, place: &Place, checks: &mut Vec<Check>) {
    let (id, region) = ("bedrock.logging", place.region.as_str());
    let logging = match &place.logging {
        Ok(Some(logging)) => logging,
        Ok(None) => {
            let fix = "switch it on: `bedrock-tap setup --plan` says how";
            checks.push(failed(id, region, format!("Bedrock logs no invocations in {region}")).fix(fix));
            checks.extend(REST.map(|id| skipped(id, region, "Bedrock's logging is off")));
            return;
        }
        Err(refusal) => {
            checks.push(refused(id, region, refusal));
            checks.extend(REST.map(|id| skipped(id, region, "Bedrock's logging could not be asked")));
            return;
        }
    };
    checks.push(ok(id, region, format!("Bedrock logs invocations in {region}")));
    checks.push(modalities(logging, region));
    checks.push(destination(config, logging, region));
    checks.push(large_data(config, logging, region));
}

fn modalities(logging: &Logging, region: &str) -> Check {
    let id = "bedrock.modalities";
    let of = [("text", logging.text), ("images", logging.image), ("embeddings", logging.embedding)];
    let listed = |on: bool| {
        let names: Vec<_> = of.iter().filter(|(_, is_on)| *is_on == on).map(|(name, _)| *name).collect();
        names.join(", ")
    };
    let fix = "switch delivery on for them in Bedrock's logging settings, or leave it where that is meant";
    match (logging.text, listed(false)) {
        (_, off) if off.is_empty() => ok(id, region, format!("{} are logged", listed(true))),
        (true, off) => warning(id, region, format!("bodies are left out of the log for: {off}")).fix(fix),
        (false, off) => failed(id, region, format!("bodies are left out of the log for: {off}")).fix(fix),
    }
}

fn destination(config: &Config, logging: &Logging, region: &str) -> Check {
    let id = "bedrock.destination";
    let to_group = logging.group.as_deref();
    let shown = match (to_group, logging.bucket.as_deref()) {
        (Some(group), Some(bucket)) => format!("the log group {group} and the bucket {bucket}"),
        (Some(group), None) => format!("the log group {group}"),
        (None, Some(bucket)) => format!("the bucket {bucket}"),
        (None, None) => "nowhere".to_owned(),
    };
    let is_read = match &config.source {
        Source::Kinesis(_) | Source::Firehose(_) => to_group.is_some(),
        Source::Cloudwatch(source) => {
            to_group.is_some_and(|to| source.log_groups.iter().any(|group| *Group::of(group).name == *to))
        }
        Source::S3(source) => logging.bucket.as_deref().is_some_and(|bucket| source.choice().takes_bucket(bucket)),
        Source::File(_) => true,
    };
    if is_read {
        return ok(id, region, format!("events go to {shown}"));
    }
    let wanted = match &config.source {
        Source::S3(_) => "one of the buckets that are read",
        Source::Cloudwatch(_) => "a log group that is read",
        _ => "a log group, which a subscription passes on",
    };
    failed(id, region, format!("events go to {shown}, and not to {wanted}"))
        .fix("change Bedrock's logging settings, or read from where events go")
}

fn large_data(config: &Config, logging: &Logging, region: &str) -> Check {
    let id = "bedrock.large_data";
    let bucket = match &config.source {
        // Beside the objects of the logs stand those of large bodies.
        Source::S3(_) => logging.bucket.as_deref(),
        _ => logging.large_bucket.as_deref(),
    };
    let (bodies, is_named) = (&config.bodies, |name: &str| config.bodies.buckets.iter().any(|bucket| bucket == name));
    match bucket {
        None => warning(id, region, "bodies over 100 KB have no bucket, and are not in the log")
            .fix("name a bucket in largeDataDeliveryS3Config of Bedrock's logging settings"),
        Some(bucket) if bodies.fetch && !is_named(bucket) => {
            failed(id, region, format!("bodies over 100 KB go to {bucket}, which `bodies.buckets` does not name"))
                .fix(format!("add \"{bucket}\" to bodies.buckets"))
        }
        Some(bucket) if bodies.fetch => ok(id, region, format!("bodies over 100 KB go to {bucket}, and are fetched")),
        Some(bucket) => {
            ok(id, region, format!("bodies over 100 KB go to {bucket}; they are not fetched (`bodies.fetch`)"))
        }
    }
}
