//! Dead letters are read again: what was rejected or refused comes out as it would have come, with the same ids.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use bedrock_tap::format::{Format, Lines};
use bedrock_tap::pipeline::{Limits, Line, Output, Parcel, Rejected, Settings};
use bedrock_tap::record::{Origin, Record};
use bedrock_tap::sink::batch::{self, Origins};
use bedrock_tap::sink::dead_letter::DeadLetter;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::engine_script::Keeper;

/// An invocation; without a request's id it is told by its log event.
fn invocation(request: Option<&str>, body: &Value) -> String {
    json!({
        "schemaType": "ModelInvocationLog", "schemaVersion": "1.0", "timestamp": "2026-11-22T07:39:00Z",
        "accountId": "123456789012", "region": "us-east-1", "requestId": request, "operation": "Converse",
        "modelId": "amazon.nova-micro-v1:0", "input": { "inputBodyJson": body }
    })
    .to_string()
}

fn envelope(group: &str, messages: &[String]) -> Vec<u8> {
    let event =
        |(at, message)| json!({ "id": format!("{group}-{at}"), "timestamp": 1_790_000_000_000i64, "message": message });
    let events: Vec<_> = messages.iter().enumerate().map(event).collect();
    let envelope = json!({
        "messageType": "DATA_MESSAGE", "owner": "123456789012", "logGroup": group, "logStream": "the \"stream\"",
        "subscriptionFilters": ["f"], "logEvents": events
    });
    envelope.to_string().into_bytes()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Payloads that are read whole within the ordinary limits, and of which the tight ones reject some at each stage.
fn payloads() -> Vec<Vec<u8>> {
    let small = json!({ "prompt": "hello" });
    let deep = json!({ "a": [[[[[[[[1]]]]]]]] });
    let good = [
        invocation(Some("r0"), &small),
        invocation(None, &small),
        invocation(Some("r1"), &deep),
        invocation(None, &deep),
    ];
    let many: Vec<_> = (0..9).map(|n| invocation(Some(&format!("m{n}")), &small)).collect();
    let large = invocation(None, &json!({ "prompt": "x".repeat(60_000) }));
    vec![gzip(&envelope("good", &good)), envelope("many", &many), gzip(&envelope("large", &[large]))]
}

const TIGHT: Limits = Limits { inflated_bytes: 40_000, events: 5, depth: 8 };

/// What becomes of payloads: flat lines with their originals, and rejects.
fn process(payloads: &[Vec<u8>], limits: Limits) -> (Lines, Vec<Rejected>) {
    let output = Output { originals: true, ..Format::Flat.into() };
    let mut line = Line::new(Settings { outputs: vec![output], limits, ..Settings::default() });
    let mut parcel = Parcel::default();
    for payload in payloads {
        let origin = Origin::File { path: "in".into(), offset: 0 };
        let record = Record::new(payload.clone().into(), origin);
        line.process(&record, "2026-11-22T08:00:00Z".parse().unwrap(), &mut parcel);
    }
    (parcel.outputs.remove(0), parcel.rejects)
}

/// The letters of rejects, and of items that a sink refuses.
async fn letters(refused: Lines, rejects: &[Rejected]) -> Vec<String> {
    let (letters, abandon) = (Arc::<Keeper>::default(), CancellationToken::new());
    let (outlet, letter_driver) =
        batch::start("letters", Arc::clone(&letters) as _, batch::Settings::default(), None, abandon.clone());
    let letter_driver = tokio::spawn(letter_driver.run());
    let dead_letter = DeadLetter::new(outlet, None);
    dead_letter.submit(rejects).await.unwrap().durable().await.unwrap();
    let refuses_all = batch::Settings { max_item_bytes: 1, ..batch::Settings::default() };
    let (outlet, driver) = batch::start("sink", Arc::<Keeper>::default() as _, refuses_all, Some(dead_letter), abandon);
    let driver = tokio::spawn(driver.run());
    let mut origins = Origins::default();
    origins.push(refused.len(), &Origin::File { path: "in".into(), offset: 0 });
    outlet.submit(refused, origins, Arc::default()).await.unwrap().durable().await.unwrap();
    drop(outlet);
    driver.await.unwrap().unwrap();
    letter_driver.await.unwrap().unwrap();
    letters.taken()
}

/// Rows by their ids, without what says where and when they were read.
fn rows<'a>(lines: impl Iterator<Item = &'a [u8]>) -> BTreeMap<String, Value> {
    let row = |line| {
        let mut row: Value = serde_json::from_slice(line).unwrap();
        for name in ["source", "parse_time"] {
            row.as_object_mut().unwrap().remove(name).unwrap();
        }
        (row["event_id"].as_str().unwrap().to_owned(), row)
    };
    lines.map(row).collect()
}

