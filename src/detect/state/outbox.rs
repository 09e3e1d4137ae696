//! The outbox: alerts that are new or not what was told of them last, with all their texts, until they are durable.

use std::collections::{BTreeSet, HashMap};

use super::Change;
use super::bound::heap;
use super::key::{Key, alert_id, hex};
use super::open::{MAX_IDS, Open};
use super::time;
use crate::detect::alert::Alert;
use crate::detect::hit::Hit;

/// An alert's id.
pub(super) type Id = [u8; 16];

/// The name under which an alert's context says how many others it stands for.
pub(super) const MERGED: &str = "merged_alerts";

/// Alerts on their way out. Times are in microseconds, by the clock of the process but for `opened` and `until`.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    alerts: HashMap<Id, Outgoing>,
    /// What is to be given out, and when.
    due: BTreeSet<(i64, Id)>,
    /// What would go first if there were too many: updates before alerts that nobody was told of, older ones first.
    order: BTreeSet<(bool, u64, Id)>,
    /// Of each rule, by its id, the alert that others were merged with.
    collectors: HashMap<String, Id>,
    changed: BTreeSet<Id>,
    gone: Vec<Id>,
    bytes: usize,
    serial: u64,
}

/// An alert on its way out.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    /// As it stands; its revision is the one that was given out last.
    pub(super) alert: Alert,
    pub(super) key: Key,
    pub(super) opened: i64,
    pub(super) until: i64,
    /// When it was given out last.
    pub(super) given: i64,
    /// When it is to be given out; none while it is under way.
    pub(super) due: Option<i64>,
    /// Whether a revision of it is durable.
    pub(super) was_told: bool,
    /// Alerts that were merged with it, and their events.
    pub(super) merged: (u64, u64),
    pub(super) serial: u64,
    pub(super) is_stored: bool,
}

/// What an open alert is to remember of its time in the outbox.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gone {
    pub(super) key: Key,
    pub(super) opened: i64,
    pub(super) revision: u64,
    pub(super) given: i64,
}

impl Outgoing {
    fn bytes(&self) -> usize {
        let Alert { title, dedup, group, context, event_ids, id, .. } = &self.alert;
        let pairs = group.iter().chain(context).map(|(name, value)| 48 + heap(name.len()) + heap(value.len()));
        let ids = event_ids.iter().map(|id| 24 + heap(id.len()));
        // Itself, and its places in the sets: of the map, half of the places may be empty.
        let fixed = 2 * size_of::<Self>() + 160;
        fixed + heap(title.len()) + heap(dedup.len()) + heap(id.len()) + pairs.sum::<usize>() + ids.sum::<usize>()
    }

    fn gone(&self) -> Gone {
        Gone { key: self.key, opened: self.opened, revision: self.alert.revision, given: self.given }
    }

    fn rank(&self, id: Id) -> (bool, u64, Id) {
        (!self.was_told, self.serial, id)
    }

    /// Brings it up to date. The newest finding's context is taken, or that of any where there is none yet.
    fn renew(&mut self, open: &Open, finding: &Hit<'_>, at: i64) {
        let alert = &mut self.alert;
        if at >= open.last_seen {
            alert.context = finding.context().to_vec();
            if self.merged.0 > 0 {
                alert.context.push((MERGED.to_owned(), self.merged.0.to_string()));
            }
        }
        alert.count = open.count + self.merged.1;
        alert.severity = alert.severity.max(open.severity);
        alert.first_seen = alert.first_seen.min(time(open.first_seen));
        alert.last_seen = alert.last_seen.max(time(open.last_seen));
        if self.merged.0 == 0 && alert.event_ids.len() < MAX_IDS {
            alert.event_ids = open.ids.split('\n').map(str::to_owned).collect();
        }
    }

    /// When a change of it is given out: once after its period, and else not too often.
    fn next(&self, now: i64, every: i64) -> i64 {
        if self.alert.revision == 0 {
            return now;
        }
        let next = self.given.saturating_add(every);
        if self.until > self.given { next.min(self.until) } else { next }
    }
}

impl Outbox {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn holds(&self, id: &Id) -> bool {
        self.alerts.contains_key(id)
    }

