use serde_json::{Value as Json, json};

use super::*;
use crate::body::Parameters;
use crate::enrich::Marks;
use crate::enrich::cost::Prices;
use crate::extract::LogEvent;
use crate::parse::{self, Parsed};
use crate::record::Origin;

/// The line of a message, and what `bedrock_tap.cost` has to be in it.
fn line(message: &str, marks: Marks) -> (String, Json) {
    let origin = Origin::File { path: "file".into(), offset: 0 };
    let prices = Prices::default();
    let parse_time = "2026-11-22T08:00:00Z".parse().unwrap();
    let context =
        Context { origin: &origin, parse_time, source_id: None, source_label: None, unmapped: true, prices: &prices };
    let event = LogEvent { message, ..LogEvent::default() };
    let Parsed::Invocation(invocation) = parse::message(event, 128) else { panic!("no invocation") };
    let original = Event::new(&invocation);
    let event = original.with_invocation(&invocation, marks);
    let mut out = Vec::new();
    encode(&event, &context, &mut out);
    let cost = event.cost(&prices).map(|cost| {
        json!({
            "input": cost.input.as_f64(), "output": cost.output.as_f64(), "cache_read": cost.cache_read.as_f64(),
            "cache_write": cost.cache_write.as_f64(), "guardrail": cost.guardrail.as_f64(), "total": cost.total.as_f64(),
            "price_key": cost.price_key, "price_date": cost.price_date, "price_basis": cost.basis.as_str(),
        })
    });
    (String::from_utf8(out).unwrap(), cost.unwrap_or_default())
}

fn document(message: &str) -> Json {
    serde_json::from_str(&line(message, Marks::default()).0).unwrap()
}

/// Compares a whole document. What every document has is not repeated in the expected ones: the version of ECS, the
/// record in `event.original`, the id, the cost, and names that never change.
#[track_caller]
fn check(message: &str, mut expected: Json) {
    let (line, cost) = line(message, Marks::default());
    assert!(!line.contains(['\n', '\r']), "{line}");
    let found: Json = serde_json::from_str(&line).unwrap();
    let id = found["event"]["id"].as_str().unwrap();
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    expected["ecs"] = json!({"version": "8.11.0"});
    for (key, value) in [
        ("id", json!(id)),
        ("kind", json!("event")),
        ("module", json!("aws_bedrock")),
        ("dataset", json!("aws_bedrock.invocation")),
        ("original", json!(message)),
    ] {
        expected["event"][key] = value;
    }
    expected["cloud"]["provider"] = json!("aws");
    expected["cloud"]["service"] = json!({"name": "bedrock"});
    if !cost.is_null() {
        expected["bedrock_tap"]["cost"] = cost;
    }
    assert_eq!(found, expected, "{found:#}");
}

/// Broken into lines, as a record in a file may be.
const CONVERSE: &str = r#"{
  "schemaType": "ModelInvocationLog", "schemaVersion": "1.0", "timestamp": "2026-10-07T07:51:59.25Z",
  "accountId": "123456789012", "region": "us-east-2", "inferenceRegion": "us-west-2", "requestId": "request-1",
  "operation": "Converse", "modelId": "us.anthropic.claude-haiku-4-5-20251001-v1:0",
  "identity": {"arn": "arn:aws:sts::123456789012:assumed-role/App/ana@example.com"},
  "input": {
    "inputContentType": "application/json", "inputTokenCount": 12, "cacheReadInputTokenCount": 100,
    "inputBodyJson": {"system": [{"text": "Be brief."}],
      "messages": [{"role": "user", "content": [{"text": "Who is \"Ana\"?\n"}]}]}
  },
  "output": {
    "outputContentType": "application/json", "outputTokenCount": 7,
    "outputBodyJson": {
      "output": {"message": {"role": "assistant", "content": [{"text": "Write to {EMAIL}."}]}},
      "stopReason": "guardrail_intervened", "metrics": {"latencyMs": 840},
      "trace": {"guardrail": {"actionReason": "Guardrail masked.", "outputAssessments": {"gr1": [
        {"sensitiveInformationPolicy": {
          "piiEntities": [
            {"match": "ana@example.com", "type": "EMAIL", "action": "ANONYMIZED", "detected": true},
            {"match": "bo@example.com", "type": "EMAIL", "action": "ANONYMIZED", "detected": true}],
          "regexes": [{"name": "ticket", "match": "T-1", "action": "BLOCKED"}]},
         "topicPolicy": {"topics": [{"name": "Tariffs", "type": "DENY", "action": "BLOCKED", "detected": true}]},
         "contentPolicy": {"filters": [
            {"type": "HATE", "confidence": "NONE", "action": "NONE", "detected": false},
            {"type": "INSULTS", "confidence": "LOW", "action": "NONE", "detected": true}]}}
      ]}}}
    }
  }
}"#;

