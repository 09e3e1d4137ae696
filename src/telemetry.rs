//! Telemetry: the process's own log, on standard error. It never holds a payload, not even when the process panics.

use std::io::Write as _;
use std::panic::PanicHookInfo;

use anyhow::Context as _;
use tracing::{Metadata, Subscriber, error};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry, reload};

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

/// The level of a log that was started.
#[derive(Clone, Debug)]
pub struct Level {
    filter: reload::Handle<EnvFilter, Registry>,
    /// The environment says what the level is, whatever is configured.
    is_overridden: bool,
}

impl Level {
    /// Logs from this level on, unless [`LEVEL_VARIABLE`] is set.
    ///
    /// # Errors
    /// A level that is none; then nothing changes.
    pub fn set(&self, level: &str) -> anyhow::Result<()> {
        if self.is_overridden {
            return Ok(());
        }
        let filter = filter(level, CONFIGURED)?;
        self.filter.reload(filter).context("the log has ended")
    }

    /// Whether [`LEVEL_VARIABLE`] says what the level is, so that it cannot be set.
    pub fn is_overridden(&self) -> bool {
        self.is_overridden
    }
}

/// What errors call the level of the configuration.
const CONFIGURED: &str = "the configured log level";

fn filter(level: &str, whose: &str) -> anyhow::Result<EnvFilter> {
    EnvFilter::builder().parse(level).with_context(|| {
        format!("{whose} is {level:?}; give a level (error, warn, info, debug, trace) or directives by module")
    })
}

/// Starts logging to standard error (of libraries `info` and above only), and logs panics without what they say.
///
/// # Errors
/// A level that is none, or logging that was started before.
pub fn start(settings: &Settings) -> anyhow::Result<Level> {
    start_on(settings, std::io::stderr)
}

/// As [`start`], to a writer of standard error that leaves something else there whole, such as a progress bar.
///
/// # Errors
/// See [`start`].
pub fn start_on<W>(settings: &Settings, writer: W) -> anyhow::Result<Level>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let variable = std::env::var(LEVEL_VARIABLE).ok().filter(|level| !level.is_empty());
    let (subscriber, level) = subscriber(settings, variable.as_deref(), writer)?;
    subscriber.try_init().map_err(|error| anyhow::anyhow!("logging cannot be started: {error}"))?;
    log_panics();
    Ok(level)
}

/// What writes the log, and its level, which `variable` overrides.
fn subscriber<W>(
    settings: &Settings,
    variable: Option<&str>,
    writer: W,
) -> anyhow::Result<(impl Subscriber + Send + Sync + use<W>, Level)>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = match variable {
        Some(level) => filter(level, LEVEL_VARIABLE)?,
        None => filter(&settings.level, CONFIGURED)?,
    };
    let (filter, handle) = reload::Layer::new(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(false);
    // By default the layer prints its own failures, which panics where standard error is closed.
    let lines = lines.log_internal_errors(false);
    let lines = match settings.form {
        Form::Text => lines.boxed(),
        Form::Json => lines.json().flatten_event(true).boxed(),
    };
    let subscriber = tracing_subscriber::registry().with(filter).with(lines.with_filter(filter_fn(is_ours_or_terse)));
    Ok((subscriber, Level { filter: handle, is_overridden: variable.is_some() }))
}

/// Below `info` the libraries log what they send and receive, bodies included, whatever the level asks for.
fn is_ours_or_terse(metadata: &Metadata<'_>) -> bool {
    *metadata.level() <= tracing::Level::INFO || metadata.target().starts_with(env!("CARGO_CRATE_NAME"))
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

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing::{debug, info, warn};

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_level_changes_while_the_log_is_written() {
        let check = |variable: Option<&str>, levels: &[(&str, &[&str])]| {
            let page = Page::default();
            let writer = page.clone();
            let settings = Settings { level: levels[0].0.to_owned(), ..Settings::default() };
            let (subscriber, level) = subscriber(&settings, variable, move || writer.clone()).unwrap();
            assert_eq!(level.is_overridden(), variable.is_some());
            tracing::subscriber::with_default(subscriber, || {
                for (name, expected) in levels {
                    level.set(name).unwrap();
                    page.0.lock().unwrap().clear();
                    debug!("one");
                    info!("two");
                    warn!("three");
                    // What a library sends and receives is not shown, whatever the level is.
                    tracing::debug!(target: "aws_smithy_runtime", "four");
                    let text = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
                    let said: Vec<_> = text.lines().filter_map(|line| line.split(' ').next_back()).collect();
                    assert_eq!(said, *expected, "{name}");
                }
                assert!(level.set("what=is=this").is_err() == variable.is_none());
            });
        };
        check(None, &[("warn", &["three"]), ("trace", &["one", "two", "three"]), ("info", &["two", "three"])]);
        check(Some("error"), &[("info", &[]), ("trace", &[])]);
    }
}
