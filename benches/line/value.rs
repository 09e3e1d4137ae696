//! The straightforward program: flate2 and `serde_json::Value` from one end to the other, as anybody would write it
//! first. It is what the line is held against, and, having nothing in common with it, what it is checked by.

use std::io::Read as _;

use flate2::bufread::MultiGzDecoder;
use jiff::Timestamp;
use jiff::tz::Offset;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

/// The schema's fields of the record itself.
const FIELDS: [&str; 11] = [
    "accountId",
    "errorCode",
    "inferenceRegion",
    "modelId",
    "operation",
    "region",
    "requestId",
    "schemaType",
    "schemaVersion",
    "status",
    "timestamp",
];
/// The schema's objects and their fields.
const SECTIONS: [(&str, &[&str]); 4] = [
    ("identity", &["arn"]),
    (
        "input",
        &[
            "cacheReadInputTokenCount",
            "cacheWriteInputTokenCount",
            "inputBodyJson",
            "inputContentType",
            "inputTokenCount",
        ],
    ),
    (
        "output",
        &[
            "outputBodyJson",
            "outputVideoDurationSeconds",
            "outputVideoFramesPerSecond",
            "outputVideoHeight",
            "outputVideoS3Path",
            "outputVideoWidth",
            "outputContentType",
            "outputTokenCount",
        ],
    ),
    ("performanceConfig", &["latency"]),
];

/// Takes one record from its bytes to lines of JSON in `out`, and gives the number of lines.
pub(crate) fn process(data: &[u8], source: &str, parse_time: Timestamp, out: &mut Vec<u8>) -> usize {
    let mut json = Vec::new();
    MultiGzDecoder::new(data).read_to_end(&mut json).expect("the corpus is gzip");
    let envelope: Value = serde_json::from_slice(&json).expect("the corpus is JSON");
    if envelope["messageType"] != "DATA_MESSAGE" {
        return 0;
    }
    let mut lines = 0;
    for event in envelope["logEvents"].as_array().into_iter().flatten() {
        let Some(message) = event["message"].as_str().filter(|message| message.starts_with('{')) else { continue };
        let Ok(Value::Object(record)) = serde_json::from_str(message) else { continue };
        let line = panther(record, source, parse_time);
        serde_json::to_writer(&mut *out, &line).expect("memory takes everything");
        out.push(b'\n');
        lines += 1;
    }
    lines
}

fn panther(mut record: Map<String, Value>, source: &str, parse_time: Timestamp) -> Value {
    record.retain(|_, value| !value.is_null());
    let mut line = Map::new();
    for field in FIELDS {
        if let Some(value) = record.remove(field) {
            line.insert(field.to_owned(), value);
        }
    }
    let mut unmapped = Map::new();
    for (name, fields) in SECTIONS {
        let Some(Value::Object(mut section)) = record.remove(name) else { continue };
        section.retain(|_, value| !value.is_null());
        let mut known = Map::new();
        for field in fields {
            if let Some(value) = section.remove(*field) {
                known.insert((*field).to_owned(), value);
            }
        }
        line.insert(name.to_owned(), Value::Object(known));
        if !section.is_empty() {
            unmapped.insert(name.to_owned(), Value::Object(section));
        }
    }
    unmapped.append(&mut record);
    if !unmapped.is_empty() {
        line.insert("unmapped".to_owned(), Value::Object(unmapped));
    }
    standard_fields(&mut line, source, parse_time);
    Value::Object(line)
}

fn standard_fields(line: &mut Map<String, Value>, source: &str, parse_time: Timestamp) {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let account = text(line.get("accountId"));
    let arn = text(line.get("identity").and_then(|identity| identity.get("arn")));
    let time: Timestamp = text(line.get("timestamp")).parse().expect("the corpus has timestamps");
    let row_id = row_id(&account, line, time);

    let mut accounts = Vec::new();
    if is_account(&account) {
        accounts.push(account);
    }
    if let Some(parts) = arn.strip_prefix("arn:").map(|rest| rest.splitn(5, ':').collect::<Vec<_>>())
        && let [_, service, _, owner, resource] = parts.as_slice()
    {
        if is_account(owner) && !accounts.iter().any(|known| known == owner) {
            accounts.push((*owner).to_owned());
        }
        if let Some(instance) = resource.strip_prefix("instance/i-") {
            line.insert("p_any_aws_instance_ids".to_owned(), json!([format!("i-{instance}")]));
        }
        let session = resource.strip_prefix("assumed-role/").and_then(|rest| rest.split('/').nth(1));
        if let Some(session) = session.filter(|session| *service == "sts" && session.contains('@')) {
            line.insert("p_any_emails".to_owned(), json!([session]));
        }
        line.insert("p_any_aws_arns".to_owned(), json!([arn]));
    }
    accounts.sort();
    line.insert("p_any_aws_account_ids".to_owned(), json!(accounts));
    line.insert("p_event_time".to_owned(), panther_time(time));
    line.insert("p_parse_time".to_owned(), panther_time(parse_time));
    line.insert("p_log_type".to_owned(), json!("AWS.BedrockModelInvocation"));
    line.insert("p_row_id".to_owned(), json!(row_id));
    line.insert("p_schema_version".to_owned(), json!(1));
    line.insert("p_source_id".to_owned(), json!(source));
    line.insert("p_source_label".to_owned(), json!(source));
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn panther_time(time: Timestamp) -> Value {
    json!(Offset::UTC.to_datetime(time).strftime("%Y-%m-%d %H:%M:%S.%9f").to_string())
}

fn row_id(account: &str, line: &Map<String, Value>, time: Timestamp) -> String {
    let text = |key: &str| line.get(key).and_then(Value::as_str).unwrap_or_default();
    let time = time.as_nanosecond().to_le_bytes();
    let (region, request) = (text("region"), text("requestId"));
    let parts: [&[u8]; 7] = [
        account.as_bytes(),
        region.as_bytes(),
        b"request",
        request.as_bytes(),
        &time,
        text("operation").as_bytes(),
        text("modelId").as_bytes(),
    ];
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}
