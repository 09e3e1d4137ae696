//! `rules list`: a table of rules, or all there is to know of them as JSON.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{fitted, loading};
use crate::cli::tail::printer::Look;
use crate::config::{RuleFile, fold};
use crate::detect::finding::tone;
use crate::detect::{LogType, Severity};
use crate::format::text::escape::width as columns_of;
use crate::format::text::{Colours, Tone};

/// The flags.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only rules that these patterns choose, taken in their order.
    #[arg(value_name = "PAT")]
    patterns: Vec<String>,
    /// A table for people, or one JSON array of all rules.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Rules of your own, too: a file, a directory with `*.toml` files or a pattern; may be given several times.
    #[arg(long, value_name = "PATH")]
    rule_files: Vec<String>,
}

/// What is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Text,
    Json,
}

/// Columns of a severity, with the gap behind it.
const SEVERITY_COLUMNS: usize = 10;

/// Columns that names have beside the ids, at least.
const LEAST_NAME_COLUMNS: usize = 30;

/// The list.
///
/// # Errors
/// A file of rules that is not valid, or a pattern that chooses nothing.
pub(super) fn page(args: &Args) -> anyhow::Result<String> {
    let rules = loading::all(&args.rule_files)?;
    let patterns = if args.patterns.is_empty() { vec!["all".to_owned()] } else { args.patterns.clone() };
    let compiled: Vec<_> = rules.iter().map(|(_, rule)| std::sync::Arc::clone(rule)).collect();
    let chosen = loading::choose(&patterns, &compiled)?;
    let files: Vec<_> =
        rules.iter().map(|(file, _)| file).filter(|file| chosen.iter().any(|rule| rule.id == file.id)).collect();
    Ok(match args.output {
        Output::Text => table(&files, fitted(), Look::of_process(None).colours),
        Output::Json => format!("{:#}\n", Value::Array(files.iter().map(|file| json(file)).collect())),
    })
}

/// A rule as JSON: its file with every default, and without what is empty.
fn json(file: &RuleFile) -> Value {
    let mut value = serde_json::to_value(file).unwrap_or_default();
    if let Some(members) = value.as_object_mut() {
        members.insert("tests".to_owned(), json!(file.tests.len()));
    }
    value
}

/// What rules of one group have in common: who made them, and what they look at.
fn heading(file: &RuleFile) -> String {
    let prefix = file.id.split('.').next().unwrap_or_default();
    let at = match file.log_type {
        LogType::Invocation => "",
        LogType::CloudTrail => ", over CloudTrail",
    };
    match prefix {
        // They are few, so one group holds those over either.
        "panther" => "panther: exactly as Panther's public rules".to_owned(),
        other => format!("{other}{at}"),
    }
}

/// The table, by groups: at most `width` columns wide, or one line a rule for programs such as grep.
fn table(files: &[&RuleFile], width: Option<usize>, colours: Colours) -> String {
    let mut groups: Vec<(String, Vec<&RuleFile>)> = Vec::new();
    for file in files {
        let heading = heading(file);
        match groups.iter_mut().find(|(other, _)| *other == heading) {
            Some((_, group)) => group.push(file),
            None => groups.push((heading, vec![file])),
        }
    }
    // Those over CloudTrail stand behind those of the same prefix over invocations.
    groups.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut page = String::new();
    for (heading, group) in &groups {
        page.push_str(&colours.paint(Tone::Dim, heading));
        page.push('\n');
        rows(&mut page, group, width, colours);
        page.push('\n');
    }
    let mut counts: BTreeMap<Severity, usize> = BTreeMap::new();
    files.iter().for_each(|file| *counts.entry(file.severity).or_default() += 1);
    let plural = if files.len() == 1 { "" } else { "s" };
    let counts: Vec<_> = counts.iter().rev().map(|(level, count)| format!("{count} {}", level.as_str())).collect();
    page.push_str(&format!("{} rule{plural}: {}\n", files.len(), counts.join(", ")));
    page
}

fn rows(page: &mut String, group: &[&RuleFile], width: Option<usize>, colours: Colours) {
    let longest = group.iter().map(|file| columns_of(&file.id)).max().unwrap_or_default();
    // Where ids take most of the width, each name stands below its id: half a column of text is hard to read.
    let is_stacked = width.is_some_and(|width| SEVERITY_COLUMNS + longest + 2 + LEAST_NAME_COLUMNS > width);
    for file in group {
        let (severity, id) = (file.severity.as_str(), &file.id);
        page.push_str(&colours.paint(tone(file.severity), severity));
        page.push_str(&" ".repeat(SEVERITY_COLUMNS - severity.len()));
        page.push_str(id);
        let name = file.name.trim();
        if is_stacked {
            let indent = SEVERITY_COLUMNS + 2;
            page.push_str(&format!("\n{}", " ".repeat(indent)));
            fold(page, name, width.unwrap_or(usize::MAX), indent, indent);
        } else {
            let indent = SEVERITY_COLUMNS + longest + 2;
            page.push_str(&" ".repeat(indent - SEVERITY_COLUMNS - columns_of(id)));
            fold(page, name, width.unwrap_or(usize::MAX), indent, indent);
        }
        page.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::managed_rules;

    fn file(id: &str, log_type: &str, name: &str) -> RuleFile {
        let text = format!(
            "id = \"{id}\"\nname = \"{name}\"\ndescription = \"d\"\nseverity = \"medium\"\nlog_type = \"{log_type}\"\n\
             match = \"true\"\ntitle = \"t\"\n"
        );
        RuleFile::parse(&text, "test.toml").unwrap_or_else(|error| panic!("{error}")).0
    }

    #[test]
    fn tables() {
        let files = [
            file("acme.a", "AWS.BedrockModelInvocation", "A name of some length that must be folded"),
            file("acme.b", "AWS.CloudTrail", "B"),
            file("acme.quite-a-long-id", "AWS.BedrockModelInvocation", "C"),
        ];
        let check = |width: Option<usize>, expected: &str| {
            assert_eq!(table(&files.iter().collect::<Vec<_>>(), width, Colours::Off), expected, "{width:?}");
        };
        let counts = "3 rules: 3 medium\n";
        let trail = "acme, over CloudTrail\nmedium    acme.b  B\n\n";
        check(
            None,
            &format!(
                "acme\nmedium    acme.a                A name of some length that must be folded\n\
                 medium    acme.quite-a-long-id  C\n\n{trail}{counts}"
            ),
        );
        check(
            Some(62),
            &format!(
                "acme\nmedium    acme.a                A name of some length that\n                                must be folded\n\
                 medium    acme.quite-a-long-id  C\n\n{trail}{counts}"
            ),
        );
        check(
            Some(40),
            &format!(
                "acme\nmedium    acme.a\n            A name of some length that\n            must be folded\n\
                 medium    acme.quite-a-long-id\n            C\n\n\
                 acme, over CloudTrail\nmedium    acme.b\n            B\n\n{counts}"
            ),
        );
        let coloured = table(&[&files[1]], None, Colours::On);
        assert!(coloured.contains("\x1b[33mmedium\x1b[0m    acme.b  B\n"), "{coloured:?}");
    }

    #[test]
    fn managed_rules_fit_80_columns() {
        let files = managed_rules().unwrap_or_else(|error| panic!("{error}"));
        let page = table(&files.iter().map(|(file, _)| file).collect::<Vec<_>>(), Some(80), Colours::Off);
        assert_eq!(page.lines().find(|line| columns_of(line) > 80), None, "{page}");
    }
}
