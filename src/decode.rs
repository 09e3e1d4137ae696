//! Decoding: from a record's bytes to its documents, whatever it was wrapped in on the way.
//!
//! The framing is told by content, never by a name or a setting: gzip and zstd (any number of members or frames), base64, JSON documents
//! one after the other or on lines, an `aws kinesis get-records` answer, Lambda events, Firehose bodies, KPL aggregates,
//! dead letters of this program. What cannot be taken apart becomes a reject; its neighbours go on.

use crate::extract::{self, LogEvent};
use crate::invocation::Invocation;
use crate::json::{Cursor, Text};
use crate::parse::{self, Parsed};
use crate::pipeline::{Context, Limits, Tally, Visit};
use crate::record::{HashKeys, Part, Record};
use crate::reject::{Fault, Reason, Skip, Stage};

mod documents;
mod frame;
mod inflate;
mod kpl;
mod letter;
mod text;

#[cfg(test)]
mod tests;

pub(crate) use documents::is_notice;
pub(crate) use frame::{FRAME, Frame, is_zstd};
pub use inflate::Inflater;
pub(crate) use inflate::is_gzip;

/// Wrappers in wrappers that are taken off. The deepest seen in practice is four: a Firehose body, compressed, of
/// base64 of gzip; twice that leaves room, and ends a record that wraps itself on and on.
const MAX_WRAPPERS: usize = 8;

/// What all parts of a record may inflate to together, beside the limit of one part, for each of its bytes. Text that is
/// JSON within JSON inflates fivefold and seldom twentyfold; a bomb a thousandfold, and bombs in a bomb without an end.
const INFLATED_BYTES_A_BYTE: usize = 64;

/// A reused buffer that has grown past this is given back after the record: one giant must not hold its memory for
/// good. Ordinary records inflate to well under a tenth of it.
const KEPT_BUFFER_BYTES: usize = 8 << 20;

/// The buffers that are reused from record to record.
#[derive(Default)]
pub struct Scratch {
    inflater: Inflater,
    spare: Vec<Vec<u8>>,
    /// The message being read, its escapes resolved.
    pub(crate) message: Text,
}

impl Scratch {
    fn take(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_default()
    }

    fn give_back(&mut self, buffer: Vec<u8>) {
        if buffer.capacity() <= KEPT_BUFFER_BYTES && self.spare.len() < MAX_WRAPPERS {
            self.spare.push(buffer);
        }
    }
}

/// One record's way through the line: what it may cost, where it came from, and who is told what became of it.
pub struct Walk<'a> {
    /// What the encoders need to know.
    context: Context<'a>,
    /// Limits of decoding.
    limits: &'a Limits,
    /// Log groups to take; empty takes all.
    log_groups: &'a globset::GlobSet,
    /// Told what became of each log event.
    visit: &'a mut dyn Visit,
    /// The counts.
    tally: &'a mut Tally,
    /// The bytes that the record may still inflate to, all its parts together.
    inflatable_bytes: usize,
    /// The dead letters that are open.
    letters: usize,
}

impl<'a> Walk<'a> {
    /// A way through the line for one record.
    pub fn new(
        context: Context<'a>,
        limits: &'a Limits,
        log_groups: &'a globset::GlobSet,
        visit: &'a mut dyn Visit,
        tally: &'a mut Tally,
    ) -> Self {
        Self { context, limits, log_groups, visit, tally, inflatable_bytes: 0, letters: 0 }
    }

    pub(crate) fn limits(&self) -> &Limits {
        self.limits
    }

    /// Whether the log group is one that the configuration chooses.
    pub(crate) fn takes(&self, log_group: &str) -> bool {
        self.log_groups.is_empty() || self.log_groups.is_match(log_group)
    }

    /// Counts an envelope.
    pub(crate) fn envelope(&mut self, control: bool) {
        self.tally.envelopes += 1;
        self.tally.control += u64::from(control);
    }

