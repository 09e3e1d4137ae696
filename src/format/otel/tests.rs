use std::collections::BTreeSet;

use serde_json::{Map as Json, Value, json};

use super::*;
use crate::body::guardrail::{Assessment, Policy, Side};
use crate::body::{Answer, Arguments, Media, Message, Request, StopReason, Tool, ToolCall, ToolResult};
use crate::enrich::Redacted;
use crate::format::Format;
use crate::format::samples::{SAMPLES, cost, each_line, line, without_prices};
use crate::invocation::RawJson;

/// The value of an `AnyValue`, or why it is none.
fn any(value: &Value) -> Result<Value, String> {
    let object = value.as_object().ok_or("no object")?;
    let mut members = object.iter();
    let (Some((kind, value)), None) = (members.next(), members.next()) else {
        return if object.is_empty() { Ok(Value::Null) } else { Err(format!("several values: {value}")) };
    };
    let fault = || format!("{kind}: {value}");
    match kind.as_str() {
        "stringValue" if value.is_string() => Ok(value.clone()),
        "boolValue" if value.is_boolean() => Ok(value.clone()),
        "doubleValue" if value.is_f64() => Ok(value.clone()),
        "intValue" => Ok(json!(value.as_str().and_then(|text| text.parse::<i64>().ok()).ok_or_else(fault)?)),
        "arrayValue" => elements(value).ok_or_else(fault)?.iter().map(any).collect(),
        "kvlistValue" => members_of(elements(value).ok_or_else(fault)?).map(Value::Object),
        _ => Err(fault()),
    }
}

fn elements(value: &Value) -> Option<&Vec<Value>> {
    let object = value.as_object()?;
    object.get("values").filter(|_| object.len() == 1)?.as_array()
}

/// The members of a list of keys and values.
fn members_of(list: &[Value]) -> Result<Json<String, Value>, String> {
    let mut members = Json::new();
    for member in list {
        let object = member.as_object().filter(|object| object.len() == 2).ok_or("no key and value")?;
        let key = object.get("key").and_then(Value::as_str).ok_or("no key")?;
        members.insert(key.to_owned(), any(object.get("value").ok_or("no value")?)?);
    }
    Ok(members)
}

