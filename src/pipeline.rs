//! The pure line: a record's bytes in, encoded lines and rejects out. Synchronous; it cannot fail.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::decode::{self, Scratch, Walk};
use crate::extract::LogEvent;
use crate::format::{Format, Lines};
use crate::invocation::Invocation;
use crate::record::{Origin, Record};
use crate::reject::{Fault, Reason, Skip};

/// What an encoder knows beside the invocation.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Where the record came from.
    pub origin: &'a Origin,
    /// When the record was parsed: `p_parse_time`.
    pub parse_time: Timestamp,
    /// The `p_source_id` that the user chose.
    pub source_id: Option<&'a str>,
    /// The `p_source_label` that the user chose.
    pub source_label: Option<&'a str>,
    /// Whether unknown fields are written under `unmapped`.
    pub unmapped: bool,
}

/// Limits of decoding; each default stands beside its reason in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a record after inflating.
    pub inflated_bytes: usize,
    /// Log events of one envelope.
    pub events: usize,
    /// Nesting of JSON.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // A record of a stream is 10 MiB at most and ordinary ones inflate threefold; a bomb inflates a thousandfold.
            inflated_bytes: 64 << 20,
            // Ten times what one PutLogEvents call may bring to a log group.
            events: 100_000,
            depth: crate::json::MAX_DEPTH,
        }
    }
}

/// What becomes of a record, told one by one as it is read.
pub trait Visit {
    /// A log event that was read as an invocation. Gives whether it was kept; `false` counts it as filtered.
    fn invocation(&mut self, invocation: &Invocation<'_>, context: &Context<'_>) -> bool;
    /// Something that could not be read: its bytes as they came, and the log event's envelope where there was one.
    fn reject(&mut self, fault: Fault, original: &[u8], event: Option<&LogEvent<'_>>, origin: &Origin);
    /// Log events that are no invocations.
    fn skip(&mut self, kind: Skip, count: u64);
}

/// What was read and what became of it. `log_events` is always the sum of invocations, skips and rejects: a payload,
/// or the rest of one, that could not be taken apart counts as one log event and one reject.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Records, after taking aggregates and batches apart.
    pub payloads: u64,
    /// Subscription envelopes, control messages included.
    pub envelopes: u64,
    /// Envelopes that are control messages.
    pub control: u64,
    /// Log events read.
    pub log_events: u64,
    /// Log events that became invocations.
    pub invocations: u64,
    /// Log events that are no invocations, by kind.
    pub skipped: BTreeMap<Skip, u64>,
    /// What could not be read, by reason.
    pub rejects: BTreeMap<Reason, u64>,
}

impl Tally {
    /// The counts as one JSON object; every kind of skip is in it, and the reasons of rejects that there are.
    pub fn to_json(&self) -> serde_json::Value {
        let skipped = Skip::ALL.map(|kind| (kind.as_str(), self.skipped.get(&kind).copied().unwrap_or_default()));
        let rejects = self.rejects.iter().map(|(reason, count)| (reason.as_str(), *count));
        serde_json::json!({
            "payloads": self.payloads,
            "envelopes": self.envelopes,
            "control": self.control,
            "log_events": self.log_events,
            "invocations": self.invocations,
            "skipped": BTreeMap::from(skipped),
            "rejects": rejects.collect::<BTreeMap<_, _>>(),
        })
    }
}

/// A reject as it is kept.
#[derive(Clone, Debug)]
pub struct Rejected {
    /// Why.
    pub fault: Fault,
    /// Where the record came from.
    pub origin: Origin,
    /// The bytes as they came: the log event's message, or the payload. Never logged.
    pub original: Vec<u8>,
    /// The log group, if known.
    pub log_group: Option<String>,
    /// The log stream, if known.
    pub log_stream: Option<String>,
    /// CloudWatch Logs' id of the event, if known.
    pub event_id: Option<String>,
    /// CloudWatch Logs' timestamp in milliseconds, if known.
    pub timestamp_millis: Option<i64>,
}

