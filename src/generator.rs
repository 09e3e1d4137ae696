//! A generator of records as CloudWatch Logs writes them to a stream: realistic invocations of several model families,
//! the same for the same seed. The demo and the benchmarks live on it.
//!
//! Everything in the records is invented: accounts, callers, prompts and answers.

use jiff::Timestamp;

mod body;
mod call;
mod caller;
mod entry;
mod envelope;
mod json;
mod model;
mod random;
mod text;
mod words;

use call::Sizes;
use caller::Home;
use entry::Entry;
use envelope::Envelope;
pub use envelope::LOG_GROUP;
pub use random::Quantiles;
use random::Random;

/// What is generated, and how often.
#[derive(Clone, Debug)]
pub struct Profile {
    /// When log events happen.
    clock: Clock,
    /// Log events of an envelope.
    events: Quantiles,
    sizes: Sizes,
    /// Weights of Converse, ConverseStream, InvokeModel, InvokeModelWithResponseStream, embeddings, ChatCompletions
    /// and Responses.
    operations: [u32; 7],
    failures_per_mille: usize,
    interventions_per_mille: usize,
    offloaded_per_mille: usize,
    without_bodies_per_mille: usize,
    /// Records that are control messages.
    control_per_mille: usize,
    /// Records with Bedrock's notice among the events.
    notices_per_mille: usize,
    /// Records of another log group.
    others_per_mille: usize,
}

/// When log events happen.
#[derive(Clone, Copy, Debug)]
enum Clock {
    /// When they are generated.
    Now,
    /// A little after each other, from a fixed time on: the same in every run.
    From(i64),
}

impl Profile {
    /// Traffic to look at: events of now, a few to a record, everything that turns up in a log within some hundreds.
    pub fn demo() -> Self {
        Self {
            clock: Clock::Now,
            events: &[(0, 1), (600, 1), (950, 4), (1000, 8)],
            sizes: Sizes {
                prompt: &[(0, 60), (500, 900), (950, 8_000), (1000, 60_000)],
                answer: &[(0, 40), (500, 500), (950, 2_500), (1000, 8_000)],
            },
            operations: [26, 22, 14, 16, 8, 8, 6],
            failures_per_mille: 60,
            interventions_per_mille: 30,
            offloaded_per_mille: 15,
            without_bodies_per_mille: 10,
            control_per_mille: 20,
            notices_per_mille: 5,
            others_per_mille: 10,
        }
    }

    /// Traffic to measure with: chat bodies with a median of 3 KB and a tail to 100 KB, streams, embeddings, errors,
    /// in envelopes of 1 to 50 events. Events are of a fixed time.
    pub fn bench() -> Self {
        Self {
            // 7 October 2026, 00:00 UTC.
            clock: Clock::From(1_791_331_200_000),
            events: &[(0, 1), (250, 1), (500, 5), (750, 11), (950, 29), (1000, 50)],
            sizes: Sizes {
                prompt: &[
                    (0, 80),
                    (250, 1_200),
                    (500, 3_100),
                    (750, 6_500),
                    (950, 13_000),
                    (995, 45_000),
                    (1000, 100_000),
                ],
                answer: &[(0, 40), (250, 650), (500, 1_400), (750, 2_300), (950, 3_800), (1000, 14_000)],
            },
            operations: [24, 21, 12, 18, 14, 6, 5],
            failures_per_mille: 40,
            interventions_per_mille: 15,
            offloaded_per_mille: 8,
            without_bodies_per_mille: 5,
            control_per_mille: 10,
            notices_per_mille: 3,
            others_per_mille: 0,
        }
    }
}

/// One record for a stream.
#[derive(Clone, Debug)]
pub struct Generated {
    /// The record's bytes: gzip of an envelope.
    pub data: Vec<u8>,
    /// Bytes of the envelope before compression.
    pub inflated_bytes: usize,
    /// The request ids of the invocations in it, in their order.
    pub request_ids: Vec<String>,
    /// Log events in it that are no invocations: control messages, notices, lines of other log groups.
    pub others: u32,
    /// Whether it is a control message.
    pub control: bool,
}

/// A sequence of records.
#[derive(Debug)]
pub struct Generator {
    random: Random,
    profile: Profile,
    now_millis: i64,
    /// Log events so far: part of their ids.
    events: u64,
}

