//! `bedrock-tap run`: the daemon, from the configured source to the configured sinks.

use std::process::ExitCode;

use anyhow::Context as _;

use crate::daemon::{self, Plan, Stop};

/// The flags.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
///
/// # Errors
/// What could not be done.
pub fn execute(args: Args) -> anyhow::Result<ExitCode> {
    let _ = args;
    Ok(ExitCode::SUCCESS)
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
