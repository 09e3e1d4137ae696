//! Ranges: whatever ends a lane, and wherever, each record is in exactly one range in the end, and a range that is written
//! again holds what it held before.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bedrock_tap::budget::{Budget, Reservation};
use bedrock_tap::checkpoint::memory::Memory;
use bedrock_tap::checkpoint::{CheckpointError, CheckpointStore as _, Commits, Stored};
use bedrock_tap::delivery::{Announcement, Delivered, Engine, LaneEnd, LaneError, Lanes as _, Parts};
use bedrock_tap::lease::protocol::as_stored;
use bedrock_tap::record::{Origin, Partition, Position, Record, SequenceNumber};
use bedrock_tap::sink::batch::{self, RangeLimits};
use bedrock_tap::sink::dead_letter::DeadLetter;
use bedrock_tap::sink::{Batch, Sink, SinkError};
use bedrock_tap::source::{BoxFuture, Read, Source, SourceError};
use proptest::prelude::*;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::engine_script::{Keeper, echo_crew, partition};

/// A small generator of numbers that a test can repeat.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

fn number(sequence: u64) -> SequenceNumber {
    SequenceNumber::new(&sequence.to_string()).unwrap()
}

/// A shard of so many records, read from a position on in pieces that differ each time. Every tenth record is skipped by
/// the line. Like a subscription, it may say that reading goes on behind its last record.
struct Shard {
    of: Partition,
    next: u64,
    count: u64,
    dice: Dice,
    bytes: usize,
}

impl Shard {
    fn new(of: Partition, position: Option<Position>, count: u64, seed: u64, bytes: usize) -> Box<Self> {
        let next = match position {
            // The number of a record is ten times its index; a subscription's numbers are between them.
            Some(Position::After(last) | Position::Within(last, 0)) => last.as_str().parse::<u64>().unwrap() / 10 + 1,
            Some(Position::End) => count,
            _ => 0,
        };
        Box::new(Self { of, next, count, dice: Dice(seed), bytes })
    }
}

fn line(shard: &str, index: u64, bytes: usize) -> String {
    if index % 10 == 9 { "-".to_owned() } else { format!("{shard}-{index}-{}", "x".repeat(bytes)) }
}

impl Source for Shard {
    fn next(&mut self) -> BoxFuture<'_, Result<Read, SourceError>> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(self.dice.roll(400))).await;
            if self.next >= self.count {
                return Ok(Read::End { children: Vec::new() });
            }
            let end = (self.next + self.dice.roll(6)).min(self.count);
            let record = |index: u64| {
                let (stream, shard) = (Arc::clone(&self.of.stream), self.of.shard.clone());
                let origin = Origin::Kinesis { stream, shard, sequence: number(index * 10), arrival: None };
                Record::new(line(self.of.shard.as_str(), index, self.bytes).into(), origin)
            };
            let records: Vec<Record> = (self.next..end).map(record).collect();
            self.next = end;
            let position = match end {
                0 => Position::TrimHorizon,
                end => Position::After(number(end * 10 - 10 + self.dice.roll(2) * 5)),
            };
            Ok(Read::Records { records, position, lag: None, reservation: Reservation::default() })
        })
    }
}

/// Objects by their names. Fails before and after writing, as the dice say.
#[derive(Default)]
struct Bucket {
    objects: Mutex<BTreeMap<String, Vec<String>>>,
    dice: Mutex<Option<Dice>>,
    /// How long each takes.
    slow: Duration,
    /// Writes and never says so.
    is_stuck: AtomicBool,
}

impl Sink for Bucket {
    fn deliver(&self, batch: Arc<Batch>) -> BoxFuture<'_, Result<(), SinkError>> {
        Box::pin(async move {
            let roll = |sides| self.dice.lock().unwrap().as_mut().map_or(1, |dice| dice.roll(sides));
            tokio::time::sleep(self.slow + Duration::from_millis(roll(700))).await;
            let is_broken = roll(4) == 0;
            if is_broken && roll(2) == 0 {
                return Err(SinkError::retry("not written"));
            }
            let range = batch.range.as_ref().expect("what has no range");
            let name = format!("{}-{}-{}", range.partition.shard, range.from, range.to);
            let items: Vec<String> =
                batch.items().map(|item| String::from_utf8(item.bytes().to_vec()).unwrap()).collect();
            let before = self.objects.lock().unwrap().insert(name.clone(), items.clone());
            assert!(before.is_none_or(|before| before == items), "{name} is another when it is written again");
            if self.is_stuck.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            if is_broken { Err(SinkError::retry("written")) } else { Ok(()) }
        })
    }
}

