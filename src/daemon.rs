//! The daemon: builds the parts from a plan, owns the tasks, and drains them when it is told to stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, warn};

use crate::bodies::{self, fetch::Fetcher};
use crate::budget::Budget;
use crate::checkpoint::local;
use crate::checkpoint::memory::Memory;
use crate::checkpoint::{CheckpointStore, Commits};
use crate::delivery::total::Total;
use crate::delivery::work::Crew;
use crate::delivery::{self, Engine, LaneError};
use crate::health::server::Server;
use crate::health::{self, Health};
use crate::pipeline::Tally;
use crate::sink::batch::Counts;
use crate::sink::dead_letter::DeadLetter;
use crate::sink::{self, Planned, SinkError};
use crate::source::{self, BoxFuture};

pub mod alerts;
mod detection;
pub mod export;
mod open;
pub mod plan;
pub mod reload;
mod said;
mod stop;

use alerts::{AlertPlan, Outbox};
use detection::Remembered;
use export::{ExportPlan, Exports};
use said::{say, say_undelivered};

pub use detection::{Detected, DetectionPlan, Keep};
pub use reload::Reload;
pub use stop::Stop;

/// The part of the memory that holds what was read and is not through the line yet. The rest holds what is encoded and
/// not durable yet, which is larger: inflated, and once for each sink.
const RAW_SHARE: usize = 4;

/// How long tasks get to end after the drain deadline. They need it for a last commit and to release leases; one that
/// waits for what does not answer is left behind. With the default deadline this is still before a container is killed,
/// 30 seconds after it was told to stop.
const ABANDON_GRACE: Duration = Duration::from_secs(4);

/// What to run.
pub struct Plan {
    /// Where records come from.
    pub source: SourcePlan,
    /// The pure lines; they have one output for each sink.
    pub crew: Crew,
    /// How bodies in S3 are fetched, if they are.
    pub bodies: Option<bodies::Settings>,
    /// Where events go. At least one.
    pub sinks: Vec<SinkPlan>,
    /// Where rejects go.
    pub dead_letter: SinkPlan,
    /// Further dead letters, for sinks that name them.
    pub dead_letters: Vec<SinkPlan>,
    /// What is looked for, which the pure lines have as well, and where alerts go; none looks for nothing.
    pub detection: Option<DetectionPlan>,
    /// Where positions go.
    pub checkpoints: CheckpointPlan,
    /// The bytes that may be in flight, read and encoded ones together.
    pub memory_bytes: usize,
    /// How long what was read may take to be delivered once the process is told to stop.
    pub drain: Duration,
    /// Where the process answers about itself, if it does.
    pub http: Option<SocketAddr>,
    /// Where metrics are sent.
    pub exports: Vec<ExportPlan>,
}

