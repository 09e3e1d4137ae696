//! A notification: what a message of the queue says about objects. S3 writes it by itself, through SNS or through
//! EventBridge.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::object::Object;

/// An envelope of SNS around another of SNS is nobody's; the bound is for what is made up.
const MAX_ENVELOPES: usize = 3;

/// The records of a message that are read: S3 writes one, and a message of 1 MiB has room for some thousand.
const MAX_RECORDS: usize = 10_000;

/// An object that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Created {
    /// Which.
    pub(super) object: Object,
    /// Its bytes, if the notification says so.
    pub(super) size: Option<u64>,
    /// What tells this writing of the key from those before and after, also of the same bytes.
    pub(super) sequencer: Option<String>,
}

/// What a message says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Notification {
    /// What was created, which may be nothing; and how many events are of other kinds.
    Events { created: Vec<Created>, others: usize },
    /// S3 tries whether it may send.
    Test,
}

/// A message that is no notification of S3's. It says why and never what the message holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct NoNotification(&'static str);

/// All that is looked at, of every form. Source: the Amazon S3 User Guide, "Event message structure" and "Using
/// EventBridge"; the Amazon SNS Developer Guide, "Amazon SNS message and JSON formats".
#[derive(Deserialize)]
struct Message<'m> {
    #[serde(rename = "Records", borrow)]
    records: Option<Vec<&'m RawValue>>,
    #[serde(rename = "Event", borrow)]
    event: Option<Cow<'m, str>>,
    #[serde(rename = "Type", borrow)]
    kind: Option<Cow<'m, str>>,
    #[serde(rename = "Message", borrow)]
    message: Option<Cow<'m, str>>,
    #[serde(borrow)]
    source: Option<Cow<'m, str>>,
    #[serde(rename = "detail-type", borrow)]
    detail_type: Option<Cow<'m, str>>,
    #[serde(borrow)]
    detail: Option<&'m RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head<'m> {
    #[serde(borrow)]
    event_version: Option<Cow<'m, str>>,
    #[serde(borrow)]
    event_source: Option<Cow<'m, str>>,
    #[serde(borrow)]
    event_name: Cow<'m, str>,
}

#[derive(Deserialize)]
struct Entity {
    s3: Place,
}

/// What was written where; S3 and EventBridge name some of it differently.
#[derive(Deserialize)]
struct Place {
    bucket: Bucket,
    object: Written,
}

#[derive(Deserialize)]
struct Bucket {
    name: String,
}

#[derive(Deserialize)]
struct Written {
    key: String,
    size: Option<u64>,
    sequencer: Option<String>,
    #[serde(alias = "versionId", rename = "version-id")]
    version: Option<String>,
}

/// Reads the text of a message.
///
/// # Errors
/// Why it is no notification: not one of the known forms, or one with a part that cannot be read.
pub(super) fn read(text: &str) -> Result<Notification, NoNotification> {
    read_within(text, MAX_ENVELOPES)
}

fn read_within(text: &str, envelopes: usize) -> Result<Notification, NoNotification> {
    let message: Message<'_> = serde_json::from_str(text).map_err(|_| NoNotification("no JSON of a known form"))?;
    if let Some(records) = message.records {
        return read_records(&records);
    }
    if message.event.as_deref() == Some("s3:TestEvent") {
        return Ok(Notification::Test);
    }
    if message.source.as_deref() == Some("aws.s3") {
        if message.detail_type.as_deref() != Some("Object Created") {
            return Ok(Notification::Events { created: Vec::new(), others: 1 });
        }
        let detail = message.detail.ok_or(NoNotification("an event without its detail"))?;
        let place: Place = serde_json::from_str(detail.get()).map_err(|_| NoNotification("an event of no object"))?;
        // EventBridge writes keys as they are.
        let key = place.object.key.clone();
        return Ok(Notification::Events { created: vec![created(place, key)?], others: 0 });
    }
    match (message.kind.as_deref(), message.message) {
        (Some("Notification"), Some(inner)) if envelopes > 0 => read_within(&inner, envelopes - 1),
        (Some("SubscriptionConfirmation"), _) => Err(NoNotification("an SNS subscription that nobody has confirmed")),
        _ => Err(NoNotification("neither records of S3 nor an event of it")),
    }
}

