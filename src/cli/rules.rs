//! `bedrock-tap rules`: the detection rules there are, one of them in full, and their own tests.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::{RuleFile, managed_rules};
use crate::detect::trial;

/// The flags.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    command: Command,
}

/// The subcommands.
#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Run every rule's own tests.
    Test {
        /// Files of rules; without any, the managed ones.
        #[arg(value_name = "PATH")]
        paths: Vec<PathBuf>,
    },
}

/// Runs the command.
///
/// # Errors
/// A rule that is not valid.
pub fn execute(args: Args) -> anyhow::Result<ExitCode> {
    let Command::Test { paths } = args.command;
    let rules = if paths.is_empty() {
        managed_rules()?
    } else {
        let read = |path: &PathBuf| -> anyhow::Result<_> {
            Ok(RuleFile::parse(&std::fs::read_to_string(path)?, &path.display().to_string())?)
        };
        paths.iter().map(read).collect::<anyhow::Result<_>>()?
    };
    let mut failed = 0;
    for (file, rule) in rules {
        for test in &file.tests {
            let trial = trial::run(&rule, &test.events)?;
            let alerts = trial.alerts.len() as u64;
            let first = trial.findings.first();
            let is_right = trial.findings.len() as u64 == test.findings
                && test.alerts.is_none_or(|expected| expected == alerts)
                && test.title.as_deref().is_none_or(|title| first.is_some_and(|first| first.title == title))
                && test.dedup.as_deref().is_none_or(|dedup| first.is_some_and(|first| first.dedup == dedup))
                && test.severity.is_none_or(|severity| first.is_some_and(|first| first.severity == severity));
            if !is_right {
                failed += 1;
                let titles: Vec<_> = trial.findings.iter().map(|f| (&f.title, f.severity, &f.dedup)).collect();
                println!(
                    "FAILED {}: {}: {titles:#?} {alerts} alerts, {} unevaluated",
                    file.id, test.name, trial.unevaluated
                );
            }
        }
    }
    Ok(if failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
