use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::record::Origin;

const NOTICE: &str = "Permissions are correctly set for Amazon Bedrock logs.";

fn invocation(request: &str) -> String {
    format!(
        r#"{{"schemaType":"ModelInvocationLog","schemaVersion":"1.0","timestamp":"2026-11-22T07:39:00Z","accountId":"123456789012","region":"us-east-1","requestId":"{request}","operation":"Converse","modelId":"amazon.nova-micro-v1:0","input":{{"inputBodyJson":{{"q":"\"\\\n\u00e9"}},"inputTokenCount":1}},"output":{{}}}}"#
    )
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

fn event(id: &str, message: &str) -> String {
    format!(r#"{{"id":"{id}","timestamp":1790000000000,"message":{}}}"#, quoted(message))
}

fn envelope_of(group: &str, events: &[String]) -> String {
    format!(
        r#"{{"messageType":"DATA_MESSAGE","owner":"123456789012","logGroup":"{group}","logStream":"aws/bedrock/modelinvocations","subscriptionFilters":["f"],"logEvents":[{}]}}"#,
        events.join(",")
    )
}

fn envelope(requests: &[&str]) -> String {
    let events: Vec<_> = requests.iter().map(|request| event(&format!("e-{request}"), &invocation(request))).collect();
    envelope_of("bedrock", &events)
}

fn gzip(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(bytes.as_ref()).unwrap();
    encoder.finish().unwrap()
}

/// A frame of zstd with a checksum.
fn zstd(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = ::zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(bytes.as_ref()).unwrap();
    encoder.finish().unwrap()
}

/// A frame to be passed over.
fn skippable(bytes: &[u8]) -> Vec<u8> {
    [&[0x50, 0x2a, 0x4d, 0x18][..], &(bytes.len() as u32).to_le_bytes(), bytes].concat()
}

fn base64(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

fn kpl(records: &[Vec<u8>]) -> Vec<u8> {
    let records: Vec<_> = records.iter().map(|data| (Some(0), None, data.clone())).collect();
    seal(&aggregate_of(&["key"], &[], &records))
}

/// The index of a user record's partition key, that of its explicit hash key, its data.
type UserRecord = (Option<u64>, Option<u64>, Vec<u8>);

fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// The message of an aggregate.
fn aggregate_of(partition_keys: &[&str], explicit: &[&str], records: &[UserRecord]) -> Vec<u8> {
    fn field(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
        out.push(tag);
        varint(out, bytes.len() as u64);
        out.extend_from_slice(bytes);
    }
    let mut message = Vec::new();
    partition_keys.iter().for_each(|key| field(&mut message, 1 << 3 | 2, key.as_bytes()));
    explicit.iter().for_each(|key| field(&mut message, 2 << 3 | 2, key.as_bytes()));
    for (partition_key, explicit, data) in records {
        let mut record = Vec::new();
        for (tag, index) in [(1 << 3, partition_key), (2 << 3, explicit)] {
            if let Some(index) = index {
                record.push(tag);
                varint(&mut record, *index);
            }
        }
        field(&mut record, 3 << 3 | 2, data);
        field(&mut message, 3 << 3 | 2, &record);
    }
    message
}

fn seal(message: &[u8]) -> Vec<u8> {
    let digest = <md5::Md5 as md5::Digest>::digest(message);
    [&[0xf3, 0x89, 0x9a, 0xc2], message, digest.as_slice()].concat()
}

fn hash_of(key: &str) -> u128 {
    u128::from_be_bytes(<md5::Md5 as md5::Digest>::digest(key).into())
}

/// Notes what became of each log event, a short word each.
#[derive(Default)]
struct Notes {
    words: Vec<String>,
    originals: Vec<Vec<u8>>,
    /// What was known of each log event.
    events: Vec<String>,
}

impl Notes {
    fn event(&mut self, event: &LogEvent<'_>) {
        let LogEvent { id, timestamp_millis, log_group, log_stream, .. } = event;
        self.events.push(format!("{id:?} {timestamp_millis:?} {log_group:?} {log_stream:?}"));
    }
}

impl Visit for Notes {
    fn invocation(&mut self, invocation: &Invocation<'_>, _context: &Context<'_>) -> Option<Skip> {
        assert!(invocation.event.message.contains(r#"{"q":"\"\\\n\u00e9"}"#), "the body is not as it was written");
        self.words.push(invocation.request_id.unwrap().decode().into_owned());
        self.event(&invocation.event);
        None
    }

    fn reject(&mut self, fault: Fault, original: &[u8], event: Option<&LogEvent<'_>>, _origin: &Origin) {
        event.into_iter().for_each(|event| self.event(event));
        self.words.push(format!("!{}", fault.reason.as_str()));
        self.originals.push(original.to_vec());
    }

    fn skip(&mut self, kind: Skip, count: u64) {
        self.words.extend((0..count).map(|_| format!("-{}", kind.as_str())));
    }
}

fn limits() -> Limits {
    Limits { inflated_bytes: 1 << 20, events: 100, depth: 64 }
}

fn walk_with(payload: &[u8], limits: Limits, groups: &[&str]) -> (Notes, Tally) {
    walk_part(payload, Part::default(), limits, groups)
}

fn walk_part(payload: &[u8], part: Part, limits: Limits, groups: &[&str]) -> (Notes, Tally) {
    let mut set = globset::GlobSetBuilder::new();
    for group in groups {
        set.add(globset::Glob::new(group).unwrap());
    }
    let (mut notes, mut tally) = (Notes::default(), Tally::default());
    let origin = Origin::File { path: "test".into(), offset: 0 };
    let record = Record { data: Bytes::copy_from_slice(payload), origin, part };
    let context = Context {
        origin: &record.origin,
        parse_time: jiff::Timestamp::UNIX_EPOCH,
        source_id: None,
        source_label: None,
        unmapped: true,
        prices: &Default::default(),
    };
    let log_groups = set.build().unwrap();
    let mut walk = Walk::new(context, &limits, &log_groups, &mut notes, &mut tally);
    super::record(&record, &mut walk, &mut Scratch::default());
    let sum = tally.invocations + tally.skipped.values().sum::<u64>() + tally.rejects.values().sum::<u64>();
    assert_eq!(tally.log_events, sum, "the sum does not hold: {tally:?}");
    assert_eq!(tally.log_events, notes.words.len() as u64);
    (notes, tally)
}

#[track_caller]
fn check(payload: impl AsRef<[u8]>, payloads: u64, expected: &[&str]) {
    let (notes, tally) = walk_with(payload.as_ref(), limits(), &[]);
    assert_eq!(notes.words, expected);
    assert_eq!(tally.payloads, payloads);
}

#[test]
fn framings_are_told_by_content() {
    let plain = envelope(&["a", "b"]);
    let (one, two) = (gzip(&plain), gzip(envelope(&["c"])));
    check(&plain, 1, &["a", "b"]);
    check(&one, 1, &["a", "b"]);
    check([one.clone(), two.clone()].concat(), 1, &["a", "b", "c"]);
    check([one.clone(), one.clone()].concat(), 1, &["a", "b", "a", "b"]);
    check([one.clone(), vec![0; 512]].concat(), 1, &["a", "b"]);
    check(base64(&one), 1, &["a", "b"]);
    check(base64(&plain), 1, &["a", "b"]);
    check(base64(&one).trim_end_matches('='), 1, &["a", "b"]);
    check(gzip(base64(&one)), 1, &["a", "b"]);
    check(format!("\u{feff}{plain}\n"), 1, &["a", "b"]);
    check(format!("{plain}\n{}\n", envelope(&["c"])), 1, &["a", "b", "c"]);
    check(format!("{plain}{}", envelope(&["c"])), 1, &["a", "b", "c"]);
    check(format!("[{plain},{}]", envelope(&["c"])), 1, &["a", "b", "c"]);
    check(format!("{}\n{}\n", base64(&one), base64(&two)), 2, &["a", "b", "c"]);
    check(format!("{}\t{}", base64(&one), base64(&two)), 2, &["a", "b", "c"]);
    let lines: Vec<_> = base64(&one).as_bytes().chunks(76).map(<[u8]>::to_vec).collect();
    check(lines.join(&b'\n'), 1, &["a", "b"]);
    check(kpl(&[one.clone(), two.clone()]), 2, &["a", "b", "c"]);
    check(kpl(&[]), 0, &[]);
    check("", 1, &["-empty"]);
    check(" \n\0", 1, &["-empty"]);
}

#[test]
fn batches_are_taken_apart() {
    let (one, two) = (base64(gzip(envelope(&["a", "b"]))), base64(gzip(envelope(&["c"]))));
    let get_records = format!(
        r#"{{"Records":[{{"SequenceNumber":"1","ApproximateArrivalTimestamp":1.7e9,"Data":"{one}","PartitionKey":"p"}},{{"Data":"{two}"}}],"NextShardIterator":"x","MillisBehindLatest":0}}"#
    );
    check(&get_records, 2, &["a", "b", "c"]);
    check(format!(r#"{{"awslogs":{{"data":"{one}"}}}}"#), 1, &["a", "b"]);
    let lambda = format!(
        r#"{{"Records":[{{"kinesis":{{"kinesisSchemaVersion":"1.0","partitionKey":"p","data":"{one}"}},"eventSource":"aws:kinesis"}},{{"kinesis":{{"data":"{two}"}}}}]}}"#
    );
    check(&lambda, 2, &["a", "b", "c"]);
    let firehose = format!(
        r#"{{"requestId":"r","timestamp":1790000000000,"records":[{{"data":"{one}"}},{{"data":""}},{{"data":"{}"}}]}}"#,
        base64(format!("{}\n{}\n{NOTICE}\n", invocation("d"), invocation("e")))
    );
    check(&firehose, 3, &["a", "b", "-empty", "d", "e", "-notice"]);
    check(gzip(&firehose), 3, &["a", "b", "-empty", "d", "e", "-notice"]);
    check(format!("[\"{one}\",\"{two}\"]"), 2, &["a", "b", "c"]);
    let filtered = format!(
        r#"{{"events":[{{"logStreamName":"s","timestamp":1,"message":{},"ingestionTime":2,"eventId":"9"}}],"searchedLogStreams":[]}}"#,
        quoted(&invocation("f"))
    );
    check(&filtered, 1, &["f"]);
    check(letter("parse", invocation("g")), 1, &["g"]);
    check(
        r#"{"Records":[{"s3":{"bucket":{}}},{"Data":"%%%"},7]}"#,
        3,
        &["!invalid_envelope", "!invalid_base64", "!invalid_envelope"],
    );
    check(r#"{"Records":[]}"#, 0, &[]);
}

#[test]
fn bare_records_are_read_as_they_lie_in_s3() {
    check(invocation("a"), 1, &["a"]);
    check(gzip(format!("{}\n{}", invocation("a"), invocation("b"))), 1, &["a", "b"]);
    check(format!("[{},{}]", invocation("a"), invocation("b")), 1, &["a", "b"]);
    check(format!("{}\r\n\n{}\r\n", invocation("a"), invocation("b")), 1, &["a", "b"]);
    check(
        format!("{} {}{}\n{}", invocation("a"), invocation("b"), invocation("c"), invocation("d")),
        1,
        &["a", "b", "c", "d"],
    );
    check(format!("{}}}\n{}", invocation("a"), invocation("b")), 1, &["a", "!unknown_framing", "b"]);
    let cut = &invocation("a")[..100];
    check(format!("{cut}\n{cut}}}\n{}", invocation("b")), 1, &["!invalid_json", "!invalid_json", "b"]);
    let pretty = serde_json::from_str::<serde_json::Value>(&invocation("a").replace("\\u00e9", "\\\\u00e9")).unwrap();
    let pretty =
        serde_json::to_string_pretty(&pretty).unwrap().replace("\\\\u00e9", "\\u00e9").replace("\"q\": ", "\"q\":");
    let pretty = pretty.replace("{\n      \"q\":", "{\"q\":").replace("\\u00e9\"\n    }", "\\u00e9\"}");
    check(format!("{pretty}\n{}", invocation("b")), 1, &["a", "b"]);
    check(format!("{NOTICE}\n{}", invocation("a")), 1, &["-notice", "a"]);
    check(NOTICE, 1, &["-notice"]);
}

#[test]
fn what_is_no_invocation_is_skipped_by_kind() {
    let control = r#"{"messageType":"CONTROL_MESSAGE","owner":"CloudwatchLogs","logGroup":"","logStream":"","subscriptionFilters":[],"logEvents":[{"id":"","timestamp":1,"message":"CWL CONTROL MESSAGE: Checking health of destination Kinesis stream."}]}"#;
    let (notes, tally) = walk_with(&gzip(control), limits(), &["bedrock*"]);
    assert_eq!(notes.words, ["-control"]);
    assert_eq!((tally.envelopes, tally.control), (1, 1));
    let events = [
        event("1", NOTICE),
        event("2", "START RequestId: x"),
        event("3", r#"{"level":"info"}"#),
        event("4", ""),
        event("5", "[1]"),
    ];
    check(
        envelope_of("bedrock", &events),
        1,
        &["-notice", "-not_invocation", "-not_invocation", "-not_invocation", "-not_invocation"],
    );
    check(
        r#"{"eventSource":"bedrock.amazonaws.com","eventName":"InvokeModel","requestID":"x"}"#,
        1,
        &["-not_invocation"],
    );
    let (notes, _) = walk_with(
        envelope_of("other", &[event("1", &invocation("a")), event("2", "{")]).as_bytes(),
        limits(),
        &["bedrock*", "b?"],
    );
    assert_eq!(notes.words, ["-other_log_group", "-other_log_group"]);
    let (notes, _) =
        walk_with(envelope_of("bedrock-1", &[event("1", &invocation("a"))]).as_bytes(), limits(), &["bedrock*"]);
    assert_eq!(notes.words, ["a"]);
}

#[test]
fn envelopes_may_come_in_any_order_with_any_members() {
    let message = quoted(&invocation("a"));
    check(
        format!(
            r#"{{"logEvents":[{{"message":{message},"extractedFields":{{"x":"y"}},"timestamp":1,"id":"e"}}],"new":{{"a":[1]}},"logGroup":"g","messageType":"DATA_MESSAGE"}}"#
        ),
        1,
        &["a"],
    );
    check(
        format!(r#"{{"zzz":null,"policyLevel":"ACCOUNT_LEVEL_POLICY","logEvents":[{{"message":{message}}}]}}"#),
        1,
        &["a"],
    );
    check(format!(r#"{{"message\u0054ype":"DATA_MESSAGE","log\u0045vents":[{{"message":{message}}}]}}"#), 1, &["a"]);
    check(
        format!(r#"{{"messageType":"DATA_MESSAGE","logEvents":[{{"id":7,"message":{}}}]}}"#, invocation("a")),
        1,
        &["a"],
    );
    let late = r#"{"logEvents":[{"id":"","message":"x"}],"messageType":"CONTROL_MESSAGE"}"#;
    check(late, 1, &["-control"]);
}

#[test]
fn damage_is_rejected_and_its_neighbours_go_on() {
    let (a, b) = (event("1", &invocation("a")), event("2", &invocation("b")));
    let between = |bad: &str| envelope_of("g", &[a.clone(), bad.to_owned(), b.clone()]);
    check(between("7"), 1, &["a", "!invalid_envelope", "b"]);
    check(between("{}"), 1, &["a", "!invalid_envelope", "b"]);
    check(between(r#"{"message":null}"#), 1, &["a", "!invalid_envelope", "b"]);
    check(between(r#"{"message":"{\"modelId\":"}"#), 1, &["a", "!invalid_json", "b"]);
    check(between("{\"message\":\"a\nb\"}"), 1, &["a", "!invalid_json", "b"]);
    check(between(r#"{"message":"a\qb"}"#), 1, &["a", "!invalid_json", "b"]);
    check(between(r#"{"message":"{\"modelId\":\"\u0000\"}"}"#), 1, &["a", "!invalid_json", "b"]);
    check(between(r#"{"message":"\ud800"}"#), 1, &["a", "-not_invocation", "b"]);
    let deep = format!(r#"{{"message":"{{\"modelId\":{}"}}"#, "[".repeat(100_000));
    check(between(&deep), 1, &["a", "!too_deep", "b"]);
    let mut invalid = between(r#"{"message":"{\"modelId\":\"@\"}"}"#).into_bytes();
    let at = invalid.iter().rposition(|&byte| byte == b'@').unwrap();
    invalid[at] = 0xff;
    check(&invalid, 1, &["a", "!invalid_utf8", "b"]);
    // What breaks the envelope's own punctuation ends it; what came before is kept.
    check(between("}"), 1, &["a", "!invalid_json"]);
    let whole = envelope(&["a", "b"]);
    check(&whole[..whole.len() - 10], 1, &["a", "!invalid_json"]);
    check(format!("{}\n{}", &whole[..200], envelope(&["c"])), 1, &["!invalid_json", "c"]);
    check(format!("{}\njunk\n{}", envelope(&["a"]), envelope(&["b"])), 1, &["a", "!unknown_framing", "b"]);
    // A line that is cut within a message.
    check(format!("{}\n{}", &whole[..400], envelope(&["c"])), 1, &["!invalid_json", "c"]);
    check(format!("{}\n{NOTICE}\n{}", envelope(&["a"]), envelope(&["b"])), 1, &["a", "-notice", "b"]);
    check(r#"{"messageType":"DATA_MESSAGE"}"#, 1, &["!invalid_envelope"]);
    check(r#"{"messageType":"DATA_MESSAGE","logEvents":{}}"#, 1, &["!invalid_envelope"]);
    check("\"not base64!\"", 1, &["!invalid_base64"]);
    check("hello there", 1, &["!unknown_framing"]);
    check([0xff, 0xfe, 0, 1], 1, &["!unknown_framing"]);
    check("[".repeat(1_000_000), 1, &["!too_deep"]);
    check(format!("{{\"a\":{}", "[".repeat(1_000_000)), 1, &["!too_deep"]);
    check("H4sI!!!!", 1, &["!invalid_base64"]);
    check("H4sIAAAAA", 1, &["!invalid_base64"]);
}

#[test]
fn damaged_gzip_is_rejected_with_its_bytes() {
    let (one, two) = (gzip(envelope(&["a"])), gzip(envelope(&["b"])));
    let check = |payload: Vec<u8>, expected: &[&str]| {
        let (notes, _) = walk_with(&payload, limits(), &[]);
        assert_eq!(notes.words, expected);
        assert!(notes.originals.iter().all(|original| original == &payload));
    };
    check(one[..one.len() - 1].to_vec(), &["!truncated"]);
    check(one[..12].to_vec(), &["!truncated"]);
    check(one[..2].to_vec(), &["!truncated"]);
    for from_end in 1..=8 {
        let mut bad = one.clone();
        let at = bad.len() - from_end;
        bad[at] ^= 1;
        check(bad, &["!corrupt"]);
    }
    check([one.as_slice(), b"garbage"].concat(), &["a", "!corrupt"]);
    check([one.as_slice(), &two[..two.len() - 1]].concat(), &["a", "!truncated"]);
    let mut damaged = kpl(std::slice::from_ref(&one));
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    check(damaged, &["!corrupt"]);
}

#[test]
fn zstd_is_inflated_wherever_gzip_is() {
    let plain = envelope(&["a", "b"]);
    let (one, two) = (zstd(&plain), zstd(envelope(&["c"])));
    check(&one, 1, &["a", "b"]);
    check([one.as_slice(), &two].concat(), 1, &["a", "b", "c"]);
    check([skippable(b"any").as_slice(), &one, &skippable(b""), &two, &[0; 3]].concat(), 1, &["a", "b", "c"]);
    check([one.as_slice(), b"\n", &two, b"\n"].concat(), 1, &["a", "b", "c"]);
    check(skippable(b"any"), 1, &["-empty"]);
    check(zstd(""), 1, &["-empty"]);
    check(zstd(gzip(zstd(&plain))), 1, &["a", "b"]);
    check(gzip(&one), 1, &["a", "b"]);
    check(base64(&one), 1, &["a", "b"]);
    check(format!("{}\n{}\n", base64(&one), base64(&two)), 2, &["a", "b", "c"]);
    check(kpl(&[one.clone(), two.clone()]), 2, &["a", "b", "c"]);
    check(zstd(format!("{}\n{}", invocation("a"), invocation("b"))), 1, &["a", "b"]);
    // A document may go on in the next frame.
    let (head, tail) = plain.split_at(100);
    check([zstd(head), zstd(tail), two].concat(), 1, &["a", "b", "c"]);
}

#[test]
fn damaged_zstd_is_rejected_with_its_bytes_and_its_neighbours_are_read() {
    let frames: Vec<_> = ["a", "b", "c"].map(|id| zstd(envelope(&[id]))).into();
    let check_all = |payload: Vec<u8>, expected: &[&str]| {
        let (notes, _) = walk_with(&payload, limits(), &[]);
        assert_eq!(notes.words, expected);
        assert!(notes.originals.iter().all(|original| original == &payload));
    };
    for end in 4..frames[0].len() {
        check_all(frames[0][..end].to_vec(), &["!truncated"]);
    }
    check_all(skippable(b"any")[..10].to_vec(), &["!truncated"]);
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut changed = frames.clone();
        change(&mut changed[1]);
        changed.concat()
    };
    let last = frames[1].len() - 1;
    check_all(with(&|frame| frame[last] ^= 1), &["a", "c", "!corrupt"]);
    check_all(with(&|frame| frame[last - 20] ^= 0xff), &["a", "c", "!corrupt"]);
    check_all(with(&|frame| frame.truncate(40)), &["a", "c", "!corrupt"]);
    check_all([frames[0].as_slice(), b"garbage"].concat(), &["a", "!corrupt"]);
    check_all([&frames[0], &gzip("{}")[..]].concat(), &["a", "!corrupt"]);
    // A window of 1 GiB, which nobody gets.
    check_all(with(&|frame| frame[4..6].copy_from_slice(&[0, 20 << 3])), &["a", "c", "!too_large"]);
}

#[test]
fn the_limit_holds_for_zstd() {
    let bomb = zstd(vec![b' '; 2 << 20]);
    check(&bomb, 1, &["!too_large"]);
    check([zstd("{}"), bomb.clone(), zstd("{}")].concat(), 1, &["-not_invocation", "!too_large"]);
    // Bombs in bombs, and many of them.
    check(zstd(zstd(&bomb)), 1, &["!too_large"]);
    let part = base64(zstd(vec![b' '; 1 << 20]));
    let parts = vec![format!("\"{part}\""); 40].join(",");
    let (_, tally) = walk_with(&zstd(format!("[{parts}]")), limits(), &[]);
    assert!(tally.rejects[&(Stage::Decode, Reason::TooLarge)] >= 30, "{tally:?}");
}

#[track_caller]
fn check_part(payload: &[u8], part: Part, payloads: u64, expected: &[&str]) {
    let (notes, tally) = walk_part(payload, part, limits(), &[]);
    assert_eq!(notes.words, expected, "{part:?}");
    assert_eq!(tally.payloads, payloads, "{part:?}");
}

#[test]
fn of_an_aggregate_only_the_part_is_read() {
    let data = |id: &str| gzip(envelope(&[id]));
    let keys = ["left", "right"];
    let (left, right) = (hash_of("left"), hash_of("right"));
    let only = |key: u128| Some(HashKeys { first: key, last: key });
    let explicit = ["7", "340282366920938463463374607431768211455", "", "many"];
    let records = [
        (Some(0), None, data("a")),
        (Some(1), None, data("b")),
        (Some(1), Some(0), data("c")),
        (Some(0), Some(1), data("d")),
    ];
    let bytes = seal(&aggregate_of(&keys, &explicit, &records));
    let check = |first: u64, hash_keys: Option<HashKeys>, payloads: u64, expected: &[&str]| {
        check_part(&bytes, Part { first, hash_keys }, payloads, expected);
    };
    const OTHER: &str = "-other_shard";
    check(0, None, 4, &["a", "b", "c", "d"]);
    check(2, None, 2, &["c", "d"]);
    check(4, None, 0, &[]);
    check(u64::MAX, None, 0, &[]);
    check(0, only(left), 4, &["a", OTHER, OTHER, OTHER]);
    check(0, only(right), 4, &[OTHER, "b", OTHER, OTHER]);
    check(1, only(right), 3, &["b", OTHER, OTHER]);
    // The explicit hash key goes before the partition key; both ends are included.
    check(0, only(7), 4, &[OTHER, OTHER, "c", OTHER]);
    check(0, only(u128::MAX), 4, &[OTHER, OTHER, OTHER, "d"]);
    check(0, Some(HashKeys { first: 0, last: u128::MAX }), 4, &["a", "b", "c", "d"]);
    // The tables may come behind the records.
    let message = [aggregate_of(&[], &[], &records), aggregate_of(&keys, &explicit, &[])].concat();
    check_part(&seal(&message), Part { first: 0, hash_keys: only(7) }, 4, &[OTHER, OTHER, "c", OTHER]);
    // Whose hash key is not known is kept: indices out of their tables, none at all, entries that are no numbers.
    let unknown = [
        (Some(2), None, data("a")),
        (Some(0), Some(4), data("b")),
        (None, None, data("c")),
        (Some(0), Some(2), data("d")),
        (Some(0), Some(3), data("e")),
        (Some(u64::MAX), None, data("f")),
        (Some(0), None, data("g")),
    ];
    let bytes = seal(&aggregate_of(&keys, &explicit, &unknown));
    check_part(&bytes, Part { first: 0, hash_keys: only(7) }, 7, &["a", "b", "c", "d", "e", "f", OTHER]);
    // A part speaks of the stream's own record: not of one that is no aggregate, and not of aggregates in it.
    let part = Part { first: 1, hash_keys: only(7) };
    check_part(&data("a"), part, 1, &["a"]);
    check_part(&gzip(kpl(&[data("a"), data("b")])), part, 2, &["a", "b"]);
    let nested =
        seal(&aggregate_of(&[], &["7"], &[(None, None, vec![]), (None, Some(0), kpl(&[data("a"), data("b")]))]));
    check_part(&nested, part, 2, &["a", "b"]);
}

#[test]
fn a_damaged_aggregate_is_none_and_what_comes_before_the_damage_is_read() {
    let records = ["a", "b"].map(|id| (Some(0), None, gzip(envelope(&[id]))));
    let message = aggregate_of(&["left"], &[], &records);
    let ours = HashKeys { first: hash_of("left"), last: hash_of("left") };
    let part = Part { first: 1, hash_keys: Some(ours) };
    let whole = seal(&message);
    assert_eq!(user_records(&whole, None), Some(2));
    assert_eq!(user_records(&whole, Some(ours)), Some(2));
    assert_eq!(user_records(&whole, Some(HashKeys { first: 1, last: 2 })), Some(0));
    let check = |bytes: &[u8], payloads: u64, expected: &[&str]| {
        assert_eq!(user_records(bytes, None), None);
        check_part(bytes, part, payloads, expected);
    };
    for at in [4, 10, whole.len() - 1] {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        check(&flipped, 1, &["!corrupt"]);
    }
    check(&whole[..whole.len() - 1], 1, &["!corrupt"]);
    check(&whole[..20], 1, &["!unknown_framing"]);
    // The MD5 is that of the damaged message: a group's end, a length beyond the message.
    check(&seal(&[message.as_slice(), &[0x0c]].concat()), 2, &["b", "!corrupt"]);
    check(&seal(&[message.as_slice(), &[1 << 3 | 2, 9]].concat()), 2, &["b", "!corrupt"]);
    // Damage in the tables leaves the keys behind it unknown: kept.
    let mut late = vec![1 << 3 | 2, 0x7f];
    late.extend_from_slice(&message);
    check(&seal(&late), 1, &["!corrupt"]);
}

#[test]
fn limits_hold() {
    let many: Vec<_> = (0..101).map(|i| event("1", &invocation(&i.to_string()))).collect();
    let (notes, _) = walk_with(gzip(envelope_of("g", &many)).as_slice(), limits(), &[]);
    assert_eq!(notes.words.len(), 101);
    assert_eq!(notes.words[100], "!too_many_events");
    let bomb = gzip(vec![b' '; 2 << 20]);
    check(&bomb, 1, &["!too_large"]);
    check([gzip("{}"), bomb.clone()].concat(), 1, &["-not_invocation", "!too_large"]);
    check([gzip("{}"), bomb.clone(), gzip("{}")].concat(), 1, &["-not_invocation", "!too_large"]);
    // A size in the trailer that promises little, or much, is not believed.
    for size in [7_u32, 1 << 20, u32::MAX] {
        let mut liar = bomb.clone();
        let at = liar.len() - 4;
        liar[at..].copy_from_slice(&size.to_le_bytes());
        check(&liar, 1, &["!too_large"]);
    }
    let mut wrapped = gzip(envelope(&["a"]));
    for _ in 0..7 {
        wrapped = gzip(&wrapped);
    }
    check(&wrapped, 1, &["a"]);
    check(gzip(&wrapped), 1, &["!too_deep"]);
}

#[test]
fn a_record_may_inflate_to_so_much_in_all_its_parts_together() {
    // Each part is within the limit of one, and all together are not: 40 MiB from a few KiB.
    let part = base64(gzip(vec![b' '; 1 << 20]));
    let parts = vec![format!("\"{part}\""); 40].join(",");
    let (_, tally) = walk_with(&gzip(format!("[{parts}]")), limits(), &[]);
    assert!(tally.rejects[&(Stage::Decode, Reason::TooLarge)] >= 30, "{tally:?}");
}

#[test]
fn members_behind_a_damaged_one_are_read() {
    let members: Vec<_> = ["a", "b", "c"].map(|id| gzip(envelope(&[id]))).into();
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut changed = members.clone();
        change(&mut changed[1]);
        changed.concat()
    };
    let last = members[1].len() - 1;
    check(with(&|member| member[last] ^= 1), 1, &["a", "c", "!corrupt"]);
    check(with(&|member| member[30] ^= 0xff), 1, &["a", "c", "!corrupt"]);
    check(with(&|member| member.truncate(40)), 1, &["a", "c", "!corrupt"]);
    check(members.join(&b'\n'), 1, &["a", "b", "c"]);
    // A document that ends too early does not take the next member's along.
    let whole = envelope(&["b"]);
    let cut = gzip(&whole[..whole.len() - 40]);
    check([members[0].as_slice(), &cut, &members[2]].concat(), 1, &["a", "!invalid_json", "c"]);
    // A document may go on in the next member.
    let halves = [gzip(&whole[..100]), gzip(&whole[100..])].concat();
    check([halves.as_slice(), &members[2]].concat(), 1, &["b", "c"]);
}

fn letter(stage: &str, data: impl AsRef<[u8]>) -> String {
    let data = base64(data);
    format!(
        r#"{{"time":"t","stage":"{stage}","reason":"r","detail":"d","origin":{{"kind":"file"}},"log_group":"other","log_stream":"s","event_id":"5","event_timestamp_millis":7,"data":"{data}"}}"#
    )
}

#[test]
fn dead_letters_are_opened() {
    let (message, payload) = (invocation("a"), gzip(envelope(&["b", "c"])));
    for stage in ["parse", "deliver"] {
        check(letter(stage, &message), 1, &["a"]);
        check(letter(stage, "no JSON"), 1, &["-not_invocation"]);
        check(letter(stage, b"\xff"), 1, &["!invalid_utf8"]);
    }
    check(letter("decode", &payload), 1, &["b", "c"]);
    check(letter("decode", &message), 1, &["a"]);
    check(letter("a stage of later", &payload), 1, &["b", "c"]);
    check(letter("extract", envelope(&["b", "c"])), 1, &["b", "c"]);
    check(letter("extract", event("e", &message)), 1, &["a"]);
    check(letter("extract", "{}"), 1, &["!invalid_envelope"]);
    check(letter("extract", "7"), 1, &["!invalid_envelope"]);
    check(letter("extract", "{} {}"), 1, &["!invalid_envelope", "!invalid_json"]);
    check(letter("extract", "{"), 1, &["!invalid_json"]);
    // On lines, in a list, in a record of a batch, in a wrapper.
    let two = [letter("parse", &message), letter("decode", &payload)];
    check(two.join("\n"), 2, &["a", "b", "c"]);
    check(format!("[{}]", two.join(",")), 2, &["a", "b", "c"]);
    check(gzip(two.join("\n")), 2, &["a", "b", "c"]);
    check(format!(r#"{{"Records":[{{"kinesis":{{"data":"{}"}}}}]}}"#, base64(&two[0])), 1, &["a"]);
    // Without one of its members it is another document.
    check(letter("decode", "text"), 1, &["!unknown_framing"]);
    check(letter("decode", "text").replace("detail", "details"), 1, &["-not_invocation"]);
}

#[test]
fn a_letter_keeps_what_is_known_of_its_event() {
    let check = |letter: &str, groups: &[&str], expected: &[&str]| {
        let (notes, _) = walk_with(letter.as_bytes(), limits(), groups);
        assert_eq!(notes.words, expected, "{letter}");
        notes.events
    };
    let known = "Some(\"5\") Some(7) Some(\"other\") Some(\"s\")";
    assert_eq!(check(&letter("parse", invocation("a")), &["oth*"], &["a"]), [known]);
    assert_eq!(check(&letter("deliver", invocation("a")), &[], &["a"]), [known]);
    assert_eq!(check(&letter("parse", r#"{"modelId":"m"}"#), &[], &["!missing_field"]), [known]);
    let of_its_own = "Some(\"e\") Some(1790000000000) Some(\"other\") Some(\"s\")";
    assert_eq!(check(&letter("extract", event("e", &invocation("a"))), &["oth*"], &["a"]), [of_its_own]);
    for stage in ["extract", "parse", "deliver"] {
        check(&letter(stage, invocation("a")), &["bedrock"], &["-other_log_group"]);
    }
    check(&letter("decode", envelope(&["a"])), &["bedrock"], &["a"]);
}

#[test]
fn letters_in_letters_are_bounded_and_damaged_ones_are_rejected_whole() {
    let nested =
        |letters: usize| (1..letters).fold(letter("parse", invocation("a")), |inner, _| letter("decode", inner));
    check(nested(2), 1, &["a"]);
    let (notes, _) = walk_with(nested(3).as_bytes(), limits(), &[]);
    assert_eq!((notes.words, notes.originals), (vec!["!too_deep".to_owned()], vec![nested(1).into_bytes()]));
    let (notes, _) = walk_with(nested(12).as_bytes(), limits(), &[]);
    assert_eq!(notes.words, ["!too_deep"]);

    for data in ["%%%", "\\u0000", "\\x", "YQ==YQ=="] {
        let damaged = letter("parse", "").replace(r#""data":"""#, &format!("\"data\":\"{data}\""));
        let lines = [&damaged, &invocation("b"), &nested(1)].map(String::as_str).join("\n");
        let (notes, tally) = walk_with(lines.as_bytes(), limits(), &[]);
        let reason = if data == "\\x" { "!invalid_json" } else { "!invalid_base64" };
        assert_eq!(notes.words, [reason, "b", "a"]);
        assert_eq!((notes.originals, tally.payloads), (vec![damaged.clone().into_bytes()], 1));
        // The letter about it is opened, and gives it again.
        let (notes, _) = walk_with(letter("decode", &damaged).as_bytes(), limits(), &[]);
        assert_eq!((notes.words, notes.originals), (vec![reason.to_owned()], vec![damaged.into_bytes()]));
    }
}

#[test]
fn a_bad_element_costs_itself_only() {
    let bad = r#"{"messageType":"DATA_MESSAGE","logEvents":5}"#;
    let (a, b) = (envelope(&["a"]), envelope(&["b"]));
    check(format!("[{a},{bad},{b}]"), 1, &["a", "!invalid_envelope", "b"]);
    check(format!("{a}{bad}{b}"), 1, &["a", "!invalid_envelope", "b"]);
    check(format!("[{},5,{}]", invocation("a"), invocation("b")), 1, &["a", "!unknown_framing", "b"]);
    let encoded = base64(gzip(&a));
    check(format!("[\"{encoded}\",\"!!!bad\",\"{encoded}\"]"), 3, &["a", "!invalid_base64", "a"]);
    let lines: Vec<_> = ["a", "b", "c"].map(invocation).into();
    check(format!("[\n{},\n{{\"cut", lines.join(",\n")), 1, &["a", "b", "c", "!invalid_json"]);
}

#[test]
fn an_invocation_is_one_whatever_else_it_holds() {
    let with = |member: &str| invocation("a").replacen('{', &format!("{{{member},"), 1);
    for member in [
        r#""events":[]"#,
        r#""records":[]"#,
        r#""logEvents":[]"#,
        r#""awslogs":{"a":1}"#,
        r#""stage":"prod","data":"abcd""#,
        r#""recordId":"x","data":"hello world!""#,
        r#""Records":[{"data":"x"}]"#,
    ] {
        check(with(member), 1, &["a"]);
    }
}

#[test]
fn base64_lines_may_begin_in_several_ways() {
    let lines = [base64(gzip(envelope(&["a"]))), base64(invocation("b")), base64(kpl(&[gzip(envelope(&["c"]))]))];
    check(lines.join("\n"), 3, &["a", "b", "c"]);
}

#[test]
fn rejects_of_one_payload_are_bounded() {
    let (notes, _) = walk_with("[\n".repeat(50_000).as_bytes(), limits(), &[]);
    assert!(notes.words.len() <= 10_001, "{}", notes.words.len());
    let kept: usize = notes.originals.iter().map(Vec::len).sum();
    assert!(kept >= 90_000, "bytes are missing: {kept}");
}

proptest! {
    #[test]
    fn wherever_an_aggregate_is_cut_its_shards_read_everything_once(
        records in proptest::collection::vec((0..5_u64, proptest::option::of(0..5_u64)), 0..12),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 2),
        border in any::<u128>(),
    ) {
        let explicit: Vec<_> = (0..4_u128).map(|quarter| (quarter << 126).to_string()).collect();
        let explicit: Vec<_> = explicit.iter().map(String::as_str).collect();
        // One index in five is out of its table.
        let records: Vec<_> = records.iter().enumerate()
            .map(|(id, (key, explicit))| (Some(*key), *explicit, gzip(envelope(&[&id.to_string()]))))
            .collect();
        let keys = ["a", "b", "c", "d"];
        let bytes = seal(&aggregate_of(&keys, &explicit, &records));
        let hash = |(key, explicit_index, _): &UserRecord| match explicit_index {
            Some(index) => explicit.get(*index as usize).map(|digits| digits.parse::<u128>().unwrap()),
            None => keys.get(key.unwrap() as usize).map(|key| hash_of(key)),
        };
        let shards = [HashKeys { first: 0, last: border }, HashKeys { first: border.saturating_add(1), last: u128::MAX }];
        for (shard, cut) in shards.into_iter().zip(cuts) {
            let cut = cut.index(records.len() + 1) as u64;
            // What is delivered up to the cut is the beginning of a whole reading; the rest is what a resumed one reads.
            let whole = walk_part(&bytes, Part { first: 0, hash_keys: Some(shard) }, limits(), &[]).0.words;
            let rest = walk_part(&bytes, Part { first: cut, hash_keys: Some(shard) }, limits(), &[]).0.words;
            let both: Vec<_> = whole.iter().take(cut as usize).chain(&rest).cloned().collect();
            let expected: Vec<_> = records.iter().enumerate().map(|(id, record)| {
                if hash(record).is_none_or(|key| shard.contains(key)) { id.to_string() } else { "-other_shard".to_owned() }
            }).collect();
            prop_assert_eq!(&both, &expected);
            let ours = expected.iter().filter(|word| !word.starts_with('-')).count() as u64;
            if !records.is_empty() {
                prop_assert_eq!(user_records(&bytes, Some(shard)), Some(ours));
                prop_assert_eq!(user_records(&bytes, None), Some(records.len() as u64));
            }
        }
    }

    #[test]
    fn garbage_ends_and_the_sum_holds(payload in proptest::collection::vec(any::<u8>(), 0..300)) {
        walk_with(&payload, limits(), &[]);
    }

    #[test]
    fn one_flipped_bit_costs_no_more_than_its_record(bit in any::<prop::sample::Index>(), zipped in any::<bool>()) {
        let lines = [envelope(&["a"]), envelope(&["b"]), envelope(&["c"])];
        let mut middle = if zipped { base64(gzip(&lines[1])) } else { lines[1].clone() }.into_bytes();
        let bit = bit.index(middle.len() * 8);
        middle[bit / 8] ^= 1 << (bit % 8);
        let payload = [lines[0].as_bytes(), b"\n", &middle, b"\n", lines[2].as_bytes()].concat();
        let (notes, _) = walk_with_loose(&payload);
        prop_assert_eq!(notes.first().map(String::as_str), Some("a"));
        prop_assert_eq!(notes.last().map(String::as_str), Some("c"));
    }

    #[test]
    fn a_cut_payload_ends_and_the_sum_holds(at in any::<prop::sample::Index>()) {
        let whole = gzip(format!("{}{}", envelope(&["a", "b"]), invocation("c")));
        walk_with_loose(&whole[..at.index(whole.len())]);
        let whole = zstd(format!("{}{}", envelope(&["a", "b"]), invocation("c")));
        walk_with_loose(&whole[..at.index(whole.len())]);
        let plain = envelope(&["a", "b"]);
        walk_with_loose(&plain.as_bytes()[..at.index(plain.len())]);
    }
}

/// The request ids and rejects, bodies not looked at.
fn walk_with_loose(payload: &[u8]) -> (Vec<String>, Tally) {
    struct Loose(Vec<String>);
    impl Visit for Loose {
        fn invocation(&mut self, invocation: &Invocation<'_>, _context: &Context<'_>) -> Option<Skip> {
            self.0.push(invocation.request_id.map(|id| id.decode().into_owned()).unwrap_or_default());
            None
        }
        fn reject(&mut self, _fault: Fault, _original: &[u8], _event: Option<&LogEvent<'_>>, _origin: &Origin) {
            self.0.push("!".to_owned());
        }
        fn skip(&mut self, _kind: Skip, count: u64) {
            self.0.extend((0..count).map(|_| "-".to_owned()));
        }
    }
    let (mut loose, mut tally) = (Loose(Vec::new()), Tally::default());
    let origin = Origin::File { path: "test".into(), offset: 0 };
    let record = Record::new(Bytes::copy_from_slice(payload), origin.clone());
    let context = Context {
        origin: &origin,
        parse_time: jiff::Timestamp::UNIX_EPOCH,
        source_id: None,
        source_label: None,
        unmapped: true,
        prices: &Default::default(),
    };
    let (limits, log_groups) = (limits(), globset::GlobSet::empty());
    let mut walk = Walk::new(context, &limits, &log_groups, &mut loose, &mut tally);
    super::record(&record, &mut walk, &mut Scratch::default());
    assert_eq!(tally.log_events, loose.0.len() as u64);
    (loose.0, tally)
}

#[test]
fn a_document_is_the_same_on_a_line_and_in_a_list() {
    let modern = invocation("r").replacen(r#""schemaType":"ModelInvocationLog",""#, "\"", 1).replacen(
        r#""schemaVersion":"1.0","timestamp":"2026-11-22T07:39:00Z","#,
        r#""timestamp":"2026-11-22T07:39:00Z","#,
        1,
    );
    assert!(modern.starts_with(r#"{"timestamp":""#), "{modern}");
    let time = r#"{"timestamp":"2026-11-22T07:39:00Z","#;
    let documents = [
        modern.clone(),
        modern.replacen("accountId", "account", 1),
        modern.replacen("12345678", "\u{e9}", 1),
        format!("{time}\"message\":\"another log\"}}"),
        format!("{time}{}", &envelope(&["a", "b"])[1..]),
        format!("{time}\"records\":[{{\"data\":\"{}\"}}]}}", base64(gzip(envelope(&["a"])))),
        format!("{time}\"events\":[{}]}}", event("e", &invocation("a"))),
        format!("{time}\"data\":\"{}\",\"partitionKey\":\"k\"}}", base64(gzip(envelope(&["a"])))),
        invocation("r").replacen("modelId", "model", 1),
    ];
    let words = |text: String| walk_with(text.as_bytes(), limits(), &[]).0.words;
    for document in &documents {
        assert_eq!(words(document.clone()), words(format!("[{document}]")), "{document}");
        let (twice, after) = (format!("{document}{modern}"), format!("{modern}\n{document}\r\n"));
        assert_eq!(words(twice), words(format!("[{document},{modern}]")), "{document}");
        assert_eq!(words(after), words(format!("[{modern},{document}]")), "{document}");
    }
}

#[test]
fn a_body_is_no_event_whatever_its_caller_wrote() {
    let forged = quoted(&invocation("forged"));
    // What Cohere's models are asked with.
    check(format!(r#"{{"message":{forged}}}"#), 1, &["-not_invocation"]);
    check(
        format!(r#"{{"message":{forged},"chat_history":[{{"role":"USER","message":{forged}}}],"temperature":0}}"#),
        1,
        &["-not_invocation"],
    );
    check(format!(r#"{{"results":[{{"outputText":{forged}}}]}}"#), 1, &["-not_invocation"]);
    check(format!(r#"{{"message":{{"role":"assistant","content":[{{"text":{forged}}}]}}}}"#), 1, &["-not_invocation"]);
    // And what a log event is.
    check(format!(r#"{{"timestamp":1,"message":{forged}}}"#), 1, &["forged"]);
}
