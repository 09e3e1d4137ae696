//! The schedule: what befalls workers, stream and services, and when. It follows from the seed alone; what the workers
//! are at just then does not, so that a replay may take another course.

use std::time::Duration;

use crate::support::fault::{Fault, Link};

/// A source of numbers: SplitMix64, the same for the same seed everywhere.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    /// The numbers of one part of the schedule.
    pub(super) fn new(seed: u64, part: u64) -> Self {
        Self(seed ^ part.wrapping_mul(0xd6e8_feb8_6659_fd93))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One of `0..below`.
    pub(super) fn below(&mut self, below: usize) -> usize {
        (self.next() % below as u64) as usize
    }

    /// A time between the two, in milliseconds.
    pub(super) fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.next() % (to - from))
    }
}

/// Which service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    Kinesis,
    Dynamo,
}

/// What befalls a worker.
#[derive(Clone, Debug)]
pub(super) enum Blow {
    /// SIGKILL, and a new start after this time.
    Kill { down: Duration },
    /// SIGTERM, and a new start this long after its end.
    Terminate { down: Duration },
    /// SIGSTOP, and SIGCONT after this time.
    Pause { time: Duration },
    /// Nothing reaches the service for this time.
    Part { service: Service, link: Link, time: Duration },
    /// All its connections are dropped once.
    Cut { service: Service },
}

/// Shorter than the failover time by enough that no lease is lost, with a renewal that was just due and a slow machine.
const SHORT: (u64, u64) = (200, 700);
/// Longer than the failover time of 2 s.
const LONG: (u64, u64) = (3_000, 5_000);

/// The blows to one worker, each after a pause, for this time.
pub(super) fn blows(random: &mut Random, time: Duration) -> Vec<(Duration, Blow)> {
    let (mut deck, mut blows, mut total) = (Vec::new(), Vec::new(), Duration::ZERO);
    loop {
        if deck.is_empty() {
            deck = (0..10).collect();
        }
        // Each kind comes once before any comes again.
        let blow = match deck.swap_remove(random.below(deck.len())) {
            0 | 1 => Blow::Kill { down: random.millis(0, 1_500) },
            2 | 3 => Blow::Terminate { down: random.millis(0, 1_500) },
            4 => Blow::Pause { time: random.millis(SHORT.0, SHORT.1) },
            5 => Blow::Pause { time: random.millis(LONG.0, LONG.1) },
            6 => part(random, Service::Dynamo, LONG),
            7 => part(random, Service::Dynamo, SHORT),
            8 => part(random, Service::Kinesis, LONG),
            _ => Blow::Cut { service: [Service::Kinesis, Service::Dynamo][random.below(2)] },
        };
        let pause = random.millis(500, 3_000);
        total += pause + blow.time();
        if total > time {
            return blows;
        }
        blows.push((pause, blow));
    }
}

fn part(random: &mut Random, service: Service, (from, to): (u64, u64)) -> Blow {
    Blow::Part { service, link: [Link::Refused, Link::Silent][random.below(2)], time: random.millis(from, to) }
}

impl Blow {
    fn time(&self) -> Duration {
        match self {
            Self::Kill { down: time } | Self::Terminate { down: time } | Self::Pause { time } => *time,
            Self::Part { time, .. } => *time,
            Self::Cut { .. } => Duration::ZERO,
        }
    }
}

/// A few calls of one operation that go wrong.
#[derive(Clone, Debug)]
pub(super) struct Trouble {
    pub(super) service: Service,
    pub(super) operation: &'static str,
    pub(super) faults: Vec<Fault>,
}

/// What the services answer wrongly, each after a pause, for this time.
pub(super) fn troubles(random: &mut Random, time: Duration) -> Vec<(Duration, Trouble)> {
    const CALLS: [(Service, &str); 9] = [
        (Service::Kinesis, "GetRecords"),
        (Service::Kinesis, "GetRecords"),
        (Service::Kinesis, "GetShardIterator"),
        (Service::Kinesis, "ListShards"),
        (Service::Dynamo, "UpdateItem"),
        (Service::Dynamo, "UpdateItem"),
        (Service::Dynamo, "GetItem"),
        (Service::Dynamo, "Scan"),
        (Service::Dynamo, "PutItem"),
    ];
    let (mut troubles, mut total) = (Vec::new(), Duration::ZERO);
    loop {
        let pause = random.millis(200, 700);
        total += pause;
        if total > time {
            return troubles;
        }
        let (service, operation) = CALLS[random.below(CALLS.len())];
        // Few enough that a write still comes through before its lease expires, which would be a loss without a blow.
        let faults = (0..=random.below(2)).map(|_| fault(random, operation)).collect();
        troubles.push((pause, Trouble { service, operation, faults }));
    }
}

fn fault(random: &mut Random, operation: &str) -> Fault {
    match random.below(7) {
        0 => Fault::Error(400, "ProvisionedThroughputExceededException"),
        1 => Fault::Error(500, "InternalFailureException"),
        2 => Fault::Error(503, ""),
        3 => Fault::Cut,
        4 => Fault::Late(random.millis(50, 300)),
        5 if operation == "GetRecords" => Fault::Error(400, "ExpiredIteratorException"),
        // Writes that were applied and say that they were not are what leases have to live with.
        _ => Fault::Lost,
    }
}
