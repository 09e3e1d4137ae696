use serde_json::{Value, json};

use super::line::text;
use super::*;
use crate::config::RuleFile;
use crate::format::text::Colours;
use crate::format::text::escape::width;

fn finding() -> Finding {
    let rule = "id = \"tap.guardrail-intervened\"\nname = \"n\"\ndescription = \"d\"\nseverity = \"low\"\n\
                match = \"true\"\ntitle = \"t\"\n";
    Finding {
        rule: RuleFile::parse(rule, "test.toml").unwrap_or_else(|error| panic!("{error}")).1,
        severity: Severity::Critical,
        title: "App/alice: a guardrail blocked VIOLENCE in amazon.nova-micro-v1:0".to_owned(),
        dedup: "App/alice".to_owned(),
        group: vec![("identity".to_owned(), "App/alice".to_owned()), ("region".to_owned(), String::new())],
        context: vec![("policy".to_owned(), "\"content\"".to_owned())],
        time: "2026-10-07T07:51:59.25Z".parse().unwrap(),
        event_id: "0123456789abcdef0123456789abcdef".to_owned(),
        request_id: Some("b0168751-0000-4000-8000-000000000000".to_owned()),
        measures: Vec::new(),
    }
}

#[test]
fn json_lines() {
    let line = |finding: &Finding| {
        let mut out = Vec::new();
        json(finding, &mut out);
        String::from_utf8(out).unwrap()
    };
    let expected = concat!(
        r#"{"rule_id":"tap.guardrail-intervened","severity":"critical","#,
        r#""title":"App/alice: a guardrail blocked VIOLENCE in amazon.nova-micro-v1:0","dedup":"App/alice","#,
        r#""event_id":"0123456789abcdef0123456789abcdef","request_id":"b0168751-0000-4000-8000-000000000000","#,
        r#""time":"2026-10-07T07:51:59.25Z","group":{"identity":"App/alice","region":""},"#,
        r#""context":{"policy":"\"content\""}}"#,
    );
    assert_eq!(line(&finding()), expected);
    let hostile = "\u{1b}[2J\n\"\u{202e}".repeat(1000);
    let hostile = Finding {
        request_id: None,
        title: hostile.clone(),
        dedup: hostile.clone(),
        event_id: hostile.clone(),
        context: vec![(hostile.clone(), hostile); 200],
        ..finding()
    };
    let hostile = line(&hostile);
    assert!(!hostile.contains(char::is_control));
    let value: Value = serde_json::from_str(&hostile).unwrap();
    assert_eq!(value.get("request_id"), None);
    assert_eq!(value["context"].as_object().unwrap().len(), 100);
    assert_eq!(value["title"].as_str().unwrap().chars().count(), 1100);
    assert_eq!(value["rule_id"], json!("tap.guardrail-intervened"));
}

#[test]
fn text_lines() {
    let check = |columns: Option<usize>, expected: &str| {
        let line = text(&finding(), columns, Colours::Off);
        assert_eq!(line, expected, "{columns:?}");
        assert!(columns.is_none_or(|columns| width(&line) <= columns));
    };
    check(
        None,
        "2026-10-07T07:51:59.250Z  critical  tap.guardrail-intervened          \
         App/alice: a guardrail blocked VIOLENCE in amazon.nova-micro-v1:0  \
         event=0123456789abcdef0123456789abcdef  request=b0168751-0000-4000-8000-000000000000",
    );
    check(
        Some(120),
        "2026-10-07 07:51:59  critical  tap.guardrail-intervened        \
         App/alice: a guardrail blocked VIOLENCE in amazon.nova-m…",
    );
    check(Some(80), "10-07 07:51:59 critical guardrail-intervened App/alice: a guardrail blocked VIO…");
    check(Some(50), "07:51:59 crit guardrail-i… App/alice: a guardrail…");
    check(Some(10), "07:51:59 …");
    check(Some(0), "");
    let arn = "arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_App/alice calls amazon.nova-micro-v1:0";
    let told = Finding { title: arn.to_owned(), ..finding() };
    assert!(text(&told, Some(80), Colours::Off).ends_with(" App/alice calls amazon.nova-micro-…"));
    assert!(text(&told, None, Colours::Off).contains(arn), "what programs read is whole");

    let coloured = text(&finding(), Some(80), Colours::On);
    assert!(
        coloured.starts_with("\x1b[2m10-07 07:51:59\x1b[0m \x1b[1;31mcritical\x1b[0m \x1b[36mguardrail"),
        "{coloured:?}"
    );
    let hostile = Finding { title: "\u{1b}[2J a\nb\u{202e}".to_owned(), ..finding() };
    assert!(text(&hostile, None, Colours::Off).contains("  \\u{1b}[2J a\\nb\\u{202e}  event="));
}

#[test]
fn ids_are_cut_from_their_beginning() {
    let check = |id: &str, columns: usize, expected: &str| assert_eq!(rule_in(id, columns), expected, "{id} {columns}");
    check("tap.token-abuse", 15, "tap.token-abuse");
    check("tap.token-abuse", 14, "token-abuse");
    check("tap.token-abuse", 8, "token-a…");
    check("panther.AWS.Bedrock.GuardrailUpdateDelete", 30, "Bedrock.GuardrailUpdateDelete");
    check("panther.AWS.Bedrock.GuardrailUpdateDelete", 28, "GuardrailUpdateDelete");
    check("acme.", 3, "ac…");
}
