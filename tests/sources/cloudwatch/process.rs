//! The process as people run it: on a double, killed again and again while events are written, and on moto.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use aws_sdk_cloudwatchlogs::types::InputLogEvent;
use bedrock_tap::aws::{Access, CredentialsFrom};
use bedrock_tap::source::cloudwatch::client::{Group, Logs};
use bedrock_tap::source::cloudwatch::error::Policy;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::support::emulator::Emulator;
use crate::support::fault::Fault;
use crate::support::logs_double::{Fault as Meet, LogsDouble};

const GROUP: &str = "/aws/bedrock/invocations";
const KILLS: usize = 6;
const PER_LIFE: usize = 40;

fn request(number: usize) -> String {
    format!("request-{number:05}")
}

fn message(number: usize) -> String {
    format!(
        r#"{{"schemaType":"ModelInvocationLog","schemaVersion":"1.0","timestamp":"2026-01-02T03:04:05Z","accountId":"123456789012","region":"us-east-1","requestId":"{}","operation":"Converse","modelId":"amazon.nova-lite-v1:0"}}"#,
        request(number)
    )
}

fn start(directory: &Path, endpoint: &str, keys: &str) -> Child {
    let path = |name: &str| directory.join(name).display().to_string();
    let text = format!(
        "[source.cloudwatch]\nlog_groups = [\"{GROUP}\"]\nregion = \"us-east-1\"\nendpoint_url = \"{endpoint}\"\n{keys}\n\
         start = \"trim_horizon\"\ninterval = \"1s\"\ncalls_per_second = 50\n\
         [coordination.local]\ndirectory = {:?}\n[sinks.events.file]\npath = {:?}\n",
        path("state"),
        path("out.jsonl"),
    );
    let config = directory.join("config.toml");
    fs::write(&config, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_bedrock-tap"));
    command.arg("run").arg("--config").arg(&config).kill_on_drop(true);
    command.env("AWS_ACCESS_KEY_ID", "any").env("AWS_SECRET_ACCESS_KEY", "any");
    for name in ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"] {
        command.env(name, "/dev/null");
    }
    for name in ["BEDROCK_TAP_LOG", "AWS_PROFILE", "AWS_SESSION_TOKEN", "HTTP_PROXY", "http_proxy"] {
        command.env_remove(name);
    }
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// The request ids that were delivered, with the ids of their events.
fn delivered(directory: &Path) -> BTreeSet<(String, String)> {
    let text = fs::read_to_string(directory.join("out.jsonl")).unwrap_or_default();
    assert!(text.is_empty() || text.ends_with('\n'), "the file ends within a line");
    let ids = |line: &str| {
        let event: Value = serde_json::from_str(line).unwrap();
        (event["requestId"].as_str().unwrap().to_owned(), event["p_row_id"].as_str().unwrap_or_default().to_owned())
    };
    text.lines().map(ids).collect()
}

async fn until(directory: &Path, count: usize) {
    let all = timeout(Duration::from_secs(60), async {
        while delivered(directory).len() < count {
            sleep(Duration::from_millis(100)).await;
        }
    });
    assert!(all.await.is_ok(), "{} of {count} delivered", delivered(directory).len());
}

/// Tells it to end, and gives its log.
async fn end(child: Child) -> String {
    let id = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
    let output = timeout(Duration::from_secs(20), child.wait_with_output()).await.unwrap().unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{log}");
    log
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_it_loses_no_event_of_the_log_group() {
    let double = LogsDouble::new(&[GROUP]);
    double.page(7);
    double.empty_pages();
    let served = double.serve().await;
    let endpoint = format!("http://{}", served.address);
    let directory = tempfile::tempdir().unwrap();
    let keys = "lag = \"1s\"\nlookback = \"6s\"";
    let put = |number: usize| {
        // Every third is later than the lag.
        let late = if number.is_multiple_of(3) { 3000 } else { 0 };
        double.put(GROUP, Timestamp::now().as_millisecond() - late, message(number));
    };
    for life in 0..KILLS {
        let mut child = start(directory.path(), &endpoint, keys);
        if life % 2 == 1 {
            let throttled = Fault::Error(400, "ThrottlingException");
            served.faults.script("FilterLogEvents", [throttled, Fault::Lost, Fault::Cut, Fault::Error(503, "")]);
        }
        for number in 0..PER_LIFE {
            put(life * PER_LIFE + number);
            sleep(Duration::from_millis(20 + 13 * life as u64)).await;
        }
        child.kill().await.unwrap();
    }
    let child = start(directory.path(), &endpoint, keys);
    let last = PER_LIFE * KILLS;
    put(last);
    until(directory.path(), last + 1).await;
    let log = end(child).await;
    assert!(!log.contains("request-0"), "the log holds what was read");
    let found = delivered(directory.path());
    let requests: BTreeSet<_> = found.iter().map(|(request, _)| request.clone()).collect();
    assert_eq!(requests, (0..=last).map(request).collect());
    assert_eq!(found.len(), requests.len(), "what came twice came with another id");
    assert!(served.faults.met() >= 8, "only {} faults were met", served.faults.met());
}

#[tokio::test]
async fn an_answer_larger_than_any_is_not_read_and_not_told() {
    let double = LogsDouble::new(&[GROUP]);
    let served = double.serve().await;
    let access = Access {
        region: Some("us-east-1".to_owned()),
        endpoint_url: Some(format!("http://{}", served.address)),
        credentials: CredentialsFrom::MadeUp,
        ..Access::default()
    };
    let logs = Logs::connect(&access, 50.0).await.unwrap();
    let page = async || {
        let (from, to) = (Timestamp::UNIX_EPOCH, Timestamp::now());
        logs.filter_page(&Group::of(GROUP), from, to, None, None).await
    };
    let answer = |bytes: usize| json!({ "events": [{ "message": "secret".repeat(bytes / 6) }] });
    let mib = 1024 * 1024;
    double.fault("FilterLogEvents", [7, 11].map(|size| Meet::Answer(answer(size * mib))));
    assert_eq!(page().await.unwrap().events.len(), 1);
    let error = page().await.unwrap_err();
    assert_eq!(error.policy, Policy::Retry);
    assert!(!format!("{error} {error:?}").contains("secret"), "it quotes the answer");
    assert!(page().await.unwrap().events.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_group_of_moto_is_read_whole() {
    const EVENTS: usize = 10_500;
    let Some(moto) = Emulator::moto().await else { return };
    let client = aws_sdk_cloudwatchlogs::Client::new(&moto.config);
    client.create_log_group().log_group_name(GROUP).send().await.unwrap();
    client.create_log_stream().log_group_name(GROUP).log_stream_name("s").send().await.unwrap();
    let first = Timestamp::now().as_millisecond() - 3_600_000;
    let event = |number: usize| {
        InputLogEvent::builder().timestamp(first + number as i64 / 4).message(message(number)).build().unwrap()
    };
    for from in (0..EVENTS).step_by(2500) {
        let events = (from..(from + 2500).min(EVENTS)).map(event).collect();
        let put = client.put_log_events().log_group_name(GROUP).log_stream_name("s");
        Box::pin(put.set_log_events(Some(events)).send()).await.unwrap();
    }
    let directory = tempfile::tempdir().unwrap();
    let child = start(directory.path(), &moto.url, "lag = \"0s\"\nlookback = \"0s\"");
    until(directory.path(), EVENTS).await;
    end(child).await;
    let text = fs::read_to_string(directory.path().join("out.jsonl")).unwrap();
    assert_eq!(text.lines().count(), EVENTS, "some came twice");
    // The position outlives the process: nothing is read again.
    let child = start(directory.path(), &moto.url, "lag = \"0s\"\nlookback = \"0s\"");
    sleep(Duration::from_secs(2)).await;
    end(child).await;
    assert_eq!(fs::read_to_string(directory.path().join("out.jsonl")).unwrap(), text);
}
