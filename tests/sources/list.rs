//! A list of objects as a source, against an S3 by others.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bedrock_tap::budget::Budget;
use bedrock_tap::checkpoint::CheckpointStore as _;
use bedrock_tap::checkpoint::memory::Memory;
use bedrock_tap::delivery::{LaneEnd, LaneError, Lanes};
use bedrock_tap::record::{Partition, Position, ShardId};
use bedrock_tap::source::s3::choice::Choice;
use bedrock_tap::source::s3::list::{self, Endless, Growing, Range, Runners, Settings};
use bedrock_tap::source::s3::object::Objects;
use bedrock_tap::source::several::{Progress, Seen};
use bedrock_tap::source::{BoxFuture, Read, Source};
use tokio_util::sync::CancellationToken;

use crate::support::bucket_double::{BUCKET, BucketDouble, Fault};

/// The lines of partitions, and their positions.
type Given = BTreeMap<String, (Vec<String>, Vec<String>)>;

/// What happens when a line comes.
type OnLine = Box<dyn Fn(&str) + Send + Sync>;

/// Lanes that remember what each partition gave: its lines, and its position after each read.
#[derive(Default)]
struct Gather {
    given: Mutex<Given>,
    /// Called before more is read.
    on_line: Option<OnLine>,
}

impl Lanes for Gather {
    fn run(
        &self,
        partition: Partition,
        mut source: Box<dyn Source>,
        stop: CancellationToken,
    ) -> BoxFuture<'_, Result<LaneEnd, LaneError>> {
        Box::pin(async move {
            let name = partition.shard.as_str().to_owned();
            while let Some(read) = stop.run_until_cancelled(source.next()).await {
                let Read::Records { records, position, .. } = read? else {
                    return Ok(LaneEnd::Ended { children: Vec::new() });
                };
                let texts = records.iter().map(|record| String::from_utf8(record.data.to_vec()).unwrap());
                let lines: Vec<String> =
                    texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
                if let Some(on_line) = &self.on_line {
                    lines.iter().for_each(|line| on_line(line));
                }
                let mut given = self.given.lock().unwrap();
                let (all, positions) = given.entry(name.clone()).or_default();
                all.extend(lines);
                positions.push(position.to_string());
            }
            Ok(LaneEnd::Stopped)
        })
    }
}

struct Ran {
    result: Result<bool, String>,
    given: Given,
    seen: Seen,
}

impl Ran {
    /// The lines of all folders, in their order.
    fn lines(&self) -> Vec<&str> {
        self.given.values().flat_map(|(lines, _)| lines.iter().map(String::as_str)).collect()
    }
}

fn settings(prefix: &str, times: Option<(&str, &str)>) -> Settings {
    let time = |text: &str| text.parse().unwrap();
    Settings {
        bucket: BUCKET.into(),
        prefix: prefix.into(),
        range: times.map_or(Range::ALL, |(from, to)| Range { from: time(from), to: time(to) }),
        choice: Choice::default(),
        concurrency: 3,
        max_inflated_bytes: 1 << 20,
        stream: "list".into(),
        page_keys: 2,
    }
}

async fn run(double: &BucketDouble, settings: Settings, positions: &[(&str, Position)], lanes: Gather) -> Ran {
    let lanes = Arc::new(lanes);
    let checkpoints = Arc::new(Memory::default());
    for (shard, position) in positions {
        let partition = Partition { stream: "list".into(), shard: ShardId::new(*shard) };
        checkpoints.begin(partition, position.clone()).await.unwrap();
    }
    let objects = Objects::connect(&double.settings().access).await.unwrap().patient_for(Duration::from_secs(2));
    let (progress, stop) = (Arc::<Progress>::default(), CancellationToken::new());
    let (budget, shown) = (Budget::new(1 << 20), Arc::clone(&progress));
    let runners = Runners { lanes: lanes.clone(), growing: None };
    let listing = list::run(settings, objects, runners, checkpoints, budget, shown, stop);
    let result = tokio::time::timeout(Duration::from_secs(60), listing).await.expect("it does not end");
    let result = result.map_err(|error| format!("{:#}", anyhow::Error::new(error)));
    let given = lanes.given.lock().unwrap().clone();
    Ran { result, given, seen: progress.look() }
}

const LOGS: &str = "p/AWSLogs/123456789012/BedrockModelInvocationLogs/us-east-1";

fn key(hour: &str, number: usize) -> String {
    format!("{LOGS}/{hour}/20260102T030405678Z_{number:04x}.json")
}

