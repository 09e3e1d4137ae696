//! `bedrock-tap backfill`: what was logged between two times, through the configured sinks, beside a running daemon.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use clap::ArgGroup;
use jiff::{SignedDuration, Timestamp};

use super::tail::since::Since;
use super::{UsageError, check, run};
use crate::aws::Access;
use crate::backfill::counting::Counting;
use crate::backfill::journal::{Found, Run};
use crate::backfill::{self, Job, Place, Tools, Watched};
use crate::budget::Budget;
use crate::checkpoint::local::{self, Local};
use crate::checkpoint::memory::Memory;
use crate::config::{Config, S3List, check_group};
use crate::daemon::plan::backfill::Alerts;
use crate::daemon::{self, Stop, plan};
use crate::source::cloudwatch::client::Group;
use crate::telemetry;

mod bar;
mod report;
mod shown;

use report::{Outcome, Resume};
use shown::Shown;

/// The directory of a backfill's positions, in that of the daemon's.
const DIRECTORY: &str = "backfill";

/// What the help says below the flags.
const NOTES: &str = "\
Examples:
  bedrock-tap backfill --config tap.toml --log-group /bedrock/invocations \\
      --from 2d --dry-run
  bedrock-tap backfill --config tap.toml --s3 s3://bedrock-logs/AWSLogs/ \\
      --from 2026-10-01T00:00:00Z --to 2026-10-02T00:00:00Z

TIME is an RFC 3339 time such as 2026-10-07T07:51:59Z, or an age: 30s, 15m, 2h, 1d, 1h30m.

The same command goes on where it was interrupted, and does nothing once it is finished; with ages, use the command that \
it prints. It stops at a signal, delivers what it has read, and exits with 0 only if everything was delivered.

A slice is a part of a log group's time, or a folder of S3. From S3 whole hours are read: folders whose date overlaps the time, and the hour after it, in which late calls are \
written. What was delivered before has the same event id again.";

/// The same as clap's own, in lines that fit into 80 columns.
const USAGE: &str = "\
bedrock-tap backfill [OPTIONS] --config <FILE> --from <TIME>
                            <--log-group <NAME>|--s3 <URI>>";

/// The flags.
#[derive(Debug, clap::Args)]
#[command(override_usage = USAGE)]
#[command(after_help = NOTES, group = ArgGroup::new("place").args(["log_group", "s3"]).required(true))]
pub struct Args {
    /// The configuration file: its sinks, and all else but its source and positions.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Read this log group (a name or an ARN); may be given several times.
    #[arg(long, value_name = "NAME", conflicts_with = "s3")]
    log_group: Vec<String>,
    /// Read the objects below this prefix: s3://BUCKET or s3://BUCKET/PREFIX.
    #[arg(long, value_name = "URI")]
    s3: Option<String>,
    /// The time of the oldest calls.
    #[arg(long, value_name = "TIME")]
    from: Since,
    /// The time behind the newest calls. Default: now.
    #[arg(long, value_name = "TIME")]
    to: Option<Since>,
    /// The Region. Default: the configured source's, or an ARN's.
    #[arg(long)]
    region: Option<String>,
    /// The profile of the AWS configuration to use. Default: the configured source's.
    #[arg(long)]
    profile: Option<String>,
    /// Another endpoint of the API of S3 or CloudWatch Logs.
    #[arg(long, value_name = "U")]
    endpoint_url: Option<String>,
    /// The directory of the backfill's positions and its default dead letter. Default: `backfill` in the directory of the
    /// daemon's.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Read and count only: no sink is opened and no position is written.
    #[arg(long, conflicts_with = "restart")]
    dry_run: bool,
    /// Begin anew, whatever was delivered before.
    #[arg(long)]
    restart: bool,
    /// Send alerts of what detection rules find. Without it, findings mark their events and nobody is called: what was
    /// found may be months old.
    #[arg(long, conflicts_with = "dry_run")]
    alerts: bool,
}