fn engine(
    bucket: &Arc<Bucket>,
    store: &Arc<impl Commits + 'static>,
    limits: RangeLimits,
    encoded: usize,
    abandon: &CancellationToken,
) -> Engine {
    let open = |name: &str, sink: Arc<dyn Sink>, settings, letters| {
        let (outlet, driver) = batch::start(name, sink, settings, letters, abandon.clone());
        tokio::spawn(driver.run());
        outlet
    };
    let plain = batch::Settings::default();
    let dead_letter = DeadLetter::new(open("letters", Arc::<Keeper>::default(), plain, None), None);
    let ranged = batch::Settings { ranges: Some(limits), concurrency: 4, ..plain };
    let outlets = vec![
        open("bucket", Arc::clone(bucket) as _, ranged, Some(dead_letter.clone())),
        open("copy", Arc::<Keeper>::default(), plain, Some(dead_letter.clone())),
    ];
    Engine::new(Parts {
        crew: echo_crew(2),
        outlets,
        dead_letter,
        checkpoints: Arc::clone(store) as Arc<dyn Commits>,
        encoded: Budget::new(encoded),
        abandon: abandon.clone(),
        total: Arc::default(),
        shelf: Arc::default(),
        memory: None,
    })
}

/// Reads these shards to their ends with a process that is killed and started again, and compares what is in the bucket.
fn check(seed: u64, shards: usize, count: u64, bytes: usize, encoded: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut dice = Dice(seed);
        let store = Arc::new(Counting { is_row: seed.is_multiple_of(2), ..Counting::default() });
        let bucket = Arc::new(Bucket::default());
        *bucket.dice.lock().unwrap() = Some(Dice(seed ^ 0xabcd));
        let names: Vec<String> = (0..shards).map(|shard| format!("s{shard}")).collect();
        for life in 0.. {
            assert!(life < 400, "the shards are never read to their ends");
            // Each life has limits of its own: what was announced must not depend on them.
            let limits = RangeLimits {
                bytes: 200 + usize::try_from(dice.roll(3000)).unwrap(),
                age: Duration::from_millis(300 + dice.roll(3000)),
            };
            let (abandon, stop) = (CancellationToken::new(), CancellationToken::new());
            let engine = engine(&bucket, &store, limits, encoded, &abandon);
            let lanes: Vec<_> = names
                .iter()
                .map(|name| {
                    let (engine, of, store, stop) = (engine.clone(), partition(name), Arc::clone(&store), stop.clone());
                    let seed = dice.roll(u64::MAX >> 32);
                    tokio::spawn(async move {
                        let position = store.stored(&of).await.unwrap().position;
                        let source = Shard::new(of.clone(), position, count, seed, bytes);
                        engine.run(of, source, stop).await.unwrap()
                    })
                })
                .collect();
            let (is_last, is_gentle, lifetime) = (dice.roll(8) == 0, dice.roll(3) == 0, dice.roll(9000));
            if !is_last {
                tokio::time::sleep(Duration::from_millis(lifetime)).await;
                if is_gentle {
                    stop.cancel();
                    tokio::time::sleep(Duration::from_millis(dice.roll(2000))).await;
                }
                // What a kill leaves behind is what the bucket and the store have.
                abandon.cancel();
                lanes.iter().for_each(|lane| lane.abort());
            }
            let mut ends = 0;
            for lane in lanes {
                let end = tokio::time::timeout(Duration::from_secs(600), lane).await.expect("a lane is stuck");
                ends += usize::from(matches!(end, Ok(LaneEnd::Ended { .. })));
            }
            abandon.cancel();
            if ends == shards {
                break;
            }
        }
        let mut found: Vec<String> = bucket.objects.lock().unwrap().values().flatten().cloned().collect();
        let lines = |name: &String| {
            let name = name.clone();
            (0..count).map(move |index| line(&name, index, bytes)).filter(|line| line != "-")
        };
        let mut expected: Vec<String> = names.iter().flat_map(lines).collect();
        found.sort();
        expected.sort();
        assert_eq!(found.len(), expected.len(), "seed {seed}: records are missing or double");
        assert!(found == expected, "seed {seed}");
        for name in &names {
            assert_eq!(store.stored(&partition(name)).await.unwrap().position, Some(Position::End));
        }
        assert_eq!(store.memory.load("calls").await.unwrap().len(), shards);
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn a_process_that_is_killed_anywhere_leaves_neither_hole_nor_double(seed in any::<u64>()) {
        check(seed, 3, 120, 40, 64 << 20);
    }

    #[test]
    fn where_memory_is_short_ranges_end_early_and_nothing_is_stuck(seed in any::<u64>()) {
        // Each record takes 2 KiB of a budget of 16 KiB, which five shards share.
        check(seed, 5, 60, 1500, 16 << 10);
    }
}

