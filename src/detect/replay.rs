//! A replay: rules over events that come in any order, as files bring them. What counts by the times of events waits in a
//! heap until its turn has come.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::atomic::Ordering;

use jiff::Timestamp;

use super::{Alert, Detector, Finding, Source, Trail};
use crate::enrich::Event;
use crate::expression::{Names, Variables, view_json};
use crate::pipeline::Context;

/// Findings that wait for older ones. A million are some 500 MiB at most, and more than a month of a busy account has.
pub const MAX_WAITING: usize = 1_000_000;

/// Findings after which alerts are taken out of the state, so that few wait in it.
const BETWEEN_ALERTS: u64 = 4096;

/// Rules over events of the past.
#[derive(Debug)]
pub struct Replay {
    detector: Detector,
    /// Whether findings add up to alerts; else only those with a history are counted.
    has_alerts: bool,
    waiting: BinaryHeap<Reverse<Waiting>>,
    capacity: usize,
    taken: u64,
    counted: u64,
    /// The youngest event that was counted: the past has no other clock.
    now: Timestamp,
    alerts: BTreeMap<String, Alert>,
}

/// A finding that waits, by the time of its event, and by its place in the input.
#[derive(Debug)]
struct Waiting {
    time: Timestamp,
    place: u64,
    finding: Finding,
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.time, self.place).cmp(&(other.time, other.place))
    }
}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Waiting {}

impl Replay {
    /// A replay that has seen nothing. `has_alerts` says whether findings are to add up to alerts.
    pub fn new(detector: Detector, has_alerts: bool) -> Self {
        Self {
            detector,
            has_alerts,
            waiting: BinaryHeap::new(),
            capacity: MAX_WAITING,
            taken: 0,
            counted: 0,
            now: Timestamp::MIN,
            alerts: BTreeMap::new(),
        }
    }

    /// Looks at an invocation, and gives each finding that is sure by now.
    pub fn event(&mut self, event: &Event<'_>, context: &Context<'_>, found: &mut dyn FnMut(&Finding)) {
        let findings = self.detector.matches(event, context);
        self.take(findings, found);
    }

    /// Looks at a record of CloudTrail, and gives each finding that is sure by now.
    pub fn trail(&mut self, trail: &Trail<'_>, found: &mut dyn FnMut(&Finding)) {
        let findings = self.detector.matches_trail(trail);
        self.take(findings, found);
    }

    fn take(&mut self, findings: Vec<Finding>, found: &mut dyn FnMut(&Finding)) {
        for finding in findings {
            if !self.has_alerts && finding.rule.counting.history.is_none() {
                found(&finding);
                continue;
            }
            self.taken += 1;
            self.waiting.push(Reverse(Waiting { time: finding.time, place: self.taken, finding }));
            if self.waiting.len() > self.capacity {
                self.count_oldest(found);
            }
        }
    }

    /// Counts the oldest finding that waits; false if none does.
    fn count_oldest(&mut self, found: &mut dyn FnMut(&Finding)) -> bool {
        let Some(Reverse(Waiting { time, finding, .. })) = self.waiting.pop() else { return false };
        self.now = self.now.max(time);
        let is_one = self.detector.state().observe(&finding, self.now);
        if is_one && !self.has_alerts {
            found(&finding);
        }
        self.counted += 1;
        if self.counted.is_multiple_of(BETWEEN_ALERTS) {
            self.take_alerts(self.now);
        }
        true
    }

    /// Counts all that waits, and gives the alerts as they stand at the end, by the time of the first event in each.
    pub fn finish(&mut self, found: &mut dyn FnMut(&Finding)) -> Vec<Alert> {
        while self.count_oldest(found) {}
        // Long after everything, no update is held back any more.
        let later = self.now.checked_add(jiff::SignedDuration::from_hours(24 * 365)).unwrap_or(Timestamp::MAX);
        self.take_alerts(later);
        let mut alerts: Vec<_> = std::mem::take(&mut self.alerts).into_values().collect();
        alerts.sort_by(|one, other| {
            (one.first_seen, &one.rule.id, &one.id).cmp(&(other.first_seen, &other.rule.id, &other.id))
        });
        alerts
    }

    fn take_alerts(&mut self, now: Timestamp) {
        let mut state = self.detector.state();
        loop {
            let due = state.take_due(now);
            if due.is_empty() || !self.has_alerts {
                return;
            }
            for alert in due {
                state.told(&alert.id, alert.revision);
                self.alerts.insert(alert.id.clone(), alert);
            }
        }
    }

    /// Rules that could not be evaluated for an event, so far.
    pub fn unevaluated(&self) -> u64 {
        self.detector.unevaluated()
    }
}

impl Detector {
    /// What the rules find in an invocation, with no look at what was before.
    pub fn matches(&self, event: &Event<'_>, context: &Context<'_>) -> Vec<Finding> {
        let group = &self.invocations;
        if group.rules.is_empty() {
            return Vec::new();
        }
        let view = view_json(event, context, &group.demand);
        let variables = Variables::build(event.invocation, &view, &group.demand, Names::Folded).ok();
        self.matches_of(group, variables.as_ref(), &Source::of_event(event))
    }

    /// What the rules find in a record of CloudTrail, with no look at what was before.
    pub fn matches_trail(&self, trail: &Trail<'_>) -> Vec<Finding> {
        let group = &self.trails;
        if group.rules.is_empty() {
            return Vec::new();
        }
        let variables = Variables::of_json(trail.record, &group.demand, Names::Folded).ok();
        self.matches_of(group, variables.as_ref(), &trail.source())
    }

    fn matches_of(&self, group: &super::Group, variables: Option<&Variables<'_>>, source: &Source<'_>) -> Vec<Finding> {
        let mut unevaluated = 0;
        let findings = match variables {
            Some(variables) => group.find(variables, source, &mut unevaluated),
            None => {
                unevaluated = group.rules.len() as u64;
                Vec::new()
            }
        };
        self.unevaluated.fetch_add(unevaluated, Ordering::Relaxed);
        findings
    }
}