/// Attributes as a map; each may stand once.
fn attributes(list: &Value) -> Json<String, Value> {
    let list = list.as_array().unwrap();
    let members = members_of(list).unwrap();
    assert_eq!(members.len(), list.len(), "an attribute stands twice: {list:?}");
    members
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// The only element of a list.
fn only(value: &Value) -> &Value {
    let [one] = value.as_array().unwrap().as_slice() else { panic!("{value}") };
    one
}

/// The resource's attributes, the log record without its attributes, and those.
fn taken_apart(line: &Value) -> (Json<String, Value>, Value, Json<String, Value>) {
    assert_eq!(keys(line), ["resourceLogs"].into());
    let logs = only(&line["resourceLogs"]);
    assert_eq!(keys(logs), ["resource", "schemaUrl", "scopeLogs"].into());
    assert_eq!(keys(&logs["resource"]), ["attributes"].into());
    let scope = only(&logs["scopeLogs"]);
    assert_eq!(keys(scope), ["logRecords", "schemaUrl", "scope"].into());
    assert_eq!(scope["scope"], json!({ "name": "bedrock-tap", "version": env!("CARGO_PKG_VERSION") }));
    let mut record = only(&scope["logRecords"]).clone();
    let list = record.as_object_mut().unwrap().remove("attributes").unwrap();
    (attributes(&logs["resource"]["attributes"]), record, attributes(&list))
}

/// The type of an attribute of the conventions 1.41.0 that these lines use, and whether every line has it.
const CONVENTIONS: &[(&str, &str, bool)] = &[
    ("aws.bedrock.guardrail.id", "string", false),
    ("aws.request_id", "string", false),
    ("error.type", "string", false),
    ("gen_ai.input.messages", "messages", false),
    ("gen_ai.operation.name", "string", true),
    ("gen_ai.output.messages", "answers", false),
    ("gen_ai.output.type", "string", false),
    ("gen_ai.provider.name", "string", true),
    ("gen_ai.request.max_tokens", "int", false),
    ("gen_ai.request.model", "string", false),
    ("gen_ai.request.stop_sequences", "string[]", false),
    ("gen_ai.request.stream", "boolean", false),
    ("gen_ai.request.temperature", "double", false),
    ("gen_ai.request.top_k", "double", false),
    ("gen_ai.request.top_p", "double", false),
    ("gen_ai.response.finish_reasons", "string[]", false),
    ("gen_ai.response.id", "string", false),
    ("gen_ai.response.model", "string", false),
    ("gen_ai.response.time_to_first_chunk", "double", false),
    ("gen_ai.system_instructions", "parts", false),
    ("gen_ai.tool.definitions", "tools", false),
    ("gen_ai.usage.cache_creation.input_tokens", "int", false),
    ("gen_ai.usage.cache_read.input_tokens", "int", false),
    ("gen_ai.usage.input_tokens", "int", false),
    ("gen_ai.usage.output_tokens", "int", false),
    ("gen_ai.usage.reasoning.output_tokens", "int", false),
    ("log.record.uid", "string", true),
    ("server.address", "string", false),
    ("server.port", "int", false),
    ("user.id", "string", false),
    ("user.name", "string", false),
];

fn is_part(part: &Value) -> bool {
    let text = |key: &str| part[key].is_string();
    match part["type"].as_str() {
        Some("text" | "reasoning") => text("content"),
        Some("tool_call") => text("name"),
        Some("tool_call_response") => part.get("response").is_some(),
        Some("uri") => text("uri") && text("modality"),
        Some("file") => text("file_id") && text("modality"),
        Some("blob") => text("modality") && part.get("content").is_none(),
        Some("json") => part.get("content").is_some(),
        _ => false,
    }
}

fn is_message(message: &Value) -> bool {
    message["role"].is_string() && message["parts"].as_array().is_some_and(|parts| parts.iter().all(is_part))
}

fn fits(kind: &str, value: &Value) -> bool {
    let each = |is: fn(&Value) -> bool| value.as_array().is_some_and(|list| !list.is_empty() && list.iter().all(is));
    match kind {
        "string" => value.as_str().is_some_and(|text| !text.is_empty()),
        "int" => value.is_i64(),
        "double" => value.is_f64(),
        "boolean" => value.is_boolean(),
        "string[]" => each(Value::is_string),
        "parts" => each(is_part),
        "messages" => each(is_message),
        "answers" => each(|message| is_message(message) && message["finish_reason"].is_string()),
        "tools" => each(|tool| tool["type"] == "function" && tool["name"].is_string()),
        _ => panic!("{kind}"),
    }
}

/// What is wrong with a log record's attributes.
fn faults(attributes: &Json<String, Value>) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, _, _) in CONVENTIONS.iter().filter(|(name, _, required)| *required && !attributes.contains_key(*name)) {
        faults.push(format!("{name} is missing"));
    }
    for (name, value) in attributes.iter().filter(|(name, _)| !name.starts_with("bedrock_tap.")) {
        match CONVENTIONS.iter().find(|(known, ..)| known == name) {
            Some((_, kind, _)) if fits(kind, value) => {}
            Some((_, kind, _)) => faults.push(format!("{name} is no {kind}: {value}")),
            None => faults.push(format!("{name} is unknown")),
        }
    }
    faults
}

#[test]
fn every_line_is_a_request_with_one_log_record() {
    each_line(Format::Otel, |line| {
        let (resource, record, attributes) = taken_apart(line);
        let known = [
            "aws.log.group.names",
            "aws.log.stream.names",
            "cloud.account.id",
            "cloud.provider",
            "cloud.region",
            "service.name",
        ];
        assert!(resource.keys().all(|key| known.contains(&key.as_str())), "{resource:?}");
        let expected = ["eventName", "observedTimeUnixNano", "severityNumber", "severityText", "timeUnixNano"].into();
        assert_eq!(keys(&record), expected);
        for time in ["timeUnixNano", "observedTimeUnixNano"] {
            record[time].as_str().unwrap().parse::<u64>().unwrap();
        }
        assert_eq!(record["eventName"], "gen_ai.client.inference.operation.details");
        let severities = [(9, "INFO"), (13, "WARN"), (17, "ERROR")];
        assert!(severities.iter().any(|(n, text)| record["severityNumber"] == *n && record["severityText"] == *text));
        assert_eq!(faults(&attributes), [""; 0], "{line:#}");
    });
}

