//! Objects of S3: each by itself, and those that a queue tells of.

use serde_json::json;

mod object;
mod process;
mod queue;

/// The bucket's name.
const BUCKET: &str = "logs";

/// A notification as S3 writes it; the key is encoded already.
fn notification(key: &str, content: &[u8]) -> String {
    notification_of(key, content.len(), &crate::support::objects_double::etag(content))
}

fn notification_of(key: &str, size: usize, etag: &str) -> String {
    // Each writing has its own; those of the same content are one here, told of twice.
    json!({ "Records": [{
        "eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
        "s3": { "bucket": { "name": BUCKET }, "object": { "key": key, "size": size, "sequencer": etag.trim_matches('"') } },
    }] })
    .to_string()
}
