//! Lines as a person's terminal shows them: fitted to its width and coloured, as `tail` does.

use std::sync::Arc;

use jiff::Timestamp;

use crate::cli::tail::printer::{Form, Look, Printer};
use crate::delivery::work::Work;
use crate::detect::Detector;
use crate::enrich::Event;
use crate::extract::LogEvent;
use crate::format::Lines;
use crate::invocation::Invocation;
use crate::pipeline::{Context, Line, Parcel, Rejected, Settings, Visit};
use crate::record::{Origin, Record};
use crate::reject::{Fault, Skip};

/// A line whose output is what a printer prints.
pub(super) struct Shown {
    line: Line,
    printer: Printer,
    detector: Arc<Detector>,
}

impl Shown {
    /// For the terminal that standard output is; lines in which the detector finds something are marked.
    pub(super) fn for_terminal(detector: Arc<Detector>) -> Self {
        let printer = Printer::new(Form::Text { bodies: false }, Look::of_process(None));
        Self { line: Line::new(Settings::default()), printer, detector }
    }
}

impl Work for Shown {
    fn process(&mut self, record: &Record, parse_time: Timestamp, parcel: &mut Parcel) {
        parcel.outputs.resize_with(1, Lines::default);
        let Parcel { outputs, rejects, tally, .. } = parcel;
        self.printer.resize();
        let Self { line, printer, detector } = self;
        let mut print = Print { printer, detector, lines: &mut outputs[0], rejects };
        line.visit(record, parse_time, &mut print, tally);
    }
}

struct Print<'a> {
    printer: &'a mut Printer,
    detector: &'a Detector,
    lines: &'a mut Lines,
    rejects: &'a mut Vec<Rejected>,
}

impl Visit for Print<'_> {
    fn invocation(&mut self, invocation: &Invocation<'_>, context: &Context<'_>) -> Option<Skip> {
        let mut event = Event::new(invocation);
        event.marks.findings = self.detector.mark(&event, context);
        self.printer.event(&event, context);
        let printed = self.printer.take_lines();
        // A new day's heading and the line under it are one item.
        self.lines.push_with(|out| out.extend_from_slice(printed.strip_suffix(b"\n").unwrap_or(&printed)));
        None
    }

    fn reject(&mut self, fault: Fault, original: &[u8], event: Option<&LogEvent<'_>>, origin: &Origin) {
        self.rejects.push(Rejected::new(fault, original, event, origin));
    }

    fn skip(&mut self, _kind: Skip, _count: u64) {}
}
