//! `bedrock-tap man`: manual pages, made from the command line itself.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Command, CommandFactory as _};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use super::Cli;

/// What the help says below the flags.
const EXAMPLES: &str = "\
Examples:
  bedrock-tap man | man -l -
  bedrock-tap man --dir /usr/local/share/man/man1";

/// The flags.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Write the pages of all commands into this directory, which is made if it is not there. Default: the program's own
    /// page goes to standard output.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// A directory or standard output that cannot be written.
pub fn execute(args: Args) -> anyhow::Result<ExitCode> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    if let Some(directory) = &args.dir {
        std::fs::create_dir_all(directory).with_context(|| format!("{} cannot be made", directory.display()))?;
        write_all(&command, directory)?;
        return Ok(ExitCode::SUCCESS);
    }
    match io::stdout().lock().write_all(&page(&command)?) {
        // Whoever closed the pipe has seen enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Writes the page of a command, and those of all below it.
fn write_all(command: &Command, directory: &Path) -> anyhow::Result<()> {
    let path = directory.join(Man::new(command.clone()).get_filename());
    std::fs::write(&path, page(command)?).with_context(|| format!("{} cannot be written", path.display()))?;
    command.get_subcommands().try_for_each(|command| write_all(command, directory))
}

/// The page of a command.
fn page(command: &Command) -> io::Result<Vec<u8>> {
    let source = concat!("bedrock-tap ", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone()).source(source).manual("bedrock-tap");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    if let Some(text) = command.get_after_help() {
        notes(&text.to_string()).to_writer(&mut page)?;
    }
    Ok(page)
}

/// What the help says below the flags: examples stay as they are, and paragraphs are folded as wide as the page is.
fn notes(text: &str) -> Roff {
    let mut roff = Roff::new();
    let mut has_notes = false;
    for block in text.split("\n\n") {
        if let Some(examples) = block.strip_prefix("Examples:\n") {
            roff.control("SH", ["EXAMPLES"]).control("nf", []);
            for line in examples.lines() {
                roff.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
            }
            roff.control("fi", []);
            continue;
        }
        match has_notes {
            false => roff.control("SH", ["NOTES"]),
            true => roff.control("PP", []),
        };
        has_notes = true;
        roff.text([roman(block)]);
    }
    roff
}
