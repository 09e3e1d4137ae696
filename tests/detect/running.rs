//! Runs over files: findings mark events, they add up to alerts, and a restart forgets neither.

use std::sync::Arc;

use bedrock_tap::config::{Config, Environment};
use bedrock_tap::daemon::{self, Plan, Stop};
use bedrock_tap::sink::{Batch, Planned, Sink, SinkError};
use bedrock_tap::source::BoxFuture;

use super::{Home, account, stderr, told};

const ALERTS: &str = "[alerts.history.file]\npath = 'HOME/alerts.jsonl'\n";

#[test]
fn findings_mark_events_and_add_up_to_alerts() {
    let home = Home::new(ALERTS);
    home.put("a.jsonl", &account(1), 0..5);
    home.put("b.jsonl", &account(2), 0..2);
    let log = home.run();
    let events = home.lines("events.jsonl");
    let marked: Vec<_> = events.iter().filter(|event| event.to_string().contains("acme.storm")).collect();
    assert_eq!((events.len(), marked.len()), (7, 7), "{events:?}");
    let alerts = home.lines("alerts.jsonl");
    let told = told(&alerts);
    assert_eq!(told.keys().collect::<Vec<_>>(), [&account(1)]);
    let counts: Vec<_> = told[&account(1)].values().collect();
    assert!(counts.len() == 1 && counts[0].last() == Some(&5) && counts[0].is_sorted(), "{counts:?}");
    let last = alerts.last().unwrap();
    assert_eq!(last["title"], format!("Storm in {}", account(1)));
    assert_eq!((last["rule_id"].as_str(), last["severity"].as_str()), (Some("acme.storm"), Some("high")));
    assert_eq!(last["first_seen"], "2026-01-02T08:00:00Z");
    assert_eq!(last["last_seen"], "2026-01-02T08:00:04Z");
    assert!(log.contains("findings=7 alerts=1 unevaluated=0 evicted=0"), "{log}");
    // What was told is not told again.
    home.run();
    assert_eq!(home.lines("alerts.jsonl"), alerts);
}

#[test]
fn events_are_not_marked_where_that_is_not_wanted() {
    let home = Home::new(&format!("findings = false\n{ALERTS}"));
    home.put("a.jsonl", &account(1), 0..3);
    home.run();
    assert!(!home.lines("events.jsonl").iter().any(|event| event.to_string().contains("acme.storm")));
    assert_eq!(told(&home.lines("alerts.jsonl")).len(), 1);
}

#[test]
fn a_window_goes_on_after_a_restart() {
    for (section, expected) in [("", Some(3)), ("keep_state = false\n", None)] {
        let home = Home::new(&format!("{section}{ALERTS}"));
        home.put("a.jsonl", &account(1), 0..2);
        home.run();
        assert!(home.lines("alerts.jsonl").is_empty());
        home.put("b.jsonl", &account(1), 2..3);
        home.run();
        let told = told(&home.lines("alerts.jsonl"));
        let count = told.get(&account(1)).and_then(|ids| ids.values().next()?.last().copied());
        assert_eq!(count, expected, "{section}");
    }
}

#[test]
fn a_sink_hears_of_what_it_asks_for() {
    let second = "[alerts.worst.file]\npath = 'HOME/worst.jsonl'\nseverity = 'critical'\n\
                  [alerts.others.file]\npath = 'HOME/others.jsonl'\nrules = ['acme.*', '!acme.storm']\n\
                  [alerts.high.file]\npath = 'HOME/high.jsonl'\nrules = ['storm']\nseverity = 'high'\n";
    let home = Home::new(&format!("{ALERTS}{second}"));
    home.put("a.jsonl", &account(1), 0..3);
    home.run();
    let heard = ["alerts", "worst", "others", "high"].map(|name| told(&home.lines(&format!("{name}.jsonl"))).len());
    assert_eq!(heard, [1, 0, 0, 1]);
}

#[test]
fn what_is_remembered_stays_within_its_bound() {
    let home = Home::new(&format!("max_keys = 1000\n{ALERTS}"));
    for part in 0..3 {
        let lines: String = (0..1000).map(|number| super::event(&account(part * 1000 + number), part) + "\n").collect();
        std::fs::write(home.path("in").join(format!("{part}.jsonl")), lines).unwrap();
    }
    // The newest are remembered: two more calls make three.
    home.put("9.jsonl", &account(2999), 10..12);
    let log = home.run();
    let evicted: u64 = log.split("evicted=").nth(1).unwrap().split_whitespace().next().unwrap().parse().unwrap();
    assert!(evicted >= 1000, "{log}");
    assert_eq!(home.lines("events.jsonl").len(), 3002);
}

#[test]
fn without_alerts_nothing_is_kept_for_anybody() {
    let home = Home::new("");
    home.put("a.jsonl", &account(1), 0..3);
    home.run();
    let output = home.command("check").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(text.contains("detect       1 rule on, 1 of your own, findings mark their events\n"), "{text}");
    assert!(text.contains("hint         no [alerts]: findings mark their events, and no alert is sent\n"), "{text}");
    // Whoever adds a sink later does not hear of what was.
    home.configure(ALERTS);
    home.run();
    assert!(home.lines("alerts.jsonl").is_empty());
}

/// A sink that is gone for good.
struct Gone;

impl Sink for Gone {
    fn deliver(&self, _: Arc<Batch>) -> BoxFuture<'_, Result<(), SinkError>> {
        let error = SinkError::Stop { advice: "mend it".into(), source: None };
        Box::pin(std::future::ready(Err(error)))
    }
}

#[tokio::test]
async fn a_sink_of_alerts_that_is_gone_stops_the_daemon_and_is_named() {
    let home = Home::new(ALERTS);
    home.put("a.jsonl", &account(1), 0..3);
    let text = std::fs::read_to_string(home.path("config.toml")).unwrap();
    let config = Config::parse(&text, "t.toml", &Environment::default()).unwrap();
    let mut plan = Plan::of(&config).unwrap();
    plan.detection.as_mut().unwrap().alerts[0].sink.planned = Planned::made(Arc::new(Gone));
    let error = daemon::run(plan, Stop::default()).await.unwrap_err();
    assert_eq!(format!("{error:#}"), "the sink history has stopped: the sink cannot deliver any more: mend it");
    assert_eq!(home.lines("events.jsonl").len(), 3);
    // The next start sends what was not sent.
    home.run();
    assert_eq!(told(&home.lines("alerts.jsonl")).len(), 1);
}
