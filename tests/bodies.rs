//! Bodies in S3: the real SDK against a scripted S3, from records to lines, whatever S3 does.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bedrock_tap::bodies::fetch::Fetcher;
use bedrock_tap::bodies::{Pointer, Settings};
use bedrock_tap::config::{Config, Environment};
use bedrock_tap::daemon::{self, Plan, Stop};
use bedrock_tap::delivery::work::Crew;
use bedrock_tap::delivery::{LaneEnd, LaneError};
use bedrock_tap::format::Format;
use bedrock_tap::pipeline::{self, Tally};
use bedrock_tap::record::Position;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::engine_script::{Bench, Keeper, Script, Step, after};
use crate::support::s3_double::{DENIED, MISSING, Meet, S3Double};

const ACCOUNT: &str = "123456789012";
const OLD: &str = "2026-01-02T03:04:05Z";

fn path(name: &str) -> String {
    format!("s3://calls/logs/AWSLogs/{ACCOUNT}/BedrockModelInvocationLogs/eu-west-1/2026/01/02/03/data/{name}.json.gz")
}

fn gzip(text: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_ref()).unwrap();
    encoder.finish().unwrap()
}

/// A record whose bodies are where it says.
fn record(id: &str, time: &str, input: Option<&str>, output: Option<&str>) -> String {
    let mut record = json!({
        "schemaType": "ModelInvocationLog", "schemaVersion": "1.0", "timestamp": time, "accountId": ACCOUNT,
        "region": "eu-west-1", "requestId": id, "operation": "Converse", "modelId": "amazon.nova-lite-v1:0",
        "input": { "inputTokenCount": 1 }, "output": { "outputTokenCount": 2 },
    });
    if let Some(path) = input {
        record["input"]["inputBodyS3Path"] = path.into();
    }
    if let Some(path) = output {
        record["output"]["outputBodyS3Path"] = path.into();
    }
    record.to_string()
}

fn now() -> String {
    Timestamp::now().to_string()
}

/// An engine that fetches, with a sink for whole events and one for the records as they came.
struct Run {
    bench: Bench,
    sinks: [Arc<Keeper>; 2],
    fetcher: Option<Fetcher>,
}

impl Run {
    async fn new(settings: Option<Settings>) -> Self {
        let sinks = [Arc::<Keeper>::default(), Arc::default()];
        let outputs = [Format::Panther, Format::Raw].map(Into::into).to_vec();
        let mut crew = Crew::of_lines(pipeline::Settings { outputs, ..Default::default() });
        let mut fetcher = None;
        if let Some(settings) = settings {
            let made = Fetcher::connect(settings).await.unwrap();
            crew = crew.fetching(made.clone());
            fetcher = Some(made);
        }
        Self { bench: Bench::with_crew(crew, &sinks, Default::default(), 64 << 20), sinks, fetcher }
    }

    fn spawn(&self, reads: &[&[String]]) -> JoinHandle<Result<LaneEnd, LaneError>> {
        let reads = reads.iter().zip(1..).map(|(records, position)| Step::Read(records.to_vec(), position));
        self.bench.spawn(Script::new(reads.chain([Step::End])))
    }

    /// Delivers the reads; a run that hangs fails.
    async fn all(&self, reads: &[&[String]]) -> Vec<Value> {
        let ended = tokio::time::timeout(Duration::from_secs(60), self.spawn(reads)).await.expect("it hangs");
        assert!(matches!(ended.unwrap().unwrap(), LaneEnd::Ended { .. }));
        assert_eq!(self.bench.ledger.newest(), Some(Position::End));
        self.events()
    }

