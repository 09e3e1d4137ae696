use super::*;
use crate::extract::LogEvent;
use crate::format::object::push_integer;
use crate::parse::{self, Parsed};
use crate::record::Origin;

fn line(message: &str, unmapped: bool) -> String {
    let origin = Origin::File { path: "some \"file\"".into(), offset: 0 };
    let context = Context {
        origin: &origin,
        parse_time: "2026-11-22T08:00:00.000000001Z".parse().unwrap(),
        source_id: Some("id"),
        source_label: None,
        unmapped,
        prices: &crate::enrich::cost::Prices::default(),
    };
    let event = LogEvent { message, ..LogEvent::default() };
    let Parsed::Invocation(invocation) = parse::message(event, 128) else { panic!("no invocation") };
    let mut out = Vec::new();
    encode(&Event::new(&invocation), &context, &mut out);
    String::from_utf8(out).unwrap()
}

#[track_caller]
fn check(message: &str, expected: &str) {
    let found = line(message, true);
    let (before, after) = found.split_once(r#""p_row_id":""#).unwrap();
    let (id, after) = after.split_at(32);
    assert!(id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    assert_eq!(format!("{before}{after}"), expected, "{message}");
    serde_json::from_str::<serde_json::Value>(&found).unwrap();
}

const TAIL: &str = r#"","p_schema_version":1,"p_source_id":"id","p_source_label":"some \"file\""}"#;

#[test]
fn every_field_has_its_place() {
    let message = r#"{"timestamp":"2026-11-22T07:39:00.25+01:00","accountId":"123456789012","region":"us-east-1","requestId":"r",
        "operation":"Converse","modelId":"m","errorCode":"E","inferenceRegion":"us-west-2","status":"s","newField":[1],
        "identity":{"arn":"arn:aws:sts::123456789012:assumed-role/R/ops@example.com","who":1},
        "input":{"inputContentType":"application/json","inputBodyJson":{"a": 1},"inputTokenCount":"3","cacheReadInputTokenCount":1,
        "cacheWriteInputTokenCount":2,"inputBodyS3Path":"s3://b/k"},
        "output":{"outputContentType":"c","outputBodyJson":["[DONE]"],"outputTokenCount":4,"outputVideoDurationSeconds":6.0,
        "outputVideoFramesPerSecond":24,"outputVideoHeight":720,"outputVideoS3Path":"s3://v","outputVideoWidth":1280},
        "performanceConfig":{"latency":"optimized"},"schemaType":"ModelInvocationLog","schemaVersion":"1.0"}"#;
    let expected = [
        r#"{"accountId":"123456789012","errorCode":"E","identity":{"arn":"arn:aws:sts::123456789012:assumed-role/R/ops@example.com"},"#,
        r#""inferenceRegion":"us-west-2","input":{"cacheReadInputTokenCount":1,"cacheWriteInputTokenCount":2,"inputBodyJson":{"a": 1},"#,
        r#""inputContentType":"application/json","inputTokenCount":3},"modelId":"m","operation":"Converse","#,
        r#""output":{"outputBodyJson":["[DONE]"],"outputVideoDurationSeconds":6.0,"outputVideoFramesPerSecond":24,"outputVideoHeight":720,"#,
        r#""outputVideoS3Path":"s3://v","outputVideoWidth":1280,"outputContentType":"c","outputTokenCount":4},"#,
        r#""performanceConfig":{"latency":"optimized"},"region":"us-east-1","requestId":"r","schemaType":"ModelInvocationLog","#,
        r#""schemaVersion":"1.0","status":"s","timestamp":"2026-11-22T07:39:00.25+01:00","#,
        r#""unmapped":{"newField":[1],"identity":{"who":1},"input":{"inputBodyS3Path":"s3://b/k"}},"#,
        r#""p_any_aws_account_ids":["123456789012"],"p_any_aws_arns":["arn:aws:sts::123456789012:assumed-role/R/ops@example.com"],"#,
        r#""p_any_emails":["ops@example.com"],"p_event_time":"2026-11-22 06:39:00.250000000","p_log_type":"AWS.BedrockModelInvocation","#,
        r#""p_parse_time":"2026-11-22 08:00:00.000000001","#,
        TAIL,
    ];
    check(message, &expected.concat());
}

#[test]
fn little_makes_a_line_too() {
    let message = r#"{"timestamp":"2026-11-22 07:39:00","accountId":"","modelId":"","input":{},"output":null,"requestMetadata":null}"#;
    let expected = [
        r#"{"accountId":"","input":{},"modelId":"","timestamp":"2026-11-22 07:39:00","p_event_time":"2026-11-22 07:39:00.000000000","#,
        r#""p_log_type":"AWS.BedrockModelInvocation","p_parse_time":"2026-11-22 08:00:00.000000001","#,
        TAIL,
    ];
    check(message, &expected.concat());
}

#[test]
fn an_event_is_one_line() {
    let message = "{\"timestamp\":\"2026-11-22T07:39:00Z\",\"accountId\":\"1\",\"modelId\":\"m\",\"x\":[\r\n1],\"input\":{\"inputBodyJson\":{\n\"a\":\"\\n\"\r}}}";
    let found = line(message, true);
    assert!(!found.contains(['\n', '\r']), "{found}");
    assert!(found.contains(r#""inputBodyJson":{ "a":"\n" }"#) && found.contains(r#""x":[  1]"#), "{found}");
    assert!(!line(message, false).contains("unmapped"));
}

#[test]
fn integers() {
    for value in [0, 7, -7, 1000, i64::MAX, i64::MIN] {
        let mut out = Vec::new();
        push_integer(&mut out, value);
        assert_eq!(String::from_utf8(out).unwrap(), value.to_string());
    }
}

#[test]
fn what_was_found_stands_behind_all_else() {
    let message = r#"{"timestamp":"2026-11-22 07:39:00","accountId":"","modelId":"","input":{}}"#;
    let line = crate::format::samples::with_event(message, |event, context| {
        event.marks.findings = crate::enrich::found();
        let mut out = Vec::new();
        encode(event, context, &mut out);
        String::from_utf8(out).unwrap()
    });
    let expected = r#","bedrock_tap":{"findings":[{"rule":"tap.refused","severity":"low"},{"rule":"acme.\"x\"","severity":"high"}]}}"#;
    assert!(line.ends_with(expected), "{line}");
}