/// Where records come from.
pub enum SourcePlan {
    /// Files, pipes and standard input.
    Files(source::file::Settings),
    /// A source that coordinates its own partitions, such as a stream.
    Partitions(Box<dyn FnOnce(Seam) -> BoxFuture<'static, anyhow::Result<()>> + Send>),
}

/// What a coordinator of partitions works with.
pub struct Seam {
    /// Runs partitions. It commits to `checkpoints`; whoever keeps positions elsewhere gives it another store.
    pub engine: Engine,
    /// Where the plan keeps positions.
    pub checkpoints: Arc<dyn CheckpointStore>,
    /// The bytes that may be read and not through the line.
    pub budget: Budget,
    /// Cancelled when nothing more is to be read; the lanes look at the same token. A coordinator that fails cancels
    /// it, waits for its lanes, and returns its error.
    pub stop: CancellationToken,
}

/// One sink.
pub struct SinkPlan {
    /// Its name in logs.
    pub name: String,
    /// What to open, and how it is fed.
    pub planned: Planned,
    /// Where what it refuses goes: the index among the plan's further dead letters; none is the plan's own.
    pub dead_letter: Option<usize>,
    /// Whether the destination is asked, before anything is read, if it can be written to.
    pub probe: bool,
}

impl SinkPlan {
    /// A sink that is not asked before, and whose refusals go to the plan's dead letter.
    pub fn new(name: &str, planned: Planned) -> Self {
        Self { name: name.to_owned(), planned, dead_letter: None, probe: false }
    }
}

/// The checkpoint stores.
pub enum CheckpointPlan {
    /// An embedded database on the local disk.
    Local(local::Settings),
    /// Nothing that outlives the process.
    Memory,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// What was read and what became of it.
    pub tally: Tally,
    /// Records that were read.
    pub records_read: u64,
    /// Records of which everything is durable.
    pub records_delivered: u64,
    /// What was found in it, where something was looked for.
    pub detected: Option<Detected>,
    /// The process was told to end at once: the number of the signal that told so, 0 if none did.
    pub exited: Option<u8>,
}

/// Runs the plan until its source ends or it is told to stop.
///
/// # Errors
/// What cannot be opened before anything is read, or what ended the run: a sink that is gone for good, a source that
/// cannot go on, a checkpoint store that cannot be used, or a panic.
pub async fn run(mut plan: Plan, stop: Stop) -> anyhow::Result<Summary> {
    let reading = stop.drain.child_token();
    let abandon = CancellationToken::new();
    let total = Arc::new(Total::default());
    let drain = plan.drain;
    let detector = plan.detection.as_ref().map(|detection| Arc::clone(&detection.detector));
    let health = Arc::new(Health::starting(Arc::clone(&total)));
    // It answers from the start on, and until all else has ended.
    let _answering = match plan.http {
        Some(address) => {
            let server = Server::open(address, Arc::clone(&health)).await?;
            Some(AbortOnDropHandle::new(tokio::spawn(server.serve())))
        }
        None => None,
    };
    let exports = Exports::start(std::mem::take(&mut plan.exports), &health)?;
    let Built { mut tasks, coordinator, read, sinks, watched } =
        build(plan, reading.clone(), abandon.clone(), &total).await?;
    health.running(watched);
    tasks.spawn(async move {
        // However it ends, nothing more is observed then.
        let _read = read.drop_guard();
        Ended::Source(coordinator.await)
    });
    let deadline = async {
        reading.cancelled().await;
        health.draining();
        tokio::time::sleep(drain).await;
        abandon.cancel();
        tokio::time::sleep(ABANDON_GRACE).await;
    };
    tokio::pin!(deadline);
    let mut failures = Failures::default();
    let exited = loop {
        tokio::select! {
            biased;
            () = stop.exit.cancelled() => break Some(stop.signal()),
            ended = tasks.join_next() => match ended {
                None => break None,
                Some(ended) => if failures.note(ended) {
                    reading.cancel();
                },
            },
            () = &mut deadline => {
                warn!("ending with tasks that did not: a store or a service does not answer");
                break None;
            }
        }
    };
    if exited.is_none() {
        exports.finish().await;
    }
    let summary = Summary {
        tally: total.tally(),
        records_read: total.records_read(),
        records_delivered: total.records_delivered(),
        detected: detector.as_deref().map(Detected::by),
        exited,
    };
    say(&summary, failures.closed_pipe);
    sinks.iter().for_each(|(name, counts)| say_undelivered(name, counts));
    failures.cause().map_or(Ok(summary), Err)
}

/// How a task ended.
enum Ended {
    Sink(Arc<str>, Result<(), SinkError>),
    Alerts,
    Source(anyhow::Result<()>),
}

type Coordinator = BoxFuture<'static, anyhow::Result<()>>;

/// What runs, and what its sinks count.
struct Built {
    tasks: JoinSet<Ended>,
    coordinator: Coordinator,
    /// Cancelled once nothing more is read.
    read: CancellationToken,
    sinks: Vec<(Arc<str>, Arc<Counts>)>,
    /// What is asked about from outside.
    watched: health::Parts,
}

/// Opens everything, and starts the sinks.
async fn build(
    plan: Plan,
    reading: CancellationToken,
    abandon: CancellationToken,
    total: &Arc<Total>,
) -> anyhow::Result<Built> {
    anyhow::ensure!(
        plan.crew.outputs() == plan.sinks.len() && !plan.sinks.is_empty(),
        "there are {} outputs for {} sinks; each sink takes one, and there is at least one",
        plan.crew.outputs(),
        plan.sinks.len()
    );
    let crew = match plan.bodies {
        None => plan.crew,
        Some(settings) => plan.crew.fetching(Fetcher::connect(settings).await.context("bodies cannot be fetched")?),
    };
    let raw = Budget::new(plan.memory_bytes / RAW_SHARE);
    let encoded = Budget::new(plan.memory_bytes - plan.memory_bytes / RAW_SHARE);
    let local = match plan.checkpoints {
        CheckpointPlan::Memory => None,
        CheckpointPlan::Local(settings) => Some(open::local(settings).await?),
    };
    let memory = match plan.detection.as_ref().map(Remembered::of) {
        Some(remembered) => remembered.recall(local.clone()).await?,
        None => None,
    };
    let checkpoints: Arc<dyn CheckpointStore> = match local {
        Some(local) => local,
        None => Arc::new(Memory::default()),
    };
    let mut drivers = Vec::new();
    let mut letters = Vec::new();
    for plan in std::iter::once(plan.dead_letter).chain(plan.dead_letters) {
        let tags = plan.planned.tags.clone();
        let (outlet, driver) = open::open(plan, None, &reading, &abandon).await?;
        letters.push(DeadLetter::new(outlet, tags));
        drivers.push(driver);
    }
    let mut outlets = Vec::new();
    for plan in plan.sinks {
        let letter = letters.get(plan.dead_letter.map_or(0, |index| index + 1)).cloned();
        let (outlet, driver) = open::open(plan, letter, &reading, &abandon).await?;
        outlets.push(outlet);
        drivers.push(driver);
    }
    let mut watched: Vec<_> = outlets.iter().map(open::asked).collect();
    watched.extend(letters.iter().map(|letter| open::asked(letter.outlet())));
    let mut sinks: Vec<_> = outlets.iter().map(open::counted).collect();
    let (mut outbox, mut looking) = (None, None);
    if let Some(DetectionPlan { detector, alerts, .. }) = plan.detection {
        let mut desks = Vec::new();
        for AlertPlan { sink, audience } in alerts {
            let (tags, letter) = (sink.planned.tags.clone(), letters.first().cloned());
            let (outlet, driver) = open::open(sink, letter, &reading, &abandon).await?;
            sinks.push(open::counted(&outlet));
            watched.push(open::asked(&outlet));
            desks.push((outlet, tags, audience));
            drivers.push(driver);
        }
        looking = Some(Arc::clone(&detector));
        outbox = Some(Outbox::new(detector, memory.clone(), desks));
    }
    let dead_letter = letters.swap_remove(0);
    let crew = crew.tagging_letters(dead_letter.tags().cloned());
    let mut tasks = JoinSet::new();
    for driver in drivers {
        let name = driver.name();
        tasks.spawn(async move { Ended::Sink(name, driver.run().await) });
    }
    let watched = health::Parts { raw: raw.clone(), encoded: encoded.clone(), detector: looking, sinks: watched };
    let read = CancellationToken::new();
    if let Some(outbox) = outbox {
        let (read, abandon) = (read.clone(), abandon.clone());
        tasks.spawn(async move {
            outbox.run(read, abandon).await;
            Ended::Alerts
        });
    }
    let (total, commits) = (Arc::clone(total), Arc::clone(&checkpoints) as Arc<dyn Commits>);
    let parts = delivery::Parts {
        crew,
        outlets,
        dead_letter,
        checkpoints: commits,
        encoded,
        abandon,
        total,
        shelf: Arc::default(),
        memory,
    };
    let engine = Engine::new(parts);
    let coordinator: Coordinator = match plan.source {
        SourcePlan::Files(settings) => {
            let engine = engine.without_ranges();
            let forgetful = Arc::new(engine.with_checkpoints(Arc::new(Memory::default())));
            Box::pin(async move {
                source::file::run(settings, Arc::new(engine), forgetful, checkpoints, raw, reading).await?;
                Ok(())
            })
        }
        SourcePlan::Partitions(start) => start(Seam { engine, checkpoints, budget: raw, stop: reading }),
    };
    Ok(Built { tasks, coordinator, read, sinks, watched })
}

/// What went wrong, by who said so.
#[derive(Default)]
struct Failures {
    closed_pipe: bool,
    sink: Option<anyhow::Error>,
    source: Option<anyhow::Error>,
}

impl Failures {
    /// Notes how a task ended; returns whether nothing more is to be read.
    fn note(&mut self, ended: Result<Ended, JoinError>) -> bool {
        match ended {
            Ok(Ended::Sink(_, Ok(())) | Ended::Source(Ok(())) | Ended::Alerts) => return false,
            Ok(Ended::Sink(name, Err(error))) if error.is_closed_pipe() => {
                debug!(sink = %name, "the reader has closed the pipe");
                self.closed_pipe = true;
            }
            Ok(Ended::Sink(name, Err(error))) => {
                warn!(sink = %name, error = %sink::retry::Causes(&error), "a sink is gone, stopping");
                let error = anyhow::Error::new(error).context(format!("the sink {name} has stopped"));
                self.sink.get_or_insert(error);
            }
            Ok(Ended::Source(Err(error))) if follows_a_sink(&error) => {
                debug!(error = %format_args!("{error:#}"), "the source stopped because a sink did");
                self.source.get_or_insert(error);
            }
            Ok(Ended::Source(Err(error))) => {
                warn!(error = %format_args!("{error:#}"), "the source cannot go on, stopping");
                self.source.get_or_insert(error);
            }
            // A task that panicked may have been any of them: it comes first.
            Err(error) => self.sink = Some(panicked(&error)),
        }
        true
    }

    /// What the process failed of, if it did: a sink that is gone makes its lanes fail too, but is the cause. A closed
    /// pipe is the reader's way to say that it has enough.
    fn cause(self) -> Option<anyhow::Error> {
        if self.sink.is_some() {
            return self.sink;
        }
        self.source.filter(|error| !(self.closed_pipe && follows_a_sink(error)))
    }
}

/// Whether a lane failed because its sink was gone, whose own task says why.
fn follows_a_sink(error: &anyhow::Error) -> bool {
    error
        .chain()
        .any(|cause| cause.is::<SinkError>() || matches!(cause.downcast_ref::<LaneError>(), Some(LaneError::Sink(_))))
}

/// A task that panicked. Its own error is not shown: it quotes the panic, which may quote data.
fn panicked(_: &JoinError) -> anyhow::Error {
    anyhow::anyhow!("a task panicked; the log says where, please report it")
}