/// Reads as they come, each after a time: records by their indexes, or none. Then nothing, or the end.
struct Steps {
    of: Partition,
    steps: VecDeque<(u64, Vec<u64>)>,
    at: Position,
    ends: bool,
}

impl Source for Steps {
    fn next(&mut self) -> BoxFuture<'_, Result<Read, SourceError>> {
        Box::pin(async move {
            let Some((millis, _)) = self.steps.front() else {
                return if self.ends { Ok(Read::End { children: Vec::new() }) } else { std::future::pending().await };
            };
            tokio::time::sleep(Duration::from_millis(*millis)).await;
            let (_, indexes) = self.steps.pop_front().unwrap();
            let record = |index: &u64| {
                let (stream, shard) = (Arc::clone(&self.of.stream), self.of.shard.clone());
                let origin = Origin::Kinesis { stream, shard, sequence: number(index * 10), arrival: None };
                Record::new(line(self.of.shard.as_str(), *index, 1500).into(), origin)
            };
            let records: Vec<Record> = indexes.iter().map(record).collect();
            if let Some(last) = indexes.last() {
                self.at = Position::After(number(last * 10));
            }
            let lag = records.is_empty().then_some(Duration::ZERO);
            Ok(Read::Records { records, position: self.at.clone(), lag, reservation: Reservation::default() })
        })
    }
}

const LARGE: RangeLimits = RangeLimits { bytes: 64 << 20, age: Duration::from_secs(3600) };

type Lane = JoinHandle<Result<LaneEnd, LaneError>>;

fn run(engine: &Engine, shard: &str, ends: bool, steps: impl IntoIterator<Item = (u64, Vec<u64>)>) -> Lane {
    let (engine, of) = (engine.clone(), partition(shard));
    let source = Steps { of: of.clone(), steps: steps.into_iter().collect(), at: Position::TrimHorizon, ends };
    tokio::spawn(async move { engine.run(of, Box::new(source), CancellationToken::new()).await })
}

/// A life that is killed when each of these shards has a range of records 1 to 5 announced and written.
async fn leave_announced(bucket: &Arc<Bucket>, store: &Arc<Memory>, shards: &[String]) {
    bucket.is_stuck.store(true, Ordering::Relaxed);
    let abandon = CancellationToken::new();
    let limits = RangeLimits { age: Duration::from_secs(1), ..LARGE };
    let engine = engine(bucket, store, limits, 64 << 20, &abandon);
    let lanes: Vec<_> = shards.iter().map(|shard| run(&engine, shard, false, [(0, (1..=5).collect())])).collect();
    tokio::time::sleep(Duration::from_secs(600)).await;
    abandon.cancel();
    lanes.iter().for_each(|lane| lane.abort());
    for shard in shards {
        let announced = store.stored(&partition(shard)).await.unwrap().announced;
        assert_eq!(announced, Some(Position::After(number(50))), "{shard}");
    }
    bucket.is_stuck.store(false, Ordering::Relaxed);
}

#[tokio::test(start_paused = true)]
async fn what_the_stream_has_lost_meanwhile_is_not_written_over() {
    let (bucket, store) = (Arc::<Bucket>::default(), Arc::<Memory>::default());
    leave_announced(&bucket, &store, &["s".to_owned()]).await;
    let engine = engine(&bucket, &store, LARGE, 64 << 20, &CancellationToken::new());
    run(&engine, "s", true, [(0, vec![4, 5, 6])]).await.unwrap().unwrap();
    let objects = bucket.objects.lock().unwrap();
    let indexes = |lines: &Vec<String>| lines.iter().map(|line| line.chars().nth(2).unwrap()).collect::<String>();
    let found: Vec<_> = objects.iter().map(|(name, lines)| format!("{name}: {}", indexes(lines))).collect();
    assert_eq!(found, ["s-10-50: 12345", "s-40-50: 45", "s-60-60: 6"]);
}