impl Rejected {
    /// Keeps what [`Visit::reject`] was told.
    pub fn new(fault: Fault, original: &[u8], event: Option<&LogEvent<'_>>, origin: &Origin) -> Self {
        let text = |field: Option<&str>| field.map(str::to_owned);
        Self {
            fault,
            origin: origin.clone(),
            original: original.to_vec(),
            log_group: text(event.and_then(|event| event.log_group)),
            log_stream: text(event.and_then(|event| event.log_stream)),
            event_id: text(event.and_then(|event| event.id)),
            timestamp_millis: event.and_then(|event| event.timestamp_millis),
        }
    }
}

/// What records became: one run of lines an output, the rejects, and the counts.
#[derive(Debug, Default)]
pub struct Parcel {
    /// One run of lines for each output of the line, in their order.
    pub outputs: Vec<Lines>,
    /// What could not be read.
    pub rejects: Vec<Rejected>,
    /// The counts.
    pub tally: Tally,
}

/// What the line is told once.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Limits of decoding.
    pub limits: Limits,
    /// Globs of log groups to take; empty takes all. Events without a known log group are always taken.
    pub log_groups: globset::GlobSet,
    /// The format of each output.
    pub outputs: Vec<Format>,
    /// `p_source_id`
    pub source_id: Option<String>,
    /// `p_source_label`
    pub source_label: Option<String>,
    /// Whether the panther format writes unknown fields under `unmapped`.
    pub unmapped: bool,
}

impl Default for Settings {
    /// Takes every log group, has no output, and keeps unknown fields.
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            log_groups: globset::GlobSet::empty(),
            outputs: Vec::new(),
            source_id: None,
            source_label: None,
            unmapped: true,
        }
    }
}

/// The pure line with its reused buffers: one a thread.
pub struct Line {
    settings: Settings,
    scratch: Scratch,
}

impl Line {
    /// A line with empty buffers.
    pub fn new(settings: Settings) -> Self {
        Self { settings, scratch: Scratch::default() }
    }

    /// Takes one record through the line and tells `visit` what became of it.
    pub fn visit(&mut self, record: &Record, parse_time: Timestamp, visit: &mut dyn Visit, tally: &mut Tally) {
        let context = Context {
            origin: &record.origin,
            parse_time,
            source_id: self.settings.source_id.as_deref(),
            source_label: self.settings.source_label.as_deref(),
            unmapped: self.settings.unmapped,
        };
        let Settings { limits, log_groups, .. } = &self.settings;
        let mut walk = Walk::new(context, limits, log_groups, visit, tally);
        decode::record(record, &mut walk, &mut self.scratch);
    }

    /// Takes one record through the line; what becomes of it is appended to `parcel`.
    pub fn process(&mut self, record: &Record, parse_time: Timestamp, parcel: &mut Parcel) {
        parcel.outputs.resize_with(self.settings.outputs.len(), Lines::default);
        let formats = std::mem::take(&mut self.settings.outputs);
        let Parcel { outputs, rejects, tally } = parcel;
        let mut packer = Packer { formats: &formats, outputs, rejects };
        self.visit(record, parse_time, &mut packer, tally);
        self.settings.outputs = formats;
    }
}

/// Encodes invocations for each output and keeps rejects with their bytes.
struct Packer<'a> {
    formats: &'a [Format],
    outputs: &'a mut [Lines],
    rejects: &'a mut Vec<Rejected>,
}

impl Visit for Packer<'_> {
    fn invocation(&mut self, invocation: &Invocation<'_>, context: &Context<'_>) -> bool {
        for (format, lines) in self.formats.iter().zip(self.outputs.iter_mut()) {
            lines.push_with(|out| format.encode(invocation, context, out));
        }
        true
    }

    fn reject(&mut self, fault: Fault, original: &[u8], event: Option<&LogEvent<'_>>, origin: &Origin) {
        self.rejects.push(Rejected::new(fault, original, event, origin));
    }

    fn skip(&mut self, _kind: Skip, _count: u64) {}
}
