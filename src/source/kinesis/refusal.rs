//! A refusal: why a shard cannot be read any further, in words for a person. The same whichever way the shard is read.

use jiff::{SignedDuration, Timestamp};

use super::client::Kinesis;
use super::error::CallError;
use super::progress::{ReadError, arrival, arrived};
use crate::record::{Position, SequenceNumber, ShardId};
use crate::source::SourceError;

/// A start time this far ahead is one that a fast clock made: it is waited for. A later one is a mistake.
const LARGEST_CLOCK_DRIFT: SignedDuration = SignedDuration::from_mins(5);

/// The way out of a position that is not in the stream any more.
const OLDEST_INSTEAD: &str = "on_trimmed = \"oldest\" goes on from the oldest record there is";

/// The oldest record of a shard.
#[derive(Debug)]
pub(super) struct Oldest {
    pub(super) sequence: SequenceNumber,
    arrival: Option<Timestamp>,
}

impl Oldest {
    /// Looks it up; `None` if the shard has no record that can be found.
    ///
    /// # Errors
    /// See [`CallError`].
    pub(super) async fn look_up(kinesis: &Kinesis, shard: &ShardId) -> Result<Option<Self>, CallError> {
        let record = kinesis.oldest(shard).await?;
        let sequence = record.as_ref().and_then(|record| SequenceNumber::new(&record.sequence_number));
        Ok(sequence.zip(record).map(|(sequence, record)| Self { sequence, arrival: arrival(&record) }))
    }
}

/// A shard that was read to its end, and is open: the stream is another one than that of the positions.
pub(super) fn made_anew(kinesis: &Kinesis, shard: &ShardId) -> SourceError {
    let advice = "its stored position is its end, and the stream lists it as open: the stream was deleted and made anew. \
                  Begin with another table of leases, or directory of positions, or delete what the old stream left there";
    let what = format!("shard {shard} of {}", kinesis.resource());
    SourceError::Position { what, advice: advice.to_owned(), source: None }
}

/// Whether a time is about now: a clock that runs fast or slow made it.
pub(super) fn is_clock_drift(time: Timestamp) -> bool {
    let ahead = time.duration_since(Timestamp::now());
    ahead <= LARGEST_CLOCK_DRIFT && ahead >= -LARGEST_CLOCK_DRIFT
}

/// A shard of a stream, as errors name it.
pub(super) struct Place<'a> {
    pub(super) kinesis: &'a Kinesis,
    pub(super) shard: &'a ShardId,
}

impl Place<'_> {
    fn what(&self) -> String {
        format!("shard {} of {}", self.shard, self.kinesis.resource())
    }

    /// It cannot be read at all.
    pub(super) fn fatal(&self, advice: impl Into<String>, source: Option<CallError>) -> SourceError {
        SourceError::Fatal { what: self.what(), advice: advice.into(), source: source.map(Into::into) }
    }

    /// What came from it cannot be taken.
    pub(super) fn unreadable(&self, error: ReadError) -> SourceError {
        match &error {
            ReadError::BadSequenceNumber => self.fatal(format!("{error}: check endpoint_url"), None),
            ReadError::Trimmed { stored, oldest, arrival } => {
                let advice = format!(
                    "the stored position, after {stored}, was trimmed out of the stream, and unread records with it: \
                     the oldest record is {oldest}, {}; {OLDEST_INSTEAD}",
                    arrived(*arrival)
                );
                SourceError::Position { what: self.what(), advice, source: Some(error.into()) }
            }
        }
    }

    /// The position is refused: trimmed out of the stream, or of another stream of the same name.
    pub(super) fn refused(&self, stored: &Position, failure: CallError, oldest: Option<Oldest>) -> SourceError {
        let stored = match stored {
            Position::After(sequence) | Position::Within(sequence, _) => sequence.as_str(),
            _ => "",
        };
        let oldest = oldest.map_or_else(
            || "no oldest record was found".to_owned(),
            |Oldest { sequence, arrival }| format!("the oldest record is {sequence}, {}", arrived(arrival)),
        );
        let advice = format!(
            "the stored position, after {stored}, is not in the stream (trimmed, or the stream was made anew): {oldest}; \
             {OLDEST_INSTEAD}"
        );
        SourceError::Position { what: self.what(), advice, source: Some(failure.into()) }
    }

    /// The shard left the stream before it was read to its end.
    pub(super) fn expired(&self, failure: CallError) -> SourceError {
        let advice = "the shard left the stream, by the end of the retention period, before it was read to its end; \
                      on_trimmed = \"oldest\" goes on without it";
        SourceError::Position { what: self.what(), advice: advice.to_owned(), source: Some(failure.into()) }
    }
}
