//! A record: the bytes that a source read, where they came from, and how far the source has got.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;

/// One record as a source read it, still in its envelope: what a Kinesis record, a file or a request body holds.
#[derive(Clone, Debug)]
pub struct Record {
    /// The bytes as they came. Never logged: they hold prompts and answers.
    pub data: Bytes,
    /// Where the bytes came from.
    pub origin: Origin,
    /// What of it is to be read, if it is an aggregate of the Kinesis Producer Library.
    pub part: Part,
}

impl Record {
    /// A record of which everything is to be read.
    pub fn new(data: Bytes, origin: Origin) -> Self {
        Self { data, origin, part: Part::default() }
    }
}

/// What is to be read of an aggregate of the Kinesis Producer Library: of many user records in one record. The default
/// is everything. Says nothing about a record that is no aggregate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// The user records before this one, counted from 0, were delivered before.
    pub first: u64,
    /// The hash keys of the shard: a user record of another one is another shard's, and is left out.
    pub hash_keys: Option<HashKeys>,
}

/// The hash keys that a shard takes, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashKeys {
    /// The lowest.
    pub first: u128,
    /// The highest.
    pub last: u128,
}

impl HashKeys {
    /// Takes the decimal ends as the service wrote them.
    pub fn parse(first: &str, last: &str) -> Option<Self> {
        Some(Self { first: first.parse().ok()?, last: last.parse().ok()? })
    }

    /// Whether the shard takes the key.
    pub fn contains(&self, key: u128) -> bool {
        (self.first..=self.last).contains(&key)
    }
}

/// Where a record came from, exactly enough to find it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A record of a Kinesis data stream.
    Kinesis {
        /// The stream's name.
        stream: Arc<str>,
        /// The shard that the record was read from.
        shard: ShardId,
        /// The record's sequence number in the shard.
        sequence: SequenceNumber,
        /// When the stream took the record, if it said so.
        arrival: Option<Timestamp>,
    },
    /// A file, or a part of a file that is read in parts.
    File {
        /// The path as the user named it; `-` is standard input.
        path: Arc<str>,
        /// The offset of the part's first byte, after decompression where the file had to be read in parts.
        offset: u64,
    },
    /// An object in S3, or a part of it that is read in parts.
    S3 {
        /// The bucket's name.
        bucket: Arc<str>,
        /// The object's key.
        key: Arc<str>,
        /// The offset of the part's first byte, after decompression where the object had to be read in parts.
        offset: u64,
    },
    /// Log events as the API of CloudWatch Logs gives them.
    CloudWatch {
        /// The log group's name or ARN, as the user named it.
        log_group: Arc<str>,
    },
    /// A record of a request of Amazon Data Firehose.
    Firehose {
        /// The ARN of the delivery stream, as the request gave it.
        source: Arc<str>,
        /// The request's id.
        request: Arc<str>,
        /// The record's place in the request, counted from 0.
        index: u32,
    },
}

impl Origin {
    /// The stream's or the bucket's name, the file's path, or the log group.
    pub fn name(&self) -> &Arc<str> {
        match self {
            Self::Kinesis { stream, .. } => stream,
            Self::File { path, .. } => path,
            Self::S3 { bucket, .. } => bucket,
            Self::CloudWatch { log_group } => log_group,
            Self::Firehose { source, .. } => source,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kinesis { stream, shard, sequence, .. } => write!(f, "{stream}/{shard}/{sequence}"),
            Self::File { path, offset: 0 } => write!(f, "{path}"),
            Self::File { path, offset } => write!(f, "{path}@{offset}"),
            Self::S3 { bucket, key, offset: 0 } => write!(f, "s3://{bucket}/{key}"),
            Self::S3 { bucket, key, offset } => write!(f, "s3://{bucket}/{key}@{offset}"),
            Self::CloudWatch { log_group } => f.write_str(log_group),
            Self::Firehose { source, request, index } => write!(f, "{source}/{request}/{index}"),
        }
    }
}

/// A shard's id, such as `shardId-000000000003`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(Arc<str>);

impl ShardId {
    /// Takes an id as the service wrote it.
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self(id.into())
    }

    /// The id as the service wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A Kinesis sequence number: a decimal of up to 129 digits, compared as a number and never as text.
/// Source: the Kinesis API reference, `Record.SequenceNumber`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SequenceNumber(Arc<str>);

impl SequenceNumber {
    /// Takes the digits as the service wrote them; leading zeros are dropped, so that equal numbers are equal values.
    /// Gives `None` for anything but 1 to 129 digits.
    pub fn new(digits: &str) -> Option<Self> {
        if digits.is_empty() || digits.len() > 129 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let significant = digits.trim_start_matches('0');
        Some(Self(if significant.is_empty() { "0".into() } else { significant.into() }))
    }

    /// The digits, without leading zeros.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Ord for SequenceNumber {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for SequenceNumber {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What has a position of its own: a shard of a stream, a file, a slice of time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    /// The stream's name, or the kind of the source where it has none.
    pub stream: Arc<str>,
    /// The shard's id, the file's path, or what else it is told by.
    pub shard: ShardId,
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.stream, self.shard)
    }
}

/// How far a partition has been read, and where to go on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Position {
    /// From the oldest record that the stream still holds.
    TrimHorizon,
    /// From the records that come after the reader asks.
    Latest,
    /// From the first record that arrived at or after this time.
    AtTimestamp(Timestamp),
    /// After the record with this sequence number.
    After(SequenceNumber),
    /// After a user record of the aggregate with this sequence number, counted from 0. As in a lease table, a record
    /// that is no aggregate counts as one with a single user record, so that 0 is also the end of such a record.
    Within(SequenceNumber, u64),
    /// After this many bytes of a file (after decompression where the file is read in parts).
    Offset(u64),
    /// After the object with this key, in the order in which S3 lists keys: that of their UTF-8 bytes.
    Key(Arc<str>),
    /// After all log events of times before this one.
    UpTo(Timestamp),
    /// The partition is closed and read to its end.
    End,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TrimHorizon => f.write_str("trim_horizon"),
            Self::Latest => f.write_str("latest"),
            Self::AtTimestamp(time) => write!(f, "at:{time}"),
            Self::After(sequence) => write!(f, "after:{sequence}"),
            Self::Within(sequence, user_record) => write!(f, "after:{sequence}/{user_record}"),
            Self::Offset(bytes) => write!(f, "offset:{bytes}"),
            Self::Key(key) => write!(f, "key:{key}"),
            Self::UpTo(time) => write!(f, "upto:{time}"),
            Self::End => f.write_str("end"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_compare_as_numbers() {
        let check = |a: &str, b: &str, expected: Ordering| {
            let (a, b) = (SequenceNumber::new(a).unwrap(), SequenceNumber::new(b).unwrap());
            assert_eq!(a.cmp(&b), expected, "{a} against {b}");
        };
        check("9", "10", Ordering::Less);
        check("0010", "9", Ordering::Greater);
        check("000", "0", Ordering::Equal);
        check(
            "49590338271490256608559692538361571095921575989136588898",
            "49590338271490256608559692538361571095921575989136588899",
            Ordering::Less,
        );
    }

    #[test]
    fn what_is_no_number_is_refused() {
        let too_long = "9".repeat(130);
        for text in ["", "-1", "1e3", "TRIM_HORIZON", too_long.as_str()] {
            assert_eq!(SequenceNumber::new(text), None, "{text:?}");
        }
    }
}
