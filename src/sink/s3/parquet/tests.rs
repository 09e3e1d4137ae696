use std::collections::BTreeMap;

use ::parquet::file::metadata::RowGroupMetaData;
use ::parquet::file::reader::{FileReader as _, SerializedFileReader};
use ::parquet::record::Field;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::format::Format;
use crate::format::samples::each_line;

type Cells = BTreeMap<String, Field>;

fn reader(file: Vec<u8>) -> SerializedFileReader<Bytes> {
    SerializedFileReader::new(Bytes::from(file)).unwrap()
}

/// The cells of a file's rows, as the crate's own reader finds them; those that are null left out.
fn cells(file: Vec<u8>) -> Vec<Cells> {
    let row = |row: ::parquet::record::Row| {
        let cells = row.get_column_iter().map(|(name, field)| (name.clone(), field.clone()));
        cells.filter(|(_, field)| *field != Field::Null).collect()
    };
    reader(file).get_row_iter(None).unwrap().map(|read| row(read.unwrap())).collect()
}

/// The cells that a row should become.
fn expected(row: &Value) -> Cells {
    let cell = |(name, value): (&String, &Value)| {
        let column = COLUMNS.iter().find(|column| column.name == name).unwrap();
        let text = || value.as_str().unwrap();
        let field = match column.kind {
            Kind::Text | Kind::Json => Field::Str(text().to_owned()),
            Kind::Integer => Field::Long(value.as_i64().unwrap()),
            Kind::Float => Field::Double(value.as_f64().unwrap()),
            Kind::Boolean => Field::Bool(value.as_bool().unwrap()),
            Kind::Timestamp => Field::TimestampMillis(text().parse::<jiff::Timestamp>().unwrap().as_millisecond()),
            Kind::Date => {
                let midnight: jiff::Timestamp = format!("{}T00:00:00Z", text()).parse().unwrap();
                Field::Date(i32::try_from(midnight.as_second() / 86_400).unwrap())
            }
        };
        (name.clone(), field)
    };
    row.as_object().unwrap().iter().map(cell).collect()
}

fn file_of(rows: &[Value]) -> Result<Vec<u8>, ParquetError> {
    let lines: Vec<_> = rows.iter().map(|row| format!("{row}\n")).collect();
    encode(lines.iter().map(String::as_bytes))
}

fn check(rows: &[Value]) {
    let mut sorted: Vec<_> = rows.iter().collect();
    sorted.sort_by_key(|row| (row["event_time"].as_str().unwrap(), row["event_id"].as_str().unwrap()));
    let expected: Vec<_> = sorted.into_iter().map(expected).collect();
    let found = cells(file_of(rows).unwrap());
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
}

/// A row with what every row has.
fn row(id: &str, time: &str, others: Value) -> Value {
    let mut row = json!({
        "event_id": id, "event_time": time, "event_date": &time[..10], "account_id": "1", "model_id": "m", "model": "m",
        "source": "file", "parse_time": "2026-11-22T08:00:00.001Z"
    });
    row.as_object_mut().unwrap().extend(others.as_object().unwrap().clone());
    row
}

const TIME: &str = "2026-11-20T10:00:00.000Z";

#[test]
fn every_sample_comes_back() {
    let mut rows = Vec::new();
    each_line(Format::Flat, |line| rows.push(line.clone()));
    assert!(rows.len() > 300);
    check(&rows);
    let used = |column: &&Column| rows.iter().any(|row| row.get(column.name).is_some());
    assert!(COLUMNS.iter().filter(used).count() > 60, "the samples fill few columns");
}

#[test]
fn odd_rows_come_back() {
    check(&[]);
    check(&[row("", "0000-01-01T00:00:00.000Z", json!({ "price_date": "9999-12-30" }))]);
    check(&[
        row("b", TIME, json!({ "prompt_text": "", "cost_usd": -0.0, "top_k": i64::MIN, "streamed": false })),
        row("a", TIME, json!({ "prompt_text": "\u{0}\u{7f}\"\\\n\u{1f600}é", "cost_usd": 5e-324, "top_k": i64::MAX })),
        row("c", "1969-12-31T23:59:59.999Z", json!({ "streamed": true })),
    ]);
    check(&[row("a", TIME, json!({ "prompt_text": "é\n".repeat((4 << 20) / 3) })), row("b", TIME, json!({}))]);
}

