//! Alerts to endpoints over HTTP: one that is down holds nothing up, and Slack's and PagerDuty's messages arrive.

use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Home, account, told};
use crate::support::http_double::HttpDouble;

/// Waits until something holds.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "{what} never came");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn ended(mut child: Child) -> bool {
    tokio::task::spawn_blocking(move || child.wait().unwrap().success()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_is_down_holds_up_neither_events_nor_other_sinks() {
    let (is_up, down) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
    let (up, asked) = (Arc::clone(&is_up), Arc::clone(&down));
    let double = HttpDouble::start(move |seen| {
        asked.store(true, Ordering::SeqCst);
        if up.load(Ordering::SeqCst) {
            Ok(seen.text().lines().map(str::to_owned).collect())
        } else {
            Err((503, "".into()))
        }
    })
    .await;
    let home = Home::new(&format!(
        "[alerts.down.http]\nurl = 'http://{}'\n[alerts.history.file]\npath = 'HOME/alerts.jsonl'\n",
        double.address
    ));
    for file in 0..20 {
        home.put(&format!("{file}.jsonl"), &account(file), 0..50);
    }
    let child = home.command("run").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("all events", || home.path("events.jsonl").exists() && home.lines("events.jsonl").len() == 1000).await;
    until("alerts at the other sink", || told(&home.lines("alerts.jsonl")).len() == 20).await;
    until("a request", || down.load(Ordering::SeqCst)).await;
    assert!(double.held().is_empty());
    is_up.store(true, Ordering::SeqCst);
    assert!(ended(child).await);
    let held: Vec<Value> = double.held().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told = told(&held);
    assert_eq!(told.len(), 20);
    assert!(
        told.values().all(|ids| ids.len() == 1 && ids.values().all(|counts| counts.last() == Some(&50))),
        "{told:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slack_and_pagerduty_hear_of_alerts() {
    let double = HttpDouble::start(|seen| Ok(vec![seen.text()])).await;
    let home = Home::new(&format!(
        "[alerts.pager.http]\nurl = 'http://{0}/v2/enqueue'\nformat = 'pagerduty'\nrouting_key.env = 'KEY'\n\
         [alerts.channel.http]\nurl = 'http://{0}/services/a'\nformat = 'slack'\n",
        double.address
    ));
    home.put("a.jsonl", &account(1), 0..5);
    home.put("b.jsonl", &account(2), 0..5);
    let key = "0123456789abcdef0123456789abcdef";
    let child = home.command("run").env("KEY", key).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    assert!(ended(child).await);
    let (pager, channel): (Vec<_>, Vec<_>) = double.seen().into_iter().partition(|seen| seen.target == "/v2/enqueue");
    // One a request, each an object of its own.
    let pager: Vec<Value> = pager.iter().map(|seen| serde_json::from_str(&seen.text()).unwrap()).collect();
    let channel: Vec<Value> = channel.iter().map(|seen| serde_json::from_str(&seen.text()).unwrap()).collect();
    assert!(pager.len() >= 2 && pager.iter().all(|event| event["routing_key"] == key), "{pager:?}");
    assert!(pager.iter().all(|event| event["event_action"] == "trigger" && event["payload"]["severity"].is_string()));
    let keys: std::collections::BTreeSet<_> = pager.iter().map(|event| event["dedup_key"].to_string()).collect();
    assert_eq!(keys.len(), 2, "{pager:?}");
    // Slack cannot change a message: each alert is one, as long as it does not become worse.
    assert_eq!(channel.len(), 2, "{channel:?}");
    assert!(channel.iter().all(|message| message["text"].as_str().is_some_and(|text| text.contains("Storm in"))));
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_says_how_many_alerts_are_left() {
    for (section, expected) in [("", "the next start sends them"), ("keep_state = false\n", "nothing is kept of them")]
    {
        let double = HttpDouble::start(|_| Err((503, "".into()))).await;
        let home = Home::new(&format!("{section}[alerts.down.http]\nurl = 'http://{}'\n", double.address));
        let config = std::fs::read_to_string(home.path("config.toml")).unwrap();
        std::fs::write(home.path("config.toml"), format!("drain_timeout = '1s'\n{config}")).unwrap();
        home.put("a.jsonl", &account(1), 0..3);
        let child = home.command("run").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        until("a request", || !double.seen().is_empty()).await;
        let told = std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
        assert!(told.success());
        let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
        let log = super::stderr(&output);
        assert!(log.contains("stopped before these alerts were sent") && log.contains("alerts=1"), "{log}");
        assert!(log.contains(expected), "{log}");
    }
}
