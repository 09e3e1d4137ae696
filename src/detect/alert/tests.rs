use serde_json::{Map, Value, json};

use super::*;
use crate::config::RuleFile;
use crate::format::ocsf::conform;
use crate::format::text::Colours;
use crate::format::text::escape::width;

const RULE: &str = r#"
id = "acme.night-shift"
name = "Calls at night"
description = "Nobody works at night."
severity = "medium"
tags = ["identity", "cost"]
mitre = { attack = ["TA0040:T1496.004"], atlas = ["AML.T0051.000"] }
references = ["https://example.com/a?b=1&c=2", "a book"]
runbook = """
Ask the caller.
Then ask <again>."""
match = "true"
title = "{view.identity} at night"
"#;

const ARN: &str = "arn:aws:sts::111122223333:assumed-role/App/alice@example.com";

fn pairs_of(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn rule(text: &str) -> Arc<Rule> {
    RuleFile::parse(text, "test.toml").unwrap_or_else(|error| panic!("{error}")).1
}

/// An alert as most are.
fn alert() -> Alert {
    Alert {
        id: "0123456789abcdef0123456789abcdef".to_owned(),
        rule: rule(RULE),
        severity: Severity::High,
        title: format!("{ARN} at night"),
        dedup: ARN.to_owned(),
        group: pairs_of(&[("identity", ARN), ("region", "us-east-1")]),
        context: pairs_of(&[("model_id", "amazon.nova-micro-v1:0"), ("hour", "3")]),
        first_seen: "2026-01-15T03:00:00Z".parse().unwrap(),
        last_seen: "2026-01-15T03:20:00.5Z".parse().unwrap(),
        count: 12,
        event_ids: vec!["event-1".to_owned(), "event-2".to_owned()],
        revision: 1,
    }
}

/// An alert of which every text is this, and as long and as many as they come.
fn hostile(text: &str) -> Alert {
    let long = text.repeat(8000 / text.chars().count().max(1));
    let mut rule = rule(RULE);
    let written = Arc::get_mut(&mut rule).unwrap();
    for prose in [&mut written.id, &mut written.name, &mut written.description] {
        prose.clone_from(&long);
    }
    written.runbook = Some(long.clone());
    for list in [&mut written.tags, &mut written.attack, &mut written.atlas, &mut written.references] {
        *list = vec![long.clone(); 120];
    }
    let pairs: Vec<_> = (0..300).map(|number| (format!("{number}{long}"), long.clone())).collect();
    Alert {
        rule,
        title: long.clone(),
        dedup: long.clone(),
        group: pairs.clone(),
        context: pairs,
        event_ids: vec![long; 300],
        count: u64::MAX,
        revision: u64::MAX,
        ..alert()
    }
}

/// What an event, a model or a caller may put into a title.
const HOSTILE: [&str; 7] = [
    "<!channel> <@U123> <https://example.com|click> &amp; ",
    "@everyone @here *bold* `code` ",
    "\u{1b}[2J\u{7}\0\r\n\t",
    "\u{202e}evil\u{2066}\u{200b}\u{feff}",
    "\"},\"status\":\"x\\",
    "\u{1f600}\u{65e5}",
    "\u{1}",
];

fn context() -> AlertContext<'static> {
    let now = "2026-01-15T03:30:00Z".parse().unwrap();
    AlertContext { routing_key: Some("R0UT1NGKEY"), told: None, version: "1.2.3", now }
}

/// The alert in a format: on one line, and once again the same.
fn encoded(format: AlertFormat, alert: &Alert) -> Value {
    let mut line = Vec::new();
    assert!(format.encode(alert, &context(), &mut line), "{format:?}");
    assert!(!line.contains(&b'\n'));
    let mut again = Vec::new();
    assert!(format.encode(alert, &context(), &mut again));
    assert_eq!(line, again);
    serde_json::from_slice(&line).unwrap()
}

/// All strings in a value, keys included.
fn strings<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => found.push(text),
        Value::Array(values) => values.iter().for_each(|value| strings(value, found)),
        Value::Object(members) => members.iter().for_each(|(key, value)| {
            found.push(key);
            strings(value, found);
        }),
        _ => {}
    }
}

