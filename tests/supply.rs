//! What comes into the build, by the rules of `deny.toml`: for whoever has no `cargo deny`, and in every run of the tests.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// `cargo metadata`, of the platform that this is built for: crates of others may not be at hand.
fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline", "--all-features"])
        .args(["--filter-platform", env!("BEDROCK_TAP_TARGET")])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn rules() -> toml::Table {
    include_str!("../deny.toml").parse().unwrap()
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

/// The ids of what is built for the program: all but what only tests need.
fn shipped(metadata: &Value) -> BTreeSet<&str> {
    let nodes: BTreeMap<&str, &Value> =
        metadata["resolve"]["nodes"].as_array().unwrap().iter().map(|node| (text(node, "id"), node)).collect();
    let mut found = BTreeSet::new();
    let mut waiting = vec![text(&metadata["resolve"], "root")];
    while let Some(id) = waiting.pop() {
        if !found.insert(id) {
            continue;
        }
        for dependency in nodes[id]["deps"].as_array().unwrap() {
            if dependency["dep_kinds"].as_array().unwrap().iter().any(|kind| kind["kind"] != "dev") {
                waiting.push(text(dependency, "pkg"));
            }
        }
    }
    found
}

/// Whether a licence expression can be met with these licences.
fn is_met(expression: &str, allowed: &BTreeSet<&str>) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let met = any_of(&words, &mut at, allowed);
    assert_eq!(at, words.len(), "{expression}");
    met
}

fn any_of(words: &[&str], at: &mut usize, allowed: &BTreeSet<&str>) -> bool {
    let mut met = all_of(words, at, allowed);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        met |= all_of(words, at, allowed);
    }
    met
}

fn all_of(words: &[&str], at: &mut usize, allowed: &BTreeSet<&str>) -> bool {
    let mut met = one(words, at, allowed);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        met &= one(words, at, allowed);
    }
    met
}

fn one(words: &[&str], at: &mut usize, allowed: &BTreeSet<&str>) -> bool {
    let word = words[*at];
    *at += 1;
    if word == "(" {
        let met = any_of(words, at, allowed);
        assert_eq!(words.get(*at), Some(&")"));
        *at += 1;
        return met;
    }
    if words.get(*at) == Some(&"WITH") {
        // An exception is a licence of its own.
        *at += 2;
        return allowed.contains(format!("{word} WITH {}", words[*at - 1]).as_str());
    }
    allowed.contains(word)
}

#[test]
fn licence_expressions_are_understood() {
    let allowed = BTreeSet::from(["MIT", "Apache-2.0", "ISC"]);
    let check = |expression: &str, expected: bool| assert_eq!(is_met(expression, &allowed), expected, "{expression}");
    check("MIT", true);
    check("GPL-3.0", false);
    check("MIT/Apache-2.0", true);
    check("GPL-3.0 OR MIT", true);
    check("GPL-3.0 AND MIT", false);
    check("Apache-2.0 AND ISC", true);
    check("(GPL-3.0 OR MIT) AND ISC", true);
    check("MIT OR GPL-3.0 AND ISC", true);
    check("(MIT OR ISC) AND GPL-3.0", false);
    check("Apache-2.0 WITH LLVM-exception", false);
    check("Apache-2.0 WITH LLVM-exception OR MIT", true);
}

#[test]
fn what_comes_into_the_build_is_allowed() {
    let (metadata, rules) = (metadata(), rules());
    let strings = |table: &str, key: &str| -> Vec<String> {
        rules[table][key].as_array().unwrap().iter().map(|value| value.as_str().unwrap().to_owned()).collect()
    };
    let licences = strings("licenses", "allow");
    let allowed: BTreeSet<&str> = licences.iter().map(String::as_str).collect();
    let registries: BTreeSet<String> =
        strings("sources", "allow-registry").into_iter().map(|url| format!("registry+{url}")).collect();
    let banned: BTreeSet<&str> =
        rules["bans"]["deny"].as_array().unwrap().iter().map(|ban| ban["crate"].as_str().unwrap()).collect();
    let shipped = shipped(&metadata);
    let mut used = BTreeSet::new();
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in metadata["packages"].as_array().unwrap() {
        let (id, name, version) = (text(package, "id"), text(package, "name"), text(package, "version"));
        if !shipped.contains(id) {
            continue;
        }
        let licence = text(package, "license");
        assert!(is_met(licence, &allowed), "{name} {version} is under {licence:?}");
        used.extend(allowed.iter().filter(|known| licence.contains(**known)));
        assert!(name == "bedrock-tap" || registries.contains(text(package, "source")), "{name} {version}");
        assert!(!banned.contains(name), "{name} {version} is banned");
        versions.entry(name).or_default().push(version);
    }
    let unused: Vec<_> = allowed.difference(&used).collect();
    assert!(unused.is_empty(), "no crate is under {unused:?} any more");
    // Further versions of a crate are known, each with its reason.
    let skipped: Vec<(&str, &str)> = rules["bans"]["skip"]
        .as_array()
        .unwrap()
        .iter()
        .map(|skip| {
            assert!(!skip["reason"].as_str().unwrap().is_empty());
            skip["crate"].as_str().unwrap().split_once('@').unwrap()
        })
        .collect();
    let is_of = |version: &str, wanted: &str| version == wanted || version.starts_with(&format!("{wanted}."));
    for (name, versions) in versions {
        let is_skipped = |version: &&&str| skipped.iter().any(|(known, of)| *known == name && is_of(version, of));
        let rest = versions.iter().filter(|version| !is_skipped(version)).count();
        assert!(rest <= 1, "{name} comes in the versions {versions:?}: take one, or say why in deny.toml");
    }
}
