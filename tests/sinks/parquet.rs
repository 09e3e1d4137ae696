//! Parquet files as other implementations read them. `BEDROCK_TAP_TEST_PYTHON` names a Python that has pyarrow and
//! duckdb; without it the test is skipped, unless `BEDROCK_TAP_TEST_REQUIRE` names them.

use std::path::Path;
use std::process::Command;

use bedrock_tap::format::Format;
use bedrock_tap::format::flat::{COLUMNS, Kind};
use bedrock_tap::generator::{Generator, Profile};
use bedrock_tap::pipeline::{Line, Parcel, Settings};
use bedrock_tap::record::{Origin, Record};
use bedrock_tap::sink::s3::parquet::encode;
use serde_json::{Map, Value};

/// The lines that the flat format makes of generated traffic.
fn lines() -> Vec<String> {
    let mut line = Line::new(Settings { outputs: vec![Format::Flat.into()], ..Settings::default() });
    let mut parcel = Parcel::default();
    let mut generator = Generator::new(3, Profile::demo());
    for offset in 0..300 {
        let origin = Origin::File { path: "généré \u{1f4c4}.gz".into(), offset };
        let record = Record::new(generator.record().data.into(), origin);
        line.process(&record, "2026-11-22T08:00:00.001Z".parse().unwrap(), &mut parcel);
    }
    assert_eq!(parcel.rejects.len(), 0);
    parcel.outputs[0].iter().map(|line| String::from_utf8(line.to_vec()).unwrap()).collect()
}

/// What a library calls the type of a column.
fn type_of(library: &str, kind: Kind) -> &'static str {
    let (pyarrow, duckdb) = match kind {
        Kind::Text | Kind::Json => ("string", "VARCHAR"),
        Kind::Integer => ("int64", "BIGINT"),
        Kind::Float => ("double", "DOUBLE"),
        Kind::Boolean => ("bool", "BOOLEAN"),
        Kind::Timestamp => ("timestamp[ms, tz=UTC]", "TIMESTAMP WITH TIME ZONE"),
        Kind::Date => ("date32[day]", "DATE"),
    };
    if library == "pyarrow" { pyarrow } else { duckdb }
}

fn check(python: &str, library: &str, file: &Path, expected: &[Value]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sinks/read_parquet.py");
    let output = Command::new(python).arg(script).arg(library).arg(file).output().unwrap();
    assert!(output.status.success(), "{library}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut found = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let types: Map<_, _> =
        COLUMNS.iter().map(|column| (column.name.to_owned(), type_of(library, column.kind).into())).collect();
    assert_eq!(found.next(), Some(types.into()), "{library}");
    let found: Vec<_> = found.collect();
    assert_eq!(found.len(), expected.len(), "{library}");
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found, expected, "{library}");
    }
}

#[test]
fn other_implementations_read_every_value() {
    let Ok(python) = std::env::var("BEDROCK_TAP_TEST_PYTHON") else {
        let required = std::env::var("BEDROCK_TAP_TEST_REQUIRE").unwrap_or_default();
        assert!(!required.contains("pyarrow"), "BEDROCK_TAP_TEST_PYTHON names no Python with pyarrow and duckdb");
        return eprintln!("skipped: BEDROCK_TAP_TEST_PYTHON names no Python with pyarrow and duckdb");
    };
    let lines = lines();
    let mut expected: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(expected.len() > 300, "{} lines", expected.len());
    expected.sort_by_key(|row| ["event_time", "event_id"].map(|name| row[name].as_str().unwrap().to_owned()));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("events.parquet");
    std::fs::write(&file, encode(lines.iter().map(String::as_bytes)).unwrap()).unwrap();
    for library in ["pyarrow", "duckdb"] {
        check(&python, library, &file, &expected);
    }
}