#[tokio::test(start_paused = true)]
async fn many_small_ranges_are_read_again_side_by_side() {
    let bucket = Arc::new(Bucket { slow: Duration::from_secs(1), ..Bucket::default() });
    let store = Arc::<Memory>::default();
    let shards: Vec<_> = (100..300).map(|shard| shard.to_string()).collect();
    leave_announced(&bucket, &store, &shards).await;
    let engine = engine(&bucket, &store, LARGE, 64 << 20, &CancellationToken::new());
    let begun = tokio::time::Instant::now();
    let lanes: Vec<_> = shards.iter().map(|shard| run(&engine, shard, true, [(0, (1..=5).collect())])).collect();
    for lane in lanes {
        lane.await.unwrap().unwrap();
    }
    // The bucket takes four at a time.
    assert!(begun.elapsed() < Duration::from_secs(70), "{:?}", begun.elapsed());
    assert_eq!(bucket.objects.lock().unwrap().len(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_range_that_is_gone_from_the_stream_holds_up_no_other() {
    let (bucket, store) = (Arc::<Bucket>::default(), Arc::<Memory>::default());
    leave_announced(&bucket, &store, &["gone".to_owned(), "s".to_owned()]).await;
    let engine = engine(&bucket, &store, LARGE, 64 << 20, &CancellationToken::new());
    let gone = run(&engine, "gone", false, [(100, vec![])]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let lane = run(&engine, "s", true, [(0, (1..=5).collect())]);
    tokio::time::timeout(Duration::from_secs(60), lane).await.expect("it waits for a silent shard").unwrap().unwrap();
    gone.abort();
}

#[tokio::test(start_paused = true)]
async fn a_range_that_is_read_again_keeps_no_other_from_giving_memory_back() {
    let (bucket, store) = (Arc::<Bucket>::default(), Arc::<Memory>::default());
    leave_announced(&bucket, &store, &["again".to_owned()]).await;
    let engine = engine(&bucket, &store, LARGE, 8 << 10, &CancellationToken::new());
    // One takes the memory and falls silent; two others take the seats and wait for memory.
    let again = run(&engine, "again", true, [(0, vec![1, 2, 3, 4]), (5000, vec![5])]);
    let silent = run(&engine, "silent", false, (1..=2).map(|index| (100, vec![index])));
    let others = ["a", "b"].map(|shard| run(&engine, shard, true, (1..=8).map(|index| (500, vec![index]))));
    for lane in others.into_iter().chain([again]) {
        tokio::time::timeout(Duration::from_secs(60), lane).await.expect("a lane is stuck").unwrap().unwrap();
    }
    silent.abort();
}

/// Counts what it is to store, and may know user records only, as a row of a lease does.
#[derive(Default)]
struct Counting {
    memory: Memory,
    commits: AtomicUsize,
    is_row: bool,
}

impl Commits for Counting {
    fn commit(&self, delivered: Delivered) -> BoxFuture<'_, Result<(), CheckpointError>> {
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.memory.commit(delivered)
    }

    fn announce(&self, announcement: Announcement) -> BoxFuture<'_, Result<(), CheckpointError>> {
        self.memory.announce(announcement)
    }

    fn stored(&self, partition: &Partition) -> BoxFuture<'_, Result<Stored, CheckpointError>> {
        let (stored, is_row) = (self.memory.stored(partition), self.is_row);
        Box::pin(async move {
            let Stored { position, announced } = stored.await?;
            let read = |position: Position| if is_row { as_stored(position) } else { position };
            Ok(Stored { position: position.map(read), announced: announced.map(read) })
        })
    }
}

#[tokio::test(start_paused = true)]
async fn positions_of_no_range_are_stored_at_a_pace() {
    let check = async |steps: Vec<(u64, Vec<u64>)>, most: usize| {
        let (bucket, store) = (Arc::<Bucket>::default(), Arc::<Counting>::default());
        let engine = engine(&bucket, &store, LARGE, 64 << 20, &CancellationToken::new());
        run(&engine, "s", true, steps).await.unwrap().unwrap();
        let stored = store.commits.load(Ordering::Relaxed);
        assert!((1..=most).contains(&stored), "stored {stored} times");
        assert_eq!(store.stored(&partition("s")).await.unwrap().position, Some(Position::End));
    };
    // The line skips every tenth.
    check((0..200).map(|read| (100, vec![10 * read + 9])).collect(), 23).await;
    check(std::iter::once((0, vec![9])).chain((0..200).map(|_| (100, vec![]))).collect(), 3).await;
}
