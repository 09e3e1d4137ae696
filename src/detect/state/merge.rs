//! Merging: what another process remembered joins what is remembered here. Each event counts once, whoever saw it and
//! however often the same is merged: events are told apart by their ids, and alerts by theirs.

use std::collections::HashMap;
use std::sync::Arc;

use super::entry::{Body, Counted, Entry, MAX_SAMPLES};
use super::history::{MAX_VALUES, Past};
use super::key::{Key, alert_id};
use super::open::{MAX_OPEN, Open};
use super::{AHEAD, ALERT, ENTRY, Restored, State, stored};
use crate::detect::rule::Rule;

impl State {
    /// Takes in what another process remembered, as it stored it. It is among the next changes: whoever left it behind
    /// keeps it no longer. A threshold that is only reached by both together is met by the next finding, which brings the
    /// texts of the alert along.
    pub fn adopt(&mut self, rules: &[Arc<Rule>], entries: impl Iterator<Item = (Vec<u8>, Vec<u8>)>) -> Restored {
        let rules: HashMap<&str, &Arc<Rule>> = rules.iter().map(|rule| (rule.id.as_str(), rule)).collect();
        let mut restored = Restored::default();
        for (key, value) in entries {
            let is_kept = match (key.first(), stored::split(&key)) {
                (Some(&ENTRY), Some(key)) => stored::restored_entry(&value, &rules).map(|entry| self.join(key, entry)),
                (Some(&ALERT), Some(id)) => {
                    stored::restored_outgoing(&value, &rules).filter(|(known, _)| *known == id).map(|(id, outgoing)| {
                        if !self.was_told(&outgoing.key, outgoing.opened, outgoing.alert.revision) {
                            self.outbox.adopt(id, outgoing);
                        }
                    })
                }
                _ => None,
            };
            restored.kept += u64::from(is_kept.is_some());
            restored.dropped += u64::from(is_kept.is_none());
            restored.alerts += u64::from(is_kept.is_none() && key.first() == Some(&ALERT));
        }
        restored
    }

    /// All that is remembered is among the next changes, as if nothing had ever been stored.
    pub fn store_anew(&mut self) {
        self.useless.clear();
        self.table.store_anew();
        self.outbox.store_anew();
    }

    fn join(&mut self, key: Key, entry: Entry) {
        self.clock = self.clock.max(entry.clock);
        let (now, bound) = (entry.touched, self.bound());
        let slot = self.table.touch(key, &bound, &mut self.counts.evicted, || entry.anew(&entry.rule));
        let cut = &mut self.counts.cut;
        let outbox = &mut self.outbox;
        self.table.update(slot, |key, known| {
            known.go_on_under(&entry.rule);
            known.merge(entry, cut);
            if let Body::Counted(counted) = &known.body {
                counted.open.iter().for_each(|open| outbox.grown(alert_id(key, open.opened), open));
            }
        });
        self.keep_to_bounds(now);
    }

    /// Whether this alert has left the outbox here in a later revision.
    fn was_told(&self, key: &Key, opened: i64, revision: u64) -> bool {
        let Some(slot) = self.table.find(key) else { return false };
        let told = self.table.look(slot).and_then(|entry| match &entry.body {
            Body::Counted(counted) => counted.open.iter().find(|open| open.opened == opened),
            Body::Past(_) => None,
        });
        told.is_some_and(|open| open.revision > revision)
    }
}

impl Entry {
    fn merge(&mut self, other: Self, cut: &mut u64) {
        self.clock = self.clock.max(other.clock);
        self.touched = self.touched.max(other.touched);
        let future = self.clock.saturating_add(AHEAD);
        let counting = &self.rule.counting;
        match (&mut self.body, other.body) {
            (Body::Counted(counted), Body::Counted(other)) => {
                counted.merge(other, counting.aggregates.len());
                *cut += counted.samples.cut(MAX_SAMPLES, future, counting.aggregates.len());
            }
            (Body::Past(past), Body::Past(other)) => {
                if let Some(history) = &counting.history {
                    past.merge(*other, history.measures());
                    past.samples.cut(history.most(), future, history.measures());
                }
            }
            // A key is a hash of its kind, too.
            _ => {}
        }
    }
}

impl Counted {
    fn merge(&mut self, other: Self, measures: usize) {
        self.samples.merge(other.samples, measures);
        for open in other.open {
            match self.open.iter_mut().find(|known| known.opened == open.opened) {
                Some(known) => known.merge(open),
                None => {
                    let at = self.open.partition_point(|known| known.opened < open.opened);
                    self.open.insert(at, open);
                }
            }
        }
        let excess = self.open.len().saturating_sub(MAX_OPEN);
        self.open.drain(..excess);
        let Self { samples, open } = self;
        // What one has seen may be for an alert that the other has opened.
        for at in 0..samples.len(measures) {
            let sample = samples.at(at, measures);
            if sample.is_counted {
                continue;
            }
            if let Some(open) = open.iter_mut().find(|open| open.takes(sample.time)) {
                open.add(sample.time, || samples.text(sample.id));
                open.severity = open.severity.max(sample.severity);
                samples.count(at, measures);
            }
        }
        // Where both have counted on, there are more than either has counted, as far as is still known. Of alerts that
        // overlap, it is not known which has taken in what.
        if let [open] = &mut open[..] {
            let range = samples.since(open.after.saturating_add(1), measures)..samples.since(open.until, measures);
            let known = samples.range(range, measures).filter(|sample| sample.is_counted).count() as u64;
            open.count = open.count.max(known);
        }
    }
}

impl Open {
    /// The same alert, as another knows it.
    fn merge(&mut self, other: Self) {
        self.first_seen = self.first_seen.min(other.first_seen);
        self.last_seen = self.last_seen.max(other.last_seen);
        self.severity = self.severity.max(other.severity);
        self.until = self.until.max(other.until);
        if other.count > self.count {
            (self.count, self.ids) = (other.count, other.ids);
        }
        if other.revision > self.revision {
            (self.revision, self.given) = (other.revision, other.given);
        }
    }
}

impl Past {
    fn merge(&mut self, other: Self, measures: usize) {
        self.samples.merge(other.samples, measures);
        for value in other.values {
            match self.values.iter_mut().find(|known| known.word == value.word) {
                Some(known) => known.last_seen = known.last_seen.max(value.last_seen),
                None => self.values.push(value),
            }
        }
        if self.values.len() > MAX_VALUES {
            self.values.sort_by_key(|value| std::cmp::Reverse(value.last_seen));
            self.values.truncate(MAX_VALUES);
        }
    }
}
