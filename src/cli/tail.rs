//! `bedrock-tap tail`: live invocations for people, read beside a running daemon.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::UsageError;
use super::rules::loading;
use crate::aws::Access;
use crate::detect::{Detector, state};
use crate::pipeline::Detection;
use crate::source::kinesis::client;
use crate::telemetry;

pub mod filter;
mod from;
mod groups;
pub mod output;
pub mod printer;
pub mod screen;
pub mod seen;
pub mod since;

use filter::{Filter, Pattern};
use from::From;
use output::Output;
use printer::{Form, Look, Printer};
use screen::Screen;
use since::Since;

/// How long the end waits for a slow reader of the output: long enough for a pager to take what is there, short enough
/// for a person who pressed Ctrl-C.
const OUTPUT_PATIENCE: Duration = Duration::from_secs(2);

/// The crate's warnings only: what the AWS SDK warns of comes with the error that follows it.
const LOG_LEVEL: &str = "error,bedrock_tap=warn";

/// What the help says below the flags.
const PATTERNS: &str = "\
Examples:
  bedrock-tap tail --log-group /aws/bedrock/invocations --since 15m
  bedrock-tap tail --config tap.toml --errors --model '*opus*'
  bedrock-tap tail --log-group /aws/bedrock/invocations --rules severity:medium

Patterns: PAT is a glob (* ? [abc] {a,b}) for the whole text; without a wildcard it is found anywhere in it. Case never \
matters. A flag that is given several times takes what any of its patterns takes; different flags must all hold.

Lines: time (UTC), operation (~ is an answer that was streamed), model, who, tokens as prompt+cached/answer, cost in \
USD (an estimate), latency, stop reason or error. Wider terminals show more; without a terminal every line has every column.";

/// The flags.
#[derive(Debug, clap::Args)]
#[command(after_help = PATTERNS)]
pub struct Args {
    /// Read files of any framing once, instead of a stream: names, directories, globs, or `-` for standard input.
    #[arg(value_name = "FILE", conflicts_with_all = ["config", "stream", "log_group"])]
    files: Vec<String>,
    /// Read the source that this configuration names, from its newest record on.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["stream", "log_group"])]
    config: Option<PathBuf>,
    /// Read this Kinesis data stream (a name or an ARN), from its newest record on.
    #[arg(long, value_name = "NAME")]
    stream: Option<String>,
    /// Watch this CloudWatch Logs log group (a name or an ARN), from now on; up to ten times.
    ///
    /// Needs no stream and no setup: credentials that may call logs:DescribeLogGroups, logs:StartLiveTail and
    /// logs:FilterLogEvents are enough. Without logs:StartLiveTail lines come some ten seconds later. AWS charges a live
    /// session by the minute, after 1,800 free minutes a month.
    #[arg(long, value_name = "NAME", conflicts_with = "stream")]
    log_group: Vec<String>,
    /// The Region of the stream or the log groups.
    #[arg(long, conflicts_with_all = ["files", "config"])]
    region: Option<String>,
    /// The profile of the AWS configuration to use.
    #[arg(long, conflicts_with_all = ["files", "config"])]
    profile: Option<String>,
    /// Another endpoint of the API of Kinesis or CloudWatch Logs.
    #[arg(long, value_name = "U", conflicts_with_all = ["files", "config"])]
    endpoint_url: Option<String>,
    /// Lines for people, or JSON lines in the panther format.
    #[arg(long, value_enum, default_value_t = OutputKind::Text)]
    output: OutputKind,
    /// Show the records as they came.
    #[arg(long, conflicts_with_all = ["output", "bodies"])]
    raw: bool,
    /// Show prompt and answer under each line.
    #[arg(long)]
    bodies: bool,
    /// Which invocations are shown.
    #[command(flatten)]
    filter: Box<FilterArgs>,
    /// Mark lines in which these rules find something: patterns with commas between them, as `detect` takes them, such
    /// as `tap.*`, `severity:high` or `all`.
    #[arg(long, value_name = "PAT,...", conflicts_with = "raw")]
    rules: Vec<String>,
    /// Rules of your own: a file, a directory with `*.toml` files or a pattern; may be given several times.
    #[arg(long, value_name = "PATH", requires = "rules")]
    rule_files: Vec<String>,
    /// Show only invocations in which a rule finds something.
    #[arg(long, requires = "rules")]
    findings_only: bool,
    /// End after this many invocations.
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// When to colour lines.
    #[arg(long, alias = "colour", value_enum, default_value_t = When::Auto)]
    color: When,
}

