//! Payloads as they come, through the line and through the command. A fixture is a folder: `payload`, what the line
//! makes of it in `expected.jsonl` (without `p_parse_time`), and the rejects' reasons and the counts in `expected.json`.
//! `BLESS=1 cargo test --test integration decode` writes the expectations anew; read them before they are committed.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use bedrock_tap::format::Format;
use bedrock_tap::pipeline::{Line, Parcel, Settings};
use bedrock_tap::record::{Origin, Record};
use serde_json::Value;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn check(folder: &Path) {
    let origin = Origin::File { path: "payload".into(), offset: 0 };
    let record = Record::new(fs::read(folder.join("payload")).unwrap().into(), origin);
    let mut parcel = Parcel::default();
    let time = "2026-11-22T00:00:00Z".parse().unwrap();
    Line::new(Settings { outputs: vec![Format::Panther.into()], ..Settings::default() }).process(
        &record,
        time,
        &mut parcel,
    );
    let lines = String::from_utf8(parcel.outputs[0].bytes().to_vec()).unwrap();
    let lines = lines.replace("\"p_parse_time\":\"2026-11-22 00:00:00.000000000\",", "");
    let told: Vec<_> = parcel.rejects.iter().map(|reject| reject.fault.to_string()).collect();
    let rest = serde_json::json!({ "rejects": told, "summary": parcel.tally.to_json() });
    let rest = serde_json::to_string_pretty(&rest).unwrap() + "\n";
    for (name, found) in [("expected.jsonl", lines), ("expected.json", rest)] {
        let path = folder.join(name);
        if std::env::var_os("BLESS").is_some() {
            fs::write(&path, &found).unwrap();
        }
        assert_eq!(found, fs::read_to_string(&path).unwrap(), "{}", path.display());
    }
}

#[test]
fn fixtures_come_out_as_expected() {
    let folders: Vec<_> = fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(folders.len() >= 5, "where are the fixtures?");
    folders.iter().for_each(|folder| check(folder));
}

fn decode(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bedrock-tap")).arg("decode").args(args).output().unwrap()
}

fn payload(case: &str) -> String {
    fixtures().join(case).join("payload").display().to_string()
}

#[test]
fn the_summary_is_one_object_whose_sum_holds() {
    for case in ["envelope_gzip", "s3_log_file", "get_records_answer", "firehose_body", "damaged_between"] {
        let output = decode(&["--summary", "--rejects", "/dev/null", &payload(case)]);
        assert_eq!(output.status.code(), Some(0), "{case}");
        let summary: Value = serde_json::from_slice(&output.stderr).unwrap();
        let sum = |key: &str| summary[key].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum::<u64>();
        let invocations = summary["invocations"].as_u64().unwrap();
        assert_eq!(summary["log_events"].as_u64().unwrap(), invocations + sum("skipped") + sum("rejects"), "{case}");
        assert_eq!(output.stdout.iter().filter(|byte| **byte == b'\n').count() as u64, invocations, "{case}");
    }
}

#[test]
fn rejects_are_told_or_kept_and_strict_counts_them() {
    let damaged = payload("damaged_between");
    let told = decode(&[&damaged]);
    assert_eq!(told.status.code(), Some(0));
    let text = String::from_utf8(told.stderr).unwrap();
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(text.lines().all(|line| line.starts_with("reject: ") && !line.contains("many")), "{text}");
    assert_eq!(decode(&["--strict", &damaged]).status.code(), Some(2));
    assert_eq!(decode(&["--strict", &payload("envelope_gzip")]).status.code(), Some(0));

    let directory = tempfile::tempdir().unwrap();
    let rejects = directory.path().join("rejects.jsonl").display().to_string();
    assert!(decode(&["--rejects", &rejects, &damaged]).stderr.is_empty());
    let lines: Vec<Value> =
        fs::read_to_string(&rejects).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let reasons: Vec<_> = lines.iter().map(|line| line["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons, ["invalid_json", "invalid_number"]);
    // What was rejected can be read again, and is rejected for the same reasons.
    let again = decode(&["--summary", &rejects]);
    assert!(String::from_utf8(again.stderr).unwrap().contains(r#""rejects":{"invalid_json":1,"invalid_number":1}"#));
    let over_itself = decode(&["--rejects", &rejects, &rejects]);
    assert_eq!(over_itself.status.code(), Some(64));
}

#[test]
fn inputs_that_are_not_there_are_named() {
    let output = decode(&["/nowhere/to/be/found"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8(output.stderr).unwrap().contains("/nowhere/to/be/found"));
    assert_eq!(decode(&[]).status.code(), Some(64));
    assert_eq!(decode(&["--format", "xml", "-"]).status.code(), Some(64));
}

#[test]
fn standard_input_is_read_and_a_closed_pipe_ends_it_quietly() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_bedrock-tap"))
        .args(["decode", "--format", "raw", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let payload = fs::read(payload("envelope_gzip")).unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&payload).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.stdout.iter().filter(|byte| **byte == b'\n').count(), 3);

    let directory = tempfile::tempdir().unwrap();
    let many = directory.path().join("many.jsonl");
    let line = fs::read(fixtures().join("damaged_between/payload")).unwrap();
    let first = line.split(|byte| *byte == b'\n').next().unwrap();
    fs::write(&many, [first, b"\n"].concat().repeat(5_000)).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_bedrock-tap"))
        .arg("decode")
        .arg(&many)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut head = [0; 100];
    child.stdout.take().unwrap().read_exact(&mut head).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}
