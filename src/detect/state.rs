//! State: what detection remembers of events, by rule, group and dedup string: who did what when within the windows, and
//! the alerts that are open. Bounded; what was seen least recently goes first.
//!
//! ```text
//! finding ▶ key ▶ entry: samples (time, id, measures) ▶ window is enough? ▶ open alert ▶ outbox ▶ due ▶ told
//!                   └── least recently seen goes ──┘                          └─ stays until it is told ─┘
//! ```
//!
//! Time is that of the events. The clock of a key is the time of its youngest event, and never ahead of the process: an
//! event from the future counts in the windows of its own time, and makes nobody late, also where what is read is old. An event that is older than the
//! clock by more than `lateness` is a finding still, but counts nowhere: its window may be gone, and so may be the
//! knowledge that it was counted.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::alert::Alert;
use super::finding::Finding;
use super::hit::Hit;
use super::rule::{History, Rule};

mod bound;
mod entry;
mod history;
mod key;
mod merge;
mod open;
mod outbox;
mod samples;
mod stored;
mod window;

#[cfg(test)]
mod tests;

use bound::{Bound, Table};
use entry::{Body, Entry, Taken};
use history::{Past, Question};
use key::Key;
use outbox::{Gone, Outbox};

/// How much is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Keys: rule, group and dedup string, and for a history rule and group.
    pub keys: usize,
    /// Bytes of all that is remembered. A quarter of them at most are alerts that nobody was told of.
    pub bytes: usize,
    /// How much later than a younger event of its key an event may come and still count, in its window.
    pub lateness: Duration,
    /// How long after an alert was given out its changes wait, by the clock of the process.
    pub update_every: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            keys: 1_000_000,
            bytes: 512 << 20,
            lateness: Duration::from_secs(900),
            update_every: Duration::from_secs(300),
        }
    }
}

/// One key's stored form, new or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What it is stored under: a letter for what it is, and 16 bytes.
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
    /// Alerts among these: nobody is told of them any more.
    pub alerts: u64,
}

impl std::ops::Add for Restored {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { kept: self.kept + other.kept, dropped: self.dropped + other.dropped, alerts: self.alerts + other.alerts }
    }
}

/// Figures of what is remembered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Keys that are remembered.
    pub keys: u64,
    /// Bytes of all that is remembered, with what the allocator needs for it.
    pub bytes: u64,
    /// Keys that had to go before their time, because of the bounds.
    pub evicted: u64,
    /// Findings that came too late to count.
    pub late: u64,
    /// Findings of events that had been counted already.
    pub redelivered: u64,
    /// Samples and values that had to go before their time, because their key had too many.
    pub cut: u64,
    /// Findings, each event's once unless it came late.
    pub findings: u64,
    /// Alerts that were opened.
    pub alerts: u64,
    /// Alerts that wait no longer on their own, because too many waited: an update is made again with the next finding,
    /// and alerts that nobody was told of are one for each rule.
    pub merged: u64,
}

/// What is remembered.
#[derive(Debug)]
pub struct State {
    limits: Limits,
    table: Table,
    outbox: Outbox,
    counts: Counts,
    /// Stored keys that nothing can be made of: they are gone with the next changes.
    useless: Vec<Vec<u8>>,
    /// The youngest event's time, but never ahead of the process.
    clock: i64,
}

/// An event so far in the future of its key is the first to go where there are too many: an hour, in microseconds.
const AHEAD: i64 = 3_600_000_000;

/// What stands before the keys of entries and of alerts.
const ENTRY: u8 = b'k';
const ALERT: u8 = b'a';

/// Entries that are looked at for whether they are over, when something is observed and when alerts are asked for.
const SWEPT: u32 = 1;
const SWEPT_WHEN_ASKED: u32 = 64;

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn since_1970(time: Timestamp) -> i64 {
    time.as_microsecond().clamp(-samples::FARTHEST, samples::FARTHEST)
}

/// What an event's time says about how late it is: nothing if it is far ahead of the process, whose clock may itself be a
/// little behind.
fn ticked(time: i64, now: i64) -> i64 {
    if time.saturating_sub(now) > AHEAD { i64::MIN } else { time.min(now) }
}

fn time(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX)
}

/// What the history of a group is asked about an event.
fn question<'f>(finding: &'f Hit<'_>, history: &'f History, at: i64) -> Question<'f> {
    let measure = finding.measures.get(finding.rule.counting.aggregates.len()).copied().flatten();
    // How bad it is does not matter to events that are only compared with.
    Question { history, head: entry::head(finding, at, finding.rule.severity), measure }
}