#[test]
fn names_are_those_of_the_configuration() {
    for format in [AlertFormat::Json, AlertFormat::Ocsf, AlertFormat::Slack, AlertFormat::Pagerduty] {
        assert_eq!(serde_json::to_value(format).unwrap(), format.as_str());
        assert_eq!(clap::ValueEnum::to_possible_value(&format).unwrap().get_name(), format.as_str());
    }
    assert_eq!(AlertFormat::default(), AlertFormat::Json);
}

#[test]
fn json() {
    let mut line = Vec::new();
    assert!(AlertFormat::Json.encode(&alert(), &context(), &mut line));
    let expected = concat!(
        r#"{"id":"0123456789abcdef0123456789abcdef","revision":1,"status":"opened","rule_id":"acme.night-shift","#,
        r#""rule":{"id":"acme.night-shift","name":"Calls at night","severity":"medium","#,
        r#""log_type":"AWS.BedrockModelInvocation"},"severity":"high","#,
        r#""title":"arn:aws:sts::111122223333:assumed-role/App/alice@example.com at night","#,
        r#""description":"Nobody works at night.","#,
        r#""dedup":"arn:aws:sts::111122223333:assumed-role/App/alice@example.com","#,
        r#""group":{"identity":"arn:aws:sts::111122223333:assumed-role/App/alice@example.com","region":"us-east-1"},"#,
        r#""first_seen":"2026-01-15T03:00:00Z","last_seen":"2026-01-15T03:20:00.5Z","count":12,"#,
        r#""event_ids":["event-1","event-2"],"context":{"model_id":"amazon.nova-micro-v1:0","hour":"3"},"#,
        r#""tags":["identity","cost"],"mitre":{"attack":["TA0040:T1496.004"],"atlas":["AML.T0051.000"]},"#,
        r#""references":["https://example.com/a?b=1&c=2","a book"],"runbook":"Ask the caller.\nThen ask <again>."}"#,
    );
    assert_eq!(String::from_utf8(line).unwrap(), expected);

    let bare = "id = 'acme.x'\nname = 'n'\ndescription = 'd'\nseverity = 'info'\nmatch = 'true'\ntitle = 't'\n";
    let mut bare = rule(bare);
    Arc::get_mut(&mut bare).unwrap().description.clear();
    let bare = Alert { rule: bare, group: Vec::new(), context: Vec::new(), revision: 3, ..alert() };
    let bare = encoded(AlertFormat::Json, &bare);
    for left_out in ["description", "tags", "mitre", "references", "runbook"] {
        assert_eq!(bare.get(left_out), None);
    }
    assert_eq!((&bare["group"], &bare["context"]), (&json!({}), &json!({})));
    assert_eq!((&bare["status"], &bare["revision"]), (&json!("updated"), &json!(3)));
}

/// What is written is what the schema says: its members, and those that are required.
#[test]
fn the_schema_of_json_is_what_is_written() {
    fn check(schema: &Value, value: &Value, at: &str) {
        match (schema["type"].as_str().unwrap(), value) {
            ("object", Value::Object(members)) => {
                let properties = schema["properties"].as_object();
                for (name, value) in members {
                    let known = properties.and_then(|properties| properties.get(name));
                    let schema = known.unwrap_or(&schema["additionalProperties"]);
                    assert!(schema.is_object(), "{at}.{name} is unknown");
                    check(schema, value, &format!("{at}.{name}"));
                }
                for name in schema["required"].as_array().into_iter().flatten() {
                    assert!(members.contains_key(name.as_str().unwrap()), "{at}.{name} is missing");
                }
                assert!(schema["maxProperties"].as_u64().is_none_or(|most| members.len() as u64 <= most), "{at}");
            }
            ("array", Value::Array(values)) => {
                values.iter().for_each(|value| check(&schema["items"], value, at));
                assert!(schema["maxItems"].as_u64().is_none_or(|most| values.len() as u64 <= most), "{at}");
            }
            ("string", Value::String(text)) => {
                assert!(schema["enum"].as_array().is_none_or(|allowed| allowed.contains(value)), "{at}: {text}");
            }
            ("integer", value) => assert!(value.as_u64() >= schema["minimum"].as_u64(), "{at}: {value}"),
            (kind, value) => panic!("{at} is no {kind}: {value}"),
        }
    }
    let schema = json_schema();
    let written = encoded(AlertFormat::Json, &alert());
    check(&schema, &written, "");
    let names: Vec<_> = written.as_object().unwrap().keys().collect();
    assert_eq!(names.len(), schema["properties"].as_object().unwrap().len(), "{names:?}");
    let revision = Alert { revision: 9, count: 9, ..hostile("x") };
    check(&schema, &encoded(AlertFormat::Json, &revision), "");
}