#[test]
fn a_masked_answer_of_converse() {
    let record: Json = serde_json::from_str(CONVERSE).unwrap();
    let bytes = |from: &str, to: &str| CONVERSE.split_once(from).unwrap().1.split_once(to).unwrap().0.len();
    let request = bytes("\"inputBodyJson\": ", "\n  },\n  \"output\"");
    let response = bytes("\"outputBodyJson\": ", "\n  }\n}");
    let arn = "arn:aws:sts::123456789012:assumed-role/App/ana@example.com";
    let expected = json!({
        "@timestamp": "2026-10-07T07:51:59.25Z",
        "event": {"action": "Converse", "outcome": "failure"},
        "cloud": {"account": {"id": "123456789012"}, "region": "us-east-2"},
        "user": {"id": arn},
        "aws_bedrock": {"invocation": {
            "input": {
                "input_body_json": record["input"]["inputBodyJson"], "input_content_type": "application/json",
                "input_token_count": 12,
            },
            "model_id": "us.anthropic.claude-haiku-4-5-20251001-v1:0",
            "output": {
                "output_body_json": record["output"]["outputBodyJson"], "output_content_type": "application/json",
                "output_token_count": 7,
            },
            "request_id": "request-1", "schema_type": "ModelInvocationLog", "schema_version": "1.0",
        }},
        "gen_ai": {
            "completion": "Write to {EMAIL}.",
            "compliance": {"violation_code": ["EMAIL", "ticket", "DENY", "INSULTS"], "violation_detected": true},
            "performance": {"request_size": request, "response_size": response, "response_time": 840},
            "policy": {
                "action": ["ANONYMIZED", "BLOCKED", "NONE"], "confidence": ["LOW"],
                "match_detail": {
                    "sensitive_information_policy": ["ana@example.com", "bo@example.com", "T-1"], "topic_policy": ["Tariffs"],
                },
                "name": ["topic_policy", "content_policy", "sensitive_information_policy"],
            },
            "prompt": "Be brief.\nWho is \"Ana\"?\n",
            "request": {"id": "request-1", "model": {
                "id": "us.anthropic.claude-haiku-4-5-20251001-v1:0", "role": "assistant", "type": "claude-haiku-4-5", "version": "20251001-v1:0",
            }},
            "response": {"finish_reasons": ["guardrail_intervened"], "timestamp": "2026-10-07T07:51:59.25Z"},
            "system": "anthropic",
            "usage": {"completion_tokens": 7, "prompt_tokens": 12},
            "user": {"id": arn},
        },
        "bedrock_tap": {"usage": {"cache_read": 100}},
    });
    check(CONVERSE, expected);
}

#[test]
fn a_stream() {
    let request = json!({"messages": [{"role": "user", "content": "Say hi."}]});
    let answer = json!([
        {"type": "message_start", "message": {"id": "msg_1", "model": "claude-x", "role": "assistant", "usage": {"input_tokens": 3, "output_tokens": 1}}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "H"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "i."}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
        {"type": "message_stop", "amazon-bedrock-guardrailAction": "NONE",
            "amazon-bedrock-invocationMetrics": {"invocationLatency": 551, "firstByteLatency": 120}},
        "[DONE]",
    ]);
    let message = json!({
        "timestamp": "2026-10-07T07:51:59Z", "accountId": "123456789012", "region": "us-east-2", "requestId": "request-2",
        "operation": "InvokeModelWithResponseStream", "modelId": "anthropic.claude-x",
        "input": {"inputBodyJson": request, "inputTokenCount": 3},
        "output": {"outputBodyJson": answer, "outputTokenCount": 2},
    });
    let expected = json!({
        "@timestamp": "2026-10-07T07:51:59Z",
        "event": {"action": "InvokeModelWithResponseStream", "outcome": "success"},
        "cloud": {"account": {"id": "123456789012"}, "region": "us-east-2"},
        "aws_bedrock": {"invocation": {
            "input": {"input_body_json": request, "input_token_count": 3},
            "model_id": "anthropic.claude-x",
            "output": {"output_body_json": answer, "output_token_count": 2},
            "request_id": "request-2",
        }},
        "gen_ai": {
            "completion": "Hi.",
            "compliance": {"violation_detected": false},
            "performance": {
                "request_size": request.to_string().len(), "response_size": answer.to_string().len(), "response_time": 551,
                "start_response_time": 120,
            },
            "policy": {"action": ["NONE"]},
            "prompt": "Say hi.",
            "request": {"id": "request-2", "model": {"id": "anthropic.claude-x", "role": "assistant", "type": "claude-x"}},
            "response": {"finish_reasons": ["end_turn"], "id": "msg_1", "model": "claude-x", "timestamp": "2026-10-07T07:51:59Z"},
            "system": "anthropic",
            "usage": {"completion_tokens": 2, "prompt_tokens": 3},
        },
    });
    check(&message.to_string(), expected);
}

