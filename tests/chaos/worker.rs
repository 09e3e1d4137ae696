//! A worker: `bedrock-tap run` as a process of its own, in a folder of its own, with a proxy between it and each of the
//! services. It is killed when it is dropped.

use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::support::dynamodb_double::DynamoDouble;
use crate::support::fault::Proxy;
use crate::support::kinesis_double::{Double, STREAM};

/// The lease table of all workers.
pub(super) const TABLE: &str = "leases";
/// What a worker may take to drain; no test holds one up so long.
pub(super) const DRAIN: Duration = Duration::from_secs(15);
/// Lines of a worker's log that a failed test shows.
const SHOWN_LINES: usize = 40;

/// What a configuration says beside the addresses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    pub(super) failover: &'static str,
    pub(super) handoff: &'static str,
    pub(super) create_table: bool,
    /// As `streams`, with the keys of several streams.
    pub(super) is_multi: bool,
    /// Further lines about the source.
    pub(super) source: &'static str,
    /// Lines of the configuration at its end.
    pub(super) more: &'static str,
}

impl Default for Options {
    fn default() -> Self {
        Self { failover: "30s", handoff: "30s", create_table: true, is_multi: false, source: "", more: "" }
    }
}

/// A worker.
pub(super) struct Worker {
    pub(super) name: String,
    pub(super) kinesis: Proxy,
    pub(super) dynamo: Proxy,
    pub(super) output: Arc<Mutex<Output>>,
    directory: TempDir,
    child: Option<Child>,
}