fn ocsf_faults(line: &Value) -> Vec<String> {
    conform::faults(include_str!("detection_finding.txt"), "detection_finding", line)
}

#[test]
fn ocsf() {
    let line = encoded(AlertFormat::Ocsf, &alert());
    let expected = json!({
        "activity_id": 1, "activity_name": "Create", "category_uid": 2, "category_name": "Findings",
        "class_uid": 2004, "class_name": "Detection Finding", "type_uid": 200_401,
        "type_name": "Detection Finding: Create", "severity_id": 4, "severity": "High", "status_id": 1, "status": "New",
        "time": 1_768_447_200_500_i64, "start_time": 1_768_446_000_000_i64, "end_time": 1_768_447_200_500_i64,
        "count": 12, "message": format!("{ARN} at night"), "is_alert": true,
        "metadata": {
            "version": "1.8.0", "product": {"name": "bedrock-tap", "vendor_name": "bedrock-tap", "version": "1.2.3"},
            "profiles": ["cloud"], "uid": "0123456789abcdef0123456789abcdef-1",
            "correlation_uid": "0123456789abcdef0123456789abcdef", "event_code": "acme.night-shift",
            "labels": ["identity", "cost"], "log_name": "AWS.BedrockModelInvocation",
            "processed_time": 1_768_447_800_000_i64
        },
        "cloud": {
            "provider": "AWS", "region": "us-east-1",
            "account": {"uid": "111122223333", "type": "AWS Account", "type_id": 10}
        },
        "finding_info": {
            "uid": "0123456789abcdef0123456789abcdef", "title": format!("{ARN} at night"),
            "desc": "Nobody works at night.", "types": ["identity", "cost"],
            "analytic": {"uid": "acme.night-shift", "name": "Calls at night", "type": "Rule", "type_id": 1},
            "attacks": [
                {"tactic": {"uid": "TA0040"}, "technique": {"uid": "T1496"}, "sub_technique": {"uid": "T1496.004"}},
                {"technique": {"uid": "AML.T0051"}, "sub_technique": {"uid": "AML.T0051.000"}}
            ],
            "created_time": 1_768_447_800_000_i64,
            "first_seen_time": 1_768_446_000_000_i64, "last_seen_time": 1_768_447_200_500_i64,
            "related_events_count": 12, "data_sources": ["AWS.BedrockModelInvocation"],
            "related_events": [{"uid": "event-1"}, {"uid": "event-2"}]
        },
        "evidences": [{"user": {"uid": ARN}}],
        "resources": [{"uid": "amazon.nova-micro-v1:0", "type": "Amazon Bedrock model"}],
        "remediation": {
            "desc": "Ask the caller.\nThen ask <again>.",
            "references": ["https://example.com/a?b=1&c=2", "a book"]
        },
        "unmapped": {
            "dedup": ARN, "revision": 1, "group": {"identity": ARN, "region": "us-east-1"},
            "context": {"model_id": "amazon.nova-micro-v1:0", "hour": "3"}
        }
    });
    assert_eq!(line, expected, "{line:#}");
    assert_eq!(ocsf_faults(&line), [""; 0]);

    let update = encoded(AlertFormat::Ocsf, &Alert { revision: 2, ..alert() });
    assert_eq!((&update["activity_id"], &update["type_uid"]), (&json!(2), &json!(200_402)));
    assert_eq!(update["finding_info"]["uid"], line["finding_info"]["uid"], "an update is of the same finding");
    assert_ne!(update["metadata"]["uid"], line["metadata"]["uid"], "and an event of its own");
    assert_eq!(update["finding_info"]["modified_time"], line["finding_info"]["created_time"]);
    assert_eq!(ocsf_faults(&update), [""; 0]);
}

