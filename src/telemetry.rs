//! Telemetry: the process's own log, on standard error. It never holds a payload, not even when the process panics.

use std::io::Write as _;
use std::panic::PanicHookInfo;

use anyhow::Context as _;
use tracing::{Level, Metadata, error};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

/// The environment variable that overrides the configured level.
pub const LEVEL_VARIABLE: &str = "BEDROCK_TAP_LOG";

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Form {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// How the process logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The form of lines.
    pub form: Form,
    /// A level (`info`), or directives by module (`warn,bedrock_tap::source=debug`).
    pub level: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self { form: Form::Text, level: "info".to_owned() }
    }
}

/// Starts logging to standard error (of libraries `info` and above only), and logs panics without what they say.
///
/// # Errors
/// A level that is none, or logging that was started before.
pub fn start(settings: &Settings) -> anyhow::Result<()> {
    start_on(settings, std::io::stderr)
}

/// As [`start`], to a writer of standard error that leaves something else there whole, such as a progress bar.
///
/// # Errors
/// See [`start`].
pub fn start_on<W>(settings: &Settings, writer: W) -> anyhow::Result<()>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let level = std::env::var(LEVEL_VARIABLE).ok().filter(|level| !level.is_empty());
    let (level, whose) = match &level {
        Some(level) => (level.as_str(), LEVEL_VARIABLE),
        None => (settings.level.as_str(), "the configured log level"),
    };
    let filter = EnvFilter::builder().parse(level).with_context(|| {
        format!("{whose} is {level:?}; give a level (error, warn, info, debug, trace) or directives by module")
    })?;
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(false);
    // By default the layer prints its own failures, which panics where standard error is closed.
    let lines = lines.log_internal_errors(false);
    let lines = match settings.form {
        Form::Text => lines.boxed(),
        Form::Json => lines.json().flatten_event(true).boxed(),
    };
    let started =
        tracing_subscriber::registry().with(lines.with_filter(filter_fn(is_ours_or_terse))).with(filter).try_init();
    started.map_err(|error| anyhow::anyhow!("logging cannot be started: {error}"))?;
    log_panics();
    Ok(())
}

/// Below `info` the libraries log what they send and receive, bodies included, whatever the level asks for.
fn is_ours_or_terse(metadata: &Metadata<'_>) -> bool {
    *metadata.level() <= Level::INFO || metadata.target().starts_with(env!("CARGO_CRATE_NAME"))
}

/// From now on a panic is logged with its place and thread, and without its message, which may quote data.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|info: &PanicHookInfo<'_>| {
        let place = info.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        let current = std::thread::current();
        let thread = current.name().unwrap_or("unnamed");
        if tracing::dispatcher::has_been_set() {
            error!(place, thread, "panicked");
        } else {
            // Nothing is left to do if standard error is closed.
            let _ = writeln!(std::io::stderr(), "error: panicked at {place} on thread {thread}");
        }
    }));
}
