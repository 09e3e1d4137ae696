//! Reload: what a running daemon is told anew holds from the next record on, and nothing is lost or comes twice.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bedrock_tap::config::{Config, ConfigError, Environment};
use bedrock_tap::daemon::reload::{NeedsRestart, Reloaded};
use bedrock_tap::daemon::{self, Plan, Reload, SourcePlan, Stop, Summary};
use bedrock_tap::delivery::Lanes as _;
use bedrock_tap::metrics;
use bedrock_tap::record::{Origin, Record};
use bedrock_tap::sink::Planned;
use bedrock_tap::source::{BoxFuture, Read, Source, SourceError};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::support::engine_script::{Keeper, after, partition};

/// Gives what the test sends, and ends when the test does.
struct Feed {
    records: mpsc::Receiver<String>,
    given: u64,
}

impl Source for Feed {
    fn next(&mut self) -> BoxFuture<'_, Result<Read, SourceError>> {
        Box::pin(async {
            let Some(text) = self.records.recv().await else { return Ok(Read::End { children: Vec::new() }) };
            self.given += 1;
            let origin = Origin::File { path: "feed".into(), offset: self.given };
            Ok(Read::Records {
                records: vec![Record::new(text.into(), origin)],
                position: after(self.given),
                lag: None,
                reservation: bedrock_tap::budget::Reservation::default(),
            })
        })
    }
}

/// A call by this account of this model.
fn call(number: usize, account: usize, model: &str) -> String {
    let account = 100_000_000_000_usize + account;
    format!(
        r#"{{"schemaType":"ModelInvocationLog","schemaVersion":"1.0","timestamp":"2026-01-02T03:04:05Z","accountId":"{account}","region":"us-east-1","requestId":"r{number}","operation":"Converse","modelId":"{model}","input":{{"inputContentType":"application/json","inputBodyJson":{{"mail":"someone@example.com"}}}}}}"#
    )
}

/// A daemon of a configuration whose sinks keep what they take, and which reads what the test sends.
struct Running {
    directory: tempfile::TempDir,
    reload: Reload,
    sinks: Vec<(String, Arc<Keeper>)>,
    records: mpsc::Sender<String>,
    daemon: JoinHandle<anyhow::Result<Summary>>,
    sent: usize,
}

const SINKS: &str = "[sinks.all.null]\n[sinks.some.null]\n";

fn parse(directory: &Path, sections: &str) -> Result<Config, ConfigError> {
    let text = format!(
        "[source.file]\npaths = ['-']\n[coordination.local]\ndirectory = {:?}\n{sections}",
        directory.join("state")
    );
    Config::parse(&text.replace("HOME", &directory.display().to_string()), "tap.toml", &Environment::default())
}

impl Running {
    /// `files` are written before, below the directory.
    async fn start(sections: &str, files: &[(&str, String)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            write(&directory.path().join(name), text);
        }
        let config = parse(directory.path(), sections).unwrap_or_else(|error| panic!("{error}"));
        let mut plan = Plan::of(&config).unwrap();
        let (records, receiver) = mpsc::channel(1);
        let (feed, mut sinks) = (Feed { records: receiver, given: 0 }, Vec::new());
        plan.source = SourcePlan::Partitions(Box::new(|seam| {
            Box::pin(async move {
                seam.checkpoints.begin(partition("0"), after(0)).await?;
                seam.engine.run(partition("0"), Box::new(feed), seam.stop).await?;
                Ok(())
            })
        }));
        let alerts = plan.detection.iter_mut().flat_map(|detection| &mut detection.alerts);
        for sink in plan.sinks.iter_mut().chain(alerts.map(|alert| &mut alert.sink)) {
            let keeper = Arc::<Keeper>::default();
            let batch = sink.planned.batch;
            sink.planned = Planned { batch, ..Planned::made(Arc::clone(&keeper) as Arc<dyn bedrock_tap::sink::Sink>) };
            sinks.push((sink.name.clone(), keeper));
        }
        let reload = Reload::of(&plan, config, None);
        let daemon = tokio::spawn(daemon::run(plan, Stop::default()));
        Self { directory, reload, sinks, records, daemon, sent: 0 }
    }

    fn reload(&mut self, sections: &str) -> anyhow::Result<Reloaded> {
        self.reload.to(parse(self.directory.path(), sections)?)
    }