fn read_records(records: &[&RawValue]) -> Result<Notification, NoNotification> {
    if records.len() > MAX_RECORDS {
        return Err(NoNotification("too many records"));
    }
    let (mut found, mut others) = (Vec::new(), 0);
    for record in records {
        let head: Head<'_> = serde_json::from_str(record.get()).map_err(|_| NoNotification("a record of no event"))?;
        // Others that speak S3's protocol put their own name before the colon.
        if !head.event_source.as_deref().is_some_and(|source| source.ends_with(":s3")) {
            return Err(NoNotification("a record of another service"));
        }
        if head.event_version.is_some_and(|version| version.split('.').next() != Some("2")) {
            return Err(NoNotification("a record of another major version"));
        }
        let name = head.event_name.strip_prefix("s3:").unwrap_or(&head.event_name);
        if !name.starts_with("ObjectCreated:") {
            others += 1;
            continue;
        }
        let Entity { s3 } = serde_json::from_str(record.get()).map_err(|_| NoNotification("a record of no object"))?;
        let key = decoded(&s3.object.key).ok_or(NoNotification("a key that is not encoded as S3 does"))?;
        found.push(created(s3, key)?);
    }
    Ok(Notification::Events { created: found, others })
}

fn created(Place { bucket, object }: Place, key: String) -> Result<Created, NoNotification> {
    let Written { size, sequencer, version, .. } = object;
    // Source: the Amazon S3 User Guide, "General purpose bucket naming rules" and "Naming Amazon S3 objects"; older
    // buckets have up to 255 characters.
    let is_bucket = (3..=255).contains(&bucket.name.len())
        && bucket.name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    if !is_bucket || key.is_empty() || key.len() > 1024 {
        return Err(NoNotification("a name that no object has"));
    }
    let filled = |text: &String| !text.is_empty();
    let object = Object { bucket: bucket.name.into(), key: key.into(), version: version.filter(filled) };
    Ok(Created { object, size, sequencer: sequencer.filter(filled) })
}

