//! `bedrock-tap demo`: an embedded stream of realistic records, read, parsed and shown by the real path. It needs no
//! AWS account, no credentials and no network.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::aws::{Access, CredentialsFrom};
use crate::cli::rules::loading;
use crate::daemon::{self, CheckpointPlan, DetectionPlan, Plan, SinkPlan, Stop, plan};
use crate::delivery::work::Crew;
use crate::detect::{Detector, state};
use crate::format::Format;
use crate::generator::{Generator, Profile};
use crate::pipeline::{Detection, Settings};
use crate::sink::Planned;
use crate::sink::stdout::Stdout;
use crate::source::kinesis::{client, coordinator};
use counted::Counted;
use endpoint::Endpoint;
use shown::Shown;
use writer::{MAX_HELD_BYTES, Writer, Written};

pub mod counted;
pub mod endpoint;
mod shown;
pub mod writer;

/// The stream's name.
const STREAM: &str = "bedrock-invocations";
/// Two shards are the least that show that shards are read side by side.
const SHARDS: i32 = 2;
/// A rate above this is as fast as possible anyway.
const MAX_RATE: f64 = 1_000_000.0;

/// The rules that mark lines, but for those about habits, which would mark every third line.
const RULES: [&str; 4] =
    ["severity:low", "!tap.resource-exhaustion", "!tap.cross-region-inference-abuse", "!tap.oversized-request"];

/// Bytes in flight: the demo's records are small.
const MEMORY_BYTES: usize = 64 << 20;
/// How long the end waits for a slow reader of standard output.
const DRAIN: Duration = Duration::from_secs(5);

/// The flags.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// End after this many invocations; without it the demo runs until Ctrl-C.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub events: Option<u64>,
    /// Invocations a second; 0 is as fast as possible.
    #[arg(long, value_name = "R", default_value = "5", value_parser = parse_rate)]
    pub rate: f64,
    /// What to print.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    /// The seed of what is generated: the same seed, the same invocations.
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
}

/// What the demo prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// One line for people an invocation.
    Text,
    /// One JSON object a line, in the panther format.
    Json,
}

/// What the demo's reader is given: the stream, and what to tell about it.
pub struct Feed {
    /// Where the stream is; any credentials do.
    pub endpoint_url: String,
    /// The stream's name.
    pub stream: String,
    /// What to print.
    pub output: Output,
    /// What looks for trouble.
    pub detector: Arc<Detector>,
    /// To be told how many invocations were delivered so far; see [`counted::Counted`].
    pub delivered: watch::Sender<u64>,
    /// Cancelled when nothing more needs to be read: drain and return.
    pub stop: CancellationToken,
}

/// Runs the command.
///
/// # Errors
/// The embedded endpoint cannot start, or the reader cannot go on.
pub fn execute(args: Args) -> anyhow::Result<ExitCode> {
    let rules = loading::chosen(&RULES.map(str::to_owned), &[])?;
    let detector = Arc::new(Detector::new(&rules, state::Limits::default()));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start tasks")?;
    runtime.block_on(async {
        let stop = CancellationToken::new();
        let interrupted = stop.clone();
        tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                interrupted.cancel();
            }
        });
        let summary = conduct(&args, detector, stop, read).await?;
        // The summary is a courtesy: a closed standard error is no failure.
        let _ = writeln!(std::io::stderr(), "{summary}");
        Ok(ExitCode::SUCCESS)
    })
}

/// Reads the stream by the real source, pipeline and sink until the feed's stop.
async fn read(feed: Feed) -> anyhow::Result<()> {
    let access = Access {
        // The embedded endpoint takes any Region.
        region: Some("us-east-1".to_owned()),
        endpoint_url: Some(feed.endpoint_url),
        credentials: CredentialsFrom::MadeUp,
        ..Access::default()
    };
    let client = client::Settings { stream: feed.stream, access };
    let detector = feed.detector;
    let detection = Detection { detector: Arc::clone(&detector), marks: true };
    let settings = Settings { detection: Some(detection), ..Settings::default() };
    let lines = |format: Format| Crew::of_lines(Settings { outputs: vec![format.into()], ..settings.clone() });
    let crew = match feed.output {
        // One worker, since a day's heading is printed once.
        Output::Text if std::io::stdout().is_terminal() => {
            let watch = Arc::clone(&detector);
            Crew::new(1, 1, move || Box::new(Shown::for_terminal(Arc::clone(&watch))))
        }
        Output::Text => lines(Format::Text),
        Output::Json => lines(Format::Panther),
    };
    let stdout = Stdout::new().context("standard output is closed")?;
    let plan = Plan {
        source: plan::streams::one(coordinator::Settings::new(client)),
        crew,
        bodies: None,
        sinks: vec![SinkPlan::new("stdout", Planned::made(Arc::new(Counted::new(stdout, feed.delivered))))],
        dead_letter: SinkPlan::new("dead letter", Planned::made(Arc::new(Stdout::to(std::io::stderr())))),
        dead_letters: Vec::new(),
        // Nobody is told of alerts here: they are counted, and let go.
        detection: Some(DetectionPlan { detector, keep: None, alerts: Vec::new() }),
        checkpoints: CheckpointPlan::Memory,
        memory_bytes: MEMORY_BYTES,
        drain: DRAIN,
        http: None,
        exports: Vec::new(),
    };
    let stop = Stop::by(feed.stop);
    daemon::run(plan, stop).await.map(drop)
}

