//! The scripted ends: a source, sinks, a checkpoint store and a pure line that do as a test tells them.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use bedrock_tap::budget::{Budget, Reservation};
use bedrock_tap::checkpoint::{CheckpointError, CheckpointStore, Commits, Stored};
use bedrock_tap::delivery::total::Total;
use bedrock_tap::delivery::work::{Crew, Work};
use bedrock_tap::delivery::{Announcement, Delivered, Engine, LaneEnd, LaneError, Lanes as _, Parts};
use bedrock_tap::pipeline::{Parcel, Rejected};
use bedrock_tap::record::{Origin, Partition, Position, Record, SequenceNumber, ShardId};
use bedrock_tap::reject::{Fault, Reason, Stage};
use bedrock_tap::sink::batch::{self, Outlet};
use bedrock_tap::sink::dead_letter::DeadLetter;
use bedrock_tap::sink::{Batch, Sink, SinkError};
use bedrock_tap::source::{BoxFuture, Read, Source, SourceError};
use jiff::Timestamp;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A line that hands each line of a record to every output. `!…` is a reject, `-` is skipped, `panic` panics.
pub(crate) struct Echo;

impl Work for Echo {
    fn process(&mut self, record: &Record, _: Timestamp, parcel: &mut Parcel) {
        for line in record.data.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            parcel.tally.log_events += 1;
            match line {
                b"panic" => panic!("scripted"),
                b"-" => {}
                [b'!', ..] => parcel.rejects.push(Rejected {
                    fault: Fault::new(Stage::Parse, Reason::InvalidJson, "scripted"),
                    origin: record.origin.clone(),
                    original: line.to_vec(),
                    log_group: None,
                    log_stream: None,
                    event_id: None,
                    timestamp_millis: None,
                }),
                _ => {
                    parcel.tally.invocations += 1;
                    for lines in &mut parcel.outputs {
                        lines.push_with(|out| out.extend_from_slice(line));
                    }
                }
            }
        }
    }
}

pub(crate) fn echo_crew(outputs: usize) -> Crew {
    Crew::new(2, outputs, || Box::new(Echo))
}

/// What a scripted source does at one call.
pub(crate) enum Step {
    /// Hands on these records, each a line, and a position.
    Read(Vec<String>, u64),
    /// Waits until the test says so.
    Wait(Arc<Notify>),
    /// Fails for good.
    Fail,
    /// Ends.
    End,
}

/// A source that follows a script, and waits for ever at its end.
pub(crate) struct Script {
    steps: VecDeque<Step>,
    budget: Option<Budget>,
}

impl Script {
    pub(crate) fn new(steps: impl IntoIterator<Item = Step>) -> Box<Self> {
        Box::new(Self { steps: steps.into_iter().collect(), budget: None })
    }

    /// Reads of one line each, `line-0` and so on, with positions from 1 on; then the end.
    pub(crate) fn lines(count: u64) -> Box<Self> {
        let reads = (0..count).map(|number| Step::Read(vec![format!("line-{number}")], number + 1));
        Self::new(reads.chain([Step::End]))
    }
}

pub(crate) fn after(sequence: u64) -> Position {
    Position::After(SequenceNumber::new(&sequence.to_string()).unwrap())
}

pub(crate) fn partition(shard: &str) -> Partition {
    Partition { stream: "calls".into(), shard: ShardId::new(shard) }
}

impl Source for Script {
    fn next(&mut self) -> BoxFuture<'_, Result<Read, SourceError>> {
        Box::pin(async move {
            while let Some(Step::Wait(told)) = self.steps.front() {
                told.notified().await;
                self.steps.pop_front();
            }
            match self.steps.pop_front() {
                Some(Step::Read(lines, position)) => {
                    let bytes = lines.iter().map(String::len).sum();
                    let reservation = match &self.budget {
                        Some(budget) => budget.reserve(bytes).await,
                        None => Reservation::default(),
                    };
                    let record = |line: String| {
                        Record::new(line.into(), Origin::File { path: "script".into(), offset: position })
                    };
                    let records = lines.into_iter().map(record).collect();
                    Ok(Read::Records { records, position: after(position), lag: None, reservation })
                }
                Some(Step::End) => Ok(Read::End { children: vec![ShardId::new("child")] }),
                Some(Step::Fail) => {
                    Err(SourceError::Fatal { what: "script".into(), advice: "scripted".into(), source: None })
                }
                Some(Step::Wait(_)) | None => std::future::pending().await,
            }
        })
    }
}

/// What a scripted sink answers to a delivery.
pub(crate) enum Answer {
    Retry,
    /// Takes the batch, and says that it did not.
    TakeAndRetry,
    Refuse(Vec<usize>),
    Stop,
}