#[test]
fn ocsf_has_what_the_class_requires_whatever_the_alert() {
    for (index, severity) in Severity::ALL.into_iter().enumerate() {
        let line = encoded(AlertFormat::Ocsf, &Alert { severity, ..alert() });
        assert_eq!(line["severity_id"], index + 1, "{severity:?}");
    }
    for text in HOSTILE {
        assert_eq!(ocsf_faults(&encoded(AlertFormat::Ocsf, &hostile(text))), [""; 0], "{text:?}");
    }
    let empty = Alert { title: String::new(), dedup: String::new(), event_ids: vec![String::new()], ..alert() };
    let empty = encoded(AlertFormat::Ocsf, &empty);
    assert_eq!(ocsf_faults(&empty), [""; 0]);
    assert_eq!(empty["finding_info"]["title"], "Calls at night");
    // The check itself.
    let mut line = encoded(AlertFormat::Ocsf, &alert());
    line["finding_info"].as_object_mut().unwrap().remove("uid");
    line["is_alert"] = json!("yes");
    assert_eq!(ocsf_faults(&line), [".finding_info.uid is missing", ".is_alert is no boolean: \"yes\""]);
}

#[test]
fn ocsf_tells_techniques_from_tactics() {
    let check = |attack: &[&str], atlas: &[&str], expected: Value| {
        let mut rule = rule(RULE);
        let written = Arc::get_mut(&mut rule).unwrap();
        written.attack = attack.iter().map(|name| (*name).to_owned()).collect();
        written.atlas = atlas.iter().map(|name| (*name).to_owned()).collect();
        let line = encoded(AlertFormat::Ocsf, &Alert { rule, ..alert() });
        assert_eq!(line["finding_info"]["attacks"], expected, "{attack:?} {atlas:?}");
        assert_eq!(ocsf_faults(&line), [""; 0]);
    };
    check(&["TA0001"], &[], json!([{"tactic": {"uid": "TA0001"}}]));
    check(&["T1078"], &[], json!([{"technique": {"uid": "T1078"}}]));
    check(&[], &["AML.T0051"], json!([{"technique": {"uid": "AML.T0051"}}]));
    let both = json!([{"tactic": {"uid": "AML.TA0000"}, "technique": {"uid": "AML.T0040"}}]);
    check(&[], &["AML.TA0000:AML.T0040"], both);
    check(&[" ", ""], &[], Value::Null);
}

#[test]
fn subjects() {
    let check = |pairs: &[(&str, &str)], expected: [Option<&str>; 4]| {
        let alert = Alert { group: pairs_of(pairs), context: Vec::new(), ..alert() };
        let found = subject::Subject::of(&alert);
        assert_eq!([found.account, found.region, found.caller, found.model], expected, "{pairs:?}");
    };
    check(&[], [None; 4]);
    check(
        &[("accountId", "123456789012"), ("region", "eu-central-1")],
        [Some("123456789012"), Some("eu-central-1"), None, None],
    );
    check(&[("identity.arn", ARN), ("model", "m")], [Some("111122223333"), None, Some(ARN), Some("m")]);
    check(&[("account", "1"), ("region", "unknown"), ("model", "unknown"), ("identity", "unknown")], [None; 4]);
    check(&[("inference_region", "eu-west-1"), ("x", "arn:aws:s3:::bucket"), ("model", "a b")], [None; 4]);
}

#[test]
fn slack() {
    let plain = |text: &str| json!({"type": "plain_text", "text": text, "emoji": false});
    let message = encoded(AlertFormat::Slack, &alert());
    let expected = json!({
        "text": format!(
            "\u{1f7e0} high: {ARN} at night\nRule: acme.night-shift, Severity: high, Events: 12 events, \
             First seen: 2026-01-15 03:00:00 UTC, Last seen: 2026-01-15 03:20:00 UTC"
        ),
        "blocks": [
            {"type": "header", "text": plain(&format!("\u{1f7e0} high: {ARN} at night"))},
            {"type": "section", "fields": [
                plain("Rule\nacme.night-shift"), plain("Severity\nhigh"), plain("Events\n12 events"),
                plain("First seen\n2026-01-15 03:00:00 UTC"), plain("Last seen\n2026-01-15 03:20:00 UTC")
            ]},
            {"type": "section", "fields": [plain(&format!("identity\n{ARN}")), plain("region\nus-east-1")]},
            {"type": "section", "fields": [plain("model_id\namazon.nova-micro-v1:0"), plain("hour\n3")]},
            {"type": "section", "text": plain("Nobody works at night.")},
            {"type": "section", "text": plain("Ask the caller.\nThen ask &lt;again&gt;.")},
            {"type": "context", "elements": [
                {"type": "mrkdwn", "text": "<https://example.com/a?b=1&amp;c=2>", "verbatim": true},
                plain("alert 0123456789abcdef0123456789abcdef · bedrock-tap 1.2.3")
            ]}
        ]
    });
    assert_eq!(message, expected, "{message:#}");
    let worse = Alert { revision: 4, severity: Severity::Critical, count: 1, ..alert() };
    let worse = encoded(AlertFormat::Slack, &worse);
    let header = worse["blocks"][0]["text"]["text"].as_str().unwrap();
    assert!(header.starts_with("\u{1f534} now critical: arn:"), "{header}");
    assert_eq!(worse["blocks"][1]["fields"][2], plain("Events\n1 event"));
}