    /// Counts log events that are no invocations.
    pub(crate) fn skip(&mut self, kind: Skip, count: u64) {
        self.tally.log_events += count;
        *self.tally.skipped.entry(kind).or_default() += count;
        self.visit.skip(kind, count);
    }

    /// Hands on what could not be read.
    pub(crate) fn reject(&mut self, fault: Fault, original: &[u8], event: Option<&LogEvent<'_>>) {
        self.tally.log_events += 1;
        *self.tally.rejects.entry((fault.stage, fault.reason)).or_default() += 1;
        self.visit.reject(fault, original, event, self.context.origin);
    }

    /// Reads one message as an invocation and hands on what it is.
    pub(crate) fn message(&mut self, message: &[u8], event: LogEvent<'_>) {
        let Ok(text) = simdutf8::basic::from_utf8(message) else {
            let fault = Fault::new(Stage::Parse, Reason::InvalidUtf8, "the message is not UTF-8");
            return self.reject(fault, message, Some(&event));
        };
        let event = LogEvent { message: text, ..event };
        match parse::message(event, self.limits.depth) {
            Parsed::Invocation(invocation) => self.invocation(&invocation),
            Parsed::Skip(kind) => {
                if kind == Skip::NotInvocation {
                    self.visit.other(&event, &self.context);
                }
                self.skip(kind, 1);
            }
            Parsed::Fault(fault) => self.reject(fault, message, Some(&event)),
        }
    }

    /// Reads a message without an event and hands on the invocation that it is. Gives `false`, having done nothing, if it
    /// is none.
    fn invocation_alone(&mut self, message: &[u8]) -> bool {
        let Ok(message) = simdutf8::basic::from_utf8(message) else { return false };
        let event = LogEvent { message, ..LogEvent::default() };
        let Parsed::Invocation(invocation) = parse::message(event, self.limits.depth) else { return false };
        self.invocation(&invocation);
        true
    }

    fn invocation(&mut self, invocation: &Invocation<'_>) {
        self.tally.log_events += 1;
        match self.visit.invocation(invocation, &self.context) {
            None => self.tally.invocations += 1,
            Some(kind) => *self.tally.skipped.entry(kind).or_default() += 1,
        }
    }
}

/// Takes a record apart and hands on everything in it.
pub fn record(record: &Record, walk: &mut Walk<'_>, scratch: &mut Scratch) {
    walk.inflatable_bytes = walk.limits.inflated_bytes.saturating_add(record.data.len() * INFLATED_BYTES_A_BYTE);
    if kpl::is_aggregate(&record.data) {
        // Positions and hash keys speak of the user records of the stream's own record, not of aggregates further in.
        aggregate(&record.data, &record.data, record.part, walk, scratch, 0);
    } else {
        payload(&record.data, walk, scratch, 0);
    }
    if scratch.message.capacity() > KEPT_BUFFER_BYTES {
        scratch.message = Text::default();
    }
}

/// Takes apart what one record of a stream, a batch or an aggregate holds.
fn payload(data: &[u8], walk: &mut Walk<'_>, scratch: &mut Scratch, level: usize) {
    content(data, data, walk, scratch, level);
}

/// Takes apart `bytes`, which came as `original`.
fn content(bytes: &[u8], original: &[u8], walk: &mut Walk<'_>, scratch: &mut Scratch, level: usize) {
    if level > MAX_WRAPPERS {
        let detail = format!("more than {MAX_WRAPPERS} wrappers in one another");
        return leaf_fault(Fault::new(Stage::Decode, Reason::TooDeep, detail), original, walk);
    }
    if inflate::is_compressed(bytes) {
        return compressed(bytes, original, walk, scratch, level);
    }
    if kpl::is_aggregate(bytes) {
        return aggregate(bytes, original, Part::default(), walk, scratch, level);
    }
    let trimmed = text::trim(bytes);
    match trimmed.first() {
        None => {
            walk.tally.payloads += 1;
            walk.skip(Skip::Empty, 1);
        }
        Some(b'{' | b'[' | b'"') => documents::all(trimmed, &[], original, walk, scratch, level),
        Some(_) => text::content(trimmed, original, walk, scratch, level),
    }
}

