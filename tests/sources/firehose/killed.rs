//! The command as people run it, killed again and again while clients deliver: what was acknowledged is in the sink.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::process::{Child, Command};

use super::*;

const CLIENTS: usize = 6;
const REQUESTS: usize = 150;
const RECORDS: usize = 5;
const KILLS: u64 = 8;

fn event(id: &str) -> String {
    format!(
        r#"{{"schemaType":"ModelInvocationLog","schemaVersion":"1.0","timestamp":"2026-01-02T03:04:05Z","accountId":"123456789012","region":"us-east-1","requestId":"{id}","operation":"Converse","modelId":"amazon.nova-lite-v1:0"}}"#
    )
}

fn start(directory: &Path, address: SocketAddr) -> Child {
    let path = |name: &str| directory.join(name).display().to_string();
    let text = format!(
        "[source.firehose]\nlisten = \"{address}\"\naccess_keys = [{{ env = \"TAP_TEST_KEY\" }}]\n\
         [coordination.local]\ndirectory = {:?}\n[sinks.events.file]\npath = {:?}\n",
        path("state"),
        path("out.jsonl"),
    );
    std::fs::write(directory.join("config.toml"), text).unwrap();
    let log = std::fs::File::options().create(true).append(true).open(directory.join("log")).unwrap();
    Command::new(env!("CARGO_BIN_EXE_bedrock-tap"))
        .arg("run")
        .arg("--config")
        .arg(directory.join("config.toml"))
        .env("TAP_TEST_KEY", KEY)
        .env_remove("BEDROCK_TAP_LOG")
        .stdout(Stdio::null())
        .stderr(Stdio::from(log))
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// The events in the sink, with how often each is there.
fn delivered(directory: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(directory.join("out.jsonl")).unwrap_or_default();
    assert!(text.is_empty() || text.ends_with('\n'), "the file ends within a line");
    let id = |line: &str| serde_json::from_str::<Value>(line).unwrap()["requestId"].as_str().unwrap().to_owned();
    text.lines().map(id).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_it_has_all_that_it_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    // The address stays the same over all lives.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (acknowledged, retried) = (Arc::<Mutex<BTreeSet<String>>>::default(), Arc::new(AtomicUsize::new(0)));
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let (acknowledged, retried) = (Arc::clone(&acknowledged), Arc::clone(&retried));
        clients.spawn(async move {
            let mut client = FirehoseClient::new(address, KEY);
            client.gzip = number % 2 == 1;
            for request in 0..REQUESTS {
                let ids: Vec<String> = (0..RECORDS).map(|record| format!("r-{number}-{request}-{record}")).collect();
                let events: Vec<String> = ids.iter().map(|id| event(id)).collect();
                let sent = client.send(&format!("{number}-{request}"), &events).await;
                let Sent::Delivered(attempts) = sent else { panic!("{sent:?}") };
                retried.fetch_add(attempts - 1, Ordering::Relaxed);
                acknowledged.lock().unwrap().extend(ids);
                sleep(Duration::from_millis(20)).await;
            }
        });
    }
    for life in 0..KILLS {
        let mut child = start(directory.path(), address);
        sleep(Duration::from_millis(150 + life * 131 % 400)).await;
        child.kill().await.unwrap();
        let acknowledged = acknowledged.lock().unwrap().clone();
        let found: BTreeSet<String> = delivered(directory.path()).into_iter().collect();
        let lost: Vec<_> = acknowledged.difference(&found).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    }
    let child = start(directory.path(), address);
    while let Some(client) = timeout(Duration::from_secs(60), clients.join_next()).await.expect("all are delivered") {
        client.unwrap();
    }
    assert!(retried.load(Ordering::Relaxed) > 0, "it was hardly ever killed");
    // Before it listens it may not listen for signals either.
    until(async || TcpStream::connect(address).await.is_ok()).await;
    let id = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
    let status = timeout(Duration::from_secs(20), child.wait_with_output()).await.unwrap().unwrap().status;
    let log = std::fs::read_to_string(directory.path().join("log")).unwrap();
    assert!(status.success(), "{log}");
    assert!(!log.contains("r-0-") && !log.contains(KEY), "the log holds what came, or the key: {log}");
    let found: BTreeSet<String> = delivered(directory.path()).into_iter().collect();
    assert_eq!(found.len(), CLIENTS * REQUESTS * RECORDS);
}