#[test]
fn a_surrogate_without_its_partner_is_kept_as_its_escape() {
    let line = row("a", TIME, json!({ "answer_text": "?" })).to_string().replace('?', "x\\ud83dy");
    let found = cells(encode([line.as_bytes()].into_iter()).unwrap());
    assert_eq!(found[0]["answer_text"], Field::Str("x\\ud83dy".to_owned()));
}

#[test]
fn the_file_says_how_it_is_made() {
    let rows: Vec<_> =
        (0..50).map(|n| row(&format!("{n:02}"), TIME, json!({ "input_tokens": n, "model": "m" }))).collect();
    let reader = reader(file_of(&rows).unwrap());
    let metadata = reader.metadata();
    let file = metadata.file_metadata();
    assert_eq!(file.created_by(), Some(concat!("bedrock-tap version ", env!("CARGO_PKG_VERSION"))));
    for (column, field) in COLUMNS.iter().zip(file.schema().get_fields()) {
        let (name, optional) = (field.name(), field.is_optional());
        assert_eq!((name, optional), (column.name, !column.required));
        let types = match (field.get_physical_type(), field.get_basic_info().logical_type_ref()) {
            (physical, None) => physical.to_string(),
            (physical, Some(LogicalType::String)) => format!("{physical} (STRING)"),
            (physical, Some(LogicalType::Date)) => format!("{physical} (DATE)"),
            (physical, Some(logical)) => {
                assert_eq!(*logical, LogicalType::timestamp(true, TimeUnit::MILLIS));
                format!("{physical} (TIMESTAMP(MILLIS, UTC))")
            }
        };
        assert_eq!(types, column.kind.parquet(), "{name}");
    }
    assert_eq!(file.schema().get_fields().len(), COLUMNS.len());
    let group = metadata.row_group(0);
    let sorted: Vec<_> =
        group.sorting_columns().unwrap().iter().map(|by| COLUMNS[by.column_idx as usize].name).collect();
    assert_eq!(sorted, ["event_time", "event_id"]);
    for (column, chunk) in COLUMNS.iter().zip(group.columns()) {
        let statistics = chunk.statistics().unwrap();
        let values = if column.required || column.name == "input_tokens" { 50 } else { 0 };
        assert_eq!(statistics.null_count_opt(), Some(50 - values), "{}", column.name);
        assert_eq!(statistics.min_bytes_opt().is_some(), values > 0, "{}", column.name);
        assert!(matches!(chunk.compression(), Compression::ZSTD(_)));
        let has_dictionary = chunk.dictionary_page_offset().is_some();
        let wants_dictionary = !WITHOUT_DICTIONARY.contains(&column.name) && column.kind != Kind::Boolean;
        assert!(values == 0 || has_dictionary == wants_dictionary, "{}", column.name);
    }
    assert!(WITHOUT_DICTIONARY.iter().all(|name| COLUMNS.iter().any(|column| column.name == *name)));
}

