use serde_json::{Value as Json, json};

use super::*;
use crate::invocation::RawJson;

/// Evidence as JSON: what is not there is left out.
fn shown(found: &Guardrail<'_>) -> Json {
    let text = |text: &Option<Text<'_>>| text.as_ref().map(|text| text.decode().into_owned());
    let coverage = |coverage: Option<Coverage>| coverage.map(|coverage| json!([coverage.guarded, coverage.total]));
    let assessments = found.assessments.iter().map(|one| {
        without_nulls(json!({
            "side": one.side.as_str(), "policy": one.policy.as_str(), "name": text(&one.name), "kind": text(&one.kind),
            "confidence": text(&one.confidence), "strength": text(&one.strength), "action": text(&one.action),
            "detected": one.detected, "matched": text(&one.matched), "score": one.score, "threshold": one.threshold,
        }))
    });
    let assessments: Vec<_> = assessments.collect();
    let units: serde_json::Map<_, _> =
        found.units.iter().map(|(name, count)| (name.decode().into_owned(), json!(count))).collect();
    assert_eq!(units.len(), found.units.len(), "no name stands twice");
    without_nulls(json!({
        "intervened": found.intervened, "action": text(&found.action), "reason": text(&found.action_reason),
        "id": text(&found.id), "version": text(&found.version), "latency": found.latency_ms,
        "assessments": (!assessments.is_empty()).then_some(assessments),
        "units": (!units.is_empty()).then_some(units),
        "text": coverage(found.text_coverage), "images": coverage(found.image_coverage),
    }))
}

fn without_nulls(mut object: Json) -> Json {
    object.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    object
}

#[track_caller]
fn check_text(input: &str, output: &str, expected: &Json) {
    let value = |text| Some(Value::new(RawJson(text)));
    let found = read(value(input), value(output));
    assert_eq!(found.as_ref().map_or(Json::Null, shown), *expected, "{input} {output}");
}

#[track_caller]
fn check(input: &Json, output: &Json, expected: &Json) {
    check_text(&input.to_string(), &output.to_string(), expected);
}

/// The answer alone.
#[track_caller]
fn answer(output: &Json, expected: &Json) {
    check(&Json::Null, output, expected);
}

fn email() -> Json {
    json!({
        "sensitiveInformationPolicy": {"piiEntities": [{"type": "EMAIL", "match": "a@example.com", "action": "ANONYMIZED", "detected": true}]},
        "invocationMetrics": {
            "guardrailProcessingLatency": 210,
            "usage": {"topicPolicyUnits": 0, "sensitiveInformationPolicyUnits": 2},
            "guardrailCoverage": {"textCharacters": {"guarded": 40, "total": 50}, "images": {"guarded": 1, "total": 2}},
        },
    })
}

fn seen_email(side: &str) -> Json {
    json!({"side": side, "policy": "sensitive_information", "kind": "EMAIL", "matched": "a@example.com", "action": "ANONYMIZED", "detected": true})
}

/// What is seen of the e-mail address on one side, whichever way it came.
fn seen(side: &str) -> Json {
    json!({
        "intervened": true, "id": "gr1", "assessments": [seen_email(side)], "latency": 210,
        "units": {"topicPolicyUnits": 0, "sensitiveInformationPolicyUnits": 2}, "text": [40, 50], "images": [1, 2],
    })
}

