//! `bedrock-tap detect`: rules over any input that `decode` takes, one finding a line.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use jiff::Timestamp;

use super::UsageError;
use crate::config::managed_rules;
use crate::detect::{Detector, Finding, Trail, state};
use crate::enrich::Event;
use crate::extract::LogEvent;
use crate::invocation::Invocation;
use crate::pipeline::{Context, Limits, Line, Settings, Tally, Visit};
use crate::record::Origin;
use crate::reject::{Fault, Skip};
use crate::source;
use crate::source::file::inputs;

/// The flags.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files, directories or patterns; `-` is standard input.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<String>,
    /// Print alerts after thresholds and windows instead of findings.
    #[arg(long)]
    alerts: bool,
}

/// Runs the command.
///
/// # Errors
/// An input that is not there.
pub fn execute(args: Args) -> anyhow::Result<ExitCode> {
    let inputs = inputs::expand(&args.files).map_err(|error| UsageError(format!("{:#}", anyhow::Error::new(error))))?;
    let rules: Vec<_> = managed_rules()?.into_iter().map(|(_, rule)| rule).collect();
    let mut looked =
        Looked { detector: Arc::new(Detector::new(&rules, state::Limits::default())), prints: !args.alerts };
    let mut line = Line::new(Settings::default());
    let mut tally = Tally::default();
    for input in inputs {
        for record in source::file::records(&input, Limits::default().inflated_bytes)? {
            let record = record.with_context(|| format!("cannot read {input}"))?;
            line.visit(&record, Timestamp::now(), &mut looked, &mut tally);
        }
    }
    for alert in looked.detector.state().take_due(Timestamp::now()) {
        println!("{} {} {} {}", alert.rule.id, alert.severity.as_str(), alert.title, alert.count);
    }
    Ok(ExitCode::SUCCESS)
}

struct Looked {
    detector: Arc<Detector>,
    prints: bool,
}

impl Looked {
    fn print(&self, findings: &[Finding]) {
        for finding in findings.iter().filter(|_| self.prints) {
            println!("{} {} {} {}", finding.rule.id, finding.severity.as_str(), finding.event_id, finding.title);
        }
    }
}

impl Visit for Looked {
    fn invocation(&mut self, invocation: &Invocation<'_>, context: &Context<'_>) -> Option<Skip> {
        self.print(&self.detector.observe(&Event::new(invocation), context));
        None
    }

    fn other(&mut self, event: &LogEvent<'_>, context: &Context<'_>) {
        if let Some(trail) = Trail::read(event.message) {
            self.print(&self.detector.observe_trail(&trail, context.parse_time));
        }
    }

    fn reject(&mut self, _: Fault, _: &[u8], _: Option<&LogEvent<'_>>, _: &Origin) {}

    fn skip(&mut self, _: Skip, _: u64) {}
}
