//! The daemon as people run it: a process on a stream, killed again and again while the stream is written and resharded.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::support::fault::Fault;
use crate::support::kinesis_double::{Double, STREAM};

/// Records that are written while the process is killed: a few dozen for each of its lives.
const RECORDS: usize = 600;
const KILLS: u64 = 8;

fn request(number: usize) -> String {
    format!("request-{number:05}")
}

fn record(number: usize) -> String {
    format!(
        r#"{{"schemaType":"ModelInvocationLog","schemaVersion":"1.0","timestamp":"2026-01-02T03:04:05Z","accountId":"123456789012","region":"us-east-1","requestId":"{}","operation":"Converse","modelId":"amazon.nova-lite-v1:0"}}"#,
        request(number)
    )
}

fn start(directory: &Path, double: &Double) -> Child {
    let config = directory.join("config.toml");
    let path = |name: &str| directory.join(name).display().to_string();
    let text = format!(
        "[source.kinesis]\nstream = \"{STREAM}\"\nregion = \"us-east-1\"\nendpoint_url = \"http://{}\"\ncalls_per_second = 5\n\
         max_idle = \"200ms\"\n[coordination.local]\ndirectory = {:?}\n[sinks.events.file]\npath = {:?}\n\
         rotate_size = \"1 MiB\"\n[sinks.copy.stdout]\nformat = \"raw\"\n",
        double.address,
        path("state"),
        path("out.jsonl"),
    );
    fs::write(&config, text).unwrap();
    let copy = fs::File::options().create(true).append(true).open(directory.join("copy.jsonl")).unwrap();
    Command::new(env!("CARGO_BIN_EXE_bedrock-tap"))
        .arg("run")
        .arg("--config")
        .arg(&config)
        .env("AWS_ACCESS_KEY_ID", "any")
        .env("AWS_SECRET_ACCESS_KEY", "any")
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .env_remove("BEDROCK_TAP_LOG")
        .stdout(Stdio::from(copy))
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// The request ids in a file, which holds whole lines only; how often each came does not matter.
fn delivered(path: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    assert!(text.is_empty() || text.ends_with('\n'), "{} ends within a line", path.display());
    let id = |line: &str| {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        event["requestId"].as_str().unwrap().to_owned()
    };
    text.lines().map(id).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_it_loses_no_record_of_the_stream() {
    let double = Double::start(2).await;
    let directory = tempfile::tempdir().unwrap();
    let per_life = RECORDS / KILLS as usize;
    for life in 0..KILLS {
        let mut child = start(directory.path(), &double);
        let from = life as usize * per_life;
        let texts: Vec<_> = (from..from + per_life).map(record).collect();
        double.put(&texts).await;
        if life == 3 {
            let shards = double.open_shards().await;
            double.split(&shards[0]).await;
        }
        if life % 2 == 1 {
            let throttled = Fault::Error(400, "ProvisionedThroughputExceededException");
            double.faults.script("GetRecords", [throttled, Fault::Lost, Fault::Cut]);
        }
        sleep(Duration::from_millis(60 + life * 131 % 500)).await;
        child.kill().await.unwrap();
    }
    let child = start(directory.path(), &double);
    // One record more, so that all are there only once this life reads: before that it may not listen for signals yet.
    let last = per_life * KILLS as usize;
    double.put(&[record(last)]).await;
    let expected: BTreeSet<_> = (0..=last).map(request).collect();
    let (out, copy) = (directory.path().join("out.jsonl"), directory.path().join("copy.jsonl"));
    let all = timeout(Duration::from_secs(30), async {
        while delivered(&out) != expected || delivered(&copy) != expected {
            sleep(Duration::from_millis(50)).await;
        }
    });
    assert!(all.await.is_ok(), "{} of {} delivered", delivered(&out).len(), expected.len());
    let id = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
    let output = timeout(Duration::from_secs(20), child.wait_with_output()).await.unwrap().unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{log}");
    assert!(!log.contains("request-0"), "the log holds what was read");
    // Nothing is delivered again: the drain has committed everything.
    let lines = fs::read_to_string(&out).unwrap().lines().count();
    let mut child = start(directory.path(), &double);
    sleep(Duration::from_millis(700)).await;
    child.kill().await.unwrap();
    assert_eq!(fs::read_to_string(&out).unwrap().lines().count(), lines);
}