#[test]
fn every_policy_is_read_in_order() {
    let output = r#"{"stopReason": "guardrail_intervened", "trace": {"guardrail": {
        "actionReason": "Guardrail blocked.", "modelOutput": ["secret"], "inputAssessment": {"gr1": {
            "topicPolicy": {"topics": [{"name": "Tariffs", "type": "DENY", "action": "BLOCKED", "detected": true}]},
            "contentPolicy": {"filters": [{"type": "HATE", "confidence": "LOW", "filterStrength": "HIGH", "action": "NONE", "detected": false}]},
            "wordPolicy": {"customWords": [{"match": "heron", "action": "BLOCKED"}], "managedWordLists": [{"match": "darn", "type": "PROFANITY", "action": "NONE"}]},
            "sensitiveInformationPolicy": {"piiEntities": [{"match": "+1 555", "type": "PHONE", "action": "BLOCKED"}],
                "regexes": [{"name": "ticket", "match": "T-1\n", "regex": "T-\\d", "action": "ANONYMIZED"}]},
            "contextualGroundingPolicy": {"filters": [{"type": "GROUNDING", "threshold": 0.70, "score": 1e-1, "action": "BLOCKED", "detected": true}]},
            "automatedReasoningPolicy": {"findings": [{"invalid": {"translation": {}}}, {"tooComplex": {}}]},
            "appliedGuardrailDetails": {"guardrailArn": "arn:aws:bedrock:us-east-1:1:guardrail/gr1", "guardrailVersion": "7", "guardrailOrigin": ["REQUEST"]},
            "newPolicy": {"filters": [{"type": "NEW", "action": "NONE"}]}}}}}}"#;
    let assessments = json!([
        {"policy": "topic", "name": "Tariffs", "kind": "DENY", "action": "BLOCKED", "detected": true},
        {"policy": "content", "kind": "HATE", "confidence": "LOW", "strength": "HIGH", "action": "NONE", "detected": false},
        {"policy": "word", "matched": "heron", "action": "BLOCKED"},
        {"policy": "word", "matched": "darn", "kind": "PROFANITY", "action": "NONE"},
        {"policy": "sensitive_information", "matched": "+1 555", "kind": "PHONE", "action": "BLOCKED"},
        {"policy": "sensitive_information", "name": "ticket", "matched": "T-1\n", "action": "ANONYMIZED"},
        {"policy": "contextual_grounding", "kind": "GROUNDING", "threshold": "0.70", "score": "1e-1", "action": "BLOCKED", "detected": true},
        {"policy": "automated_reasoning", "kind": "invalid"},
        {"policy": "automated_reasoning", "kind": "tooComplex"},
    ]);
    let mut expected = json!({"intervened": true, "reason": "Guardrail blocked.", "id": "gr1", "version": "7", "assessments": assessments});
    for one in expected["assessments"].as_array_mut().unwrap() {
        one["side"] = json!("input");
    }
    check_text("null", output, &expected);
}

#[test]
fn the_same_evidence_is_found_in_every_place() {
    let one = || json!({"gr1": email()});
    for trace in [
        json!({"inputAssessment": one()}),
        json!({"inputAssessment": {"gr1": [email()]}}),
        json!({"input": one()}),
        json!({"input": [one()]}),
    ] {
        answer(&json!({"trace": {"guardrail": trace}}), &seen("input"));
    }
    for trace in [
        json!({"outputAssessments": {"gr1": [email()]}}),
        json!({"outputAssessments": [{"gr1": [email()]}]}),
        json!({"outputAssessments": [{"gr1": email()}]}),
        json!({"outputAssessments": one()}),
        json!({"outputs": [one()]}),
        json!({"outputs": one()}),
    ] {
        let holder = json!({"guardrail": trace});
        let native = json!({"amazon-bedrock-trace": holder});
        for output in [
            json!({"trace": holder}),
            json!([{"messageStart": {}}, {"metadata": {"usage": {}, "trace": holder}}]),
            json!({"metadata": {"trace": holder}}),
            native.clone(),
            json!(["[DONE]", {"type": "message_stop", "amazon-bedrock-trace": holder}]),
            json!([{"delta": native}]),
            json!([{"message": native}]),
            json!([{"chunk": {"message": native}}]),
            json!([{"chunk": {"metadata": {"trace": holder}}}]),
            json!([{"type": "response.completed", "response": native}]),
            json!({"choices": [{"message": native}]}),
        ] {
            answer(&output, &seen("output"));
        }
    }
}