/// What the demo did.
#[derive(Clone, Copy, Debug)]
struct Summary {
    delivered: u64,
    written: Written,
    findings: u64,
    alerts: u64,
    elapsed: Duration,
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { delivered, written: Written { others, records, .. }, findings, alerts, elapsed } = self;
        let seconds = elapsed.as_secs_f64();
        write!(
            f,
            "{delivered} invocations ({others} other log events skipped) in {records} records from {SHARDS} shards"
        )?;
        let plural = |count: &u64| if *count == 1 { "" } else { "s" };
        let (findings_end, alerts_end) = (plural(findings), plural(alerts));
        write!(f, " in {seconds:.1} s; {findings} finding{findings_end}, {alerts} alert{alerts_end}")
    }
}

/// Starts the endpoint and the writer, hands the stream to `reader`, and ends once all that was asked for is
/// delivered, the reader returns, or `stop`.
async fn conduct(
    args: &Args,
    detector: Arc<Detector>,
    stop: CancellationToken,
    reader: impl AsyncFnOnce(Feed) -> anyhow::Result<()>,
) -> anyhow::Result<Summary> {
    let start = Instant::now();
    let endpoint = Arc::new(Endpoint::start().await?);
    endpoint.create_stream(STREAM, SHARDS).await?;
    let (sender, delivered) = watch::channel(0);
    let writer = Writer {
        endpoint: Arc::clone(&endpoint),
        stream: STREAM.to_owned(),
        generator: Generator::new(args.seed, Profile::demo()),
        rate: args.rate,
        invocations: args.events,
        delivered: delivered.clone(),
        max_held_bytes: MAX_HELD_BYTES,
    };
    let feed = Feed {
        endpoint_url: endpoint.url().to_owned(),
        stream: STREAM.to_owned(),
        output: args.output,
        detector: Arc::clone(&detector),
        delivered: sender,
        stop: stop.clone(),
    };
    let writing = async {
        let written = writer.run(stop.clone()).await;
        // What is written is shown before the end; without a failure only a stop ends an endless demo.
        if let (Ok(written), false) = (&written, stop.is_cancelled()) {
            let mut delivered = delivered.clone();
            tokio::select! {
                _ = delivered.wait_for(|delivered| *delivered >= written.invocations) => {}
                () = stop.cancelled() => {}
            }
        }
        stop.cancel();
        written
    };
    let reading = async {
        let read = reader(feed).await;
        // A reader that returns first has nowhere to deliver to any more.
        stop.cancel();
        read
    };
    let (written, read) = tokio::join!(writing, reading);
    read?;
    let counts = detector.state().counts();
    Ok(Summary {
        delivered: *delivered.borrow(),
        written: written?,
        findings: counts.findings,
        alerts: counts.alerts,
        elapsed: start.elapsed(),
    })
}

fn parse_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.0..=MAX_RATE).contains(&rate) => Ok(rate),
        _ => Err(format!("a number from 0 to {MAX_RATE} is expected")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;

    fn args(events: Option<u64>) -> Args {
        Args { events, rate: 0.0, output: Output::Json, seed: 2 }
    }

    fn nothing() -> Arc<Detector> {
        Arc::new(Detector::new(&[], state::Limits::default()))
    }

    /// A reader that says it delivered `count` invocations, and then waits for the stop.
    async fn pretend(feed: Feed, count: u64) -> anyhow::Result<()> {
        feed.delivered.send_modify(|delivered| *delivered += count);
        feed.stop.cancelled().await;
        Ok(())
    }

    #[tokio::test]
    async fn it_ends_when_all_is_delivered() {
        let summary =
            conduct(&args(Some(20)), nothing(), CancellationToken::new(), |feed| pretend(feed, 20)).await.unwrap();
        assert_eq!((summary.delivered, summary.written.invocations), (20, 20));
        assert!(summary.to_string().starts_with("20 invocations ("), "{summary}");
    }

    #[tokio::test]
    async fn it_does_not_end_before() {
        let stop = CancellationToken::new();
        let args = args(Some(20));
        let conducting = conduct(&args, nothing(), stop.clone(), |feed| pretend(feed, 19));
        let early = tokio::time::timeout(Duration::from_millis(300), conducting).await;
        assert!(early.is_err(), "it ended with one invocation missing");
    }

    #[tokio::test]
    async fn it_ends_at_a_stop_and_with_its_reader() {
        let stop = CancellationToken::new();
        stop.cancel();
        let summary = conduct(&args(None), nothing(), stop, |feed| pretend(feed, 0)).await.unwrap();
        assert_eq!(summary.delivered, 0);
        let closed =
            conduct(&args(None), nothing(), CancellationToken::new(), async |_| bail!("the pipe is closed")).await;
        assert!(closed.is_err_and(|error| error.to_string() == "the pipe is closed"));
    }

    #[test]
    fn rates_are_checked() {
        for (text, expected) in [("5", Some(5.0)), ("0", Some(0.0)), ("0.5", Some(0.5)), ("-1", None), ("NaN", None)] {
            assert_eq!(parse_rate(text).ok(), expected, "{text}");
        }
    }
}