/// A sink that keeps what it takes. Batches that hold a held line wait until it is let go.
#[derive(Default)]
pub(crate) struct Keeper {
    pub(crate) taken: Mutex<Vec<String>>,
    pub(crate) batches: Mutex<Vec<usize>>,
    pub(crate) answers: Mutex<VecDeque<Answer>>,
    held: Mutex<HashMap<String, Arc<Semaphore>>>,
}

impl Keeper {
    pub(crate) fn answering(answers: impl IntoIterator<Item = Answer>) -> Arc<Self> {
        Arc::new(Self { answers: Mutex::new(answers.into_iter().collect()), ..Self::default() })
    }

    pub(crate) fn hold(&self, line: &str) {
        self.held.lock().unwrap().insert(line.to_owned(), Arc::new(Semaphore::new(0)));
    }

    pub(crate) fn let_go(&self, line: &str) {
        self.held.lock().unwrap().get(line).unwrap().close();
    }

    pub(crate) fn taken(&self) -> Vec<String> {
        self.taken.lock().unwrap().clone()
    }
}

impl Sink for Keeper {
    fn deliver(&self, batch: Arc<Batch>) -> BoxFuture<'_, Result<(), SinkError>> {
        Box::pin(async move {
            let lines: Vec<String> = batch
                .parts
                .iter()
                .flat_map(|part| part.iter())
                .map(|line| String::from_utf8(line.strip_suffix(b"\n").unwrap().to_vec()).unwrap())
                .collect();
            self.batches.lock().unwrap().push(lines.len());
            for line in &lines {
                let gate = self.held.lock().unwrap().get(line).cloned();
                if let Some(gate) = gate {
                    // The gate opens by closing.
                    let _ = gate.acquire().await;
                }
            }
            let retry = || SinkError::Retry { after: None, source: "scripted".into() };
            let answer = self.answers.lock().unwrap().pop_front();
            match answer {
                Some(Answer::Retry) => return Err(retry()),
                Some(Answer::Stop) => return Err(SinkError::Stop { advice: "scripted".into(), source: None }),
                Some(Answer::Refuse(items)) => {
                    let kept = lines.iter().enumerate().filter(|(index, _)| !items.contains(index));
                    self.taken.lock().unwrap().extend(kept.map(|(_, line)| line.clone()));
                    let items = items.into_iter().map(|index| (index, "too odd".to_owned())).collect();
                    return Err(SinkError::refused_items(items));
                }
                Some(Answer::TakeAndRetry) => {
                    self.taken.lock().unwrap().extend(lines);
                    return Err(retry());
                }
                None => self.taken.lock().unwrap().extend(lines),
            }
            Ok(())
        })
    }
}

/// A store that keeps every commit, with its time, and fails as scripted.
#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) commits: Mutex<Vec<(Position, tokio::time::Duration)>>,
    pub(crate) failures: Mutex<VecDeque<CheckpointError>>,
    started: Mutex<Option<tokio::time::Instant>>,
    positions: Mutex<BTreeMap<Partition, Position>>,
    announced: Mutex<BTreeMap<Partition, Position>>,
}

impl Ledger {
    pub(crate) fn newest(&self) -> Option<Position> {
        self.commits.lock().unwrap().last().map(|(position, _)| position.clone())
    }
}

pub(crate) fn store_retries() -> CheckpointError {
    CheckpointError::Retry { store: "ledger".into(), source: "scripted".into() }
}

impl Commits for Ledger {
    fn commit(&self, delivered: Delivered) -> BoxFuture<'_, Result<(), CheckpointError>> {
        Box::pin(async move {
            if let Some(failure) = self.failures.lock().unwrap().pop_front() {
                return Err(failure);
            }
            let started = *self.started.lock().unwrap().get_or_insert_with(tokio::time::Instant::now);
            self.commits.lock().unwrap().push((delivered.position().clone(), started.elapsed()));
            self.positions.lock().unwrap().insert(delivered.partition().clone(), delivered.position().clone());
            self.announced.lock().unwrap().remove(delivered.partition());
            Ok(())
        })
    }

    fn announce(&self, announcement: Announcement) -> BoxFuture<'_, Result<(), CheckpointError>> {
        Box::pin(async move {
            if let Some(failure) = self.failures.lock().unwrap().pop_front() {
                return Err(failure);
            }
            if let Some(position) = announcement.delivered() {
                self.positions.lock().unwrap().insert(announcement.partition().clone(), position.clone());
            }
            self.announced.lock().unwrap().insert(announcement.partition().clone(), announcement.to().clone());
            Ok(())
        })
    }

    fn stored(&self, partition: &Partition) -> BoxFuture<'_, Result<Stored, CheckpointError>> {
        let position = self.positions.lock().unwrap().get(partition).cloned();
        let announced = self.announced.lock().unwrap().get(partition).cloned();
        Box::pin(async move { Ok(Stored { position, announced }) })
    }
}

