//! What a running daemon answers about itself, asked as people, orchestrators and scrapers ask.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use bedrock_tap::health::client::{self, Answer};
use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::support::kinesis_double::{Double, STREAM};

/// How long anything may take that is waited for, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// An address that nobody listens on now.
fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

fn record(request: &str, model: &str) -> String {
    format!(
        r#"{{"schemaType":"ModelInvocationLog","schemaVersion":"1.0","timestamp":"2026-01-02T03:04:05Z","accountId":"123456789012","region":"us-east-1","requestId":"{request}","operation":"Converse","modelId":"{model}","input":{{"inputTokenCount":1000,"inputBodyJson":{{"messages":[{{"role":"user","content":[{{"text":"the secret of the test"}}]}}]}}}},"output":{{"outputTokenCount":10}}}}"#
    )
}

/// Starts the daemon with these sections; it drains for two seconds.
fn start(directory: &Path, double: &Double, rest: &str) -> Child {
    let config = directory.join("config.toml");
    let text = format!(
        "drain_timeout = \"2s\"\n[source.kinesis]\nstream = \"{STREAM}\"\nregion = \"us-east-1\"\nendpoint_url = \"http://{}\"\n\
         calls_per_second = 5\nmax_idle = \"200ms\"\n[coordination.local]\ndirectory = {:?}\n{rest}",
        double.address,
        directory.join("state").display().to_string(),
    );
    std::fs::write(&config, text).unwrap();
    Command::new(env!("CARGO_BIN_EXE_bedrock-tap"))
        .args(["run", "--config"])
        .arg(&config)
        .env("AWS_ACCESS_KEY_ID", "any")
        .env("AWS_SECRET_ACCESS_KEY", "any")
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Asks until the answer is as expected.
async fn until(address: SocketAddr, path: &str, expected: impl Fn(&Answer) -> bool) -> String {
    let mut last = None;
    let asked = timeout(PATIENCE, async {
        loop {
            if let Ok(answer) = client::ask(address, path, PATIENCE).await {
                if expected(&answer) {
                    return answer.body;
                }
                last = Some(answer);
            }
            sleep(Duration::from_millis(50)).await;
        }
    });
    asked.await.unwrap_or_else(|_| panic!("{path} never answers as expected; last {last:?}"))
}

/// The value of a sample, by its name and labels as they are written.
fn sample(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

async fn terminated(child: Child) -> String {
    let id = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
    let Output { status, stderr, .. } = timeout(PATIENCE, child.wait_with_output()).await.unwrap().unwrap();
    let log = String::from_utf8(stderr).unwrap();
    assert!(status.success(), "{log}");
    log
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_daemon_tells_what_it_reads_and_where_it_is() {
    let double = Double::start(2).await;
    let directory = tempfile::tempdir().unwrap();
    let address = free_address();
    let path = directory.path().join("out.jsonl").display().to_string();
    let sinks = format!("[http]\nlisten = \"{address}\"\n[sinks.lake.file]\npath = {path:?}\n");
    let child = start(directory.path(), &double, &sinks);
    let model = "amazon.nova-lite-v1:0";
    let arn = format!("arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.{model}");
    double.put(&[record("one", model), record("two", &arn), "no envelope".to_owned()]).await;
    until(address, "/readyz", |answer| answer.status == 200).await;
    let status = until(address, "/status", |answer| {
        let page: Value = serde_json::from_str(&answer.body).unwrap();
        let lanes = page["partitions"].as_array().unwrap();
        page["records"]["delivered"] == 3 && lanes.iter().any(|lane| !lane["committed_time"].is_null())
    });
    let status: Value = serde_json::from_str(&status.await).unwrap();
    assert_eq!(status["stage"], "running");
    assert_eq!(status["partitions"].as_array().unwrap().len(), 2, "{status:#}");
    assert_eq!(status["counts"]["invocations"], 2);
    assert_eq!(status["sinks"][0]["name"], "lake");
    assert_eq!(status["aws_errors"], Value::Array(Vec::new()));

    let metrics = until(address, "/metrics", |answer| answer.status == 200).await;
    let check = |name: &str, expected: f64| {
        let found = sample(&metrics, &format!("bedrock_tap_{name}"));
        assert_eq!(found, Some(expected), "{name} in\n{metrics}");
    };
    check("records_read_total", 3.0);
    check("records_delivered_total", 3.0);
    check("invocations_read_total", 2.0);
    check("rejects_total{reason=\"unknown_framing\",stage=\"decode\"}", 1.0);
    check(&format!("invocations_total{{error=\"\",model=\"{model}\",operation=\"Converse\"}}"), 1.0);
    check(&format!("tokens_total{{kind=\"input\",model=\"us.{model}\"}}"), 1000.0);
    check("sink_items_total{sink=\"lake\"}", 2.0);
    check("sink_items_total{sink=\"dead_letter\"}", 1.0);
    check("sink_pending_items{sink=\"lake\"}", 0.0);
    check("sink_up{sink=\"lake\"}", 1.0);
    check("shards", 2.0);
    let calls = "bedrock_tap_aws_calls_total{operation=\"GetRecords\",result=\"ok\",service=\"Kinesis\"}";
    assert!(sample(&metrics, calls).is_some_and(|calls| calls >= 2.0), "{metrics}");
    let shard = "shardId-000000000000";
    let lag = format!("bedrock_tap_shard_lag_seconds{{shard=\"{shard}\",stream=\"{STREAM}\"}}");
    assert!(sample(&metrics, &lag).is_some(), "{lag} in\n{metrics}");
    assert!(
        metrics.lines().any(|line| line.starts_with("bedrock_tap_shard_committed_timestamp_seconds{")),
        "{metrics}"
    );
    assert!(metrics.contains("process_resident_memory_bytes "), "{metrics}");
    for text in [&metrics, &format!("{status}")] {
        assert!(!text.contains("secret of the test"), "what was read is told");
    }
    terminated(child).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_is_down_is_why_it_is_not_ready_and_a_stop_drains() {
    let double = Double::start(1).await;
    let directory = tempfile::tempdir().unwrap();
    let address = free_address();
    let sinks = format!(
        "[http]\nlisten = \"{address}\"\n[dead_letter.file]\npath = \"{}\"\n[sinks.away.http]\nurl = \"http://{}/\"\n",
        directory.path().join("letters").display(),
        free_address()
    );
    let config = directory.path().join("config.toml").display().to_string();
    let child = start(directory.path(), &double, &sinks);
    double.put(&[record("one", "amazon.nova-lite-v1:0")]).await;
    let body = until(address, "/readyz", |answer| answer.status == 503 && answer.body.contains("sink away")).await;
    let page: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&page["ready"], &page["stage"]), (&Value::Bool(false), &Value::String("running".to_owned())));
    assert_eq!(page["reasons"][0]["reason"], "the destination counts as down");
    assert!(page["reasons"][0]["last_error"]["error"].as_str().is_some_and(|error| !error.is_empty()), "{body}");
    // Whether it lives does not depend on others.
    until(address, "/livez", |answer| answer.status == 200).await;
    let check = async |flags: &[&str], expected: i32| {
        let output = Command::new(env!("CARGO_BIN_EXE_bedrock-tap")).arg("health").args(flags).output().await.unwrap();
        assert_eq!(output.status.code(), Some(expected), "{flags:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(check(&["--config", &config], 0).await, "ok\n");
    assert!(check(&["--ready", "--config", &config], 1).await.contains("counts as down"));
    assert_eq!(check(&["--address", &free_address().to_string()], 1).await, "");
    assert_eq!(check(&[], 64).await, "");

    let id = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
    until(address, "/readyz", |answer| answer.body.contains("\"draining\"")).await;
    timeout(PATIENCE, child.wait_with_output()).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_is_taken_is_told_at_the_start() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let double = Double::start(1).await;
    let rest = format!("[http]\nlisten = \"{}\"\n[sinks.out.stdout]\n", taken.local_addr().unwrap());
    let child = start(directory.path(), &double, &rest);
    let output = timeout(PATIENCE, child.wait_with_output()).await.unwrap().unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && log.contains("`http.listen`: cannot listen on 127.0.0.1:"), "{log}");
}
