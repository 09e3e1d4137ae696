//! What comes into the build, by the rules of `deny.toml`: for whoever has no `cargo deny`, and in every run of the tests.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// A crate that is built for the program.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Built {
    name: String,
    version: String,
    /// Where it comes from, where that is not crates.io.
    from: Option<String>,
    licence: String,
}

/// What is built for the program on this platform, with all features: all but what only tests need.
fn built() -> BTreeSet<Built> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--all-features", "--edges", "normal,build"])
        .args(["--prefix", "none", "--format", "{p}|{l}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let built = text.lines().filter(|line| !line.is_empty()).map(|line| {
        // What stands before is marked where it was listed before.
        let (package, licence) = line.trim_end_matches(" (*)").split_once('|').unwrap();
        let mut words = package.splitn(3, ' ');
        let (name, version) = (words.next().unwrap(), words.next().unwrap().trim_start_matches('v'));
        let from = words.next().map(|from| from.replace("(proc-macro)", "")).filter(|from| !from.trim().is_empty());
        Built { name: name.to_owned(), version: version.to_owned(), from, licence: licence.to_owned() }
    });
    built.collect()
}

fn rules() -> toml::Table {
    include_str!("../deny.toml").parse().unwrap()
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
    let (built, rules) = (built(), rules());
    assert!(built.len() > 200, "{} crates", built.len());
    let licences: Vec<&str> =
        rules["licenses"]["allow"].as_array().unwrap().iter().map(|value| value.as_str().unwrap()).collect();
    let allowed: BTreeSet<&str> = licences.into_iter().collect();
    let banned: BTreeSet<&str> =
        rules["bans"]["deny"].as_array().unwrap().iter().map(|ban| ban["crate"].as_str().unwrap()).collect();
    let (mut used, mut versions) = (BTreeSet::new(), BTreeMap::<&str, Vec<&str>>::new());
    for Built { name, version, from, licence } in &built {
        assert!(is_met(licence, &allowed), "{name} {version} is under {licence:?}");
        used.extend(allowed.iter().copied().filter(|known| licence.contains(known)));
        assert!(name == "bedrock-tap" || from.is_none(), "{name} {version} is from {from:?}");
        assert!(!banned.contains(name.as_str()), "{name} {version} is banned");
        versions.entry(name).or_default().push(version);
    }
    let unused: Vec<_> = allowed.difference(&used).collect();
    assert!(unused.is_empty(), "no crate is under {unused:?} any more");
    // Further versions of a crate are known, each with its reason.
    let skip = |skip: &toml::Value| {
        assert!(!skip["reason"].as_str().unwrap().is_empty());
        let (name, version) = skip["crate"].as_str().unwrap().split_once('@').unwrap();
        (name.to_owned(), version.to_owned())
    };
    let skipped: Vec<(String, String)> = rules["bans"]["skip"].as_array().unwrap().iter().map(skip).collect();
    let is_of = |version: &str, wanted: &str| version == wanted || version.starts_with(&format!("{wanted}."));
    for (name, versions) in versions {
        let is_skipped = |version: &&&str| skipped.iter().any(|(known, of)| known == name && is_of(version, of));
        let rest = versions.iter().filter(|version| !is_skipped(version)).count();
        assert!(rest <= 1, "{name} comes in the versions {versions:?}: take one, or say why in deny.toml");
    }
}
