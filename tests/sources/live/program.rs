//! The program itself on log groups: killed while it runs, and watching.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use aws_config::Region;
use aws_sdk_cloudwatchlogs::types::InputLogEvent;
use jiff::Timestamp;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::support::emulator::Emulator;
use crate::support::live_tail_double::{End, LiveTail, Session};

const GROUP: &str = "/aws/bedrock";

fn record(number: usize) -> String {
    let now = Timestamp::now();
    format!(
        r#"{{"schemaType":"ModelInvocationLog","schemaVersion":"1.0","timestamp":"{now:.3}","accountId":"123456789012","region":"eu-west-1","requestId":"request-{number:05}","operation":"Converse","modelId":"amazon.nova-lite-v1:0"}}"#
    )
}

fn program(arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_bedrock-tap"))
        .args(arguments)
        .env("AWS_ACCESS_KEY_ID", "any")
        .env("AWS_SECRET_ACCESS_KEY", "any")
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env_remove("AWS_REGION")
        .env_remove("AWS_PROFILE")
        .env_remove("BEDROCK_TAP_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

fn tail(url: &str, arguments: &[&str]) -> Child {
    let head = ["tail", "--region", "eu-west-1", "--endpoint-url", url];
    program(&[&head, arguments].concat())
}

/// The end of a program, and what it wrote.
async fn end(child: Child) -> (Option<i32>, String, String) {
    let output = timeout(Duration::from_secs(60), child.wait_with_output()).await.expect("it does not end").unwrap();
    let Output { status, stdout, stderr } = output;
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn delivered(path: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let id =
        |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["requestId"].as_str().unwrap().to_owned();
    text.lines().map(id).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_it_loses_no_event() {
    let double = LiveTail::new(&[GROUP], Duration::from_millis(300));
    let (url, _serving) = double.serve().await;
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let text = format!(
        "[source.cloudwatch]\nlog_groups = [{GROUP:?}]\nmode = \"live\"\nlag = \"1s\"\nlookback = \"4s\"\n\
         start = \"trim_horizon\"\nregion = \"eu-west-1\"\nendpoint_url = {url:?}\n[coordination.local]\n\
         directory = {:?}\n[sinks.events.file]\npath = {:?}\n",
        path("state"),
        path("out.jsonl"),
    );
    std::fs::write(path("config.toml"), text).unwrap();
    let (config, mut number) = (path("config.toml"), 0);
    let run = || program(&["run", "--config", config.to_str().unwrap()]);
    for life in 0..6_u64 {
        if life % 2 == 1 {
            double.sessions([Session::Ends(1, End::Cut), Session::Ends(2, End::Exception("SessionTimeoutException"))]);
        }
        let mut child = run();
        for _ in 0..10 + life * 3 {
            double.put(GROUP, Duration::from_millis(life * 100), &record(number));
            number += 1;
            sleep(Duration::from_millis(100 + life * 31 % 97)).await;
        }
        child.kill().await.unwrap();
        double.put(GROUP, Duration::ZERO, &record(number));
        number += 1;
    }
    let child = run();
    let expected: BTreeSet<_> = (0..number).map(|number| format!("request-{number:05}")).collect();
    let all = timeout(Duration::from_secs(60), async {
        while delivered(&path("out.jsonl")) != expected {
            sleep(Duration::from_millis(100)).await;
        }
    });
    assert!(all.await.is_ok(), "{} of {} delivered", delivered(&path("out.jsonl")).len(), expected.len());
    let id = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
    let (code, _, log) = end(child).await;
    assert_eq!(code, Some(0), "{log}");
    assert!(!log.contains("request-0"), "the log holds what was read");
    assert_eq!(double.host().unwrap(), url.trim_start_matches("http://"), "a named endpoint is taken as it is named");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tail_shows_what_was_and_what_comes() {
    let double = LiveTail::new(&[GROUP], Duration::ZERO);
    let (url, _serving) = double.serve().await;
    for number in 0..3 {
        double.put(GROUP, Duration::from_secs(300), &record(number));
    }
    let child = tail(&url, &["--log-group", GROUP, "--since", "15m", "-n", "5", "--output", "json"]);
    while double.calls("StartLiveTail") == 0 {
        sleep(Duration::from_millis(20)).await;
    }
    sleep(Duration::from_millis(500)).await;
    (3..5).for_each(|number| double.put(GROUP, Duration::from_millis(100), &record(number)));
    let (code, shown, notes) = end(child).await;
    assert_eq!((code, notes.as_str()), (Some(0), ""), "{shown}");
    let places: Vec<_> = (0..5).map(|number| shown.find(&format!("request-{number:05}"))).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?}");
}

/// Sessions as others stream them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tail_watches_a_log_group_of_ministack() {
    let Some(ministack) = Emulator::ministack().await else { return };
    let config = ministack.config.to_builder().region(Region::from_static("eu-west-1")).build();
    let logs = aws_sdk_cloudwatchlogs::Client::new(&config);
    logs.create_log_group().log_group_name(GROUP).send().await.unwrap();
    logs.create_log_stream().log_group_name(GROUP).log_stream_name("s").send().await.unwrap();
    let put = async |number: usize| {
        let event = InputLogEvent::builder().timestamp(Timestamp::now().as_millisecond()).message(record(number));
        let call = logs.put_log_events().log_group_name(GROUP).log_stream_name("s");
        call.log_events(event.build().unwrap()).send().await.unwrap();
    };
    put(0).await;
    let child = tail(&ministack.url, &["--log-group", GROUP, "--since", "1h", "-n", "6", "--output", "json"]);
    for number in 1..6 {
        sleep(Duration::from_secs(1)).await;
        put(number).await;
    }
    let (code, shown, notes) = end(child).await;
    assert_eq!((code, notes.as_str()), (Some(0), ""), "{shown}");
    let found: Vec<_> = (0..6).map(|number| shown.matches(&format!("request-{number:05}")).count()).collect();
    assert_eq!(found, [1; 6], "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tail_polls_with_one_warning_where_sessions_are_denied_and_ends_at_once() {
    let double = LiveTail::new(&[GROUP], Duration::ZERO);
    double.refuse("StartLiveTail", "AccessDeniedException");
    let (url, _serving) = double.serve().await;
    double.put(GROUP, Duration::from_secs(300), &record(1));
    let child = tail(&url, &["--log-group", GROUP, "--since", "1h"]);
    while double.calls("StartLiveTail") < 3 {
        sleep(Duration::from_millis(50)).await;
    }
    let id = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().await.unwrap().success());
    let (code, shown, notes) = end(child).await;
    assert_eq!(code, Some(0), "{notes}");
    assert!(shown.contains("Converse"), "{shown}");
    assert!(notes.lines().count() == 1 && notes.contains("logs:StartLiveTail") && notes.contains("polling"), "{notes}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_watched_is_said_at_once() {
    let double = LiveTail::new(&["/aws/bedrock/calls", "/other"], Duration::ZERO);
    let (url, _serving) = double.serve().await;
    let check = async |arguments: &[&str], code: i32, parts: &[&str]| {
        let (found, _, notes) = end(tail(&url, arguments)).await;
        assert_eq!(found, Some(code), "{arguments:?}: {notes}");
        let missing: Vec<_> = parts.iter().filter(|part| !notes.contains(**part)).collect();
        assert!(missing.is_empty(), "{arguments:?}: {notes} lacks {missing:?}");
    };
    let wrong = ["no log group /aws/calls in eu-west-1", "there is /aws/bedrock/calls"];
    check(&["--log-group", "/aws/calls"], 1, &wrong).await;
    check(&["--log-group", "/nothing"], 1, &["no log group /nothing", "--region"]).await;
    check(&["--log-group", "a", "--stream", "b"], 64, &["cannot be used with"]).await;
    double.refuse("DescribeLogGroups", "ExpiredTokenException");
    check(&["--log-group", "/other"], 1, &["ExpiredTokenException", "credentials"]).await;
}
