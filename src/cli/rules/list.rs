//! `rules list`: a table of rules, or all there is to know of them as JSON.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{columns, loading};
use crate::config::{RuleFile, fold};
use crate::detect::{LogType, Severity};

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

/// An id that is longer has its name on the next line.
const ID_COLUMNS: usize = 34;

/// Columns of a severity, with the gap behind it.
const SEVERITY_COLUMNS: usize = 10;

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
        Output::Text => table(&files, columns()),
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

fn table(files: &[&RuleFile], width: usize) -> String {
    let mut page = String::new();
    let id_columns = files.iter().map(|file| file.id.len()).filter(|length| *length <= ID_COLUMNS).max().unwrap_or(10);
    let indent = SEVERITY_COLUMNS + id_columns + 2;
    let mut counts: BTreeMap<Severity, usize> = BTreeMap::new();
    for file in files {
        *counts.entry(file.severity).or_default() += 1;
        page.push_str(&format!("{:SEVERITY_COLUMNS$}{:id_columns$}", file.severity.as_str(), file.id));
        if file.id.len() > id_columns {
            page.push('\n');
            page.push_str(&" ".repeat(indent));
        } else {
            page.push_str("  ");
        }
        let other = match file.log_type {
            LogType::Invocation => "",
            LogType::CloudTrail => "CloudTrail: ",
        };
        fold(&mut page, &format!("{other}{}", file.name.trim()), width, indent, indent);
        page.push('\n');
    }
    let plural = if files.len() == 1 { "" } else { "s" };
    let counts: Vec<_> = counts.iter().rev().map(|(level, count)| format!("{count} {}", level.as_str())).collect();
    page.push_str(&format!("\n{} rule{plural}: {}\n", files.len(), counts.join(", ")));
    page
}