/// Three hours of two days, with what is no log.
async fn bucket() -> BucketDouble {
    let double = BucketDouble::start().await;
    for (hour, count) in [("2026/01/01/23", 1), ("2026/01/02/00", 5), ("2026/01/02/01", 2), ("2026/01/02/02", 1)] {
        for number in 0..count {
            double.put(&key(hour, number), format!("{hour} {number}\n").as_bytes());
        }
        double.put(&format!("{LOGS}/{hour}/data/a_input.json.gz"), b"a body\n");
        double.put(&format!("{LOGS}/{hour}/amazon-bedrock-logs-permission-check"), b"a check\n");
    }
    double.put(&format!("{LOGS}/2026/01/02/03/empty.json"), b"");
    double.put("exports/of a day/a+b \u{e4}.json", b"without a date\n");
    double.put("exports/year=2026/month=01/day=02/hour=00/a", b"of a hive\n");
    double
}

#[tokio::test]
async fn the_folders_of_a_time_are_read_in_the_order_of_their_keys() {
    let double = bucket().await;
    let check = async |prefix: &str, times: Option<(&str, &str)>, expected: &[&str]| {
        let ran = run(&double, settings(prefix, times), &[], Gather::default()).await;
        assert_eq!(ran.result, Ok(true), "{prefix} {times:?}");
        assert_eq!(ran.lines(), expected, "{prefix} {times:?}");
        assert_eq!(ran.seen.objects, expected.len() as u64);
        assert!(ran.seen.is_complete && ran.seen.is_all_found && ran.seen.done == ran.seen.found, "{:?}", ran.seen);
    };
    let first = ["2026/01/02/00 0", "2026/01/02/00 1", "2026/01/02/00 2", "2026/01/02/00 3", "2026/01/02/00 4"];
    let second = ["2026/01/02/01 0", "2026/01/02/01 1"];
    let all = [&["2026/01/01/23 0"], &first[..], &second[..], &["2026/01/02/02 0"]].concat();
    check("p/", None, &all).await;
    check("p/AWSLogs/1234", None, &all).await;
    check(&format!("{LOGS}/2026/01/02/00/"), None, &first).await;
    check(&format!("{LOGS}/2026/01/02"), None, &all[1..]).await;
    // An hour, and the one in which its late calls are written.
    let hour = Some(("2026-01-02T00:00:00Z", "2026-01-02T01:00:00Z"));
    check("p/", hour, &all[1..8]).await;
    check("p/", Some(("2026-01-02T00:59:59Z", "2026-01-02T01:00:00Z")), &all[1..8]).await;
    check("p/", Some(("2026-01-02T02:00:00Z", "2026-01-03T00:00:00Z")), &all[8..]).await;
    check("p/", Some(("2025-01-01T00:00:00Z", "2025-12-31T00:00:00Z")), &[]).await;
    check("exports/", None, &["without a date", "of a hive"]).await;
    // Without a date it was written just now.
    check("exports/", hour, &["of a hive"]).await;
    check("exports/", Some(("2026-06-01T00:00:00Z", "9999-01-01T00:00:00Z")), &["without a date"]).await;
    check("nothing", None, &[]).await;
    let bodies =
        double.asked().into_iter().filter(|asked| asked.key.contains("/data/") || asked.query.contains("data%2F"));
    assert_eq!(bodies.count(), 0, "bodies were looked at");
}

#[tokio::test]
async fn keys_are_what_they_are() {
    let double = BucketDouble::start().await;
    for (key, line) in [("k/one.json", "one"), ("k/a+b%2F \u{e4}.json", "odd"), ("k/2026/01/02/data/a", "of others")] {
        double.put(key, format!("{line}\n").as_bytes());
    }
    let check = async |prefix: &str, expected: &[&str]| {
        let ran = run(&double, settings(prefix, None), &[], Gather::default()).await;
        assert_eq!((ran.result.clone(), ran.lines()), (Ok(true), expected.to_vec()), "{prefix}");
    };
    check("k/", &["odd", "one", "of others"]).await;
    // A prefix may be a whole key, and a name as it stands in no text.
    check("k/one.json", &["one"]).await;
    check("k/a+b%2F \u{e4}.json", &["odd"]).await;
    let list = |content: &str| {
        let head = "<EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>";
        Fault::Answer(format!("<ListBucketResult>{head}{content}</ListBucketResult>"))
    };
    let content = "<Contents><Key>k/a%2Bb%252F+%C3%A4.json</Key></Contents>";
    double.script("other", [list(content), list(content)]);
    check("k/", &["odd"]).await;
    let asked = double.asked();
    assert!(
        asked.iter().filter(|asked| asked.query.contains("list-type")).all(|a| a.query.contains("encoding-type=url"))
    );
}