    fn home(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn lines(&self, sink: &str) -> Vec<Value> {
        let (_, keeper) = self.sinks.iter().find(|(name, _)| name == sink).unwrap();
        keeper.taken().iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The numbers of the calls that a sink has, in the order in which they came.
    fn calls(&self, sink: &str) -> Vec<usize> {
        let number = |line: &Value| line["requestId"].as_str().unwrap()[1..].parse().unwrap();
        self.lines(sink).iter().map(number).collect()
    }

    /// Sends calls of these models, and waits until the sink `all` has them.
    async fn send(&mut self, account: usize, models: &[&str]) {
        for model in models {
            self.records.send(call(self.sent, account, model)).await.unwrap();
            self.sent += 1;
        }
        self.settled(self.sent).await;
    }

    async fn settled(&self, count: usize) {
        let all = tokio::time::timeout(Duration::from_secs(3600), async {
            while self.lines("all").len() < count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        assert!(all.await.is_ok(), "{} of {count}", self.lines("all").len());
    }

    /// Waits for so many alerts.
    async fn heard(&self, count: usize) {
        let heard = tokio::time::timeout(Duration::from_secs(86_400), async {
            while self.lines("tell").len() < count {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        assert!(heard.await.is_ok(), "{} of {count}", self.lines("tell").len());
    }

    async fn end(self) -> (Summary, Vec<(String, Arc<Keeper>)>) {
        drop(self.records);
        (self.daemon.await.unwrap().unwrap(), self.sinks)
    }
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn sink(keys: &str) -> String {
    format!("{SINKS}{keys}\n")
}

#[tokio::test(start_paused = true)]
async fn what_a_sink_takes_and_sees_changes_with_the_next_record() {
    let mut running = Running::start(&sink("keep = \"event.modelId == 'a'\""), &[]).await;
    running.send(1, &["a", "b"]).await;
    let steps: [(&str, &[&str], &[usize]); 5] = [
        ("drop = \"event.modelId == 'a'\"", &["sinks.some.null.drop", "sinks.some.null.keep"], &[3]),
        ("", &["sinks.some.null.drop"], &[4, 5]),
        ("[select]\ndrop = \"event.modelId == 'x'\"", &["select.drop"], &[6, 7]),
        (
            "redact = 'strict'\n[redact.strict]\nbodies = 'drop'",
            &["redact", "select.drop", "sinks.some.null.redact"],
            &[8, 9],
        ),
        ("", &["redact", "sinks.some.null.redact"], &[10, 11]),
    ];
    let mut expected = vec![0];
    for (keys, changed, kept) in steps {
        let reloaded = running.reload(&sink(keys)).unwrap();
        assert_eq!(reloaded, Reloaded { changed: changed.iter().map(|key| (*key).to_owned()).collect(), rules: 0 });
        running.send(1, &["a", "b"]).await;
        expected.extend(kept);
        // What it got before is as it was.
        running.settled(running.sent).await;
        let last = running.lines("all").pop().unwrap();
        assert!(last.to_string().contains("someone@example.com"), "{last}");
    }
    let (summary, sinks) = running.end().await;
    assert_eq!((summary.records_read, summary.records_delivered), (12, 12));
    let some = sinks.into_iter().find(|(name, _)| name == "some").unwrap().1.taken();
    let seen: Vec<_> = some
        .iter()
        .map(|line| {
            let value: Value = serde_json::from_str(line).unwrap();
            (value["requestId"].as_str().unwrap()[1..].parse::<usize>().unwrap(), line.contains("@example.com"))
        })
        .collect();
    assert_eq!(seen.iter().map(|(number, _)| *number).collect::<Vec<_>>(), expected);
    let masked: Vec<_> = seen.iter().filter(|(_, seen)| !seen).map(|(number, _)| *number).collect();
    assert_eq!(masked, [8, 9]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_event_is_judged_by_one_word_while_it_changes_again_and_again() {
    let sections = |keeps: &str| {
        format!(
            "[sinks.all.null]\n[sinks.one.null]\nkeep = \"event.modelId == '{keeps}'\"\n\
             [sinks.other.null]\ndrop = \"event.modelId == '{keeps}'\"\n"
        )
    };
    let mut running = Running::start(&sections("a"), &[]).await;
    let (records, count) = (running.records.clone(), 400);
    let feeding = tokio::spawn(async move {
        for number in 0..count {
            records.send(call(number, 1, ["a", "b"][number % 2])).await.unwrap();
        }
    });
    let mut changes = 0;
    while !feeding.is_finished() {
        changes += 1;
        running.reload(&sections(["b", "a"][changes % 2])).unwrap();
        tokio::task::yield_now().await;
    }
    running.settled(count).await;
    assert_eq!(running.calls("all"), (0..count).collect::<Vec<_>>());
    let (one, other) = (running.calls("one"), running.calls("other"));
    let distinct: BTreeSet<_> = one.iter().chain(&other).copied().collect();
    assert_eq!((one.len() + other.len(), distinct.len()), (count, count), "after {changes} changes");
    let (summary, _) = running.end().await;
    assert_eq!(summary.records_delivered, count as u64);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_valid_or_needs_a_restart_changes_nothing() {
    let before = sink("keep = \"event.modelId == 'a'\"");
    let mut running = Running::start(&before, &[]).await;
    let mut check = |sections: &str, keys: &[&str], message: &str| {
        let error = running.reload(sections).unwrap_err();
        let named = error.downcast_ref::<NeedsRestart>().map(|NeedsRestart(keys)| keys.clone()).unwrap_or_default();
        assert_eq!(named, keys, "{error:#}");
        let text = match error.downcast_ref::<ConfigError>() {
            Some(error) => error.brief(),
            None => format!("{error:#}"),
        };
        assert!(text.contains(message) && !text.contains('\n'), "{text}");
    };
    // Each has another filter too, which is refused with the rest.
    let other = "drop = \"event.modelId == 'a'\"\n";
    check(
        &sink(&format!("{other}format = 'view'")),
        &["sinks.some.null.format"],
        "need a restart: sinks.some.null.format",
    );
    check(&sink(&format!("{other}[sinks.third.null]")), &["sinks.third"], "sinks.third");
    check(&format!("[sinks.all.null]\n{other}"), &["sinks.some"], "sinks.some");
    check(&format!("[sinks.all.null]\n[sinks.some.stdout]\n{other}"), &["sinks.some.null", "sinks.some.stdout"], "");
    check(&sink(&format!("{other}[log]\nformat = 'json'")), &["log.format"], "log.format");
    check(&sink(&format!("{other}[decode]\nmax_depth = 20")), &["decode.max_depth"], "decode.max_depth");
    check(&sink("drop = 'event.modelId =='"), &[], "tap.toml:7:8: `sinks.some.null.drop`");
    check(&sink("kep = 'true'\ndrop = 3"), &[], "; and one more fault");
    let no_key = "redact = 'h'\n[redact.h]\nbodies = 'hash'\nkey = { env = 'BEDROCK_TAP_TEST_NO_SUCH_KEY' }";
    check(&sink(no_key), &[], "`key` is not there");
    // No rule was on at the start: nobody would hear of what is found.
    check(&sink("[detect]\nrules = ['all']"), &["detect.rules"], "detect.rules");
    check(&sink("[detect]\nfiles = ['HOME/nothing.toml']"), &[], "nothing.toml");
    running.send(1, &["a", "b", "a"]).await;
    assert_eq!(running.calls("some"), [0, 2]);
    running.end().await;
}

/// A rule about a model, of which `threshold` calls of an account are an alert.
fn rule(id: &str, model: &str, threshold: usize) -> String {
    format!(
        "id = 'acme.{id}'\nname = 'n'\ndescription = 'd'\nseverity = 'high'\nmatch = \"event.modelId == '{model}'\"\n\
         title = '{id} in {{event.accountId}}'\ngroup_by = ['event.accountId']\nthreshold = {threshold}\n\
         window = '1d'\ndedup_period = '1d'\n"
    )
}

const DETECT: &str = "[sinks.all.null]\n[detect]\nfiles = ['HOME/rules']\n[alerts.tell.null]\n";

#[tokio::test(start_paused = true)]
async fn rules_change_and_those_that_stay_remember() {
    let rules = [("rules/stays.toml", rule("stays", "a", 3)), ("rules/changes.toml", rule("changes", "b", 3))];
    let gone = ("rules/gone.toml", rule("gone", "c", 1));
    let mut running = Running::start(DETECT, &[rules[0].clone(), rules[1].clone(), gone]).await;
    running.send(1, &["a", "a", "b", "b", "c"]).await;
    // One rule says what it said with a lower threshold, one looks for something else now, one is gone, and one is new.
    write(&running.home("rules/stays.toml"), &rule("stays", "a", 3).replace("severity = 'high'", "severity = 'low'"));
    write(&running.home("rules/changes.toml"), &rule("changes", "d", 3));
    fs::remove_file(running.home("rules/gone.toml")).unwrap();
    write(&running.home("rules/new.toml"), &rule("new", "e", 1));
    let reloaded = running.reload(DETECT).unwrap();
    assert_eq!(reloaded, Reloaded { changed: Vec::new(), rules: 3 });
    running.send(1, &["a", "d", "b", "c", "e", "d"]).await;
    let marked = |number: usize| running.lines("all")[number].to_string().contains("acme.");
    let marks: Vec<_> = (0..11).filter(|number| marked(*number)).collect();
    assert_eq!(marks, [0, 1, 2, 3, 4, 5, 6, 9, 10], "what the rules of each time look for");
    // A file that is no rule any more is refused, and the rules go on.
    write(&running.home("rules/new.toml"), "id = 'acme.new'\n");
    assert!(running.reload(DETECT).unwrap_err().is::<ConfigError>());
    running.send(1, &["d", "e"]).await;
    let (summary, sinks) = running.end().await;
    let alerts = sinks.into_iter().find(|(name, _)| name == "tell").unwrap().1.taken();
    let mut told: Vec<(String, String, u64)> = alerts
        .iter()
        .map(|line| {
            let alert: Value = serde_json::from_str(line).unwrap();
            let text = |key: &str| alert[key].as_str().unwrap().to_owned();
            (text("rule_id"), text("severity"), alert["count"].as_u64().unwrap())
        })
        .collect();
    told.sort();
    // Two before and one after are three; what looks for something else begins anew.
    let expected =
        [("acme.changes", "high", 3), ("acme.gone", "high", 1), ("acme.new", "high", 2), ("acme.stays", "low", 3)];
    let newest: BTreeSet<_> = expected.iter().map(|(id, _, count)| ((*id).to_owned(), *count)).collect();
    assert!(newest.iter().all(|(id, count)| told.iter().any(|(known, _, n)| known == id && n == count)), "{told:?}");
    assert!(told.iter().all(|(id, _, count)| newest.iter().any(|(known, n)| known == id && count <= n)), "{told:?}");
    let detected = summary.detected.unwrap();
    assert_eq!((detected.alerts, detected.findings), (4, 11));
}

#[tokio::test(start_paused = true)]
async fn a_sink_of_alerts_hears_of_other_rules() {
    let files = [("rules/one.toml", rule("one", "a", 1)), ("rules/two.toml", rule("two", "b", 1))];
    let sections = |keys: &str| format!("{DETECT}{keys}\n");
    let mut running = Running::start(&sections("rules = ['acme.one']"), &files).await;
    running.send(1, &["b", "a"]).await;
    running.heard(1).await;
    running.reload(&sections("rules = ['acme.two']")).unwrap();
    running.send(2, &["a", "b"]).await;
    running.heard(2).await;
    assert!(running.reload(&sections("rules = ['acme.three']")).is_err(), "no rule is called so");
    running.reload(&sections("severity = 'critical'")).unwrap();
    running.send(3, &["a", "b"]).await;
    running.reload(&sections("")).unwrap();
    running.send(4, &["a"]).await;
    let (_, sinks) = running.end().await;
    let alerts = sinks.into_iter().find(|(name, _)| name == "tell").unwrap().1.taken();
    let title = |line: &String| serde_json::from_str::<Value>(line).unwrap()["title"].as_str().unwrap().to_owned();
    let told: BTreeSet<_> = alerts.iter().map(title).filter(|title| !title.ends_with('3')).collect();
    let expected = ["one in 100000000001", "two in 100000000002", "one in 100000000004"].map(str::to_owned);
    assert_eq!(told, expected.into());
}

#[tokio::test(start_paused = true)]
async fn each_reload_is_counted() {
    let mut running = Running::start(SINKS, &[]).await;
    // The process counts, and no other test reloads by this way.
    let count = |result: &str| metrics::families().reloads.with_label_values(&[result]).get();
    let before = (count("applied"), count("refused"));
    let home = running.directory.path().to_owned();
    for (sections, expected) in
        [(SINKS, (1, 0)), ("[sinks]", (1, 1)), (&sink("format = 'raw'"), (1, 2)), (SINKS, (2, 2))]
    {
        running.reload.again(|| parse(&home, sections));
        let counted = (count("applied") - before.0, count("refused") - before.1);
        assert_eq!(counted, expected, "{sections}");
    }
    running.end().await;
}