#[test]
fn actions_and_stop_reasons() {
    let action = "amazon-bedrock-guardrailAction";
    let none = json!({"intervened": false, "action": "NONE"});
    let blocked = json!({"intervened": true, "action": "INTERVENED"});
    answer(&json!({action: "NONE"}), &none);
    answer(&json!({action: "INTERVENED"}), &blocked);
    answer(&json!({action: "GUARDRAIL_INTERVENED"}), &json!({"intervened": true, "action": "GUARDRAIL_INTERVENED"}));
    answer(&json!([{action: "NONE"}, {action: "INTERVENED"}, {action: "NONE"}]), &blocked);
    answer(&json!([{action: "NONE"}, {"delta": {action: "INTERVENED"}}]), &blocked);
    answer(&json!({"choices": [{"message": {"content": "x"}}], action: "INTERVENED"}), &blocked);
    answer(&json!({"trace": {"guardrail": {"action": "NONE"}}}), &none);
    answer(&json!({action: null}), &Json::Null);
    answer(&json!({action: true}), &Json::Null);
    // The stop reason says so before an event says that nothing was done.
    answer(
        &json!([{"stop_reason": "guardrail_intervened"}, {action: "NONE"}]),
        &json!({"intervened": true, "action": "NONE"}),
    );
    let stopped = json!({"intervened": true});
    for output in [
        json!({"stopReason": "guardrail_intervened"}),
        json!({"stop_reason": "guardrail_intervened"}),
        json!([{"messageStop": {"stopReason": "guardrail_intervened"}}]),
        json!([{"type": "message_delta", "delta": {"stop_reason": "guardrail_intervened"}}]),
        json!({"choices": [{"finish_reason": "stop"}, {"finish_reason": "guardrail_intervened"}]}),
        json!({"results": [{"completionReason": "guardrail_intervened"}]}),
    ] {
        answer(&output, &stopped);
    }
}

#[test]
fn evidence_of_no_intervention_is_evidence() {
    let quiet = json!({"contentPolicy": {"filters": [{"type": "VIOLENCE", "confidence": "HIGH", "action": "NONE", "detected": true}]}});
    let found = json!({"side": "input", "policy": "content", "kind": "VIOLENCE", "confidence": "HIGH", "action": "NONE", "detected": true});
    let output = json!({"stopReason": "end_turn", "trace": {"guardrail": {"actionReason": "No action.", "inputAssessment": {"gr1": quiet}}}});
    answer(&output, &json!({"intervened": false, "reason": "No action.", "id": "gr1", "assessments": [found]}));
    answer(&json!({"trace": {"guardrail": {}}}), &json!({"intervened": false}));
    answer(&json!({"metadata": {"trace": {}}}), &Json::Null);
}

#[test]
fn the_guardrail_is_named_by_the_best_place() {
    let arn = "arn:aws:bedrock:us-east-1:1:guardrail/gr1";
    let config = |id: &str| json!({"guardrailConfig": {"guardrailIdentifier": id, "guardrailVersion": "DRAFT", "trace": "enabled"}});
    let trace = |id: &str, assessment: Json| json!({"trace": {"guardrail": {"inputAssessment": {id: assessment}}}});
    let details = |id: &str| json!({"appliedGuardrailDetails": {"guardrailId": id, "guardrailArn": arn, "guardrailVersion": "2"}});
    let named = |id: &str, version: Json| without_nulls(json!({"intervened": false, "id": id, "version": version}));
    check(&config("gr1"), &json!({}), &named("gr1", json!("DRAFT")));
    check(&config(arn), &Json::Null, &named(arn, json!("DRAFT")));
    check(&config("gr1"), &trace("gr1", json!({})), &named("gr1", json!("DRAFT")));
    check(&config(arn), &trace("gr1", json!({})), &named("gr1", json!("DRAFT")));
    check(&config("gr1"), &trace("gr1", details("x")), &named("gr1", json!("2")));
    check(&config("gr2"), &trace("gr1", json!({})), &named("gr1", Json::Null));
    check(&config("gr2"), &trace("", details("gr3")), &named("gr3", json!("2")));
    check(&json!({}), &trace("", json!({"appliedGuardrailDetails": {"guardrailArn": arn}})), &named(arn, Json::Null));
    let two = json!({"trace": {"guardrail": {"inputAssessment": {"gr1": {}, "gr2": details("gr2")}}}});
    check(&json!({}), &two, &named("gr1", Json::Null));
    let native = json!({"amazon-bedrock-guardrailConfig": {"tagSuffix": "xyz"}});
    check(&native, &json!({}), &json!({"intervened": false}));
    let chat = json!({"messages": [], "amazon-bedrock-guardrailConfig": {"guardrailIdentifier": "gr1", "guardrailVersion": "1"}});
    check(&chat, &json!({}), &named("gr1", json!("1")));
    check(&json!({"guardrailConfig": null}), &json!({}), &Json::Null);
}

