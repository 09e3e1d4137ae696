//! One window: its pages, its ends, its positions, and what goes wrong on the way.

use std::collections::BTreeSet;
use std::time::Duration;

use bedrock_tap::budget::Budget;
use bedrock_tap::record::{Origin, Position};
use bedrock_tap::source::cloudwatch::client::Group;
use bedrock_tap::source::cloudwatch::error::Policy;
use bedrock_tap::source::cloudwatch::window::{Window, WindowSource};
use bedrock_tap::source::{Read, Source, SourceError};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::support::logs_double::{Fault, LogsDouble, arn};

const MIB: usize = 1024 * 1024;
const GROUP: &str = "/aws/bedrock";

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap()
}

fn window(from: i64, to: i64) -> Window {
    Window { log_group: GROUP.into(), from: at(from), to: at(to) }
}

fn source(double: &LogsDouble, window: Window, position: Option<Position>) -> WindowSource {
    WindowSource::new(double.logs(1000.0), window, position, Budget::new(64 * MIB))
}

/// The messages of an envelope.
pub(super) fn messages(data: &[u8]) -> Vec<String> {
    let envelope: Value = serde_json::from_slice(data).unwrap();
    assert_eq!(envelope["messageType"], "DATA_MESSAGE");
    let events = envelope["logEvents"].as_array().unwrap();
    events.iter().map(|event| event["message"].as_str().unwrap_or_default().to_owned()).collect()
}

/// The next messages, sorted, and the position after them; at the end none and the end.
async fn next(source: &mut WindowSource) -> Result<(Vec<String>, Position), SourceError> {
    match source.next().await? {
        Read::Records { records, position, reservation, .. } => {
            let held: usize = records.iter().map(|record| record.data.len()).sum();
            assert!(held <= reservation.bytes() && reservation.bytes() < held + 2048, "{held}: {reservation:?}");
            let mut all: Vec<_> = records.iter().flat_map(|record| messages(&record.data)).collect();
            all.sort();
            Ok((all, position))
        }
        Read::End { children } => {
            assert!(children.is_empty());
            Ok((Vec::new(), Position::End))
        }
    }
}

async fn drain(source: &mut WindowSource) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        match next(source).await.unwrap() {
            (_, Position::End) => return all,
            (read, _) => all.extend(read),
        }
    }
}

/// A log group with events at these times; the messages are numbers in the order of the times.
fn filled(times: impl IntoIterator<Item = i64>) -> (LogsDouble, Vec<String>) {
    let double = LogsDouble::new(&[GROUP]);
    let mut all = Vec::new();
    for (number, time) in times.into_iter().enumerate() {
        all.push(format!("m{number:03}"));
        double.put(GROUP, time, &all[number]);
    }
    (double, all)
}

#[tokio::test(start_paused = true)]
async fn pages_come_in_order_also_where_some_are_empty() {
    for (page, empty) in [(1, false), (3, true), (7, true), (100, false), (100, true)] {
        let (double, all) = filled((0..50).map(|number| 1000 + number / 3));
        double.page(page);
        if empty {
            double.empty_pages();
        }
        assert_eq!(drain(&mut source(&double, window(0, 5000), None)).await, all, "{page} {empty}");
    }
}

#[tokio::test(start_paused = true)]
async fn adjacent_windows_share_no_event_and_leave_out_none() {
    let (double, all) = filled(0..30);
    let mut found = Vec::new();
    let ends = ["0.003Z", "0.0070001Z", "0.0079999Z", "0.008Z", "0.020Z", "9Z"];
    let mut from = at(0);
    for end in ends {
        let to: Timestamp = format!("1970-01-01T00:00:0{end}").parse().unwrap();
        let window = Window { from, to, ..window(0, 0) };
        found.extend(drain(&mut source(&double, window, None)).await);
        from = to;
    }
    assert_eq!(found, all);
    // A window without a millisecond needs no call.
    let calls = double.calls("FilterLogEvents").len();
    assert!(drain(&mut source(&double, window(7, 7), None)).await.is_empty());
    assert!(drain(&mut source(&double, window(7, 3), None)).await.is_empty());
    assert_eq!(double.calls("FilterLogEvents").len(), calls);
}

#[tokio::test(start_paused = true)]
async fn whoever_goes_on_at_a_position_misses_nothing() {
    let (double, all) = filled((0..40).map(|number| number / 5));
    double.page(3);
    double.empty_pages();
    let mut source_of_all = source(&double, window(0, 100), None);
    let (mut before, mut positions) = (BTreeSet::new(), 0);
    loop {
        let (read, position) = next(&mut source_of_all).await.unwrap();
        before.extend(read);
        let rest = drain(&mut source(&double, window(0, 100), Some(position.clone()))).await;
        if position == Position::End {
            assert_eq!(rest, Vec::<String>::new());
            break;
        }
        let Position::UpTo(_) = position else { panic!("{position}") };
        // What comes again is what bears the position's own millisecond.
        let doubles = rest.iter().filter(|message| before.contains(*message)).count();
        assert!(doubles <= 5, "{doubles} again from {position}");
        let found: BTreeSet<_> = before.iter().cloned().chain(rest).collect();
        assert_eq!(found.into_iter().collect::<Vec<_>>(), all, "from {position}");
        positions += 1;
    }
    assert!(positions > 10);
}

