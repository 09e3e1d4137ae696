//! The pure line: a record's bytes in, encoded lines and rejects out. Synchronous; it cannot fail.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::decode::{self, Scratch, Walk};
use crate::detect::{Detector, Trail};
use crate::enrich::cost::Prices;
use crate::enrich::{Event, Marks};
use crate::extract::LogEvent;
use crate::format::key::Template;
use crate::format::{Format, Lines};
use crate::invocation::Invocation;
use crate::record::{Origin, Record};
use crate::redact::Redactor;
use crate::reject::{Fault, Reason, Skip, Stage};
use crate::select::Selection;

pub mod fetched;
mod noted;
mod rejected;
mod switch;

pub(crate) use noted::{MAX_MODELS, OTHERS};
pub use noted::{Noted, Used};
pub use rejected::Rejected;
pub use switch::Switch;

use fetched::{Fetched, Turn};
use switch::Told;

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
    /// What models cost.
    pub prices: &'a Prices,
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
    /// A log event that was read as an invocation. Gives as what it was left out; none if it was kept.
    fn invocation(&mut self, invocation: &Invocation<'_>, context: &Context<'_>) -> Option<Skip>;
    /// A log event that is no invocation, before it is skipped: it may be a record of another service.
    fn other(&mut self, _event: &LogEvent<'_>, _context: &Context<'_>) {}
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
    /// What could not be read, by the stage that gave up and why.
    pub rejects: BTreeMap<(Stage, Reason), u64>,
    /// What was noted about invocations on their way.
    pub noted: Noted,
}

impl Tally {
    /// The counts as one JSON object; every kind of skip is in it, and the reasons of rejects and the notes that there
    /// are.
    pub fn to_json(&self) -> serde_json::Value {
        let skipped = Skip::ALL.map(|kind| (kind.as_str(), self.skipped.get(&kind).copied().unwrap_or_default()));
        let mut rejects = BTreeMap::<_, u64>::new();
        for ((_, reason), count) in &self.rejects {
            *rejects.entry(reason.as_str()).or_default() += count;
        }
        let mut counts = serde_json::json!({
            "payloads": self.payloads,
            "envelopes": self.envelopes,
            "control": self.control,
            "log_events": self.log_events,
            "invocations": self.invocations,
            "skipped": BTreeMap::from(skipped),
            "rejects": rejects,
        });
        if let Some(counts) = counts.as_object_mut() {
            counts.append(&mut self.noted.members());
        }
        counts
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
    /// Where bodies are fetched: what is known of them, what is wanted, and how far in a record the line is. Where there
    /// is none, events are taken as they come.
    pub fetched: Option<Fetched>,
}

/// What the line is told once.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Limits of decoding.
    pub limits: Limits,
    /// Globs of log groups to take; empty takes all. Events without a known log group are always taken.
    pub log_groups: globset::GlobSet,
    /// Which invocations are kept.
    pub selection: Option<Arc<Selection>>,
    /// What models cost.
    pub prices: Arc<Prices>,
    /// What looks for trouble in what is kept.
    pub detection: Option<Detection>,
    /// What each output gets.
    pub outputs: Vec<Output>,
    /// `p_source_id`
    pub source_id: Option<String>,
    /// `p_source_label`
    pub source_label: Option<String>,
    /// Whether the panther format writes unknown fields under `unmapped`.
    pub unmapped: bool,
    /// Whether what is kept is metered by model: tokens and cost, for which every answer is looked into.
    pub metered: bool,
}

/// Detection in the line.
#[derive(Clone, Debug)]
pub struct Detection {
    /// The rules; all lines share them.
    pub detector: Arc<Detector>,
    /// Whether what they find is marked on the event.
    pub marks: bool,
}

/// What one output gets.
#[derive(Clone, Debug)]
pub struct Output {
    /// In which format.
    pub format: Format,
    /// What is taken out before.
    pub redactor: Option<Arc<Redactor>>,
    /// Which of the invocations that are kept it gets; none gets all.
    pub selection: Option<Arc<Selection>>,
    /// What its sink is told of each event beside its bytes; none is told nothing.
    pub tags: Option<Arc<Template>>,
    /// Whether each item keeps the log event that it was made of: a destination that may refuse items gives them back.
    pub originals: bool,
}

impl From<Format> for Output {
    /// Everything, in this format.
    fn from(format: Format) -> Self {
        Self { format, redactor: None, selection: None, tags: None, originals: false }
    }
}

impl Default for Settings {
    /// Takes every log group, has no output, and keeps unknown fields.
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            log_groups: globset::GlobSet::empty(),
            selection: None,
            prices: Arc::default(),
            detection: None,
            outputs: Vec::new(),
            source_id: None,
            source_label: None,
            unmapped: true,
            metered: false,
        }
    }
}

/// The pure line with its reused buffers: one a thread.
pub struct Line {
    told: Told,
    scratch: Scratch,
}

impl Line {
    /// A line with empty buffers.
    pub fn new(settings: Settings) -> Self {
        Self::following(&Arc::new(Switch::new(settings)))
    }

    /// The same, which follows what it is told.
    pub fn following(switch: &Arc<Switch>) -> Self {
        Self { told: switch.told(), scratch: Scratch::default() }
    }

