//! Fakes of the lanes and of the checkpoint store: they remember what they were given, in order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bedrock_tap::checkpoint::{CheckpointError, CheckpointStore, Commits, Stored};
use bedrock_tap::delivery::{Announcement, Delivered, LaneEnd, LaneError, Lanes};
use bedrock_tap::record::{Origin, Partition, Position, ShardId};
use bedrock_tap::source::{BoxFuture, Read, Source};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// A checkpoint store in memory.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) positions: Mutex<BTreeMap<ShardId, Position>>,
    /// Calls of `load` and `begin` fail so often before they work.
    pub(crate) failures: Mutex<u32>,
    /// After so many starts that were stored, `begin` fails for good.
    pub(crate) dies_after: Mutex<Option<u32>>,
}

impl Memory {
    pub(crate) fn with(positions: impl IntoIterator<Item = (ShardId, Position)>) -> Arc<Self> {
        Arc::new(Self { positions: Mutex::new(positions.into_iter().collect()), ..Self::default() })
    }

    pub(crate) fn position(&self, shard: &ShardId) -> Option<Position> {
        self.positions.lock().unwrap().get(shard).cloned()
    }

    fn trouble(&self) -> Result<(), CheckpointError> {
        let mut failures = self.failures.lock().unwrap();
        if *failures == 0 {
            return Ok(());
        }
        *failures -= 1;
        Err(CheckpointError::Retry { store: "memory".to_owned(), source: "scripted".into() })
    }
}

impl Commits for Memory {
    fn commit(&self, _: Delivered) -> BoxFuture<'_, Result<(), CheckpointError>> {
        unreachable!("only a delivery makes the token, and these lanes deliver nothing")
    }

    fn announce(&self, _: Announcement) -> BoxFuture<'_, Result<(), CheckpointError>> {
        unreachable!("these lanes write nothing")
    }

    fn stored(&self, partition: &Partition) -> BoxFuture<'_, Result<Stored, CheckpointError>> {
        let position = self.positions.lock().unwrap().get(&partition.shard).cloned();
        Box::pin(async move { Ok(Stored { position, announced: None }) })
    }
}

impl CheckpointStore for Memory {
    fn load(&self, stream: &str) -> BoxFuture<'_, Result<Vec<(Partition, Position)>, CheckpointError>> {
        let stream: Arc<str> = stream.into();
        Box::pin(async move {
            self.trouble()?;
            let positions = self.positions.lock().unwrap().clone();
            let partition = |shard| Partition { stream: stream.clone(), shard };
            Ok(positions.into_iter().map(|(shard, position)| (partition(shard), position)).collect())
        })
    }

    fn begin(&self, partition: Partition, start: Position) -> BoxFuture<'_, Result<(), CheckpointError>> {
        Box::pin(async move {
            self.trouble()?;
            if let Some(left) = &mut *self.dies_after.lock().unwrap() {
                if *left == 0 {
                    let (store, advice) = ("memory".to_owned(), "scripted".to_owned());
                    return Err(CheckpointError::Fatal { store, advice, source: None });
                }
                *left -= 1;
            }
            self.positions.lock().unwrap().entry(partition.shard).or_insert(start);
            Ok(())
        })
    }
}

/// What a lane did, in the order of all lanes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Started(ShardId),
    Record(ShardId, Vec<u8>),
    Ended(ShardId),
}

/// How a lane misbehaves.
#[derive(Clone, Debug)]
pub(crate) enum Mishap {
    Panic,
    /// It waits so long before it reads.
    Sleep(Duration),
}

/// Lanes that collect the records, and remember a position in the store for each.
#[derive(Debug)]
pub(crate) struct Collect {
    pub(crate) store: Arc<Memory>,
    pub(crate) events: Mutex<Vec<Event>>,
    pub(crate) lags: Mutex<Vec<(ShardId, Duration)>>,
    pub(crate) mishaps: Mutex<VecDeque<Mishap>>,
    changed: Notify,
}

impl Collect {
    pub(crate) fn new(store: &Arc<Memory>) -> Arc<Self> {
        Arc::new(Self {
            store: Arc::clone(store),
            events: Mutex::default(),
            lags: Mutex::default(),
            mishaps: Mutex::default(),
            changed: Notify::new(),
        })
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }

