//! Ranges: whatever ends a lane, and wherever, each record is in exactly one range in the end, and a range that is written
//! again holds what it held before.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bedrock_tap::budget::{Budget, Reservation};
use bedrock_tap::checkpoint::memory::Memory;
use bedrock_tap::checkpoint::{CheckpointStore as _, Commits};
use bedrock_tap::delivery::{Engine, LaneEnd, Lanes as _, Parts};
use bedrock_tap::record::{Origin, Partition, Position, Record, SequenceNumber};
use bedrock_tap::sink::batch::{self, RangeLimits};
use bedrock_tap::sink::dead_letter::DeadLetter;
use bedrock_tap::sink::{Batch, Sink, SinkError};
use bedrock_tap::source::{BoxFuture, Read, Source, SourceError};
use proptest::prelude::*;
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
            Some(Position::After(last)) => last.as_str().parse::<u64>().unwrap() / 10 + 1,
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
    largest: Mutex<usize>,
}

impl Sink for Bucket {
    fn deliver(&self, batch: Arc<Batch>) -> BoxFuture<'_, Result<(), SinkError>> {
        Box::pin(async move {
            let roll = |sides| self.dice.lock().unwrap().as_mut().map_or(1, |dice| dice.roll(sides));
            tokio::time::sleep(Duration::from_millis(roll(700))).await;
            let is_broken = roll(4) == 0;
            if is_broken && roll(2) == 0 {
                return Err(SinkError::retry("not written"));
            }
            let range = batch.range.as_ref().expect("what has no range");
            let name = format!("{}-{}-{}", range.partition.shard, range.from, range.to);
            let items: Vec<String> =
                batch.items().map(|item| String::from_utf8(item.bytes().to_vec()).unwrap()).collect();
            let mut largest = self.largest.lock().unwrap();
            *largest = items.len().max(*largest);
            let before = self.objects.lock().unwrap().insert(name.clone(), items.clone());
            assert!(before.is_none_or(|before| before == items), "{name} is another when it is written again");
            if is_broken { Err(SinkError::retry("written")) } else { Ok(()) }
        })
    }
}

fn engine(
    bucket: &Arc<Bucket>,
    store: &Arc<Memory>,
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
    })
}

/// Reads these shards to their ends with a process that is killed and started again, and compares what is in the bucket.
fn check(seed: u64, shards: usize, count: u64, bytes: usize, encoded: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut dice = Dice(seed);
        let (bucket, store) = (Arc::new(Bucket::default()), Arc::new(Memory::default()));
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
        assert_eq!(store.load("calls").await.unwrap().len(), shards);
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