/// The flags that choose.
#[derive(Debug, clap::Args)]
struct FilterArgs {
    /// Only calls of models that match.
    #[arg(long, value_name = "PAT", value_parser = Pattern::anywhere)]
    model: Vec<Pattern>,
    /// Only this operation, such as `Converse`, or those that match, such as `converse*`.
    #[arg(long, value_name = "OP", value_parser = Pattern::whole)]
    operation: Vec<Pattern>,
    /// Only calls of identities whose ARN matches.
    #[arg(long, value_name = "PAT", value_parser = Pattern::anywhere)]
    identity: Vec<Pattern>,
    /// Only calls that failed.
    #[arg(long)]
    errors: bool,
    /// Only calls in which a guardrail intervened.
    #[arg(long)]
    guardrail: bool,
    /// Begin this long ago (30s, 15m, 2h, 1d), or at an RFC 3339 time.
    #[arg(long, value_name = "TIME")]
    since: Option<Since>,
}

/// What is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OutputKind {
    Text,
    Json,
}

/// When lines are coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum When {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    Always,
    Never,
}

impl FilterArgs {
    fn filter(self, now: Timestamp) -> Filter {
        let since = self.since.map(|since| since.time(now));
        Filter {
            model: self.model,
            operation: self.operation,
            identity: self.identity,
            errors: self.errors,
            guardrail: self.guardrail,
            since,
        }
    }
}

impl Args {
    fn from(&mut self) -> Result<From, UsageError> {
        let access = Access {
            region: self.region.take(),
            profile: self.profile.take(),
            endpoint_url: self.endpoint_url.take(),
            ..Access::default()
        };
        if self.log_group.len() > 10 {
            return Err(UsageError("ten log groups can be watched at a time".to_owned()));
        }
        if !self.log_group.is_empty() {
            return Ok(From::log_groups(&self.log_group, access));
        }
        if let Some(stream) = self.stream.take() {
            return Ok(From::stream(client::Settings { stream, access }));
        }
        if let Some(config) = &self.config {
            return From::config(config);
        }
        if !self.files.is_empty() {
            return Ok(From::files(std::mem::take(&mut self.files)));
        }
        Err(UsageError(
            "nothing to read: name a stream with --stream NAME, a log group with --log-group NAME, a configuration with \
             --config FILE, or files (`-` is standard input)"
                .to_owned(),
        ))
    }

    fn printer(&self) -> Printer {
        let form = match self.output {
            _ if self.raw => Form::Raw,
            OutputKind::Text => Form::Text { bodies: self.bodies },
            OutputKind::Json => Form::Json,
        };
        let colour = match self.color {
            When::Auto => None,
            When::Always => Some(true),
            When::Never => Some(false),
        };
        Printer::new(form, Look::of_process(colour))
    }
}

/// Runs the command.
///
/// # Errors
/// Nothing to read was named, it cannot be read, or the output cannot be written. A closed pipe and Ctrl-C are no errors.
pub fn execute(mut args: Args) -> anyhow::Result<ExitCode> {
    let mut from = args.from()?;
    if !args.rules.is_empty() {
        let rules = loading::chosen(&args.rules, &args.rule_files)?;
        let detector = Arc::new(Detector::new(&rules, state::Limits::default()));
        from.line.detection = Some(Detection { detector, marks: true });
    }
    // What keeps a stream from being read is retried for as long as it takes, so a person must be told.
    telemetry::start(&telemetry::Settings { level: LOG_LEVEL.to_owned(), ..telemetry::Settings::default() })?;
    // One thread: it waits for the network most of the time, and the output has its own.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let shown = runtime.block_on(show(from, args));
    // A read of standard input cannot be interrupted, and must not keep the process.
    runtime.shutdown_background();
    shown.map(|()| ExitCode::SUCCESS)
}

async fn show(from: From, args: Args) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let output = Output::start(io::stdout(), io::stderr(), stop.clone()).context("cannot start the output")?;
    let printer = args.printer();
    let filter = args.filter.filter(Timestamp::now());
    let since = filter.since;
    let screen = Screen::new(from.line.clone(), filter, printer, args.count, output.chunks(), stop.clone());
    let screen = Arc::new(if args.findings_only { screen.only_found() } else { screen });
    let read = tokio::select! {
        read = from.read(since, Arc::clone(&screen), stop.clone()) => read,
        // Nothing is delivered or committed here, so what was begun is simply dropped.
        interrupted = tokio::signal::ctrl_c() => interrupted.context("cannot listen for Ctrl-C"),
    };
    drop(screen);
    output.finish(OUTPUT_PATIENCE).await.context("cannot write to standard output")?;
    read
}
