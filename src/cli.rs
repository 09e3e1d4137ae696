//! The command line: one file a subcommand, and what a failed command exits with.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub mod backfill;
pub mod check;
pub mod completions;
pub mod decode;
#[cfg(feature = "demo")]
pub mod demo;
pub mod detect;
pub mod doctor;
pub mod health;
pub mod man;
pub mod rules;
pub mod run;
pub mod schema;
pub mod setup;
pub mod tail;
mod version;

/// Exit status of wrong usage and of a configuration that is not valid: `EX_USAGE` of sysexits.h.
pub const EXIT_USAGE: u8 = 64;

/// What the help says below the commands.
const EXAMPLES: &str = "\
Examples:
  bedrock-tap demo
  bedrock-tap tail --log-group /bedrock/invocations
  bedrock-tap check --config tap.toml
  bedrock-tap run --config tap.toml";

/// Reads Amazon Bedrock model invocation logs and delivers them without losing one.
#[derive(Debug, Parser)]
#[command(name = "bedrock-tap", version = version::SHORT, long_version = version::LONG)]
#[command(after_help = EXAMPLES, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon: from the configured source to the configured sinks.
    Run(run::Args),
    /// Deliver what was logged between two times, from log groups or S3, beside a running daemon.
    Backfill(Box<backfill::Args>),
    /// Show live invocations, without touching a running daemon's positions.
    Tail(tail::Args),
    /// Turn payloads of any framing into lines on standard output.
    Decode(decode::Args),
    /// Run detection rules over any input, and print what they find.
    Detect(detect::Args),
    /// List, show and test detection rules.
    Rules(rules::Args),
    /// Run an embedded stream of realistic records through the real path.
    #[cfg(feature = "demo")]
    Demo(demo::Args),
    /// Ask the daemon beside this whether it is well: a container's health check.
    Health(health::Args),
    /// Validate a configuration without touching the network.
    Check(check::Args),
    /// Ask AWS whether invocations get from Bedrock to the sinks, and say what to do where not.
    Doctor(doctor::Args),
    /// Print, or make, what repairs what the doctor finds.
    Setup(setup::Args),
    /// Print the schema of the events, of the output, of alerts, of the configuration, or of a rule.
    Schema(schema::Args),
    /// Print what a shell needs to complete commands and flags.
    Completions(completions::Args),
    /// Print the manual page, or write those of all commands.
    Man(man::Args),
}

/// A command that failed because of how it was called or configured; `main` exits with [`EXIT_USAGE`].
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// Runs the command.
///
/// # Errors
/// Whatever the command could not do, with the way out in its message.
pub fn execute(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Run(args) => run::execute(args),
        Command::Backfill(args) => backfill::execute(*args),
        Command::Tail(args) => tail::execute(args),
        Command::Decode(args) => decode::execute(args),
        Command::Detect(args) => detect::execute(args),
        Command::Rules(args) => rules::execute(args),
        #[cfg(feature = "demo")]
        Command::Demo(args) => demo::execute(args),
        Command::Health(args) => health::execute(args),
        Command::Check(args) => check::execute(args),
        Command::Doctor(args) => doctor::execute(args),
        Command::Setup(args) => setup::execute(args),
        Command::Schema(args) => schema::execute(args),
        Command::Completions(args) => completions::execute(args),
        Command::Man(args) => man::execute(args),
    }
}

/// Prints a text on standard output. Whoever closes the pipe has seen enough.
///
/// # Errors
/// Standard output cannot be written to.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(anyhow::Error::new(error).context("standard output cannot be written to"))
        }
        _ => Ok(()),
    }
}

/// Prints a failure and its causes on standard error.
pub fn print_error(error: &anyhow::Error) {
    use std::io::Write as _;
    // Nothing is left to do if standard error is closed.
    let _ = writeln!(std::io::stderr(), "error: {error:#}");
}
