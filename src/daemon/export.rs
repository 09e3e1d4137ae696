//! Export: metrics are sent at intervals, each to its destination by a task of its own, and a last time when the process
//! ends. Nothing waits for a destination: what it does not take is said in the log, less and less often.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::health::Health;
use crate::lease::worker;
use crate::metrics::{self, emf, otlp};
use crate::sink::SinkError;
use crate::sink::retry::Causes;

/// How long the process waits for the last exports. A stop that takes the whole of the drain deadline and the grace after
/// it still ends before a container is killed.
const LAST: Duration = Duration::from_millis(800);

/// The longest that a destination which asks to be left alone is.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// Where metrics are sent.
#[derive(Clone, Debug)]
pub struct ExportPlan {
    /// How often.
    pub every: Duration,
    /// To what.
    pub to: ExportTo,
}

/// A destination of metrics.
#[derive(Clone, Debug)]
pub enum ExportTo {
    /// An OpenTelemetry collector.
    Otlp(otlp::Settings),
    /// CloudWatch.
    Emf(emf::Settings),
}

/// The tasks that export.
pub(super) struct Exports {
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

enum Exporter {
    Otlp(otlp::Exporter),
    Emf(emf::Exporter),
}

impl Exports {
    /// Opens the destinations and begins to export.
    ///
    /// # Errors
    /// A secret or a certificate that is of no use, or standard output that is closed.
    pub(super) fn start(plans: Vec<ExportPlan>, health: &Arc<Health>) -> anyhow::Result<Self> {
        let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
        for ExportPlan { every, to } in plans {
            let exporter = match to {
                ExportTo::Otlp(settings) => Exporter::Otlp(otlp::Exporter::open(settings).context("[metrics.otlp]")?),
                ExportTo::Emf(settings) => Exporter::Emf(emf::Exporter::open(settings).context("[metrics.emf]")?),
            };
            tasks.spawn(run(exporter, every, Arc::clone(health), stop.clone()));
        }
        Ok(Self { tasks, stop })
    }

    /// Exports a last time. What does not end in time is given up.
    pub(super) async fn finish(mut self) {
        self.stop.cancel();
        // How a task ended does not matter any more.
        let _ = tokio::time::timeout(LAST, async { while self.tasks.join_next().await.is_some() {} }).await;
    }
}

async fn run(mut exporter: Exporter, every: Duration, health: Arc<Health>, stop: CancellationToken) {
    exporter.prepare().await;
    let mut ticks = tokio::time::interval_at(Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failures = Failures { name: exporter.name(), count: 0, paused_until: None };
    loop {
        let is_last = tokio::select! {
            biased;
            () = stop.cancelled() => true,
            _ = ticks.tick() => false,
        };
        if is_last || failures.may_try(Instant::now()) {
            health.refresh();
            let result = exporter.export(&health, Timestamp::now()).await;
            failures.note(result, Instant::now());
        }
        if is_last {
            return;
        }
    }
}

impl Exporter {
    fn name(&self) -> &'static str {
        match self {
            Self::Otlp(_) => "otlp",
            Self::Emf(_) => "emf",
        }
    }

    /// Finds out what has to be asked for.
    async fn prepare(&mut self) {
        if let Self::Otlp(exporter) = self
            && exporter.wants_instance()
        {
            exporter.of_instance(&worker::id().await.to_string());
        }
    }

    async fn export(&mut self, health: &Health, now: Timestamp) -> Result<(), SinkError> {
        let families = metrics::gather();
        match self {
            Self::Otlp(exporter) => exporter.export(&families, health.started(), now).await,
            Self::Emf(exporter) => exporter.export(&families, now).await,
        }
    }
}

/// Exports that failed, one after the other.
struct Failures {
    name: &'static str,
    count: u32,
    /// The destination asked to be left alone until then.
    paused_until: Option<Instant>,
}

impl Failures {
    fn may_try(&self, now: Instant) -> bool {
        self.paused_until.is_none_or(|until| now >= until)
    }

    /// Notes how an export ended; returns whether it was said.
    fn note(&mut self, result: Result<(), SinkError>, now: Instant) -> bool {
        self.paused_until = None;
        let Err(error) = result else {
            let failures = std::mem::take(&mut self.count);
            if failures > 0 {
                info!(to = self.name, failures, "metrics are exported again");
            }
            return failures > 0;
        };
        self.count = self.count.saturating_add(1);
        if let SinkError::Retry { after: Some(after), .. } | SinkError::Partial { after: Some(after), .. } = &error {
            self.paused_until = Some(now + (*after).min(LONGEST_PAUSE));
        }
        // The first, the second, the fourth, the eighth: whoever looks sees it, and the log is not full of it.
        let is_said = self.count.is_power_of_two();
        if is_said {
            let (failures, error) = (self.count, reason(&error));
            warn!(to = self.name, failures, error, "metrics cannot be exported; deliveries go on");
        }
        is_said
    }
}

/// What went wrong, without the words of the destination, which may quote a header.
fn reason(error: &SinkError) -> String {
    match error {
        SinkError::Refused { answer } => format!("refused: {}", answer.split(':').next().unwrap_or_default()),
        SinkError::Partial { refused, .. } if !refused.is_empty() => "all of it is refused".to_owned(),
        SinkError::Retry { source, .. } => Causes(&**source).to_string(),
        other => Causes(other).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failures() -> Failures {
        Failures { name: "test", count: 0, paused_until: None }
    }

    #[tokio::test(start_paused = true)]
    async fn failures_are_said_less_and_less_often() {
        let (mut failures, now) = (failures(), Instant::now());
        let said: Vec<u32> = (1..=100).filter(|_| failures.note(Err(SinkError::retry("down")), now)).collect();
        assert_eq!(said, [1, 2, 4, 8, 16, 32, 64]);
        assert!(failures.note(Ok(()), now) && !failures.note(Ok(()), now));
        assert!(failures.note(Err(SinkError::retry("down")), now), "a new outage is said at once");
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_to_be_left_alone_is_for_a_while() {
        let check = |asked: u64, expected: u64| {
            let (mut failures, now) = (failures(), Instant::now());
            let after = Some(Duration::from_secs(asked));
            failures.note(Err(SinkError::Retry { after, source: "busy".into() }), now);
            let may_after = |seconds| failures.may_try(now + Duration::from_secs(seconds));
            assert!(!may_after(expected - 1) && may_after(expected), "{asked}");
        };
        check(30, 30);
        check(1 << 30, LONGEST_PAUSE.as_secs());
        assert!(failures().may_try(Instant::now()));
    }

    #[test]
    fn the_words_of_a_destination_are_not_said() {
        let check = |error: SinkError, expected: &str| assert_eq!(reason(&error), expected);
        check(SinkError::Refused { answer: "400 Bad Request: token abc".into() }, "refused: 400 Bad Request");
        check(
            SinkError::Refused { answer: "2 of 9 data points are rejected: abc".into() },
            "refused: 2 of 9 data points are rejected",
        );
        check(SinkError::refused_items(vec![(0, "abc".into())]), "all of it is refused");
        check(SinkError::retry("the answer is 503"), "the answer is 503");
    }
}
