//! `rules show`: one rule in full, as a page or as its file.

use super::{columns, loading};
use crate::cli::UsageError;
use crate::config::units::format_duration;
use crate::config::{RuleFile, fold};
use crate::detect::choice::nearest;

/// The flags.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Its id, or what stands behind a dot in it.
    id: String,
    /// A page for people, the rule's file, or JSON.
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
    Toml,
    Json,
}

/// The column at which what is said of a part begins.
const INDENT: usize = 12;

/// The rule.
///
/// # Errors
/// A file of rules that is not valid, or no rule of this id.
pub(super) fn page(args: &Args) -> anyhow::Result<String> {
    let rules = loading::all(&args.rule_files)?;
    let file = find(&rules.into_iter().map(|(file, _)| file).collect::<Vec<_>>(), &args.id)?;
    Ok(match args.output {
        Output::Text => text(&file, columns()),
        Output::Toml => file.text().to_owned(),
        Output::Json => format!("{:#}\n", serde_json::to_value(&file)?),
    })
}

fn find(files: &[RuleFile], id: &str) -> Result<RuleFile, UsageError> {
    let wanted = id.to_ascii_lowercase();
    let is_end = |file: &&RuleFile| file.id.to_ascii_lowercase().ends_with(&format!(".{wanted}"));
    if let Some(file) = files.iter().find(|file| file.id.eq_ignore_ascii_case(id)) {
        return Ok(file.clone());
    }
    let ends: Vec<_> = files.iter().filter(is_end).collect();
    match ends.as_slice() {
        [file] => Ok((*file).clone()),
        [] => {
            let near = nearest(
                id,
                files.iter().flat_map(|file| {
                    let ends = file.id.match_indices('.').map(|(at, _)| &file.id[at + 1..]);
                    ends.chain([file.id.as_str()])
                }),
            );
            let hint = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => "`bedrock-tap rules list` shows all there are".to_owned(),
            };
            Err(UsageError(format!("no rule `{id}`; {hint}")))
        }
        several => {
            let ids: Vec<_> = several.iter().map(|file| format!("`{}`", file.id)).collect();
            Err(UsageError(format!("`{id}` is the name of several rules: {}", ids.join(", "))))
        }
    }
}

fn text(file: &RuleFile, width: usize) -> String {
    let mut page = String::new();
    fold(&mut page, &file.name, width, 0, 0);
    page.push_str("\n\n");
    paragraphs(&mut page, &file.description, width);
    if let Some(blind) = &file.blind_spots {
        page.push_str("\nWhat it does not see:\n");
        paragraphs(&mut page, blind, width);
    }
    page.push('\n');
    let mut part = |name: &str, text: &str| {
        page.push_str(&format!("{name:<INDENT$}"));
        for (index, line) in text.trim_end().lines().enumerate() {
            if index > 0 {
                page.push('\n');
                page.push_str(&" ".repeat(INDENT));
            }
            let lead = line.len() - line.trim_start().len();
            fold(&mut page, line, width, INDENT + lead, INDENT);
        }
        page.push('\n');
    };
    part("id", &file.id);
    part("severity", file.severity.as_str());
    for when in &file.severities {
        part("", &format!("{} when {}", when.severity.as_str(), when.when.trim()));
    }
    part("log type", file.log_type.as_str());
    for binding in &file.bindings {
        part("let", &format!("{} = {}", binding.name, binding.value.trim()));
    }
    part("match", file.matches.trim());
    history(file, &mut part);
    part("title", &file.title);
    if let Some(dedup) = &file.dedup {
        part("dedup", dedup);
    }
    for group in &file.group_by {
        part("group by", group.trim());
    }
    for binding in &file.context {
        part("context", &format!("{} = {}", binding.name, binding.value.trim()));
    }
    part("alert", &alert(file));
    for (name, list) in [("tags", &file.tags), ("ATT&CK", &file.mitre.attack), ("ATLAS", &file.mitre.atlas)] {
        if !list.is_empty() {
            part(name, &list.join(", "));
        }
    }
    for reference in &file.references {
        part("reference", reference);
    }
    if let Some(runbook) = &file.runbook {
        part("runbook", runbook);
    }
    for test in &file.tests {
        let findings = if test.findings == 1 { "1 finding".to_owned() } else { format!("{} findings", test.findings) };
        part("test", &format!("{}: {findings}", test.name));
    }
    page
}

/// When findings are an alert.
fn alert(file: &RuleFile) -> String {
    let window = format_duration(file.window);
    let mut text = match file.threshold {
        1 => "at each finding".to_owned(),
        threshold => format!("at {threshold} findings within {window}"),
    };
    for aggregate in &file.aggregates {
        let function = format!("{:?}", aggregate.function).to_ascii_lowercase();
        let (of, least) = (aggregate.of.trim(), aggregate.at_least);
        text.push_str(&format!(", once the {function} of {of} within {window} is at least {least}"));
    }
    text + &format!("; further ones are the same alert for {}", format_duration(file.dedup_period))
}

/// What an event is compared with.
fn history(file: &RuleFile, part: &mut dyn FnMut(&str, &str)) {
    if let Some(baseline) = &file.baseline {
        let crate::config::Baseline { of, deviations, at_least, at_least_medians, min_samples, window } = baseline;
        let window = format_duration(*window);
        part(
            "baseline",
            &format!(
                "only if {} is {deviations} deviations above the median of its group's events of {window}, {min_samples} \
                 at least, and at least {at_least} and {at_least_medians} times the median",
                of.trim()
            ),
        );
    }
    if let Some(first) = &file.first_seen {
        let window = format_duration(first.window);
        part(
            "first seen",
            &format!(
                "only if none of its group's events of {window}, {} at least, had this: {}",
                first.min_samples,
                first.of.trim()
            ),
        );
    }
}

/// Paragraphs, folded; each line break in the text that is not an empty line is a space.
fn paragraphs(page: &mut String, text: &str, width: usize) {
    let mut is_first = true;
    for paragraph in text.trim().split("\n\n") {
        if !is_first {
            page.push('\n');
        }
        is_first = false;
        fold(page, &paragraph.split_whitespace().collect::<Vec<_>>().join(" "), width, 0, 0);
        page.push('\n');
    }
}
