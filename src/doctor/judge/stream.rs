//! A stream that is read.

use super::{failed, key, needed, ok, refused, skipped, warning};
use crate::config::{Config, KinesisSource, Source};
use crate::doctor::Check;
use crate::doctor::facts::{Stream, StreamFound};

/// What is asked of a stream beside its status.
const REST: [&str; 4] = ["stream.shards", "stream.retention", "stream.encryption", "stream.record_size"];

/// A day is the least that a stream has, and less than a week-end.
const LEAST_HOURS: i32 = 72;

/// What a record may have where nothing else is set, and what CloudWatch Logs makes.
const USUAL_RECORD_KIB: i32 = 1024;

pub(super) fn judge(config: &Config, stream: &Stream, checks: &mut Vec<Check>) {
    let (id, given) = ("stream.status", stream.given.as_str());
    let name = KinesisSource::name_of(given);
    let found = match &stream.found {
        Ok(Some(found)) => found,
        Ok(None) => {
            let fix = "make it: `bedrock-tap setup --plan` says how; or correct its name, Region or account";
            checks.push(failed(id, given, format!("there is no stream {name} in {}", stream.region)).fix(fix));
            checks.extend(REST.map(|id| skipped(id, given, "there is no such stream")));
            return;
        }
        Err(refusal) => {
            checks.push(needed(id, given, refusal));
            checks.extend(REST.map(|id| skipped(id, given, "the stream could not be asked about")));
            return;
        }
    };
    checks.push(status(found, name, given));
    let mode = if found.on_demand { "on demand" } else { "provisioned" };
    let shards = if found.open_shards == 1 { "1 open shard" } else { &format!("{} open shards", found.open_shards) };
    checks.push(ok("stream.shards", given, format!("{shards}, {mode}")));
    checks.push(retention(found, given));
    checks.push(encryption(stream, found, given));
    checks.push(record_size(found, given));
    if let Source::Kinesis(source) = &config.source
        && let Some(consumer) = consumer(stream, source)
    {
        checks.push(consumer);
    }
}

fn status(found: &StreamFound, name: &str, given: &str) -> Check {
    let (id, status) = ("stream.status", found.status.as_str());
    match status {
        "ACTIVE" => ok(id, given, format!("{name} is ACTIVE")),
        // It is read and written meanwhile.
        "UPDATING" => ok(id, given, format!("{name} is UPDATING, and works")),
        "CREATING" => warning(id, given, format!("{name} is CREATING")).fix("wait a minute, then ask again"),
        _ => failed(id, given, format!("{name} is {status}")).fix("make the stream again, or name another"),
    }
}

fn retention(found: &StreamFound, given: &str) -> Check {
    let (id, hours) = ("stream.retention", found.retention_hours);
    match hours < LEAST_HOURS {
        true => warning(id, given, format!("records are kept for {hours} hours: a weekend's outage loses some"))
            .fix(format!("raise it to {LEAST_HOURS}: `bedrock-tap setup --plan` says how")),
        false => ok(id, given, format!("records are kept for {hours} hours")),
    }
}

fn encryption(stream: &Stream, found: &StreamFound, given: &str) -> Check {
    let id = "stream.encryption";
    match (&found.key, &stream.key) {
        (None, _) => warning(id, given, "prompts and answers are not encrypted in the stream")
            .fix("switch it on with a key: `bedrock-tap setup --plan` says how"),
        (Some(_), Some(state)) => key(id, given, "the stream", state),
        (Some(_), None) => ok(id, given, "encrypted with Kinesis' own key"),
    }
}

fn record_size(found: &StreamFound, given: &str) -> Check {
    let id = "stream.record_size";
    match found.max_record_kib {
        None => ok(id, given, format!("records of up to {USUAL_RECORD_KIB} KiB, as is usual")),
        Some(most) if most < USUAL_RECORD_KIB => {
            failed(id, given, format!("records of up to {most} KiB: CloudWatch Logs may write {USUAL_RECORD_KIB}"))
                .fix("raise it with aws kinesis update-max-record-size: what is too large is dropped")
        }
        Some(most) => ok(id, given, format!("records of up to {most} KiB")),
    }
}

fn consumer(stream: &Stream, source: &KinesisSource) -> Option<Check> {
    let (id, given, name) = ("stream.consumer", stream.given.as_str(), &source.consumer);
    Some(match stream.consumer.as_ref()? {
        Ok(Some(status)) if status == "ACTIVE" => ok(id, given, format!("the consumer {name} is ACTIVE")),
        Ok(Some(status)) => warning(id, given, format!("the consumer {name} is {status}")).fix("wait, then ask again"),
        Ok(None) if source.register_consumer => {
            ok(id, given, format!("the consumer {name} is registered at the start"))
        }
        Ok(None) => failed(id, given, format!("the consumer {name} is not registered"))
            .fix("register it: `bedrock-tap setup --plan` says how; or set register_consumer = true"),
        Err(refusal) => refused(id, given, refusal),
    })
}
