use super::*;
use crate::enrich::with_event;

fn line(message: &str) -> String {
    with_event(message, |event, context| {
        let mut out = Vec::new();
        encode(event, context, &mut out);
        String::from_utf8(out).unwrap()
    })
}

/// A record with the given bodies; an empty one is not there.
fn record(fields: &str, input: &str, output: &str) -> String {
    let section = |name: &str, body: &str| match body {
        "" => String::new(),
        body => format!(r#","{name}":{{"{name}BodyJson":{body}}}"#),
    };
    let (input, output) = (section("input", input), section("output", output));
    format!(
        r#"{{"timestamp":"2026-11-22T07:39:00.25Z","accountId":"123456789012","modelId":"m"{fields}{input}{output}}}"#
    )
}

/// Compares members of the view, each as JSON; null stands for one that is absent.
#[track_caller]
fn check(message: &str, expected: &[(&str, &str)]) {
    let line = line(message);
    assert!(!line.contains(['\n', '\r']), "{line}");
    let view: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
    for (path, expected) in expected {
        let found = view.pointer(&format!("/{path}")).unwrap_or(&serde_json::Value::Null);
        assert_eq!(*found, serde_json::from_str::<serde_json::Value>(expected).unwrap(), "{path} of {line}");
    }
}

#[test]
fn what_is_not_known_is_left_out() {
    let expected = concat!(
        r#","time":"2026-11-22T07:39:00.25Z","account":"123456789012","model_id":"m","model":"m","parameters":{},"tools":[],"#,
        r#""system":[],"messages":[],"prompt_text":"","user_text":"","tool_result_text":"","answer":[],"answer_text":"","tool_call_text":"","tool_calls":[],"usage":{},"bytes":{}}"#,
    );
    for message in [record("", "", ""), record(r#","region":"","errorCode":"","requestMetadata":null"#, "null", "null")]
    {
        let line = line(&message);
        let (id, rest) = line.split_at(r#"{"id":""#.len() + 33);
        assert!(id.starts_with(r#"{"id":""#) && id.ends_with('"'), "{id}");
        assert_eq!(rest, expected);
    }
}

#[test]
fn every_part_of_a_conversation_has_its_place() {
    let input = r#"{"system":[{"text":"Be \"brief\".\n"}],
        "messages":[
            {"role":"user","content":[{"text":"\u00d7"},{"image":{"format":"png","source":{"s3Location":{"uri":"s3://b/k"}}}}]},
            {"role":"assistant","content":[{"toolUse":{"toolUseId":"t1","name":"get","input":{"a":
                [1, "x\ny"]}}}]},
            {"role":"user","content":[{"toolResult":{"toolUseId":"t1","status":"error","content":[{"json":{"b":
                null}},{"text":"no"}]}}]}],
        "inferenceConfig":{"temperature":0.5}}"#;
    let output = r#"{"output":{"message":{"role":"assistant","content":[{"reasoningContent":{"reasoningText":{"text":"hm"}}},
        {"text":"Yes"}]}},"stopReason":"end_turn","usage":{"inputTokens":3,"outputTokens":2,"totalTokens":5},
        "metrics":{"latencyMs":12}}"#;
    check(
        &record(r#","operation":"ConverseStream","requestMetadata":{"team": "a"},"requestId":"r""#, input, output),
        &[
            ("system", r#"[{"type":"text","text":"Be \"brief\".\n"}]"#),
            ("messages/0/content/0", r#"{"type":"text","text":"×"}"#),
            ("messages/0/content/1/type", r#""image""#),
            ("messages/1/content/0", r#"{"type":"tool_call","id":"t1","name":"get","arguments":{"a":[1,"x\ny"]}}"#),
            (
                "messages/2/content/0",
                r#"{"type":"tool_result","id":"t1","is_error":true,
                    "content":[{"type":"json","json":{"b":null}},{"type":"text","text":"no"}]}"#,
            ),
            ("prompt_text", r#""Be \"brief\".\n\n×""#),
            ("user_text", r#""×""#),
            ("tool_result_text", r#""no""#),
            ("answer/0/content/0", r#"{"type":"reasoning","text":"hm"}"#),
            ("answer_text", r#""Yes""#),
            ("stop_reason", r#""end_turn""#),
            ("usage/input", "3"),
            ("latency_ms", "12"),
            ("metadata", r#"{"team":"a"}"#),
            ("request_id", r#""r""#),
            ("streamed", "true"),
        ],
    );
}

#[test]
fn arguments_that_came_as_text_are_json_where_they_can_be() {
    let check = |text: &str, expected: &str, words: &str| {
        let text = serde_json::to_string(text).unwrap();
        let output = format!(
            r#"{{"choices":[{{"message":{{"role":"assistant","tool_calls":[
                {{"id":"c","function":{{"name":"f","arguments":{text}}}}}]}},"finish_reason":"tool_calls"}}]}}"#
        );
        let members =
            [("tool_calls/0/arguments", expected), ("tool_call_text", words), ("stop_reason", r#""tool_use""#)];
        check(&record("", "", &output), &members);
    };
    check("{\"a\":\n\r\n [1,\t\"×\\n\"]}\n", r#"{"a":[1,"×\n"]}"#, r#""a: ×\n""#);
    check("{\"a\":{\"b\":\"x\"},\"\\\"\":\"y\"}", r#"{"a":{"b":"x"},"\"":"y"}"#, r#""b: x\n\": y""#);
    check("5", "5", r#""""#);
    check("", "null", r#""""#);
    check("{\"a\": ", r#""{\"a\": ""#, r#""{\"a\": ""#);
    check("{} {}", r#""{} {}""#, r#""{} {}""#);
    check("{\"a\":\"\n\"}", r#""{\"a\":\"\n\"}""#, r#""{\"a\":\"\n\"}""#);
    check("\u{1}\"\\", r#""\u0001\"\\""#, r#""\u0001\"\\""#);
}

#[test]
fn words_are_told_apart_by_who_said_them() {
    let input = r#"{"system":"S","messages":[{"role":"system","content":"T"},{"role":"user","content":"U"},
        {"role":"assistant","content":[{"type":"text","text":"A"},{"type":"tool_use","id":"t","name":"n","input":{"q":"Q"}}]},
        {"role":"USER","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"R \u00d7"}]},
            {"type":"text","text":"V"}]}]}"#;
    let output = r#"{"content":[{"type":"text","text":"B"},{"type":"tool_use","id":"u","name":"n","input":
        {"command":"ls","n":[1,"\n"]}}],"stop_reason":"tool_use"}"#;
    check(
        &record("", input, output),
        &[
            ("prompt_text", r#""S\nT\nU\nA\nV""#),
            ("user_text", r#""U\nV""#),
            ("tool_result_text", r#""R ×""#),
            ("answer_text", r#""B""#),
            ("tool_call_text", r#""command: ls\nn: \n""#),
        ],
    );
    let turns = r#"{"chat_history":[{"role":"CHATBOT","message":"A"},{"role":"USER","message":"U"}],"message":"V"}"#;
    check(&record("", turns, ""), &[("user_text", r#""U\nV""#), ("tool_result_text", r#""""#)]);
    check(&record("", r#"{"prompt":"P"}"#, ""), &[("user_text", r#""P""#)]);
}

#[test]
fn models_and_streams_are_told_from_the_record() {
    for (id, model) in [
        ("us.amazon.nova-micro-v1:0", "us.amazon.nova-micro-v1:0"),
        ("arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-micro-v1:0", "amazon.nova-micro-v1:0"),
        (r"arn:aws:bedrock:us-east-1:1:application-inference-profile\/abc", "abc"),
    ] {
        let message = record("", "", "").replace(r#""modelId":"m""#, &format!(r#""modelId":"{id}""#));
        check(&message, &[("model", &format!("\"{model}\""))]);
    }
    for (operation, input, output, streamed) in [
        ("InvokeModelWithResponseStream", "", "", "true"),
        ("Converse", "", "{}", "false"),
        ("InvokeModel", r#"{"stream":true}"#, "{}", "false"),
        ("InvokeModel", "", "[{}]", "true"),
        ("", "", "[{}]", "true"),
        ("", "", "{}", "null"),
        ("ChatCompletions", r#"{"stream":true}"#, "{}", "true"),
        ("Responses", "", "[{}]", "true"),
        ("InvokeModelWithResponseStream", r#"{"stream":false}"#, "", "true"),
    ] {
        let operation = if operation.is_empty() { String::new() } else { format!(r#","operation":"{operation}""#) };
        check(&record(&operation, input, output), &[("streamed", streamed)]);
    }
}

#[test]
fn metadata_stand_beside_the_body_or_in_it() {
    let inside = r#"{"requestMetadata":{"team":"a"}}"#;
    for (fields, input, expected) in [
        ("", inside, r#"{"team":"a"}"#),
        (r#","requestMetadata":null"#, inside, r#"{"team":"a"}"#),
        (r#","requestMetadata":{"team":"b"}"#, inside, r#"{"team":"b"}"#),
        (r#","requestMetadata":"x""#, "{}", "null"),
        ("", r#"{"requestMetadata":[1]}"#, "null"),
    ] {
        check(&record(fields, input, ""), &[("metadata", expected)]);
    }
}

/// What `[select]` checks names against is what is written.
#[test]
fn the_names_inside_are_those_that_are_written() {
    use crate::body::guardrail::{Assessment, Coverage, Guardrail, Policy, Side};
    use crate::body::{Embeddings, Parameters, Text, Usage};
    use crate::enrich::cost::{Basis, Cost, Usd};
    let text = || Some(Text::of_json("a"));
    let usage = Usage {
        input: Some(1),
        output: Some(1),
        cache_read: Some(1),
        cache_write: Some(1),
        cache_write_1h: Some(1),
        reasoning: Some(1),
        total: Some(1),
        total_is_off: true,
    };
    let parameters = Parameters {
        max_tokens: Some(1),
        temperature: Some("0.50"),
        top_p: Some("1e-1"),
        top_k: Some(1),
        stop_sequences: vec![Text::of_json("\\n")],
        stream: Some(true),
    };
    let assessment = Assessment {
        side: Side::Output,
        policy: Policy::Content,
        name: text(),
        kind: text(),
        confidence: text(),
        strength: text(),
        action: text(),
        detected: Some(true),
        matched: text(),
        score: Some("0.9"),
        threshold: Some("0.9, \"x\": 1"),
    };
    let guardrail = Guardrail {
        intervened: true,
        action: text(),
        action_reason: text(),
        id: text(),
        version: text(),
        assessments: vec![assessment],
        text_coverage: Some(Coverage { guarded: 1, total: 2 }),
        image_coverage: Some(Coverage::default()),
        units: vec![(Text::of_json("topicPolicyUnits"), 3)],
        latency_ms: Some(1),
    };
    let cost = Cost {
        input: Usd(1_500_000),
        output: Usd(0),
        cache_read: Usd(0),
        cache_write: Usd(0),
        guardrail: Usd(0),
        total: Usd(1_500_000),
        price_key: "k".into(),
        price_date: Some("2026-01-01".into()),
        basis: Basis::Exact,
    };
    let mut out = Vec::new();
    let mut to = Object::begin(&mut out, true);
    figures::parameters("parameters", &mut to, &parameters);
    figures::usage("usage", &mut to, &usage);
    figures::embeddings("embeddings", &mut to, Some(Embeddings { count: 2, dimensions: 3 }));
    figures::guardrail("guardrail", &mut to, Some(&guardrail));
    figures::cost("cost", &mut to, Some(&cost));
    figures::bytes("bytes", &mut to, (Some(1), Some(2)));
    to.end();
    let written: serde_json::Map<_, _> = serde_json::from_slice(&out).unwrap();
    let names = |value: &serde_json::Value| {
        let mut names: Vec<_> = value.as_object().unwrap().keys().cloned().collect();
        names.sort();
        names
    };
    for member in MEMBERS.iter().filter(|member| !member.inside.is_empty()) {
        let mut inside = member.inside.to_vec();
        inside.sort_unstable();
        assert_eq!(names(&written[member.name]), inside, "{}", member.name);
    }
    assert_eq!(written.len(), MEMBERS.iter().filter(|member| !member.inside.is_empty()).count());
    assert_eq!(written["parameters"]["stop_sequences"], serde_json::json!(["\n"]));
    assert_eq!(written["cost"]["total"], serde_json::json!(1.5e-6));
    let found = &written["guardrail"]["assessments"][0];
    assert_eq!(
        (&found["score"], found.get("threshold")),
        (&serde_json::json!(0.9), None),
        "what is no number is left out"
    );
    assert_eq!(written["guardrail"]["units"], serde_json::json!({"topicPolicyUnits": 3}));
}

#[test]
fn what_was_found_can_be_asked_for() {
    let line = crate::format::samples::with_event(&record("", "", ""), |event, context| {
        event.marks.findings = crate::enrich::found();
        let mut out = Vec::new();
        encode(event, context, &mut out);
        serde_json::from_slice::<serde_json::Value>(&out).unwrap()
    });
    let expected =
        serde_json::json!([{"rule": "tap.refused", "severity": "low"}, {"rule": "acme.\"x\"", "severity": "high"}]);
    assert_eq!(line["bedrock_tap"]["findings"], expected);
}