/// The turn of a change, for a store that cannot store all at once: whatever turns were stored when it stopped, what comes
/// next finds no alert missing and none twice. Alerts come before the keys that took them for told of, and leave after.
pub fn turn(key: &[u8], is_gone: bool) -> u8 {
    match (key.first(), is_gone) {
        (Some(&ALERT), false) => 0,
        (Some(&ALERT), true) => 2,
        _ => 1,
    }
}

impl State {
    /// Nothing is remembered yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            table: Table::new(),
            outbox: Outbox::default(),
            counts: Counts::default(),
            useless: Vec::new(),
            clock: i64::MIN,
        }
    }

    /// Remembers a finding. Says whether it is one: of a rule with a history, only an event that stands out is. `now` is
    /// the time of the process.
    pub fn observe(&mut self, finding: &Finding, now: Timestamp) -> bool {
        self.take(&Hit::of(finding), now)
    }

    /// Remembers a hit, and says whether it is a finding.
    pub(super) fn take(&mut self, finding: &Hit<'_>, now: Timestamp) -> bool {
        let (at, now) = (since_1970(finding.time), since_1970(now));
        self.clock = self.clock.max(ticked(at, now));
        self.sweep(now, SWEPT);
        let (stands_out, mut is_in_time) = self.remember(finding, at, now);
        let mut is_known = false;
        if stands_out && is_in_time {
            let taken = self.count(finding, at, now);
            is_in_time = taken.is_some();
            is_known = taken == Some(Taken::Known);
        }
        self.counts.late += u64::from(!is_in_time);
        self.counts.redelivered += u64::from(is_known);
        self.counts.findings += u64::from(stands_out && !is_known);
        self.keep_to_bounds(now);
        stands_out
    }

    /// Whether a hit may be told of in an alert, as far as is remembered by now. Nothing is changed.
    pub(super) fn may_tell(&self, finding: &Hit<'_>) -> bool {
        let counting = &finding.rule.counting;
        let is_finding = counting.history.as_ref().is_none_or(|history| {
            let question = question(finding, history, since_1970(finding.time));
            match self.known(&key::history(finding), finding).map(|entry| &entry.body) {
                Some(Body::Past(past)) => past.stands_out(&question),
                _ => Past::default().stands_out(&question),
            }
        });
        if !is_finding || (counting.threshold <= 1 && counting.aggregates.is_empty()) {
            return is_finding;
        }
        match self.known(&key::counted(finding), finding).map(|entry| &entry.body) {
            Some(Body::Counted(counted)) => counted.may_tell(counting),
            _ => counting.threshold <= 1,
        }
    }

    /// What is remembered of a key and means something to the rule as it is now.
    fn known(&self, key: &Key, finding: &Hit<'_>) -> Option<&Entry> {
        self.table.entry(self.table.find(key)?).filter(|entry| entry.rule.fingerprint == finding.rule.fingerprint)
    }

    /// Asks the history of a group, and adds the event to it: whether it stands out, and whether it came in time.
    fn remember(&mut self, finding: &Hit<'_>, at: i64, now: i64) -> (bool, bool) {
        let Some(history) = &finding.rule.counting.history else { return (true, true) };
        let question = question(finding, history, at);
        let lateness = micros(self.limits.lateness);
        let bound = self.bound();
        let evicted = &mut self.counts.evicted;
        let slot = self.table.touch(key::history(finding), &bound, evicted, || Entry::past(finding.rule));
        let cut = &mut self.counts.cut;
        let answer = self.table.update(slot, |_, entry| {
            entry.go_on_under(finding.rule);
            let is_in_time = entry.tick(at, now, lateness);
            let kept = micros(history.window()).saturating_add(lateness);
            let Body::Past(past) = &mut entry.body else { return (false, is_in_time) };
            let stands_out = past.stands_out(&question);
            if is_in_time {
                past.learn(&question, stands_out, (entry.clock, kept), cut);
            }
            (stands_out, is_in_time)
        });
        answer.unwrap_or((false, true))
    }

    /// Counts a finding; none if it came too late.
    fn count(&mut self, finding: &Hit<'_>, at: i64, now: i64) -> Option<Taken> {
        let lateness = micros(self.limits.lateness);
        let every = micros(self.limits.update_every);
        let bound = self.bound();
        let evicted = &mut self.counts.evicted;
        let slot = self.table.touch(key::counted(finding), &bound, evicted, || Entry::counted(finding.rule));
        let (outbox, counts) = (&mut self.outbox, &mut self.counts);
        self.table.update(slot, |key, entry| {
            entry.go_on_under(finding.rule);
            let is_in_time = entry.tick(at, now, lateness);
            let clock = entry.clock;
            let Body::Counted(counted) = &mut entry.body else { return None };
            if !is_in_time {
                return None;
            }
            let taken = counted.take(
                finding,
                &entry::head(finding, at, finding.severity()),
                (clock, lateness),
                &mut counts.cut,
            );
            counts.alerts += u64::from(matches!(taken, Taken::Opened(_)));
            if let Taken::Opened(number) | Taken::Added(number) = taken {
                outbox.put(key, &counted.open[number], finding, at, (now, every));
            }
            Some(taken)
        })?
    }

    fn bound(&self) -> Bound {
        Bound { keys: self.limits.keys, bytes: self.limits.bytes }
    }

    fn sweep(&mut self, now: i64, slots: u32) {
        let (clock, lateness) = (self.clock, micros(self.limits.lateness));
        self.table.sweep(slots, |entry| entry.is_over(now, clock, lateness));
    }

    fn keep_to_bounds(&mut self, now: i64) {
        let waiting = self.limits.bytes / 4;
        if self.outbox.bytes() > waiting {
            let every = micros(self.limits.update_every);
            let left = self.outbox.shed(waiting, (now, every), &mut self.counts.merged);
            left.into_iter().for_each(|gone| self.settle(gone));
        }
        while self.table.bytes() + self.outbox.bytes() > self.limits.bytes && self.table.can_evict() {
            self.table.evict(&mut self.counts.evicted);
        }
    }

    /// An alert has left the outbox: its key knows from now on what was told.
    fn settle(&mut self, gone: Gone) {
        let Some(slot) = self.table.find(&gone.key) else { return };
        self.table.update(slot, |_, entry| {
            if let Body::Counted(counted) = &mut entry.body
                && let Some(open) = counted.open.iter_mut().find(|open| open.opened == gone.opened)
            {
                (open.revision, open.given) = (gone.revision, gone.given);
            }
        });
    }

    /// Alerts that are new, or not what was told of them last: at once when they are opened, and then at most once in
    /// each [`Limits::update_every`] and once more when their period is over. They are under way until they are told, and
    /// are not given out again unless they change.
    pub fn take_due(&mut self, now: Timestamp) -> Vec<Alert> {
        let now = since_1970(now);
        self.sweep(now, SWEPT_WHEN_ASKED);
        self.outbox.take_due(now)
    }

    /// An alert is durable everywhere, as it stood in this revision.
    pub fn told(&mut self, id: &str, revision: u64) {
        if let Some(gone) = key::unhex(id).and_then(|id| self.outbox.told(id, revision)) {
            self.settle(gone);
        }
    }

    /// The stored form of what has changed since the last call.
    pub fn changes(&mut self) -> Vec<Change> {
        let useless = std::mem::take(&mut self.useless).into_iter();
        let mut changes = useless.map(|key| Change { key, value: None }).collect();
        self.table.changes(ENTRY, &mut changes);
        self.outbox.changes(ALERT, &mut changes);
        changes
    }

    /// Remembers what was stored, in any order. Alerts that nobody was told of, or not of their last change, are due
    /// again. What is remembered already stays as it is.
    pub fn restore(&mut self, rules: &[Arc<Rule>], entries: impl Iterator<Item = (Vec<u8>, Vec<u8>)>) -> Restored {
        let rules: HashMap<&str, &Arc<Rule>> = rules.iter().map(|rule| (rule.id.as_str(), rule)).collect();
        let mut restored = Restored::default();
        let mut kept: Vec<(Key, Entry)> = Vec::new();
        for (key, value) in entries {
            let is_known = |id: &[u8; 16]| self.outbox.holds(id) || self.table.find(id).is_some();
            if stored::split(&key).is_some_and(|id| is_known(&id)) {
                restored.dropped += 1;
                continue;
            }
            let is_kept = match (key.split_first(), stored::split(&key)) {
                (Some((&ENTRY, _)), Some(key)) => {
                    let entry = stored::restored_entry(&value, &rules);
                    entry.map(|entry| kept.push((key, entry))).is_some()
                }
                (Some((&ALERT, _)), Some(id)) => {
                    let outgoing = stored::restored_outgoing(&value, &rules).filter(|(known, _)| *known == id);
                    outgoing.map(|(id, outgoing)| self.outbox.restore(id, outgoing)).is_some()
                }
                _ => false,
            };
            if is_kept {
                restored.kept += 1;
            } else {
                restored.dropped += 1;
                restored.alerts += u64::from(key.first() == Some(&ALERT));
                self.useless.push(key);
            }
        }
        kept.sort_by_key(|(_, entry)| entry.touched);
        for (key, entry) in kept {
            self.clock = self.clock.max(entry.clock);
            let now = entry.touched;
            let bound = self.bound();
            self.table.restore(key, entry, &bound, &mut self.counts.evicted);
            self.keep_to_bounds(now);
        }
        restored
    }

    /// Figures.
    pub fn counts(&self) -> Counts {
        let bytes = self.table.bytes() + self.outbox.bytes();
        Counts { keys: self.table.len() as u64, bytes: bytes as u64, ..self.counts }
    }
}
