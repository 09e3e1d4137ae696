//! `bedrock-tap detect`: rules over any input that `decode` takes, one finding a line.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use jiff::Timestamp;

use super::rules::loading;
use super::{UsageError, print_error};
use crate::detect::{Alert, Detector, Finding, Replay, Severity, Trail, state};
use crate::enrich::Event;
use crate::extract::LogEvent;
use crate::invocation::Invocation;
use crate::pipeline::{Context, Limits, Line, Settings, Tally, Visit};
use crate::record::Origin;
use crate::reject::{Fault, Skip};
use crate::source;
use crate::source::file::inputs::{self, Input};

mod line;

use line::{Form, Format};

/// Exit status if something was found that is as bad as `--fail-on` says.
const EXIT_FOUND: u8 = 3;

/// What the help says below the flags.
const NOTES: &str = "\
Examples:
  bedrock-tap detect logs/
  bedrock-tap detect --rules 'tap.*,!tap.refusals' --alerts 2026-10/*.json.gz
  aws logs tail bedrock --format short | \\
      bedrock-tap detect --rules severity:high -

Patterns: a glob over ids (tap.*), or what stands behind a dot in one (guardrail-intervened, AbnormalTokenUsage); \
tag:NAME; severity:LEVEL (that or worse); all. A leading ! takes away. They are taken in their order.

Order: findings come in the order of the input. Where a rule compares an event with those before it (baseline, \
first_seen), and with --alerts, events are first put in the order of their times, up to 1,000,000 findings at once; \
their findings come at the end, the oldest first. Alerts are ordered by the first event in them.

Exit status: 0; 1 if an input could not be read to its end; 3 if --fail-on says so; 64 for what is not valid.";

/// The flags.
#[derive(Debug, clap::Args)]
#[command(after_help = NOTES)]
pub struct Args {
    /// Files, directories or patterns; `-` is standard input. All that `decode` takes, and CloudTrail's records: its log
    /// files, one record a line, lists, EventBridge's events and what searches export.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<String>,
    /// The rules, as patterns with commas between them.
    #[arg(long, value_name = "PAT,...", default_value = "all")]
    rules: Vec<String>,
    /// Rules of your own: a file, a directory with `*.toml` files or a pattern; may be given several times.
    #[arg(long, value_name = "PATH")]
    rule_files: Vec<String>,
    /// The form of the lines. Default: text on a terminal, else json.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Print alerts, after thresholds and windows, instead of findings.
    #[arg(long)]
    alerts: bool,
    /// Print what was read and what was found, as one JSON object on standard error.
    #[arg(long)]
    summary: bool,
    /// Exit with 3 if a finding (with `--alerts`, an alert) is that bad, or worse.
    #[arg(long, value_name = "LEVEL", value_enum)]
    fail_on: Option<Severity>,
}

/// Runs the command.
///
/// # Errors
/// A rule that is not valid, an input that is not there, or an output that cannot be written. A closed pipe is no error.
pub fn execute(args: Args) -> anyhow::Result<ExitCode> {
    let rules = loading::chosen(&args.rules, &args.rule_files)?;
    let inputs = inputs::expand(&args.files).map_err(|error| UsageError(format!("{:#}", anyhow::Error::new(error))))?;
    let replay = Replay::new(Detector::new(&rules, state::Limits::default()), args.alerts);
    let form = Form::of_process(args.format);
    let printed = Printed { form, out: Vec::new(), by_rule: BTreeMap::new(), worst: None };
    let mut looked = Looked { replay, printed, trails: 0 };
    let (tally, is_whole) = match all(inputs, &mut looked) {
        Ok(read) => read,
        // Whoever closed the pipe has seen enough.
        Err(error) if is_closed_pipe(&error) => return Ok(ExitCode::SUCCESS),
        Err(error) => return Err(error),
    };
    looked.tell(&tally, args.summary, args.alerts);
    if !is_whole {
        return Ok(ExitCode::FAILURE);
    }
    let is_bad = args.fail_on.is_some_and(|level| looked.printed.worst.is_some_and(|worst| worst >= level));
    Ok(if is_bad { ExitCode::from(EXIT_FOUND) } else { ExitCode::SUCCESS })
}

/// Takes all inputs through the rules; says whether each was read to its end.
fn all(inputs: Vec<Input>, looked: &mut Looked) -> anyhow::Result<(Tally, bool)> {
    let mut line = Line::new(Settings::default());
    let (mut tally, mut is_whole) = (Tally::default(), true);
    for input in inputs {
        let named = || format!("cannot read {input}");
        let mut unread = |error: &anyhow::Error| {
            is_whole = false;
            print_error(error);
        };
        let records = match source::file::records(&input, Limits::default().inflated_bytes).with_context(named) {
            Ok(records) => records,
            Err(error) => {
                unread(&error);
                continue;
            }
        };
        for record in records {
            match record.with_context(named) {
                Ok(record) => line.visit(&record, Timestamp::now(), looked, &mut tally),
                Err(error) => {
                    unread(&error);
                    break;
                }
            }
            looked.printed.flush()?;
        }
    }
    let Looked { replay, printed, .. } = looked;
    let alerts = replay.finish(&mut |finding| printed.finding(finding));
    for alert in &alerts {
        printed.alert(alert);
    }
    printed.flush()?;
    Ok((tally, is_whole))
}

/// What was printed.
struct Printed {
    form: Form,
    out: Vec<u8>,
    /// Findings, or alerts, of each rule.
    by_rule: BTreeMap<String, u64>,
    worst: Option<Severity>,
}

impl Printed {
    fn finding(&mut self, finding: &Finding) {
        self.note(&finding.rule.id, finding.severity);
        self.form.finding(finding, &mut self.out);
    }

    fn alert(&mut self, alert: &Alert) {
        self.note(&alert.rule.id, alert.severity);
        self.form.alert(alert, &mut self.out);
    }

    fn note(&mut self, rule: &str, severity: Severity) {
        self.worst = self.worst.max(Some(severity));
        match self.by_rule.get_mut(rule) {
            Some(count) => *count += 1,
            None => drop(self.by_rule.insert(rule.to_owned(), 1)),
        }
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        let mut stdout = io::stdout().lock();
        let written = stdout.write_all(&self.out).and_then(|()| stdout.flush());
        self.out.clear();
        written.context("cannot write to standard output")
    }
}

struct Looked {
    replay: Replay,
    printed: Printed,
    /// Records of CloudTrail.
    trails: u64,
}

impl Looked {
    /// Tells on standard error what was read, and what could not be.
    fn tell(&self, tally: &Tally, is_summary: bool, is_alerts: bool) {
        let (trails, unevaluated) = (self.trails, self.replay.unevaluated());
        let mut stderr = io::stderr().lock();
        // A closed standard error leaves nobody to tell.
        let mut tell = |text: &str| drop(writeln!(stderr, "{text}"));
        if is_summary {
            let mut summary = tally.to_json();
            summary["cloudtrail"] = trails.into();
            summary[if is_alerts { "alerts" } else { "findings" }] = serde_json::json!(self.printed.by_rule);
            summary["unevaluated_rules"] = unevaluated.into();
            return tell(&summary.to_string());
        }
        if tally.log_events > 0 && tally.invocations == 0 && trails == 0 && tally.rejects.is_empty() {
            tell("note: nothing of what was read is an invocation of Bedrock or a record of CloudTrail");
        }
        if unevaluated > 0 {
            tell(&format!("note: {unevaluated} times a rule could not be evaluated for an event, and found nothing"));
        }
    }
}

impl Visit for Looked {
    fn invocation(&mut self, invocation: &Invocation<'_>, context: &Context<'_>) -> Option<Skip> {
        let Self { replay, printed, .. } = self;
        replay.event(&Event::new(invocation), context, &mut |finding| printed.finding(finding));
        None
    }

    fn other(&mut self, event: &LogEvent<'_>, _: &Context<'_>) {
        let Self { replay, printed, trails } = self;
        if let Some(trail) = Trail::read(event.message) {
            *trails += 1;
            replay.trail(&trail, &mut |finding| printed.finding(finding));
        }
    }

    fn reject(&mut self, fault: Fault, _: &[u8], _: Option<&LogEvent<'_>>, origin: &Origin) {
        // A closed standard error leaves nobody to tell.
        let _ = writeln!(io::stderr(), "reject: {origin}: {fault}");
    }

    fn skip(&mut self, _: Skip, _: u64) {}
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().map(io::Error::kind) == Some(io::ErrorKind::BrokenPipe)
}
