//! The policies in `deploy/iam` and the table in `deploy/README.md`, which are written from the table of actions.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;

use bedrock_tap::aws::actions::{ACTIONS, Call, Condition, Use};
use serde_json::{Value, json};

use super::{check_written, path, text, with_part};

/// Policies that are not of the program: of the services before it, of those who start it, and who may take a role on.
const OTHERS: &[&str] = &[
    "bedrock-bucket-policy.json",
    "bedrock-policy.json",
    "bedrock-trust.json",
    "execution-policy.json",
    "firehose-policy.json",
    "firehose-trust.json",
    "logs-firehose-policy.json",
    "logs-policy.json",
    "logs-trust.json",
    "reader-trust.json",
    "s3-queue-policy.json",
    "state-policy.json",
    "tasks-trust.json",
];

/// One thing as itself, several as a list.
fn listed(mut values: Vec<Value>) -> Value {
    if values.len() == 1 { values.remove(0) } else { Value::Array(values) }
}

/// What a use may do, each action once, in the order of the table.
fn actions(uses: &[Use]) -> Vec<&'static str> {
    let mut found = Vec::new();
    for action in ACTIONS.iter().filter(|action| action.uses.iter().any(|usage| uses.contains(usage))) {
        if !found.contains(&action.iam) {
            found.push(action.iam);
        }
    }
    found
}

/// The policies of the program, by their files.
fn policies() -> BTreeMap<String, Vec<Value>> {
    let mut policies = BTreeMap::<String, Vec<Value>>::new();
    let mut seen = BTreeSet::new();
    for usage in Use::ALL {
        let grant = usage.grant();
        if !seen.insert((grant.policy, grant.statement)) {
            continue;
        }
        let uses: Vec<_> = Use::ALL
            .iter()
            .copied()
            .filter(|other| (other.grant().policy, other.grant().statement) == (grant.policy, grant.statement))
            .collect();
        for other in &uses {
            let other = other.grant();
            assert_eq!((other.resources, other.condition), (grant.resources, grant.condition), "{}", grant.statement);
        }
        let mut statement = json!({
            "Sid": grant.statement,
            "Effect": "Allow",
            "Action": listed(actions(&uses).into_iter().map(Value::from).collect()),
            "Resource": listed(grant.resources.iter().copied().map(Value::from).collect()),
        });
        if let Some(Condition::Via(service)) = grant.condition {
            let via = format!("{service}.@REGION@.amazonaws.com");
            statement["Condition"] = json!({ "StringEquals": { "kms:ViaService": via } });
        }
        policies.entry(format!("{}-policy.json", grant.policy)).or_default().push(statement);
    }
    policies
}

/// JSON with an element a line, and what fits into a line on one.
fn write(value: &Value, indent: usize, before: usize, out: &mut String) {
    let flat = flat(value);
    let is_small = indent > 1 && !matches!(value, Value::Object(members) if members.contains_key("Sid"));
    if is_small && indent * 2 + before + flat.len() < 120 {
        return out.push_str(&flat);
    }
    let deeper = "  ".repeat(indent + 1);
    match value {
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index == 0 { "\n" } else { ",\n" });
                out.push_str(&deeper);
                write(item, indent + 1, 1, out);
            }
            let _ = write!(out, "\n{}]", "  ".repeat(indent));
        }
        Value::Object(_) => {
            out.push('{');
            for (index, (key, item)) in members(value).into_iter().enumerate() {
                out.push_str(if index == 0 { "\n" } else { ",\n" });
                let _ = write!(out, "{deeper}{key:?}: ");
                write(item, indent + 1, key.len() + 5, out);
            }
            let _ = write!(out, "\n{}}}", "  ".repeat(indent));
        }
        _ => out.push_str(&flat),
    }
}

/// The members in the order in which people read policies.
fn members(value: &Value) -> Vec<(&String, &Value)> {
    let order = |key: &str| ["Version", "Sid", "Effect", "Action", "Resource"].iter().position(|name| *name == key);
    let mut members: Vec<_> = value.as_object().unwrap().iter().collect();
    members.sort_by_key(|(key, _)| order(key).unwrap_or(usize::MAX));
    members
}

