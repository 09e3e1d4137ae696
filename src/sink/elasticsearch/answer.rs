//! Answers of bulk requests: what became of each item. An item is taken only if the answer says so of this very item.

use std::fmt;

use reqwest::StatusCode;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};

use super::MAX_BATCH_ITEMS;
use crate::sink::client::Answer;
use crate::sink::{Batch, SinkError};

/// The characters of a reason that go to the dead letter.
const MAX_REASON: usize = 500;

/// The answer to a bulk request.
#[derive(Deserialize)]
struct Bulk {
    items: Entries,
}

/// The answer's entries, one for each item; more than an answer can have are not read.
struct Entries(Vec<Entry>);

#[derive(Deserialize)]
struct Entry {
    create: Created,
}

#[derive(Deserialize)]
struct Created {
    #[serde(rename = "_id")]
    id: Option<String>,
    status: u16,
    failure_store: Option<String>,
    error: Option<Fault>,
}

#[derive(Deserialize)]
struct Fault {
    #[serde(rename = "type")]
    kind: Option<String>,
    reason: Option<String>,
}

/// An answer that is about the request as a whole.
#[derive(Deserialize)]
struct Whole {
    error: Fault,
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the entries of a bulk request's answer")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = seq.next_element()? {
                    if entries.len() == MAX_BATCH_ITEMS {
                        return Err(A::Error::custom("more entries than any request has items"));
                    }
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_seq(Reader)
    }
}

/// Why the cluster does not take items that it may take later, and what a person can do about it. It quotes nothing of
/// the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Why {
    #[error("the cluster is busy")]
    Busy,
    #[error("the cluster fails, with status {0}")]
    Fails(u16),
    #[error("the cluster does not accept the credentials; a secret in a file is read again")]
    NotAccepted,
    #[error(
        "the credentials may not write there: they need the index privileges `create_doc` and `auto_configure`, or a \
         policy of the domain or collection that lets them write"
    )]
    Denied,
    #[error(
        "there is no such index or path: make it, let the cluster make it (`action.auto_create_index`), or mend the URL"
    )]
    Missing,
    #[error("the index is closed or blocked: its disk may be full, or a person has blocked it")]
    Blocked,
    #[error("the ingest pipeline does not exist: make it, or mend `pipeline`")]
    NoPipeline,
    #[error("the collection does not take ids of documents: set `ids = false`")]
    NoIds,
    #[error("the cluster takes no index of this name: mend `index`")]
    BadName,
    #[error("the cluster makes no further index: it has as many shards as it may have")]
    NoMoreShards,
    #[error("the cluster does not let requests name an index: `rest.action.multi.allow_explicit_index` is off")]
    NoExplicitIndex,
    #[error("the answer does not say what became of them")]
    NotSaid,
}

/// Items that are to be delivered again.
#[derive(Debug, thiserror::Error)]
#[error("{items} items for the index {index}: {why}")]
pub(super) struct Held {
    items: usize,
    index: String,
    why: Why,
}

impl Held {
    /// Whether other credentials may change it.
    pub(super) fn is_about_access(&self) -> bool {
        matches!(self.why, Why::NotAccepted | Why::Denied)
    }
}

/// What is to be done with an item that is not taken.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Taken,
    Again(Why),
    /// Never to be taken, with the reason.
    Refused(String),
}

/// What of a batch is not durable.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// All of it.
    All { items: usize, why: Why, after: Option<std::time::Duration> },
    /// The cluster refuses the request as it is.
    Refused { answer: String },
    /// Some items.
    Some { retry: Vec<usize>, refused: Vec<(usize, String)>, why: Option<Why>, after: Option<std::time::Duration> },
}

impl Rest {
    /// As the error of a sink that writes to this index.
    pub(super) fn into_error(self, index: &str) -> SinkError {
        let held = |items, why| Box::new(Held { items, index: index.to_owned(), why });
        match self {
            Self::All { items, why, after } => SinkError::Retry { after, source: held(items, why) },
            Self::Refused { answer } => SinkError::Refused { answer },
            Self::Some { refused, why: None, .. } => SinkError::refused_items(refused),
            Self::Some { retry, refused, why: Some(why), after } => {
                let source = held(retry.len(), why);
                SinkError::Partial { retry, refused, after, source }
            }
        }
    }
}

