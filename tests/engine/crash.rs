//! Crashes: a process that is killed at any moment and started again delivers every line, and tears none.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bedrock_tap::daemon::{self, Stop};
use bedrock_tap::delivery::work::Crew;
use bedrock_tap::format::Format;
use bedrock_tap::pipeline::{Limits, Settings};
use bedrock_tap::telemetry;
use flate2::read::MultiGzDecoder;

use super::daemon::{file_sink, plan};

/// Where the other process works, and what it does; set by the test that starts it.
const DIRECTORY: &str = "BEDROCK_TAP_TEST_DIRECTORY";
const ROLE: &str = "BEDROCK_TAP_TEST_ROLE";

/// Files and lines a file: enough that a run is killed many times before it is done.
const FILES: usize = 150;
const LINES: usize = 20;

/// Kills before the process is left to finish.
const KILLS: u32 = 25;

fn line(file: usize, number: usize) -> String {
    format!(
        r#"{{"schemaType":"ModelInvocationLog","schemaVersion":"1.0","timestamp":"2026-01-02T03:04:05Z","accountId":"123456789012","region":"us-east-1","requestId":"{file}-{number}","operation":"InvokeModel","modelId":"amazon.titan-text-lite-v1"}}"#
    )
}

/// Starts the command again and again and kills it after a time that grows, then checks what it wrote to `out`.
fn check(directory: &Path, out: &Path, mut command: impl FnMut() -> Command) {
    fs::create_dir(directory.join("in")).unwrap();
    let mut expected = BTreeSet::new();
    for file in 0..FILES {
        let lines: Vec<String> = (0..LINES).map(|number| line(file, number)).collect();
        fs::write(directory.join(format!("in/{file}.jsonl")), lines.join("\n")).unwrap();
        expected.extend(lines);
    }
    let (mut killed, mut finished) = (0, false);
    for round in 0..KILLS {
        let mut child = command().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // The first lives end while everything is opened, later ones in the middle of the work.
        std::thread::sleep(Duration::from_millis(u64::from(round) * 7 % 97 + 3));
        child.kill().unwrap();
        let status = child.wait().unwrap();
        finished = finished || status.success();
        killed += u32::from(!status.success());
    }
    assert!(killed > 2, "it was hardly ever killed: {killed} times");
    let last = command().output().unwrap();
    assert!(last.status.success(), "{}", String::from_utf8_lossy(&last.stderr));
    let bytes = fs::read(out).unwrap();
    let mut text = String::new();
    if bytes.starts_with(&[0x1f, 0x8b]) {
        MultiGzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap();
    } else {
        text = String::from_utf8(bytes).unwrap();
    }
    let found: BTreeSet<String> = text.lines().map(str::to_owned).collect();
    let (lost, torn): (Vec<_>, Vec<_>) = (expected.difference(&found).collect(), found.difference(&expected).collect());
    assert!(lost.is_empty() && torn.is_empty(), "lost {lost:?}, torn {torn:?}");
    assert!(text.ends_with('\n'));
}

/// This test's own program, running [`child`] as `role`.
fn myself(role: &str, directory: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["engine::crash::child", "--exact", "--ignored", "--nocapture"]);
    command.env(ROLE, role).env(DIRECTORY, directory);
    command
}

#[test]
fn killed_at_any_moment_the_engine_loses_nothing() {
    for (role, out) in [("plain", "out"), ("gzip", "out.gz")] {
        let directory = tempfile::tempdir().unwrap();
        check(directory.path(), &directory.path().join(out), || myself(role, directory.path()));
    }
}

/// The same with the command as people run it.
#[test]
fn killed_at_any_moment_the_command_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("config.toml");
    let path = |name: &str| directory.path().join(name).display().to_string();
    let text = format!(
        "[source.file]\npaths = [{:?}]\n[coordination.local]\ndirectory = {:?}\n[sinks.events.file]\npath = {:?}\nformat = \"raw\"\n",
        path("in"),
        path("state"),
        path("out")
    );
    fs::write(&config, text).unwrap();
    check(directory.path(), &directory.path().join("out"), || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bedrock-tap"));
        command.arg("run").arg("--config").arg(&config);
        command
    });
}

