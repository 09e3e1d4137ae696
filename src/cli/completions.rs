//! `bedrock-tap completions`: what a shell needs to complete commands and flags, made from the command line itself.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::Cli;

/// What the help says below the flags.
const EXAMPLES: &str = "\
Examples:
  bedrock-tap completions bash > /etc/bash_completion.d/bedrock-tap
  bedrock-tap completions zsh > \"${fpath[1]}/_bedrock-tap\"
  bedrock-tap completions fish > ~/.config/fish/completions/bedrock-tap.fish";

/// The flags.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The shell.
    shell: Shell,
}

/// Runs the command.
///
/// # Errors
/// Standard output that cannot be written.
pub fn execute(args: Args) -> anyhow::Result<ExitCode> {
    // Made in memory: the generator itself panics where it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "bedrock-tap", &mut script);
    let script = match args.shell {
        Shell::Bash => mended(&String::from_utf8(script)?),
        _ => script,
    };
    match io::stdout().lock().write_all(&script) {
        // Whoever closed the pipe has seen enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// The script for bash with one name of the program. The generator writes the hyphen in it in two ways, and nothing would
/// ever be offered behind a command.
fn mended(script: &str) -> Vec<u8> {
    script.replace("bedrock__subcmd__tap", "bedrock__tap").into_bytes()
}
