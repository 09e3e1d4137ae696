//! `bedrock-tap rules`: the detection rules there are, one of them in full, and their own tests.

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use super::print;

mod list;
pub(crate) mod loading;
mod show;
mod test;

/// The columns of a page where standard output is no terminal.
const PAGE_COLUMNS: usize = 80;

/// The most columns of a page: longer lines are hard to read.
const MAX_COLUMNS: usize = 100;

/// What the help says below the flags.
const PATTERNS: &str = "\
Patterns: a glob over ids (tap.*), or what stands behind a dot in one (guardrail-intervened); tag:NAME; severity:LEVEL \
(that or worse); all. A leading ! takes away.";

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
    /// List rules: severity, id and name.
    #[command(after_help = PATTERNS)]
    List(list::Args),
    /// Show a rule in full: what it finds, what it does not see, and what to do.
    Show(show::Args),
    /// Run every rule's own tests, and exit with 1 if one fails.
    Test(test::Args),
}

/// Runs the command.
///
/// # Errors
/// A rule that is not valid or not there; standard output that cannot be written.
pub fn execute(args: Args) -> anyhow::Result<ExitCode> {
    let (text, code) = match args.command {
        Command::List(args) => (list::page(&args)?, ExitCode::SUCCESS),
        Command::Show(args) => (show::page(&args)?, ExitCode::SUCCESS),
        Command::Test(args) => test::page(&args)?,
    };
    print(&text)?;
    Ok(code)
}

/// The columns that pages are folded to.
fn columns() -> usize {
    fitted().unwrap_or(PAGE_COLUMNS)
}

/// The columns of the terminal that standard output is, if it is one, within what can be read.
fn fitted() -> Option<usize> {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    let size = terminal_size::terminal_size_of(&stdout);
    Some(size.map_or(PAGE_COLUMNS, |(width, _)| usize::from(width.0).clamp(40, MAX_COLUMNS)))
}
