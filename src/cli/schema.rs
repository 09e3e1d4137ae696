//! `bedrock-tap schema`

use std::process::ExitCode;

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