#[test]
fn an_image() {
    let request = json!({"taskType": "IMAGE_VARIATION", "imageVariationParams": {"images": ["aGk="], "text": "a heron", "negativeText": "rain", "other": 1},
        "imageGenerationConfig": {"numberOfImages": 2, "quality": "premium", "cfgScale": 6.5, "height": 512, "width": 256, "seed": 42, "more": {"x": 1}}});
    let answer = json!({"images": ["aGV5", "eW91"], "error": "one image was filtered"});
    let message = json!({
        "timestamp": "2026-10-07T07:51:59Z", "accountId": "123456789012", "region": "us-east-1", "requestId": "request-3",
        "operation": "InvokeModel", "modelId": "amazon.example-image-v2:0",
        "input": {"inputBodyJson": request}, "output": {"outputBodyJson": answer},
    });
    let found = document(&message.to_string());
    let expected = json!({
        "error": "one image was filtered",
        "image_generation_config": {"cfg_scale": 6.5, "height": 512, "number_of_images": 2, "quality": "premium", "seed": 42, "width": 256},
        "image_variation_params": {"images": ["aGk="], "negative_text": "rain", "text": "a heron"},
        "images": ["aGV5", "eW91"],
        "input": {"input_body_json": request},
        "model_id": "amazon.example-image-v2:0",
        "output": {"output_body_json": answer},
        "request_id": "request-3",
        "task_type": "IMAGE_VARIATION",
    });
    assert_eq!(found["aws_bedrock"]["invocation"], expected, "{found:#}");
    assert_eq!(found["event"]["outcome"], "failure", "it says so");
}

#[test]
fn an_image_of_stability() {
    let answer = json!({"result": "success", "artifacts": [{"seed": 1, "base64": "aGk=", "finishReason": "SUCCESS"}]});
    let message = json!({"timestamp": "2026-10-07T07:51:59Z", "accountId": "1", "modelId": "stability.example-xl-v1",
        "output": {"outputBodyJson": answer}});
    let found = document(&message.to_string());
    let invocation = json!({
        "artifacts": answer["artifacts"], "model_id": "stability.example-xl-v1", "output": {"output_body_json": answer}, "result": "success",
    });
    assert_eq!(found["aws_bedrock"]["invocation"], invocation, "{found:#}");
    assert_eq!(found["gen_ai"]["system"], "stability");
}

#[test]
fn a_failed_call() {
    let arn = "arn:aws:bedrock:us-east-2:123456789012:application-inference-profile/a1b2c3";
    let message = json!({
        "timestamp": "2026-10-07T04:38:17Z", "accountId": "123456789012", "region": "us-east-2", "requestId": "request-4",
        "operation": "ChatCompletions", "modelId": arn, "identity": {"arn": "arn:aws:iam::123456789012:user/ana"},
        "errorCode": "validation_error", "input": {}, "output": null,
    });
    let expected = json!({
        "@timestamp": "2026-10-07T04:38:17Z",
        "event": {"action": "ChatCompletions", "outcome": "failure"},
        "cloud": {"account": {"id": "123456789012"}, "region": "us-east-2"},
        "user": {"id": "arn:aws:iam::123456789012:user/ana"},
        "aws_bedrock": {"invocation": {"error_code": "validation_error", "model_id": arn, "request_id": "request-4"}},
        "gen_ai": {
            "request": {"id": "request-4", "model": {"id": arn}},
            "response": {"error_code": "validation_error"},
            "user": {"id": "arn:aws:iam::123456789012:user/ana"},
        },
    });
    check(&message.to_string(), expected);
}