#[test]
fn slack_hears_again_only_of_what_is_worse() {
    let check = |told: Option<Severity>, severity: Severity, expected: bool| {
        let (alert, context) = (Alert { severity, revision: 2, ..alert() }, AlertContext { told, ..context() });
        for format in [AlertFormat::Json, AlertFormat::Ocsf, AlertFormat::Slack, AlertFormat::Pagerduty] {
            let mut out = Vec::new();
            let expected = expected || format != AlertFormat::Slack;
            assert_eq!(format.encode(&alert, &context, &mut out), expected, "{format:?} {told:?} {severity:?}");
            assert_eq!(out.is_empty(), !expected);
        }
    };
    check(None, Severity::Info, true);
    check(Some(Severity::High), Severity::High, false);
    check(Some(Severity::High), Severity::Critical, true);
    check(Some(Severity::Critical), Severity::High, false);
}

#[test]
fn slack_calls_nobody_and_takes_every_message() {
    let length = |text: &Value| text.as_str().unwrap().encode_utf16().count();
    for text in HOSTILE {
        let message = encoded(AlertFormat::Slack, &hostile(text));
        let blocks = message["blocks"].as_array().unwrap();
        assert!(blocks.len() <= 50, "{text:?}: {}", blocks.len());
        assert!((1..=3002).contains(&length(&message["text"])), "{text:?}");
        for block in blocks {
            let (most, texts) = match block["type"].as_str().unwrap() {
                "header" => (150, vec![&block["text"]]),
                "section" if block["text"].is_object() => (3000, vec![&block["text"]]),
                "section" => (2000, block["fields"].as_array().unwrap().iter().collect()),
                kind => (3000, {
                    assert_eq!(kind, "context");
                    block["elements"].as_array().unwrap().iter().collect()
                }),
            };
            assert!((1..=10).contains(&texts.len()), "{text:?}: {block}");
            for element in texts {
                assert!((1..=most).contains(&length(&element["text"])), "{text:?}: {element}");
                assert_eq!(element["type"], "plain_text", "none of these is a link: {element}");
            }
        }
        let mut all = Vec::new();
        strings(&message, &mut all);
        for shown in all {
            assert!(!shown.contains(['<', '>']), "{shown}");
            for (at, _) in shown.match_indices('&') {
                let rest = &shown[at..];
                assert!(["&amp;", "&lt;", "&gt;"].iter().any(|entity| rest.starts_with(entity)), "{shown}");
            }
            for (at, _) in shown.match_indices('@') {
                assert!(shown[at + 1..].starts_with('\u{2060}'), "{shown}");
            }
            let unseen = |c: char| {
                (c.is_control() && c != '\n')
                    || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200b}' | '\u{feff}')
            };
            assert!(!shown.contains(unseen), "{shown:?}");
        }
    }
}

