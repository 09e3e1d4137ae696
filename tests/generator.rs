//! The generator's promises: the same for the same seed, every record of a shape that AWS writes, exact counts.

// Helpers outside test functions fail by panicking, as the tests do.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;

use bedrock_tap::generator::{Generated, Generator, LOG_GROUP, Profile};
use serde_json::Value;

/// The envelope in a record: one gzip member and nothing after it.
fn envelope(record: &Generated) -> Value {
    let mut json = Vec::new();
    let mut decoder = flate2::bufread::GzDecoder::new(record.data.as_slice());
    decoder.read_to_end(&mut json).unwrap();
    assert!(decoder.into_inner().is_empty(), "bytes after the gzip member");
    assert_eq!(json.len(), record.inflated_bytes);
    serde_json::from_slice(&json).unwrap()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} is no string"))
}

/// Calls `check` with every invocation of the first `records` records.
fn each_invocation(profile: Profile, records: usize, mut check: impl FnMut(&Value)) {
    let mut generator = Generator::new(7, profile);
    for _ in 0..records {
        let record = generator.record();
        for event in envelope(&record)["logEvents"].as_array().unwrap() {
            if let Ok(invocation) = serde_json::from_str::<Value>(text(event, "message"))
                && invocation["schemaType"] == "ModelInvocationLog"
            {
                check(&invocation);
            }
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_records() {
    let records = |seed| {
        let mut generator = Generator::new(seed, Profile::bench());
        (0..40).map(|_| generator.record().data).collect::<Vec<_>>()
    };
    assert_eq!(records(1), records(1));
    assert_ne!(records(1), records(2));

    // The demo's events happen now, so only their time may differ.
    let ids = || {
        let mut generator = Generator::new(5, Profile::demo());
        (0..40).flat_map(|_| generator.record().request_ids).collect::<Vec<_>>()
    };
    assert_eq!(ids(), ids());
}

#[test]
fn envelopes_have_the_shape_of_a_subscription() {
    for (name, profile) in [("demo", Profile::demo()), ("bench", Profile::bench())] {
        let mut generator = Generator::new(11, profile);
        let mut ids = BTreeSet::new();
        let mut requests = BTreeSet::new();
        for _ in 0..150 {
            let record = generator.record();
            let envelope = envelope(&record);
            let events = envelope["logEvents"].as_array().unwrap();
            assert_eq!(events.len(), record.request_ids.len() + record.others as usize, "{name}");
            if record.control {
                assert_eq!(text(&envelope, "messageType"), "CONTROL_MESSAGE");
                assert_eq!((text(&envelope, "owner"), text(&envelope, "logGroup")), ("CloudwatchLogs", ""));
                continue;
            }
            assert_eq!(text(&envelope, "messageType"), "DATA_MESSAGE");
            assert_eq!(envelope["subscriptionFilters"].as_array().unwrap().len(), 1);
            let owner = text(&envelope, "owner");
            assert_eq!(owner.len(), 12);
            assert_eq!(record.request_ids.is_empty(), text(&envelope, "logGroup") != LOG_GROUP);
            let mut found = Vec::new();
            for event in events {
                let id = text(event, "id");
                assert!(id.len() == 56 && id.bytes().all(|byte| byte.is_ascii_digit()), "{name}: {id}");
                assert!(ids.insert(id.to_owned()), "{name}: {id} twice");
                assert!(event["timestamp"].as_i64().unwrap() > 1_700_000_000_000);
                let Ok(invocation) = serde_json::from_str::<Value>(text(event, "message")) else { continue };
                if let Some(request) = invocation["requestId"].as_str() {
                    assert_eq!(text(&invocation, "accountId"), owner, "an event of another account");
                    found.push(request.to_owned());
                }
            }
            assert_eq!(found, record.request_ids, "{name}");
            requests.extend(found);
        }
        let total: usize = requests.len();
        assert!(total > 150, "{name}: {total} distinct requests");
    }
}

#[test]
fn a_record_is_small_enough_for_a_stream() {
    let mut generator = Generator::new(12, Profile::bench());
    let most = (0..300).map(|_| generator.record().data.len()).max().unwrap();
    // A Kinesis record holds 1 MiB by default.
    assert!(most < 1024 * 1024, "{most} bytes");
}

#[test]
fn at_most_as_many_invocations_as_asked() {
    let mut generator = Generator::new(13, Profile::bench());
    for limit in [1, 2, 3] {
        let counts: Vec<usize> = (0..60).map(|_| generator.record_of_at_most(limit).request_ids.len()).collect();
        assert!(counts.iter().all(|count| *count <= limit) && counts.contains(&limit), "{limit}: {counts:?}");
    }
    let events =
        serde_json::from_slice::<Value>(&generator.envelope(17)).unwrap()["logEvents"].as_array().unwrap().len();
    assert_eq!(events, 17);
}

#[test]
fn special_records_are_what_they_say() {
    let mut generator = Generator::new(14, Profile::demo());
    let control = generator.control();
    assert!(control.control && control.request_ids.is_empty() && control.others == 1);
    assert_eq!(text(&envelope(&control), "messageType"), "CONTROL_MESSAGE");
    let notice = envelope(&generator.notice());
    assert_eq!(text(&notice["logEvents"][0], "message"), "Permissions are correctly set for Amazon Bedrock logs.");
    let other = envelope(&generator.of_another_group());
    assert_ne!(text(&other, "logGroup"), LOG_GROUP);
    assert_eq!(text(&other, "policyLevel"), "ACCOUNT_LEVEL_POLICY");
}

#[test]
fn the_header_is_that_of_cloudwatch() {
    let record = Generator::new(15, Profile::bench()).record();
    assert_eq!(record.data.get(..10), Some([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0].as_slice()));
}

#[test]
fn every_invocation_has_the_required_fields() {
    for profile in [Profile::demo(), Profile::bench()] {
        each_invocation(profile, 120, |invocation| {
            for key in ["accountId", "region", "requestId", "operation", "modelId", "schemaVersion"] {
                assert!(!text(invocation, key).is_empty(), "{key}");
            }
            let timestamp: jiff::Timestamp = text(invocation, "timestamp").parse().unwrap();
            assert!(timestamp.as_second() > 1_700_000_000);
            assert!(text(&invocation["identity"], "arn").starts_with("arn:aws:"));
            assert!(text(invocation, "modelId").contains('.') || text(invocation, "modelId").contains("/"));
            if invocation["errorCode"].is_null() {
                assert!(invocation["input"]["inputTokenCount"].is_u64(), "{}", invocation["operation"]);
            }
        });
    }
}

#[test]
fn token_counts_match_the_text() {
    each_invocation(Profile::bench(), 80, |invocation| {
        let (input, output) = (&invocation["input"], &invocation["output"]);
        let count = |side: &Value, key: &str| side[key].as_u64().unwrap_or(0);
        let read = count(input, "inputTokenCount")
            + count(input, "cacheReadInputTokenCount")
            + count(input, "cacheWriteInputTokenCount");
        let bodies = [(&input["inputBodyJson"], read), (&output["outputBodyJson"], count(output, "outputTokenCount"))];
        for (body, tokens) in bodies {
            // A failed call has no counts, a logged-elsewhere body no text, and a stream more frame than text.
            if tokens > 0 && body.is_object() {
                let bytes_a_token = body.to_string().len() as f64 / tokens as f64;
                assert!((2.0..120.0).contains(&bytes_a_token), "{bytes_a_token} in {body}");
            }
        }
    });
}

/// Every shape that the generator promises turns up.
#[test]
fn every_shape_turns_up() {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut operations = BTreeSet::new();
    let mut errors = BTreeSet::new();
    let mut models = BTreeSet::new();
    each_invocation(Profile::demo(), 1_500, |invocation| {
        operations.insert(text(invocation, "operation").to_owned());
        models.insert(text(invocation, "modelId").to_owned());
        errors.extend(invocation["errorCode"].as_str().map(str::to_owned));
        let (input, output) = (&invocation["input"], &invocation["output"]);
        let body = &output["outputBodyJson"];
        let last = body.as_array().and_then(|events| events.iter().rev().find(|event| event.is_object()));
        let has = |value: &Value, key: &str| value.get(key).is_some();
        let shapes = [
            ("body delivery off", has(output, "outputTokenCount") && !has(output, "outputBodyJson")),
            ("null body with a path", has(input, "inputBodyS3Path") && input["inputBodyJson"].is_null()),
            ("output path", has(output, "outputBodyS3Path")),
            ("empty sides", input.as_object().is_some_and(serde_json::Map::is_empty)),
            ("no sides", !has(invocation, "input") && has(invocation, "errorCode")),
            ("stream metrics", last.is_some_and(|last| has(last, "amazon-bedrock-invocationMetrics"))),
            ("bare [DONE]", body.as_array().is_some_and(|events| events.last() == Some(&Value::from("[DONE]")))),
            ("stream guardrail", last.is_some_and(|last| last["amazon-bedrock-guardrailAction"] == "INTERVENED")),
            ("guardrail", body["stopReason"] == "guardrail_intervened" && has(&body["trace"], "guardrail")),
            ("tool use", body["stopReason"] == "tool_use"),
            ("Anthropic tool use", body["stop_reason"] == "tool_use"),
            ("embedding", body["embedding"].is_array() || body["embeddings"].is_array()),
            ("Llama", has(body, "generation")),
            ("Mistral", has(body, "outputs")),
            ("Command", has(body, "generation_id")),
            ("chat completion", body["object"] == "chat.completion"),
            ("response", body["object"] == "response"),
            ("reasoning stream", body[0]["choices"][0]["message"]["reasoning_content"].is_string()),
            ("Nova stream", has(&body[0], "messageStart")),
            ("Anthropic stream", body[0]["type"] == "message_start"),
            ("responses stream", body[0]["type"] == "response.created"),
            ("cached", input["cacheReadInputTokenCount"].as_u64().is_some_and(|tokens| tokens > 0)),
            ("null metadata", invocation.get("requestMetadata") == Some(&Value::Null)),
            ("metadata", invocation["requestMetadata"].is_object()),
            ("inference region", has(invocation, "inferenceRegion")),
            ("performance", has(invocation, "performanceConfig")),
            ("e-mail session", text(&invocation["identity"], "arn").contains('@')),
            ("user", text(&invocation["identity"], "arn").contains(":user/")),
            ("fraction of a second", text(invocation, "timestamp").contains('.')),
            ("application profile", text(invocation, "modelId").contains("application-inference-profile/")),
            ("media", input.to_string().contains("_input_media_00.pdf")),
        ];
        for (shape, present) in shapes {
            *seen.entry(shape).or_default() += usize::from(present);
        }
    });
    let missing: Vec<_> = seen.iter().filter(|(_, count)| **count == 0).collect();
    assert!(missing.is_empty(), "never seen: {missing:?}");
    let expected = ["ChatCompletions", "Converse", "ConverseStream", "InvokeModel", "InvokeModelWithResponseStream"];
    assert!(expected.iter().chain(&["Responses"]).all(|operation| operations.contains(*operation)), "{operations:?}");
    for code in ["ThrottlingException", "ValidationException", "AccessDeniedException", "validation_error"] {
        assert!(errors.contains(code), "{code} in {errors:?}");
    }
    for vendor in ["anthropic.", "amazon.nova", "amazon.titan", "meta.", "mistral.", "cohere.", "deepseek.", "openai."]
    {
        assert!(models.iter().any(|model| model.contains(vendor)), "{vendor}");
    }
}