#[test]
fn the_validator_finds_faults() {
    let check = |name: &str, value: Value, expected: &str| {
        let (_, _, mut attributes) = taken_apart(&line(Format::Otel, SAMPLES[0].record));
        attributes.insert(name.to_owned(), value);
        assert_eq!(faults(&attributes), [expected]);
    };
    check("gen_ai.system", json!("x"), "gen_ai.system is unknown");
    check("server.port", json!("443"), "server.port is no int: \"443\"");
    check(
        "gen_ai.output.messages",
        json!([{"role": "a", "parts": []}]),
        r#"gen_ai.output.messages is no answers: [{"parts":[],"role":"a"}]"#,
    );
    check("gen_ai.input.messages", json!("[]"), "gen_ai.input.messages is no messages: \"[]\"");
    assert!(any(&json!({ "intValue": 1 })).is_err() && any(&json!({ "boolValue": true, "intValue": "1" })).is_err());
    assert!(any(&json!({ "arrayValue": [] })).is_err() && any(&json!({ "doubleValue": "1" })).is_err());
}

#[test]
fn lines() {
    for sample in &SAMPLES {
        let line = line(Format::Otel, sample.record);
        let (resource, mut record, mut attributes) = taken_apart(&line);
        without_prices(&mut attributes);
        record["resource"] = Value::Object(resource);
        record["attributes"] = Value::Object(attributes);
        let expected: Value = serde_json::from_str(sample.otel).unwrap();
        assert_eq!(record, expected, "{}: {record:#}", sample.name);
    }
}

/// The attributes that `fill` writes.
fn written(fill: impl FnOnce(&mut Map<'_, '_>)) -> Value {
    let mut out = Vec::new();
    let mut object = Object::begin(&mut out, false);
    object.array("list", |array| fill(&mut Map(array)));
    object.end();
    let attributes = attributes(&serde_json::from_slice::<Value>(&out).unwrap()["list"]);
    let mut faults = faults(&attributes);
    faults.retain(|fault| !fault.ends_with("is missing"));
    assert_eq!(faults, [""; 0], "{attributes:#?}");
    Value::Object(attributes)
}