#[test]
fn pagerduty() {
    let event = encoded(AlertFormat::Pagerduty, &alert());
    let expected = json!({
        "routing_key": "R0UT1NGKEY", "event_action": "trigger", "dedup_key": "0123456789abcdef0123456789abcdef",
        "client": "bedrock-tap",
        "payload": {
            "summary": format!("{ARN} at night"), "source": "aws:111122223333:us-east-1", "severity": "error",
            "timestamp": "2026-01-15T03:20:00.5Z", "component": "Amazon Bedrock", "group": format!("{ARN} | us-east-1"),
            "class": "acme.night-shift",
            "custom_details": {
                "alert_id": "0123456789abcdef0123456789abcdef", "revision": 1, "rule_id": "acme.night-shift",
                "rule_name": "Calls at night", "severity": "high", "dedup": ARN, "count": 12,
                "first_seen": "2026-01-15T03:00:00Z", "last_seen": "2026-01-15T03:20:00.5Z",
                "group": {"identity": ARN, "region": "us-east-1"},
                "context": {"model_id": "amazon.nova-micro-v1:0", "hour": "3"}, "event_ids": ["event-1", "event-2"],
                "description": "Nobody works at night.", "runbook": "Ask the caller.\nThen ask <again>.",
                "bedrock_tap": "1.2.3"
            }
        },
        "links": [{"href": "https://example.com/a?b=1&c=2", "text": "https://example.com/a?b=1&c=2"}]
    });
    assert_eq!(event, expected, "{event:#}");
    for (severity, word) in Severity::ALL.into_iter().zip(["info", "info", "warning", "error", "critical"]) {
        let event = encoded(AlertFormat::Pagerduty, &Alert { severity, revision: 7, ..alert() });
        assert_eq!(event["payload"]["severity"], word);
        assert_eq!((&event["event_action"], &event["dedup_key"]), (&expected["event_action"], &expected["dedup_key"]));
    }
}

#[test]
fn pagerduty_takes_every_event() {
    for text in HOSTILE.into_iter().chain(["https://example.com/"]) {
        let event = encoded(AlertFormat::Pagerduty, &hostile(text));
        let bytes = event.to_string().len();
        assert!(bytes <= 512_000, "{text:?}: {bytes}");
        let summary = event["payload"]["summary"].as_str().unwrap();
        assert!((1..=1024).contains(&summary.chars().count()), "{summary}");
        assert!(!summary.contains(|c: char| c.is_control() || c == '\u{202e}'), "{summary:?}");
        assert!(event["dedup_key"].as_str().unwrap().len() <= 255);
    }
}

#[test]
fn no_text_is_longer_than_what_is_said() {
    for text in HOSTILE {
        for format in [AlertFormat::Json, AlertFormat::Ocsf, AlertFormat::Slack, AlertFormat::Pagerduty] {
            let value = encoded(format, &hostile(text));
            let mut all = Vec::new();
            strings(&value, &mut all);
            let longest = all.iter().map(|text| text.chars().count()).max();
            assert!(longest <= Some(4000), "{format:?} {text:?}: {longest:?}");
        }
    }
}

#[test]
fn names_stand_once() {
    let doubled = Alert { group: pairs_of(&[("region", "a"), ("region", "b"), ("region", "c"), ("", "d")]), ..alert() };
    let expected: Map<_, _> = [("region", "a"), ("region_2", "b"), ("region_3", "c"), ("", "d")]
        .map(|(k, v)| (k.to_owned(), json!(v)))
        .into_iter()
        .collect();
    let mut line = Vec::new();
    assert!(AlertFormat::Json.encode(&doubled, &context(), &mut line));
    let line = String::from_utf8(line).unwrap();
    assert!(line.contains(r#""group":{"region":"a","region_2":"b","region_3":"c","":"d"}"#), "{line}");
    assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["group"], Value::Object(expected));
}

#[test]
fn bounded_texts_end_where_something_is_missing() {
    for (given, most, expected) in [("abc", 3, "abc"), ("abcd", 3, "ab…"), ("日本語x", 3, "日本…"), ("ab", 1, "…")]
    {
        assert_eq!(bounded(given, most), expected);
    }
}

#[test]
fn lines() {
    let check = |columns: Option<usize>, expected: &str| assert_eq!(text(&alert(), columns, Colours::Off), expected);
    check(
        None,
        "2026-01-15T03:20:00.500Z  high      acme.night-shift                  12x   \
         arn:aws:sts::111122223333:assumed-role/App/alice@example.com at night  \
         since=2026-01-15T03:00:00.000Z  id=0123456789abcdef0123456789abcdef",
    );
    check(Some(80), "01-15 03:20:00 high     acme.night-shift     12x  App/alice@example.com at night");
    for text_of in HOSTILE {
        for columns in [0, 1, 20, 59, 60, 80, 100, 200] {
            let line = text(&hostile(text_of), Some(columns), Colours::Off);
            assert!(width(&line) <= columns, "{columns}: {line}");
            assert!(!line.contains(|c: char| c.is_control() || c == '\u{202e}') && !line.ends_with(' '), "{line:?}");
        }
    }
}
