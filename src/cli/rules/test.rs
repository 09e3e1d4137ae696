//! `rules test`: every rule's own tests, each difference told.

use std::process::ExitCode;
use std::sync::Arc;

use super::{columns, loading};
use crate::cli::UsageError;
use crate::cli::check::terminal;
use crate::config::{RuleFile, RuleTest, fold, rule_files};
use crate::detect::trial::{self, Trial};
use crate::detect::{Finding, Rule};

/// The flags.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Files of rules, directories with `*.toml` files or patterns; without any, the rules that come with the program.
    #[arg(value_name = "PATH")]
    paths: Vec<String>,
    /// Tell of tests that pass, too.
    #[arg(long, short)]
    verbose: bool,
}

/// The page, and what to exit with.
///
/// # Errors
/// A file that is not valid.
pub(super) fn page(args: &Args) -> anyhow::Result<(String, ExitCode)> {
    let rules = if args.paths.is_empty() {
        loading::all(&[])?
    } else {
        rule_files(&args.paths).map_err(|error| UsageError(error.render(terminal())))?
    };
    let mut report = Report { page: String::new(), width: columns(), ..Report::default() };
    for (file, rule) in &rules {
        report.rule(file, rule, args.verbose);
    }
    let Report { mut page, passed, failed, untested, .. } = report;
    let plural = |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
    page.push_str(&format!(
        "{}, {}: {passed} passed, {failed} failed",
        plural(rules.len(), "rule"),
        plural(passed + failed, "test")
    ));
    if untested > 0 {
        page.push_str(&format!("; {} without tests", plural(untested, "rule")));
    }
    page.push('\n');
    Ok((page, if failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }))
}

#[derive(Default)]
struct Report {
    page: String,
    width: usize,
    passed: usize,
    failed: usize,
    untested: usize,
}

impl Report {
    fn rule(&mut self, file: &RuleFile, rule: &Arc<Rule>, is_verbose: bool) {
        if file.tests.is_empty() {
            self.untested += 1;
            self.line(&format!("no tests  {}", file.id), 10);
        }
        for test in &file.tests {
            let name = format!("{}: {}", file.id, test.name);
            let differences = match trial::run(rule, &test.events) {
                Ok(trial) => differences(test, &trial),
                Err(error) => vec![("events", error.to_string())],
            };
            if !differences.is_empty() {
                self.failed += 1;
                self.line(&format!("FAILED    {name}"), 10);
                for (what, difference) in differences {
                    for (index, text) in difference.lines().enumerate() {
                        let what = if index == 0 { what } else { "" };
                        self.line(&format!("          {what:<9} {text}"), 20);
                    }
                }
            } else {
                self.passed += 1;
                if is_verbose {
                    self.line(&format!("ok        {name}"), 10);
                }
            }
        }
    }

    fn line(&mut self, text: &str, indent: usize) {
        fold(&mut self.page, text, self.width, indent, 0);
        self.page.push('\n');
    }
}

/// What is not as it should be, each with its name.
fn differences(test: &RuleTest, trial: &Trial) -> Vec<(&'static str, String)> {
    let mut differences = Vec::new();
    let found = trial.findings.len() as u64;
    if found != test.findings {
        let matched = if trial.matched.is_empty() {
            let plural = if trial.events == 1 { "" } else { "s" };
            format!("in {} event{plural}", trial.events)
        } else {
            format!("in {} of {}", numbers(&trial.matched), trial.events)
        };
        differences.push(("findings", format!("expected {}, found {found} ({matched})", test.findings)));
    }
    let alerts = trial.alerts.len() as u64;
    if let Some(expected) = test.alerts.filter(|expected| *expected != alerts) {
        let counts: Vec<_> = trial.alerts.iter().map(|alert| alert.count.to_string()).collect();
        let of = if counts.is_empty() { String::new() } else { format!(" (of {} events)", counts.join(", ")) };
        differences.push(("alerts", format!("expected {expected}, found {alerts}{of}")));
    }
    let first = trial.findings.first();
    let mut compare = |what: &'static str, expected: Option<&str>, found: &dyn Fn(&Finding) -> String| {
        let Some(expected) = expected else { return };
        match first.map(found) {
            Some(found) if found == expected => {}
            Some(found) => differences.push((what, format!("expected {expected:?}\nfound    {found:?}"))),
            None => differences.push((what, format!("expected {expected:?}, found nothing"))),
        }
    };
    compare("title", test.title.as_deref(), &|finding| finding.title.clone());
    compare("severity", test.severity.map(crate::detect::Severity::as_str), &|finding| {
        finding.severity.as_str().to_owned()
    });
    compare("dedup", test.dedup.as_deref(), &|finding| finding.dedup.clone());
    if !trial.unevaluated.is_empty() {
        let text = format!(
            "not evaluated for {}: guard what may be missing with has() or orValue()",
            numbers(&trial.unevaluated)
        );
        differences.push(("match", text));
    }
    differences
}

/// `event 3`, or `events 1, 2 and 4`.
fn numbers(numbers: &[usize]) -> String {
    const SHOWN: usize = 20;
    let mut texts: Vec<_> = numbers.iter().take(SHOWN).map(ToString::to_string).collect();
    if numbers.len() > SHOWN {
        texts.push(format!("{} more", numbers.len() - SHOWN));
    }
    match texts.split_last() {
        None => "no event".to_owned(),
        Some((only, [])) => format!("event {only}"),
        Some((last, others)) => format!("events {} and {last}", others.join(", ")),
    }
}
