//! One shard, polled: starts, pace, failures, back-pressure, dropped futures.

use std::time::Duration;

use bedrock_tap::budget::Budget;
use bedrock_tap::record::{Origin, Position, SequenceNumber};
use bedrock_tap::source::kinesis::pace::Limits;
use bedrock_tap::source::kinesis::poll::PollSource;
use bedrock_tap::source::kinesis::progress::Progress;
use bedrock_tap::source::{Read, Source, SourceError};
use jiff::Timestamp;
use tokio::time::{Instant, timeout};

use crate::support::kinesis_script::{Fault, Script, shard_id};

const MIB: usize = 1024 * 1024;

fn source(script: &Script, position: Position, budget: &Budget) -> PollSource {
    {
        let progress = Progress::new("logs".into(), shard_id(0), position, None);
        PollSource::new(script.kinesis(), progress, budget.clone(), Limits::default())
    }
}

fn from_oldest(script: &Script) -> PollSource {
    source(script, Position::TrimHorizon, &Budget::new(256 * MIB))
}

fn after(sequence: u64) -> Position {
    Position::After(SequenceNumber::new(&sequence.to_string()).unwrap())
}

/// The next records as text, and the position after them; reads without records are passed over.
async fn next(source: &mut PollSource) -> (Vec<String>, Position) {
    loop {
        match source.next().await.unwrap() {
            Read::Records { records, .. } if records.is_empty() => {}
            Read::Records { records, position, .. } => {
                let texts = records.iter().map(|record| String::from_utf8_lossy(&record.data).into_owned());
                return (texts.collect(), position);
            }
            Read::End { .. } => return (Vec::new(), Position::End),
        }
    }
}

/// Everything up to the shard's end.
async fn drain(source: &mut PollSource) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        match next(source).await {
            (_, Position::End) => return all,
            (texts, _) => all.extend(texts),
        }
    }
}

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("r{number}")).collect()
}

#[tokio::test(start_paused = true)]
async fn each_start_gives_its_records() {
    let check = async |position: Position, expected: &[&str]| {
        let script = Script::new(1);
        script.put(0, "old");
        let second = script.put(0, "second");
        assert_eq!(second, 102);
        let mut source = source(&script, position.clone(), &Budget::new(256 * MIB));
        let first = timeout(Duration::from_secs(3), next(&mut source)).await.map(|read| read.0).unwrap_or_default();
        script.put(0, "new");
        let all: Vec<_> = first.into_iter().chain(next(&mut source).await.0).collect();
        assert_eq!(all, expected, "{position:?}");
    };
    let past = Timestamp::now() - Duration::from_secs(60);
    check(Position::TrimHorizon, &["old", "second", "new"]).await;
    check(Position::AtTimestamp(past), &["old", "second", "new"]).await;
    check(after(101), &["second", "new"]).await;
    check(after(102), &["new"]).await;
    check(Position::Latest, &["new"]).await;
}