    /// Takes one record through the line and tells `visit` what became of it.
    pub fn visit(&mut self, record: &Record, parse_time: Timestamp, visit: &mut dyn Visit, tally: &mut Tally) {
        let Settings { limits, log_groups, source_id, source_label, unmapped, prices, .. } = &*self.told.settings;
        let context = Context {
            origin: &record.origin,
            parse_time,
            source_id: source_id.as_deref(),
            source_label: source_label.as_deref(),
            unmapped: *unmapped,
            prices,
        };
        let mut walk = Walk::new(context, limits, log_groups, visit, tally);
        decode::record(record, &mut walk, &mut self.scratch);
    }

    /// Takes one record through the line; what becomes of it is appended to `parcel`. Where bodies are fetched, that may be
    /// a part of it: then nothing is counted or rejected until the last part is done.
    pub fn process(&mut self, record: &Record, parse_time: Timestamp, parcel: &mut Parcel) {
        self.told.renew();
        let settings = Arc::clone(&self.told.settings);
        let Settings { outputs: plans, selection, detection, .. } = &*settings;
        parcel.outputs.resize_with(plans.len(), Lines::default);
        let Parcel { outputs, rejects, tally, fetched } = parcel;
        let before = fetched.as_mut().map(|fetched| {
            fetched.begin();
            (tally.clone(), rejects.len())
        });
        let (selection, detection, noted) = (selection.as_deref(), detection.as_ref(), Noted::default());
        let mut packer = Packer {
            selection,
            detection,
            metered: settings.metered,
            plans,
            outputs,
            rejects,
            noted,
            fetched: fetched.as_mut(),
        };
        self.visit(record, parse_time, &mut packer, tally);
        let noted = packer.noted;
        if let (Some(fetched), Some((counted, rejected))) = (fetched, before)
            && !fetched.finish()
        {
            *tally = counted;
            rejects.truncate(rejected);
        }
        tally.noted.add(&noted);
    }
}

/// Encodes what is kept for each output, and keeps rejects with their bytes.
struct Packer<'a> {
    selection: Option<&'a Selection>,
    detection: Option<&'a Detection>,
    metered: bool,
    plans: &'a [Output],
    outputs: &'a mut [Lines],
    rejects: &'a mut Vec<Rejected>,
    noted: Noted,
    fetched: Option<&'a mut Fetched>,
}

impl Packer<'_> {
    /// Encodes an event, unless the selection leaves it out.
    fn pack(&mut self, invocation: &Invocation<'_>, marks: Marks, context: &Context<'_>) -> Option<Skip> {
        let mut event = Event::new(invocation);
        event.marks = marks;
        if let Some(selection) = self.selection {
            let verdict = selection.verdict(&event, context);
            self.noted.unevaluated += verdict.failures;
            if verdict.skip.is_some() {
                return verdict.skip;
            }
        }
        if let Some(Detection { detector, marks }) = self.detection {
            let found = detector.mark(&event, context);
            if *marks {
                event.marks.findings = found;
            }
        }
        for (plan, lines) in self.plans.iter().zip(self.outputs.iter_mut()) {
            if let Some(selection) = &plan.selection {
                let verdict = selection.verdict(&event, context);
                self.noted.unevaluated += verdict.failures;
                if verdict.skip.is_some() {
                    continue;
                }
            }
            match &plan.redactor {
                None => lines.push_with(|out| plan.format.encode(&event, context, out)),
                Some(redactor) => redactor.redact(&event, |redacted| {
                    lines.push_with(|out| plan.format.encode(redacted, context, out));
                    self.noted.redacted(redacted);
                }),
            }
            if let Some(template) = &plan.tags {
                lines.tag_last(template.tag(&event, context));
            }
            if plan.originals {
                // An item of the raw format is the message, unless something was taken out.
                if plan.format != Format::Raw || plan.redactor.is_some() {
                    lines.keep_original(event.invocation.event.message.as_bytes());
                }
                lines.keep_event(&event.invocation.event);
            }
        }
        if self.metered {
            self.noted.metered(&event, context.prices);
        }
        self.noted.event(&event);
        None
    }
}

impl Visit for Packer<'_> {
    fn invocation(&mut self, invocation: &Invocation<'_>, context: &Context<'_>) -> Option<Skip> {
        let turn = self.fetched.as_mut().map_or(Turn::Plain, |fetched| fetched.turn(invocation));
        let skip = match turn {
            Turn::Done(skip) => return skip,
            Turn::Later => return None,
            Turn::Plain => self.pack(invocation, Marks::default(), context),
            Turn::Moved(moved) => self.pack_moved(invocation, &moved, context),
        };
        if let Some(fetched) = &mut self.fetched {
            fetched.done(skip);
        }
        skip
    }

    fn other(&mut self, event: &LogEvent<'_>, context: &Context<'_>) {
        let Some(Detection { detector, .. }) = self.detection.filter(|detection| detection.detector.looks_at_trails())
        else {
            return;
        };
        if let Some(trail) = Trail::read(event.message) {
            detector.observe_trail(&trail, context.parse_time);
        }
    }

    fn reject(&mut self, fault: Fault, original: &[u8], event: Option<&LogEvent<'_>>, origin: &Origin) {
        self.rejects.push(Rejected::new(fault, original, event, origin));
    }

    fn skip(&mut self, _kind: Skip, _count: u64) {}
}