#[test]
fn little_makes_a_document_too() {
    let message = r#"{"timestamp":"2026-10-07T04:38:17Z","accountId":"","modelId":"","region":"","operation":"","errorCode":"","identity":{"arn":""},
        "input":{"inputBodyJson":null,"inputTokenCount":9,"inputBodyS3Path":"s3://bucket/key_input.json.gz"}}"#;
    let expected = json!({
        "@timestamp": "2026-10-07T04:38:17Z",
        "event": {"outcome": "success"},
        "aws_bedrock": {"invocation": {"input": {"input_body_s3_path": "s3://bucket/key_input.json.gz", "input_token_count": 9}}},
        "gen_ai": {"usage": {"prompt_tokens": 9}},
    });
    check(message, expected);
}

#[test]
fn a_large_body_is_whole_and_also_told_by_its_hash() {
    let record = |body: &str| {
        format!(
            r#"{{"timestamp":"2026-10-07T04:38:17Z","accountId":"1","modelId":"m","input":{{"inputBodyJson":{body}}}}}"#
        )
    };
    let body = format!(r#"{{"prompt": "{}"}}"#, "a".repeat(40_000));
    let input = &document(&record(&body))["aws_bedrock"]["invocation"]["input"];
    assert_eq!(input["input_body_json"], serde_json::from_str::<Json>(&body).unwrap());
    assert_eq!(input["input_body_json_massive_length"], 40_014);
    assert_eq!(
        input["input_body_json_massive_hash"],
        "d92f5d47758e15a6720eb554637d00d8c03841f5a4a0fe41117b9d1ce5334760"
    );
    let largest = format!(r#"{{"p":"{}"}}"#, "a".repeat((32 << 10) - 8));
    let input = &document(&record(&largest))["aws_bedrock"]["invocation"]["input"];
    assert_eq!(input["input_body_json"].as_object().unwrap().len(), 1);
    assert_eq!(input.as_object().unwrap().len(), 1, "neither length nor hash");
}

#[test]
fn parameters_have_their_names() {
    let parameters = Parameters {
        max_tokens: Some(300),
        temperature: Some("0.50"),
        top_p: Some("1e-1"),
        top_k: Some(5),
        ..Parameters::default()
    };
    let mut out = Vec::new();
    let mut object = Object::begin(&mut out, false);
    gen_ai::parameters(&mut object, &parameters);
    object.end();
    assert_eq!(String::from_utf8(out).unwrap(), r#"{"max_tokens":300,"temperature":0.50,"top_k":5,"top_p":1e-1}"#);
}

#[test]
fn marks_stand_beside_what_elastic_has_no_name_for() {
    let marks = Marks { input_body: Some("fetched"), findings: crate::enrich::found(), ..Marks::default() };
    let found: Json = serde_json::from_str(&line(CONVERSE, marks).0).unwrap();
    assert_eq!(found["rule"], json!({"id": ["tap.refused", "acme.\"x\""]}));
    let expected = json!([{"rule": "tap.refused", "severity": "low"}, {"rule": "acme.\"x\"", "severity": "high"}]);
    assert_eq!(found["bedrock_tap"]["findings"], expected);
    assert_eq!(found["bedrock_tap"]["input_body"], "fetched");
    assert_eq!(found["bedrock_tap"]["usage"], json!({"cache_read": 100}));
}

#[test]
fn odd_values_make_no_odd_fields() {
    for value in [json!(1), json!([]), json!({}), json!({"a": [1]}), json!(true), json!(""), json!([[["x"]]])] {
        let body = json!({"taskType": value, "imageGenerationConfig": value, "imageVariationParams": {"text": {"a": 1}}, "result": value, "error": value});
        for body in [body, value] {
            let message = json!({"timestamp": "2026-10-07T04:38:17Z", "accountId": "1", "modelId": "m",
                "input": {"inputBodyJson": body}, "output": {"outputBodyJson": body}});
            let found = document(&message.to_string());
            let expected =
                json!({"input": {"input_body_json": body}, "model_id": "m", "output": {"output_body_json": body}});
            assert_eq!(found["aws_bedrock"]["invocation"], expected, "{message}");
        }
    }
}