impl Args {
    /// What is to be read.
    fn job(&self, config: &Config, now: Timestamp) -> Result<Job, UsageError> {
        // A whole second, so that the command to go on with is short.
        let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
        let (from, to) = (self.from.time(now).max(Timestamp::UNIX_EPOCH), self.to.map_or(now, |to| to.time(now)));
        if from >= to {
            return Err(UsageError(format!("--from {from} is not before --to {to}: there is nothing between them")));
        }
        if to > now {
            let message = format!("--to {to} is in the future: a backfill reads what is there, and is finished then");
            return Err(UsageError(message));
        }
        let place = match &self.s3 {
            Some(url) => {
                let (bucket, prefix) = S3List::place(url).map_err(|flaw| UsageError(format!("--s3: {flaw}")))?;
                Place::Objects { bucket: bucket.into(), prefix: prefix.into() }
            }
            None => Place::LogGroups(self.groups()?),
        };
        let configured = plan::backfill::access(config, self.s3.is_some());
        let access = Access {
            region: self.region.clone().or(self.region_of_groups()?).or(configured.region),
            profile: self.profile.clone().or(configured.profile),
            endpoint_url: self.endpoint_url.clone().or(configured.endpoint_url),
            ..configured
        };
        Ok(Job { place, from, to, access })
    }

    fn groups(&self) -> Result<Vec<Arc<str>>, UsageError> {
        let mut groups: Vec<Arc<str>> = Vec::new();
        for group in &self.log_group {
            if group.is_empty() || groups.iter().any(|known| **known == **group) {
                return Err(UsageError(format!("--log-group {group:?} is empty, or given twice")));
            }
            check_group(group, &Group::of(group)).map_err(|flaw| UsageError(format!("--log-group: {flaw}")))?;
            groups.push(group.as_str().into());
        }
        Ok(groups)
    }

    /// The Region that the ARNs name.
    fn region_of_groups(&self) -> Result<Option<String>, UsageError> {
        let mut regions: Vec<_> = self.log_group.iter().filter_map(|group| Group::of(group).region).collect();
        regions.dedup();
        match regions.as_slice() {
            [] => Ok(None),
            [region] => Ok(Some(region.to_string())),
            _ => {
                let message = "the log groups are of several Regions: give a Region's in a command of their own";
                Err(UsageError(message.to_owned()))
            }
        }
    }

    /// Where positions are kept.
    fn state(&self, config: &Config) -> Result<PathBuf, UsageError> {
        let default = || config.coordination.directory().map(|directory| directory.join(DIRECTORY));
        self.state.clone().or_else(default).ok_or_else(|| {
            let message = "the daemon's positions are in DynamoDB, and a backfill keeps its own in a directory: give one \
                           with --state DIR, such as /var/lib/bedrock-tap/backfill";
            UsageError(message.to_owned())
        })
    }

    /// The command that goes on with the job.
    fn resume(&self, job: &Job) -> Resume {
        let mut words = vec!["bedrock-tap".to_owned(), "backfill".to_owned()];
        let mut flag = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                words.extend([name.to_owned(), value]);
            }
        };
        let path = |path: &Path| path.display().to_string();
        flag("--config", Some(path(&self.config)));
        self.log_group.iter().for_each(|group| flag("--log-group", Some(group.clone())));
        flag("--s3", self.s3.clone());
        flag("--from", Some(job.from.to_string()));
        flag("--to", Some(job.to.to_string()));
        flag("--region", self.region.clone());
        flag("--profile", self.profile.clone());
        flag("--endpoint-url", self.endpoint_url.clone());
        flag("--state", self.state.as_deref().map(path));
        if self.alerts {
            words.push("--alerts".to_owned());
        }
        Resume(words)
    }

    fn is_relative(&self) -> bool {
        matches!(self.from, Since::Ago(_)) || !matches!(self.to, Some(Since::At(_)))
    }
}

