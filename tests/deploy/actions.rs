//! The table of actions beside the source: each call is in the table, and each row is called.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bedrock_tap::aws::actions::{ACTIONS, Call, Use};
use regex::Regex;
use serde_json::Value;

use super::{path, text};

/// What calls no service of AWS: the embedded endpoint of the demo, which this process serves.
const DEMO: &[&str] = &["src/cli/demo/", "src/cli/demo.rs", "src/generator/", "src/generator.rs"];

/// Files whose `.send()` is of another client.
const OTHER_CLIENTS: &[&str] = &["src/sink/otlp/grpc.rs"];

/// The operations of each SDK, by the names of their functions: `get_object`.
type Operations = BTreeMap<String, BTreeSet<String>>;

/// The SDKs that `Cargo.toml` names, and what the crates themselves say of their operations.
fn operations() -> Operations {
    let manifest: toml::Table = text("Cargo.toml").parse().unwrap();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let asked = Command::new(cargo)
        .args(["metadata", "--offline", "--locked", "--format-version", "1"])
        .current_dir(path(""))
        .output()
        .unwrap();
    assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
    let metadata: Value = serde_json::from_slice(&asked.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let mut found = Operations::new();
    for name in manifest["dependencies"].as_table().unwrap().keys().filter(|name| name.starts_with("aws-sdk-")) {
        let package = packages.iter().find(|package| package["name"] == **name).unwrap();
        let folder = Path::new(package["manifest_path"].as_str().unwrap()).with_file_name("src/client");
        let names: BTreeSet<_> = fs::read_dir(&folder)
            .unwrap()
            .filter_map(|entry| Some(entry.unwrap().file_name().to_str()?.strip_suffix(".rs")?.to_owned()))
            .filter(|name| name != "customize")
            .collect();
        assert!(names.len() > 3, "{} holds no operations", folder.display());
        found.insert(name["aws-sdk-".len()..].to_owned(), names);
    }
    assert!(found.len() > 3, "Cargo.toml names no SDKs");
    found
}

/// The source without comments and without its unit tests, which stand at the end of a file.
fn plain(source: &str) -> String {
    let (source, _) = source.split_once("#[cfg(test)]\nmod ").unwrap_or((source, ""));
    let lines = source.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.fold(String::new(), |all, line| all + line + "\n")
}

/// The calls of one file, as SDK and function, or what of it cannot be read.
fn calls(source: &str, sdks: &Operations) -> Result<BTreeSet<(String, String)>, String> {
    let source = plain(source);
    let is_operation = |name: &str| sdks.values().any(|names| names.contains(name));
    let sends = source.matches(".send()").count();
    // Each would be a call that this cannot see.
    for other in ["_paginator(", ".presigned(", "wait_until_", ".send_with(", ".orchestrate(", "::fluent_builders"] {
        if source.contains(other) {
            return Err(format!("calls by `{other}`"));
        }
    }
    for found in Regex::new(r"\bClient::(\w+)").unwrap().captures_iter(&source) {
        if is_operation(&found[1]) {
            return Err(format!("names `{}` without calling it", &found[0]));
        }
    }
    if sends == 0 {
        return Ok(BTreeSet::new());
    }
    let imports: BTreeSet<_> =
        Regex::new(r"\baws_sdk_(\w+)").unwrap().captures_iter(&source).map(|found| found[1].to_owned()).collect();
    let (mut found, mut count) = (BTreeSet::new(), 0);
    for call in Regex::new(r"\.\s*([a-z0-9_]+)\(\)").unwrap().captures_iter(&source) {
        let name = &call[1];
        if !is_operation(name) {
            continue;
        }
        count += 1;
        let mut of: Vec<_> = sdks.iter().filter(|(_, names)| names.contains(name)).map(|(sdk, _)| sdk).collect();
        if of.len() > 1 {
            of.retain(|sdk| imports.contains(*sdk));
        }
        match of.as_slice() {
            [sdk] => found.insert(((*sdk).clone(), name.to_owned())),
            _ => return Err(format!("calls `{name}`, and no import tells of which SDK")),
        };
    }
    if count != sends {
        return Err(format!("names {count} operations and sends {sends}"));
    }
    Ok(found)
}

/// The files of the source, by their paths in the repository, without tests.
fn files() -> Vec<(String, String)> {
    let (mut folders, mut found) = (vec![PathBuf::from("src")], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(path(folder.to_str().unwrap())).unwrap() {
            let entry = entry.unwrap();
            let below = folder.join(entry.file_name());
            let name = below.to_str().unwrap().to_owned();
            if entry.file_type().unwrap().is_dir() {
                folders.push(below);
            } else if name.ends_with(".rs")
                && !name.ends_with("tests.rs")
                && !name.contains("/tests/")
                && !DEMO.iter().any(|demo| name.starts_with(demo))
            {
                found.push((name.clone(), text(&name)));
            }
        }
    }
    assert!(found.len() > 100, "only {} files", found.len());
    found
}

/// `ListObjectsV2` as its function is called, `list_objects_v2`.
fn function(operation: &str) -> String {
    let mut name = String::new();
    for letter in operation.chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

#[test]
fn each_call_is_in_the_table_and_each_row_is_called() {
    let sdks = operations();
    let mut called = BTreeMap::new();
    for (name, source) in files() {
        if OTHER_CLIENTS.contains(&name.as_str()) {
            let is_other = source.contains(".send()") && !source.contains("aws_sdk_");
            assert!(is_other, "{name} has no client of another kind: take it off the list");
            continue;
        }
        for call in calls(&source, &sdks).unwrap_or_else(|error| panic!("{name} {error}")) {
            called.entry(call).or_insert(name.clone());
        }
    }
    let table: BTreeSet<_> = ACTIONS
        .iter()
        .filter_map(|action| match action.call {
            Call::Sdk(sdk, operation) => Some((sdk.to_owned(), function(operation))),
            _ => None,
        })
        .collect();
    let missing: Vec<_> = called.iter().filter(|(call, _)| !table.contains(*call)).collect();
    assert!(missing.is_empty(), "calls that `ACTIONS` does not have: {missing:?}");
    let superfluous: Vec<_> = table.iter().filter(|call| !called.contains_key(*call)).collect();
    assert!(superfluous.is_empty(), "rows of `ACTIONS` that nothing calls: {superfluous:?}");
    let idle: Vec<_> = sdks.keys().filter(|sdk| !called.keys().any(|(used, _)| used == *sdk)).collect();
    assert!(idle.is_empty(), "SDKs without a call: {idle:?}");
}

#[test]
fn what_is_signed_here_and_what_takes_on_a_role_is_in_the_table() {
    let with = |part: &str| -> BTreeSet<String> {
        files().into_iter().filter(|(_, source)| plain(source).contains(part)).map(|(name, _)| name).collect()
    };
    let signed: BTreeSet<_> = ACTIONS
        .iter()
        .filter_map(|action| match action.call {
            Call::Signed(_, _, file) => Some(file.to_owned()),
            _ => None,
        })
        .collect();
    let calls = ["Signer::new(", "Call::rest(", "Call::json(", "Call::query("];
    assert_eq!(calls.iter().flat_map(|call| with(call)).collect::<BTreeSet<_>>(), signed);
    // Nothing else signs by itself.
    assert_eq!(with("aws_sigv4::"), BTreeSet::from(["src/aws/signature.rs".to_owned()]));
    for action in ACTIONS {
        if let Call::Signed(_, operation, file) = action.call
            && file.starts_with("src/doctor/")
        {
            assert!(plain(&text(file)).contains(&format!("\"{operation}\"")), "{file} does not ask {operation}");
        }
    }
    assert_eq!(with("AssumeRoleProvider::builder("), BTreeSet::from(["src/aws.rs".to_owned()]));
    assert_eq!(ACTIONS.iter().filter(|action| action.call == Call::Role).count(), 1);
}

#[test]
fn a_row_is_of_use() {
    let mut seen = BTreeSet::new();
    for action in ACTIONS {
        let call = format!("{:?} {}", action.call, action.iam);
        assert!(seen.insert(call.clone()), "{call} stands there twice");
        assert!(!action.uses.is_empty(), "{call} is for nothing");
        // What only looks at a key asks for itself.
        let is_key = action.iam.starts_with("kms:") && action.iam != "kms:DescribeKey";
        assert_eq!(matches!(action.call, Call::Behind(_)), is_key, "{call}");
        for usage in action.uses {
            assert_eq!(usage.is_of_key(), is_key, "{call} for {usage:?}");
        }
    }
    for usage in Use::ALL {
        assert!(ACTIONS.iter().any(|action| action.uses.contains(usage)), "{usage:?} needs nothing");
    }
    let uses: BTreeSet<_> = ACTIONS.iter().flat_map(|action| action.uses).collect();
    assert_eq!(uses.len(), Use::ALL.len(), "`Use::ALL` holds not all that the table names");
}

#[test]
fn calls_are_read_from_the_source() {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    let sdks = Operations::from([
        ("s3".to_owned(), names(&["get_object", "list_tags"])),
        ("sqs".to_owned(), names(&["receive_message", "list_tags"])),
    ]);
    #[track_caller]
    fn check(sdks: &Operations, source: &str, expected: Result<&[(&str, &str)], &str>) {
        let owned = |calls: &[(&str, &str)]| {
            calls.iter().map(|(sdk, name)| ((*sdk).to_owned(), (*name).to_owned())).collect::<BTreeSet<_>>()
        };
        assert_eq!(calls(source, sdks), expected.map(owned).map_err(str::to_owned), "{source}");
    }
    check(&sdks, "client.get_object().bucket(b).send().await", Ok(&[("s3", "get_object")]));
    check(&sdks, "client\n    .get_object()\n    .send()", Ok(&[("s3", "get_object")]));
    check(
        &sdks,
        "let call = described!(self, self.client.get_object(), key); call.send()",
        Ok(&[("s3", "get_object")]),
    );
    check(&sdks, "use aws_sdk_sqs::Client;\nclient.list_tags().send()", Ok(&[("sqs", "list_tags")]));
    check(&sdks, "client.list_tags().send()", Err("calls `list_tags`, and no import tells of which SDK"));
    check(&sdks, "build(client).send()", Err("names 0 operations and sends 1"));
    check(&sdks, "client.get_object().send(); other.send()", Err("names 1 operations and sends 2"));
    check(&sdks, "client.get_object().into_paginator()", Err("calls by `_paginator(`"));
    check(&sdks, "call(Client::get_object)", Err("names `Client::get_object` without calling it"));
    check(&sdks, "table.get_object().await", Ok(&[]));
    check(&sdks, "// client.get_object().send()", Ok(&[]));
    check(&sdks, "#[cfg(test)]\nmod tests {\n    client.get_object().send()\n}", Ok(&[]));
    check(&sdks, "sender.send(message)", Ok(&[]));
    assert_eq!(function("ListObjectsV2"), "list_objects_v2");
}
