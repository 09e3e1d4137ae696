//! The daemon over real files: from its plan to its last line.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bedrock_tap::checkpoint::local;
use bedrock_tap::daemon::{self, CheckpointPlan, Plan, SinkPlan, SourcePlan, Stop, Summary};
use bedrock_tap::sink::Planned;
use bedrock_tap::sink::file;
use bedrock_tap::sink::stdout::Stdout;
use bedrock_tap::source;
use bedrock_tap::source::file::inputs::expand;

use crate::support::engine_script::{Answer, Keeper, echo_crew};

pub(super) fn file_sink(name: &str, path: &Path, gzip: bool) -> SinkPlan {
    let settings = file::Settings { path: path.to_path_buf(), rotate_bytes: None, rotate_age: None, gzip };
    SinkPlan::new(name, file::planned(settings))
}

fn made(name: &str, sink: Arc<dyn bedrock_tap::sink::Sink>) -> SinkPlan {
    SinkPlan::new(name, Planned::made(sink))
}

/// From all files in `directory/in` to `sinks`, with the state in `directory/state`.
pub(super) fn plan(directory: &Path, sinks: Vec<SinkPlan>) -> Plan {
    let state = directory.join("state");
    let source = source::file::Settings {
        inputs: expand(&[directory.join("in").display().to_string()]).unwrap(),
        max_inflated_bytes: 64 << 20,
        concurrency: 2,
    };
    Plan {
        source: SourcePlan::Files(source),
        crew: echo_crew(sinks.len()),
        bodies: None,
        sinks,
        dead_letter: file_sink("dead_letter", &state.join("dead-letter.jsonl"), false),
        dead_letters: Vec::new(),
        detection: None,
        checkpoints: CheckpointPlan::Local(local::Settings { directory: state }),
        memory_bytes: 64 << 20,
        drain: Duration::from_secs(25),
        http: None,
    }
}

fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("in")).unwrap();
    for (name, content) in files {
        fs::write(directory.path().join("in").join(name), content).unwrap();
    }
    directory
}