/// What `bedrock-tap run` delivers of a file of letters.
fn run(directory: &Path, name: &str, content: &[u8]) -> BTreeMap<String, Value> {
    let path = |part: &str| directory.join(format!("{name}-{part}"));
    fs::write(path("letters"), content).unwrap();
    let config = format!(
        "[source.file]\npaths = [{:?}]\n[coordination.local]\ndirectory = {:?}\n[dead_letter.file]\npath = {:?}\n\
         [sinks.out.file]\npath = {:?}\nformat = \"flat\"\n",
        path("letters"),
        path("state"),
        path("rejects"),
        path("out"),
    );
    fs::write(path("config"), config).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_bedrock-tap"));
    let output = command.arg("run").arg("--config").arg(path("config")).env_remove("BEDROCK_TAP_LOG").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(fs::read_to_string(path("rejects")).unwrap_or_default(), "", "{name}");
    rows(fs::read(path("out")).unwrap().split_inclusive(|byte| *byte == b'\n'))
}

#[tokio::test]
async fn what_was_rejected_or_refused_is_delivered_with_the_same_ids() {
    let payloads = payloads();
    let (whole, none) = process(&payloads, Limits::default());
    assert_eq!((whole.len(), none.len()), (14, 0));
    let expected = rows(whole.iter());
    assert_eq!(expected.len(), 14);

    let (refused, rejects) = process(&payloads, TIGHT);
    let stages: Vec<_> = rejects.iter().map(|reject| reject.fault.stage.as_str()).collect();
    assert_eq!((refused.len(), stages), (7, vec!["parse", "parse", "extract", "decode"]));
    let letters = letters(refused, &rejects).await;
    assert_eq!(letters.len(), 11);
    assert!(letters[10].contains("\"stage\":\"deliver\"") && letters[10].contains("\"log_group\":\"many\""));

    // One a record, as they come through a stream.
    let records: Vec<_> = letters.iter().map(|letter| letter.clone().into_bytes()).collect();
    let (again, rejects) = process(&records, Limits::default());
    assert_eq!((rows(again.iter()), rejects.len()), (expected.clone(), 0));

    let (directory, file) = (tempfile::tempdir().unwrap(), letters.join("\n"));
    assert_eq!(run(directory.path(), "plain", file.as_bytes()), expected);
    assert_eq!(run(directory.path(), "gzip", &gzip(file.as_bytes())), expected);
    assert_eq!(run(directory.path(), "zstd", &zstd::encode_all(file.as_bytes(), 1).unwrap()), expected);
}

#[tokio::test]
async fn what_cannot_be_read_still_is_the_same_letter_again() {
    let no_message =
        br#"{"messageType":"DATA_MESSAGE","logGroup":"g","logStream":"s","logEvents":[{"id":"1","timestamp":2},7]}"#;
    let no_model = envelope("bad", &[r#"{"schemaType":"ModelInvocationLog"}"#.to_owned()]);
    let payloads = [b"\x00\xffgarbage".to_vec(), b"{\"cut".to_vec(), gzip(no_message), no_model];
    let (_, rejects) = process(&payloads, Limits::default());
    assert_eq!(rejects.len(), 5);
    let known = |letters: &[String]| -> Vec<Value> {
        let known = |letter: &String| {
            let mut letter: Value = serde_json::from_str(letter).unwrap();
            letter.as_object_mut().unwrap().remove("time").unwrap();
            letter
        };
        letters.iter().map(known).collect()
    };
    let first = letters(Lines::default(), &rejects).await;
    let records: Vec<_> = first.iter().map(|letter| letter.clone().into_bytes()).collect();
    let (delivered, rejects) = process(&records, Limits::default());
    assert_eq!(delivered.len(), 0);
    assert_eq!(known(&letters(Lines::default(), &rejects).await), known(&first));
}