impl Worker {
    /// A worker that does not run yet.
    pub(super) async fn new(name: &str, double: &Double, table: &DynamoDouble, options: Options) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let kinesis = Proxy::start(double.address).await;
        let dynamo = Proxy::start(table.address).await;
        let path = |name: &str| directory.path().join(name).display().to_string();
        let Options { failover, handoff, create_table, is_multi, source, more } = options;
        let stream = if is_multi { format!("streams = [\"{STREAM}\"]") } else { format!("stream = \"{STREAM}\"") };
        let (kinesis_address, dynamo_address, drain) = (kinesis.address, dynamo.address, DRAIN.as_secs());
        let text = format!(
            "drain_timeout = \"{drain}s\"\n\
             [source.kinesis]\n{stream}\nregion = \"us-east-1\"\nendpoint_url = \"http://{kinesis_address}\"\n\
             max_idle = \"200ms\"\n{source}\n\
             [coordination.dynamodb]\ntable = \"{TABLE}\"\ncreate_table = {create_table}\n\
             failover_time = \"{failover}\"\nhandoff_timeout = \"{handoff}\"\nendpoint_url = \"http://{dynamo_address}\"\n\
             [sinks.events.file]\npath = {:?}\n[dead_letter.file]\npath = {:?}\n{more}\n",
            path("out.jsonl"),
            path("letters.jsonl"),
        );
        fs::write(directory.path().join("config.toml"), text).unwrap();
        let output = Output::of(directory.path().join("out.jsonl"));
        Self { name: name.to_owned(), kinesis, dynamo, output: Arc::new(Mutex::new(output)), directory, child: None }
    }

    /// Runs it, for the first time or anew.
    pub(super) fn start(&mut self) {
        self.start_into(Stdio::null());
    }

    /// Runs it with this as its standard output.
    pub(super) fn start_into(&mut self, stdout: Stdio) {
        assert!(self.child.is_none(), "{} runs already", self.name);
        self.output.lock().unwrap().begin_life();
        let log = fs::File::options().create(true).append(true).open(self.log_path()).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_bedrock-tap"))
            .arg("run")
            .arg("--config")
            .arg(self.directory.path().join("config.toml"))
            .env("AWS_ACCESS_KEY_ID", "any")
            .env("AWS_SECRET_ACCESS_KEY", "any")
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
            .env("BEDROCK_TAP_LOG", "bedrock_tap=debug")
            .env_remove("ECS_CONTAINER_METADATA_URI_V4")
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(Stdio::from(log))
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        self.child = Some(child);
    }

    /// Runs it, and waits until it listens for signals: before that, one ends it.
    pub(super) async fn start_and_wait(&mut self) {
        let before = self.log().len();
        self.start();
        let begun = timeout(Duration::from_secs(20), async {
            // What it says first comes after it has begun to listen.
            while !self.log()[before..].contains('\n') {
                sleep(Duration::from_millis(10)).await;
            }
        });
        assert!(begun.await.is_ok(), "{} does not start", self.name);
    }

    /// The process's id, which is part of the worker's.
    pub(super) fn id(&self) -> String {
        self.child.as_ref().unwrap().id().unwrap().to_string()
    }

    /// Sends a signal by its name.
    pub(super) async fn signal(&self, name: &str) {
        let id = self.id();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().await.unwrap().success());
    }

    /// Kills it without a warning.
    pub(super) async fn kill(&mut self) {
        self.child.take().unwrap().kill().await.unwrap();
    }

    /// Waits for its end.
    pub(super) async fn wait(&mut self) -> ExitStatus {
        let ended = timeout(DRAIN + Duration::from_secs(5), self.child.as_mut().unwrap().wait()).await;
        let status = ended.unwrap_or_else(|_| panic!("{} does not end", self.name)).unwrap();
        self.child = None;
        status
    }

    /// Tells it to stop, and waits until it has drained: which it must do, and in time.
    pub(super) async fn stop(&mut self) {
        self.signal("TERM").await;
        let status = self.wait().await;
        assert!(status.success(), "{} ended with {status}: {}", self.name, self.log_tail());
    }

    /// Whether it has ended by itself.
    pub(super) fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.as_mut().and_then(|child| child.try_wait().unwrap())
    }

    /// What it has written to its log, in all its lives.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// The end of its log.
    pub(super) fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        format!(
            "\n-- {} in {} --\n{}\n",
            self.name,
            self.directory.path().display(),
            lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
        )
    }

    /// What it has rejected.
    pub(super) fn letters(&self) -> String {
        fs::read_to_string(self.directory.path().join("letters.jsonl")).unwrap_or_default()
    }

    /// What it has delivered up to now.
    pub(super) fn delivered(&self) -> Vec<Delivery> {
        let mut output = self.output.lock().unwrap();
        output.poll();
        output.deliveries.clone()
    }

    fn log_path(&self) -> PathBuf {
        self.directory.path().join("log")
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Whoever looks for the cause of a failure finds its folder.
        self.directory.disable_cleanup(std::thread::panicking());
    }
}

/// A line that was delivered.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    /// The request id of the event.
    pub(super) id: String,
    /// When it was there at the latest.
    pub(super) seen: Instant,
    /// In which life of its worker, counted from 1.
    pub(super) life: usize,
}

/// The file that a worker delivers to, as it grows.
pub(super) struct Output {
    path: PathBuf,
    /// Up to where it was read: the end of a line, since what stands behind the last one is cut off by the next life.
    offset: u64,
    life: usize,
    deliveries: Vec<Delivery>,
}

impl Output {
    fn of(path: PathBuf) -> Self {
        Self { path, offset: 0, life: 0, deliveries: Vec::new() }
    }

    fn begin_life(&mut self) {
        self.poll();
        self.life += 1;
    }

    /// Reads the lines that have come.
    pub(super) fn poll(&mut self) {
        let Ok(mut file) = fs::File::open(&self.path) else { return };
        assert!(file.metadata().unwrap().len() >= self.offset, "{} has become shorter", self.path.display());
        let mut new = Vec::new();
        file.seek(SeekFrom::Start(self.offset)).unwrap();
        file.read_to_end(&mut new).unwrap();
        let whole = new.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        let seen = Instant::now();
        for line in new[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let event: Value = serde_json::from_slice(line).unwrap();
            let id = event["requestId"].as_str().unwrap().to_owned();
            self.deliveries.push(Delivery { id, seen, life: self.life });
        }
        self.offset += whole as u64;
    }
}