/// Runs the command.
///
/// # Errors
/// Wrong usage, a configuration that is not valid, what cannot be opened or reached, or what ended the run.
pub fn execute(args: Args) -> anyhow::Result<ExitCode> {
    let config = check::load(&args.config)?;
    run::restart_with_lean_heap();
    let job = args.job(&config, Timestamp::now())?;
    let state = args.state(&config)?;
    let shown = Arc::new(Shown::of_process());
    telemetry::start_on(&plan::log(&config), shown.writer())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.context("the system starts no more threads")?;
    let result = runtime.block_on(async {
        let stop = Stop::on_signals().context("signals cannot be listened for")?;
        if args.dry_run {
            count(&config, job, &shown, stop).await
        } else {
            deliver(&args, &config, job, &state, &shown, stop).await
        }
    });
    // What still blocks must not hold the end.
    runtime.shutdown_background();
    result
}

/// Delivers what is left of a job.
async fn deliver(
    args: &Args,
    config: &Config,
    job: Job,
    state: &Path,
    shown: &Arc<Shown>,
    stop: Stop,
) -> anyhow::Result<ExitCode> {
    let resume = args.resume(&job);
    let run = match find(&job, args.restart, state).await? {
        Found::Finished => {
            shown.say(&format!(
                "nothing to do: everything was delivered before; --restart delivers it again\n  {resume} --restart"
            ));
            return Ok(ExitCode::SUCCESS);
        }
        Found::New(run) => {
            shown.say(&report::beginning(&job, false));
            run
        }
        Found::Begun(run) => {
            shown.say(&report::beginning(&job, true));
            run
        }
    };
    if args.is_relative() {
        // Whoever is killed cannot say it any more.
        shown.say(&format!("if it is interrupted, go on with:\n  {resume}"));
    }
    let begun = Instant::now();
    let watched = Arc::<Watched>::default();
    let alerts = if args.alerts { Alerts::Sent } else { Alerts::Kept };
    let plan = plan::backfill::of(config, job.clone(), run, state, alerts, Arc::clone(&watched));
    let plan = plan.map_err(check::usage)?;
    let showing = shown.show(Arc::clone(&watched), &job);
    let result = daemon::run(plan, stop).await;
    showing.end().await;
    let (seen, tally) = (watched.seen(), watched.tally());
    let exited = result.as_ref().ok().and_then(|summary| summary.exited);
    let is_whole = seen.is_complete && result.is_ok() && exited.is_none();
    shown.say(&Outcome { is_whole, seen: &seen, tally: &tally, elapsed: begun.elapsed() }.to_string());
    if !is_whole {
        let when = if result.is_err() { "when that is mended, " } else { "" };
        shown.say(&format!("{when}go on with:\n  {resume}"));
    }
    result?;
    Ok(match exited {
        Some(signal) => ExitCode::from(128u8.saturating_add(signal)),
        None if is_whole => ExitCode::SUCCESS,
        None => ExitCode::FAILURE,
    })
}

/// What the journal knows of the job. The directory is free again after it, for the run.
async fn find(job: &Job, restart: bool, state: &Path) -> anyhow::Result<Found> {
    let settings = local::Settings { directory: state.to_path_buf() };
    let store = tokio::task::spawn_blocking(move || Local::open(&settings)).await;
    let store = store.context("a task panicked; the log says where, please report it")?;
    let store = store.context("a backfill keeps positions of its own, where --state says")?;
    Ok(Run::find(job, restart, &store).await?)
}

