//! Alerts on their way: taken from what detection remembers, written to each sink that hears of them, and ticked off there
//! once they are durable everywhere. A sink that is slow holds up neither the stream nor the other sinks: what changes
//! meanwhile takes the place of what waits.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::delivery::memory::Memory;
use crate::detect::alert::AlertFormat;
use crate::detect::{Alert, Detector, Severity};
use crate::format::key::Template;
use crate::sink::batch::{Gone, Outlet};
use crate::sink::retry::Causes;

use super::SinkPlan;

mod desk;

use desk::Desk;

/// How often alerts are looked for.
const INTERVAL: Duration = Duration::from_secs(1);

/// Alerts that wait for sinks. Beyond it, further ones stay where they are until there is room: an endpoint that is down
/// for days must not fill the memory.
const MAX_WAITING: usize = 100_000;

/// Further than any time between two updates: at the end all is said that is known.
const END: SignedDuration = SignedDuration::from_hours(48);

/// One sink of alerts.
pub struct AlertPlan {
    /// What to open.
    pub sink: SinkPlan,
    /// What it hears of, which may change while it does, and how it is told.
    pub audience: Arc<Mutex<Audience>>,
}

/// What a sink of alerts hears of, and how it is told.
#[derive(Clone, Debug, Default)]
pub struct Audience {
    /// What an alert is written as.
    pub format: AlertFormat,
    /// The ids of the rules that it hears of; none are all.
    pub rules: Option<BTreeSet<String>>,
    /// The least severity that it hears of.
    pub severity: Option<Severity>,
    /// The key of the integration at PagerDuty.
    pub routing_key: Option<String>,
}

impl Audience {
    fn hears(&self, alert: &Alert) -> bool {
        let of_rule = self.rules.as_ref().is_none_or(|rules| rules.contains(&alert.rule.id));
        of_rule && self.severity.is_none_or(|least| alert.severity >= least)
    }
}

/// A sink that is open, with what it is told of each alert beside its bytes, and what it hears of.
type Opened = (Outlet, Option<Arc<Template>>, Arc<Mutex<Audience>>);

/// Where alerts are on their way to.
pub(super) struct Outbox {
    detector: Arc<Detector>,
    memory: Option<Arc<Memory>>,
    desks: Vec<Arc<Desk>>,
    told: Arc<Told>,
}

impl Outbox {
    /// The alerts of `detector`, on their way to these sinks.
    pub(super) fn new(detector: Arc<Detector>, memory: Option<Arc<Memory>>, sinks: Vec<Opened>) -> Self {
        let told = Arc::new(Told { detector: Arc::clone(&detector), under_way: Mutex::default() });
        let desk = |(index, (outlet, tags, audience))| Arc::new(Desk::new(index, outlet, tags, audience));
        Self { detector, memory, desks: sinks.into_iter().enumerate().map(desk).collect(), told }
    }

    /// Sends alerts until `read` is cancelled, which says that nothing more is observed, and all are durable; or until
    /// `abandon` is. What is not durable by then is due again at the next start.
    pub(super) async fn run(self, read: CancellationToken, abandon: CancellationToken) {
        let mut sending = JoinSet::new();
        for desk in &self.desks {
            let (desk, told, abandon) = (Arc::clone(desk), Arc::clone(&self.told), abandon.clone());
            sending.spawn(async move {
                tokio::select! {
                    biased;
                    () = abandon.cancelled() => {}
                    // A sink that is gone says why itself.
                    _ = desk.send(&told) => {}
                }
            });
        }
        if let Some(memory) = self.memory.clone() {
            let (read, abandon) = (read.clone(), abandon.clone());
            sending.spawn(async move {
                tokio::select! {
                    biased;
                    () = abandon.cancelled() => {}
                    () = read.cancelled() => {}
                    () = memory.keep() => {}
                }
            });
        }
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_over = tokio::select! {
                biased;
                () = abandon.cancelled() => break,
                () = read.cancelled() => true,
                _ = ticks.tick() => false,
            };
            self.collect(is_over).await;
            if is_over {
                break;
            }
        }
        self.desks.iter().for_each(|desk| desk.close());
        while sending.join_next().await.is_some() {}
        self.say_left();
        // What was told is not told again by the next start.
        self.save().await;
        if let Some(memory) = &self.memory
            && let Err(error) = memory.release().await
        {
            warn!(error = %Causes(&error), "cannot hand on what detection remembers; others take it up later");
        }
    }

    /// Takes what is due and hands it to those who hear of it.
    async fn collect(&self, is_over: bool) {
        if !is_over && self.desks.iter().any(|desk| desk.waiting() >= MAX_WAITING) {
            return;
        }
        let now = Timestamp::now();
        let now = if is_over { now.checked_add(END).unwrap_or(now) } else { now };
        let due = self.detector.state().take_due(now);
        if due.is_empty() {
            return;
        }
        // A crash must not forget what was told: its alert would be opened a second time. What cannot be stored is told
        // all the same, because a full disk must not silence it.
        self.save().await;
        for alert in due {
            let alert = Arc::new(alert);
            let desks: Vec<_> = self.desks.iter().filter(|desk| desk.hears(&alert)).collect();
            self.told.begin(&alert, desks.iter().map(|desk| desk.index()));
            desks.into_iter().for_each(|desk| desk.put(&alert));
        }
    }

    /// Says how many alerts are not durable everywhere, if there are any.
    fn say_left(&self) {
        let alerts = self.told.left();
        match &self.memory {
            _ if alerts == 0 => {}
            Some(_) => warn!(alerts, "stopped before these alerts were sent, the next start sends them"),
            None => warn!(alerts, "stopped before these alerts were sent, and nothing is kept of them"),
        }
    }

    async fn save(&self) {
        let Some(memory) = &self.memory else { return };
        if let Err(error) = memory.save().await {
            warn!(error = %Causes(&error), "cannot store what detection remembers; an alert may be sent again after a crash");
        }
    }
}