#[tokio::test]
async fn a_folder_that_grows_keeps_a_position_that_nothing_comes_before() {
    let double = BucketDouble::start().await;
    let objects = Objects::connect(&double.settings().access).await.unwrap();
    let checkpoints = Arc::new(Memory::default());
    let (old, new) = ("2026-01-02T00:00:00.000Z", jiff::Timestamp::now().to_string());
    let folder = "undated/";
    let page = |objects: &[(&str, &str)]| {
        let one = |(name, time): &(&str, &str)| {
            format!("<Contents><Key>{folder}{name}</Key><Size>2</Size><LastModified>{time}</LastModified></Contents>")
        };
        let objects: String = objects.iter().map(one).collect();
        Fault::Answer(format!("<ListBucketResult><IsTruncated>false</IsTruncated>{objects}</ListBucketResult>"))
    };
    for name in ["a", "b", "c", "d"] {
        double.put(&format!("{folder}{name}"), name.as_bytes());
    }
    // Whoever wrote `c` has a clock that is ahead; `d` is older, and stands behind it.
    let listed = page(&[("a", old), ("b", old), ("c", &new), ("d", old)]);
    double.script("other", [listed.clone(), listed]);
    let lanes = Arc::new(Gather::default());
    let store = Arc::new(Endless::new(checkpoints.clone()));
    let growing = Growing { lanes: lanes.clone(), store };
    let runners = Runners { lanes: lanes.clone(), growing: Some(growing) };
    let (budget, stop) = (Budget::new(1 << 20), CancellationToken::new());
    let running = list::run(settings(folder, None), objects, runners, checkpoints, budget, Arc::default(), stop);
    assert!(running.await.unwrap());
    let given = lanes.given.lock().unwrap().clone();
    let (lines, positions) = &given[folder];
    assert_eq!(lines, &["a", "b", "c", "d"]);
    assert_eq!(positions.last().unwrap(), "key:undated/b", "what comes between b and c would be lost");
}

#[tokio::test]
async fn a_folder_goes_on_behind_its_last_object() {
    let double = bucket().await;
    let folder = format!("{LOGS}/2026/01/02/00/");
    let ran = run(&double, settings(&folder, None), &[], Gather::default()).await;
    let keys: Vec<String> = (0..5).map(|number| format!("key:{}", key("2026/01/02/00", number))).collect();
    let (lines, positions) = &ran.given[&folder];
    assert_eq!(lines.len(), 5);
    // While an object is read, the position is the object before.
    let mut expected = vec!["trim_horizon".to_owned(), keys[0].clone()];
    keys.windows(2).for_each(|pair| expected.extend(pair.to_vec()));
    assert_eq!(positions, &expected);
    let check = async |position: Position, expected: &[&str]| {
        let before = double.asked().len();
        let ran = run(&double, settings(&folder, None), &[(&folder, position)], Gather::default()).await;
        assert_eq!(
            (ran.result, ran.given.get(&folder).map(|(lines, _)| lines.len())),
            (Ok(true), (!expected.is_empty()).then_some(expected.len()))
        );
        let asked = double.asked();
        let gets = asked[before..].iter().filter(|asked| asked.key.ends_with(".json"));
        let gets: Vec<&str> = gets.map(|asked| asked.key.rsplit('_').next().unwrap()).collect();
        assert_eq!(gets, expected);
    };
    check(Position::Key(key("2026/01/02/00", 2).into()), &["0003.json", "0004.json"]).await;
    check(Position::Key(key("2026/01/02/00", 4).into()), &[]).await;
    check(Position::End, &[]).await;
}

