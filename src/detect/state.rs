//! State: what detection remembers of events, by rule, group and dedup string: who did what when within the windows, and
//! the alerts that are open. Bounded; what was seen least recently goes first.

use std::collections::HashMap;

use jiff::Timestamp;

use super::alert::Alert;
use super::finding::{Finding, Measure};
use super::rule::{Function, History};

/// How much is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Keys: rule, group and dedup string.
    pub keys: usize,
    /// Bytes of all that is remembered, about.
    pub bytes: usize,
    /// How much later than a younger event of its key an event may come and still count, in its window.
    pub lateness: std::time::Duration,
    /// How long after an alert was given out its changes wait, by the clock of the process.
    pub update_every: std::time::Duration,
}

/// One key's stored form, new or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What it is stored under.
    pub key: Vec<u8>,
    /// What is stored; none where it is gone.
    pub value: Option<Vec<u8>>,
}

/// What came of stored entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Entries that are remembered again.
    pub kept: u64,
    /// Entries of rules that are gone or count otherwise now, and damaged ones.
    pub dropped: u64,
}

/// Figures of what is remembered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Keys that are remembered.
    pub keys: u64,
    /// Bytes of all that is remembered, about.
    pub bytes: u64,
    /// Keys that had to go before their time, because of the bounds.
    pub evicted: u64,
    /// Findings that came too late to count.
    pub late: u64,
    /// Findings of events that had been counted already.
    pub redelivered: u64,
    /// Samples that had to go before their time, because their key had too many.
    pub cut: u64,
    /// Findings that were counted.
    pub findings: u64,
    /// Alerts that were opened.
    pub alerts: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            keys: 1_000_000,
            bytes: 512 << 20,
            lateness: std::time::Duration::from_secs(900),
            update_every: std::time::Duration::from_secs(300),
        }
    }
}

/// What is remembered.
#[derive(Debug)]
pub struct State {
    limits: Limits,
    entries: HashMap<Key, Entry>,
}

/// Rule, group and dedup string.
type Key = (String, String, String);

#[derive(Debug, Default)]
struct Entry {
    /// Sorted by time.
    samples: Vec<Sample>,
    alert: Option<Alert>,
    is_due: bool,
}

#[derive(Clone, Debug)]
struct Sample {
    time: Timestamp,
    event_id: String,
    measures: Vec<Option<Measure>>,
}

impl State {
    /// Nothing is remembered yet.
    pub fn new(limits: Limits) -> Self {
        Self { limits, entries: HashMap::new() }
    }

    /// Remembers a finding. Says whether it is one: of a rule with a history, only an event that stands out is. `now` is
    /// the time of the process: no event is taken to be younger.
    pub fn observe(&mut self, finding: &Finding, _now: Timestamp) -> bool {
        let counting = &finding.rule.counting;
        let group: Vec<_> = finding.group.iter().map(|(_, value)| value.as_str()).collect();
        let key = (finding.rule.id.clone(), group.join("\0"), finding.dedup.clone());
        let entry = self.entries.entry(key).or_default();
        let is_known = entry.samples.iter().any(|sample| sample.event_id == finding.event_id);
        let sample =
            Sample { time: finding.time, event_id: finding.event_id.clone(), measures: finding.measures.clone() };
        let stands_out = counting.history.is_none_or(|history| stands_out(&history, &entry.samples, &sample));
        if !is_known {
            let at = entry.samples.partition_point(|known| known.time <= sample.time);
            entry.samples.insert(at, sample);
        }
        if stands_out && !is_known {
            entry.count(finding);
        }
        let _ = self.limits;
        stands_out
    }

    /// Alerts that are new, or not what was told of them last.
    pub fn take_due(&mut self, _now: Timestamp) -> Vec<Alert> {
        let entries = self.entries.values_mut();
        entries.filter_map(|entry| if std::mem::take(&mut entry.is_due) { entry.alert.clone() } else { None }).collect()
    }

    /// An alert is durable everywhere, as it stood in this revision.
    pub fn told(&mut self, id: &str, revision: u64) {
        for entry in self.entries.values_mut() {
            if entry.alert.as_ref().is_some_and(|alert| alert.id == id && alert.revision <= revision) {
                entry.is_due = false;
            }
        }
    }

    /// The stored form of what has changed since the last call.
    pub fn changes(&mut self) -> Vec<Change> {
        Vec::new()
    }