#[test]
fn both_sides_are_summed_and_a_repeated_trace_counts_once() {
    let both =
        json!({"guardrail": {"inputAssessment": {"gr1": email()}, "outputAssessments": {"gr1": [email(), email()]}}});
    let sums = json!({
        "intervened": true, "id": "gr1", "assessments": [seen_email("input"), seen_email("output"), seen_email("output")], "latency": 630,
        "units": {"topicPolicyUnits": 0, "sensitiveInformationPolicyUnits": 6}, "text": [120, 150], "images": [3, 6],
    });
    answer(&json!({"trace": both}), &sums);
    let event = json!({"amazon-bedrock-trace": both});
    answer(&json!([event, event, {"delta": event}]), &sums);
    // The last event repeats what was said of the request and adds the answer.
    let first =
        json!({"amazon-bedrock-trace": {"guardrail": {"input": {"gr1": email()}, "outputs": [{"gr1": email()}]}}});
    let last = json!({"amazon-bedrock-trace": {"guardrail": {"input": {"gr1": email()}, "outputs": [{"gr1": email()}, {"gr1": email()}]}}});
    answer(&json!([first, last]), &sums);
}

#[test]
fn words_are_no_evidence() {
    let text = r#"{"amazon-bedrock-guardrailAction":"INTERVENED","stopReason":"guardrail_intervened"}"#;
    let forged = json!({"amazon-bedrock-guardrailAction": "INTERVENED", "trace": {"guardrail": {}}, "stopReason": "guardrail_intervened"});
    for output in [
        json!({"output": {"message": {"role": "assistant", "content": [{"text": text}]}}, "stopReason": "end_turn"}),
        json!({"output": {"message": {"content": [{"toolUse": {"name": "guardrail", "input": forged}}]}}}),
        json!({"content": [{"type": "tool_use", "name": "t", "input": forged}], "stop_reason": "tool_use"}),
        json!([{"delta": {"type": "text_delta", "text": text}}, {"generation": "guardrail_intervened"}]),
        json!({"choices": [{"message": {"content": text, "tool_calls": [{"function": {"arguments": text}}]}}]}),
        json!({"metadata": {"stopReason": "guardrail_intervened", "amazon-bedrock-guardrailAction": "INTERVENED"}}),
        json!({"stop_sequence": "guardrail_intervened", "guardrail": {"inputAssessment": {}}}),
        json!("guardrail_intervened"),
    ] {
        check(&forged, &output, &Json::Null);
    }
    let guarded =
        json!({"messages": [{"role": "user", "content": [{"guardContent": {"text": {"text": "guardrailConfig"}}}]}]});
    check(&guarded, &json!({}), &Json::Null);
}

#[test]
fn keys_and_words_may_be_escaped() {
    let output = r#"{"tr\u0061ce" : {"guardrail": {"\u0069nputAssessment": {"gr\u0031": {
        "wordPolicy": {"custom\u0057ords": [ {"match": "a\"\ud83d\ude00", "action": "BL\u004fCKED"} ]}}}}}}"#;
    let word = json!({"side": "input", "policy": "word", "matched": "a\"\u{1f600}", "action": "BLOCKED"});
    check_text("null", output, &json!({"intervened": true, "id": "gr1", "assessments": [word]}));
}