    /// An alert was opened, or has one more event.
    pub(super) fn put(&mut self, key: &Key, open: &Open, finding: &Hit<'_>, at: i64, (now, every): (i64, i64)) {
        let id = alert_id(key, open.opened);
        let mut outgoing = self.take(id).unwrap_or_else(|| {
            self.serial += 1;
            Outgoing {
                alert: Alert {
                    id: hex(&id),
                    rule: std::sync::Arc::clone(finding.rule),
                    severity: open.severity,
                    title: open.title.to_string(),
                    dedup: finding.dedup().to_owned(),
                    group: finding.group.to_vec(),
                    context: finding.context().to_vec(),
                    first_seen: time(open.first_seen),
                    last_seen: time(open.last_seen),
                    count: 0,
                    event_ids: Vec::new(),
                    revision: open.revision,
                },
                key: *key,
                opened: open.opened,
                until: open.until,
                given: open.given,
                due: None,
                was_told: open.revision > 0,
                merged: (0, 0),
                serial: self.serial,
                is_stored: false,
            }
        });
        outgoing.renew(open, finding, at);
        if outgoing.due.is_none() {
            outgoing.due = Some(outgoing.next(now, every));
        }
        self.add(id, outgoing);
    }

    /// Takes an alert out of all lists but those of what is stored.
    fn take(&mut self, id: Id) -> Option<Outgoing> {
        let outgoing = self.alerts.remove(&id)?;
        self.bytes -= outgoing.bytes();
        self.order.remove(&outgoing.rank(id));
        if let Some(due) = outgoing.due {
            self.due.remove(&(due, id));
        }
        Some(outgoing)
    }

    fn add(&mut self, id: Id, outgoing: Outgoing) {
        self.bytes += outgoing.bytes();
        // The one that others are merged with stays.
        if outgoing.merged.0 == 0 && self.collectors.get(&outgoing.alert.rule.id) != Some(&id) {
            self.order.insert(outgoing.rank(id));
        }
        if let Some(due) = outgoing.due {
            self.due.insert((due, id));
        }
        self.changed.insert(id);
        self.alerts.insert(id, outgoing);
    }

    /// An alert is in no list any more.
    fn forget(&mut self, id: Id, outgoing: &Outgoing) {
        self.changed.remove(&id);
        if outgoing.is_stored {
            self.gone.push(id);
        }
        if self.collectors.get(&outgoing.alert.rule.id) == Some(&id) {
            self.collectors.remove(&outgoing.alert.rule.id);
        }
    }

    /// What is due, each in its next revision, and under way from now on.
    pub(super) fn take_due(&mut self, now: i64) -> Vec<Alert> {
        let mut alerts = Vec::new();
        while let Some(&(due, id)) = self.due.first()
            && due <= now
        {
            let Some(mut outgoing) = self.take(id) else { break };
            outgoing.alert.revision += 1;
            (outgoing.given, outgoing.due) = (now, None);
            alerts.push(outgoing.alert.clone());
            self.add(id, outgoing);
        }
        alerts
    }

    /// A revision is durable everywhere: if nothing has changed since, the alert leaves.
    pub(super) fn told(&mut self, id: Id, revision: u64) -> Option<Gone> {
        let mut outgoing = self.take(id)?;
        if revision >= outgoing.alert.revision && outgoing.due.is_none() {
            self.forget(id, &outgoing);
            return Some(outgoing.gone());
        }
        outgoing.was_told |= revision > 0;
        self.add(id, outgoing);
        None
    }

    /// Keeps to a bound. Updates leave first: the alert keeps its count, and the next finding makes an update again. Then
    /// alerts that nobody was told of, the oldest first, are merged into one for each rule, which says how many it
    /// stands for. Says what has left, and whether it was merged.
    pub(super) fn shed(&mut self, bytes: usize, (now, every): (i64, i64), merged: &mut u64) -> Vec<Gone> {
        let mut left = Vec::new();
        while self.bytes > bytes
            && let Some(&(_, _, id)) = self.order.first()
            && let Some(outgoing) = self.take(id)
        {
            *merged += 1;
            let rule = outgoing.alert.rule.id.clone();
            let collector = self.collectors.get(&rule).copied();
            if outgoing.was_told {
                self.forget(id, &outgoing);
                left.push(outgoing.gone());
            } else if let Some((into, mut all)) = collector.and_then(|into| Some((into, self.take(into)?))) {
                self.forget(id, &outgoing);
                left.push(Gone { revision: outgoing.alert.revision.max(1), ..outgoing.gone() });
                all.merge(outgoing.alert);
                if all.due.is_none() {
                    all.due = Some(all.next(now, every));
                }
                self.add(into, all);
            } else {
                *merged -= 1;
                self.collectors.insert(rule, id);
                self.add(id, outgoing);
            }
        }
        left
    }