    fn events(&self) -> Vec<Value> {
        self.sinks[0].taken().iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn tally(&self) -> Tally {
        self.bench.total.tally()
    }

    fn states(&self) -> Vec<(&'static str, u64)> {
        self.tally().noted.bodies.into_iter().collect()
    }
}

fn ids(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["requestId"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn bodies_are_put_into_their_events_and_nothing_else_changes() {
    let s3 = S3Double::start().await;
    s3.put(&path("a_input"), gzip("{\"messages\":[{\"role\":\"user\",\n\"content\":[{\"text\":\"hi\"}]}]}\n"));
    s3.put(&path("a_output"), b"[1,2]".as_slice());
    s3.put(&path("null"), b"null".as_slice());
    let a = record("a", OLD, Some(&path("a_input")), Some(&path("a_output")));
    let mut here: Value = serde_json::from_str(&record("here", OLD, Some(&path("a_input")), None)).unwrap();
    here["input"]["inputBodyJson"] = json!({ "prompt": "here" });
    let records = [
        record("plain", OLD, None, None),
        format!("{}\n{a}\n!\n{}", record("first", OLD, None, None), record("last", OLD, None, None)),
        here.to_string(),
        record("null", OLD, None, Some(&path("null"))),
    ];
    let run = Run::new(Some(s3.settings(&["calls"]))).await;
    let events = run.all(&[&records]).await;
    assert_eq!(ids(&events), ["plain", "first", "a", "last", "here", "null"]);
    let a_event = &events[2];
    assert_eq!(a_event["input"]["inputBodyJson"]["messages"][0]["content"][0]["text"], "hi");
    assert_eq!(a_event["output"]["outputBodyJson"], json!([1, 2]));
    assert_eq!(a_event["bedrock_tap"], json!({ "input_body": "fetched", "output_body": "fetched" }));
    assert_eq!(a_event["unmapped"]["input"]["inputBodyS3Path"], path("a_input"), "the pointer stays");
    assert_eq!(events[4]["input"]["inputBodyJson"], json!({ "prompt": "here" }));
    assert!(events[4].get("bedrock_tap").is_none() && events[0].get("bedrock_tap").is_none());
    assert!(events[5]["output"].get("outputBodyJson").is_none());
    assert!(run.sinks[1].taken().contains(&a), "as it came");
    assert_eq!(run.states(), [("fetched", 3)]);
    assert_eq!(s3.asked().into_values().collect::<Vec<_>>(), [1, 1, 1]);

    // Counts, rejects and identities are those of a run that fetches nothing.
    let plain = Run::new(None).await;
    let without = plain.all(&[&records]).await;
    let identities = |events: &[Value]| events.iter().map(|event| event["p_row_id"].clone()).collect::<Vec<_>>();
    assert_eq!(identities(&events), identities(&without));
    assert!(without.iter().all(|event| event.get("bedrock_tap").is_none()));
    let mut tally = run.tally();
    tally.noted = Default::default();
    assert_eq!(tally, plain.tally());
    assert_eq!((run.bench.letters.taken().len(), plain.bench.letters.taken().len()), (1, 1));
}

/// One event with a pointer to an object that meets this; its mark, how often it was asked for, and how long it took.
async fn check(
    bytes: Option<Vec<u8>>,
    meets: Vec<Meet>,
    always: Option<Meet>,
    tune: impl Fn(&mut Settings),
    time: &str,
    expected: &str,
    asked: std::ops::RangeInclusive<usize>,
) {
    let s3 = S3Double::start().await;
    let at = path("x_input");
    if let Some(bytes) = bytes {
        s3.put(&at, bytes);
    }
    let what = format!("{meets:?} {always:?} at {time}");
    s3.script(&at, meets);
    s3.always(always);
    let mut settings = s3.settings(&["calls"]);
    tune(&mut settings);
    let run = Run::new(Some(settings)).await;
    let began = Instant::now();
    let events = run.all(&[&[record("x", time, Some(&at), None), record("y", time, None, None)]]).await;
    assert_eq!(ids(&events), ["x", "y"], "{what}");
    assert_eq!(events[0]["bedrock_tap"], json!({ "input_body": expected }), "{what}");
    assert_eq!(events[0]["input"].get("inputBodyJson").is_some(), expected == "fetched", "{what}");
    assert_eq!(events[0]["unmapped"]["input"]["inputBodyS3Path"], at, "{what}");
    assert_eq!(run.states(), [(expected, 1)], "{what}");
    let asked_for = s3.asked().into_values().sum::<usize>();
    assert!(asked.contains(&asked_for), "{what}: asked for {asked_for} times");
    assert!(began.elapsed() < Duration::from_secs(15), "{what}: {:?}", began.elapsed());
}

#[tokio::test]
async fn a_body_that_lands_late_is_awaited() {
    let body = || Some(gzip("{}"));
    let none = |_: &mut Settings| {};
    check(body(), vec![MISSING, MISSING], None, none, &now(), "fetched", 3..=3).await;
    check(body(), vec![DENIED, MISSING, DENIED], None, none, &now(), "fetched", 4..=4).await;
    // Of a time to come, too.
    check(body(), vec![DENIED], None, none, "2999-01-01T00:00:00Z", "fetched", 2..=2).await;
    let short = |settings: &mut Settings| settings.wait = Duration::from_millis(300);
    check(None, vec![], None, short, &now(), "missing", 3..=100).await;
    check(None, vec![], Some(DENIED), short, &now(), "denied", 3..=100).await;
    // What is old enough to have landed is asked for twice.
    check(body(), vec![MISSING], None, none, OLD, "fetched", 2..=2).await;
    check(None, vec![], None, none, OLD, "missing", 2..=2).await;
    check(None, vec![], Some(DENIED), none, OLD, "denied", 2..=2).await;
    check(body(), vec![], Some(Meet::Error(404, "NoSuchBucket")), none, &now(), "missing", 1..=1).await;
}

#[tokio::test]
async fn trouble_is_borne_for_a_bounded_time() {
    let body = || Some(gzip("{\"a\":\"some text that is longer than a few bytes\"}"));
    let brief = |settings: &mut Settings| settings.pace.trouble = Duration::from_millis(300);
    let quick = |settings: &mut Settings| {
        settings.pace.trouble = Duration::from_millis(200);
        settings.pace.attempt = Duration::from_millis(100);
    };
    let none = |_: &mut Settings| {};
    let errors = vec![Meet::Error(500, "InternalError"), Meet::Error(503, "SlowDown"), Meet::Cut];
    check(body(), errors, None, none, OLD, "fetched", 4..=4).await;
    check(body(), vec![], Some(Meet::Error(503, "ServiceUnavailable")), brief, OLD, "failed", 3..=100).await;
    check(body(), vec![], Some(Meet::Cut), brief, OLD, "failed", 3..=100).await;
    check(body(), vec![], Some(Meet::Silence), quick, OLD, "timeout", 2..=5).await;
    let slow_once = |settings: &mut Settings| settings.pace.attempt = Duration::from_secs(1);
    check(body(), vec![Meet::Silence], None, slow_once, OLD, "fetched", 2..=2).await;
    for last in [Meet::Error(403, "InvalidObjectState"), Meet::Error(301, "PermanentRedirect")] {
        check(body(), vec![], Some(last), none, &now(), "failed", 1..=1).await;
    }
}

#[tokio::test]
async fn what_is_no_body_is_marked() {
    let none = |_: &mut Settings| {};
    let twice = [gzip("{\"a\":"), gzip("1}")].concat();
    check(Some(twice), vec![], None, none, OLD, "fetched", 1..=1).await;
    check(Some(gzip(vec![b' '; 8 << 20])), vec![], None, none, OLD, "too_large", 1..=1).await;
    check(Some(vec![b' '; (1 << 20) + 1]), vec![], None, none, OLD, "too_large", 1..=1).await;
    for garbage in [b"<html>".to_vec(), gzip("{"), gzip(b"\"\xff\""), b"\x1f\x8bnothing".to_vec(), vec![]] {
        check(Some(garbage), vec![], None, none, OLD, "not_json", 1..=1).await;
    }
    let deep = "[".repeat(127) + &"]".repeat(127);
    check(Some(gzip(deep)), vec![], None, none, OLD, "not_json", 1..=1).await;
}

#[tokio::test]
async fn nothing_else_is_asked_for() {
    let s3 = S3Double::start().await;
    let (other, foreign) = (path("x").replace("//calls/", "//secrets/"), path("x").replace(ACCOUNT, "210987654321"));
    let records =
        [record("a", OLD, Some(&other), Some(&foreign)), record("b", OLD, Some("s3://calls/key"), Some("file:///x"))];
    let run = Run::new(Some(s3.settings(&["calls"]))).await;
    let events = run.all(&[&records]).await;
    assert_eq!(events[0]["bedrock_tap"], json!({ "input_body": "not_allowed", "output_body": "bad_key" }));
    assert_eq!(events[1]["bedrock_tap"], json!({ "input_body": "bad_key", "output_body": "not_allowed" }));
    assert_eq!(run.states(), [("bad_key", 2), ("not_allowed", 2)]);
    assert!(s3.asked().is_empty(), "{:?}", s3.asked());
}

#[tokio::test]
async fn many_pointers_keep_their_order_and_stay_within_the_memory() {
    let s3 = S3Double::start().await;
    const COUNT: usize = 1000;
    const BYTES: usize = 32 << 10;
    let id = |number: usize| format!("r{number:04}");
    for number in 0..COUNT {
        s3.put(&path(&id(number)), gzip(format!("{{\"n\":{number},\"x\":\"{}\"}}", "x".repeat(BYTES))));
    }
    let records: Vec<_> = (0..COUNT).map(|number| record(&id(number), OLD, Some(&path(&id(number))), None)).collect();
    // As one record with all events, and as a record for each.
    for records in [vec![records.join("\n")], records] {
        let before: usize = s3.asked().into_values().sum();
        let run = Run::new(Some(s3.settings(&["calls"]))).await;
        let fetcher = run.fetcher.clone().unwrap();
        let reads = [records.as_slice()];
        let lane = run.all(&reads);
        tokio::pin!(lane);
        let mut most = 0;
        let events = loop {
            tokio::select! {
                events = &mut lane => break events,
                () = tokio::task::yield_now() => most = most.max(fetcher.held_bytes()),
            }
        };
        assert_eq!(events.len(), COUNT);
        for (number, event) in events.iter().enumerate() {
            assert_eq!(
                (&event["requestId"], &event["input"]["inputBodyJson"]["n"]),
                (&json!(id(number)), &json!(number))
            );
        }
        assert_eq!(run.tally().invocations, COUNT as u64);
        assert_eq!(run.states(), [("fetched", COUNT as u64)]);
        assert!(most > BYTES && most <= 6 << 20, "{most} bytes");
        assert_eq!(fetcher.held_bytes(), 0);
        let asked = s3.asked().into_values().sum::<usize>() - before;
        assert!(asked <= COUNT + COUNT / 4, "{asked} requests");
    }
    assert!((2..=8).contains(&s3.most_at_a_time()), "{} at a time", s3.most_at_a_time());
}

#[tokio::test]
async fn a_round_takes_no_more_than_there_is_room_for() {
    let s3 = S3Double::start().await;
    let event_time = OLD.parse().unwrap();
    let wanted: Vec<_> = (0..200).map(|n| Pointer { path: path(&format!("room{n}")), event_time }).collect();
    for pointer in &wanted {
        s3.put(&pointer.path, gzip(format!("\"{}\"", "x".repeat(100 << 10))));
    }
    let fetcher = Fetcher::connect(s3.settings(&["calls"])).await.unwrap();
    let known = fetcher.fetch(&wanted, 1, &Default::default()).await;
    let found: Vec<_> = wanted.iter().map_while(|pointer| known.get(&pointer.path)).collect();
    let bytes: usize = found.iter().map(|body| body.as_ref().unwrap().json().len()).sum();
    // Three quarters of 8 MiB, less what inflating needs.
    assert!(bytes > 3 << 20 && bytes <= 6 << 20, "{bytes} bytes");
    assert!(bytes <= fetcher.held_bytes(), "more bytes than are accounted for");
    assert!(wanted[found.len()..].iter().all(|pointer| known.get(&pointer.path).is_none()), "there is a gap");
    drop(known);
    assert_eq!(fetcher.held_bytes(), 0);
}

#[tokio::test]
async fn bodies_of_the_largest_size_go_one_by_one() {
    let s3 = S3Double::start().await;
    let body = format!("\"{}\"", "x".repeat((1 << 20) - 2));
    let names: Vec<_> = (0..20).map(|number| format!("large{number}")).collect();
    for name in &names {
        s3.put(&path(name), body.clone());
    }
    // Lanes that compete for room for little more than one event.
    let settings = Settings { memory_bytes: 5 << 20, ..s3.settings(&["calls"]) };
    let run = Run::new(Some(settings)).await;
    let lanes: Vec<_> = names
        .chunks(4)
        .map(|names| {
            let [a, b, c, d] = [0, 1, 2, 3].map(|index| path(&names[index]));
            let records = [record(&names[0], OLD, Some(&a), Some(&b)), record(&names[2], OLD, Some(&c), Some(&d))];
            run.spawn(&[&records])
        })
        .collect();
    for lane in lanes {
        tokio::time::timeout(Duration::from_secs(60), lane).await.expect("it hangs").unwrap().unwrap();
    }
    assert_eq!(run.states(), [("fetched", 20)]);
    assert_eq!(run.events().len(), 10);
}

#[tokio::test]
async fn what_comes_again_is_not_fetched_again() {
    let s3 = S3Double::start().await;
    s3.put(&path("same"), gzip("{\"a\":1}"));
    let same = |id: &str| record(id, OLD, Some(&path("same")), Some(&path("same")));
    let run = Run::new(Some(s3.settings(&["calls"]))).await;
    let twice = format!("{}\n{}", same("a"), same("b"));
    let events = run.all(&[&[twice.clone(), same("c")], &[twice]]).await;
    assert_eq!(ids(&events), ["a", "b", "c", "a", "b"]);
    assert!(events.iter().all(|event| event["output"]["outputBodyJson"]["a"] == 1));
    assert_eq!(s3.asked().into_values().collect::<Vec<_>>(), [1]);
    assert_eq!(run.states(), [("fetched", 10)]);
}

#[tokio::test]
async fn nothing_is_committed_before_its_body_is_there() {
    let s3 = S3Double::start().await;
    s3.put(&path("late"), gzip("{}"));
    s3.always(Some(MISSING));
    let run = Run::new(Some(s3.settings(&["calls"]))).await;
    let records = [record("first", &now(), None, None), record("late", &now(), Some(&path("late")), None)];
    let lane = run.spawn(&[&records]);
    while s3.asked().into_values().sum::<usize>() < 10 {
        tokio::task::yield_now().await;
    }
    assert_eq!(run.bench.ledger.newest(), None);
    s3.always(None);
    tokio::time::timeout(Duration::from_secs(20), lane).await.expect("it hangs").unwrap().unwrap();
    assert_eq!(ids(&run.events()), ["first", "late"]);
    assert_eq!(run.states(), [("fetched", 1)]);
    assert_eq!(run.bench.ledger.newest(), Some(Position::End));
}

#[tokio::test]
async fn a_stop_waits_for_no_body_for_long() {
    let s3 = S3Double::start().await;
    let run = Run::new(Some(s3.settings(&["calls"]))).await;
    let records = [record("a", &now(), Some(&path("a")), None), record("b", &now(), Some(&path("b")), None)];
    let lane = run.bench.spawn(Script::new([Step::Read(records.to_vec(), 1)]));
    while s3.asked().len() < 2 {
        tokio::task::yield_now().await;
    }
    assert!(run.events().is_empty());
    run.bench.stop.reading.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(20), lane).await.expect("it waits on").unwrap().unwrap();
    assert_eq!(ended, LaneEnd::Stopped);
    assert_eq!(ids(&run.events()), ["a", "b"]);
    assert_eq!(run.states(), [("missing", 2)]);
    assert_eq!(run.bench.ledger.newest(), Some(after(1)));

    // What is abandoned is dropped at once, and commits nothing.
    let run = Run::new(Some(s3.settings(&["calls"]))).await;
    s3.always(Some(Meet::Silence));
    let lane = run.bench.spawn(Script::new([Step::Read(records.to_vec(), 1)]));
    while s3.asked()[&path("a")] < 2 {
        tokio::task::yield_now().await;
    }
    run.bench.stop.abandon.cancel();
    run.bench.stop.reading.cancel();
    tokio::time::timeout(Duration::from_secs(20), lane).await.expect("it hangs").unwrap().unwrap();
    assert_eq!((run.events().len(), run.bench.ledger.newest()), (0, None));
}

#[tokio::test]
async fn the_daemon_fetches_what_its_plan_says() {
    let s3 = S3Double::start().await;
    s3.put(&path("a"), gzip("{\"prompt\":\"hi\"}"));
    let directory = tempfile::tempdir().unwrap();
    let (input, output) = (directory.path().join("in"), directory.path().join("out"));
    std::fs::write(&input, record("a", OLD, Some(&path("a")), Some("s3://other/b"))).unwrap();
    let config = format!(
        "source.file.paths = [{input:?}]\ncoordination.local.directory = {:?}\nsinks.out.file.path = {output:?}\n\
         [bodies]\nfetch = true\nbuckets = ['calls']\nregion = 'eu-west-1'\nwait = '10s'",
        directory.path().join("state")
    );
    let config = Config::parse(&config, "t.toml", &Environment::default()).unwrap();
    let mut plan = Plan::of(&config).unwrap();
    let planned = plan.bodies.take().unwrap();
    assert_eq!((planned.access.region.as_deref(), planned.wait), (Some("eu-west-1"), Duration::from_secs(10)));
    assert_eq!((planned.max_body_bytes, planned.memory_bytes, planned.depth), (25 << 20, 128 << 20, 126));
    plan.bodies = Some(Settings { access: s3.settings(&[]).access, ..planned });
    let summary = daemon::run(plan, Stop::default()).await.unwrap();
    let states: Vec<_> = summary.tally.noted.bodies.into_iter().collect();
    assert_eq!(states, [("fetched", 1), ("not_allowed", 1)]);
    let event: Value = serde_json::from_str(&std::fs::read_to_string(output).unwrap()).unwrap();
    assert_eq!(event["input"]["inputBodyJson"]["prompt"], "hi");
}

#[test]
fn the_section_is_checked() {
    let check = |section: &str, expected: &[&str]| {
        let text = format!(
            "source.kinesis.stream = 'calls'\nsinks.console.stdout = {{}}\ndead_letter.file.path = 'x'\n[bodies]\n{section}"
        );
        match Config::parse(&text, "t.toml", &Environment::default()) {
            Ok(_) => assert!(expected.is_empty(), "{section} is accepted"),
            Err(error) => {
                let error = error.to_string();
                assert!(!expected.is_empty(), "{error}");
                for part in expected {
                    assert!(error.contains(part), "{error} lacks {part}");
                }
            }
        }
    };
    check("", &[]);
    check("fetch = true\nbuckets = ['calls-of-ours']\nwait = '0s'\nmax_body = '1 MiB'\nmemory = '5 MiB'", &[]);
    check("fetch = true", &["bodies.fetch", "names no bucket"]);
    check(
        "buckets = ['a', 'Calls', 'a/b/c', '']",
        &["buckets", "\"a\" is no bucket's name", "\"Calls\" is no", "\"a/b/c\"", "\"\""],
    );
    check("max_body = '100 MiB'", &["bodies.memory", "no room for 5 bodies"]);
    check("wait = '6m'\nconcurrency = 0\nmax_body = '1 B'", &["0s to 5m", "concurrency", "64 KiB to 1 GiB"]);
    check("region = 'Dublin'\nendpoint_url = 'x'", &["has not the form of a Region", "begins with neither"]);
    check("bucket = ['x']", &["buckets"]);
}
