//! The binary: parse, run, print, exit.

use std::process::ExitCode;

use bedrock_tap::cli::{self, Cli, EXIT_USAGE, UsageError};
use clap::Parser;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // A closed pipe is no failure of `--help`.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(EXIT_USAGE) } else { ExitCode::SUCCESS };
        }
    };
    match cli::execute(cli) {
        Ok(code) => code,
        Err(error) => {
            cli::print_error(&error);
            if error.is::<UsageError>() { ExitCode::from(EXIT_USAGE) } else { ExitCode::FAILURE }
        }
    }
}
