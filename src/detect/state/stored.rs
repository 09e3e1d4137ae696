//! The stored form: one value for a key or an alert on its way out, as protobuf behind a version and a checksum.

use std::collections::HashMap;
use std::sync::Arc;

use prost::Message;
use sha2::{Digest as _, Sha256};

use super::entry::{Body, Counted, Entry, MAX_SAMPLES};
use super::history::{self, Past, Value};
use super::key::{EventId, Form, Key, alert_id, hex};
use super::open::{MAX_OPEN, Open};
use super::outbox::Outgoing;
use super::samples::{FARTHEST, Samples, number_of, severity_of};
use super::time;
use crate::detect::alert::Alert;
use crate::detect::rule::Rule;

/// Changes with the meaning of what follows.
const VERSION: u8 = 1;

/// Bytes before the message: the version, and the first of the message's SHA-256.
const HEAD: usize = 5;

#[derive(Clone, PartialEq, Message)]
struct StoredEntry {
    #[prost(string, tag = "1")]
    rule: String,
    #[prost(fixed64, tag = "2")]
    fingerprint: u64,
    #[prost(int64, tag = "3")]
    clock: i64,
    #[prost(int64, tag = "4")]
    touched: i64,
    #[prost(bool, tag = "5")]
    is_past: bool,
    #[prost(uint32, tag = "6")]
    measures: u32,
    #[prost(fixed64, repeated, tag = "7")]
    samples: Vec<u64>,
    #[prost(message, repeated, tag = "8")]
    texts: Vec<StoredText>,
    #[prost(message, repeated, tag = "9")]
    open: Vec<StoredOpen>,
    #[prost(message, repeated, tag = "10")]
    values: Vec<StoredValue>,
}

#[derive(Clone, PartialEq, Message)]
struct StoredText {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
    #[prost(string, tag = "2")]
    text: String,
}

#[derive(Clone, PartialEq, Message)]
struct StoredOpen {
    #[prost(int64, tag = "1")]
    opened: i64,
    #[prost(int64, tag = "2")]
    after: i64,
    #[prost(int64, tag = "3")]
    until: i64,
    #[prost(int64, tag = "4")]
    first_seen: i64,
    #[prost(int64, tag = "5")]
    last_seen: i64,
    #[prost(uint64, tag = "6")]
    count: u64,
    #[prost(uint64, tag = "7")]
    revision: u64,
    #[prost(int64, tag = "8")]
    given: i64,
    #[prost(uint32, tag = "9")]
    severity: u32,
    #[prost(string, tag = "10")]
    title: String,
    #[prost(string, tag = "11")]
    ids: String,
}

#[derive(Clone, PartialEq, Message)]
struct StoredValue {
    #[prost(fixed64, tag = "1")]
    word: u64,
    #[prost(int64, tag = "2")]
    last_seen: i64,
    #[prost(fixed64, tag = "3")]
    by: u64,
    #[prost(bool, tag = "4")]
    was_found: bool,
}

#[derive(Clone, PartialEq, Message)]
struct StoredAlert {
    #[prost(string, tag = "1")]
    rule: String,
    #[prost(bytes = "vec", tag = "2")]
    key: Vec<u8>,
    /// What an open alert of the key would remember.
    #[prost(message, optional, tag = "3")]
    open: Option<StoredOpen>,
    #[prost(string, tag = "4")]
    dedup: String,
    #[prost(message, repeated, tag = "5")]
    group: Vec<StoredPair>,
    #[prost(message, repeated, tag = "6")]
    context: Vec<StoredPair>,
    #[prost(int64, optional, tag = "7")]
    due: Option<i64>,
    #[prost(bool, tag = "8")]
    was_told: bool,
    #[prost(uint64, tag = "9")]
    merged: u64,
    #[prost(uint64, tag = "10")]
    merged_events: u64,
    #[prost(uint64, tag = "11")]
    serial: u64,
}

