//! A worker: `bedrock-tap run` as people run it, in a process of its own, with its standard output read line by line.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde::Deserialize;
use tempfile::TempDir;

/// Ticks a second in `/proc/PID/stat`; it is 100 on every Linux of our days (`getconf CLK_TCK`).
const TICKS_PER_SECOND: f64 = 100.0;

/// A running worker; it is killed when this is dropped.
pub(crate) struct Worker {
    child: Child,
    arrivals: Arrivals,
    directory: TempDir,
}

/// When each invocation's line came first, by request id.
pub(crate) type Arrivals = Arc<Mutex<HashMap<String, Instant>>>;

/// A worker's memory in bytes.
#[derive(Clone, Copy)]
pub(crate) struct Memory {
    /// Resident now.
    pub(crate) resident: u64,
    /// The most that was ever resident.
    pub(crate) peak: u64,
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "requestId")]
    request_id: String,
}

impl Worker {
    /// Starts a worker. `source` holds lines for `[source.kinesis]`, `coordination` the table of that name; where it is
    /// empty, positions are in a directory of the worker's own.
    pub(crate) fn start(source: &str, coordination: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let path = |name: &str| directory.path().join(name);
        let local = format!("[coordination.local]\ndirectory = {:?}\n", path("state"));
        let coordination = if coordination.is_empty() { &local } else { coordination };
        let dead_letter = format!("[dead_letter.file]\npath = {:?}\n", path("rejects.jsonl"));
        let text = format!("[source.kinesis]\n{source}{coordination}{dead_letter}[sinks.out.stdout]\n");
        fs::write(path("config.toml"), text).expect("the configuration can be written");
        let log = fs::File::create(path("log")).expect("the log can be made");
        let mut child = Command::new(env!("CARGO_BIN_EXE_bedrock-tap"))
            .args(["run", "--config"])
            .arg(path("config.toml"))
            .env("AWS_ACCESS_KEY_ID", "any")
            .env("AWS_SECRET_ACCESS_KEY", "any")
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
            .env_remove("BEDROCK_TAP_LOG")
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the worker starts");
        let arrivals = Arrivals::default();
        let (out, to) = (child.stdout.take().expect("it is piped"), Arc::clone(&arrivals));
        std::thread::spawn(move || read(out, &to));
        Self { child, arrivals, directory }
    }

    /// What came out so far.
    pub(crate) fn arrivals(&self) -> &Arrivals {
        &self.arrivals
    }

    /// When an invocation came out.
    pub(crate) fn arrival(&self, id: &str) -> Option<Instant> {
        self.arrivals.lock().expect("no reader panics").get(id).copied()
    }

    /// Sends a signal, by its name without `SIG`.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()), "the worker is gone:\n{}", self.log());
    }

    /// The worker's memory.
    pub(crate) fn memory(&self) -> Memory {
        let status = self.proc("status");
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|rest| rest.trim_start_matches(':').split_whitespace().next()?.parse::<u64>().ok());
            kib.expect("the kernel tells it") * 1024
        };
        Memory { resident: bytes("VmRSS"), peak: bytes("VmHWM") }
    }

    /// The processor time that the worker has used.
    pub(crate) fn processor(&self) -> Duration {
        let stat = self.proc("stat");
        // The program's name comes second, in brackets, and may hold spaces; the times are the 14th and 15th field.
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
        let ticks: u64 = fields.map(|field| field.parse::<u64>().expect("ticks are numbers")).sum();
        Duration::from_secs_f64(ticks as f64 / TICKS_PER_SECOND)
    }

    /// The worker's own log.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    fn proc(&self, name: &str) -> String {
        let path = PathBuf::from(format!("/proc/{}/{name}", self.child.id()));
        fs::read_to_string(path).unwrap_or_else(|_| panic!("the worker is gone:\n{}", self.log()))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(out: ChildStdout, arrivals: &Arrivals) {
    let mut out = BufReader::new(out);
    let mut line = Vec::new();
    while out.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
        let now = Instant::now();
        // The line that a kill cut off is no event.
        if let Ok(event) = serde_json::from_slice::<Event>(&line) {
            arrivals.lock().expect("no other thread panics").entry(event.request_id).or_insert(now);
        }
        line.clear();
    }
}
