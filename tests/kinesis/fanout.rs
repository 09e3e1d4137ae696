//! One shard, subscribed to: renewals, failures before and inside the stream, the end, back-pressure, dropped futures.

use std::time::Duration;

use bedrock_tap::budget::Budget;
use bedrock_tap::record::{Position, SequenceNumber, ShardId};
use bedrock_tap::source::kinesis::fanout::consumer::Consumer;
use bedrock_tap::source::kinesis::fanout::{FanOutSource, IfRefused, Settings};
use bedrock_tap::source::kinesis::pace::Limits;
use bedrock_tap::source::kinesis::progress::Progress;
use bedrock_tap::source::{Read, Source, SourceError};
use serde_json::json;
use tokio::time::{Instant, timeout};

use crate::support::eventstream::{exception, frame as raw_frame, initial_response};
use crate::support::fanout_script::{Answer, Item, Script, body, children, consumer, end, event, frame, listing};

mod connecting;
#[cfg(feature = "demo")]
mod over_http;

const MIB: usize = 1024 * 1024;

async fn source_with(script: &Script, position: Position, budget: &Budget, settings: Settings) -> FanOutSource {
    let kinesis = script.kinesis();
    let consumer = Consumer::find(kinesis.clone(), "app", false).await.unwrap();
    let progress = Progress::new("logs".into(), ShardId::new("shardId-000000000000"), position, None);
    FanOutSource::new(kinesis, consumer, progress, budget.clone(), Limits::default(), settings)
}

async fn source(script: &Script, position: Position) -> FanOutSource {
    source_with(script, position, &Budget::new(256 * MIB), Settings::default()).await
}

fn number(number: u64) -> SequenceNumber {
    SequenceNumber::new(&number.to_string()).unwrap()
}

fn after(sequence: u64) -> Position {
    Position::After(number(sequence))
}

/// Everything up to the shard's end, and its children.
async fn drain(source: &mut FanOutSource) -> (Vec<String>, Vec<ShardId>) {
    let mut all = Vec::new();
    loop {
        match source.next().await.unwrap() {
            Read::End { children } => return (all, children),
            Read::Records { records, .. } => {
                all.extend(records.iter().map(|record| String::from_utf8_lossy(&record.data).into_owned()));
            }
        }
    }
}

/// Where each subscription began: the type, and the number where there is one.
fn starts(script: &Script) -> Vec<String> {
    let start = |call: crate::support::fanout_script::Call| {
        let start = &call.input["StartingPosition"];
        let number = start["SequenceNumber"].as_str().unwrap_or_default();
        format!("{} {number}", start["Type"].as_str().unwrap()).trim_end().to_owned()
    };
    script.calls("SubscribeToShard").into_iter().map(start).collect()
}