/// Who has which alert by now.
pub(super) struct Told {
    detector: Arc<Detector>,
    /// By the alert's id: its newest revision, and the desks that do not have it yet.
    under_way: Mutex<HashMap<String, (u64, BTreeSet<usize>)>>,
}

impl Told {
    /// An alert is on its way to these desks.
    fn begin(&self, alert: &Alert, desks: impl Iterator<Item = usize>) {
        let desks: BTreeSet<_> = desks.collect();
        if desks.is_empty() {
            // Nobody hears of it.
            return self.detector.state().told(&alert.id, alert.revision);
        }
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.insert(alert.id.clone(), (alert.revision, desks));
    }

    /// How many alerts are on their way.
    fn left(&self) -> usize {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// An alert is durable at a desk's sink.
    fn durable(&self, alert: &Alert, desk: usize) {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((revision, desks)) = under_way.get_mut(&alert.id) else { return };
        // An older one is overtaken: the newest is on its way.
        if *revision != alert.revision {
            return;
        }
        desks.remove(&desk);
        if desks.is_empty() {
            under_way.remove(&alert.id);
            drop(under_way);
            self.detector.state().told(&alert.id, alert.revision);
        }
    }
}

/// Everything is durable, or the sink is gone, which its own task says.
type Sent = Result<(), Gone>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RuleFile;
    use crate::detect::state::Limits;

    fn alert(revision: u64, severity: Severity) -> Alert {
        let text = "id = 'a.b'\nname = 'n'\ndescription = 'd'\nseverity = 'low'\nmatch = 'true'\ntitle = 't'\n";
        let rule = RuleFile::parse(text, "t.toml").unwrap_or_else(|error| panic!("{error}")).1;
        let time = "2026-01-02T03:04:05Z".parse().unwrap();
        Alert {
            id: "1".into(),
            rule,
            severity,
            title: "t".into(),
            dedup: "d".into(),
            group: Vec::new(),
            context: Vec::new(),
            first_seen: time,
            last_seen: time,
            count: revision,
            event_ids: Vec::new(),
            revision,
        }
    }

    #[test]
    fn an_alert_is_told_once_all_have_its_newest_revision() {
        let detector = Arc::new(Detector::new(&[], Limits::default()));
        let told = Told { detector, under_way: Mutex::default() };
        let waits_for = || told.under_way.lock().unwrap().get("1").map(|(_, desks)| desks.len());
        let (first, second) = (alert(1, Severity::Low), alert(2, Severity::Low));
        told.begin(&first, [0, 1].into_iter());
        told.durable(&first, 0);
        assert_eq!(waits_for(), Some(1));
        told.begin(&second, [0, 1].into_iter());
        told.durable(&first, 1);
        assert_eq!(waits_for(), Some(2), "what is overtaken ticks nothing off");
        told.durable(&second, 1);
        told.durable(&second, 1);
        assert_eq!(waits_for(), Some(1));
        told.durable(&second, 0);
        assert_eq!(waits_for(), None);
        told.durable(&second, 0);
    }

    #[test]
    fn an_audience_hears_what_it_asked_for() {
        let check = |rules: Option<&str>, least: Option<Severity>, expected: bool| {
            let rules = rules.map(|rule| [rule.to_owned()].into());
            let audience = Audience { rules, severity: least, ..Audience::default() };
            assert_eq!(audience.hears(&alert(1, Severity::Medium)), expected);
        };
        check(None, None, true);
        check(Some("a.b"), Some(Severity::Medium), true);
        check(Some("a.c"), None, false);
        check(None, Some(Severity::High), false);
    }
}
