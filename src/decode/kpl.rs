//! KPL aggregates: many user records in one Kinesis record, as the Kinesis Producer Library writes them.
//!
//! Source of the format: aggregation-format.md in awslabs/amazon-kinesis-producer. A magic number, a protobuf message
//! `AggregatedRecord`, and the MD5 of that message.

use md5::{Digest, Md5};

const MAGIC: [u8; 4] = [0xf3, 0x89, 0x9a, 0xc2];
const DIGEST_BYTES: usize = 16;

/// `AggregatedRecord.records`, field 3, length-delimited.
const RECORDS: u64 = 3 << 3 | 2;
/// `Record.data`, field 3, length-delimited.
const DATA: u64 = 3 << 3 | 2;

/// Whether `bytes` claim to be an aggregate. More than the digest must follow the magic number, as for the KCL.
pub(super) fn is_aggregate(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC) && bytes.len() > MAGIC.len() + DIGEST_BYTES
}

/// Hands on the data of each user record in the aggregate.
///
/// # Errors
/// What is wrong with it, in words; the user records before the damage were handed on.
pub(super) fn records(bytes: &[u8], mut record: impl FnMut(&[u8])) -> Result<(), &'static str> {
    let (message, digest) = bytes
        .get(MAGIC.len()..)
        .and_then(|rest| rest.split_last_chunk::<DIGEST_BYTES>())
        .ok_or("kpl aggregate: too short")?;
    if Md5::digest(message).as_slice() != digest {
        return Err("kpl aggregate: the md5 does not match");
    }
    fields(message, |tag, value| {
        if tag != RECORDS {
            return Ok(());
        }
        let mut data = None;
        fields(value, |tag, value| {
            if tag == DATA {
                data = Some(value.to_vec());
            }
            Ok(())
        })?;
        record(&data.ok_or("kpl aggregate: a record without data")?);
        Ok(())
    })
}

/// Walks the fields of a protobuf message; `field` gets the tag (number and wire type) and, where it is
/// length-delimited, the value.
fn fields(
    mut message: &[u8],
    mut field: impl FnMut(u64, &[u8]) -> Result<(), &'static str>,
) -> Result<(), &'static str> {
    const DAMAGED: &str = "kpl aggregate: not a protobuf message";
    while !message.is_empty() {
        let tag = varint(&mut message).ok_or(DAMAGED)?;
        let length = match tag & 7 {
            0 => {
                varint(&mut message).ok_or(DAMAGED)?;
                0
            }
            1 => 8,
            2 => usize::try_from(varint(&mut message).ok_or(DAMAGED)?).map_err(|_| DAMAGED)?,
            5 => 4,
            _ => return Err(DAMAGED),
        };
        let (value, rest) = message.split_at_checked(length).ok_or(DAMAGED)?;
        message = rest;
        field(tag, value)?;
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