#[derive(Clone, PartialEq, Message)]
struct StoredPair {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

fn sealed(message: &impl Message) -> Vec<u8> {
    let mut value = Vec::with_capacity(HEAD + message.encoded_len());
    value.extend([VERSION, 0, 0, 0, 0]);
    value.extend(message.encode_to_vec());
    let check = checksum(&value[HEAD..]);
    value[1..HEAD].copy_from_slice(&check);
    value
}

fn opened<M: Message + Default>(value: &[u8]) -> Option<M> {
    let (head, message) = value.split_first_chunk::<HEAD>()?;
    if head[0] != VERSION || head[1..] != checksum(message) {
        return None;
    }
    M::decode(message).ok()
}

fn checksum(message: &[u8]) -> [u8; 4] {
    Sha256::digest(message).first_chunk().copied().unwrap_or_default()
}

/// An entry's stored form.
pub(super) fn entry(entry: &Entry) -> Vec<u8> {
    let mut stored = StoredEntry {
        rule: entry.rule.id.clone(),
        fingerprint: entry.rule.fingerprint,
        clock: entry.clock,
        touched: entry.touched,
        ..StoredEntry::default()
    };
    let samples = match &entry.body {
        Body::Counted(Counted { samples, open }) => {
            stored.open = open.iter().map(stored_open).collect();
            samples
        }
        Body::Past(past) => {
            stored.is_past = true;
            let value =
                |&Value { word, last_seen, by, was_found }: &Value| StoredValue { word, last_seen, by, was_found };
            stored.values = past.values.iter().map(value).collect();
            &past.samples
        }
    };
    stored.measures = u32::try_from(measures(&entry.rule, stored.is_past).unwrap_or_default()).unwrap_or_default();
    stored.samples = samples.words().to_vec();
    let text = |(id, text): &(EventId, Box<str>)| StoredText { id: id.bytes.to_vec(), text: text.to_string() };
    stored.texts = samples.texts().iter().map(text).collect();
    sealed(&stored)
}

/// Measures of a sample.
fn measures(rule: &Rule, is_past: bool) -> Option<usize> {
    let counting = &rule.counting;
    if is_past { counting.history.map(|history| history.measures()) } else { Some(counting.aggregates.len()) }
}

/// The entry of a stored form: none if it is damaged, or its rule is gone or counts otherwise now.
pub(super) fn restored_entry(value: &[u8], rules: &HashMap<&str, &Arc<Rule>>) -> Option<Entry> {
    let stored: StoredEntry = opened(value)?;
    let rule = *rules.get(stored.rule.as_str())?;
    let measures = measures(rule, stored.is_past)?;
    if rule.fingerprint != stored.fingerprint || stored.measures as usize != measures {
        return None;
    }
    let text = |StoredText { id, text }: StoredText| {
        Some((EventId { bytes: id.try_into().ok()?, form: Form::Text }, text.into_boxed_str()))
    };
    let texts = stored.texts.into_iter().map(text).collect::<Option<_>>()?;
    let samples = Samples::restored(stored.samples, texts, measures)?;
    if samples.len(measures) > MAX_SAMPLES || stored.open.len() > MAX_OPEN || stored.values.len() > history::MAX_VALUES
    {
        return None;
    }
    let body = if stored.is_past {
        let value = |StoredValue { word, last_seen, by, was_found }| Value { word, last_seen, by, was_found };
        Body::Past(Box::new(Past { samples, values: stored.values.into_iter().map(value).collect() }))
    } else {
        let open = stored.open.into_iter().map(restored_open).collect::<Option<_>>()?;
        Body::Counted(Counted { samples, open })
    };
    Some(Entry { rule: Arc::clone(rule), clock: stored.clock, touched: stored.touched, body })
}

fn stored_open(open: &Open) -> StoredOpen {
    StoredOpen {
        opened: open.opened,
        after: open.after,
        until: open.until,
        first_seen: open.first_seen,
        last_seen: open.last_seen,
        count: open.count,
        revision: open.revision,
        given: open.given,
        severity: number_of(open.severity),
        title: open.title.to_string(),
        ids: open.ids.to_string(),
    }
}

fn restored_open(stored: StoredOpen) -> Option<Open> {
    let is_time = |time: &i64| (-FARTHEST..=FARTHEST).contains(time);
    [stored.first_seen, stored.last_seen, stored.opened].iter().all(is_time).then(|| Open {
        opened: stored.opened,
        after: stored.after,
        until: stored.until,
        first_seen: stored.first_seen,
        last_seen: stored.last_seen,
        count: stored.count,
        revision: stored.revision,
        given: stored.given,
        severity: severity_of(stored.severity),
        title: stored.title.into(),
        ids: stored.ids.into(),
    })
}

/// The stored form of an alert on its way out.
pub(super) fn outgoing(outgoing: &Outgoing) -> Vec<u8> {
    let alert = &outgoing.alert;
    let pair = |(name, value): &(String, String)| StoredPair { name: name.clone(), value: value.clone() };
    sealed(&StoredAlert {
        rule: alert.rule.id.clone(),
        key: outgoing.key.to_vec(),
        open: Some(StoredOpen {
            opened: outgoing.opened,
            after: 0,
            until: outgoing.until,
            first_seen: alert.first_seen.as_microsecond(),
            last_seen: alert.last_seen.as_microsecond(),
            count: alert.count,
            revision: alert.revision,
            given: outgoing.given,
            severity: number_of(alert.severity),
            title: alert.title.clone(),
            ids: alert.event_ids.join("\n"),
        }),
        dedup: alert.dedup.clone(),
        group: alert.group.iter().map(pair).collect(),
        context: alert.context.iter().map(pair).collect(),
        due: outgoing.due,
        was_told: outgoing.was_told,
        merged: outgoing.merged.0,
        merged_events: outgoing.merged.1,
        serial: outgoing.serial,
    })
}

/// The alert of a stored form: none if it is damaged or its rule is gone. A rule that counts otherwise now tells it all
/// the same: nobody else would.
pub(super) fn restored_outgoing(value: &[u8], rules: &HashMap<&str, &Arc<Rule>>) -> Option<([u8; 16], Outgoing)> {
    let stored: StoredAlert = opened(value)?;
    let rule = *rules.get(stored.rule.as_str())?;
    let key: Key = stored.key.try_into().ok()?;
    let open = restored_open(stored.open?)?;
    let id = alert_id(&key, open.opened);
    let pairs = |pairs: Vec<StoredPair>| pairs.into_iter().map(|pair| (pair.name, pair.value)).collect();
    let alert = Alert {
        id: hex(&id),
        rule: Arc::clone(rule),
        severity: open.severity,
        title: open.title.into(),
        dedup: stored.dedup,
        group: pairs(stored.group),
        context: pairs(stored.context),
        first_seen: time(open.first_seen),
        last_seen: time(open.last_seen),
        count: open.count,
        event_ids: open.ids.split('\n').map(str::to_owned).collect(),
        revision: open.revision,
    };
    let outgoing = Outgoing {
        alert,
        key,
        opened: open.opened,
        until: open.until,
        given: open.given,
        // What nobody was told of, and what was under way, does not wait.
        due: stored.due.filter(|_| stored.was_told).or(Some(i64::MIN)),
        was_told: stored.was_told,
        merged: (stored.merged, stored.merged_events),
        serial: stored.serial,
        is_stored: true,
    };
    Some((id, outgoing))
}

/// The 16 bytes behind the letter of a stored key.
pub(super) fn split(key: &[u8]) -> Option<[u8; 16]> {
    key.get(1..)?.try_into().ok()
}