fn text(text: &'static str) -> Text<'static> {
    Text::of_json(text)
}

#[test]
fn parts_and_tools() {
    let media = |kind, media_type, uri| {
        Part::Media(Media { kind, media_type: Some(text(media_type)), name: None, bytes: Some(3), uri })
    };
    let call = |arguments| Part::ToolCall(ToolCall { id: Some(text("1")), name: text("f"), arguments });
    let result = |parts| Part::ToolResult(ToolResult { id: None, is_error: false, parts });
    let user = vec![
        call(Arguments::Text(text(r#" {\"a\": [1, 2.0]} "#))),
        call(Arguments::Text(text(r#"{\"a\": [1, "#))),
        call(Arguments::Text(text(""))),
        call(Arguments::Json(RawJson("\"x\\n\""))),
        result(vec![Part::Text(text("a"))]),
        result(vec![Part::Text(text("a")), Part::Json(RawJson("{}"))]),
        result(vec![]),
        Part::Reasoning(text("")),
        media(MediaKind::Image, "image/png", None),
        media(MediaKind::Audio, "mp3", Some(text("file-1"))),
        media(MediaKind::Document, "zip", Some(text("https:\\/\\/example.com\\/a"))),
    ];
    let request = Request {
        system: vec![Part::Text(text("be kind"))],
        messages: vec![Message::new("user", user)],
        tools: vec![
            Tool {
                name: text("f"),
                description: Some(text("does it")),
                schema: Some(RawJson(r#"{"type":"object","n":-1}"#)),
            },
            Tool::default(),
        ],
        ..Request::default()
    };
    let expected = json!({
        "gen_ai.system_instructions": [{ "type": "text", "content": "be kind" }],
        "gen_ai.input.messages": [{ "role": "user", "parts": [
            { "type": "tool_call", "id": "1", "name": "f", "arguments": { "a": [1, 2.0] } },
            { "type": "tool_call", "id": "1", "name": "f", "arguments": "{\"a\": [1, " },
            { "type": "tool_call", "id": "1", "name": "f" },
            { "type": "tool_call", "id": "1", "name": "f", "arguments": "x\n" },
            { "type": "tool_call_response", "response": "a" },
            { "type": "tool_call_response", "response": [{ "type": "text", "content": "a" }, { "type": "json", "content": {} }] },
            { "type": "tool_call_response", "response": [] },
            { "type": "reasoning", "content": "" },
            { "type": "blob", "modality": "image", "mime_type": "image/png", "size": 3 },
            { "type": "file", "file_id": "file-1", "modality": "audio", "mime_type": "audio/mpeg", "size": 3 },
            { "type": "uri", "uri": "https://example.com/a", "modality": "document", "size": 3 },
        ]}],
        "gen_ai.tool.definitions": [
            { "type": "function", "name": "f", "description": "does it", "parameters": { "type": "object", "n": -1 } },
            { "type": "function", "name": "" },
        ],
    });
    assert_eq!(written(|attributes| message::request(attributes, &request)), expected);
}

#[test]
fn finish_reasons() {
    for (word, expected) in [
        (Some("end_turn"), "stop"),
        (Some("stop_sequence"), "stop"),
        (Some("tool_calls"), "tool_call"),
        (Some("length"), "length"),
        (Some("guardrail_intervened"), "content_filter"),
        (Some("refusal"), "content_filter"),
        (Some("malformed_tool_use"), "error"),
        (Some("pause_turn_of_a_kind"), "pause_turn_of_a_kind"),
        (None, "unknown"),
    ] {
        let messages = vec![Message::new("assistant", vec![Part::Text(text("a"))])];
        let answer = Answer { messages, stop_reason: word.map(text), ..Answer::default() };
        let found = written(|attributes| message::answer(attributes, &answer, word.map(StopReason::of)));
        assert_eq!(found["gen_ai.output.messages"][0]["finish_reason"], expected, "{word:?}");
    }
}

#[test]
fn json_is_structured_as_far_as_decoders_follow() {
    let value =
        |json: &str| written(|map| map.set("bedrock_tap.x", |any| any.json(RawJson(json))))["bedrock_tap.x"].clone();
    for json in [
        "null",
        "true",
        "-7",
        "1.5",
        "\"a\\u0000\\ud83d\\ude00\"",
        "[]",
        "{}",
        r#" { "a\n" : [ { "b" : null } , 2 ] } "#,
    ] {
        assert_eq!(value(json), serde_json::from_str::<Value>(json).unwrap(), "{json}");
    }
    assert_eq!(value("1e999"), json!("1e999"), "what is no finite number stands as text");
    assert_eq!(value("99999999999999999999"), json!(1e20));
    let deep = format!("{}1{}", "[".repeat(120), "]".repeat(120));
    let mut found = value(&deep);
    for _ in 0..20 {
        found = found[0].clone();
    }
    assert_eq!(found, json!(format!("{}1{}", "[".repeat(100), "]".repeat(100))));
    for broken in ["{\"a\":1,", "[1,{\"b\"", "", "{\"a\":nope}", "\"", "[\"\\"] {
        value(broken);
    }
}

#[test]
fn tokens_include_cached_ones() {
    let check = |input, cache_read, cache_write, expected: Value| {
        let usage = Usage { input, cache_read, cache_write, ..Usage::default() };
        assert_eq!(written(|attributes| super::usage(attributes, &usage))["gen_ai.usage.input_tokens"], expected);
    };
    check(Some(3), Some(1789), Some(10), json!(1802));
    check(Some(3), None, None, json!(3));
    check(None, Some(5), None, Value::Null);
    check(Some(i64::MAX), Some(i64::MAX), Some(1), json!(i64::MAX));
}

#[test]
fn operations() {
    let check = |operation: &str, model: &str, input: &str, output: &str, expected: &str| {
        let record = format!(
            r#"{{"timestamp":"2026-11-20T10:00:00Z","accountId":"1","modelId":"{model}","operation":"{operation}",
            "input":{{"inputBodyJson":{input}}},"output":{{"outputBodyJson":{output}}}}}"#
        );
        let (_, _, attributes) = taken_apart(&line(Format::Otel, &record));
        assert_eq!(attributes["gen_ai.operation.name"], expected, "{record}");
    };
    check("Converse", "m", "null", "null", "chat");
    check("InvokeModel", "m", r#"{"messages":[],"prompt":"a"}"#, "null", "chat");
    check("InvokeModel", "m", r#"{"message":"a","chat_history":[]}"#, "null", "chat");
    check("InvokeModel", "m", r#"{"prompt":"a"}"#, "null", "text_completion");
    check("InvokeModel", "m", r#"{"inputText":"a"}"#, r#"{"results":[{"outputText":"b"}]}"#, "text_completion");
    check("InvokeModel", "m", r#"{"inputText":"a"}"#, r#"{"embedding":[1]}"#, "embeddings");
    check("InvokeModel", "cohere.embed-english-v3", r#"{"texts":["a"]}"#, "null", "embeddings");
    check("InvokeModel", "m", r#"{"prompt":"a"}"#, r#"{"images":["AA"]}"#, "generate_content");
    check("InvokeModel", "m", r#"{"taskType":"TEXT_IMAGE"}"#, "null", "generate_content");
    check("StartAsyncInvoke", "m", "null", "null", "generate_content");
    check("", "m", "null", "null", "chat");
}

#[test]
fn only_the_runtime_has_a_known_address() {
    let check = |operation: &str, region: &str, expected: Value| {
        let record = json!({ "timestamp": "2026-11-20T10:00:00Z", "accountId": "1", "modelId": "m", "operation": operation, "region": region });
        let (_, _, attributes) = taken_apart(&line(Format::Otel, &record.to_string()));
        assert_eq!(attributes.get("server.address").unwrap_or(&Value::Null), &expected, "{record}");
    };
    check("Converse", "us-gov-west-1", json!("bedrock-runtime.us-gov-west-1.amazonaws.com"));
    check("InvokeModel", "cn-north-1", json!("bedrock-runtime.cn-north-1.amazonaws.com.cn"));
    check("Responses", "us-east-1", Value::Null);
    check("Converse", "", Value::Null);
    check("Converse", "evil.example/", Value::Null);
}

#[test]
fn parameters_guardrails_costs_and_marks() {
    let parameters = Parameters {
        max_tokens: Some(5),
        temperature: Some("1"),
        top_p: Some("1e999"),
        top_k: Some(40),
        stop_sequences: vec![text("\\n"), text("")],
        stream: Some(true),
    };
    let expected = json!({
        "gen_ai.request.max_tokens": 5, "gen_ai.request.temperature": 1.0, "gen_ai.request.top_k": 40.0,
        "gen_ai.request.stop_sequences": ["\n", ""],
    });
    assert_eq!(written(|attributes| super::parameters(attributes, &parameters)), expected);

    let found = Assessment {
        side: Side::Input,
        policy: Policy::Topic,
        name: None,
        kind: None,
        confidence: None,
        strength: None,
        action: Some(text("BLOCKED")),
        detected: None,
        matched: None,
        score: None,
        threshold: None,
    };
    let guardrail = Guardrail {
        intervened: true,
        action: Some(text("INTERVENED")),
        id: Some(text("arn:aws:bedrock:us-east-1:1:guardrail/gr-1")),
        version: Some(text("3")),
        assessments: vec![found],
        ..Guardrail::default()
    };
    let expected = json!({
        "aws.bedrock.guardrail.id": "gr-1", "bedrock_tap.guardrail.intervened": true, "bedrock_tap.guardrail.version": "3",
        "bedrock_tap.guardrail.action": "INTERVENED", "bedrock_tap.guardrail.policies": ["topic"],
    });
    assert_eq!(written(|attributes| super::guardrail(attributes, true, Some(&guardrail))), expected);
    assert_eq!(written(|attributes| super::guardrail(attributes, false, None)), json!({}));

    let expected = json!({
        "bedrock_tap.cost.usd": 1.500503, "bedrock_tap.cost.input_usd": 0.000001, "bedrock_tap.cost.output_usd": 0.000002,
        "bedrock_tap.cost.cache_read_usd": 0.0, "bedrock_tap.cost.cache_write_usd": 0.0005,
        "bedrock_tap.cost.guardrail_usd": 1.5, "bedrock_tap.cost.price_date": "2026-11-01",
        "bedrock_tap.cost.price_key": "anthropic.claude-3-haiku-20240307-v1:0", "bedrock_tap.cost.price_basis": "exact",
    });
    assert_eq!(written(|attributes| super::cost(attributes, Some(&cost()))), expected);

    let redacted = Redacted { masked: [("email".to_owned(), 2)].into(), bodies: Some("dropped") };
    let marks = Marks {
        input_body: Some("fetched"),
        output_body: None,
        redacted: Some(redacted),
        findings: crate::enrich::found(),
    };
    let expected = json!({
        "bedrock_tap.input_body": "fetched", "bedrock_tap.redacted.bodies": "dropped",
        "bedrock_tap.redacted.masked": { "email": 2 },
        "bedrock_tap.findings": [
            { "rule": "tap.refused", "severity": "low" }, { "rule": "acme.\"x\"", "severity": "high" }
        ],
    });
    assert_eq!(written(|attributes| super::marks(attributes, &marks)), expected);
}