/// Reads everything and counts it.
async fn count(config: &Config, job: Job, shown: &Arc<Shown>, stop: Stop) -> anyhow::Result<ExitCode> {
    let begun = Instant::now();
    let counting = Arc::new(Counting::new(plan::line(config)?));
    let watched = Arc::<Watched>::default();
    watched.count(counting.total());
    let tools = Tools {
        lanes: Arc::clone(&counting) as _,
        checkpoints: Arc::new(Memory::default()),
        budget: Budget::new(config.memory_budget.as_usize()),
        max_inflated_bytes: config.decode.limits().inflated_bytes,
        watched: Arc::clone(&watched),
        stop: stop.drain.clone(),
    };
    shown.say(&report::beginning(&job, false));
    let run = Run::untold(&job);
    let showing = shown.show(Arc::clone(&watched), &job);
    let result = tokio::select! {
        result = backfill::read(job, run, tools) => result,
        () = stop.exit.cancelled() => Ok(false),
    };
    showing.end().await;
    let is_whole = result?;
    report::print_days(&counting.days(), &watched.seen(), is_whole, begun.elapsed())?;
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A duration as people say it.
fn duration(duration: std::time::Duration) -> String {
    let rounded = SignedDuration::from_secs(i64::try_from(duration.as_secs()).unwrap_or(i64::MAX));
    if duration.as_secs() < 10 { format!("{:.1}s", duration.as_secs_f64()) } else { format!("{rounded:#}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;
    use clap::Parser as _;

    #[derive(clap::Parser)]
    struct Program {
        #[command(flatten)]
        args: Args,
    }

    const CONFIG: &str = "source.kinesis = { stream = 'a', region = 'eu-west-1', profile = 'p' }\nsinks.a.stdout = {}";

    fn job(flags: &str) -> Result<(Job, String), String> {
        let flags = ["backfill", "--config", "c.toml"].into_iter().chain(flags.split_whitespace());
        let args = Program::try_parse_from(flags).map_err(|error| error.to_string())?.args;
        let config = Config::parse(CONFIG, "c.toml", &Environment::default()).unwrap();
        let now = "2026-10-07T12:00:00.7Z".parse().unwrap();
        let job = args.job(&config, now).map_err(|error| error.to_string())?;
        let resume = args.resume(&job).to_string();
        Ok((job, resume))
    }

    #[test]
    fn flags_make_a_job_and_the_command_that_goes_on() {
        let (job, resume) = super::tests::job("--s3 s3://logs/a/b --from 2h --state it's").unwrap();
        assert_eq!(job.place, Place::Objects { bucket: "logs".into(), prefix: "a/b".into() });
        assert_eq!((job.access.region.as_deref(), job.access.profile.as_deref()), (Some("eu-west-1"), Some("p")));
        let expected = "bedrock-tap backfill --config c.toml --s3 s3://logs/a/b --from 2026-10-07T10:00:00Z \
                        --to 2026-10-07T12:00:00Z --state 'it'\\''s'";
        assert_eq!(resume, expected);
        let arn = "arn:aws:logs:us-east-2:123456789012:log-group:b";
        let flags = format!("--log-group a --log-group {arn} --from 2026-01-01T00:00:00Z --to 1d");
        let (job, _) = super::tests::job(&flags).unwrap();
        assert_eq!(job.place, Place::LogGroups(vec!["a".into(), arn.into()]));
        assert_eq!(job.access.region.as_deref(), Some("us-east-2"));
        assert_eq!(job.to, "2026-10-06T12:00:00Z".parse().unwrap());
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let check = |flags: &str, expected: &str| {
            let error = job(flags).unwrap_err();
            assert!(error.contains(expected), "{flags}: {error}");
        };
        check("--from 1h", "--log-group <NAME>|--s3 <URI>");
        check("--s3 s3://logs --log-group a --from 1h", "cannot be used with");
        check("--s3 s3://logs", "--from <TIME>");
        check("--s3 s3://logs --from 1h --to 2h", "is not before --to");
        check("--s3 s3://logs --from 2026-10-07T12:00:00Z", "is not before --to");
        check("--s3 s3://logs --from 1h --to 2026-10-07T13:00:00Z", "is in the future");
        check("--s3 logs/a --from 1h", "`s3://BUCKET/PREFIX`");
        check("--s3 s3://logs --from yesterday", "an RFC 3339 time");
        check("--s3 s3://logs --from 1h --dry-run --restart", "cannot be used with");
        check("--log-group a --log-group a --from 1h", "given twice");
        let arns = "--log-group arn:aws:logs:eu-west-1:123456789012:log-group:a \
                    --log-group arn:aws:logs:eu-west-2:123456789012:log-group:a";
        check(&format!("{arns} --from 1h"), "several Regions");
        check("--log-group a?b --from 1h", "is no log group's name");
    }
}
