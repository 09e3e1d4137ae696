//! `bedrock-tap rules` and `bedrock-tap detect` through the real program: files of rules with faults, tests that fail, and
//! records in the shapes in which people keep them.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use bedrock_tap::config::{Look, RuleFile};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The least that is a rule.
const MINIMAL: &str = "\
id = 'acme.night-shift'
name = 'Night shift'
description = 'Calls at night.'
severity = 'low'
match = 'event.operation == \"Converse\"'
title = '{event.operation} by {view.account}'
";

/// Parses a rule's text and compares the error with `expected`; nothing is expected of a valid one.
#[track_caller]
fn check_rule(text: &str, expected: &str) {
    let look = Look { width: 80, colours: false };
    let found = RuleFile::parse(text, "t.toml").map_or_else(|error| error.render(look), |_| String::new());
    assert!(found == expected.trim_matches('\n'), "expected:\n{expected}\n\nfound:\n{found}\n");
}

fn with(more: &str) -> String {
    format!("{MINIMAL}{more}")
}

#[test]
fn faults_of_rules_are_shown_where_they_are() {
    check_rule(MINIMAL, "");
    check_rule(
        &with("treshold = 3\n"),
        "
t.toml:7:1: `treshold`: no key of this name
7 | treshold = …
  | ^^^^^^^^
  = hint: did you mean `threshold`?
  = allowed: aggregates, baseline, blind_spots, context, dedup, dedup_period,
             description, first_seen, group_by, id, let, log_type, match, mitre,
             name, references, runbook, severities, severity, tags, tests,
             threshold, title, window",
    );
    check_rule(
        &MINIMAL.replace(
            "'event.operation == \"Converse\"'",
            "'''\nevent.operation == 'Converse'\n  && total_tokens > 3'''",
        ),
        "
t.toml:7:6: `match`: no variable `total_tokens`
7 |   && total_tokens > 3'''
  |      ^^^^^^^^^^^^
  = allowed: event, view",
    );
    check_rule(
        &MINIMAL.replace("{view.account}'", "{view.acount} and {view.region}'"),
        "
t.toml:6:37: `title`: `view` has no member `acount`
6 | title = '{event.operation} by {view.acount} and {view.region}'
  |                                     ^^^^^^
  = hint: did you mean `account`?
  = allowed: id, time, account, region, inference_region, operation, model_id,
             model, identity, request_id, error, metadata, streamed, parameters,
             tools, system, messages, prompt_text, user_text, tool_result_text,
             answer, answer_text, tool_call_text, tool_calls, stop_reason,
             stop_word, usage, latency_ms, first_byte_ms, response_id,
             provider_request_id, response_model, embeddings, guardrail, cost,
             bytes, bedrock_tap",
    );
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let check = |text: &str, parts: &[&str]| {
        let error = RuleFile::parse(text, "t.toml").map(|_| ()).unwrap_err().to_string();
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    };
    let id = |id: &str| MINIMAL.replace("acme.night-shift", id);
    check(&id("night-shift"), &["t.toml:1:6: `id`: \"night-shift\" is no id", "a prefix, a dot and a name"]);
    check(&id("acme..x"), &["is no id"]);
    check(&id(""), &["`id`: has 0 characters"]);
    check(&with("let = [{ name = 'event', value = '1' }]"), &["`let[0].name`: the name `event` is taken"]);
    check(&with("let = [{ name = 'in', value = '1' }]"), &["`in` is a word of CEL"]);
    check(&with("let = [{ name = '1a', value = '1' }]"), &["\"1a\" is no name", "with no digit first"]);
    let twice = "let = [{ name = 'a', value = '1' }, { name = 'a', value = '2' }]";
    check(&with(twice), &["`let[1].name`: the name `a` is there twice"]);
    check(&with("let = [{ name = 'a', value = '' }]"), &["`let[0].value`: has 0 characters"]);
    check(&with("tags = ['a', ' ']"), &["`tags[1]`: is empty"]);
    check(
        &with("mitre.attack = ['T14']"),
        &["`mitre.attack[0]`: \"T14\" is none of MITRE's names", "TA0040:T1496.004"],
    );
    check(&with("mitre.atlas = ['T0051']"), &["AML.T0051"]);
    check(&with("window = '90d'"), &["`window`", "is out of range", "1s to 30d"]);
    check(&with("severities = [{ when = 'true', severity = 'bad' }]"), &["\"bad\" is not allowed", "\"critical\""]);
    check(&with("aggregates = [{ function = 'sum', of = '1', at_least = nan }]"), &["`aggregates"]);
    check(&with("log_type = 'AWS.CloudTrail'"), &["`title`: there is no `view` of these records, only `event`"]);
    check(
        &with("tests = [{ name = 'a', events = '{}', findings = 0, title = 'x' }]"),
        &["a test expects something of a finding, and no finding"],
    );
}

/// Runs the program, with the paths of `files` in a new directory.
fn run(args: &[&str], directory: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bedrock-tap")).args(args).current_dir(directory).output().unwrap()
}

fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    directory
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn own_rules_have_ids_of_their_own() {
    let other = MINIMAL.replace("acme", "ACME");
    let managed = MINIMAL.replace("acme", "tap");
    let files = [("rules/a.toml", MINIMAL), ("rules/deep/b.toml", &other), ("c.toml", &managed), ("rules/x.md", "no")];
    let directory = directory(&files);
    let check = |args: &[&str], code: i32, parts: &[&str]| {
        let output = run(args, directory.path());
        let found = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{found}");
        assert!(parts.iter().all(|part| found.contains(part)), "{found}");
    };
    check(
        &["rules", "list", "--rule-files", "rules/a.toml", "acme.*"],
        0,
        &["acme.night-shift  Night shift", "1 rule: 1 low"],
    );
    check(
        &["rules", "list", "--rule-files", "rules"],
        64,
        &["rules/deep/b.toml:\n", "`id`: ACME.night-shift is the id of the rule in rules/a.toml"],
    );
    check(
        &["rules", "list", "--rule-files", "c.toml"],
        64,
        &["c.toml:1:6", "`tap.` is for the rules that come with the program", "`acme.night-shift`"],
    );
    check(&["rules", "list", "--rule-files", "rules", "--rule-files", "gone"], 64, &["gone", "rules/deep/b.toml"]);
    check(
        &["rules", "test", "c.toml"],
        0,
        &["no tests  tap.night-shift", "1 rule, 0 tests: 0 passed, 0 failed; 1 rule without tests"],
    );
    check(
        &["rules", "show", "night-shift", "--rule-files", "rules/a.toml"],
        0,
        &["match       event.operation == \"Converse\""],
    );
    check(&["rules", "show", "acme.night-shift", "--output", "toml", "--rule-files", "rules/a.toml"], 0, &[MINIMAL]);
    check(&["rules", "show", "nigt-shift", "--rule-files", "rules/a.toml"], 64, &["did you mean `night-shift`?"]);
}

#[test]
fn tests_of_rules_show_what_differs() {
    let tests = r#"
[[tests]]
name = "two calls"
findings = 1
alerts = 2
title = "Converse by nobody"
severity = "high"
events = '[{"operation":"Converse"},{"operation":"InvokeModel"}] {"operation":"Converse"}'

[[tests]]
name = "no record"
findings = 0
events = '{"operation":'

[[tests]]
name = "as it should be"
findings = 1
alerts = 1
dedup = "Converse by 123456789012"
events = '{"operation":"Converse","timestamp":"2099-01-01T00:00:00Z"}'
"#;
    let directory = directory(&[("a.toml", &with(tests))]);
    let output = run(&["rules", "test", "a.toml"], directory.path());
    assert_eq!(output.status.code(), Some(1));
    let expected = r#"
FAILED    acme.night-shift: two calls
          findings  expected 1, found 2 (in events 1 and 3 of 3)
          alerts    expected 2, found 1 (of 2 events)
          title     expected "Converse by nobody"
                    found    "Converse by 123456789012"
          severity  expected "high"
                    found    "low"
FAILED    acme.night-shift: no record
          events    the events are not JSON: EOF while parsing a value at line 1
                    column 13
1 rule, 3 tests: 1 passed, 2 failed
"#;
    assert_eq!(text(&output.stdout), expected.trim_start());
    let output = run(&["rules", "test", "--verbose"], directory.path());
    let page = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{page}");
    assert!(page.contains("ok        tap.guardrail-intervened: "), "{page}");
}

#[test]
fn managed_rules_are_listed_and_their_pages_fit_80_columns() {
    let directory = directory(&[]);
    let output = run(&["rules", "list", "--output", "json"], directory.path());
    let rules: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let ids: Vec<_> = rules.iter().map(|rule| rule["id"].as_str().unwrap()).collect();
    assert!(ids.contains(&"tap.guardrail-intervened") && ids.is_sorted(), "{ids:?}");
    let narrow = |page: &[u8]| {
        let page = text(page);
        // Columns of what stands before each part of a page.
        const LABEL: usize = 12;
        // A URL and an expression without blanks are not broken, so that they can be copied.
        let is_one_word = |line: &str| !line.chars().skip(LABEL).collect::<String>().trim_start().contains(' ');
        let may_be_wide = |line: &str| line.contains("https://") || is_one_word(line);
        let mut wide = page.lines().filter(|line| line.chars().count() > 80 && !may_be_wide(line));
        assert_eq!(wide.next(), None);
        page
    };
    // What a program reads has a rule a line, so that `grep` shows all of it.
    let page = text(&run(&["rules", "list"], directory.path()).stdout);
    for rule in &rules {
        let [id, name, severity] = ["id", "name", "severity"].map(|key| rule[key].as_str().unwrap());
        let is_rule = |line: &&str| line.starts_with(severity) && line.ends_with(name);
        assert!(page.lines().filter(is_rule).any(|line| line.split_whitespace().nth(1) == Some(id)), "{id}: {page}");
    }
    for id in ids {
        assert!(narrow(&run(&["rules", "show", id], directory.path()).stdout).contains(id));
    }
}

#[test]
fn the_readme_lists_the_managed_rules() {
    let directory = directory(&[]);
    let output = run(&["rules", "list", "--output", "json"], directory.path());
    let rules: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let ids: Vec<_> = rules.iter().map(|rule| rule["id"].as_str().unwrap()).collect();
    let readme = include_str!("../README.md");
    let table = readme.split_once("| family | rules |").unwrap().1.split_once("\n\n").unwrap().0;
    let mut listed: Vec<_> = table.split('`').skip(1).step_by(2).collect();
    listed.sort_unstable();
    assert_eq!(listed, ids);
}

fn invocation(second: u32) -> Value {
    json!({
        "schemaVersion": "1.0", "timestamp": format!("2026-10-07T07:52:{second:02}Z"), "accountId": "123456789012",
        "region": "us-east-1", "requestId": format!("call-{second}"), "operation": "Converse",
        "modelId": "anthropic.claude-haiku-4-5-20251001-v1:0", "input": {"inputBodyJson": {"messages": []}},
        "output": {"outputBodyJson": {"usage": {"totalTokens": 10}}},
    })
}

fn trail(second: u32) -> Value {
    json!({
        "eventVersion": "1.10", "eventTime": format!("2026-10-07T07:53:{second:02}Z"), "eventSource": "bedrock.amazonaws.com",
        "eventName": "DeleteGuardrail", "awsRegion": "us-east-1", "eventID": format!("event-{second}"),
        "userIdentity": {"type": "IAMUser", "arn": "arn:aws:iam::123456789012:user/a"},
    })
}

const TRAIL_RULE: &str = "\
id = 'acme.trail'
name = 'Trail'
description = 'Guardrails that went.'
severity = 'high'
log_type = 'AWS.CloudTrail'
match = 'event.eventName == \"DeleteGuardrail\"'
title = '{event.eventName}'
";

#[test]
fn records_are_found_in_every_shape() {
    let records: Vec<Value> = vec![invocation(1), trail(1), invocation(2), trail(2)];
    let lines = |wrap: &dyn Fn(&Value) -> Value| {
        records.iter().map(|record| wrap(record).to_string()).collect::<Vec<_>>().join("\n")
    };
    let list = |wrap: &dyn Fn(&Value) -> Value| records.iter().map(wrap).collect::<Vec<_>>();
    let pretty = |value: &Value| serde_json::to_string_pretty(value).unwrap();
    let mut shapes = vec![
        lines(&Value::clone),
        json!(records).to_string(),
        pretty(&json!(records)),
        records.iter().map(pretty).collect(),
        json!({ "Records": records }).to_string(),
        pretty(&json!({ "Records": records })),
        lines(
            &|r| json!({"version": "0", "detail-type": "AWS API Call via CloudTrail", "source": "aws.bedrock", "detail": r}),
        ),
        lines(&|r| json!({"preview": false, "offset": 0, "result": {"_raw": r.to_string(), "modelId": "x"}})),
        lines(&|r| json!({"_raw": r.to_string(), "modelId": "x", "host": "h"})),
        json!({ "results": list(&|r| json!({"_raw": r.to_string()})) }).to_string(),
        lines(&|r| json!({"time": 1, "sourcetype": "aws:cloudtrail", "event": r})),
        json!({"hits": {"total": 4, "hits": list(&|r| json!({"_source": {"@timestamp": "2026-10-07T07:55:00Z", "message": r.to_string()}}))}}).to_string(),
        lines(&|r| json!({"_source": {"event": {"original": r.to_string(), "kind": "event"}}})),
        pretty(&json!(list(&|r| json!({"@timestamp": "x", "@message": r.to_string()})))),
        pretty(&json!({ "Events": list(&|r| json!({"EventId": "x", "CloudTrailEvent": r.to_string()})) })),
        pretty(&json!({ "events": list(&|r| json!({"eventId": "1", "timestamp": 1, "message": r.to_string()})) })),
        lines(&|r| json!({"eventId": "1", "timestamp": 1, "message": r.to_string()})),
        records.iter().map(|record| format!("2026-10-07T07:52:04.123000+00:00 bedrock {record}\n")).collect(),
    ];
    let events = list(&|r| json!({"id": "1", "timestamp": 1, "message": r.to_string()}));
    let envelope =
        json!({"messageType": "DATA_MESSAGE", "logGroup": "g", "logStream": "s", "owner": "1", "logEvents": events});
    shapes.push(envelope.to_string());
    let directory = directory(&[("a.toml", MINIMAL), ("b.toml", TRAIL_RULE)]);
    for shape in shapes {
        for is_compressed in [false, true] {
            let mut bytes = shape.clone().into_bytes();
            if is_compressed {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(&bytes).unwrap();
                bytes = encoder.finish().unwrap();
            }
            fs::write(directory.path().join("records"), bytes).unwrap();
            let args = ["detect", "--rules", "acme.*", "--rule-files", "a.toml", "--rule-files", "b.toml", "records"];
            let output = run(&args, directory.path());
            assert_eq!(text(&output.stderr), "", "{shape}");
            let mut found: Vec<_> = text(&output.stdout)
                .lines()
                .map(|line| serde_json::from_str::<Value>(line).unwrap())
                .map(|finding| format!("{} {}", finding["rule_id"], finding["time"]))
                .collect();
            found.sort();
            let expected = [
                r#""acme.night-shift" "2026-10-07T07:52:01Z""#,
                r#""acme.night-shift" "2026-10-07T07:52:02Z""#,
                r#""acme.trail" "2026-10-07T07:53:01Z""#,
                r#""acme.trail" "2026-10-07T07:53:02Z""#,
            ];
            assert_eq!(found, expected, "{shape}");
        }
    }
}

#[test]
fn notifications_of_s3_and_quoted_logs_are_what_they_were() {
    let directory = directory(&[("b.toml", TRAIL_RULE)]);
    let check = |record: Value, member: &str| {
        fs::write(directory.path().join("records"), record.to_string()).unwrap();
        let output = run(&["detect", "--summary", "records"], directory.path());
        let summary: Value = serde_json::from_str(text(&output.stderr).lines().last().unwrap()).unwrap();
        assert_eq!(summary.pointer(member), Some(&json!(1)), "{summary}");
    };
    let notification =
        json!({"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "eventTime": "2026-10-07T07:52:01Z"});
    check(json!({"Records": [notification]}), "/rejects/invalid_envelope");
    check(notification, "/skipped/not_invocation");
    check(json!({"message": "{\"level\":\"info\"}", "event": {"detail": {}}}), "/skipped/not_invocation");
}

#[test]
fn order_thresholds_and_exit_codes() {
    let counting = MINIMAL.replace("acme.night-shift", "acme.many")
        + "threshold = 3\nwindow = '1m'\ngroup_by = ['view.account']\n";
    let first = MINIMAL.replace("acme.night-shift", "acme.new")
        + "group_by = ['view.account']\nfirst_seen = { of = 'view.request_id', min_samples = 2 }\n";
    let records: Vec<_> = [3, 1, 2, 4].map(|second| invocation(second).to_string()).to_vec();
    let directory = directory(&[("r/a.toml", &counting), ("r/b.toml", &first), ("records", &records.join("\n"))]);
    let lines = |args: &[&str]| {
        let args = [&["detect", "--rule-files", "r"], args, &["records"]].concat();
        let output = run(&args, directory.path());
        let lines: Vec<Value> = text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (lines, output.status.code(), text(&output.stderr))
    };
    let times = |lines: &[Value]| {
        lines.iter().map(|line| line["time"].as_str().unwrap()[17..19].to_owned()).collect::<Vec<_>>()
    };
    let (found, code, _) = lines(&["--rules", "acme.many"]);
    assert_eq!((times(&found), code), (["03", "01", "02", "04"].map(String::from).to_vec(), Some(0)));
    // What compares with before is told in the order of time, whatever the order of the input.
    let (found, ..) = lines(&["--rules", "acme.new"]);
    assert_eq!(times(&found), ["03", "04"]);
    let (alerts, ..) = lines(&["--rules", "acme.many", "--alerts"]);
    assert_eq!(alerts.len(), 1);
    assert_eq!((&alerts[0]["count"], &alerts[0]["first_seen"]), (&json!(4), &json!("2026-10-07T07:52:01Z")));
    assert_eq!(lines(&["--rules", "acme.many", "--fail-on", "low"]).1, Some(3));
    assert_eq!(lines(&["--rules", "acme.many", "--fail-on", "medium"]).1, Some(0));
    let (_, code, told) = lines(&["--rules", "acme.many", "--summary"]);
    let summary: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((code, &summary["findings"]["acme.many"]), (Some(0), &json!(4)));
    assert_eq!(lines(&["--rules", "acme.mony"]).1, Some(64));
    let output = run(&["detect", "gone"], directory.path());
    assert_eq!(output.status.code(), Some(64));
    fs::write(directory.path().join("broken"), records[0].get(..50).unwrap()).unwrap();
    let output = run(&["detect", "broken"], directory.path());
    assert!(text(&output.stderr).starts_with("reject: "), "{}", text(&output.stderr));
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let records = (invocation(1).to_string() + "\n").repeat(5_000);
    let directory = directory(&[("a.toml", MINIMAL), ("records", &records)]);
    let mut child = Command::new(env!("CARGO_BIN_EXE_bedrock-tap"))
        .args(["detect", "--rules", "acme.*", "--rule-files", "a.toml", "records"])
        .current_dir(directory.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdout.take().unwrap().read_exact(&mut [0; 100]).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
}

#[test]
fn tail_marks_what_rules_find() {
    let other = invocation(2).to_string().replace("Converse", "InvokeModel");
    let records = format!("{}\n{other}\n", invocation(1));
    let directory = directory(&[("a.toml", MINIMAL), ("records", &records)]);
    let lines = |args: &[&str]| {
        let rules = ["--rules", "acme.*", "--rule-files", "a.toml"];
        let output = run(&[&["tail", "records"], &rules[..], args].concat(), directory.path());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stdout).lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let found = lines(&[]);
    assert!(found.len() == 2 && found[0].contains("night-shift") && !found[1].contains("night-shift"), "{found:?}");
    assert_eq!(lines(&["--findings-only"]).len(), 1);
    let found: Vec<Value> =
        lines(&["--output", "json"]).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(found[0]["bedrock_tap"]["findings"][0]["rule"], "acme.night-shift");
    assert_eq!(found[1].get("bedrock_tap"), None);
}

#[test]
fn the_rule_of_the_readme_passes_its_tests() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let from = readme.find("id = \"acme.night-shift\"").unwrap();
    let rule = readme[from..].split("```").next().unwrap();
    let directory = directory(&[("readme.toml", rule)]);
    let output = run(&["rules", "test", "readme.toml"], directory.path());
    assert_eq!(text(&output.stdout) + &text(&output.stderr), "1 rule, 1 test: 1 passed, 0 failed\n");
}
