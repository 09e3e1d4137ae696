//! KPL aggregates: many user records in one Kinesis record, as the Kinesis Producer Library writes them.
//!
//! Source of the format: aggregation-format.md in awslabs/amazon-kinesis-producer. A magic number, a protobuf message
//! `AggregatedRecord`, and the MD5 of that message.

use md5::{Digest, Md5};

use crate::record::HashKeys;

const MAGIC: [u8; 4] = [0xf3, 0x89, 0x9a, 0xc2];
const DIGEST_BYTES: usize = 16;

/// `AggregatedRecord.partition_key_table`, field 1, length-delimited.
const PARTITION_KEYS: u64 = 1 << 3 | 2;
/// `AggregatedRecord.explicit_hash_key_table`, field 2, length-delimited.
const EXPLICIT_HASH_KEYS: u64 = 2 << 3 | 2;
/// `AggregatedRecord.records`, field 3, length-delimited.
const RECORDS: u64 = 3 << 3 | 2;
/// `Record.partition_key_index`, field 1, a number.
const PARTITION_KEY: u64 = 1 << 3;
/// `Record.explicit_hash_key_index`, field 2, a number.
const EXPLICIT_HASH_KEY: u64 = 2 << 3;
/// `Record.data`, field 3, length-delimited.
const DATA: u64 = 3 << 3 | 2;

/// One of the records that an aggregate was made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct UserRecord<'a> {
    /// What the producer put.
    pub(super) data: &'a [u8],
    /// Whether its hash key is one of those that were asked for, as far as its hash key is known.
    pub(super) is_ours: bool,
}

/// Whether `bytes` claim to be an aggregate. More than the digest must follow the magic number, as for the KCL.
pub(super) fn is_aggregate(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC) && bytes.len() > MAGIC.len() + DIGEST_BYTES
}

/// Hands on each user record in the aggregate, in order; without `hash_keys` all of them are ours.
///
/// # Errors
/// What is wrong with it, in words; the user records before the damage were handed on.
pub(super) fn records(
    bytes: &[u8],
    hash_keys: Option<HashKeys>,
    mut record: impl FnMut(UserRecord<'_>),
) -> Result<(), &'static str> {
    let (message, digest) = bytes
        .get(MAGIC.len()..)
        .and_then(|rest| rest.split_last_chunk::<DIGEST_BYTES>())
        .ok_or("kpl aggregate: too short")?;
    if Md5::digest(message).as_slice() != digest {
        return Err("kpl aggregate: the md5 does not match");
    }
    let tables = hash_keys.map(|keys| Tables::read(message, keys));
    fields(message, |tag, value| {
        let (RECORDS, Value::Bytes(message)) = (tag, value) else { return Ok(()) };
        let (mut data, mut partition_key, mut explicit) = (None, None, None);
        fields(message, |tag, value| {
            match (tag, value) {
                (DATA, Value::Bytes(bytes)) => data = Some(bytes),
                (PARTITION_KEY, Value::Number(index)) => partition_key = Some(index),
                (EXPLICIT_HASH_KEY, Value::Number(index)) => explicit = Some(index),
                _ => {}
            }
            Ok(())
        })?;
        let data = data.ok_or("kpl aggregate: a record without data")?;
        let is_ours = tables.as_ref().is_none_or(|tables| tables.has(partition_key, explicit));
        record(UserRecord { data, is_ours });
        Ok(())
    })
}

/// For each key in the aggregate's two tables, whether the shard takes it. Answers and not the keys are kept: a table
/// has as many entries as a hostile producer likes, and a byte for each is less than its place in the aggregate.
struct Tables {
    partition_keys: Vec<bool>,
    explicit: Vec<bool>,
}

impl Tables {
    /// Reads the tables, wherever in the message they are; damage is told when the records are read.
    fn read(message: &[u8], keys: HashKeys) -> Self {
        let mut tables = Self { partition_keys: Vec::new(), explicit: Vec::new() };
        let _damage = fields(message, |tag, value| {
            match (tag, value) {
                (PARTITION_KEYS, Value::Bytes(key)) => {
                    let hash = u128::from_be_bytes(Md5::digest(key).into());
                    tables.partition_keys.push(keys.contains(hash));
                }
                (EXPLICIT_HASH_KEYS, Value::Bytes(digits)) => {
                    let key = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
                    tables.explicit.push(key.is_none_or(|key| keys.contains(key)));
                }
                _ => {}
            }
            Ok(())
        });
        tables
    }

    /// Whether a user record is the shard's. One whose hash key is not known (no index, or one out of its table) may
    /// be, and is kept: read twice, by two shards, is better than not at all.
    fn has(&self, partition_key: Option<u64>, explicit: Option<u64>) -> bool {
        let (table, index) = match explicit {
            Some(index) => (&self.explicit, Some(index)),
            None => (&self.partition_keys, partition_key),
        };
        index.and_then(|index| table.get(usize::try_from(index).ok()?)).copied().unwrap_or(true)
    }
}

/// A field's value: a number, or bytes of a length that is given or fixed.
#[derive(Clone, Copy)]
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// Walks the fields of a protobuf message; `field` gets the tag (number and wire type) and the value.
fn fields<'a>(
    mut message: &'a [u8],
    mut field: impl FnMut(u64, Value<'a>) -> Result<(), &'static str>,
) -> Result<(), &'static str> {
    const DAMAGED: &str = "kpl aggregate: not a protobuf message";
    while !message.is_empty() {
        let tag = varint(&mut message).ok_or(DAMAGED)?;
        let length = match tag & 7 {
            0 => {
                field(tag, Value::Number(varint(&mut message).ok_or(DAMAGED)?))?;
                continue;
            }
            1 => 8,
            2 => usize::try_from(varint(&mut message).ok_or(DAMAGED)?).map_err(|_| DAMAGED)?,
            5 => 4,
            _ => return Err(DAMAGED),
        };
        let (value, rest) = message.split_at_checked(length).ok_or(DAMAGED)?;
        message = rest;
        field(tag, Value::Bytes(value))?;
    }
    Ok(())
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
