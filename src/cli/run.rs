//! `bedrock-tap run`: the daemon, from the configured source to the configured sinks.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

use super::check;
use crate::daemon::{self, Plan, Stop, plan};
use crate::telemetry;

/// The flags.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// A configuration that is not valid, what cannot be opened, or what ended the run.
pub fn execute(args: Args) -> anyhow::Result<ExitCode> {
    let config = check::load(&args.config)?;
    telemetry::start(&plan::log(&config))?;
    serve(Plan::of(&config)?)
}

/// Runs a plan to its end, or until a signal stops it; the first drains, the second ends at once.
///
/// # Errors
/// What [`daemon::run`] answers.
pub fn serve(plan: Plan) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the system starts no more threads")?;
    let result = runtime.block_on(async {
        let stop = Stop::on_signals().context("signals cannot be listened for")?;
        daemon::run(plan, stop).await
    });
    // What still blocks (a read of a silent terminal, a write to a pipe that nobody reads) must not hold the end.
    runtime.shutdown_background();
    let summary = result?;
    Ok(summary.exited.map_or(ExitCode::SUCCESS, |signal| ExitCode::from(128u8.saturating_add(signal))))
}
