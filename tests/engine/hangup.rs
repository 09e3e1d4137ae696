//! SIGHUP, as people send it: a process that reads a pipe goes on by its changed file, and loses and repeats nothing.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use serde_json::Value;

/// Long enough for a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(60);

fn call(number: usize, model: &str) -> String {
    format!(
        r#"{{"schemaType":"ModelInvocationLog","schemaVersion":"1.0","timestamp":"2026-01-02T03:04:05Z","accountId":"123456789012","region":"us-east-1","requestId":"r{number}","operation":"Converse","modelId":"{model}"}}"#
    )
}

fn rule(model: &str) -> String {
    format!(
        "id = 'acme.rule'\nname = 'n'\ndescription = 'd'\nseverity = 'high'\nmatch = \"event.modelId == '{model}'\"\n\
         title = 't'\n"
    )
}

/// The process, fed through its standard input.
struct Running {
    directory: tempfile::TempDir,
    child: Child,
    input: Option<ChildStdin>,
    log: Receiver<String>,
    events: Receiver<String>,
}

/// Lines as they come.
fn lines(from: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = sync_channel(1000);
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines() {
            if sender.send(line.unwrap()).is_err() {
                return;
            }
        }
    });
    lines
}

impl Running {
    fn start(keys: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        write(&directory, keys, "a");
        let mut child = Command::new(env!("CARGO_BIN_EXE_bedrock-tap"))
            .arg("run")
            .arg("--config")
            .arg(directory.path().join("tap.toml"))
            .env_remove("BEDROCK_TAP_LOG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, events, log) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        Self { directory, child, input, events: lines(events.unwrap()), log: lines(log.unwrap()) }
    }

    /// Sends a call, and gives it as it is delivered.
    fn deliver(&mut self, number: usize, model: &str) -> Value {
        writeln!(self.input.as_mut().unwrap(), "{}", call(number, model)).unwrap();
        let line = self.events.recv_timeout(PATIENCE).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// Changes the files, asks for them to be read again, and gives the line of the log that says what came of it.
    fn change(&self, keys: &str, model: &str) -> String {
        write(&self.directory, keys, model);
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-HUP", &id]).status().unwrap().success());
        loop {
            let line = self.log.recv_timeout(PATIENCE).unwrap();
            if line.contains("the configuration") {
                return line;
            }
        }
    }

    fn end(mut self) -> Vec<String> {
        drop(self.input.take());
        let rest = self.events.iter().collect();
        let log: Vec<_> = self.log.iter().collect();
        assert!(self.child.wait().unwrap().success(), "{log:?}");
        rest
    }
}

/// The configuration, with these keys of the sink and what follows them, and a rule about this model.
fn write(directory: &tempfile::TempDir, keys: &str, model: &str) {
    let path = |name: &str| -> PathBuf { directory.path().join(name) };
    let text = format!(
        "[source.file]\npaths = ['-']\n[coordination.local]\ndirectory = {:?}\n[detect]\nfiles = [{:?}]\n\
         [sinks.shown.stdout]\n{keys}\n",
        path("state"),
        path("rule.toml")
    );
    fs::write(path("tap.toml"), text).unwrap();
    fs::write(path("rule.toml"), rule(model)).unwrap();
}

#[test]
fn a_hangup_makes_it_go_on_by_its_changed_file() {
    let mut running = Running::start("drop = \"event.modelId == 'x'\"");
    let found = |event: &Value| event.to_string().contains("acme.rule");
    // What is delivered says that signals are listened for.
    let event = running.deliver(0, "a");
    assert!(event["requestId"] == "r0" && found(&event), "{event}");

    let line = running.change("keep = \"event.modelId != 'y'\"", "b");
    assert!(
        line.contains(" INFO ") && line.contains("changed=sinks.shown.stdout.drop, sinks.shown.stdout.keep"),
        "{line}"
    );
    assert!(line.contains("rules=1"), "{line}");
    let event = running.deliver(1, "x");
    assert!(event["requestId"] == "r1" && !found(&event), "{event}");
    assert!(found(&running.deliver(2, "b")), "the rule looks for another model now");

    // Refused whole, with one line that says why: what was before goes on.
    let refused: [(&str, &str); 3] = [
        ("keep = \"event.modelId ==\"", "`sinks.shown.stdout.keep`"),
        ("format = 'view'\nkeep = \"event.modelId != 'z'\"", "these keys need a restart: sinks.shown.stdout.format"),
        ("[sinks.more.null]", "these keys need a restart: sinks.more"),
    ];
    for (keys, expected) in refused {
        let line = running.change(keys, "c");
        assert!(line.contains("ERROR") && line.contains("the one before goes on") && line.contains(expected), "{line}");
    }
    let event = running.deliver(3, "b");
    assert!(event["requestId"] == "r3" && found(&event), "{event}");

    // With the level goes what is said of it: the next change is told only once the level is back.
    write(&running.directory, "[log]\nlevel = 'error'", "b");
    let id = running.child.id().to_string();
    assert!(Command::new("kill").args(["-HUP", &id]).status().unwrap().success());
    // `y` was left out before: once one comes, the file was read.
    let mut sent = 4;
    let first = loop {
        writeln!(running.input.as_mut().unwrap(), "{}", call(sent, "y")).unwrap();
        sent += 1;
        if let Ok(line) = running.events.recv_timeout(Duration::from_millis(100)) {
            break line;
        }
    };
    let line = running.change("[log]\nlevel = 'info'", "b");
    assert!(line.contains("changed=log.level"), "{line}");
    let delivered: Vec<usize> = std::iter::once(first)
        .chain(running.end())
        .map(|line| {
            let event: Value = serde_json::from_str(&line).unwrap();
            event["requestId"].as_str().unwrap()[1..].parse().unwrap()
        })
        .collect();
    assert_eq!(delivered, (delivered[0]..sent).collect::<Vec<_>>());
}