fn flat(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(flat).collect::<Vec<_>>().join(", ")),
        Value::Object(_) => {
            let members = members(value).into_iter().map(|(key, item)| format!("{key:?}: {}", flat(item)));
            format!("{{ {} }}", members.collect::<Vec<_>>().join(", "))
        }
        _ => value.to_string(),
    }
}

#[test]
fn the_policies_are_what_the_table_says() {
    let policies = policies();
    let mut files: BTreeSet<_> = OTHERS.iter().map(|name| (*name).to_owned()).collect();
    for (name, statements) in &policies {
        let mut written = String::new();
        write(&json!({ "Version": "2012-10-17", "Statement": statements }), 0, 0, &mut written);
        check_written(&format!("deploy/iam/{name}"), &format!("{written}\n"));
        assert!(files.insert(name.clone()), "{name} is not the program's");
    }
    let found: BTreeSet<_> = fs::read_dir(path("deploy/iam"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(found, files, "each file is written from the table, or is one of the others");
}

/// Read from the files, and so independent of how they are written.
#[test]
fn the_policies_allow_each_action_of_the_table_and_no_other() {
    let mut allowed = BTreeSet::new();
    for name in policies().keys() {
        let policy: Value = serde_json::from_str(&text(&format!("deploy/iam/{name}"))).unwrap();
        for statement in policy["Statement"].as_array().unwrap() {
            let sid = statement["Sid"].as_str().unwrap();
            assert_eq!(statement["Effect"], "Allow");
            let action = &statement["Action"];
            let actions = action.as_array().cloned().unwrap_or_else(|| vec![action.clone()]);
            for action in actions {
                let action = action.as_str().unwrap().to_owned();
                assert!(!action.contains('*'), "{name}: {action}");
                // What only looks at a key asks for itself.
                let is_key = action.starts_with("kms:") && action != "kms:DescribeKey";
                assert_eq!(is_key, !statement["Condition"]["StringEquals"]["kms:ViaService"].is_null(), "{name} {sid}");
                allowed.insert(action);
            }
            // Names cannot be looked for within one name, and Bedrock's logging has none.
            let resource = &statement["Resource"];
            let is_of_all = ["FindItsArn", "LookAround", "SwitchLoggingOn"].contains(&sid);
            assert_eq!(resource == "*", is_of_all, "{name} {sid}");
        }
    }
    let table: BTreeSet<_> = ACTIONS.iter().map(|action| action.iam.to_owned()).collect();
    assert_eq!(allowed, table);
}

#[test]
fn the_page_shows_the_table() {
    let mut table = "| call | action | for | policy |\n|---|---|---|---|\n".to_owned();
    for action in ACTIONS {
        let call = match action.call {
            Call::Sdk(_, operation) => format!("`{operation}`"),
            Call::Signed(service, request, _) => match request {
                "any" => format!("requests signed for `{service}`"),
                _ => format!("`{request}`, signed for `{service}`"),
            },
            Call::Role => "`AssumeRole`".to_owned(),
            Call::Behind(service) => format!("by {} for the program", name(service)),
        };
        let words: Vec<_> = action.uses.iter().map(|usage| usage.grant().words).collect();
        let policies: BTreeSet<_> = action.uses.iter().map(|usage| format!("`{}`", usage.grant().policy)).collect();
        let policies = policies.into_iter().collect::<Vec<_>>().join(", ");
        let _ = writeln!(table, "| {call} | `{}` | {} | {policies} |", action.iam, words.join("; "));
    }
    let page = text("deploy/README.md");
    check_written("deploy/README.md", &with_part(&page, "actions", &table));
}

fn name(service: &str) -> &'static str {
    match service {
        "kinesis" => "Kinesis",
        "s3" => "S3",
        "sqs" => "SQS",
        other => panic!("{other} has no name here"),
    }
}
