//! `bedrock-tap run`: the daemon, from the configured source to the configured sinks. SIGHUP makes it read its
//! configuration again.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

use super::check;
use crate::config::Config;
use crate::daemon::{self, Plan, Reload, Stop, plan};
use crate::telemetry;

/// What the help says below the flags.
const NOTES: &str = "\
Signals: at SIGTERM or SIGINT nothing more is read, and what was read is delivered before the program ends; a second one \
ends it at once. At SIGHUP the configuration is read again. Which events are taken and what is taken out of them \
([select], [extract], [redact], and a sink's keep, drop and redact), rules and who hears of alerts ([detect], and a \
sink's rules and severity), [panther], [cost] and the log's level then hold from the next record on. A file that is not \
valid, or changes anything else, is refused whole: the log names what is wrong, and everything goes on as before.";

/// The flags.
#[derive(Debug, clap::Args)]
#[command(after_help = NOTES)]
pub struct Args {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// A configuration that is not valid, what cannot be opened, or what ended the run.
pub fn execute(args: Args) -> anyhow::Result<ExitCode> {
    let config = check::load(&args.config)?;
    restart_with_lean_heap();
    let level = telemetry::start(&plan::log(&config))?;
    let plan = Plan::of(&config).map_err(check::usage)?;
    let reload = Reload::of(&plan, config, Some(level));
    finish(plan, || reload.on_hangups(move || Config::load(&args.config)))
}

/// Sets in which the allocator of glibc gives large buffers back as soon as they are freed, and keeps few heaps.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LEAN_HEAP: [(&str, &str); 2] = [("MALLOC_ARENA_MAX", "2"), ("MALLOC_MMAP_THRESHOLD_", "262144")];

/// Starts this process anew, as the same process, with an allocator that keeps the byte budget. Records come as large
/// buffers on many threads, and what they free would stay on a heap of each thread, twice the budget and more. glibc
/// reads these settings only where a program begins. Whoever has set one of them has decided, and is left alone.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(super) fn restart_with_lean_heap() {
    use std::os::unix::process::CommandExt as _;
    if LEAN_HEAP.iter().any(|(name, _)| std::env::var_os(name).is_some()) {
        return;
    }
    let (Ok(program), mut args) = (std::env::current_exe(), std::env::args_os()) else { return };
    let mut command = std::process::Command::new(program);
    if let Some(name) = args.next() {
        command.arg0(name);
    }
    // This returns only if it fails, and then everything works as well, with more memory.
    let _ = command.args(args).envs(LEAN_HEAP).exec();
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) fn restart_with_lean_heap() {}

/// Runs a plan to its end, or until a signal stops it; the first drains, the second ends at once.
///
/// # Errors
/// What [`daemon::run`] answers.
pub fn serve(plan: Plan) -> anyhow::Result<ExitCode> {
    finish(plan, || Ok(()))
}

/// Runs a plan to its end; `listen` is called where signals can be listened for.
fn finish(plan: Plan, listen: impl FnOnce() -> std::io::Result<()>) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the system starts no more threads")?;
    let result = runtime.block_on(async {
        let stop = Stop::on_signals().and_then(|stop| listen().map(|()| stop));
        let stop = stop.context("signals cannot be listened for")?;
        daemon::run(plan, stop).await
    });
    // What still blocks (a read of a silent terminal, a write to a pipe that nobody reads) must not hold the end.
    runtime.shutdown_background();
    let summary = result?;
    Ok(summary.exited.map_or(ExitCode::SUCCESS, |signal| ExitCode::from(128u8.saturating_add(signal))))
}