impl CheckpointStore for Ledger {
    fn load(&self, stream: &str) -> BoxFuture<'_, Result<Vec<(Partition, Position)>, CheckpointError>> {
        let positions = self.positions.lock().unwrap();
        let of_stream = positions.iter().filter(|(partition, _)| *partition.stream == *stream);
        let found = of_stream.map(|(partition, position)| (partition.clone(), position.clone())).collect();
        Box::pin(async move { Ok(found) })
    }

    fn begin(&self, partition: Partition, start: Position) -> BoxFuture<'_, Result<(), CheckpointError>> {
        self.positions.lock().unwrap().entry(partition).or_insert(start);
        Box::pin(async { Ok(()) })
    }
}

/// The two ways in which lanes are told to end.
#[derive(Clone, Default)]
pub(crate) struct Stop {
    pub(crate) reading: CancellationToken,
    pub(crate) abandon: CancellationToken,
}

/// An engine with scripted ends.
pub(crate) struct Bench {
    pub(crate) engine: Engine,
    pub(crate) outlets: Vec<Outlet>,
    pub(crate) stop: Stop,
    pub(crate) total: Arc<Total>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) letters: Arc<Keeper>,
    pub(crate) drivers: Vec<JoinHandle<Result<(), SinkError>>>,
}

/// Every submission a batch of its own, and all of them at once: receipts come back in any order.
pub(crate) const EACH_ALONE: batch::Settings =
    batch::Settings { max_batch_bytes: 1, concurrency: 1000, ..batch::Settings::DEFAULT };

impl Bench {
    pub(crate) fn new(sinks: &[Arc<Keeper>], batching: batch::Settings, encoded_bytes: usize) -> Self {
        Self::with_crew(echo_crew(sinks.len()), sinks, batching, encoded_bytes)
    }

    /// Each sink with settings of its own.
    pub(crate) fn with_settings(sinks: &[(Arc<Keeper>, batch::Settings)], encoded_bytes: usize) -> Self {
        Self::open(echo_crew(sinks.len()), sinks, encoded_bytes)
    }

    pub(crate) fn with_crew(
        crew: Crew,
        sinks: &[Arc<Keeper>],
        batching: batch::Settings,
        encoded_bytes: usize,
    ) -> Self {
        let sinks: Vec<_> = sinks.iter().map(|sink| (Arc::clone(sink), batching)).collect();
        Self::open(crew, &sinks, encoded_bytes)
    }

    fn open(crew: Crew, sinks: &[(Arc<Keeper>, batch::Settings)], encoded_bytes: usize) -> Self {
        let (stop, ledger, letters) = (Stop::default(), Arc::<Ledger>::default(), Arc::<Keeper>::default());
        let total = Arc::<Total>::default();
        let mut drivers = Vec::new();
        let mut open = |name: &str, sink: &Arc<Keeper>, settings, dead_letter: Option<DeadLetter>| -> Outlet {
            let sink: Arc<dyn Sink> = Arc::clone(sink) as Arc<dyn Sink>;
            let (outlet, driver) = batch::start(name, sink, settings, dead_letter, stop.abandon.clone());
            drivers.push(tokio::spawn(driver.run()));
            outlet
        };
        let dead_letter = DeadLetter::new(open("letters", &letters, batch::Settings::DEFAULT, None), None);
        let outlets: Vec<Outlet> = sinks
            .iter()
            .enumerate()
            .map(|(index, (sink, settings))| open(&format!("sink-{index}"), sink, *settings, Some(dead_letter.clone())))
            .collect();
        let engine = Engine::new(Parts {
            crew,
            outlets: outlets.clone(),
            dead_letter,
            checkpoints: Arc::clone(&ledger) as Arc<dyn Commits>,
            encoded: Budget::new(encoded_bytes),
            abandon: stop.abandon.clone(),
            total: Arc::clone(&total),
            shelf: Arc::default(),
            memory: None,
        });
        Self { engine, outlets, stop, total, ledger, letters, drivers }
    }

    pub(crate) fn spawn(&self, source: Box<Script>) -> JoinHandle<Result<LaneEnd, LaneError>> {
        let (engine, reading) = (self.engine.clone(), self.stop.reading.clone());
        tokio::spawn(async move { engine.run(partition("1"), source, reading).await })
    }
}

/// Lets everything run that can; with paused time this also lets that much time pass.
pub(crate) async fn settle(seconds: u64) {
    tokio::time::sleep(std::time::Duration::from_secs(seconds)).await;
}
