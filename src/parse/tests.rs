use super::*;

fn record(replace: &[(&str, &str)]) -> String {
    let mut fields = vec![
        ("schemaType", r#""ModelInvocationLog""#),
        ("timestamp", r#""2026-11-22T07:39:00.5Z""#),
        ("accountId", r#""123456789012""#),
        ("modelId", r#""amazon.nova-micro-v1:0""#),
    ];
    for (key, value) in replace {
        fields.retain(|(known, _)| known != key);
        if !value.is_empty() {
            fields.push((key, value));
        }
    }
    let fields: Vec<_> = fields.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
    format!("{{{}}}", fields.join(","))
}

fn read(text: &str) -> Parsed<'_> {
    message(LogEvent { message: text, ..LogEvent::default() }, 128)
}

#[track_caller]
fn invocation(text: &str) -> Box<Invocation<'_>> {
    match read(text) {
        Parsed::Invocation(invocation) => invocation,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn check_fault(replace: &[(&str, &str)], reason: Reason, detail: &str) {
    match read(&record(replace)) {
        Parsed::Fault(fault) => assert_eq!((fault.stage, fault.reason, &*fault.detail), (Stage::Parse, reason, detail)),
        other => panic!("{replace:?}: {other:?}"),
    }
}

#[test]
fn whole_numbers() {
    let check = |value: &str, expected: Option<i64>| {
        let text = record(&[("input", &format!("{{\"inputTokenCount\":{value}}}"))]);
        assert_eq!(invocation(&text).input.as_ref().unwrap().input_token_count, expected, "{value}");
    };
    for (value, expected) in [
        ("0", Some(0)),
        ("42", Some(42)),
        ("-7", Some(-7)),
        ("\"42\"", Some(42)),
        ("\"007\"", Some(7)),
        ("\"+7\"", Some(7)),
        ("\"\"", None),
        ("null", None),
        ("1e3", Some(1000)),
        ("1.50e1", Some(15)),
        ("12.0", Some(12)),
        ("-0.0", Some(0)),
        ("0e999", Some(0)),
        ("\"1.0\"", Some(1)),
        ("9223372036854775807", Some(i64::MAX)),
        ("-9223372036854775808", Some(i64::MIN)),
        ("\"\\u0034\"", Some(4)),
        ("0e-5", Some(0)),
        ("100e-2", Some(1)),
        ("-120.0e-1", Some(-12)),
        ("922337203685477580.7e1", Some(i64::MAX)),
    ] {
        check(value, expected);
    }
    let expected = "a whole number or the text of one";
    for value in
        ["1.5", "1e-1", "9223372036854775808", "1e400", "\"x\"", "\" 1\"", "\"1,000\"", "\"0x10\"", "\"NaN\"", "\"1 \""]
    {
        let detail = format!("input.inputTokenCount: expected {expected} from -2^63 to 2^63-1, found another");
        check_fault(&[("input", &format!("{{\"inputTokenCount\":{value}}}"))], Reason::InvalidNumber, &detail);
    }
    for (value, kind) in [("true", "a boolean"), ("[1]", "an array"), ("{}", "an object")] {
        let detail = format!("output.outputTokenCount: expected {expected}, found {kind}");
        check_fault(&[("output", &format!("{{\"outputTokenCount\":{value}}}"))], Reason::WrongType, &detail);
    }
}

#[test]
fn floats_keep_their_digits() {
    let check = |value: &str, expected: Option<&str>| {
        let text = record(&[("output", &format!("{{\"outputVideoDurationSeconds\":{value}}}"))]);
        let output = invocation(&text).output.clone().unwrap();
        assert_eq!(
            output.output_video_duration_seconds.map(|number| number.0.into_owned()).as_deref(),
            expected,
            "{value}"
        );
    };
    for (value, expected) in [
        ("6", Some("6")),
        ("6.040", Some("6.040")),
        ("-1e-7", Some("-1e-7")),
        ("\"6.25\"", Some("6.25")),
        ("\"\\u0036.50\"", Some("6.50")),
        ("\"+1.5\"", Some("1.5")),
        ("\".5\"", Some("0.5")),
        ("\"1.\"", Some("1")),
        ("\"\"", None),
        ("null", None),
    ] {
        check(value, expected);
    }
    for value in ["\"six\"", "\"NaN\"", "\"inf\"", "1e999", "\"0x1\"", "\" 1\""] {
        let detail = "output.outputVideoDurationSeconds: expected a number or the text of one, found another";
        check_fault(
            &[("output", &format!("{{\"outputVideoDurationSeconds\":{value}}}"))],
            Reason::InvalidNumber,
            detail,
        );
    }
}

#[test]
fn strings() {
    let check = |value: &str, expected: Option<&str>| {
        let text = record(&[("status", value)]);
        assert_eq!(invocation(&text).status.map(|text| text.0), expected, "{value}");
    };
    check("\"ok\"", Some("ok"));
    check("\"\"", Some(""));
    check("\"a\\\"\\u00e9\\ud800\"", Some("a\\\"\\u00e9\\ud800"));
    check("true", Some("true"));
    check("12.50", Some("12.50"));
    check("null", None);
    for (value, kind) in [("{}", "an object"), ("[]", "an array")] {
        let detail = format!("status: expected a string, a number or a boolean, found {kind}");
        check_fault(&[("status", value)], Reason::WrongType, &detail);
    }
    check_fault(
        &[("identity", r#"{"arn":{}}"#)],
        Reason::WrongType,
        "identity.arn: expected a string, a number or a boolean, found an object",
    );
    check_fault(&[("input", "\"text\"")], Reason::WrongType, "input: expected an object, found a string");
    check_fault(
        &[("performanceConfig", "[]")],
        Reason::WrongType,
        "performanceConfig: expected an object, found an array",
    );
}

#[test]
fn required_fields() {
    for field in ["timestamp", "accountId", "modelId"] {
        let detail = format!("{field}: required, found nothing");
        check_fault(&[(field, "")], Reason::MissingField, &detail);
        check_fault(&[(field, "null")], Reason::MissingField, &detail);
    }
    check_fault(&[("timestamp", "\"\"")], Reason::MissingField, "timestamp: required, found nothing");
    let empty = record(&[("accountId", "\"\""), ("modelId", "\"\"")]);
    assert_eq!((invocation(&empty).account_id.0, invocation(&empty).model_id.0), ("", ""));
    check_fault(
        &[("timestamp", "\"yesterday\"")],
        Reason::InvalidTimestamp,
        "timestamp: expected RFC 3339, found other text",
    );
    check_fault(
        &[("timestamp", "1790000000")],
        Reason::WrongType,
        "timestamp: expected a string in RFC 3339, found a number",
    );
}

#[test]
fn keys_are_case_sensitive_and_the_last_one_counts() {
    check_fault(
        &[("accountId", ""), ("accountID", "\"1\"")],
        Reason::MissingField,
        "accountId: required, found nothing",
    );
    let text = r#"{"modelId":"a","timestamp":"2026-11-22T07:39:00Z","accountId":"1","input":{"inputTokenCount":1,"x":1},"input":{"y":2,"z":1,"z":null,"y":3},"modelId":"b","mod\u0065lId":"c"}"#;
    let invocation = invocation(text);
    assert_eq!(invocation.model_id.0, "c");
    assert_eq!(invocation.input.as_ref().unwrap().input_token_count, None);
    let unknown: Vec<_> = invocation.unknown.iter().map(|field| (field.section, field.key.0, field.value.0)).collect();
    assert_eq!(unknown, [(Section::Input, "y", "3")]);
}

#[test]
fn bodies_and_unknown_fields_stay_as_they_came() {
    let body = "{ \"a\" : [1.0, 1e2,\n\"\\u00e9\\/\\ud800\"] , \"a\":null}";
    let text = record(&[
        ("input", &format!("{{\"inputBodyJson\":{body},\"inputBodyS3Path\":\"s3://b/k\",\"gone\":null}}")),
        ("output", "{\"outputBodyJson\":null,\"outputContentType\":null}"),
        ("requestMetadata", "{\"k\": \"v\"}"),
        ("newNull", "null"),
    ]);
    let invocation = invocation(&text);
    assert_eq!(invocation.input.as_ref().unwrap().input_body_json.map(|body| body.0), Some(body));
    assert_eq!(invocation.output, Some(Output::default()));
    let unknown: Vec<_> = invocation.unknown.iter().map(|field| (field.section, field.key.0, field.value.0)).collect();
    assert_eq!(
        unknown,
        [(Section::Input, "inputBodyS3Path", "\"s3://b/k\""), (Section::Top, "requestMetadata", "{\"k\": \"v\"}")]
    );
}

#[test]
fn other_records_are_not_invocations_whatever_their_fields_hold() {
    for text in [
        "plain text",
        "[1,2]",
        "null",
        "{}",
        r#"{"schemaType":"Other","modelId":"a"}"#,
        r#"{"input":{},"output":7}"#,
        r#"{"operation":["x"],"timestamp":5}"#,
    ] {
        assert!(matches!(read(text), Parsed::Skip(Skip::NotInvocation)), "{text}");
    }
    for text in
        [r#"{"schemaType":"ModelInvocationLog"}"#, r#"{"modelId":null}"#, r#"{"requestId":"r","input":{},"output":{}}"#]
    {
        assert!(matches!(read(text), Parsed::Fault(_)), "{text}");
    }
    assert!(matches!(read(" Permissions are correctly set for Amazon Bedrock logs.\n"), Parsed::Skip(Skip::Notice)));
}

#[test]
fn broken_text_names_the_place_and_nothing_else() {
    let check = |text: &str, reason: Reason, detail: &str| match read(text) {
        Parsed::Fault(fault) => assert_eq!((fault.reason, &*fault.detail), (reason, detail), "{text}"),
        other => panic!("{text}: {other:?}"),
    };
    check(r#"{"modelId":"secret"#, Reason::InvalidJson, "a string without an end at byte 18");
    check(r#"{"modelId":secret}"#, Reason::InvalidJson, "expected a value at byte 11");
    check(r#"{"modelId":"a"} {"#, Reason::InvalidJson, "expected the end after the object at byte 16");
    check(
        r#"{"input":{"inputBodyJson":{"a":[1,]}}}"#,
        Reason::InvalidJson,
        "unexpected punctuation or value at byte 34",
    );
    let deep = format!(r#"{{"input":{{"inputBodyJson":{}{}}}}}"#, "[".repeat(127), "]".repeat(127));
    check(&deep, Reason::TooDeep, "nested deeper than the limit at byte 152");
}

#[test]
fn an_identity_comes_from_what_identifies_the_call() {
    let id = |text: &str, event: Option<&str>| {
        let event = LogEvent { message: text, id: event, ..LogEvent::default() };
        match message(event, 128) {
            Parsed::Invocation(invocation) => invocation.row_id(),
            other => panic!("{other:?}"),
        }
    };
    let one = record(&[("requestId", "\"r1\"")]);
    assert_eq!(id(&one, Some("e1")), id(&one, Some("e2")), "a redelivery under another event id");
    assert_eq!(id(&one, Some("e1")), id(&one, None), "the same record from S3");
    let rewritten = record(&[("requestId", "\"\\u0072\\u0031\""), ("timestamp", "\"2026-11-22T09:39:00.500+02:00\"")]);
    assert_eq!(id(&one, None), id(&rewritten, None), "the same values, written otherwise");
    for other in [
        ("requestId", "\"r2\""),
        ("region", "\"eu-west-1\""),
        ("accountId", "\"1\""),
        ("modelId", "\"m\""),
        ("operation", "\"Converse\""),
    ] {
        let other = record(&[("requestId", "\"r1\""), other]);
        assert_ne!(id(&one, None), id(&other, None), "{other}");
    }
    let bare = record(&[]);
    assert_ne!(id(&bare, Some("e1")), id(&bare, Some("e2")));
    assert_ne!(id(&bare, None), id(&record(&[("status", "1")]), None));
    assert_eq!(id(&bare, None), id(&bare, None));
    assert_ne!(id(&bare, Some("")), id(&record(&[("status", "1")]), Some("")), "an empty id is none");
}