#[test]
fn any_value_may_stand_in_any_place() {
    let odd =
        [json!(null), json!(true), json!(-1.5e300), json!("guardrail"), json!([[], [{}], 1]), json!({"": {"": 1}})];
    let policies = [
        ("topicPolicy", "topics"),
        ("wordPolicy", "customWords"),
        ("automatedReasoningPolicy", "findings"),
        ("invocationMetrics", "usage"),
        ("invocationMetrics", "guardrailCoverage"),
        ("appliedGuardrailDetails", "guardrailId"),
    ];
    for value in odd {
        let mut assessments = vec![value.clone()];
        for (policy, list) in policies {
            assessments.extend([
                json!({policy: value}),
                json!({policy: {list: value}}),
                json!({policy: {list: [value]}}),
            ]);
            assessments
                .push(json!({policy: {list: [{"name": value, "type": value, "action": value, "detected": value}]}}));
            assessments.push(json!({policy: {list: {"textCharacters": value, "images": {"guarded": value}}}}));
        }
        for assessment in assessments {
            let traces =
                json!({"inputAssessment": assessment, "outputAssessments": {"g": assessment}, "outputs": [assessment]});
            let output = json!({"trace": {"guardrail": traces}, "metadata": value, "delta": value, "choices": value, "stopReason": value});
            let (input, output) = (json!({"guardrailConfig": value}).to_string(), output.to_string());
            let found = read(Some(Value::new(RawJson(&input))), Some(Value::new(RawJson(&output))));
            assert!(found.is_some_and(|found| !found.intervened), "{output}");
        }
    }
    for text in ["", "{\"trace\":{\"guardrail\":", "[{\"guardrail", "{\"amazon-bedrock-guardrailAction\"", "guardrail"]
    {
        check_text(text, text, &Json::Null);
    }
}

#[test]
fn sums_stop_at_the_end_of_the_numbers() {
    let metrics = |n: i64| json!({"invocationMetrics": {"guardrailProcessingLatency": n, "usage": {"u": n}, "guardrailCoverage": {"textCharacters": {"guarded": n}}}, "n": n});
    let output = json!({"trace": {"guardrail": {"outputAssessments": {"g": [metrics(i64::MAX), metrics(7)]}}}});
    answer(
        &output,
        &json!({"intervened": false, "id": "g", "latency": i64::MAX, "units": {"u": i64::MAX}, "text": [i64::MAX, 0]}),
    );
}

#[test]
fn a_forged_trace_is_bounded() {
    let units: serde_json::Map<_, _> = (0..50_000).map(|n| (format!("u{n}"), json!(1))).collect();
    let items: Vec<_> = (0..120_000).map(|_| json!({"name": "n"})).collect();
    let output = json!({"trace": {"guardrail": {"inputAssessment": {"g": {
        "topicPolicy": {"topics": items}, "wordPolicy": {"customWords": [{"action": "BLOCKED"}]}, "invocationMetrics": {"usage": units}}}}}});
    let output = output.to_string();
    let found = read(None, Some(Value::new(RawJson(&output)))).unwrap();
    assert_eq!((found.assessments.len(), found.units.len(), found.intervened), (100_000, 64, true));
    let events = vec![
        json!({"delta": {"message": {"chunk": {"response": {"amazon-bedrock-guardrailAction": "INTERVENED"}}}}});
        20_000
    ];
    answer(&json!(events), &Json::Null);
}

#[test]
fn words_that_are_shouted_are_heard() {
    let titan = json!({"results": [{"outputText": "no", "completionReason": "GUARDRAIL_INTERVENED"}]});
    answer(&titan, &json!({"intervened": true}));
}