impl Generator {
    /// The sequence of `seed`. Two generators of the same seed and profile give the same, but for the time of events
    /// where the profile takes the clock's.
    pub fn new(seed: u64, profile: Profile) -> Self {
        let now_millis = match profile.clock {
            Clock::Now => 0,
            Clock::From(millis) => millis,
        };
        Self { random: Random::new(seed), profile, now_millis, events: 0 }
    }

    /// The next invocation as Bedrock logs it: one JSON object.
    pub fn invocation(&mut self) -> String {
        let home = Home::new(&mut self.random);
        self.entry(home).json
    }

    /// The next envelope of `events` invocations, as JSON.
    pub fn envelope(&mut self, events: usize) -> Vec<u8> {
        self.fill(events).0.finish()
    }

    /// The next record: mostly an envelope of invocations, now and then what else a subscription delivers.
    pub fn record(&mut self) -> Generated {
        self.record_of_at_most(usize::MAX)
    }

    /// As [`Self::record`], with at most `invocations` invocations in it (and at least one, unless it is of the kinds
    /// that have none).
    pub fn record_of_at_most(&mut self, invocations: usize) -> Generated {
        if self.random.chance(self.profile.control_per_mille) {
            return self.control();
        }
        if self.random.chance(self.profile.others_per_mille) {
            return self.of_another_group();
        }
        let events = self.random.quantile(self.profile.events).min(invocations).max(1);
        let (mut envelope, request_ids) = self.fill(events);
        let mut others = 0;
        if self.random.chance(self.profile.notices_per_mille) {
            let (number, at) = self.tick();
            envelope.push_notice(&mut self.random, number, at);
            others = 1;
        }
        seal(envelope.finish(), request_ids, others, false)
    }

    /// A control message: what CloudWatch Logs sends first to a new subscription's destination.
    pub fn control(&mut self) -> Generated {
        let (_, at) = self.tick();
        seal(envelope::control(at), Vec::new(), 1, true)
    }

    /// The notice that Bedrock writes first to a new log.
    pub fn notice(&mut self) -> Generated {
        let home = Home::new(&mut self.random);
        let (number, at) = self.tick();
        let mut envelope = Envelope::invocations(home.account, false);
        envelope.push_notice(&mut self.random, number, at);
        seal(envelope.finish(), Vec::new(), 1, false)
    }

    /// A record of another log group, as an account-level subscription delivers it.
    pub fn of_another_group(&mut self) -> Generated {
        let home = Home::new(&mut self.random);
        let mut envelope = Envelope::of_another_group(home.account);
        let request_id = self.random.uuid();
        let lines = [
            format!("START RequestId: {request_id} Version: $LATEST\n"),
            format!("{{\"level\":\"info\",\"message\":\"{} imported\"}}\n", text::phrase(&mut self.random)),
            format!("END RequestId: {request_id}\n"),
        ];
        for line in &lines {
            let (number, at) = self.tick();
            envelope.push(&mut self.random, number, at, line);
        }
        seal(envelope.finish(), Vec::new(), 3, false)
    }

    fn fill(&mut self, events: usize) -> (Envelope, Vec<String>) {
        let home = Home::new(&mut self.random);
        let account_level = self.random.chance(100);
        let mut envelope = Envelope::invocations(home.account, account_level);
        let mut request_ids = Vec::with_capacity(events);
        for _ in 0..events {
            let Entry { json, request_id } = self.entry(home);
            // The log takes an event a little after the call that it tells of.
            let at = self.now_millis + i64::try_from(self.random.between(40, 900)).unwrap_or(0);
            envelope.push(&mut self.random, self.events, at, &json);
            request_ids.push(request_id);
        }
        (envelope, request_ids)
    }

    fn entry(&mut self, home: Home) -> Entry {
        let (_, at) = self.tick();
        entry::entry(&mut self.random, &self.profile, home, at)
    }

    /// Moves time on: the next log event's number and its time in milliseconds.
    fn tick(&mut self) -> (u64, i64) {
        self.events += 1;
        self.now_millis = match self.profile.clock {
            // An event is in the stream at least a second after it happened.
            Clock::Now => Timestamp::now().as_millisecond() - 1_000,
            Clock::From(_) => self.now_millis + i64::try_from(self.random.between(1, 240)).unwrap_or(0),
        };
        (self.events, self.now_millis)
    }
}

fn seal(json: Vec<u8>, request_ids: Vec<String>, others: u32, control: bool) -> Generated {
    Generated { data: envelope::gzip(&json), inflated_bytes: json.len(), request_ids, others, control }
}
