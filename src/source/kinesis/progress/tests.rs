use std::time::Duration;

use aws_sdk_kinesis::primitives::{Blob, DateTime};
use md5::{Digest as _, Md5};

use super::*;

type Sent = aws_sdk_kinesis::types::Record;

/// The explicit hash keys of the user records that [`aggregate`] makes: one for each index.
const OURS: HashKeys = HashKeys { first: 0, last: 9 };

fn sent(sequence: u64, data: impl Into<Vec<u8>>) -> Sent {
    sent_ago(sequence, data, Duration::ZERO)
}

fn sent_ago(sequence: u64, data: impl Into<Vec<u8>>, age: Duration) -> Sent {
    let arrival = Timestamp::now() - age;
    Sent::builder()
        .sequence_number(sequence.to_string())
        .data(Blob::new(data.into()))
        .partition_key("k")
        .approximate_arrival_timestamp(DateTime::from_millis(arrival.as_millisecond()))
        .build()
        .unwrap()
}

/// An aggregate with a user record for each explicit hash key.
fn aggregate(hash_keys: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    for key in hash_keys {
        let digits = key.to_string();
        message.extend([2 << 3 | 2, digits.len() as u8]);
        message.extend(digits.as_bytes());
    }
    for index in 0..hash_keys.len() as u8 {
        message.extend([3 << 3 | 2, 7, 1 << 3, 0, 2 << 3, index, 3 << 3 | 2, 1, b'x']);
    }
    [&[0xf3, 0x89, 0x9a, 0xc2], message.as_slice(), Md5::digest(&message).as_slice()].concat()
}

fn sequence(number: u64) -> SequenceNumber {
    SequenceNumber::new(&number.to_string()).unwrap()
}

fn after(number: u64) -> Position {
    Position::After(sequence(number))
}

fn within(number: u64, user_record: u64) -> Position {
    Position::Within(sequence(number), user_record)
}

fn progress(position: Position) -> Progress {
    Progress::new("logs".into(), ShardId::new("shardId-000000000000"), position, Some(OURS))
}

/// The sequence numbers that are read, with the first user record of each.
fn read(progress: &mut Progress, records: Vec<Sent>) -> Vec<(u64, u64)> {
    let read = progress.read(records).unwrap();
    let parts = read.iter().map(|record| {
        let Origin::Kinesis { sequence, .. } = &record.origin else { panic!() };
        assert_eq!(record.part.hash_keys, Some(OURS));
        (sequence.as_str().parse().unwrap(), record.part.first)
    });
    parts.collect()
}

#[track_caller]
fn check(from: Position, records: Vec<Sent>, expected: &[(u64, u64)], position: Position) {
    let mut progress = progress(from.clone());
    assert_eq!(read(&mut progress, records), expected, "from {from}");
    assert_eq!(*progress.position(), position, "from {from}");
}

#[test]
fn reading_goes_on_behind_the_position() {
    let plain = || (1..=4).map(|number| sent(number, "x")).collect::<Vec<_>>();
    check(Position::TrimHorizon, plain(), &[(1, 0), (2, 0), (3, 0), (4, 0)], after(4));
    check(after(2), plain(), &[(3, 0), (4, 0)], after(4));
    check(within(2, 0), plain(), &[(3, 0), (4, 0)], after(4));
    check(within(2, 7), plain(), &[(3, 0), (4, 0)], after(4));
    check(after(4), plain(), &[], after(4));
    check(after(9), plain(), &[], after(9));
    check(Position::TrimHorizon, vec![], &[], Position::TrimHorizon);
    // Again, and backwards.
    let again: Vec<_> = plain().into_iter().chain(plain()).chain([sent(3, "x"), sent(5, "x"), sent(1, "x")]).collect();
    check(after(1), again, &[(2, 0), (3, 0), (4, 0), (5, 0)], after(5));
}

