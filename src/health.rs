//! Health: what the process says of itself while it runs. It is asked by people, by orchestrators and by whoever scrapes
//! metrics, and answers from what is counted anyway.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::aws::calls;
use crate::budget::Budget;
use crate::delivery::board::LaneState;
use crate::delivery::total::Total;
use crate::detect::Detector;
use crate::metrics;
use crate::sink::batch::Counts;

pub mod client;
pub mod server;

/// Where the process is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Stage {
    /// Sinks and stores are being opened.
    #[default]
    Starting,
    /// Records are read.
    Running,
    /// Nothing more is read; what was read is being delivered.
    Draining,
}

impl Stage {
    /// The name in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Draining => "draining",
        }
    }
}

/// What runs, once it does.
pub struct Parts {
    /// The budget of what is read.
    pub raw: Budget,
    /// The budget of what is encoded.
    pub encoded: Budget,
    /// What looks for trouble, if anything does.
    pub detector: Option<Arc<Detector>>,
    /// The sinks, dead letters included, each with whether reading waits for it.
    pub sinks: Vec<SinkPart>,
}

/// A sink, as it is asked about.
pub struct SinkPart {
    /// Its name.
    pub name: Arc<str>,
    /// What it counts.
    pub counts: Arc<Counts>,
    /// Whether reading waits for it.
    pub is_required: bool,
}

/// The process's answers about itself.
pub struct Health {
    started: Timestamp,
    stage: Mutex<Stage>,
    total: Arc<Total>,
    parts: OnceLock<Parts>,
}

impl Health {
    /// Of a process that starts now.
    pub fn starting(total: Arc<Total>) -> Self {
        let started = Timestamp::now();
        let families = metrics::families();
        #[expect(clippy::cast_precision_loss, reason = "milliseconds are exact for centuries")]
        families.start_time.with_label_values::<&str>(&[]).set(started.as_millisecond() as f64 / 1000.0);
        families.build_info.with_label_values(&[env!("CARGO_PKG_VERSION"), env!("BEDROCK_TAP_COMMIT")]).set(1);
        // An increase is seen only from a value on that was there before.
        for result in ["applied", "refused"] {
            families.reloads.with_label_values(&[result]);
        }
        Self { started, stage: Mutex::default(), total, parts: OnceLock::new() }
    }

    /// Says what runs now; the first time counts.
    pub fn running(&self, parts: Parts) {
        let _ = self.parts.set(parts);
        self.enter(Stage::Running);
    }

    /// Says that nothing more is read.
    pub fn draining(&self) {
        self.enter(Stage::Draining);
    }

    fn enter(&self, stage: Stage) {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = stage;
    }

    /// Where the process is in its life.
    pub fn stage(&self) -> Stage {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the process began.
    pub fn started(&self) -> Timestamp {
        self.started
    }

    /// Why the process is not ready: nothing, if it is.
    pub fn unready(&self) -> Vec<Value> {
        let mut reasons = Vec::new();
        match self.stage() {
            Stage::Starting => reasons.push(json!({ "part": "daemon", "reason": "sinks and stores are being opened" })),
            Stage::Draining => {
                reasons.push(json!({ "part": "daemon", "reason": "told to stop, delivering what was read" }))
            }
            Stage::Running => {}
        }
        let sinks = self.parts.get().into_iter().flat_map(|parts| &parts.sinks);
        for sink in sinks.filter(|sink| sink.is_required && !sink.counts.is_up()) {
            let mut reason =
                json!({ "part": format!("sink {}", sink.name), "reason": "the destination counts as down" });
            if let Some((at, error)) = sink.counts.last_error() {
                reason["last_error"] = json!({ "at": at.to_string(), "error": error });
            }
            reasons.push(reason);
        }
        reasons
    }

    /// The metrics, brought up to now, in the form that is asked for.
    pub fn metrics(&self, form: metrics::text::Form) -> String {
        self.refresh();
        form.write(&metrics::gather())
    }

    /// Brings the gauges up to now that nobody moves by himself.
    pub fn refresh(&self) {
        let Some(parts) = self.parts.get() else { return };
        let families = metrics::families();
        for (stage, budget) in [("read", &parts.raw), ("encoded", &parts.encoded)] {
            families.budget.with_label_values(&[stage]).set(metrics::signed(budget.total_bytes()));
            families.in_flight.with_label_values(&[stage]).set(metrics::signed(budget.in_flight_bytes()));
        }
        if let Some(detector) = &parts.detector {
            metrics::note_detection(detector);
        }
    }

    /// Everything on one page.
    pub fn status(&self) -> Value {
        let reasons = self.unready();
        let parts = self.parts.get();
        let memory = |budget: &Budget| json!({ "in_flight_bytes": budget.in_flight_bytes(), "budget_bytes": budget.total_bytes() });
        let errors = calls::failures().into_iter().map(|failure| {
            json!({
                "service": failure.service, "operation": failure.operation, "result": failure.result,
                "code": failure.code, "last_at": failure.at.to_string(), "count": failure.count,
            })
        });
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "commit": env!("BEDROCK_TAP_COMMIT"),
            "stage": self.stage().as_str(),
            "started": self.started.to_string(),
            "ready": reasons.is_empty(),
            "not_ready": reasons,
            "records": { "read": self.total.records_read(), "delivered": self.total.records_delivered() },
            "counts": self.total.tally().to_json(),
            "memory": parts.map(|parts| json!({ "read": memory(&parts.raw), "encoded": memory(&parts.encoded) })),
            "partitions": self.total.board().lanes().iter().map(lane).collect::<Vec<_>>(),
            "sinks": parts.into_iter().flat_map(|parts| &parts.sinks).map(sink).collect::<Vec<_>>(),
            "detection": parts.and_then(|parts| parts.detector.as_deref()).map(detection),
            "aws_errors": errors.collect::<Vec<_>>(),
        })
    }
}

fn lane(lane: &LaneState) -> Value {
    let text = |time: Option<Timestamp>| time.map(|time| time.to_string());
    json!({
        "stream": &*lane.stream,
        "shard": lane.shard,
        "since": lane.since.to_string(),
        "records": lane.records,
        "lag_seconds": lane.lag.map(|lag| lag.as_secs_f64()),
        "last_read": text(lane.read_at),
        "read": lane.read.as_ref().map(ToString::to_string),
        "committed": lane.committed.as_ref().map(ToString::to_string),
        "committed_time": text(lane.committed_time),
    })
}

fn sink(sink: &SinkPart) -> Value {
    let counts = &sink.counts;
    json!({
        "name": &*sink.name,
        "required": sink.is_required,
        "up": counts.is_up(),
        "pending_items": counts.pending_items(),
        "pending_bytes": counts.pending_bytes(),
        "refused": counts.items_refused(),
        "dropped": counts.items_dropped(),
        "last_error": counts.last_error().map(|(at, error)| json!({ "at": at.to_string(), "error": error })),
    })
}

fn detection(detector: &Detector) -> Value {
    let counts = detector.state().counts();
    json!({
        "keys": counts.keys,
        "bytes": counts.bytes,
        "findings": counts.findings,
        "alerts": counts.alerts,
        "evicted": counts.evicted,
        "unevaluated": detector.unevaluated(),
    })
}