#[test]
fn a_reader_that_has_enough_ends_the_command_quietly() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("config.toml");
    let path = |name: &str| directory.path().join(name).display().to_string();
    fs::write(path("in"), (0..50_000).map(|number| line(0, number) + "\n").collect::<String>()).unwrap();
    let text = format!(
        "[source.file]\npaths = [{:?}]\n[coordination.local]\ndirectory = {:?}\n[sinks.events.stdout]\n",
        path("in"),
        path("state")
    );
    fs::write(&config, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_bedrock-tap"));
    command.arg("run").arg("--config").arg(&config).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut first = [0; 1];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && first == *b"{", "{log}");
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
}

#[cfg(unix)]
#[test]
fn told_to_stop_it_delivers_what_was_read_and_ends() {
    let directory = tempfile::tempdir().unwrap();
    let (pipe, out) = (directory.path().join("in"), directory.path().join("out"));
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut child = myself("signals", directory.path()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // The pipe stays open: only the signal ends the process.
    let mut writer = fs::OpenOptions::new().write(true).open(&pipe).unwrap();
    writer.write_all(b"one\n").unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while fs::read(&out).is_ok_and(|text| text != b"one\n") {
        assert!(Instant::now() < deadline, "nothing was delivered");
        std::thread::sleep(Duration::from_millis(5));
    }
    let told = Instant::now();
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    assert!(child.wait().unwrap().success());
    assert!(told.elapsed() < Duration::from_secs(10), "it took {:?} to end", told.elapsed());
    assert_eq!(fs::read(&out).unwrap(), b"one\n");
}

#[test]
fn the_log_holds_neither_what_a_panic_says_nor_what_libraries_send() {
    let directory = tempfile::tempdir().unwrap();
    for level in ["info", "trace"] {
        let output = myself("panic", directory.path()).env(telemetry::LEVEL_VARIABLE, level).output().unwrap();
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(log.contains("panicked") && log.contains("crash.rs") && log.contains("secretive"), "{log}");
        assert!(!log.contains("a prompt") && log.contains("a library says") && log.contains("goes on"), "{log}");
        assert_eq!(log.contains("our detail"), level == "trace", "{log}");
    }
}

/// The real line, where each event comes out as it went in.
fn raw_lines() -> Settings {
    Settings {
        limits: Limits { inflated_bytes: 64 << 20, events: 100_000, depth: 128 },
        outputs: vec![Format::Raw.into()],
        ..Settings::default()
    }
}

#[test]
#[ignore = "the process that the tests above start"]
fn child() {
    let (Some(directory), Ok(role)) = (std::env::var_os(DIRECTORY), std::env::var(ROLE)) else { return };
    let directory = Path::new(&directory);
    telemetry::start(&telemetry::Settings::default()).unwrap();
    if role == "panic" {
        let thread = std::thread::Builder::new().name("secretive".to_owned()).spawn(|| panic!("a prompt")).unwrap();
        assert!(thread.join().is_err());
        tracing::info!(target: "aws_smithy_runtime", "a library says");
        tracing::debug!(target: "aws_smithy_runtime", body = "a prompt", "response");
        tracing::debug!(target: "bedrock_tap::source", "our detail");
        tracing::warn!(target: "bedrock_tap::source", "goes on");
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stop = if role == "signals" { Stop::on_signals().unwrap() } else { Stop::default() };
        let sink = file_sink("out", &directory.join("out"), role == "gzip");
        let mut plan = plan(directory, vec![sink]);
        if role != "signals" {
            plan.crew = Crew::of_lines(raw_lines());
        }
        daemon::run(plan, stop).await.unwrap();
    });
}