/// Reads the answer to the request with these items.
pub(super) fn read(answer: &Answer, batch: &Batch, ids: bool) -> Result<(), Rest> {
    let (items, after) = (batch.total_items(), answer.retry_after());
    let all = |why| Err(Rest::All { items, why, after });
    if answer.status != StatusCode::OK {
        return match whole(answer) {
            Verdict::Refused(answer) => Err(Rest::Refused { answer }),
            Verdict::Again(why) => all(why),
            Verdict::Taken => all(Why::NotSaid),
        };
    }
    let Ok(Bulk { items: Entries(entries) }) = serde_json::from_slice(&answer.body) else { return all(Why::NotSaid) };
    // With one entry more or less, nobody knows which are whose.
    if entries.len() != items {
        return all(Why::NotSaid);
    }
    let (mut retry, mut refused, mut reason) = (Vec::new(), Vec::new(), None);
    for (index, (entry, item)) in entries.into_iter().zip(batch.items()).enumerate() {
        let Created { id, status, failure_store, error } = entry.create;
        let is_anothers = ids && item.tag.is_some_and(|tag| id != Some(tag.id_text()));
        let verdict = match (is_anothers, failure_store.as_deref(), error) {
            (true, ..) => Verdict::Again(Why::NotSaid),
            // The cluster keeps it, but where nobody looks for events. It would fail again.
            (_, Some("used"), None) => Verdict::Refused(format!("{status}: the data stream's failure store has it")),
            (_, _, None) if (200..300).contains(&status) => Verdict::Taken,
            (_, _, error) => verdict(status, error.as_ref()),
        };
        match verdict {
            Verdict::Taken => {}
            Verdict::Refused(answer) => refused.push((index, answer)),
            Verdict::Again(why) => {
                retry.push(index);
                // That the cluster is busy passes by itself: what does not is what a person should read.
                if reason.is_none_or(|reason| reason == Why::Busy) {
                    reason = Some(why);
                }
            }
        }
    }
    match reason {
        None if refused.is_empty() => Ok(()),
        Some(why) if retry.len() == items => all(why),
        why => Err(Rest::Some { retry, refused, why, after }),
    }
}

/// What an answer says that is about the request as a whole.
fn whole(answer: &Answer) -> Verdict {
    let status = answer.status.as_u16();
    // Also what stands before a cluster may find a request too large.
    if status == 413 {
        return Verdict::Refused(answer.quoted());
    }
    match serde_json::from_slice::<Whole>(&answer.body) {
        Ok(Whole { error }) => verdict(status, Some(&error)),
        // A cluster says what is wrong with a request. Something else has answered, which knows nothing of the items.
        Err(_) => match verdict(status, None) {
            Verdict::Refused(_) => Verdict::Again(Why::Fails(status)),
            verdict => verdict,
        },
    }
}

/// What a status and an error mean, for an item or a request. Only what is wrong with the item itself refuses it: what a
/// person can mend at the cluster is waited for. Types and reasons are those of Elasticsearch 7 to 9 and OpenSearch 1 to
/// 3. The beginning of a reason is the cluster's; what follows may quote the item.
fn verdict(status: u16, error: Option<&Fault>) -> Verdict {
    let kind = error.and_then(|error| error.kind.as_deref()).unwrap_or_default();
    let reason = error.and_then(|error| error.reason.as_deref()).unwrap_or_default();
    let refused = || {
        let reason: String = reason.chars().take(MAX_REASON).collect();
        let kind: String = kind.chars().take(MAX_REASON).collect();
        Verdict::Refused(format!("{status}: {kind}: {reason}"))
    };
    let why = match (status, kind) {
        // Something with this id is there: the event, as it was delivered before.
        (409, "version_conflict_engine_exception") => return Verdict::Taken,
        // The pipeline's author says so.
        (_, "fail_processor_exception") => return refused(),
        (_, "cluster_block_exception" | "index_closed_exception") => Why::Blocked,
        (_, "index_not_found_exception") => Why::Missing,
        (_, "invalid_index_name_exception") => Why::BadName,
        (400, "validation_exception") => Why::NoMoreShards,
        (400, "illegal_argument_exception") if reason.starts_with("pipeline with id [") => Why::NoPipeline,
        (400, "illegal_argument_exception") if reason.starts_with("no write index is defined for alias") => {
            Why::Missing
        }
        (400, "illegal_argument_exception") if reason.starts_with("explicit index in bulk") => Why::NoExplicitIndex,
        (400, "illegal_argument_exception") if reason.starts_with("Document ID is not supported") => Why::NoIds,
        (401, _) => Why::NotAccepted,
        (403, _) | (_, "security_exception") => Why::Denied,
        (404, _) => Why::Missing,
        (429, _) => Why::Busy,
        (400 | 413 | 422, _) => return refused(),
        (300.., _) => Why::Fails(status),
        _ => Why::NotSaid,
    };
    Verdict::Again(why)
}

#[cfg(test)]
mod tests;
