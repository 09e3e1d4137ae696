use serde_json::{Value, json};

use super::conform::faults;
use crate::enrich::Redacted;
use crate::format::Format;
use crate::format::samples::{SAMPLES, each_line, line, with_event, without_prices};

const SCHEMA: &str = include_str!("schema.txt");

fn faults_of(line: &Value) -> Vec<String> {
    faults(SCHEMA, "api_activity", line)
}

#[test]
fn every_line_is_an_api_activity() {
    each_line(Format::Ocsf, |line| {
        assert_eq!(faults_of(line), [""; 0], "{line:#}");
        let uid = line["class_uid"].as_i64().unwrap() * 100 + line["activity_id"].as_i64().unwrap();
        assert_eq!(line["type_uid"], uid, "the type is the class's and the activity's");
        let captions = ["Unknown", "Informational", "Low", "Medium"];
        assert_eq!(line["severity"], captions[usize::try_from(line["severity_id"].as_i64().unwrap()).unwrap()]);
        let captions = ["Unknown", "Success", "Failure"];
        assert_eq!(line["status"], captions[usize::try_from(line["status_id"].as_i64().unwrap()).unwrap()]);
        assert_eq!(line["metadata"]["profiles"], json!(["cloud", "ai_operation"]));
        for observed in line["observables"].as_array().into_iter().flatten() {
            let pointer = format!("/{}", observed["name"].as_str().unwrap().replace('.', "/"));
            assert_eq!(line.pointer(&pointer), Some(&observed["value"]), "what is observed stands in the event");
        }
    });
}

#[test]
fn the_validator_finds_faults() {
    let check = |change: fn(&mut Value), expected: &str| {
        let mut line = line(Format::Ocsf, SAMPLES[0].record);
        change(&mut line);
        assert_eq!(faults_of(&line), [expected]);
    };
    check(|line| line["prompt_text"] = json!("1.9"), ".prompt_text is unknown");
    check(|line| line["time"] = json!("2026"), ".time is no long: \"2026\"");
    check(|line| line["severity_id"] = json!(7), ".severity_id is none of [0, 1, 2, 3, 4, 5, 6, 99]");
    check(|line| line["metadata"]["product"] = json!({}), ".metadata.product has none of [\"name\", \"uid\"]");
    check(|line| line["cloud"] = json!({}), ".cloud.provider is missing");
    check(|line| line["status_id"] = json!(3), ".status_id is none of [0, 1, 2, 99]");
    check(
        |line| line["message_context"]["prompt_tokens"] = json!(1_u64 << 31),
        ".message_context.prompt_tokens is no integer: 2147483648",
    );
}

#[test]
fn lines() {
    for sample in &SAMPLES {
        let mut line = line(Format::Ocsf, sample.record);
        assert_eq!(line["raw_data"], sample.record, "{}: the record as it came", sample.name);
        line.as_object_mut().unwrap().remove("raw_data");
        without_prices(line["unmapped"].as_object_mut().unwrap());
        let expected: Value = serde_json::from_str(sample.ocsf).unwrap();
        assert_eq!(line, expected, "{}: {line:#}", sample.name);
    }
}

#[test]
fn callers() {
    let check = |account: &str, arn: &str, expected: Value| {
        let identity = json!({ "arn": arn });
        let record =
            json!({ "timestamp": "2026-11-20T10:00:00Z", "accountId": account, "modelId": "m", "identity": identity });
        assert_eq!(line(Format::Ocsf, &record.to_string())["actor"], expected, "{account} {arn}");
    };
    let account = |uid: &str| json!({ "uid": uid, "type": "AWS Account", "type_id": 10 });
    let user = |arn: &str, name: &str, kind: &str, type_id: i64| json!({ "user": { "uid": arn, "name": name, "type": kind, "type_id": type_id, "account": account("111122223333") } });
    let arn = "arn:aws:sts::111122223333:assumed-role/App/i-0abc";
    let mut session = user(arn, "App", "AssumedRole", 99);
    session["session"] = json!({ "uid": "i-0abc" });
    check("1", arn, session);
    let arn = "arn:aws:iam::111122223333:user/a/alice";
    check("1", arn, user(arn, "alice", "User", 1));
    let arn = "arn:aws:iam::111122223333:root";
    check("1", arn, user(arn, "root", "Admin", 2));
    let arn = "arn:aws:sts::111122223333:federated-user/bob";
    check("1", arn, user(arn, "bob", "FederatedUser", 99));
    check("1", "someone", json!({ "user": { "uid": "someone", "name": "someone", "type": "Unknown", "type_id": 0 } }));
    check("1", "", json!({ "user": { "type": "Unknown", "type_id": 0, "account": account("1") } }));
    check("", "", json!({ "app_name": "Unknown" }));
}

#[test]
fn severity_and_status_tell_how_the_call_ended() {
    let check = |rest: &str, expected: [&str; 2], code: Value, detail: Value| {
        let record = format!(r#"{{"timestamp":"2026-11-20T10:00:00Z","accountId":"1","modelId":"m",{rest}}}"#);
        let line = line(Format::Ocsf, &record);
        assert_eq!([&line["severity"], &line["status"]], expected, "{rest}");
        assert_eq!((&line["status_code"], &line["status_detail"]), (&code, &detail), "{rest}");
    };
    let stop = |reason: &str| format!(r#""output":{{"outputBodyJson":{{"stopReason":"{reason}"}}}}"#);
    check(&stop("end_turn"), ["Informational", "Success"], Value::Null, json!("end_turn"));
    check(&stop("guardrail_intervened"), ["Medium", "Success"], Value::Null, json!("guardrail_intervened"));
    check(&stop("error"), ["Low", "Failure"], Value::Null, Value::Null);
    check(r#""errorCode":"ValidationException""#, ["Low", "Failure"], json!("ValidationException"), Value::Null);
    check(r#""errorCode":"""#, ["Informational", "Success"], Value::Null, Value::Null);
}

#[test]
fn exceptions_have_their_http_status() {
    for (error, status) in [("AccessDeniedException", Some(403)), ("ThrottlingException", Some(429)), ("x", None)] {
        assert_eq!(super::http_status(error), status, "{error}");
    }
}

#[test]
fn what_was_done_to_an_event_stands_in_it() {
    let line = with_event(SAMPLES[0].record, |event, context| {
        event.marks.input_body = Some("fetched");
        event.marks.redacted = Some(Redacted { masked: [("email".to_owned(), 2)].into(), bodies: None });
        event.marks.findings = crate::enrich::found();
        let mut out = Vec::new();
        super::encode(event, context, &mut out);
        serde_json::from_slice::<Value>(&out).unwrap()
    });
    let expected = json!({ "input_body": "fetched", "redacted": { "masked": { "email": 2 } }, "findings": [
        { "rule": "tap.refused", "severity": "low" }, { "rule": "acme.\"x\"", "severity": "high" }
    ] });
    assert_eq!(line["unmapped"]["bedrock_tap"], expected);
    assert_eq!(faults_of(&line), [""; 0]);
}