    /// The records' bytes as text, in the order in which they were read.
    pub(crate) fn texts(&self) -> Vec<String> {
        let text = |event| match event {
            Event::Record(_, data) => Some(String::from_utf8_lossy(&data).into_owned()),
            _ => None,
        };
        self.events().into_iter().filter_map(text).collect()
    }

    /// Waits until the events are as wanted.
    pub(crate) async fn until(&self, what: &str, mut wanted: impl FnMut(&[Event]) -> bool) {
        let waited = tokio::time::timeout(Duration::from_secs(600), async {
            loop {
                let changed = self.changed.notified();
                if wanted(&self.events.lock().unwrap()) {
                    return;
                }
                changed.await;
            }
        });
        assert!(waited.await.is_ok(), "never: {what}; events: {:?}", self.events());
    }

    /// Waits for so many records.
    pub(crate) async fn until_records(&self, count: usize) {
        let records = |events: &[Event]| events.iter().filter(|event| matches!(event, Event::Record(..))).count();
        self.until(&format!("{count} records"), |events| records(events) >= count).await;
    }

    /// Asserts that nothing is missing, nothing came twice, and no shard began before each of its parents had ended.
    pub(crate) fn assert_whole(&self, expected: impl IntoIterator<Item = String>, parents: &[(ShardId, Vec<ShardId>)]) {
        let mut found = self.texts();
        found.sort();
        let mut expected: Vec<_> = expected.into_iter().collect();
        expected.sort();
        assert_eq!(found, expected, "records are missing or came twice");
        let events = self.events();
        let at = |wanted: &Event| events.iter().position(|event| event == wanted);
        for (shard, parents) in parents {
            for parent in parents {
                let (began, ended) = (at(&Event::Started(shard.clone())), at(&Event::Ended(parent.clone())));
                assert!(began.is_none() || ended < began && ended.is_some(), "{shard} began before {parent} ended");
            }
        }
    }

    fn push(&self, event: Event) {
        self.events.lock().unwrap().push(event);
        self.changed.notify_waiters();
    }

    fn remember(&self, shard: &ShardId, position: Position) {
        self.store.positions.lock().unwrap().insert(shard.clone(), position);
    }

    async fn collect(
        &self,
        partition: Partition,
        mut source: Box<dyn Source>,
        stop: CancellationToken,
    ) -> Result<LaneEnd, LaneError> {
        let shard = partition.shard;
        self.push(Event::Started(shard.clone()));
        let mishap = self.mishaps.lock().unwrap().pop_front();
        match mishap {
            Some(Mishap::Panic) => panic!("scripted"),
            Some(Mishap::Sleep(time)) => tokio::time::sleep(time).await,
            None => {}
        }
        loop {
            let read = tokio::select! {
                () = stop.cancelled() => return Ok(LaneEnd::Stopped),
                read = source.next() => read?,
            };
            match read {
                Read::Records { records, position, lag, reservation } => {
                    let data: usize = records.iter().map(|record| record.data.len()).sum();
                    assert!(data <= reservation.bytes(), "{data} bytes were not reserved");
                    for record in records {
                        let Origin::Kinesis { shard: of, .. } = &record.origin else { panic!("{:?}", record.origin) };
                        assert_eq!(*of, shard);
                        self.push(Event::Record(shard.clone(), record.data.to_vec()));
                    }
                    self.lags.lock().unwrap().extend(lag.map(|lag| (shard.clone(), lag)));
                    self.remember(&shard, position);
                }
                Read::End { children } => {
                    self.remember(&shard, Position::End);
                    self.push(Event::Ended(shard));
                    return Ok(LaneEnd::Ended { children });
                }
            }
        }
    }
}

impl Lanes for Collect {
    fn run(
        &self,
        partition: Partition,
        source: Box<dyn Source>,
        stop: CancellationToken,
    ) -> BoxFuture<'_, Result<LaneEnd, LaneError>> {
        Box::pin(self.collect(partition, source, stop))
    }
}

/// The shards that events name.
pub(crate) fn started(events: &[Event]) -> BTreeSet<ShardId> {
    let shard = |event: &Event| match event {
        Event::Started(shard) => Some(shard.clone()),
        _ => None,
    };
    events.iter().filter_map(shard).collect()
}
