//! From a configuration to streams that are read: alone, with positions on the local disk, or shared with other workers
//! through leases.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::task::JoinSet;
use tracing::warn;

use crate::aws::{Access, CredentialsFrom};
use crate::config::{self, DynamodbCoordination, KinesisSource};
use crate::daemon::{Seam, SourcePlan};
use crate::lease::dynamodb::{self, Dynamo};
use crate::lease::held::Held;
use crate::lease::table::TableError;
use crate::lease::view::Timing;
use crate::lease::{StreamKey, worker};
use crate::source::kinesis::client::{self, Kinesis};
use crate::source::kinesis::coordinator::{self, OnTrimmed};
use crate::source::kinesis::error::{CallError, Policy};
use crate::source::kinesis::fleet::{self, Stream};
use crate::source::kinesis::pace::{Backoff, Limits};
use crate::source::kinesis::reader::{Mode, Reader};
use crate::source::kinesis::shards::Start;

/// How one of the configured streams is reached.
pub fn client(source: &KinesisSource, stream: &str) -> client::Settings {
    let access = Access {
        region: source.region_of(stream).map(str::to_owned),
        profile: source.profile.clone(),
        endpoint_url: source.endpoint_url.clone(),
        assume_role: source.role_of(stream).map(config::AssumeRole::settings),
        credentials: CredentialsFrom::Chain,
    };
    client::Settings { stream: stream.to_owned(), access }
}

/// One stream as a source of a plan.
pub fn one(settings: coordinator::Settings) -> SourcePlan {
    all(vec![settings])
}

/// The configured streams, read by this worker alone.
pub(super) fn alone(source: &KinesisSource) -> SourcePlan {
    let settings = |stream: &&str| coordinator::Settings {
        // Of several streams, two may have one name; of an ARN there is one.
        stored_as: source.is_multi().then(|| Arc::from(*stream)),
        mode: mode(source),
        start: start(source),
        on_trimmed: on_trimmed(source),
        limits: limits(source),
        list_interval: source.shard_sync_interval,
        ..coordinator::Settings::new(client(source, stream))
    };
    all(source.streams().iter().map(settings).collect())
}

fn all(streams: Vec<coordinator::Settings>) -> SourcePlan {
    SourcePlan::Partitions(Box::new(move |seam: Seam| {
        Box::pin(async move {
            let Seam { engine, checkpoints, budget, stop } = seam;
            let (engine, mut reading) = (Arc::new(engine), JoinSet::new());
            for settings in streams {
                let run = coordinator::run(settings, engine.clone(), checkpoints.clone(), budget.clone(), stop.clone());
                reading.spawn(run);
            }
            let mut failed = None;
            while let Some(ended) = reading.join_next().await {
                if let Err(error) = ended.context("a task panicked; the log says where, please report it")? {
                    // Streams that are read together stop together.
                    stop.cancel();
                    failed.get_or_insert(error);
                }
            }
            failed.map_or(Ok(()), |error| Err(error.into()))
        })
    }))
}

/// How to reach the lease table, and what is beside it.
pub(crate) fn table_access(source: &KinesisSource, table: &DynamodbCoordination) -> Access {
    Access {
        region: table.region_beside(source).map(str::to_owned),
        profile: table.profile_beside(source).map(str::to_owned),
        endpoint_url: table.endpoint_url.clone(),
        assume_role: table.assume_role.as_ref().map(config::AssumeRole::settings),
        credentials: CredentialsFrom::Chain,
    }
}

/// The configured streams, shared with other workers.
pub(super) fn shared(source: &KinesisSource, table: &DynamodbCoordination) -> SourcePlan {
    let access = table_access(source, table);
    let fleet = Fleet {
        table: dynamodb::Settings {
            table: table.table.clone(),
            create: table.create_table,
            access,
            start: start(source),
        },
        timing: Timing { failover: table.failover_time, handoff: table.handoff_timeout },
        clients: source.streams().iter().map(|stream| client(source, stream)).collect(),
        is_multi: source.is_multi(),
        source: source.clone(),
    };
    SourcePlan::Partitions(Box::new(move |seam: Seam| {
        Box::pin(async move {
            let stop = seam.stop.clone();
            let Some(prepared) = stop.run_until_cancelled(fleet.prepare(&seam)).await else { return Ok(()) };
            let Prepared { settings, streams, table } = prepared?;
            let held = Arc::<Held>::default();
            let lanes = Arc::new(seam.engine.with_checkpoints(held.clone()));
            Ok(fleet::run(settings, streams, table, lanes, held, stop).await?)
        })
    }))
}