#[test]
fn row_groups_are_bounded_and_follow_one_another_in_time() {
    let text = "x".repeat(10 << 20);
    let rows: Vec<_> = (0..8).rev().map(|n| row(&n.to_string(), TIME, json!({ "prompt_text": &text }))).collect();
    let reader = reader(file_of(&rows).unwrap());
    let rows: Vec<_> = reader.metadata().row_groups().iter().map(RowGroupMetaData::num_rows).collect();
    assert_eq!(rows, [3, 3, 2]);
    let ids =
        reader.get_row_iter(None).unwrap().map(|row| row.unwrap().get_column_iter().next().unwrap().1.to_string());
    assert_eq!(ids.collect::<String>(), r#""0""1""2""3""4""5""6""7""#);
}

#[test]
fn what_is_no_row_is_refused_and_told_by_its_column() {
    let good = row("a", TIME, json!({ "input_tokens": 1 })).to_string();
    let check = |line: &str, expected: &str| {
        let lines = [good.as_bytes(), line.as_bytes()];
        let error = encode(lines.into_iter()).unwrap_err().to_string();
        assert_eq!(error, format!("line 1 is no row of the flat format: {expected}"), "{line}");
    };
    let with = |name: &str, value: &str| good.replace("\"input_tokens\":1", &format!("\"{name}\":{value}"));
    let changed = |from: &str, to: &str| {
        assert!(good.contains(from));
        good.replace(from, to)
    };
    check(&with("secret", "1"), "a member that is no column");
    check(&with("input_tokens", "\"1\""), "input_tokens: expected a number, found a string");
    check(&with("input_tokens", "1.0"), "input_tokens: no BIGINT");
    check(&with("input_tokens", "9223372036854775808"), "input_tokens: no BIGINT");
    check(&with("input_tokens", "null"), "input_tokens: expected a number, found null");
    check(&with("input_tokens", "1,\"input_tokens\":1"), "input_tokens: there twice");
    check(&with("cost_usd", "1e999"), "cost_usd: no DOUBLE");
    check(&with("streamed", "1"), "streamed: expected a boolean, found a number");
    check(&with("tools_called", "[]"), "tools_called: expected a string, found an array");
    check(&with("price_date", "\"2026-02-30\""), "price_date: no DATE");
    check(&with("event_time", "\"2026-11-20T10:00:00.000Z\""), "event_time: there twice");
    check(&changed(TIME, "secret"), "event_time: no time");
    check(&changed("\"model\":\"m\",", ""), "model: missing");
    check(&changed("\"event_id\":\"a\",", ""), "event_id: missing");
    check(&changed("\"event_id\":\"a\"", "\"event_id\":1"), "event_id: expected a string at byte 55");
    check(&format!("{good}{good}"), "more than one object");
    check("", "expected an object at byte 0");
    check("[]", "expected an object at byte 0");
    check("{", "expected a string at byte 1");
    let error = encode([b"{\"\xff\":1}".as_slice()].into_iter()).unwrap_err();
    assert_eq!(error.to_string(), "line 0 is no row of the flat format: not UTF-8");
}

fn value(kind: Kind) -> BoxedStrategy<Value> {
    // Unix seconds of the years 0 to 9999, and milliseconds.
    let time = (-62_167_219_200i64..253_370_764_800, 0..1000i32)
        .prop_map(|(second, milli)| jiff::Timestamp::new(second, milli * 1_000_000).unwrap());
    let time = (-100_000_000_000i64..200_000_000_000_000)
        .prop_map(|ms| jiff::Timestamp::from_millisecond(ms).unwrap())
        .boxed()
        .prop_union(time.boxed());
    match kind {
        Kind::Text | Kind::Json => {
            prop_oneof![".{0,20}", "(\\PC|\n|\"|\\\\){0,200}", Just("same".to_owned())].prop_map(Value::from).boxed()
        }
        Kind::Integer => prop_oneof![any::<i64>(), 0i64..50].prop_map(Value::from).boxed(),
        Kind::Float => any::<f64>()
            .prop_filter("JSON has finite ones only", |value| value.is_finite())
            .prop_map(Value::from)
            .boxed(),
        Kind::Boolean => any::<bool>().prop_map(Value::from).boxed(),
        Kind::Timestamp => time.prop_map(|time| Value::from(format!("{time:.3}"))).boxed(),
        Kind::Date => time.prop_map(|time| Value::from(format!("{time:.3}")[..10].to_owned())).boxed(),
    }
}

fn any_row() -> impl Strategy<Value = Value> {
    let column = |column: &'static Column| {
        let name = column.name;
        let value = value(column.kind).prop_map(move |value| Some((name.to_owned(), value)));
        if column.required { value.boxed() } else { prop_oneof![Just(None), value].boxed() }
    };
    let cells: Vec<_> = COLUMNS.iter().map(column).collect();
    cells.prop_map(|cells| Value::Object(cells.into_iter().flatten().collect::<Map<_, _>>()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, ..ProptestConfig::default() })]

    #[test]
    fn any_rows_come_back(rows in proptest::collection::vec(any_row(), 0..20)) {
        check(&rows);
    }

    #[test]
    fn nothing_panics(at in any::<prop::sample::Index>(), byte: u8, cut in any::<bool>()) {
        let mut line = row("a", TIME, json!({ "prompt_text": "\u{e9}\n", "cost_usd": 1.5, "streamed": true })).to_string().into_bytes();
        let at = at.index(line.len());
        if cut { line.truncate(at) } else { line[at] = byte }
        let _ = encode([line.as_slice()].into_iter());
    }
}