    pub(super) fn changes(&mut self, prefix: u8, changes: &mut Vec<Change>) {
        let stored = |id: &Id| std::iter::once(prefix).chain(id.iter().copied()).collect();
        changes.extend(std::mem::take(&mut self.gone).iter().map(|id| Change { key: stored(id), value: None }));
        for id in std::mem::take(&mut self.changed) {
            if let Some(outgoing) = self.alerts.get_mut(&id) {
                outgoing.is_stored = true;
                changes.push(Change { key: stored(&id), value: Some(super::stored::outgoing(outgoing)) });
            }
        }
    }

    /// Puts an alert back that was stored.
    pub(super) fn restore(&mut self, id: Id, mut outgoing: Outgoing) {
        self.serial = self.serial.max(outgoing.serial);
        outgoing.is_stored = true;
        if outgoing.merged.0 > 0 {
            self.collectors.insert(outgoing.alert.rule.id.clone(), id);
        }
        self.add(id, outgoing);
        self.changed.remove(&id);
    }

    /// Takes in an alert that another process had on its way out; of the same alert, the one that was given out later.
    pub(super) fn adopt(&mut self, id: Id, mut outgoing: Outgoing) {
        self.serial += 1;
        (outgoing.serial, outgoing.is_stored) = (self.serial, false);
        if let Some(known) = self.take(id) {
            let order = |outgoing: &Outgoing| (outgoing.alert.revision, outgoing.alert.count);
            let is_later = order(&outgoing) > order(&known);
            let (mut later, other) = if is_later { (outgoing, known) } else { (known, outgoing) };
            later.is_stored |= other.is_stored;
            later.was_told |= other.was_told;
            later.alert.count = later.alert.count.max(other.alert.count);
            later.alert.severity = later.alert.severity.max(other.alert.severity);
            outgoing = later;
        }
        if outgoing.merged.0 > 0 {
            self.collectors.entry(outgoing.alert.rule.id.clone()).or_insert(id);
        }
        self.add(id, outgoing);
    }

    /// What is known of an alert has grown by what another process knew: one that waits here is brought up to date, and
    /// goes if it was told of in a later revision.
    pub(super) fn grown(&mut self, id: Id, open: &Open) {
        let is_own = self.alerts.get(&id).is_some_and(|known| known.merged.0 == 0);
        let Some(mut outgoing) = is_own.then(|| self.take(id)).flatten() else { return };
        let alert = &mut outgoing.alert;
        if alert.revision < open.revision {
            return self.forget(id, &outgoing);
        }
        if alert.count < open.count {
            alert.count = open.count;
            alert.severity = alert.severity.max(open.severity);
            alert.first_seen = alert.first_seen.min(time(open.first_seen));
            alert.last_seen = alert.last_seen.max(time(open.last_seen));
            outgoing.due = outgoing.due.or(Some(i64::MIN));
        }
        self.add(id, outgoing);
    }

    /// Everything has changed, and nothing is stored.
    pub(super) fn store_anew(&mut self) {
        self.gone.clear();
        self.alerts.values_mut().for_each(|outgoing| outgoing.is_stored = false);
        self.changed = self.alerts.keys().copied().collect();
    }
}

impl Outgoing {
    fn merge(&mut self, other: Alert) {
        self.merged = (self.merged.0 + 1, self.merged.1 + other.count);
        let alert = &mut self.alert;
        alert.count += other.count;
        alert.severity = alert.severity.max(other.severity);
        alert.first_seen = alert.first_seen.min(other.first_seen);
        alert.last_seen = alert.last_seen.max(other.last_seen);
        let room = MAX_IDS.saturating_sub(alert.event_ids.len());
        alert.event_ids.extend(other.event_ids.into_iter().take(room));
        alert.context.retain(|(name, _)| name != MERGED);
        alert.context.push((MERGED.to_owned(), self.merged.0.to_string()));
    }
}
