//! The backfill as people run it: a process between a bucket or log groups and files.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use bedrock_tap::aws::Access;
use bedrock_tap::backfill::journal::{Found, Run};
use bedrock_tap::backfill::{Job, Place};
use bedrock_tap::checkpoint::CheckpointStore as _;
use bedrock_tap::checkpoint::local::{Local, Settings};
use bedrock_tap::format::Format;
use bedrock_tap::pipeline::{self, Line, Parcel};
use bedrock_tap::record::{Origin, Position, Record};
use bedrock_tap::source::cloudwatch::client::{Event, Group};
use bedrock_tap::source::cloudwatch::envelope;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use crate::support::bucket_double::{BUCKET, BucketDouble};
use crate::support::emulator::Emulator;

const LOGS: &str = "AWSLogs/123456789012/BedrockModelInvocationLogs/us-east-1";
const FROM: &str = "2026-01-02T00:00:00Z";

fn request(number: usize) -> String {
    format!("request-{number:05}")
}

fn record(number: usize) -> String {
    format!(
        r#"{{"schemaType":"ModelInvocationLog","schemaVersion":"1.0","timestamp":"2026-01-02T03:04:05Z","accountId":"123456789012","region":"us-east-1","requestId":"{}","operation":"Converse","modelId":"amazon.nova-lite-v1:0"}}"#,
        request(number)
    )
}

fn gzip(lines: &[String]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all((lines.join("\n") + "\n").as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn hour(index: usize) -> Timestamp {
    FROM.parse::<Timestamp>().unwrap() + SignedDuration::from_hours(i64::try_from(index).unwrap())
}

fn folder(hour: Timestamp) -> String {
    format!("{LOGS}/{}/", hour.strftime("%Y/%m/%d/%H"))
}

/// Objects of so many hours from [`FROM`] on. Gives the number of records.
fn fill(double: &BucketDouble, hours: usize, objects: usize, records: usize) -> usize {
    let mut number = 0;
    for index in 0..hours {
        for object in 0..objects {
            let lines: Vec<String> = (number..number + records).map(record).collect();
            double.put(&format!("{}2026_{object:04}.json.gz", folder(hour(index))), &gzip(&lines));
            number += records;
        }
    }
    number
}

/// A place with a configuration of which nothing runs but its sinks.
struct Home {
    directory: TempDir,
    endpoint: String,
}

impl Home {
    fn new(endpoint: &str) -> Self {
        let home = Self { directory: tempfile::tempdir().unwrap(), endpoint: endpoint.to_owned() };
        home.configure("[source.kinesis]\nstream = \"live\"\nregion = \"us-east-1\"\n");
        home
    }

    async fn beside(double: &BucketDouble) -> Self {
        Self::new(&double.settings().access.endpoint_url.unwrap())
    }

    fn configure(&self, source: &str) {
        let path = |name: &str| self.path(name).display().to_string();
        let text = format!(
            "{source}[coordination.local]\ndirectory = {:?}\n[sinks.events.file]\npath = {:?}\n",
            path("state"),
            path("out.jsonl")
        );
        fs::write(self.path("config.toml"), text).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self, subcommand: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bedrock-tap"));
        command.arg(subcommand).arg("--config").arg(self.path("config.toml")).kill_on_drop(true);
        command.env("AWS_ACCESS_KEY_ID", "embedded").env("AWS_SECRET_ACCESS_KEY", "embedded");
        for name in ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"] {
            command.env(name, "/dev/null");
        }
        for name in ["BEDROCK_TAP_LOG", "AWS_PROFILE", "AWS_SESSION_TOKEN", "HTTP_PROXY", "http_proxy"] {
            command.env_remove(name);
        }
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn backfill(&self, flags: &[&str]) -> Command {
        let mut command = self.command("backfill");
        command.args(["--endpoint-url", &self.endpoint]).args(flags);
        command
    }

    /// Runs it to its end: its status, and all that it said.
    async fn end(&self, mut command: Command) -> (Option<i32>, String) {
        let output = timeout(Duration::from_secs(90), command.output()).await.expect("it does not end").unwrap();
        said(&output)
    }

    /// The request ids that were delivered, in their order.
    fn delivered(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("out.jsonl")).unwrap_or_default();
        // The last line may be one that is being written.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let id = |line: &str| {
            let event: Value = serde_json::from_str(line).unwrap();
            event["requestId"].as_str().unwrap().to_owned()
        };
        whole.lines().map(id).collect()
    }
}

fn said(output: &Output) -> (Option<i32>, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout) + &text(&output.stderr))
}

