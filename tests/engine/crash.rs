//! Crashes: a process that is killed at any moment and started again delivers every line, and tears none.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use bedrock_tap::daemon::{self, Stop};
use flate2::read::MultiGzDecoder;

use super::daemon::{file_sink, plan};

/// Where the killed process works; set by the test that starts it.
const DIRECTORY: &str = "BEDROCK_TAP_TEST_DIRECTORY";

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
    assert!(killed > 5, "it was hardly ever killed: {killed} times");
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

/// This test's own program, running [`child`].
fn myself(directory: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["engine::crash::child", "--exact", "--ignored", "--nocapture"]).env(DIRECTORY, directory);
    command
}

#[test]
fn killed_at_any_moment_the_engine_loses_nothing() {
    for gzip in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join(if gzip { "out.gz" } else { "out" });
        if gzip {
            fs::write(directory.path().join("gzip"), "").unwrap();
        }
        check(directory.path(), &out, || myself(directory.path()));
    }
}

#[test]
#[ignore = "the process that the test above kills"]
fn child() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let directory = Path::new(&directory);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    // A marker chooses the variant.
    let gzip = fs::exists(directory.join("gzip")).unwrap();
    let sink = file_sink("out", &directory.join("out"), gzip);
    runtime.block_on(daemon::run(plan(directory, vec![sink]), Stop::default())).unwrap();
}
