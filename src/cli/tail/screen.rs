//! The screen: what several partitions show on one output. It runs each record through the pure line, and prints what
//! the filter takes and what was not shown before.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::filter::Filter;
use super::output::{Chunks, Stream};
use super::printer::Printer;
use super::seen::Seen;
use crate::delivery::{LaneEnd, LaneError, Lanes};
use crate::detect::Detector;
use crate::enrich::Event;
use crate::extract::LogEvent;
use crate::invocation::Invocation;
use crate::pipeline::{Context, Line, Settings, Tally, Visit};
use crate::record::{Origin, Partition, Record};
use crate::reject::{Fault, Skip};
use crate::source::{BoxFuture, Read, Source};

/// Shows the invocations of all partitions. It delivers nothing and commits nothing, so a daemon beside it does not
/// notice.
pub struct Screen {
    /// One record at a time, so that lines of two partitions never mix.
    view: Mutex<View>,
    chunks: Chunks,
    stop: CancellationToken,
}

impl Screen {
    /// A screen that shows up to `count` invocations, if that is given, and then cancels `stop`.
    pub fn new(
        line: Settings,
        filter: Filter,
        printer: Printer,
        count: Option<u64>,
        chunks: Chunks,
        stop: CancellationToken,
    ) -> Self {
        let watch = line.detection.as_ref().map(|detection| Arc::clone(&detection.detector));
        let shown = Shown { filter, printer, watch, only_found: false, seen: Seen::default(), left: count };
        Self { view: Mutex::new(View { line: Line::new(line), shown }), chunks, stop }
    }

    /// The same screen, which shows only invocations in which a rule finds something.
    #[must_use]
    pub fn only_found(mut self) -> Self {
        self.view.get_mut().shown.only_found = true;
        self
    }

    /// Shows what one record holds.
    pub async fn show(&self, record: &Record, now: Timestamp) {
        let mut view = self.view.lock().await;
        let View { line, shown } = &mut *view;
        if shown.left == Some(0) {
            self.stop.cancel();
            return;
        }
        shown.printer.resize();
        line.visit(record, now, shown, &mut Tally::default());
        // The lock is held until the chunks are handed over: they stand in the order in which they were printed.
        self.chunks.put(Stream::Notes, shown.printer.take_notes()).await;
        self.chunks.put(Stream::Lines, shown.printer.take_lines()).await;
        if shown.left == Some(0) {
            self.stop.cancel();
        }
    }

    /// Shows a partition until it ends, or until there is nothing more to show.
    ///
    /// # Errors
    /// The source cannot go on.
    pub async fn follow(&self, mut source: Box<dyn Source>) -> Result<LaneEnd, LaneError> {
        loop {
            let read = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(LaneEnd::Stopped),
                read = source.next() => read?,
            };
            match read {
                Read::Records { records, .. } => {
                    // The reservation lives until the records are shown: what waits for the screen is not read ahead.
                    for record in &records {
                        if self.stop.is_cancelled() {
                            return Ok(LaneEnd::Stopped);
                        }
                        self.show(record, Timestamp::now()).await;
                    }
                }
                Read::End { children } => return Ok(LaneEnd::Ended { children }),
            }
        }
    }
}

impl Lanes for Screen {
    fn run(
        &self,
        _partition: Partition,
        source: Box<dyn Source>,
        _stop: CancellationToken,
    ) -> BoxFuture<'_, Result<LaneEnd, LaneError>> {
        // The token of the screen is the one that all its partitions obey.
        Box::pin(self.follow(source))
    }
}

/// Nobody is told of alerts here, so none is kept for that.
fn forget_alerts(detector: &Detector, now: Timestamp) {
    let mut state = detector.state();
    for alert in state.take_due(now) {
        state.told(&alert.id, alert.revision);
    }
}

struct View {
    line: Line,
    shown: Shown,
}

struct Shown {
    filter: Filter,
    printer: Printer,
    /// What marks invocations.
    watch: Option<Arc<Detector>>,
    /// Whether only those that it marks are shown.
    only_found: bool,
    seen: Seen,
    left: Option<u64>,
}

impl Visit for Shown {
    fn invocation(&mut self, invocation: &Invocation<'_>, context: &Context<'_>) -> Option<Skip> {
        if self.left == Some(0) {
            return Some(Skip::Filtered);
        }
        let mut event = Event::new(invocation);
        // A rule that compares with what was before has to see that, also what is not shown.
        if let Some(watch) = &self.watch {
            event.marks.findings = watch.mark(&event, context);
            if !event.marks.findings.is_empty() {
                forget_alerts(watch, context.parse_time);
            }
        }
        let wanted = !self.only_found || !event.marks.findings.is_empty();
        let shown = wanted && self.filter.takes(invocation) && self.seen.insert(event.row_id());
        if shown {
            self.printer.event(&event, context);
            self.left = self.left.map(|left| left - 1);
        }
        (!shown).then_some(Skip::Filtered)
    }

    fn reject(&mut self, fault: Fault, _original: &[u8], _event: Option<&LogEvent<'_>>, origin: &Origin) {
        self.printer.reject(&fault, origin);
    }

    fn skip(&mut self, _kind: Skip, _count: u64) {}
}