    /// Remembers what was stored. Alerts that were not told of as they stood are due again.
    pub fn restore(
        &mut self,
        rules: &[std::sync::Arc<super::Rule>],
        entries: impl Iterator<Item = (Vec<u8>, Vec<u8>)>,
    ) -> Restored {
        let _ = rules;
        Restored { kept: 0, dropped: entries.count() as u64 }
    }

    /// Figures.
    pub fn counts(&self) -> Counts {
        Counts { keys: self.entries.len() as u64, ..Counts::default() }
    }
}

impl Entry {
    fn count(&mut self, finding: &Finding) {
        let counting = &finding.rule.counting;
        if let Some(alert) = &mut self.alert
            && finding.time.duration_since(alert.first_seen).unsigned_abs() < counting.dedup_period
        {
            alert.count += 1;
            alert.last_seen = alert.last_seen.max(finding.time);
            alert.severity = alert.severity.max(finding.severity);
            self.is_due = true;
            return;
        }
        let within = |sample: &&Sample| {
            let age = finding.time.duration_since(sample.time);
            !age.is_negative() && age.unsigned_abs() < counting.window
        };
        let window: Vec<_> = self.samples.iter().filter(within).collect();
        let holds = counting.aggregates.iter().enumerate().all(|(index, aggregate)| {
            let numbers = window.iter().filter_map(|sample| sample.measures.get(index).copied().flatten());
            value(aggregate.function, numbers) >= aggregate.at_least
        });
        if window.len() >= counting.threshold as usize && holds {
            self.is_due = true;
            self.alert = Some(Alert {
                id: String::new(),
                rule: std::sync::Arc::clone(&finding.rule),
                severity: finding.severity,
                title: finding.title.clone(),
                dedup: finding.dedup.clone(),
                group: finding.group.clone(),
                context: finding.context.clone(),
                first_seen: window.first().map_or(finding.time, |sample| sample.time),
                last_seen: finding.time,
                count: window.len() as u64,
                event_ids: window.iter().map(|sample| sample.event_id.clone()).collect(),
                revision: 1,
            });
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn value(function: Function, measures: impl Iterator<Item = Measure>) -> f64 {
    let measures: Vec<_> = measures.collect();
    let numbers: Vec<_> = measures
        .iter()
        .filter_map(|measure| match measure {
            Measure::Number(number) => Some(*number),
            Measure::Hash(_) => None,
        })
        .collect();
    match function {
        Function::Sum => numbers.iter().sum(),
        Function::Mean => numbers.iter().sum::<f64>() / numbers.len().max(1) as f64,
        Function::Max => numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        Function::Min => numbers.iter().copied().fold(f64::INFINITY, f64::min),
        Function::Distinct => {
            let different: std::collections::BTreeSet<_> = measures
                .iter()
                .map(|measure| match measure {
                    Measure::Number(number) => number.to_bits(),
                    Measure::Hash(hash) => *hash,
                })
                .collect();
            different.len() as f64
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn stands_out(history: &History, samples: &[Sample], new: &Sample) -> bool {
    let measure = |sample: &Sample| sample.measures.last().copied().flatten();
    let before = |window: std::time::Duration| {
        samples.iter().filter(move |sample| {
            let age = new.time.duration_since(sample.time);
            sample.event_id != new.event_id && !age.is_negative() && age.unsigned_abs() < window
        })
    };
    match *history {
        History::Baseline { deviations, at_least, at_least_medians, min_samples, window } => {
            let mut numbers: Vec<f64> = before(window)
                .filter_map(|sample| match measure(sample) {
                    Some(Measure::Number(number)) => Some(number),
                    _ => None,
                })
                .collect();
            let Some(Measure::Number(number)) = measure(new) else { return false };
            if numbers.len() < min_samples as usize {
                return false;
            }
            let median = median(&mut numbers);
            let mut distances: Vec<f64> = numbers.iter().map(|number| (number - median).abs()).collect();
            let deviation = 1.4826 * self::median(&mut distances);
            number > median + deviations * deviation && number >= at_least && number >= at_least_medians * median
        }
        History::FirstSeen { min_samples, window } => {
            let known: Vec<_> = before(window).collect();
            known.len() as f64 >= f64::from(min_samples)
                && measure(new).is_some_and(|new| known.iter().all(|sample| measure(sample) != Some(new)))
        }
    }
}

fn median(numbers: &mut [f64]) -> f64 {
    numbers.sort_by(f64::total_cmp);
    match numbers.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => numbers[odd / 2],
        even => f64::midpoint(numbers[even / 2 - 1], numbers[even / 2]),
    }
}