fn sorted(path: &Path) -> Vec<String> {
    let mut lines: Vec<String> = fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[tokio::test]
async fn files_go_to_all_sinks_once() {
    let directory = directory(&[("a", "1\n2\n-\n"), ("b", "3\n!odd\n"), ("c", "")]);
    let (one, two) = (directory.path().join("one"), directory.path().join("two"));
    let sinks = || vec![file_sink("one", &one, false), file_sink("two", &two, false)];
    let summary = daemon::run(plan(directory.path(), sinks()), Stop::default()).await.unwrap();
    assert_eq!((summary.records_read, summary.records_delivered, summary.exited), (2, 2, None));
    assert_eq!((summary.tally.log_events, summary.tally.invocations), (5, 3));
    for sink in [&one, &two] {
        assert_eq!(sorted(sink), ["1", "2", "3"]);
    }
    let letters = sorted(&directory.path().join("state/dead-letter.jsonl"));
    assert!(letters.len() == 1 && letters[0].contains("/in/b"), "{letters:?}");

    // A second start finds everything delivered, and only the new file is read.
    fs::write(directory.path().join("in/d"), "4\n").unwrap();
    let summary = daemon::run(plan(directory.path(), sinks()), Stop::default()).await.unwrap();
    assert_eq!(summary.records_read, 1);
    assert_eq!(sorted(&one), ["1", "2", "3", "4"]);
}

#[tokio::test]
async fn a_closed_pipe_ends_it_quietly_and_commits_nothing_of_what_was_lost() {
    let directory = directory(&[("a", "1\n")]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let summary =
        daemon::run(plan(directory.path(), vec![made("pipe", Arc::new(Stdout::to(writer)))]), Stop::default());
    assert_eq!(summary.await.unwrap().records_delivered, 0);
    let out = directory.path().join("out");
    daemon::run(plan(directory.path(), vec![file_sink("out", &out, false)]), Stop::default()).await.unwrap();
    assert_eq!(sorted(&out), ["1"]);
}

#[tokio::test]
async fn a_sink_that_is_gone_is_the_error_and_the_other_drains() {
    let directory = directory(&[("a", "1\n")]);
    let out = directory.path().join("out");
    let sinks = vec![made("gone", Keeper::answering([Answer::Stop])), file_sink("out", &out, false)];
    let error = daemon::run(plan(directory.path(), sinks), Stop::default()).await.unwrap_err();
    assert!(format!("{error:#}").contains("the sink gone has stopped"), "{error:#}");
    assert_eq!(sorted(&out), ["1"]);
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_the_error_and_what_was_read_is_delivered() {
    let directory = directory(&[("a", "1\n"), ("b", "2\n"), ("c", "3\n")]);
    let out = directory.path().join("out");
    let plan = plan(directory.path(), vec![file_sink("out", &out, false)]);
    fs::remove_file(directory.path().join("in/b")).unwrap();
    let error = daemon::run(plan, Stop::default()).await.unwrap_err();
    assert!(format!("{error:#}").contains("in/b"), "{error:#}");
}

#[tokio::test]
async fn a_panic_is_an_error() {
    let directory = directory(&[("a", "panic\n")]);
    let plan = plan(directory.path(), vec![file_sink("out", &directory.path().join("out"), false)]);
    let error = daemon::run(plan, Stop::default()).await.unwrap_err();
    assert!(format!("{error:#}").contains("panicked"), "{error:#}");
}

#[tokio::test]
async fn what_is_in_use_stops_it_before_it_reads() {
    let directory = directory(&[("a", "1\n")]);
    let out = directory.path().join("out");
    let keeper = Arc::<Keeper>::default();
    keeper.hold("1");
    let stop = Stop::default();
    let first = tokio::spawn(daemon::run(plan(directory.path(), vec![made("held", keeper)]), stop.clone()));
    while !directory.path().join("state/dead-letter.jsonl").exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let second = daemon::run(plan(directory.path(), vec![file_sink("out", &out, false)]), Stop::default());
    let error = format!("{:#}", second.await.unwrap_err());
    assert!(error.contains("another process uses it"), "{error}");
    stop.exit.cancel();
    let Summary { exited, records_delivered, .. } = first.await.unwrap().unwrap();
    assert_eq!((exited.is_some(), records_delivered), (true, 0));
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_holds_is_left_at_the_drain_deadline() {
    let directory = directory(&[("a", "1\n")]);
    let keeper = Arc::<Keeper>::default();
    keeper.hold("1");
    let stop = Stop::default();
    let sinks = vec![made("held", Arc::clone(&keeper) as _)];
    let running = tokio::spawn(daemon::run(plan(directory.path(), sinks), stop.clone()));
    // Files are read by threads, whose time is not paused.
    while keeper.batches.lock().unwrap().is_empty() {
        std::thread::sleep(Duration::from_millis(1));
        tokio::task::yield_now().await;
    }
    let told = tokio::time::Instant::now();
    stop.drain.cancel();
    let summary = running.await.unwrap().unwrap();
    assert_eq!((summary.records_read, summary.records_delivered, summary.exited), (1, 0, None));
    let took = told.elapsed();
    assert!(took >= Duration::from_secs(25) && took <= Duration::from_secs(28), "{took:?}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_pipe_has_no_position_to_go_back_to() {
    let directory = directory(&[("a", "1\n")]);
    let (pipe, out) = (directory.path().join("pipe"), directory.path().join("out"));
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for content in ["2\n", "3\n"] {
        let writer = std::thread::spawn({
            let pipe = pipe.clone();
            move || fs::write(pipe, content).unwrap()
        });
        let mut plan = plan(directory.path(), vec![file_sink("out", &out, false)]);
        let inputs =
            expand(&[directory.path().join("in"), pipe.clone()].map(|path| path.display().to_string())).unwrap();
        plan.source = SourcePlan::Files(source::file::Settings { inputs, max_inflated_bytes: 1 << 20, concurrency: 2 });
        daemon::run(plan, Stop::default()).await.unwrap();
        writer.join().unwrap();
    }
    assert_eq!(sorted(&out), ["1", "2", "3"]);
}