/// What a fleet is made of.
struct Fleet {
    table: dynamodb::Settings,
    timing: Timing,
    clients: Vec<client::Settings>,
    is_multi: bool,
    source: KinesisSource,
}

struct Prepared {
    settings: fleet::Settings,
    streams: Vec<Stream>,
    table: Arc<Dynamo>,
}

impl Fleet {
    /// Finds the table and the streams.
    async fn prepare(&self, seam: &Seam) -> anyhow::Result<Prepared> {
        let table = Arc::new(Box::pin(self.connect_table()).await?);
        let mut streams = Vec::with_capacity(self.clients.len());
        for settings in &self.clients {
            let kinesis = Box::pin(Kinesis::connect(settings)).await?;
            let key = if self.is_multi { Some(stream_key(&kinesis).await?) } else { None };
            let (mode, limits) = (mode(&self.source), limits(&self.source));
            let reader = Box::pin(Reader::connect(kinesis.clone(), &mode, limits, seam.budget.clone())).await?;
            let twin = streams.iter().find(|stream: &&Stream| stream.key == key);
            if let Some(twin) = twin {
                // Its key holds no Region, and its time is in seconds.
                anyhow::bail!(
                    "{} and {} have the same account, name and time of creation, which is all that leases tell streams \
                     by: read them by two services with a table each",
                    twin.kinesis.resource(),
                    kinesis.resource()
                );
            }
            streams.push(Stream { kinesis, reader, key });
        }
        let settings = fleet::Settings {
            worker: worker::id().await,
            timing: self.timing,
            start: start(&self.source),
            on_trimmed: on_trimmed(&self.source),
            audit_interval: self.source.shard_sync_interval,
        };
        Ok(Prepared { settings, streams, table })
    }

    /// Finds the lease table; waits for one that does not answer, or that a person has to grant.
    async fn connect_table(&self) -> anyhow::Result<Dynamo> {
        let (mut brief, mut slow) = (Backoff::brief(), Backoff::slow());
        loop {
            let wait = match Dynamo::connect(&self.table).await {
                Ok(table) => return Ok(table),
                Err(dynamodb::Error::Table(error @ TableError::Retry { .. })) => {
                    warn!(%error, "the lease table cannot be opened, trying again");
                    brief.wait()
                }
                Err(dynamodb::Error::Table(error @ TableError::Denied { .. })) => {
                    warn!(%error, "the lease table cannot be opened until a person acts");
                    slow.wait()
                }
                Err(error) => return Err(error.into()),
            };
            tokio::time::sleep(wait).await;
        }
    }
}

/// What the leases of a stream are told by, in a table of several.
async fn stream_key(kinesis: &Kinesis) -> anyhow::Result<StreamKey> {
    let (mut brief, mut slow) = (Backoff::brief(), Backoff::slow());
    loop {
        let failure: CallError = match kinesis.describe().await {
            Ok(described) => {
                return Ok(StreamKey::new(&described.account, &described.name, described.created.as_second()));
            }
            Err(failure) => failure,
        };
        let wait = match failure.policy {
            Policy::ResourceGone | Policy::BadPosition => {
                let advice = failure.advice();
                return Err(anyhow::Error::new(failure).context(advice));
            }
            Policy::Denied => slow.wait(),
            _ => brief.wait(),
        };
        warn!(error = %failure, advice = failure.advice(), "the stream cannot be described, trying again");
        tokio::time::sleep(wait).await;
    }
}

fn mode(source: &KinesisSource) -> Mode {
    let (consumer, register) = (source.consumer.clone(), source.register_consumer);
    match source.mode {
        config::Mode::Polling => Mode::Polling,
        config::Mode::FanOut => Mode::FanOut { consumer, register },
        config::Mode::Auto => Mode::Auto { consumer, register },
    }
}

fn start(source: &KinesisSource) -> Start {
    match source.start {
        config::Start::TrimHorizon => Start::TrimHorizon,
        config::Start::Latest => Start::Latest,
        config::Start::At(time) => Start::AtTimestamp(time),
    }
}

fn on_trimmed(source: &KinesisSource) -> OnTrimmed {
    match source.on_trimmed {
        config::OnTrimmed::Fail => OnTrimmed::Fail,
        config::OnTrimmed::Oldest => OnTrimmed::Oldest,
    }
}

fn limits(source: &KinesisSource) -> Limits {
    Limits { calls_per_second: f64::from(source.calls_per_second), max_idle: source.max_idle }
}
