//! An entry: all that is remembered of one key.

use std::sync::Arc;

use super::bound::heap;
use super::history::Past;
use super::key::EventId;
use super::open::{MAX_OPEN, Open};
use super::samples::{Head, Samples, number, word};
use super::{AHEAD, micros, window};
use crate::detect::hit::Hit;
use crate::detect::rule::{Counting, Function, Rule, Severity};

/// The most samples of one key: more than the largest threshold, so that there is a place for those out of order.
pub(super) const MAX_SAMPLES: usize = 12_000;

/// What is remembered of a key. Times are in microseconds.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) rule: Arc<Rule>,
    /// The time of its youngest event, but never later than the process's when it came.
    pub(super) clock: i64,
    /// When it was seen last, by the clock of the process.
    pub(super) touched: i64,
    pub(super) body: Body,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Body {
    /// Findings to be counted.
    Counted(Counted),
    /// Events to compare with.
    Past(Box<Past>),
}

/// Findings within the window, and the alerts that take in more.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Counted {
    pub(super) samples: Samples,
    /// In the order of their opening events.
    pub(super) open: Vec<Open>,
}

/// What came of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It had been counted.
    Known,
    /// It does not add up to an alert yet.
    Quiet,
    /// It opened the alert with this number.
    Opened(usize),
    /// It is in the alert with this number.
    Added(usize),
}

impl Entry {
    pub(super) fn counted(rule: &Arc<Rule>) -> Self {
        let body = Body::Counted(Counted::default());
        Self { rule: Arc::clone(rule), clock: i64::MIN, touched: 0, body }
    }

    pub(super) fn past(rule: &Arc<Rule>) -> Self {
        Self { rule: Arc::clone(rule), clock: i64::MIN, touched: 0, body: Body::Past(Box::default()) }
    }

    /// Goes on under the rule as it is now. Where that counts otherwise than the rule that was on before, what was counted
    /// means nothing any more.
    pub(super) fn go_on_under(&mut self, rule: &Arc<Rule>) {
        if Arc::ptr_eq(&self.rule, rule) {
            return;
        }
        if self.rule.fingerprint == rule.fingerprint {
            self.rule = Arc::clone(rule);
        } else {
            *self = self.anew(rule);
        }
    }

    /// An empty entry of the same kind.
    pub(super) fn anew(&self, rule: &Arc<Rule>) -> Self {
        match self.body {
            Body::Counted(_) => Self::counted(rule),
            Body::Past(_) => Self::past(rule),
        }
    }

    /// The event's time moves the clock, unless it is too late for it; says whether it is in time.
    pub(super) fn tick(&mut self, time: i64, now: i64, lateness: i64) -> bool {
        self.touched = now;
        if time < self.clock.saturating_sub(lateness) {
            return false;
        }
        self.clock = self.clock.max(super::ticked(time, now));
        true
    }

    /// How long it matters, from its clock on.
    fn kept(&self) -> i64 {
        let counting = &self.rule.counting;
        match (&self.body, counting.history) {
            (Body::Past(_), Some(history)) => micros(history.window()),
            _ => micros(counting.window.max(counting.dedup_period)),
        }
    }

    /// Whether nothing that it holds matters any more, by the clock of the process and by that of all events: the one
    /// alone runs on where reading stands still, and the other where one stream is behind.
    pub(super) fn is_over(&self, now: i64, clock: i64, lateness: i64) -> bool {
        let kept = self.kept().saturating_add(lateness);
        now.saturating_sub(self.touched) > kept && clock.saturating_sub(self.clock) > kept
    }

    pub(super) fn heap(&self) -> usize {
        match &self.body {
            Body::Counted(Counted { samples, open }) => {
                let texts: usize = open.iter().map(Open::heap).sum();
                samples.heap() + heap(open.capacity() * size_of::<Open>()) + texts
            }
            Body::Past(past) => heap(size_of::<Past>()) + past.heap(),
        }
    }
}

impl Counted {
    /// Takes a finding in, which is in time.
    pub(super) fn take(&mut self, finding: &Hit<'_>, head: &Head<'_>, times: (i64, i64), cut: &mut u64) -> Taken {
        let counting = &finding.rule.counting;
        let measures = counting.aggregates.len();
        let (clock, lateness) = times;
        let in_time = clock.saturating_sub(lateness);
        let oldest = in_time.saturating_sub(micros(counting.window));
        self.samples.forget(measures, |sample| sample.time <= oldest || (sample.is_counted && sample.time < in_time));
        self.open.retain(|open| open.until > in_time);
        let Some(new) = self.samples.insert(head, &words(counting, finding)) else { return Taken::Known };
        let taken = if let Some(at) = self.open.iter().position(|open| open.takes(head.time)) {
            self.samples.count(new, measures);
            let open = &mut self.open[at];
            open.add(head.time, || finding.event_id.to_owned());
            open.severity = open.severity.max(finding.severity());
            Taken::Added(at)
        } else if let Some(range) = window::enough(&self.samples, new, counting) {
            let last = self.samples.at(range.end - 1, measures).time;
            let first = self.samples.range(range, measures).find(|sample| !sample.is_counted);
            self.open(finding, first.map_or(head.time, |sample| sample.time), last)
        } else {
            Taken::Quiet
        };
        *cut += self.samples.cut(MAX_SAMPLES, clock.saturating_add(AHEAD), measures);
        taken
    }

    /// Whether one more finding may be told of: an alert is open, or there are enough of them then.
    pub(super) fn may_tell(&self, counting: &Counting) -> bool {
        let count = self.samples.len(counting.aggregates.len()) + 1;
        !self.open.is_empty() || count >= counting.threshold as usize
    }

    /// Opens an alert, with all that is in its window and its period.
    fn open(&mut self, finding: &Hit<'_>, first: i64, last: i64) -> Taken {
        let counting = &finding.rule.counting;
        let measures = counting.aggregates.len();
        let mut open = Open {
            opened: last,
            after: last.saturating_sub(micros(counting.window)),
            until: first.saturating_add(micros(counting.dedup_period)).max(last.saturating_add(1)),
            first_seen: first,
            last_seen: last,
            count: 0,
            revision: 0,
            given: 0,
            severity: finding.severity(),
            title: finding.title().into(),
            ids: Box::default(),
        };
        let range =
            self.samples.since(open.after.saturating_add(1), measures)..self.samples.since(open.until, measures);
        for at in range {
            let sample = self.samples.at(at, measures);
            if !sample.is_counted {
                open.add(sample.time, || self.samples.text(sample.id));
                open.severity = open.severity.max(sample.severity);
                self.samples.count(at, measures);
            }
        }
        if self.open.len() >= MAX_OPEN {
            self.open.remove(0);
        }
        let at = self.open.partition_point(|known| known.opened < last);
        if self.open.len() == self.open.capacity() {
            self.open.reserve_exact(1);
        }
        self.open.insert(at, open);
        Taken::Opened(at)
    }
}

/// What is measured for the aggregates.
fn words(counting: &Counting, finding: &Hit<'_>) -> Vec<u64> {
    let measures = finding.measures.iter().copied().chain(std::iter::repeat(None));
    let each = counting.aggregates.iter().zip(measures);
    each.map(|(aggregate, measure)| match aggregate.function {
        Function::Distinct => word(measure),
        _ => number(measure),
    })
    .collect()
}

/// What a sample keeps of a finding beside its measures.
pub(super) fn head<'f>(finding: &Hit<'f>, time: i64, severity: Severity) -> Head<'f> {
    Head { time, id: EventId::of(finding.event_id), text: finding.event_id, severity }
}