/// Decodes a key as forms encode text, and as lists are encoded that ask for it: `+` is a space, `%XX` a byte.
pub(super) fn decoded(key: &str) -> Option<String> {
    let mut bytes = key.bytes();
    let mut text = Vec::with_capacity(key.len());
    while let Some(byte) = bytes.next() {
        text.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn record(name: &str, key: &str) -> Value {
        json!({
            "eventVersion": "2.6", "eventSource": "aws:s3", "awsRegion": "us-east-1", "eventName": name,
            "eventTime": "2026-01-02T03:04:05.678Z", "responseElements": { "x-amz-request-id": "R" },
            "s3": {
                "s3SchemaVersion": "1.0", "configurationId": "c", "bucket": { "name": "logs", "arn": "arn:aws:s3:::logs" },
                "object": { "key": key, "size": 7, "eTag": "e1", "versionId": "v1", "sequencer": "0055" },
            },
        })
    }

    fn event(key: &str) -> Value {
        json!({
            "version": "0", "id": "1", "detail-type": "Object Created", "source": "aws.s3", "account": "123456789012",
            "resources": ["arn:aws:s3:::logs"],
            "detail": {
                "version": "0", "bucket": { "name": "logs" }, "reason": "PutObject",
                "object": { "key": key, "size": 7, "etag": "e1", "version-id": "v1", "sequencer": "0055" },
            },
        })
    }

    fn of_sns(message: &Value) -> Value {
        json!({ "Type": "Notification", "MessageId": "1", "TopicArn": "arn", "Message": message.to_string() })
    }

    fn object(key: &str) -> Created {
        let object = Object { bucket: "logs".into(), key: key.into(), version: Some("v1".to_owned()) };
        Created { object, size: Some(7), sequencer: Some("0055".to_owned()) }
    }

    #[track_caller]
    fn check(message: &Value, expected: Result<(&[&str], usize), &'static str>) {
        let expected = expected.map_err(NoNotification).map(|(keys, others)| Notification::Events {
            created: keys.iter().map(|key| object(key)).collect(),
            others,
        });
        assert_eq!(read(&message.to_string()), expected, "{message}");
    }

    #[test]
    fn every_way_of_a_notification_is_read() {
        let put = |key: &str| record("ObjectCreated:Put", key);
        check(&json!({ "Records": [put("a%2Fb+c%C3%BC%2B%25.gz")] }), Ok((&["a/b cü+%.gz"], 0)));
        check(
            &json!({ "Records": [put("a"), record("ObjectCreated:CompleteMultipartUpload", "b")] }),
            Ok((&["a", "b"], 0)),
        );
        check(&json!({ "Records": [record("s3:ObjectCreated:Put", "a")] }), Ok((&["a"], 0)));
        check(&of_sns(&json!({ "Records": [put("a+b")] })), Ok((&["a b"], 0)));
        check(&event("a+b%2F"), Ok((&["a+b%2F"], 0)));
        check(&of_sns(&event("a+b")), Ok((&["a+b"], 0)));
        check(&of_sns(&of_sns(&event("a"))), Ok((&["a"], 0)));
    }

    #[test]
    fn what_was_not_created_is_left_out() {
        check(&json!({ "Records": [] }), Ok((&[], 0)));
        let removed = record("ObjectRemoved:Delete", "a");
        check(&json!({ "Records": [removed, record("ObjectCreated:Copy", "b")] }), Ok((&["b"], 1)));
        check(&json!({ "Records": [record("ReducedRedundancyLostObject", "%")] }), Ok((&[], 1)));
        let mut deleted = event("a");
        deleted["detail-type"] = "Object Deleted".into();
        check(&deleted, Ok((&[], 1)));
        let test = json!({ "Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "logs" });
        assert_eq!(read(&test.to_string()), Ok(Notification::Test));
        assert_eq!(read(&of_sns(&test).to_string()), Ok(Notification::Test));
    }

    #[test]
    fn what_is_no_notification_says_why_and_not_what() {
        for text in ["", "secret", "[1]", "{\"Records\":7}", "\"Records\"", "{\"a\":1}{}"] {
            assert_eq!(read(text), Err(NoNotification("no JSON of a known form")), "{text}");
        }
        let with = |path: &str, value: Value| {
            let mut record = record("ObjectCreated:Put", "a");
            *record.pointer_mut(path).unwrap() = value;
            json!({ "Records": [record] })
        };
        check(&json!({}), Err("neither records of S3 nor an event of it"));
        check(&json!({ "source": "aws.ec2", "detail": {} }), Err("neither records of S3 nor an event of it"));
        check(&json!({ "Type": "SubscriptionConfirmation" }), Err("an SNS subscription that nobody has confirmed"));
        check(&json!({ "Records": [7] }), Err("a record of no event"));
        check(&with("/eventSource", "aws:ses".into()), Err("a record of another service"));
        check(&with("/eventVersion", "3.0".into()), Err("a record of another major version"));
        check(&with("/s3/object", json!({})), Err("a record of no object"));
        check(&with("/s3/bucket/name", "a/b".into()), Err("a name that no object has"));
        check(&with("/s3/object/key", "".into()), Err("a name that no object has"));
        for key in ["%", "%4", "%zz", "%+1", "%ff", "a%é"] {
            check(&with("/s3/object/key", key.into()), Err("a key that is not encoded as S3 does"));
        }
        let mut nested = event("a");
        for _ in 0..5 {
            nested = of_sns(&nested);
        }
        check(&nested, Err("neither records of S3 nor an event of it"));
    }

    proptest! {
        #[test]
        fn keys_come_back_from_their_encoding(key in "\\PC{1,60}") {
            let encoded: String = key.bytes().map(|byte| match byte {
                b' ' => "+".to_owned(),
                b if b.is_ascii_alphanumeric() => char::from(b).to_string(),
                b => format!("%{b:02x}"),
            }).collect();
            prop_assert_eq!(decoded(&encoded), Some(key));
        }

        #[test]
        fn nothing_makes_it_panic(text in "\\PC{0,80}") {
            let _ = read(&text);
            let _ = decoded(&text);
        }
    }
}