#[tokio::test(start_paused = true)]
async fn whatever_fails_nothing_is_missing_and_nothing_comes_twice() {
    let faults = [
        Fault::Error(400, "ThrottlingException"),
        Fault::Error(429, ""),
        Fault::Error(500, "ServiceUnavailableException"),
        Fault::Error(503, ""),
        Fault::Error(400, "AccessDeniedException"),
        Fault::Error(400, "ExpiredTokenException"),
        Fault::Error(400, "ResourceNotFoundException"),
        Fault::Error(400, "SomethingNewException"),
        Fault::Unreadable,
        Fault::Answer(json!({ "events": { "a": 1 } })),
        Fault::Answer(json!(7)),
        Fault::Delay(Duration::from_secs(30)),
    ];
    let (double, all) = filled(0..60);
    double.page(2);
    for fault in faults {
        double.fault("FilterLogEvents", [fault.clone(), fault]);
    }
    assert_eq!(drain(&mut source(&double, window(0, 100), None)).await, all);
    assert_eq!(double.faults_left(), 0);
}

#[tokio::test(start_paused = true)]
async fn without_its_token_it_begins_again_at_the_position() {
    let check = async |refused: bool, hours: u64| {
        let (double, all) = filled((0..20).map(|number| number / 2));
        double.page(3);
        let mut source = source(&double, window(0, 100), None);
        let mut found = next(&mut source).await.unwrap().0;
        if refused {
            double.fault("FilterLogEvents", [Fault::Error(400, "InvalidParameterException")]);
        }
        // Nobody reads on for so long.
        tokio::time::sleep(Duration::from_secs(hours * 60 * 60)).await;
        found.extend(drain(&mut source).await);
        assert_eq!(found.len(), all.len() + 1, "more than the last millisecond came again: {found:?}");
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>(), all);
    };
    check(true, 0).await;
    // A token lives for a day.
    check(false, 23).await;
    check(false, 25).await;
}

#[tokio::test(start_paused = true)]
async fn tokens_that_lead_nowhere_end_it() {
    let check = async |answers: Vec<Fault>| {
        let (double, _) = filled(0..3);
        double.fault("FilterLogEvents", answers);
        let error = loop {
            match next(&mut source(&double, window(0, 100), None)).await {
                Ok((_, Position::End)) => panic!("the window ended"),
                Ok(_) => {}
                Err(error) => break error.to_string(),
            }
        };
        assert!(error.contains("cannot read log group /aws/bedrock: the service gives tokens"), "{error}");
    };
    let page = |token: &str| Fault::Answer(json!({ "events": [], "nextToken": token }));
    check(vec![page("same"); 100]).await;
    check((0..100).map(|number| page(["a", "b", "c"][number % 3])).collect()).await;
    let refused = Fault::Error(400, "InvalidParameterException");
    check((0..20).flat_map(|_| [page("t"), refused.clone()]).collect()).await;
}