#[test]
fn an_aggregate_is_read_behind_its_user_record() {
    let three = || sent(2, aggregate(&[1, 2, 3]));
    let around = || vec![sent(1, "x"), three(), sent(3, "x")];
    check(Position::TrimHorizon, around(), &[(1, 0), (2, 0), (3, 0)], after(3));
    check(Position::TrimHorizon, vec![sent(1, "x"), three()], &[(1, 0), (2, 0)], within(2, 2));
    check(Position::TrimHorizon, vec![three(), sent(3, "x")], &[(2, 0), (3, 0)], after(3));
    check(within(2, 0), vec![three()], &[(2, 1)], within(2, 2));
    check(within(2, 1), around(), &[(2, 2), (3, 0)], after(3));
    check(within(2, 2), vec![three()], &[], within(2, 2));
    check(within(2, u64::MAX), around(), &[(3, 0)], after(3));
    check(after(2), around(), &[(3, 0)], after(3));
    check(within(1, 0), around(), &[(2, 0), (3, 0)], after(3));
    // The smaller number is written: of the user records that are the shard's.
    check(Position::TrimHorizon, vec![sent(2, aggregate(&[1, 50, 2, 60]))], &[(2, 0)], within(2, 1));
    check(within(2, 1), vec![sent(2, aggregate(&[1, 50, 2, 60]))], &[(2, 2)], within(2, 1));
    check(Position::TrimHorizon, vec![sent(2, aggregate(&[50, 60]))], &[(2, 0)], after(2));
    // A damaged one is a record like any other.
    let mut damaged = aggregate(&[1, 2, 3]);
    damaged[5] ^= 1;
    check(Position::TrimHorizon, vec![sent(2, damaged.clone())], &[(2, 0)], after(2));
    check(within(2, 0), vec![sent(2, damaged)], &[], within(2, 0));
}

#[test]
fn what_was_read_once_is_not_read_again_whatever_is_stored() {
    let divided = || sent(2, aggregate(&[1, 50, 2, 60]));
    let mut progress = progress(Position::TrimHorizon);
    assert_eq!(progress.ask(), Position::TrimHorizon);
    assert_eq!(read(&mut progress, vec![sent(1, "x"), divided()]), [(1, 0), (2, 0)]);
    assert_eq!(*progress.position(), within(2, 1));
    assert_eq!(progress.ask(), after(2));
    assert_eq!(read(&mut progress, vec![divided(), sent(1, "x")]), []);
    assert_eq!(read(&mut progress, vec![divided(), sent(3, "x")]), [(3, 0)]);
    progress.set_position(after(7));
    assert_eq!(progress.ask(), after(7));
    assert_eq!(read(&mut progress, vec![sent(5, "x"), sent(8, "x")]), [(8, 0)]);
}

#[test]
fn a_stored_position_is_asked_for_with_its_record() {
    for stored in [after(5), within(5, 0)] {
        let mut progress = progress(stored);
        assert_eq!(progress.ask(), within(5, 0));
        assert_eq!(read(&mut progress, vec![]), []);
        assert_eq!(progress.ask(), within(5, 0), "nothing came yet");
        assert_eq!(read(&mut progress, vec![sent(5, "x")]), []);
        assert_eq!(progress.ask(), after(5));
        assert_eq!(read(&mut progress, vec![sent_ago(6, "x", Duration::from_secs(90_000))]), [(6, 0)]);
    }
}

#[test]
fn a_trimmed_position_is_told_from_a_silent_shard() {
    let first = |age: u64, prepare: &dyn Fn(&mut Progress)| {
        let mut progress = progress(within(5, 1));
        progress.ask();
        prepare(&mut progress);
        progress.read(vec![sent_ago(8, "x", Duration::from_secs(age))]).map(|read| read.len())
    };
    let Err(ReadError::Trimmed { stored, oldest, arrival: Some(_) }) = first(83_000, &|_| ()) else { panic!("read") };
    assert_eq!((stored, oldest), (sequence(5), sequence(8)));
    assert_eq!(first(82_000, &|_| ()), Ok(1));
    // An older record is still there: the stored position is between two, and nothing behind it was trimmed.
    assert_eq!(first(83_000, &|progress| progress.is_there(&sequence(4))), Ok(1));
    assert!(first(83_000, &|progress| progress.is_there(&sequence(8))).is_err());
    // Without a time nobody can say that it is young.
    let mut untimed = progress(after(5));
    untimed.ask();
    let record = Sent::builder().sequence_number("8").data(Blob::new("x")).partition_key("k").build().unwrap();
    assert!(untimed.read(vec![record]).is_err());
    assert_eq!(*untimed.position(), after(5), "the position moved");
    // Who asked for what comes after it cannot compare.
    let mut unasked = progress(after(5));
    assert_eq!(read(&mut unasked, vec![sent_ago(8, "x", Duration::from_secs(90_000))]), [(8, 0)]);
}

#[test]
fn what_is_no_sequence_number_is_refused() {
    let record = Sent::builder().sequence_number("x1").data(Blob::new("x")).partition_key("k").build().unwrap();
    assert_eq!(progress(after(1)).read(vec![record]).unwrap_err(), ReadError::BadSequenceNumber);
}
