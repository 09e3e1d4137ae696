//! Detection as people run it: rules in a configuration, findings on events, and alerts that arrive.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

#[cfg(feature = "demo")]
mod backfill;
#[cfg(feature = "demo")]
mod books;
#[cfg(feature = "demo")]
mod endpoints;
mod killed;
mod refused;
mod running;

/// A rule of one's own: three calls of an account within an hour, of a model that nobody should use.
const RULE: &str = "id = 'acme.storm'\nname = 'Storm'\ndescription = 'Calls of a model that nobody should use.'\n\
    severity = 'high'\nmatch = \"view.operation == 'Converse'\"\ntitle = 'Storm in {event.accountId}'\n\
    group_by = ['event.accountId']\nthreshold = 3\nwindow = '1d'\ndedup_period = '1d'\n";

/// An account by its number.
fn account(number: usize) -> String {
    format!("{:012}", 100_000_000_000 + number)
}

/// A call, at so many seconds after eight.
fn event(account: &str, second: usize) -> String {
    let time = format!("2026-01-02T08:{:02}:{:02}Z", second / 60 % 60, second % 60);
    format!(
        r#"{{"schemaType":"ModelInvocationLog","schemaVersion":"1.0","timestamp":"{time}","accountId":"{account}","region":"us-east-1","requestId":"{account}-{second}","operation":"Converse","modelId":"amazon.nova-lite-v1:0"}}"#
    )
}

/// A directory with a rule, files to read, and a configuration.
struct Home(TempDir);

impl Home {
    /// With the rule, and `sections` in the place of where alerts go and of more of `[detect]`.
    fn new(sections: &str) -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        fs::create_dir(home.path("in")).unwrap();
        fs::create_dir(home.path("rules")).unwrap();
        fs::write(home.path("rules/storm.toml"), RULE).unwrap();
        home.configure(sections);
        home
    }

    fn configure(&self, sections: &str) {
        let text = format!(
            "[source.file]\npaths = [{:?}]\n[coordination.local]\ndirectory = {:?}\n[sinks.events.file]\npath = {:?}\n\
             [detect]\nfiles = [{:?}]\n{sections}",
            self.path("in"),
            self.path("state"),
            self.path("events.jsonl"),
            self.path("rules"),
        );
        fs::write(self.path("config.toml"), text.replace("HOME", &self.0.path().display().to_string())).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Puts calls of an account into a file to read.
    fn put(&self, file: &str, account: &str, seconds: impl Iterator<Item = usize>) {
        let lines: String = seconds.map(|second| event(account, second) + "\n").collect();
        fs::write(self.path("in").join(file), lines).unwrap();
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bedrock-tap"));
        command.arg(name).arg("--config").arg(self.path("config.toml")).env_remove("BEDROCK_TAP_LOG");
        command
    }

    /// Runs it to its end, and gives its log.
    fn run(&self) -> String {
        let output = self.command("run").output().unwrap();
        let log = stderr(&output);
        assert!(output.status.success(), "{log}");
        log
    }

    fn lines(&self, name: &str) -> Vec<Value> {
        lines(&self.path(name))
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The JSON lines of a file, which holds whole ones only.
fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    assert!(text.is_empty() || text.ends_with('\n'), "{} ends within a line", path.display());
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// By the account of each alert: its ids, each with the counts that were told, in their order.
fn told(alerts: &[Value]) -> BTreeMap<String, BTreeMap<String, Vec<u64>>> {
    let mut told: BTreeMap<String, BTreeMap<String, Vec<u64>>> = BTreeMap::new();
    for alert in alerts {
        let text = |key: &str| alert[key].as_str().unwrap().to_owned();
        let counts = told.entry(text("dedup")).or_default().entry(text("id")).or_default();
        counts.push(alert["count"].as_u64().unwrap());
    }
    told
}
