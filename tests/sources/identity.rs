//! One call is one event with one identity, whichever way it comes in: sinks that know an event by it take no doubles.

use std::io::Write as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bedrock_tap::format::Format;
use bedrock_tap::pipeline::{Line, Parcel, Settings};
use bedrock_tap::record::{Origin, Record, SequenceNumber, ShardId};
use serde_json::{Value, json};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The lines that a record becomes, without what speaks of its way.
fn lines(data: Vec<u8>, origin: Origin) -> Vec<Value> {
    let mut line = Line::new(Settings { outputs: vec![Format::Panther.into()], ..Settings::default() });
    let mut parcel = Parcel::default();
    line.process(&Record::new(data.into(), origin), jiff::Timestamp::UNIX_EPOCH, &mut parcel);
    assert_eq!(parcel.tally.rejects.len(), 0, "{:?}", parcel.tally);
    let value = |line: &str| {
        let mut value: Value = serde_json::from_str(line).unwrap();
        let members = value.as_object_mut().unwrap();
        assert!(members.remove("p_source_id").is_some() && members.remove("p_source_label").is_some());
        value
    };
    std::str::from_utf8(parcel.outputs[0].bytes()).unwrap().lines().map(value).collect()
}

#[test]
fn a_call_is_the_same_event_on_every_way() {
    let call = |id: &str| {
        json!({
            "timestamp": "2026-01-02T03:04:05Z", "accountId": "123456789012", "region": "eu-central-1",
            "requestId": id, "operation": "InvokeModel", "modelId": "vendor.model-v1:0",
            "identity": {"arn": "arn:aws:iam::123456789012:user/reader"},
            "input": {"inputContentType": "application/json", "inputTokenCount": 3, "inputBodyJson": {"text": "a \"b\"\n\u{fc}"}},
            "output": {"outputBodyJson": {"text": "c"}, "outputTokenCount": 5},
            "schemaType": "ModelInvocationLog", "schemaVersion": "1.0"
        })
    };
    let (calls, name) = ([call("first"), call("second")], |text: &str| Arc::<str>::from(text));
    let text = calls.each_ref().map(Value::to_string);
    let objects = text.join("\n");
    let event = |(index, message): (usize, &String)| json!({"id": format!("3{index}"), "timestamp": 1_767_323_045_000_i64, "message": message});
    let envelope = |with_id: bool| {
        let mut events: Vec<Value> = text.iter().enumerate().map(event).collect();
        if !with_id {
            events.iter_mut().for_each(|event| drop(event.as_object_mut().unwrap().remove("id")));
        }
        let envelope = json!({
            "messageType": "DATA_MESSAGE", "owner": "123456789012", "logGroup": "bedrock",
            "logStream": "aws/bedrock/modelinvocations", "subscriptionFilters": [], "logEvents": events
        });
        envelope.to_string().into_bytes()
    };
    let kinesis = Origin::Kinesis {
        stream: name("calls"),
        shard: ShardId::new("shardId-000000000000"),
        sequence: SequenceNumber::new("4959").unwrap(),
        arrival: None,
    };
    let s3 = Origin::S3 { bucket: name("logs"), key: name("a/b.json.gz"), offset: 0 };
    let logs = Origin::CloudWatch { log_group: name("bedrock") };
    let firehose = Origin::Firehose { source: name("arn"), request: name("id"), index: 0 };
    let expected = lines(gzip(&envelope(true)), kinesis);
    assert_eq!(expected.len(), 2);
    assert_ne!(expected[0]["p_row_id"], expected[1]["p_row_id"]);
    let wrapped = json!({"records": [{"data": STANDARD.encode(gzip(&envelope(true)))}]}).to_string();
    let answer = json!({"events": text.iter().enumerate().map(|(index, message)| {
        json!({"eventId": format!("3{index}"), "logStreamName": "s", "timestamp": 1, "message": message})
    }).collect::<Vec<_>>()})
    .to_string();
    let ways: [(&str, Vec<u8>, Origin); 6] = [
        ("an object of lines", gzip(objects.as_bytes()), s3.clone()),
        ("an envelope of the API", envelope(true), logs.clone()),
        ("an envelope of a live tail, which has no ids", envelope(false), logs),
        ("an answer of FilterLogEvents", answer.into_bytes(), s3),
        ("a record of Firehose", gzip(&envelope(true)), firehose.clone()),
        ("a body of Firehose", wrapped.into_bytes(), firehose),
    ];
    for (way, data, origin) in ways {
        assert_eq!(lines(data, origin), expected, "{way}");
    }
}
