//! A desk: what waits for one sink of alerts, each alert as it stands, and what sends it there.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;
use tracing::warn;

use super::{Audience, Sent, Told};
use crate::budget::Reservation;
use crate::detect::alert::AlertContext;
use crate::detect::{Alert, Severity};
use crate::format::Lines;
use crate::format::key::Template;
use crate::sink::batch::{Origins, Outlet};
use crate::sink::retry::Complaint;

/// Alerts that are sent together, at most: what changes while they are under way is sent after them.
const MAX_TOGETHER: usize = 500;

/// Alerts of which is known how bad they were when they were told last.
const MAX_KNOWN: usize = 10_000;

/// How long a sink may take before the log says so.
const PATIENCE: Duration = Duration::from_secs(10);

/// What waits for one sink of alerts.
pub(super) struct Desk {
    index: usize,
    outlet: Outlet,
    tags: Option<Arc<Template>>,
    audience: Arc<Mutex<Audience>>,
    waiting: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Default)]
struct Waiting {
    /// By the alert's id, as it stands.
    alerts: HashMap<String, Arc<Alert>>,
    /// Their ids, as they came first.
    order: VecDeque<String>,
    is_closed: bool,
}

/// How bad alerts were when they were told last; of many, the newest.
#[derive(Default)]
struct Known {
    severities: HashMap<String, Severity>,
    order: VecDeque<String>,
}

impl Known {
    fn note(&mut self, alert: &Alert) {
        if self.severities.insert(alert.id.clone(), alert.severity).is_none() {
            self.order.push_back(alert.id.clone());
            if self.order.len() > MAX_KNOWN
                && let Some(oldest) = self.order.pop_front()
            {
                self.severities.remove(&oldest);
            }
        }
    }
}

impl Desk {
    pub(super) fn new(
        index: usize,
        outlet: Outlet,
        tags: Option<Arc<Template>>,
        audience: Arc<Mutex<Audience>>,
    ) -> Self {
        Self { index, outlet, tags, audience, waiting: Mutex::default(), changed: Notify::new() }
    }

    pub(super) fn index(&self) -> usize {
        self.index
    }

    /// Whether the sink is told of this alert.
    pub(super) fn hears(&self, alert: &Alert) -> bool {
        self.audience().hears(alert)
    }

    /// How many alerts wait.
    pub(super) fn waiting(&self) -> usize {
        self.lock().order.len()
    }

    /// Puts an alert down, in the place of itself as it was before.
    pub(super) fn put(&self, alert: &Arc<Alert>) {
        let mut waiting = self.lock();
        if waiting.alerts.insert(alert.id.clone(), Arc::clone(alert)).is_none() {
            waiting.order.push_back(alert.id.clone());
        }
        drop(waiting);
        self.changed.notify_one();
    }

    /// Nothing more is put down.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_one();
    }

    /// Sends what waits until nothing does and the desk is closed.
    pub(super) async fn send(&self, told: &Told) -> Sent {
        let mut known = Known::default();
        loop {
            let (alerts, is_closed) = self.take();
            if alerts.is_empty() {
                if is_closed {
                    return Ok(());
                }
                self.changed.notified().await;
                continue;
            }
            let lines = self.encode(&alerts, &known);
            if !lines.is_empty() {
                self.patiently(self.deliver(lines)).await?;
            }
            for alert in alerts {
                known.note(&alert);
                told.durable(&alert, self.index);
            }
        }
    }

    async fn deliver(&self, lines: Lines) -> Sent {
        let receipt = self.outlet.submit(lines, Origins::default(), Arc::new(Reservation::default())).await?;
        // Nobody wants to wait for an alert until a batch is full.
        self.outlet.flush().await;
        receipt.durable().await
    }

    /// Waits for the sink, and says in the log that it is waited for, at intervals that grow.
    async fn patiently(&self, delivering: impl Future<Output = Sent>) -> Sent {
        tokio::pin!(delivering);
        let mut complaint = Complaint::new(PATIENCE);
        loop {
            tokio::select! {
                biased;
                sent = &mut delivering => return sent,
                () = tokio::time::sleep_until(complaint.due_at()) => {}
            }
            if complaint.is_due() {
                let (sink, waiting) = (self.outlet.name(), self.waiting());
                let waiting_seconds = complaint.lasting().as_secs();
                warn!(sink, waiting, waiting_seconds, "alerts wait for a slow sink, the events go on");
            }
        }
    }

    fn take(&self) -> (Vec<Arc<Alert>>, bool) {
        let mut waiting = self.lock();
        let count = waiting.order.len().min(MAX_TOGETHER);
        let ids: Vec<_> = waiting.order.drain(..count).collect();
        let alerts = ids.iter().filter_map(|id| waiting.alerts.remove(id)).collect();
        (alerts, waiting.is_closed)
    }

    fn encode(&self, alerts: &[Arc<Alert>], known: &Known) -> Lines {
        let mut lines = Lines::default();
        let mut item = Vec::new();
        let audience = self.audience().clone();
        for alert in alerts {
            item.clear();
            let context = AlertContext {
                routing_key: audience.routing_key.as_deref(),
                told: known.severities.get(&alert.id).copied(),
                version: env!("CARGO_PKG_VERSION"),
                now: Timestamp::now(),
            };
            if !audience.format.encode(alert, &context, &mut item) {
                continue;
            }
            lines.push_with(|out| out.extend_from_slice(&item));
            if let Some(template) = &self.tags {
                lines.tag_last(template.tag_of(identity(alert), alert.last_seen));
            }
        }
        lines
    }

    fn audience(&self) -> MutexGuard<'_, Audience> {
        self.audience.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What tells this revision of an alert from the others: a destination that drops what it has seen must not drop updates.
fn identity(alert: &Alert) -> [u8; 16] {
    let digest: [u8; 32] = Sha256::digest(format!("{} {}", alert.id, alert.revision)).into();
    *digest.first_chunk().unwrap_or(&[0; 16])
}