fn all(count: usize) -> BTreeSet<String> {
    (0..count).map(request).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_delivered_once_and_may_be_begun_anew() {
    let double = BucketDouble::start().await;
    let count = fill(&double, 3, 2, 5);
    double.put(&format!("{}2026_damaged.json.gz", folder(hour(1))), b"no log at all");
    let home = Home::beside(&double).await;
    let uri = format!("s3://{BUCKET}/AWSLogs");
    let flags = ["--s3", uri.as_str(), "--from", FROM, "--to", "2026-01-02T02:00:00Z"];

    let counted = [&flags[..], &["--dry-run"]].concat();
    let (status, text) = home.end(home.backfill(&counted)).await;
    assert_eq!(status, Some(0), "{text}");
    let day = text.lines().find(|line| line.starts_with("2026-01-02")).unwrap();
    let columns: Vec<&str> = day.split_whitespace().collect();
    assert_eq!(columns[..6], ["2026-01-02", "3", "31", "30", "0", "1"], "{text}");
    assert!(text.contains("7 objects") && text.contains("nothing was delivered"), "{text}");
    assert!(!home.path("state").exists() && !home.path("out.jsonl").exists(), "a count leaves traces");

    let (status, text) = home.end(home.backfill(&flags)).await;
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("everything was delivered") && text.contains("30 events, 0 skipped, 1 rejects"), "{text}");
    assert!(!text.contains("request-0"), "the log holds what was read: {text}");
    let delivered = home.delivered();
    assert_eq!((delivered.len(), delivered.into_iter().collect()), (count, all(count)));
    let letters = fs::read_to_string(home.path("state/backfill/dead-letter.jsonl")).unwrap();
    assert_eq!(letters.lines().count(), 1);

    let (status, text) = home.end(home.backfill(&flags)).await;
    assert_eq!((status, home.delivered().len()), (Some(0), count), "{text}");
    assert!(text.contains("nothing to do"), "{text}");
    let (status, text) = home.end(home.backfill(&[&flags[..], &["--restart"]].concat())).await;
    assert_eq!((status, home.delivered().len()), (Some(0), 2 * count), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_it_goes_on_and_loses_nothing() {
    const HOURS: usize = 30;
    const KILLS: usize = 5;
    let double = BucketDouble::start().await;
    let count = fill(&double, HOURS, 8, 10);
    let home = Home::beside(&double).await;
    let (uri, to) = (format!("s3://{BUCKET}"), hour(HOURS).to_string());
    let flags = ["--s3", uri.as_str(), "--from", FROM, "--to", to.as_str()];
    let place = Place::Objects { bucket: BUCKET.into(), prefix: "".into() };
    let access = Access { endpoint_url: Some(home.endpoint.clone()), ..Access::default() };
    let job = Job { place, from: FROM.parse().unwrap(), to: to.parse().unwrap(), access };
    let mut finished = Vec::new();
    for life in 1..=KILLS {
        let asked = double.asked().len();
        let mut command = home.backfill(&flags);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let target = home.delivered().len().max(count * life / (KILLS + 1));
        let grown = timeout(Duration::from_secs(60), async {
            while home.delivered().len() <= target {
                assert!(child.try_wait().unwrap().is_none(), "it ended before it was killed");
                sleep(Duration::from_millis(5)).await;
            }
        });
        grown.await.expect("nothing is delivered");
        child.kill().await.unwrap();
        again(&double, asked, &finished);
        finished = ended(&home.path("state/backfill"), &job).await;
    }
    assert!(!finished.is_empty(), "no folder was finished before the last life");
    let asked = double.asked().len();
    let (status, text) = home.end(home.backfill(&flags)).await;
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("going on with") && text.contains(" before)"), "{text}");
    again(&double, asked, &finished);
    let delivered: BTreeSet<String> = home.delivered().into_iter().collect();
    assert_eq!(delivered, all(count));
}

/// Looks that no object of a finished folder was read.
fn again(double: &BucketDouble, since: usize, finished: &[String]) {
    for asked in &double.asked()[since..] {
        let is_finished = finished.iter().any(|folder| asked.key.starts_with(folder) && asked.key.ends_with(".gz"));
        assert!(!is_finished, "{} is read again", asked.key);
    }
}

/// The folders that were delivered to their end.
async fn ended(state: &Path, job: &Job) -> Vec<String> {
    let store = Local::open(&Settings { directory: state.to_path_buf() }).unwrap();
    let Found::Begun(run) = Run::find(job, false, &store).await.unwrap() else { panic!("it was not begun") };
    let positions = store.load(&run.stream()).await.unwrap();
    let ended = positions.into_iter().filter(|(_, position)| *position == Position::End);
    ended.map(|(partition, _)| partition.shard.as_str().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn told_to_stop_it_drains_and_says_how_to_go_on() {
    let double = BucketDouble::start().await;
    let count = fill(&double, 30, 8, 10);
    let home = Home::beside(&double).await;
    let uri = format!("s3://{BUCKET}");
    let child = home.backfill(&["--s3", &uri, "--from", FROM, "--to", "2026-01-04T00:00:00Z"]).spawn().unwrap();
    let begun = timeout(Duration::from_secs(60), async {
        while home.delivered().is_empty() {
            sleep(Duration::from_millis(5)).await;
        }
    });
    begun.await.expect("nothing is delivered");
    let id = child.id().unwrap().to_string();
    // Another one on the same directory is refused while this one runs.
    let other = home.backfill(&["--s3", &uri, "--from", "1h"]);
    assert!(Command::new("kill").args(["-STOP", &id]).status().await.unwrap().success());
    let (status, text) = home.end(other).await;
    assert!(status == Some(1) && text.contains("another process uses it"), "{status:?} {text}");
    for signal in ["-INT", "-CONT"] {
        assert!(Command::new("kill").args([signal, &id]).status().await.unwrap().success());
    }
    let output = timeout(Duration::from_secs(60), child.wait_with_output()).await.unwrap().unwrap();
    let (status, text) = said(&output);
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("stopped before everything was delivered"), "{text}");
    let command = text.lines().find(|line| line.starts_with("  bedrock-tap backfill")).unwrap();
    let words: Vec<&str> = command.split_whitespace().skip(2).collect();
    let first = home.delivered();
    assert!(first.len() < count);
    // The command as it stands, in which the configuration is named.
    let mut command = Command::new(env!("CARGO_BIN_EXE_bedrock-tap"));
    command.arg("backfill").args(words).env("AWS_ACCESS_KEY_ID", "embedded").env("AWS_SECRET_ACCESS_KEY", "embedded");
    let (status, text) = home.end(command).await;
    assert_eq!(status, Some(0), "{text}");
    let delivered = home.delivered();
    assert_eq!(delivered.iter().cloned().collect::<BTreeSet<_>>(), all(count));
    assert_eq!(delivered[..first.len()], first);
    // What was read was delivered and noted: only objects that were cut off begin again, one a lane at most.
    assert!(delivered.len() <= count + 8 * 10, "{} of {count}", delivered.len());
}

#[tokio::test]
async fn wrong_usage_is_told_with_the_way_out() {
    let home = Home::new("http://127.0.0.1:9");
    let check = async |flags: &[&str], expected: &str| {
        let (status, text) = home.end(home.backfill(flags)).await;
        assert_eq!(status, Some(64), "{flags:?}: {text}");
        assert!(text.contains(expected), "{flags:?}: {text}");
    };
    check(&["--from", "1h"], "--log-group <NAME>|--s3 <URI>").await;
    check(&["--from", "1h", "--s3", "logs"], "s3://BUCKET/PREFIX").await;
    check(&["--from", "1h", "--to", "1h", "--s3", "s3://logs"], "is not before --to").await;
    check(&["--from", "1h", "--s3", "s3://logs", "--log-group", "a"], "cannot be used with").await;
    let dynamodb = "[coordination.dynamodb]\ntable = \"taps\"\n[dead_letter.file]\npath = \"letters\"\n";
    let text = format!("{dynamodb}[source.kinesis]\nstream = \"live\"\n[sinks.a.stdout]\n");
    fs::write(home.path("config.toml"), text).unwrap();
    check(&["--from", "1h", "--s3", "s3://logs"], "--state DIR").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_in_run_is_read_once_and_a_folder_that_grew_is_read_again() {
    let double = BucketDouble::start().await;
    let now = Timestamp::now();
    let key = |number: usize| format!("{}2026_{number:04}.json.gz", folder(now));
    double.put(&key(1), &gzip(&[record(0)]));
    double.put(&format!("{}2026_0000.json.gz", folder(hour(0))), &gzip(&[record(1)]));
    let home = Home::beside(&double).await;
    home.configure(&format!(
        "[source.s3]\nregion = \"us-east-1\"\nendpoint_url = {:?}\nlist.url = \"s3://{BUCKET}/AWSLogs/\"\n",
        home.endpoint
    ));
    let check = async |expected: usize| {
        let (status, text) = home.end(home.command("run")).await;
        assert_eq!(status, Some(0), "{text}");
        let delivered = home.delivered();
        assert_eq!(delivered.iter().filter(|id| **id == request(1)).count(), 1, "{text}");
        assert_eq!(delivered.into_iter().collect::<BTreeSet<_>>(), all(expected), "{text}");
    };
    check(2).await;
    check(2).await;
    // Of two that write there, one has a clock that is behind.
    double.put(&key(0), &gzip(&[record(2)]));
    check(3).await;
    double.put(&key(2), &gzip(&[record(3)]));
    check(4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_groups_are_delivered_by_slices() {
    let Some(moto) = Emulator::moto().await else { return };
    let client = aws_sdk_cloudwatchlogs::Client::new(&moto.config);
    let to = Timestamp::from_second(Timestamp::now().as_second() - 60).unwrap();
    let from = to - SignedDuration::from_hours(2);
    let count = 120;
    for group in ["/aws/bedrock", "more"] {
        Box::pin(client.create_log_group().log_group_name(group).send()).await.unwrap();
        Box::pin(client.create_log_stream().log_group_name(group).log_stream_name("s").send()).await.unwrap();
        let event = |number: usize| {
            let time = from + SignedDuration::from_mins(i64::try_from(number).unwrap());
            let event = aws_sdk_cloudwatchlogs::types::InputLogEvent::builder();
            let number = if group == "more" { number + count } else { number };
            event.timestamp(time.as_millisecond()).message(record(number)).build().unwrap()
        };
        // The one at the end of the time is not of it.
        let events: Vec<_> = (0..=count).map(event).collect();
        let call = client.put_log_events().log_group_name(group).log_stream_name("s").set_log_events(Some(events));
        Box::pin(call.send()).await.unwrap();
    }
    let home = Home::new(&moto.url);
    let (from, to) = (from.to_string(), to.to_string());
    let flags = ["--log-group", "/aws/bedrock", "--log-group", "more", "--from", &from, "--to", &to];
    let (status, text) = home.end(home.backfill(&[&flags[..], &["--dry-run"]].concat())).await;
    assert!(status == Some(0) && text.contains("total") && text.contains("240"), "{text}");
    let (status, text) = home.end(home.backfill(&flags)).await;
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("48/48 slices") && text.contains("240 events"), "{text}");
    let delivered = home.delivered();
    assert_eq!((delivered.len(), delivered.into_iter().collect()), (2 * count, all(2 * count)));
    let (status, text) = home.end(home.backfill(&flags)).await;
    assert!(status == Some(0) && text.contains("nothing to do"), "{text}");
    let missing = ["--log-group", "none", "--from", &from, "--to", &to];
    let (status, text) = home.end(home.backfill(&missing)).await;
    assert!(status == Some(1) && text.contains("none") && text.contains("go on with"), "{text}");
}

/// The ids of the only event of the records, in the formats whose ids sinks and people look at.
fn ids(records: &[Record]) -> [String; 3] {
    let formats = [Format::Panther, Format::Ecs, Format::Ocsf];
    let outputs = formats.map(Into::into).to_vec();
    let mut line = Line::new(pipeline::Settings { outputs, ..pipeline::Settings::default() });
    let mut parcel = Parcel::default();
    records.iter().for_each(|record| line.process(record, Timestamp::UNIX_EPOCH, &mut parcel));
    assert_eq!(parcel.tally.invocations, 1, "{:?}", parcel.tally);
    let places = ["/p_row_id", "/event/id", "/metadata/uid"];
    [0, 1, 2].map(|index| {
        let event: Value = serde_json::from_slice(parcel.outputs[index].bytes()).unwrap();
        event.pointer(places[index]).and_then(Value::as_str).unwrap().to_owned()
    })
}

#[test]
fn a_call_has_one_id_whichever_way_it_comes() {
    let message = record(7);
    let subscription = serde_json::json!({
        "messageType": "DATA_MESSAGE", "owner": "123456789012", "logGroup": "/aws/bedrock", "logStream": "s",
        "subscriptionFilters": ["f"],
        "logEvents": [{ "id": "3718", "timestamp": 1_767_323_045_000_i64, "message": message }],
    });
    let origin = || Origin::S3 { bucket: "logs".into(), key: "a".into(), offset: 0 };
    let live = ids(&[Record::new(gzip(&[subscription.to_string()]).into(), origin())]);
    let stored = ids(&[Record::new((message.clone() + "\n").into(), origin())]);
    let event = Event {
        id: Some("3718".to_owned()),
        log_stream: Some("s".to_owned()),
        timestamp_millis: Some(1_767_323_045_000),
        message: Some(message),
    };
    let asked = ids(&envelope::records(&Group::of("/aws/bedrock"), &[event]));
    assert_eq!((&live, &live), (&stored, &asked));
    assert!(live.iter().all(|id| id.len() == 32), "{live:?}");
}