/// Inflates and takes apart what the members hold.
fn compressed(bytes: &[u8], original: &[u8], walk: &mut Walk<'_>, scratch: &mut Scratch, level: usize) {
    let mut buffer = scratch.take();
    let limit = walk.limits.inflated_bytes.min(walk.inflatable_bytes);
    let inflated = scratch.inflater.inflate(bytes, limit, &mut buffer);
    walk.inflatable_bytes = walk.inflatable_bytes.saturating_sub(inflated.made);
    match inflated.fault {
        Some(fault) if inflated.length == 0 => leaf_fault(fault, original, walk),
        // The whole members around a damaged one are not held back.
        fault => {
            members(&buffer[..inflated.length], &inflated.seams, original, walk, scratch, level + 1);
            if let Some(fault) = fault {
                walk.reject(fault, original, None);
            }
        }
    }
    scratch.give_back(buffer);
}

/// Takes apart the text of the members: where there are several, documents may go on from one to the next.
fn members(text: &[u8], seams: &[usize], original: &[u8], walk: &mut Walk<'_>, scratch: &mut Scratch, level: usize) {
    if !seams.is_empty() && matches!(text.first(), Some(b'{' | b'[')) {
        documents::all(text, seams, original, walk, scratch, level);
    } else {
        content(text, original, walk, scratch, level);
    }
}

/// Takes apart the user records of an aggregate that are in `part`. Those before its first were delivered, and counted,
/// before; those of another shard are counted here, one by one, and read there.
fn aggregate(bytes: &[u8], original: &[u8], part: Part, walk: &mut Walk<'_>, scratch: &mut Scratch, level: usize) {
    let mut index = 0;
    let outcome = kpl::records(bytes, part.hash_keys, |record| {
        let is_delivered = index < part.first;
        index += 1;
        if is_delivered {
            return;
        }
        if record.is_ours {
            payload(record.data, walk, scratch, level + 1);
        } else {
            walk.tally.payloads += 1;
            walk.skip(Skip::OtherShard, 1);
        }
    });
    if let Err(detail) = outcome {
        leaf_fault(Fault::new(Stage::Decode, Reason::Corrupt, detail), original, walk);
    }
}

/// Rejects a payload that nothing could be taken out of.
fn leaf_fault(fault: Fault, original: &[u8], walk: &mut Walk<'_>) {
    walk.tally.payloads += 1;
    walk.reject(fault, original, None);
}

/// Decodes base64 in `text` and takes apart what it holds. Gives `false`, having done nothing, if it is none.
fn base64_content(text: &[u8], walk: &mut Walk<'_>, scratch: &mut Scratch, level: usize) -> bool {
    let mut decoded = scratch.take();
    let valid = text::decode_base64(text, &mut decoded);
    if valid {
        content(&decoded, &decoded, walk, scratch, level + 1);
    }
    scratch.give_back(decoded);
    valid
}

/// How many user records of the hash keys (of all, without) are in `bytes`, if they are a whole aggregate of the Kinesis
/// Producer Library: magic number, length, MD5 and message.
pub(crate) fn user_records(bytes: &[u8], hash_keys: Option<HashKeys>) -> Option<u64> {
    let mut count = 0;
    let is_whole =
        kpl::is_aggregate(bytes) && kpl::records(bytes, hash_keys, |record| count += u64::from(record.is_ours)).is_ok();
    is_whole.then_some(count)
}

/// Whether `bytes` begin like something that can be taken apart.
fn is_known_framing(bytes: &[u8]) -> bool {
    inflate::is_compressed(bytes) || kpl::is_aggregate(bytes) || matches!(text::trim(bytes).first(), Some(b'{' | b'['))
}

/// Whether the object at the cursor begins with a key that only a subscription envelope has.
fn is_envelope(mut cursor: Cursor<'_>) -> bool {
    cursor.eat(b'{') && {
        cursor.peek();
        cursor.string().is_ok_and(|key| extract::begins_envelope(cursor.span(key)))
    }
}
