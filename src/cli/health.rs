//! `bedrock-tap health`: asks the daemon beside it whether it is well. A container's health check, where there is no other
//! program to ask with.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;

use super::{UsageError, check, print};
use crate::health::client::{self, Answer};

/// The flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exits with 0 if the daemon answers that it is well, and 1 if it does not or nothing answers.")]
pub struct Args {
    /// The configuration file that the daemon runs with; its `http.listen` is asked
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The address to ask instead
    #[arg(long, value_name = "HOST:PORT", env = "BEDROCK_TAP__HTTP__LISTEN")]
    address: Option<SocketAddr>,
    /// Ask whether it is ready to work (`/readyz`), not only whether it answers (`/livez`)
    #[arg(long)]
    ready: bool,
    /// How long to wait for an answer, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=60))]
    timeout: u64,
}

/// Runs the command.
///
/// # Errors
/// Nobody to ask, or nothing that answers.
pub fn execute(args: Args) -> anyhow::Result<ExitCode> {
    let address = match (args.address, &args.config) {
        (Some(address), _) => address,
        (None, Some(config)) => {
            let config = check::load(config)?;
            let http =
                config.http.ok_or_else(|| UsageError("the configuration has no [http]: nobody listens".into()))?;
            http.listen
        }
        (None, None) => {
            return Err(
                UsageError("give --config FILE, --address HOST:PORT or BEDROCK_TAP__HTTP__LISTEN".into()).into()
            );
        }
    };
    let path = if args.ready { "/readyz" } else { "/livez" };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("the system starts no more threads")?;
    let asking = client::ask(client::beside(address), path, Duration::from_secs(args.timeout));
    let Answer { status, body } = runtime.block_on(asking)?;
    print(&body)?;
    Ok(if status == 200 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