fn assert_spaced(script: &Script) {
    let calls = script.calls("SubscribeToShard");
    for pair in calls.windows(2) {
        let gap = pair[1].at - pair[0].at;
        assert!(gap >= Duration::from_secs(5), "two subscriptions of one shard within {gap:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_shard_is_renewed_before_its_subscription_ends_and_told_now_and_then() {
    let idle = |from: u64| -> Vec<Item> {
        let items = (0..1500).flat_map(|at| [Item::Wait(Duration::from_millis(200)), event(&[], from + at, 0)]);
        std::iter::once(Item::Bytes(initial_response())).chain(items).collect()
    };
    let script = Script::new([Answer::Stream(idle(1_000)), Answer::Stream(idle(5_000)), Answer::Stream(vec![end()])]);
    let budget = Budget::new(256 * MIB);
    let mut source = source_with(&script, Position::TrimHorizon, &budget, Settings::default()).await;
    let (begun, mut told) = (Instant::now(), Vec::new());
    while let Read::Records { records, position, lag, .. } = source.next().await.unwrap() {
        assert!(records.is_empty() && lag == Some(Duration::ZERO));
        assert_eq!(budget.in_flight_bytes(), 0, "an idle shard holds bytes");
        told.push(position);
    }
    let calls = script.calls("SubscribeToShard");
    for pair in calls.windows(2) {
        let life = pair[1].at - pair[0].at;
        assert!((250..=286).contains(&life.as_secs()), "renewed after {life:?}");
    }
    let reads = told.len() as u64;
    assert!((begun.elapsed().as_secs() / 12..=begun.elapsed().as_secs() / 10 + 2).contains(&reads), "{reads} reads");
    assert!(told.windows(2).all(|pair| pair[0] != pair[1]), "the position did not move");
    let starts = starts(&script);
    assert_eq!(starts[0], "TRIM_HORIZON");
    assert!(starts[1].starts_with("AFTER_SEQUENCE_NUMBER 2"), "{starts:?}");
    assert!(starts[2].starts_with("AFTER_SEQUENCE_NUMBER 6"), "{starts:?}");
}

#[tokio::test(start_paused = true)]
async fn whatever_fails_nothing_is_missing_and_nothing_comes_twice() {
    let corrupt = |at: usize| {
        let mut bytes = frame(&body(&[(103, b"lost".to_vec())], 103, 0));
        let at = bytes.len() - 1 - at;
        bytes[at] ^= 1;
        vec![Item::Bytes(bytes)]
    };
    let whole = frame(&body(&[(103, b"lost".to_vec())], 103, 0));
    let unmodelled = raw_frame(&[(":message-type", "error"), (":error-code", "x")], b"");
    let mut inside: Vec<Vec<Item>> = vec![
        Vec::new(),
        vec![Item::Cut],
        vec![Item::Silence],
        corrupt(0),
        corrupt(20),
        vec![Item::Bytes(whole[..whole.len() / 2].to_vec())],
        vec![Item::Bytes(whole[..5].to_vec()), Item::Cut],
        vec![Item::Bytes(unmodelled)],
        // No frame is so long.
        vec![Item::Bytes(vec![0xff; 64])],
    ];
    let kinds = [
        "ResourceNotFoundException",
        "ResourceInUseException",
        "KMSDisabledException",
        "KMSInvalidStateException",
        "KMSAccessDeniedException",
        "KMSNotFoundException",
        "KMSOptInRequired",
        "KMSThrottlingException",
        "InternalFailureException",
        "SomethingNewException",
    ];
    inside.extend(kinds.iter().map(|kind| vec![Item::Bytes(exception(kind))]));
    let before = [
        Answer::Error(400, "ResourceInUseException"),
        Answer::Error(400, "LimitExceededException"),
        Answer::Error(400, "KMSThrottlingException"),
        Answer::Error(400, "AccessDeniedException"),
        Answer::Error(400, "KMSAccessDeniedException"),
        Answer::Error(400, "ExpiredTokenException"),
        Answer::Error(400, "ResourceNotFoundException"),
        Answer::Error(500, "InternalFailureException"),
        Answer::Error(503, ""),
        Answer::Never,
        Answer::Stream(vec![Item::Silence]),
        Answer::Stream(Vec::new()),
        Answer::Stream(vec![Item::Bytes(initial_response()), Item::Silence]),
    ];
    let inside = inside.into_iter().map(|items| {
        let first = [event(&[101, 102], 102, 0)].into_iter().chain(items);
        (Answer::Stream(first.collect()), 1)
    });
    let before = before.into_iter().map(|fault| (fault, 0));
    for (fault, read) in inside.chain(before) {
        let rest = [event(&[101, 102, 103], 103, 0), event(&[104], 104, 0), end()];
        let rest = if read == 1 { &rest[1..] } else { &rest[..] };
        let rest = if read == 1 {
            std::iter::once(event(&[103], 103, 0)).chain(rest.iter().cloned()).collect()
        } else {
            rest.to_vec()
        };
        let script = Script::new([fault.clone(), Answer::Stream(rest)]);
        let mut source = source(&script, after(100)).await;
        let begun = Instant::now();
        let (texts, children) = drain(&mut source).await;
        assert_eq!(texts, ["r101", "r102", "r103", "r104"], "{fault:?}");
        assert_eq!(children.len(), 2, "{fault:?}");
        // What was stored is asked for with its record, to see whether it is still there.
        let expected = if read == 1 { "AFTER_SEQUENCE_NUMBER 102" } else { "AT_SEQUENCE_NUMBER 100" };
        assert_eq!(starts(&script), ["AT_SEQUENCE_NUMBER 100", expected], "{fault:?}");
        assert_spaced(&script);
        assert!(begun.elapsed() < Duration::from_secs(45), "{fault:?}: {:?}", begun.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn failures_that_last_are_met_at_a_bounded_rate() {
    for code in ["ResourceInUseException", "LimitExceededException", "KMSDisabledException", "SomethingNewException"] {
        let script = Script::new((0..1000).map(|_| Answer::Error(400, code)));
        let mut source = source(&script, Position::TrimHorizon).await;
        assert!(timeout(Duration::from_secs(600), source.next()).await.is_err());
        let calls = script.calls("SubscribeToShard").len();
        assert!((15..=121).contains(&calls), "{code}: {calls} calls in ten minutes");
        assert_spaced(&script);
    }
}

#[tokio::test(start_paused = true)]
async fn each_end_is_seen_and_no_other() {
    let with = |records: &[(u64, Vec<u8>)], next: Option<&str>, has_children: bool| {
        let mut body = body(records, 0, 0);
        body["ContinuationSequenceNumber"] = json!(next);
        if next.is_none() {
            body.as_object_mut().unwrap().remove("ContinuationSequenceNumber");
        }
        if has_children {
            body["ChildShards"] = children();
        }
        Item::Bytes(frame(&body))
    };
    let last = [(101, b"r101".to_vec())];
    let check = async |first: Vec<Item>, closed: bool, subscriptions: usize, expected: &[&str], children: usize| {
        let shown = format!("{first:?}");
        let script = Script::new([Answer::Stream(first), Answer::Stream(vec![event(&[102], 102, 0), end()])]);
        script.answer("ListShards", 200, listing(closed));
        let mut source = source(&script, after(100)).await;
        let (texts, found) = drain(&mut source).await;
        assert_eq!(
            (&texts[..], found.len()),
            (&expected.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>()[..], children),
            "{shown}"
        );
        assert_eq!(script.calls("SubscribeToShard").len(), subscriptions, "{shown}");
        assert!(matches!(source.next().await, Ok(Read::End { .. })), "the end does not stay");
    };
    check(vec![with(&last, None, true)], false, 1, &["r101"], 2).await;
    check(vec![with(&last, Some(""), true)], false, 1, &["r101"], 2).await;
    check(vec![with(&[], Some("105"), true)], false, 1, &[], 2).await;
    // Children beside a number to go on from: others may follow.
    check(vec![with(&last, Some("101"), true), with(&[], Some("101"), true)], false, 1, &["r101"], 2).await;
    check(vec![with(&last, Some("101"), true)], false, 2, &["r101", "r102"], 2).await;
    // Without children the listing tells.
    check(vec![with(&last, None, false)], true, 1, &["r101"], 0).await;
    check(vec![with(&[], None, false)], false, 2, &["r102"], 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_shard_or_consumer_that_is_not_found_is_looked_for() {
    let gone = || Answer::Error(400, "ResourceNotFoundException");
    // Closed and still listed: the rest is polled, from where the subscription stood.
    let script =
        Script::new([Answer::Stream(vec![event(&[101], 110, 0), Item::Bytes(exception("ResourceNotFoundException"))])]);
    script.answer("ListShards", 200, listing(true));
    assert_eq!(drain(&mut source(&script, after(100)).await).await.0, ["r101", "polled"]);
    let asked = script.calls("GetShardIterator");
    assert_eq!(asked.last().unwrap().input["StartingSequenceNumber"], "110");

    // Open: once or twice may be a service that does not know the consumer everywhere yet.
    let script = Script::new([gone(), gone(), gone()]);
    assert_eq!(drain(&mut source(&script, after(100)).await).await.0, ["polled"]);
    assert_eq!(script.calls("SubscribeToShard").len(), 3);

    // Not listed.
    let script = Script::new([gone()]);
    script.answer("ListShards", 200, json!({ "Shards": [] }));
    let err = source(&script, after(100)).await.next().await.unwrap_err();
    assert!(matches!(err, SourceError::Position { .. }) && err.to_string().contains("retention"), "{err:?}");

    // The consumer was registered anew: it has another ARN.
    let script = Script::new([gone(), Answer::Stream(vec![end()])]);
    for made in [1, 2] {
        script.answer("DescribeStreamConsumer", 200, consumer("ACTIVE", made));
    }
    drain(&mut source(&script, after(100)).await).await;
    let arns: Vec<_> =
        script.calls("SubscribeToShard").iter().map(|call| call.input["ConsumerARN"].to_string()).collect();
    assert!(arns[0].ends_with("app:1\"") && arns[1].ends_with("app:2\""), "{arns:?}");

    // It was deregistered: its return is waited for, or the shard is polled.
    for if_refused in [IfRefused::Wait, IfRefused::Poll] {
        let script = Script::new([gone(), gone(), Answer::Stream(vec![end()])]);
        script.answer("DescribeStreamConsumer", 200, consumer("ACTIVE", 1));
        script.refuse("DescribeStreamConsumer", "ResourceNotFoundException");
        script.answer("DescribeStreamConsumer", 200, consumer("ACTIVE", 2));
        let settings = Settings { if_refused, ..Settings::default() };
        let mut source = source_with(&script, after(100), &Budget::new(MIB), settings).await;
        let expected: &[&str] = if if_refused == IfRefused::Poll { &["polled"] } else { &[] };
        assert_eq!(drain(&mut source).await.0, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_says_why() {
    let refused = [Answer::Error(400, "InvalidArgumentException")];
    let script = Script::new(refused.clone());
    let err = source(&script, after(77)).await.next().await.unwrap_err();
    assert!(matches!(err, SourceError::Position { .. }) && err.to_string().contains("after 77"), "{err}");
    let err = source(&Script::new(refused), Position::TrimHorizon).await.next().await.unwrap_err();
    assert!(matches!(err, SourceError::Fatal { .. }) && err.to_string().contains("shardId-000000000000"), "{err}");
    let odd = json!({ "Records": [{ "SequenceNumber": "x", "Data": "", "PartitionKey": "k" }],
        "ContinuationSequenceNumber": "y", "MillisBehindLatest": 0 });
    let script = Script::new([Answer::Stream(vec![Item::Bytes(frame(&odd))])]);
    let err = source(&script, after(77)).await.next().await.unwrap_err();
    assert!(err.to_string().contains("endpoint_url"), "{err}");
}

#[tokio::test(start_paused = true)]
async fn starts_are_asked_for_as_they_are_meant() {
    let cut = || Answer::Stream(vec![Item::Cut]);
    // "From now on" is asked for once.
    let script =
        Script::new([cut(), cut(), Answer::Stream(vec![event(&[], 500, 0), Item::Cut]), Answer::Stream(vec![end()])]);
    drain(&mut source(&script, Position::Latest).await).await;
    assert_eq!(starts(&script), ["LATEST", "AT_TIMESTAMP", "AT_TIMESTAMP", "AFTER_SEQUENCE_NUMBER 500"]);
    // The rest of an aggregate is not passed over by a number that says only where the subscription stands.
    let script = Script::new([
        Answer::Stream(vec![event(&[], 101, 0), event(&[], 105, 0), Item::Cut]),
        Answer::Stream(vec![end()]),
    ]);
    drain(&mut source(&script, Position::Within(number(101), 3)).await).await;
    assert_eq!(starts(&script), ["AT_SEQUENCE_NUMBER 101", "AT_SEQUENCE_NUMBER 101"]);
}

#[tokio::test(start_paused = true)]
async fn an_event_without_room_is_let_go_and_read_once_there_is() {
    let large = || Item::Bytes(frame(&body(&[(101, vec![b'x'; 3 * MIB])], 101, 0)));
    let script = Script::new([
        Answer::Stream(vec![event(&[], 100, 0), Item::Wait(Duration::from_secs(3)), large(), Item::Silence]),
        Answer::Stream(vec![large(), end()]),
    ]);
    let budget = Budget::new(8 * MIB);
    let mut source = source_with(&script, after(99), &budget, Settings::default()).await;
    assert!(matches!(source.next().await.unwrap(), Read::Records { .. }));
    let all = budget.reserve(6 * MIB).await;
    assert!(timeout(Duration::from_secs(60), source.next()).await.is_err(), "handed on what was not reserved");
    assert_eq!(script.calls("SubscribeToShard").len(), 1, "asked for again without room");
    drop(all);
    let Read::Records { records, reservation, .. } = source.next().await.unwrap() else { panic!("no records") };
    assert_eq!(records[0].data.len(), 3 * MIB);
    assert!((3 * MIB..4 * MIB).contains(&reservation.bytes()), "{}", reservation.bytes());
    assert_eq!(starts(&script)[1], "AFTER_SEQUENCE_NUMBER 100");
    drop((records, reservation));
    assert!(matches!(source.next().await.unwrap(), Read::End { .. }));
    assert_eq!(budget.in_flight_bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_small_event_waits_for_its_bytes_and_lets_an_unread_subscription_go() {
    let script = Script::new([
        Answer::Stream(vec![
            event(&[], 100, 0),
            Item::Wait(Duration::from_secs(3)),
            event(&[101], 101, 0),
            event(&[102], 102, 0),
        ]),
        Answer::Stream(vec![event(&[102], 102, 5), event(&[103], 103, 0), end()]),
    ]);
    let budget = Budget::new(4 * MIB);
    let mut source = source_with(&script, after(99), &budget, Settings::default()).await;
    assert!(matches!(source.next().await.unwrap(), Read::Records { .. }));
    let all = budget.reserve(4 * MIB).await;
    assert!(timeout(Duration::from_secs(60), source.next()).await.is_err(), "handed on what was not reserved");
    drop(all);
    assert_eq!(drain(&mut source).await.0, ["r101", "r102", "r103"]);
    assert_eq!(starts(&script)[1], "AFTER_SEQUENCE_NUMBER 101");
    assert_eq!(budget.in_flight_bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_future_loses_nothing() {
    let mut next = 101;
    let answers: Vec<_> = (0..12)
        .map(|round| {
            let mut items = Vec::new();
            for _ in 0..10 {
                // Frames come in two halves, with a pause between them.
                let Item::Bytes(bytes) = event(&[next], next, next % 3) else { unreachable!() };
                let (first, second) = bytes.split_at(bytes.len() / 2);
                let wait = Item::Wait(Duration::from_millis(40 * (next % 4)));
                items.extend([Item::Bytes(first.to_vec()), wait, Item::Bytes(second.to_vec())]);
                next += 1;
            }
            items.push(if round == 11 { end() } else { Item::Cut });
            Answer::Stream(items)
        })
        .collect();
    let script = Script::new(answers);
    let mut source = source(&script, after(100)).await;
    let (mut all, mut turns) = (Vec::new(), 0_u64);
    loop {
        turns += 1;
        assert!(turns < 10_000, "starved after {}", all.len());
        match timeout(Duration::from_millis(turns * 37 % 60), source.next()).await {
            Err(_) => {}
            Ok(Ok(Read::End { .. })) => break,
            Ok(read) => {
                let Ok(Read::Records { records, .. }) = read else { panic!("{read:?}") };
                all.extend(records.iter().map(|record| String::from_utf8_lossy(&record.data).into_owned()));
            }
        }
    }
    assert_eq!(all, (101..next).map(|number| format!("r{number}")).collect::<Vec<_>>());
    assert_eq!(script.calls("SubscribeToShard").len(), 12, "a subscription was broken off and made again");
}
