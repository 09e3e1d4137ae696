//! `bedrock-tap check`: validates a configuration without touching the network, and says what it would run.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::UsageError;
use crate::config::{
    Compression, Config, DeadLetter, Environment, FileDeadLetter, FileSink, Look, Sink, Source, units::format_duration,
};
use crate::format::Format;

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
/// A configuration that is not valid, as [`UsageError`]; standard output that cannot be written.
pub fn execute(args: Args) -> anyhow::Result<ExitCode> {
    let config = load(&args.config)?;
    let text = summary(&config, &Environment::of_process());
    match io::stdout().lock().write_all(text.as_bytes()) {
        // Whoever closed the pipe has seen enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Reads a configuration file; an error is shown as the terminal can show it.
///
/// # Errors
/// A file that cannot be read or is not valid.
pub(crate) fn load(path: &Path) -> Result<Config, UsageError> {
    Config::load(path).map_err(|error| UsageError(error.render(terminal())))
}

/// The columns that errors are folded to on a wide terminal: longer lines are hard to read.
const MAX_WIDTH: u16 = 100;

/// How errors look on standard error: coloured on a terminal, unless `NO_COLOR` is set and not empty.
fn terminal() -> Look {
    let stderr = io::stderr();
    if !stderr.is_terminal() {
        return Look::PLAIN;
    }
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let width = terminal_size::terminal_size_of(&stderr).map_or(MAX_WIDTH, |(width, _)| width.0.min(MAX_WIDTH));
    Look { width: usize::from(width), colours: !unwanted && !dumb }
}

/// One line a part of what would run.
fn summary(config: &Config, environment: &Environment) -> String {
    let mut lines = vec![("source", source(&config.source))];
    for (name, sink) in &config.sinks {
        lines.push(("sink", format!("{name}: {}", destination(sink))));
    }
    let default = if config.dead_letter.is_none() { " (the default)" } else { "" };
    let dead_letter = match config.dead_letter() {
        DeadLetter::Stdout(_) => "standard output".to_owned(),
        DeadLetter::File(FileDeadLetter { path, rotate_size, rotate_age, compression }) => {
            file(&path, "JSON lines", compression, &rotate_size.to_string(), &format_duration(rotate_age))
        }
    };
    lines.push(("dead letter", format!("{dead_letter}{default}")));
    lines.push(("positions", format!("in the directory {}", config.coordination.directory().display())));
    lines.extend(environment.names().map(|name| ("override", name.to_owned())));
    let line = |(part, text): (&str, String)| format!("{part:<12} {}\n", plain(&text));
    lines.into_iter().map(line).collect()
}

fn source(source: &Source) -> String {
    match source {
        Source::File(source) => format!("files {}", source.paths.join(", ")),
        Source::Kinesis(source) => {
            let region = source.region().map(|region| format!(" in {region}")).unwrap_or_default();
            let role = source.assume_role.as_ref().map(|role| format!(", as {}", role.role_arn)).unwrap_or_default();
            let endpoint = source.endpoint_url.as_ref().map(|url| format!(", at {url}")).unwrap_or_default();
            let stream = source.stream_name();
            format!("Kinesis stream {stream}{region}{role}{endpoint}; new shards from {}", source.start)
        }
    }
}

fn destination(sink: &Sink) -> String {
    let format = match sink.format() {
        Format::Panther => "panther",
        Format::Raw => "raw",
        Format::Text => "text",
    };
    match sink {
        Sink::Stdout(_) => format!("standard output, {format}"),
        Sink::File(FileSink { path, rotate_size, rotate_age, compression, .. }) => {
            file(path, format, *compression, &rotate_size.to_string(), &format_duration(*rotate_age))
        }
    }
}

fn file(path: &Path, format: &str, compression: Compression, size: &str, age: &str) -> String {
    let compressed = match compression {
        Compression::None => "",
        Compression::Gzip => ", gzip",
    };
    format!("file {}, {format}{compressed}, a new one after {size} or {age}", path.display())
}

/// The text with control characters escaped: paths come from a file that anyone may have written.
fn plain(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_names_every_part() {
        let check = |text: &str, variables: &[(&str, &str)], expected: &str| {
            let environment = variables.iter().copied().collect();
            let config = Config::parse(text, "test.toml", &environment).unwrap();
            assert_eq!(summary(&config, &environment), expected);
        };
        check(
            "source.kinesis.stream = 'arn:aws:kinesis:eu-central-1:123456789012:stream/bedrock'\n\
             sinks.events.file.path = \"out/\\u001b[31mevents\"\nsinks.console.stdout.format = 'text'",
            &[("BEDROCK_TAP__SOURCE__KINESIS__START", "latest"), ("BEDROCK_TAP_LOG", "debug")],
            "source       Kinesis stream bedrock in eu-central-1; new shards from latest\n\
             sink         console: standard output, text\n\
             sink         events: file out/\\u{1b}[31mevents, panther, a new one after 256 MiB or 1h\n\
             dead letter  file /var/lib/bedrock-tap/dead-letter.jsonl, JSON lines, a new one after 256 MiB or 1d \
             (the default)\n\
             positions    in the directory /var/lib/bedrock-tap\n\
             override     BEDROCK_TAP__SOURCE__KINESIS__START\n",
        );
        check(
            "coordination.local.directory = 'state'\nsource.file.paths = ['logs', '-']\n\
             sinks.events.file = { path = 'events', compression = 'gzip', format = 'raw' }\n[dead_letter.stdout]",
            &[],
            "source       files logs, -\n\
             sink         events: file events, raw, gzip, a new one after 256 MiB or 1h\n\
             dead letter  standard output\n\
             positions    in the directory state\n",
        );
    }
}