#[tokio::test]
async fn what_was_deleted_meanwhile_is_counted_and_what_is_forbidden_ends_the_run() {
    let double = Arc::new(bucket().await);
    let bucket = Arc::clone(&double);
    let on_line = move |line: &str| {
        if line == "2026/01/02/01 0" {
            bucket.delete(&key("2026/01/02/01", 1))
        }
    };
    let lanes = Gather { on_line: Some(Box::new(on_line)), ..Gather::default() };
    let folder = format!("{LOGS}/2026/01/02/01/");
    let ran = run(&double, settings(&folder, None), &[], lanes).await;
    assert_eq!((ran.result, ran.seen.objects, ran.seen.gone), (Ok(true), 1, 1));
    let last = ran.given[&folder].1.last().unwrap();
    assert_eq!(*last, format!("key:{}", key("2026/01/02/01", 1)));

    let check = async |fault: Fault, expected: &[&str]| {
        let folder = format!("{LOGS}/2026/01/02/02/");
        // The walk looks into the folder, and then the folder's own source does; a page is left each time.
        double.script("other", [Fault::None, Fault::None, Fault::None, fault]);
        let ran = run(&double, settings(&folder, None), &[], Gather::default()).await;
        double.clear();
        let error = ran.result.unwrap_err();
        assert!(expected.iter().all(|part| error.contains(part)), "{error}");
        assert!(!error.contains("secret-text"), "{error}");
        assert!(!ran.seen.is_complete);
    };
    let object = key("2026/01/02/02", 0);
    check(Fault::Error(403, "AccessDenied", None), &[&object, "s3:GetObject"]).await;
    check(Fault::Error(403, "InvalidObjectState", None), &[&object, "archive"]).await;
}

#[tokio::test]
async fn a_list_that_fails_is_asked_for_again_and_one_that_cannot_be_ends_the_run() {
    let double = bucket().await;
    let folder = format!("{LOGS}/2026/01/02/02/");
    let lost = "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>".to_owned();
    let bad =
        "<ListBucketResult><EncodingType>url</EncodingType><Contents><Key>%zz</Key></Contents></ListBucketResult>";
    let faults = [
        Fault::Silence,
        Fault::Answer(bad.to_owned()),
        Fault::Error(503, "SlowDown", None),
        Fault::Error(500, "InternalError", None),
        Fault::Cut,
        Fault::Answer(lost),
        Fault::Error(403, "AccessDenied", None),
    ];
    double.script("other", faults);
    let ran = run(&double, settings(&folder, None), &[], Gather::default()).await;
    assert_eq!((ran.result.clone(), ran.lines()), (Ok(true), vec!["2026/01/02/02 0"]));
    let check = async |fault: Fault, expected: &str| {
        double.script("other", [fault]);
        let ran = run(&double, settings(&folder, None), &[], Gather::default()).await;
        let error = ran.result.unwrap_err();
        assert!(error.contains(expected) && error.contains(&folder) && !error.contains("secret-text"), "{error}");
    };
    check(Fault::Error(404, "NoSuchBucket", None), "no such bucket").await;
    check(Fault::Error(301, "PermanentRedirect", None), "set `region`").await;
    check(Fault::Error(400, "InvalidArgument", None), "InvalidArgument").await;
}

#[tokio::test]
async fn hostile_lists_lead_nowhere() {
    let double = BucketDouble::start().await;
    let object = |key: &str| format!("<Contents><Key>{key}</Key><Size>3</Size></Contents>");
    let folder = |prefix: &str| format!("<CommonPrefixes><Prefix>{prefix}</Prefix></CommonPrefixes>");
    let page = |content: &str| {
        Fault::Answer(format!("<ListBucketResult><IsTruncated>false</IsTruncated>{content}</ListBucketResult>"))
    };
    // Folders that lead back or elsewhere, and objects of elsewhere.
    double.script("other", [page(&(folder("a/") + &folder("b/c/") + &folder("a/b") + &object("b/x")))]);
    let ran = run(&double, settings("a/", None), &[], Gather::default()).await;
    assert_eq!((ran.result.clone(), ran.seen.found), (Ok(true), 0));
    // Keys in no order have no position.
    let unordered = page(&(object("a/2") + &object("a/1")));
    double.script("other", [unordered]);
    let ran = run(&double, settings("a/", None), &[], Gather::default()).await;
    assert!(ran.result.unwrap_err().contains("order"));
    // Neither have pages that come twice.
    let around = |content: &str, token: &str| {
        let head = format!("<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>");
        Fault::Answer(format!("<ListBucketResult>{head}{content}</ListBucketResult>"))
    };
    double.script("other", [around(&folder("a/b/"), "1"), page(""), around(&folder("a/b/"), "2")]);
    let ran = run(&double, settings("a/", None), &[], Gather::default()).await;
    assert!(ran.result.unwrap_err().contains("order"));
    // A staircase without an end.
    let steps = (1..80).map(|depth| page(&folder(&format!("a/{}", "b/".repeat(depth)))));
    double.script("other", steps);
    let ran = run(&double, settings("a/", None), &[], Gather::default()).await;
    assert!(ran.result.unwrap_err().contains("too deep"));
}