#[tokio::test(start_paused = true)]
async fn events_out_of_order_hold_the_position_back() {
    let (double, all) = filled(10..30);
    double.backwards();
    double.page(4);
    let mut source = source(&double, window(0, 100), None);
    let mut found = Vec::new();
    loop {
        let (read, position) = next(&mut source).await.unwrap();
        match position {
            Position::End => break,
            // The last page is known to be it.
            Position::UpTo(time) if time == at(100) => {}
            // The first page was out of order already.
            position => assert_eq!(position, Position::UpTo(at(0)), "after {read:?}"),
        }
        found.extend(read);
    }
    found.sort();
    assert_eq!(found, all);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_refused_ends_it_with_the_way_out() {
    let (double, _) = filled([1]);
    double.fault("FilterLogEvents", [Fault::Error(400, "InvalidParameterException")]);
    let error = next(&mut source(&double, window(0, 100), None)).await.unwrap_err().to_string();
    assert!(error.contains("check the name or ARN of the log group /aws/bedrock"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_is_missing_is_waited_for() {
    let double = LogsDouble::new(&[]);
    let mut source = source(&double, window(0, 100), None);
    assert!(timeout(Duration::from_secs(600), source.next()).await.is_err());
    let calls = double.calls("FilterLogEvents").len();
    assert!((15..=60).contains(&calls), "{calls} calls in ten minutes");
    double.make(GROUP);
    double.put(GROUP, 5, "m");
    assert_eq!(drain(&mut source).await, ["m"]);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_future_loses_nothing() {
    let (double, all) = filled(0..20);
    double.page(2);
    double.fault("FilterLogEvents", vec![Fault::Delay(Duration::from_millis(40)); 6]);
    let mut source = source(&double, window(0, 100), None);
    let mut found = Vec::new();
    loop {
        match timeout(Duration::from_millis(15), next(&mut source)).await {
            Err(_) => {}
            Ok(Ok((_, Position::End))) => break,
            Ok(read) => found.extend(read.unwrap().0),
        }
    }
    assert_eq!(found, all);
}

#[tokio::test(start_paused = true)]
async fn what_an_answer_leaves_out_is_handed_on_as_it_is() {
    let double = LogsDouble::new(&[GROUP]);
    let events = json!([{}, { "message": "a" }, { "eventId": "1", "timestamp": i64::MAX, "message": "b" },
        { "timestamp": -5, "logStreamName": "s" }]);
    double.fault("FilterLogEvents", [Fault::Answer(json!({ "events": events })), Fault::Answer(json!({}))]);
    let mut source_of_all = source(&double, window(0, 100), None);
    let Read::Records { records, position, .. } = source_of_all.next().await.unwrap() else { panic!() };
    let all: Vec<_> = records.iter().flat_map(|record| messages(&record.data)).collect();
    assert_eq!(all, ["", "a", "b", ""]);
    assert_eq!(position, Position::UpTo(at(100)));
    assert!(
        records
            .iter()
            .all(|record| matches!(&record.origin, Origin::CloudWatch { log_group } if &**log_group == GROUP))
    );
    assert!(drain(&mut source_of_all).await.is_empty());
    assert!(drain(&mut source(&double, window(0, 100), None)).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_arn_is_asked_for_as_one_and_names_the_account() {
    let (double, _) = filled([5]);
    let log_group = format!("{}:*", arn(GROUP)).into();
    let mut source = source(&double, Window { log_group, ..window(0, 100) }, None);
    let Read::Records { records, .. } = source.next().await.unwrap() else { panic!() };
    let envelope: Value = serde_json::from_slice(&records[0].data).unwrap();
    assert_eq!((&envelope["owner"], &envelope["logGroup"]), (&json!("123456789012"), &json!(GROUP)));
    assert_eq!(records[0].origin.to_string(), arn(GROUP));
}

#[tokio::test(start_paused = true)]
async fn a_small_budget_is_enough_and_what_is_full_is_waited_for() {
    let (double, all) = filled(0..9);
    double.page(2);
    let budget = Budget::new(64 * 1024);
    let held = budget.reserve(1024).await;
    let mut source = WindowSource::new(double.logs(1000.0), window(0, 100), None, budget.clone());
    assert!(timeout(Duration::from_secs(60), source.next()).await.is_err());
    assert!(double.calls("FilterLogEvents").is_empty());
    drop(held);
    assert_eq!(drain(&mut source).await, all);
    assert_eq!(budget.in_flight_bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_throttle_slows_all_that_share_a_client() {
    let (double, _) = filled(0..40);
    double.page(1);
    let logs = double.logs(4.0);
    let mut sources: Vec<_> =
        (0..3).map(|_| WindowSource::new(logs.clone(), window(0, 100), None, Budget::new(64 * MIB))).collect();
    let start = Instant::now();
    double.fault("FilterLogEvents", [Fault::Error(400, "ThrottlingException")]);
    let reading = futures_all(&mut sources).await;
    assert_eq!(reading, 120);
    let times: Vec<_> = double.calls("FilterLogEvents").iter().map(|call| call.at - start).collect();
    for window in times.windows(5) {
        assert!(window[4] - window[0] >= Duration::from_millis(995), "five calls in a second: {window:?}");
    }
    let first = times.iter().filter(|time| **time < Duration::from_secs(2)).count();
    assert!(first <= 6, "{first} calls in the two seconds of the throttle");
}

async fn futures_all(sources: &mut Vec<WindowSource>) -> usize {
    let mut tasks = tokio::task::JoinSet::new();
    for mut source in sources.drain(..) {
        tasks.spawn(async move { drain(&mut source).await.len() });
    }
    tasks.join_all().await.into_iter().sum()
}

#[tokio::test(start_paused = true)]
async fn a_log_group_is_described_by_its_exact_name() {
    let double =
        LogsDouble::new(&["/aws/bedroc", "/aws/bedrock", "/aws/bedrock-a", "/aws/bedrock-b", "/aws/bedrock-c"]);
    double.page(1);
    let logs = double.logs(1000.0);
    let check = async |text: &str, expected: Option<(&str, &str)>| {
        let found = match logs.describe(&Group::of(text)).await {
            Ok(group) => Some((group.arn, group.account)),
            Err(error) => {
                assert_eq!(error.policy, Policy::NotFound, "{error}");
                None
            }
        };
        let expected = expected.map(|(arn, account)| (arn.to_owned(), account.to_owned()));
        assert_eq!(found, expected, "{text}");
    };
    check(GROUP, Some((&arn(GROUP), "123456789012"))).await;
    check("/aws/bedrock-c", Some((&arn("/aws/bedrock-c"), "123456789012"))).await;
    check(&format!("{}:*", arn(GROUP)), Some((&arn(GROUP), "123456789012"))).await;
    // One of an account that this one monitors.
    let linked = arn(GROUP).replace("123456789012", "210987654321");
    check(&linked, Some((&linked, "210987654321"))).await;
    check("/aws/bed", None).await;
    check(&linked.replace("2109", "3333"), None).await;
}
