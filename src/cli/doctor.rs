//! `bedrock-tap doctor`: asks AWS whether invocations get from Bedrock to the sinks, and says what to do where not.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum;

use super::check;
use crate::config::units::parse_duration;
use crate::config::{Config, Look};
use crate::doctor::{self, Options};

/// What the help says below the flags.
const MORE: &str = "\
Exit status: 0 if nothing failed, 1 if something failed, 2 with --strict if
something is to be looked at or not known and nothing failed, 64 if the
configuration or a flag is not valid.

It changes nothing. It asks with the credentials that the configuration would
run with; what they may not ask is told by the name of the action.
AWS_ENDPOINT_URL and AWS_ENDPOINT_URL_<SERVICE> lead to other endpoints.";

/// The flags.
#[derive(Debug, clap::Args)]
#[command(after_help = MORE)]
pub struct Args {
    #[command(flatten)]
    asked: Asked,
    /// How the checks are printed.
    #[arg(long, value_enum, default_value = "text", value_name = "FORMAT")]
    output: Output,
    /// Exit with 2 where a warning is, or what is not known, and nothing failed.
    #[arg(long)]
    strict: bool,
}

/// How checks are printed.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    /// A line a check.
    Text,
    /// One JSON object.
    Json,
}

/// What is asked about.
#[derive(Debug, clap::Args)]
pub(super) struct Asked {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The log group that Bedrock writes to, where its logging is off or may not be asked.
    #[arg(long, value_name = "NAME")]
    log_group: Option<String>,
    /// The log group of this service's own log, for the check of a feedback loop; a task of ECS tells it by itself.
    #[arg(long, value_name = "NAME")]
    own_log_group: Option<String>,
    /// How long an answer may take, such as `10s`.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = limit)]
    timeout: Duration,
}

fn limit(text: &str) -> Result<Duration, String> {
    let limit = parse_duration(text).map_err(|error| error.to_string())?;
    match (Duration::from_millis(100)..=Duration::from_secs(120)).contains(&limit) {
        true => Ok(limit),
        false => Err("allowed: 100ms to 2m".to_owned()),
    }
}

impl Asked {
    /// Reads the configuration.
    ///
    /// # Errors
    /// One that is not valid, as [`super::UsageError`].
    pub(super) fn load(&self) -> anyhow::Result<(Arc<Config>, Options)> {
        let config = check::load(&self.config)?;
        let active = config.detect.load().map_err(|error| check::usage(error.into()))?;
        config.check_alerts(&active).map_err(|error| check::usage(error.into()))?;
        let options = Options {
            log_group: self.log_group.clone(),
            own_log_group: self.own_log_group.clone(),
            limit: self.timeout,
        };
        Ok((Arc::new(config), options))
    }
}

/// Runs the command.
///
/// # Errors
/// A configuration that is not valid, as [`super::UsageError`]; standard output that cannot be written.
pub fn execute(args: Args) -> anyhow::Result<ExitCode> {
    let (config, options) = args.asked.load()?;
    let report = runtime()?.block_on(doctor::examine(&config, &options)).report;
    print(&match args.output {
        Output::Text => doctor::text(&report, look()),
        Output::Json => doctor::json(&report),
    })?;
    Ok(ExitCode::from(report.exit_code(args.strict)))
}

/// How the page looks on standard output: folded and coloured on a terminal, a line a check elsewhere.
pub(super) fn look() -> Look {
    if io::stdout().is_terminal() { check::look_of(&io::stdout()) } else { Look { width: usize::MAX, colours: false } }
}

pub(super) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.context("the system starts no more threads")
}

pub(super) fn print(text: &str) -> anyhow::Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        // Whoever closed the pipe has seen enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
