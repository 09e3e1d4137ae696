//! History: what a group's events were before, and whether a new one stands out from them.

use super::bound::heap;
use super::samples::{Head, NOTHING, Samples, number, word};
use crate::detect::finding::Measure;
use crate::detect::rule::{History, MIN_DEVIATION};

/// The most samples of a baseline: the newest. Their median changes little with more.
pub(super) const MAX_SAMPLES: usize = 512;

/// The most different values that a group is remembered to have had. Of more, the one that was seen least recently goes.
pub(super) const MAX_VALUES: usize = 512;

/// What a group's events were before.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Past {
    /// With their measure where a baseline is made of them; without where they are only counted.
    pub(super) samples: Samples,
    pub(super) values: Vec<Value>,
}

/// A value that the group had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) word: u64,
    /// In microseconds.
    pub(super) last_seen: i64,
    /// The event with which it was new, so that a redelivery of it is judged as it was before.
    pub(super) by: u64,
    /// Whether that event was a finding.
    pub(super) was_found: bool,
}

/// What is asked about an event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    pub(super) history: &'a History,
    pub(super) head: Head<'a>,
    pub(super) measure: Option<Measure>,
}

impl Question<'_> {
    /// The measure as a word.
    fn word(&self) -> u64 {
        match self.history {
            History::Baseline { .. } => number(self.measure),
            History::FirstSeen { .. } => word(self.measure),
        }
    }
}

impl History {
    pub(super) fn window(&self) -> std::time::Duration {
        match self {
            Self::Baseline { window, .. } | Self::FirstSeen { window, .. } => *window,
        }
    }

    /// Measures that its samples have.
    pub(super) fn measures(&self) -> usize {
        match self {
            Self::Baseline { .. } => 1,
            Self::FirstSeen { .. } => 0,
        }
    }

    /// Samples that it keeps.
    pub(super) fn most(&self) -> usize {
        match self {
            Self::Baseline { .. } => MAX_SAMPLES,
            Self::FirstSeen { min_samples, .. } => (*min_samples as usize).min(MAX_SAMPLES),
        }
    }
}

impl Past {
    /// Whether the event stands out from those before it. What comes with the event itself does not count, so that a
    /// redelivery is judged as the first delivery was.
    pub(super) fn stands_out(&self, question: &Question<'_>) -> bool {
        let word = question.word();
        if word == NOTHING {
            return false;
        }
        let Head { time, id, .. } = question.head;
        let (window, measures) = (super::micros(question.history.window()), question.history.measures());
        let since = self.samples.since(time.saturating_sub(window).saturating_add(1), measures);
        let until = self.samples.since(time.saturating_add(1), measures);
        let before = || self.samples.range(since..until, measures).filter(|sample| sample.id != id);
        match *question.history {
            History::Baseline { deviations, at_least, at_least_medians, min_samples, .. } => {
                let new = f64::from_bits(word);
                if new < at_least || until - since < min_samples as usize {
                    return false;
                }
                let mut numbers: Vec<f64> = before().map(|sample| f64::from_bits(sample.measures[0])).collect();
                if numbers.len() < (min_samples as usize).max(1) {
                    return false;
                }
                let median = median(&mut numbers);
                numbers.iter_mut().for_each(|number| *number = (*number - median).abs());
                let deviation = (1.4826 * self::median(&mut numbers)).max(MIN_DEVIATION * median.abs());
                new > median + deviations * deviation && new >= at_least_medians * median
            }
            History::FirstSeen { min_samples, .. } => {
                if let Some(value) = self.values.iter().find(|value| value.word == word) {
                    if value.by == id.words()[0] {
                        return value.was_found;
                    }
                    if time.saturating_sub(value.last_seen) < window {
                        return false;
                    }
                }
                before().count() >= min_samples as usize
            }
        }
    }

    /// Remembers the event, and says whether it was not known. `clock` is the time of the group, `kept` how far back
    /// samples are kept.
    pub(super) fn learn(
        &mut self,
        question: &Question<'_>,
        was_found: bool,
        (clock, kept): (i64, i64),
        cut: &mut u64,
    ) -> bool {
        let (word, measures) = (question.word(), question.history.measures());
        if word == NOTHING {
            return true;
        }
        let Head { time, id, .. } = question.head;
        let all = [word];
        self.samples.forget(measures, |sample| sample.time <= clock.saturating_sub(kept));
        let is_new = self.samples.insert(&question.head, &all[..measures]).is_some();
        // A full history takes the newest: what goes is no loss that has to be told.
        self.samples.cut(question.history.most(), clock.saturating_add(super::AHEAD), measures);
        if let History::FirstSeen { window, .. } = question.history {
            let last_seen = time.min(clock);
            let new = Value { word, last_seen, by: id.words()[0], was_found };
            match self.values.iter_mut().find(|value| value.word == word) {
                Some(value) if time.saturating_sub(value.last_seen) >= super::micros(*window) => *value = new,
                Some(value) => value.last_seen = value.last_seen.max(last_seen),
                None => self.add(new, cut),
            }
        }
        is_new
    }

    fn add(&mut self, value: Value, cut: &mut u64) {
        if self.values.len() >= MAX_VALUES
            && let Some((at, _)) = self.values.iter().enumerate().min_by_key(|(_, value)| value.last_seen)
        {
            self.values.swap_remove(at);
            *cut += 1;
        }
        if self.values.len() == self.values.capacity() {
            self.values.reserve_exact(1 + self.values.len() / 4);
        }
        self.values.push(value);
    }

    pub(super) fn heap(&self) -> usize {
        self.samples.heap() + heap(self.values.capacity() * size_of::<Value>())
    }
}

fn median(numbers: &mut [f64]) -> f64 {
    let half = numbers.len() / 2;
    let is_even = numbers.len().is_multiple_of(2);
    if numbers.is_empty() {
        return 0.0;
    }
    let (below, middle, _) = numbers.select_nth_unstable_by(half, f64::total_cmp);
    let middle = *middle;
    if is_even { f64::midpoint(below.iter().copied().fold(f64::NEG_INFINITY, f64::max), middle) } else { middle }
}