#[tokio::test(start_paused = true)]
async fn records_carry_their_origin_and_the_end_its_children() {
    let script = Script::new(1);
    let sequence = script.put(0, "a");
    script.reshard(&[0], 2);
    let mut source = from_oldest(&script);
    let Read::Records { records, position, lag, reservation } = source.next().await.unwrap() else { panic!() };
    let Origin::Kinesis { stream, shard, sequence: number, arrival } = &records[0].origin else { panic!() };
    assert_eq!((&**stream, shard, number.as_str()), ("logs", &shard_id(0), &*sequence.to_string()));
    assert!(arrival.is_some_and(|arrival| arrival.duration_since(Timestamp::now()).as_secs().abs() < 60));
    assert_eq!((position, lag), (after(sequence), Some(Duration::ZERO)));
    assert!((1..=2048).contains(&reservation.bytes()), "{reservation:?}");
    for _ in 0..2 {
        let Read::End { children } = source.next().await.unwrap() else { panic!("no end") };
        assert_eq!(children, [shard_id(1), shard_id(2)]);
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_fails_nothing_is_missing_and_nothing_comes_twice() {
    let faults = [
        Fault::Error(400, "ProvisionedThroughputExceededException"),
        Fault::Error(400, "LimitExceededException"),
        Fault::Error(400, "KMSThrottlingException"),
        Fault::Error(500, "InternalFailureException"),
        Fault::Error(503, ""),
        Fault::Error(429, ""),
        Fault::Error(400, "SomethingNewException"),
        Fault::Error(400, "ExpiredIteratorException"),
        Fault::Error(400, "InvalidArgumentException"),
        Fault::Error(400, "ResourceInUseException"),
        Fault::Error(400, "ResourceNotFoundException"),
        Fault::Error(400, "AccessDeniedException"),
        Fault::Error(400, "KMSAccessDeniedException"),
        Fault::Error(400, "KMSDisabledException"),
        Fault::Error(400, "KMSInvalidStateException"),
        Fault::Error(400, "KMSNotFoundException"),
        Fault::Error(400, "KMSOptInRequired"),
        Fault::Error(400, "ExpiredTokenException"),
        Fault::Unreadable,
        Fault::Delay(Duration::from_secs(90)),
        Fault::Repeat,
    ];
    for fault in faults {
        // An argument that is refused when the iterator is asked for is the position: not a case for trying again.
        let is_position = matches!(fault, Fault::Error(_, "InvalidArgumentException"));
        let operations = if is_position { &["GetRecords"][..] } else { &["GetRecords", "GetShardIterator"] };
        for operation in operations {
            let script = Script::new(1);
            let mut source = from_oldest(&script);
            script.put(0, "r0");
            let mut all = next(&mut source).await.0;
            script.put(0, "r1");
            script.fault(operation, std::iter::repeat_n(fault.clone(), 3));
            if *operation == "GetShardIterator" {
                script.fault("GetRecords", [Fault::Error(400, "ExpiredIteratorException")]);
            }
            all.extend(next(&mut source).await.0);
            script.put(0, "r2");
            script.reshard(&[0], 1);
            all.extend(drain(&mut source).await);
            assert_eq!(all, numbered(3), "{fault:?} at {operation}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_services_limits_are_never_met() {
    let script = Script::new(1);
    for number in 0..12 {
        script.put(0, vec![number; MIB]);
    }
    let mut source = from_oldest(&script);
    let mut count = 0;
    while count < 12 {
        count += next(&mut source).await.0.len();
    }
    for _ in 0..50 {
        script.put(0, "small");
    }
    next(&mut source).await;
    script.reshard(&[0], 2);
    drain(&mut source).await;
    let calls = script.calls("GetRecords");
    assert!(calls.last().unwrap().at.elapsed() < Duration::from_secs(1));
    for (at, call) in calls.iter().enumerate() {
        let within = |seconds| calls[at..].iter().take_while(move |c| c.at < call.at + Duration::from_secs(seconds));
        assert!(within(1).count() <= 5, "call {at} begins a second of more than five");
        if call.bytes > 2 * MIB {
            let rest = Duration::from_secs_f64(call.bytes as f64 / (2 * MIB) as f64);
            assert!(calls.get(at + 1).is_none_or(|next| next.at - call.at >= rest), "call {at} was not paid for");
        }
    }
    // As fast as allowed, too: 12 MiB at 2 MiB a second.
    assert!(calls.last().unwrap().at - calls[0].at < Duration::from_secs(9));
}

#[tokio::test(start_paused = true)]
async fn an_idle_shard_is_asked_once_a_second_and_a_record_is_seen_within_it() {
    let script = Script::new(1);
    let mut source = from_oldest(&script);
    assert!(timeout(Duration::from_secs(60), next(&mut source)).await.is_err());
    let idle = script.calls("GetRecords").len();
    assert!((58..=72).contains(&idle), "{idle} calls in a minute");
    script.put(0, "now");
    let asked = Instant::now();
    next(&mut source).await;
    assert!(asked.elapsed() <= Duration::from_secs(1), "{:?}", asked.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_iterator_does_not_outlive_back_pressure() {
    let script = Script::new(1);
    let budget = Budget::new(32 * MIB);
    let mut source = source(&script, Position::TrimHorizon, &budget);
    script.put(0, "r0");
    assert_eq!(next(&mut source).await.0, ["r0"]);
    let all = budget.reserve(usize::MAX).await;
    script.put(0, "r1");
    let calls = script.calls("GetRecords").len();
    assert!(timeout(Duration::from_secs(3600), next(&mut source)).await.is_err());
    assert_eq!(script.calls("GetRecords").len(), calls, "read without bytes reserved");
    drop(all);
    assert_eq!(next(&mut source).await.0, ["r1"]);
    // The script refuses iterators after their time: had one been used, there would be another call.
    assert_eq!(script.calls("GetRecords").len(), calls + 1);
    assert_eq!(script.calls("GetShardIterator").len(), 2);
    assert_eq!(script.calls("GetShardIterator")[1].input["StartingSequenceNumber"], "101");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_future_loses_nothing() {
    let script = Script::new(1);
    let budget = Budget::new(32 * MIB);
    let mut source = source(&script, Position::TrimHorizon, &budget);
    let (mut all, mut put) = (Vec::new(), 0);
    for round in 0_u64..400 {
        if round % 3 == 0 && put < 100 {
            script.put(0, format!("r{put}"));
            put += 1;
        }
        match round % 5 {
            0 => script.fault("GetRecords", [Fault::Delay(Duration::from_millis(40))]),
            1 => script.fault("GetShardIterator", [Fault::Delay(Duration::from_millis(40))]),
            2 if round % 7 == 0 => script.fault("GetRecords", [Fault::Error(400, "ExpiredIteratorException")]),
            _ => {}
        }
        // Now and then all bytes are taken while an answer is on its way.
        let taken = if round % 11 == 0 { Some(budget.reserve(20 * MIB).await) } else { None };
        let patience = Duration::from_millis(round * 37 % 700);
        if let Ok((texts, _)) = timeout(patience, next(&mut source)).await {
            all.extend(texts);
        }
        drop(taken);
    }
    script.reshard(&[0], 2);
    all.extend(drain(&mut source).await);
    assert_eq!(all, numbered(100));
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_keeps_turning_away_is_not_starved() {
    let script = Script::new(1);
    let mut source = from_oldest(&script);
    script.put(0, "r0");
    script.reshard(&[0], 2);
    // Each call takes longer than the reader ever waits.
    for operation in ["GetShardIterator", "GetRecords"] {
        script.fault(operation, [Fault::Delay(Duration::from_secs(3))]);
    }
    let mut turns = 0;
    let texts = loop {
        turns += 1;
        assert!(turns < 1_000, "starved");
        if let Ok((texts, _)) = timeout(Duration::from_millis(50), next(&mut source)).await {
            break texts;
        }
    };
    assert_eq!(texts, ["r0"]);
    assert_eq!(script.calls("GetRecords").len(), 1, "a call was broken off and made again");
}

#[tokio::test(start_paused = true)]
async fn an_answer_larger_than_thought_possible_is_reserved_before_it_is_handed_on() {
    let script = Script::new(1);
    let budget = Budget::new(24 * MIB);
    let mut source = source(&script, Position::TrimHorizon, &budget);
    assert!(timeout(Duration::from_secs(5), next(&mut source)).await.is_err());
    // Ten MiB at once from a shard that was idle: more than a shard takes in a second.
    for number in 0..10 {
        script.put(0, vec![number; MIB]);
    }
    let taken = budget.reserve(20 * MIB).await;
    assert!(timeout(Duration::from_secs(5), next(&mut source)).await.is_err(), "handed on what was not reserved");
    drop(taken);
    let Read::Records { records, reservation, .. } = source.next().await.unwrap() else { panic!("no records") };
    assert_eq!(records.len(), 10);
    assert!((10 * MIB..11 * MIB).contains(&reservation.bytes()), "{}", reservation.bytes());
    assert_eq!(script.calls("GetRecords").iter().filter(|call| call.bytes > 0).count(), 1, "read twice");
}

#[tokio::test(start_paused = true)]
async fn idle_shards_share_a_small_budget() {
    let script = Script::new(1);
    // As much as one call may hold.
    let budget = Budget::new(24 * MIB);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let mut source = source(&script, Position::TrimHorizon, &budget);
        tasks.spawn(async move { next(&mut source).await.0 });
    }
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(budget.in_flight_bytes(), 0, "a sleeping shard holds bytes");
    script.put(0, "for all");
    let asked = Instant::now();
    assert!(tasks.join_all().await.iter().all(|texts| texts == &["for all"]));
    assert!(asked.elapsed() <= Duration::from_secs(1), "{:?}", asked.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_start_from_now_on_is_asked_for_once() {
    let types = |script: &Script| -> Vec<String> {
        let calls = script.calls("GetShardIterator");
        calls.iter().map(|call| call.input["ShardIteratorType"].as_str().unwrap().to_owned()).collect()
    };
    // The first try fails; what comes before the second one works is not passed over.
    let script = Script::new(1);
    script.fault("GetShardIterator", [Fault::Error(500, ""), Fault::Error(400, "AccessDeniedException")]);
    let mut first = source(&script, Position::Latest, &Budget::new(256 * MIB));
    assert!(timeout(Duration::from_millis(500), next(&mut first)).await.is_err());
    script.put(0, "between");
    assert_eq!(next(&mut first).await.0, ["between"]);
    assert_eq!(types(&script), ["LATEST", "AT_TIMESTAMP", "AT_TIMESTAMP"]);

    // The iterator expires before anything was read.
    let script = Script::new(1);
    let mut second = source(&script, Position::Latest, &Budget::new(256 * MIB));
    assert!(timeout(Duration::from_secs(5), next(&mut second)).await.is_err());
    script.put(0, "unread");
    script.fault("GetRecords", [Fault::Error(400, "ExpiredIteratorException")]);
    assert_eq!(next(&mut second).await.0, ["unread"]);
    assert_eq!(types(&script), ["LATEST", "AT_TIMESTAMP"]);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_says_why() {
    let check = async |position: Position, prepare: &dyn Fn(&Script), is_position: bool, expected: &str| {
        let script = Script::new(2);
        script.put(0, "r0");
        prepare(&script);
        let mut source = source(&script, position, &Budget::new(256 * MIB));
        let err = loop {
            if let Err(err) = source.next().await {
                break err;
            }
        };
        assert_eq!(matches!(err, SourceError::Position { .. }), is_position, "{err:?}");
        let text = format!("{:#}", anyhow::Error::from(err));
        assert!(text.contains(expected), "{text:?} lacks {expected:?}");
        assert!(text.contains("shardId-000000000000"), "{text:?} does not name the shard");
    };
    let refuse = |operation: &'static str, code: &'static str, times: usize| {
        move |script: &Script| script.fault(operation, std::iter::repeat_n(Fault::Error(400, code), times))
    };
    check(after(99), &|_| (), true, "after 99, is not in the stream").await;
    check(after(101), &|script| script.expire(0), true, "left the stream").await;
    let gone = |script: &Script| {
        refuse("GetShardIterator", "ResourceNotFoundException", 1)(script);
        refuse("ListShards", "ResourceNotFoundException", 1)(script);
    };
    check(Position::TrimHorizon, &gone, false, "check that stream/logs").await;
    check(Position::TrimHorizon, &refuse("GetShardIterator", "InvalidArgumentException", 1), false, "start position")
        .await;
    check(Position::TrimHorizon, &refuse("GetRecords", "InvalidArgumentException", 6), false, "endpoint_url").await;
    let future = Position::AtTimestamp(Timestamp::now() + Duration::from_secs(3600));
    check(future, &refuse("GetShardIterator", "InvalidArgumentException", 1), false, "start position").await;
    check(Position::Offset(1), &|_| (), false, "start position").await;
}

#[tokio::test(start_paused = true)]
async fn a_start_that_a_fast_clock_made_is_waited_for() {
    let script = Script::new(1);
    script.put(0, "r0");
    script.fault("GetShardIterator", std::iter::repeat_n(Fault::Error(400, "InvalidArgumentException"), 4));
    let start = Position::AtTimestamp(Timestamp::now() - Duration::from_secs(10));
    assert_eq!(next(&mut source(&script, start, &Budget::new(256 * MIB))).await.0, ["r0"]);
}

#[tokio::test(start_paused = true)]
async fn a_lag_is_told_without_records() {
    let script = Script::new(1);
    let mut source = from_oldest(&script);
    let Read::Records { records, lag, position, .. } = source.next().await.unwrap() else { panic!("no news") };
    assert_eq!((records.len(), lag, position), (0, Some(Duration::ZERO), Position::TrimHorizon));
    assert!(timeout(Duration::from_secs(60), source.next()).await.is_err(), "told again though nothing changed");
}

/// A stream whose record 101 was read and trimmed, and whose oldest, 102, arrived so long ago.
fn trimmed(age: Duration) -> Script {
    let script = Script::new(1);
    script.put(0, "read");
    script.put_aged(0, "oldest", age);
    script.trim(0, 101);
    script
}

const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test(start_paused = true)]
async fn a_position_that_was_trimmed_with_unread_records_names_both_ends() {
    let check = async |script: &Script, expected: &[&str]| {
        let mut source = source(script, after(101), &Budget::new(256 * MIB));
        let err = source.next().await.unwrap_err();
        assert!(matches!(err, SourceError::Position { .. }), "{err:?}");
        let text = format!("{:#}", anyhow::Error::from(err));
        for part in expected.iter().chain(&["shardId-000000000000", "after 101", "on_trimmed = \"oldest\""]) {
            assert!(text.contains(part), "{text:?} lacks {part:?}");
        }
    };
    let arrival = (Timestamp::now() - DAY).to_string();
    let day = &arrival[..10];
    check(&trimmed(DAY), &["the oldest record is 102, which arrived at", day]).await;
    // The service may refuse the position, too.
    let script = trimmed(DAY);
    script.refuse_trimmed();
    check(&script, &["the oldest record is 102, which arrived at", day, "InvalidArgumentException"]).await;
    assert_eq!(script.calls("GetRecords")[0].input["Limit"], 1);
    // The look at the oldest record may fail; a shard may have none.
    let script = trimmed(DAY);
    script.refuse_trimmed();
    script.fault("GetRecords", [Fault::Error(500, "")]);
    check(&script, &["no oldest record was found", "InvalidArgumentException"]).await;
    let script = trimmed(DAY);
    script.trim(0, 102);
    script.refuse_trimmed();
    check(&script, &["no oldest record was found"]).await;
    let script = trimmed(DAY);
    script.fault("GetRecords", [Fault::Delay(Duration::ZERO), Fault::Error(500, "")]);
    check(&script, &["the oldest record is 102"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_position_that_is_gone_or_no_records_own_is_no_loss_if_nothing_behind_it_is() {
    // Silent for longer than the retention period, then written to.
    let script = trimmed(Duration::from_secs(60));
    let mut first = source(&script, after(101), &Budget::new(256 * MIB));
    assert_eq!(next(&mut first).await, (vec!["oldest".to_owned()], after(102)));
    let mut second = source(&script, after(102), &Budget::new(256 * MIB));
    assert!(timeout(Duration::from_secs(600), next(&mut second)).await.is_err(), "read again");
    script.put_aged(0, "late", DAY);
    assert_eq!(next(&mut second).await.0, ["late"], "only the first record is compared");
    // A number between two records, as a subscription's continuation may be: what precedes it is still there.
    let script = Script::new(2);
    script.put_aged(0, "before", DAY);
    let between = script.put(1, "of another shard");
    script.put_aged(0, "behind", DAY);
    script.accept(0, between);
    let mut third = source(&script, after(between), &Budget::new(256 * MIB));
    assert_eq!(next(&mut third).await.0, ["behind"]);
}

#[tokio::test(start_paused = true)]
async fn a_record_in_a_caught_up_shard_is_seen_within_the_longest_wait() {
    let script = Script::new(1);
    let mut source = from_oldest(&script);
    let _ = timeout(Duration::from_secs(10), next(&mut source)).await;
    let reader = tokio::spawn(async move {
        let mut seen = Vec::new();
        while seen.len() < 300 {
            let (texts, _) = next(&mut source).await;
            seen.extend(texts.into_iter().map(|_| Instant::now()));
        }
        seen
    });
    // The gaps are of every length up to seven seconds, in no order.
    let mut put = Vec::new();
    for number in 0_u64..300 {
        tokio::time::sleep(Duration::from_millis(number * 2_654_435_761 % 7_001)).await;
        script.put(0, "x");
        put.push(Instant::now());
    }
    let mut waits: Vec<_> = reader.await.unwrap().iter().zip(&put).map(|(seen, put)| *seen - *put).collect();
    waits.sort();
    assert!(waits[296] < Limits::default().max_idle + Duration::from_millis(100), "{:?}", &waits[290..]);
}

/// The longest time from a put into one of twenty shards to its delivery, while another one has no end of 10 MiB
/// answers; and what that one brought. A delivery takes `delivery` and holds its bytes for so long.
async fn beside_a_backlog(budget_bytes: usize, delivery: Duration) -> (Duration, usize) {
    const SMALL: usize = 20;
    let script = Script::new(SMALL + 1);
    let budget = Budget::new(budget_bytes);
    let open = |shard: usize| {
        let progress = Progress::new("logs".into(), shard_id(shard), Position::TrimHorizon, None);
        PollSource::new(script.kinesis(), progress, budget.clone(), Limits::default())
    };
    let charged = (10 * MIB).min(budget_bytes - budget_bytes / 8);
    let hog = {
        let (mut source, script, budget) = (open(0), script.clone(), budget.clone());
        tokio::spawn(async move {
            for answers in 0_usize.. {
                let last = (0..10).map(|_| script.put(0, vec![b'x'; MIB])).max().unwrap();
                let Ok(Ok(Read::Records { reservation, .. })) = timeout(Duration::from_secs(120), source.next()).await
                else {
                    return answers;
                };
                assert!(reservation.bytes() >= charged && budget.in_flight_bytes() <= budget_bytes);
                script.trim(0, last);
                tokio::time::sleep(delivery).await;
                drop(reservation);
                if answers == 2 {
                    return answers;
                }
            }
            0
        })
    };
    let mut small = tokio::task::JoinSet::new();
    for shard in 1..=SMALL {
        let (mut source, script) = (open(shard), script.clone());
        small.spawn(async move {
            let mut longest = Duration::ZERO;
            for turn in 0..12_u64 {
                tokio::time::sleep(Duration::from_millis((turn * 7 + shard as u64 * 13) % 50 * 20)).await;
                script.put(shard, "small");
                let put = Instant::now();
                loop {
                    let Read::Records { records, reservation, .. } = source.next().await.unwrap() else { panic!() };
                    if !records.is_empty() {
                        tokio::time::sleep(delivery).await;
                        drop(reservation);
                        break;
                    }
                }
                longest = longest.max(put.elapsed());
            }
            longest
        });
    }
    let longest = small.join_all().await.into_iter().max().unwrap();
    (longest, hog.await.unwrap())
}

#[tokio::test(start_paused = true)]
async fn one_shards_backlog_does_not_starve_the_others_nor_they_it() {
    let idle = Limits::default().max_idle;
    for (budget, delivery, patience) in [
        // A shard waits for its poll, for a backlog's delivery before its own, and for its own.
        (64 * MIB, Duration::from_secs(2), idle + Duration::from_millis(4_100)),
        (8 * MIB, Duration::from_millis(300), idle + Duration::from_secs(1)),
    ] {
        let (longest, answers) = beside_a_backlog(budget, delivery).await;
        assert!(longest <= patience, "{budget} {delivery:?}: {longest:?}");
        assert_eq!(answers, 2, "{budget} {delivery:?}: the backlog does not go on");
    }
}
