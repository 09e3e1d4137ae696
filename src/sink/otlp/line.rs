//! A line of the format `otel`, which is a whole request of OTLP's JSON, read into messages. A member that is not known
//! is a fault: what is not read would be lost.

use std::str::FromStr;

use super::message::{
    AnyValue, ArrayValue, Export, KeyValue, KeyValueList, LogRecord, Resource, ResourceLogs, Scope, ScopeLogs, Value,
};
use crate::invocation::JsonStr;
use crate::json::{Cursor, JsonError};

/// Values that are nested deeper are not read. Each level is up to three messages of Protobuf, of which the usual
/// decoders follow a hundred; the format stays below that.
const MAX_DEPTH: usize = 40;

type Read<T> = Result<T, JsonError>;

/// Reads one line.
pub(super) fn read(line: &str) -> Read<Export> {
    let (reader, mut cursor) = (Reader(line), Cursor::new(line.as_bytes(), 0));
    let mut export = Export::default();
    cursor.object(|c, key| match c.span(key) {
        b"resourceLogs" => list(c, &mut export.resource_logs, |c| reader.resource_logs(c)),
        _ => unknown(c),
    })?;
    if cursor.peek().is_some() { Err(JsonError::new(cursor.pos(), "expected the end")) } else { Ok(export) }
}

fn unknown<T>(cursor: &Cursor<'_>) -> Read<T> {
    Err(JsonError::new(cursor.pos(), "a member that is not known"))
}

fn list<'a, T>(cursor: &mut Cursor<'a>, out: &mut Vec<T>, mut one: impl FnMut(&mut Cursor<'a>) -> Read<T>) -> Read<()> {
    cursor.array(|c| {
        out.push(one(c)?);
        Ok(())
    })
}

/// Reads messages out of a line.
#[derive(Clone, Copy)]
struct Reader<'a>(&'a str);

impl<'a> Reader<'a> {
    fn resource_logs(self, cursor: &mut Cursor<'a>) -> Read<ResourceLogs> {
        let mut logs = ResourceLogs::default();
        cursor.object(|c, key| {
            match c.span(key) {
                b"resource" => logs.resource = Some(self.resource(c)?),
                b"scopeLogs" => list(c, &mut logs.scope_logs, |c| self.scope_logs(c))?,
                b"schemaUrl" => logs.schema_url = self.text(c)?,
                _ => return unknown(c),
            }
            Ok(())
        })?;
        Ok(logs)
    }

    fn resource(self, cursor: &mut Cursor<'a>) -> Read<Resource> {
        let mut resource = Resource::default();
        cursor.object(|c, key| match c.span(key) {
            b"attributes" => list(c, &mut resource.attributes, |c| self.key_value(c, MAX_DEPTH)),
            _ => unknown(c),
        })?;
        Ok(resource)
    }

    fn scope_logs(self, cursor: &mut Cursor<'a>) -> Read<ScopeLogs> {
        let mut logs = ScopeLogs::default();
        cursor.object(|c, key| {
            match c.span(key) {
                b"scope" => logs.scope = Some(self.scope(c)?),
                b"logRecords" => list(c, &mut logs.log_records, |c| self.log_record(c))?,
                b"schemaUrl" => logs.schema_url = self.text(c)?,
                _ => return unknown(c),
            }
            Ok(())
        })?;
        Ok(logs)
    }

    fn scope(self, cursor: &mut Cursor<'a>) -> Read<Scope> {
        let mut scope = Scope::default();
        cursor.object(|c, key| {
            match c.span(key) {
                b"name" => scope.name = self.text(c)?,
                b"version" => scope.version = self.text(c)?,
                _ => return unknown(c),
            }
            Ok(())
        })?;
        Ok(scope)
    }

    fn log_record(self, cursor: &mut Cursor<'a>) -> Read<LogRecord> {
        let mut record = LogRecord::default();
        cursor.object(|c, key| {
            match c.span(key) {
                b"timeUnixNano" => record.time_unix_nano = self.number(c)?,
                b"observedTimeUnixNano" => record.observed_time_unix_nano = self.number(c)?,
                b"severityNumber" => record.severity_number = self.number(c)?,
                b"severityText" => record.severity_text = self.text(c)?,
                b"eventName" => record.event_name = self.text(c)?,
                b"body" => record.body = Some(self.any(c, MAX_DEPTH)?),
                b"attributes" => list(c, &mut record.attributes, |c| self.key_value(c, MAX_DEPTH))?,
                _ => return unknown(c),
            }
            Ok(())
        })?;
        Ok(record)
    }

    fn key_value(self, cursor: &mut Cursor<'a>, depth: usize) -> Read<KeyValue> {
        let mut member = KeyValue::default();
        cursor.object(|c, key| {
            match c.span(key) {
                b"key" => member.key = self.text(c)?,
                b"value" => member.value = Some(self.any(c, depth)?),
                _ => return unknown(c),
            }
            Ok(())
        })?;
        Ok(member)
    }

    fn any(self, cursor: &mut Cursor<'a>, depth: usize) -> Read<AnyValue> {
        let mut value = None;
        cursor.object(|c, key| {
            let depth = depth.checked_sub(1).ok_or_else(|| JsonError::too_deep(c.pos()))?;
            value = Some(match c.span(key) {
                b"stringValue" => Value::Text(self.text(c)?),
                b"boolValue" => Value::Bool(self.number(c)?),
                b"intValue" => Value::Whole(self.number(c)?),
                b"doubleValue" => Value::Float(self.number(c)?),
                b"arrayValue" => Value::Array(ArrayValue { values: values(c, |c| self.any(c, depth))? }),
                b"kvlistValue" => Value::Map(KeyValueList { values: values(c, |c| self.key_value(c, depth))? }),
                _ => return unknown(c),
            });
            Ok::<_, JsonError>(())
        })?;
        Ok(AnyValue { value })
    }

    fn text(self, cursor: &mut Cursor<'a>) -> Read<String> {
        let span = cursor.string()?;
        Ok(JsonStr(self.0.get(span).unwrap_or_default()).decode().into_owned())
    }

    /// A number or a truth value; 64-bit numbers stand in quotes.
    fn number<T: FromStr>(self, cursor: &mut Cursor<'a>) -> Read<T> {
        let start = cursor.pos();
        let span = if cursor.peek() == Some(b'"') { cursor.string()? } else { cursor.value(0)? };
        let text = self.0.get(span).unwrap_or_default();
        text.parse().map_err(|_| JsonError::new(start, "expected another kind of value"))
    }
}

/// The elements of a list or the members of a map.
fn values<'a, T>(cursor: &mut Cursor<'a>, mut one: impl FnMut(&mut Cursor<'a>) -> Read<T>) -> Read<Vec<T>> {
    let mut all = Vec::new();
    cursor.object(|c, key| match c.span(key) {
        b"values" => list(c, &mut all, &mut one),
        _ => unknown(c),
    })?;
    Ok(all)
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use serde_json::json;

    use super::*;
    use crate::format::Format;
    use crate::format::samples::each_line;

    fn in_record(attribute: &str) -> String {
        format!(
            r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"timeUnixNano":"1","observedTimeUnixNano":"2","severityNumber":9,"attributes":[{{"key":"k","value":{attribute}}}]}}]}}]}}]}}"#
        )
    }

    fn value_of(attribute: &str) -> Read<AnyValue> {
        let export = read(&in_record(attribute))?;
        let mut records =
            export.resource_logs.into_iter().flat_map(|logs| logs.scope_logs).flat_map(|logs| logs.log_records);
        Ok(records.next().unwrap().attributes.remove(0).value.unwrap())
    }

    fn nested(levels: usize) -> String {
        let (open, close) = (r#"{"kvlistValue":{"values":[{"key":"k","value":"#, "}]}}");
        format!("{}{{}}{}", open.repeat(levels), close.repeat(levels))
    }

    #[test]
    fn all_that_the_format_writes_is_read_and_written_again() {
        each_line(Format::Otel, |line| {
            let export = read(&line.to_string()).unwrap_or_else(|error| panic!("{error}: {line}"));
            assert_eq!(serde_json::to_value(&export).unwrap(), *line);
            assert_eq!(Export::decode(export.encode_to_vec().as_slice()).unwrap(), export, "{line}");
        });
    }

    #[test]
    fn values_of_every_kind_are_read() {
        let check = |text: &str, expected: Option<Value>| assert_eq!(value_of(text).unwrap().value, expected, "{text}");
        check("{}", None);
        check(r#"{"stringValue":""}"#, Some(Value::Text(String::new())));
        check(r#"{"stringValue":"a\n\ud800 \ud83d\ude00"}"#, Some(Value::Text("a\n\u{fffd} 😀".into())));
        check(r#"{"boolValue":false}"#, Some(Value::Bool(false)));
        check(r#"{"intValue":"-9223372036854775808"}"#, Some(Value::Whole(i64::MIN)));
        check(r#"{"intValue":7}"#, Some(Value::Whole(7)));
        check(r#"{"doubleValue":1e-7}"#, Some(Value::Float(1e-7)));
        check(r#"{"arrayValue":{"values":[]}}"#, Some(Value::Array(ArrayValue::default())));
        check(r#"{"arrayValue":{}}"#, Some(Value::Array(ArrayValue::default())));
        assert_eq!(serde_json::to_value(value_of(r#"{"intValue":"7"}"#).unwrap()).unwrap(), json!({ "intValue": "7" }));
        assert_eq!(serde_json::to_value(value_of("{}").unwrap()).unwrap(), json!({}));
    }

    #[test]
    fn what_is_not_known_is_a_fault() {
        for text in [
            "",
            "[]",
            "{",
            r#"{"resourceLogs":[]} x"#,
            r#"{"resourceSpans":[]}"#,
            r#"{"resourceLogs":[{"resource":{"droppedAttributesCount":1}}]}"#,
            r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"traceId":"00"}]}]}]}"#,
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        for text in [
            r#"{"bytesValue":"AA=="}"#,
            r#"{"intValue":"1.5"}"#,
            r#"{"intValue":"9223372036854775808"}"#,
            r#"{"boolValue":"maybe"}"#,
            "null",
        ] {
            assert!(value_of(text).is_err(), "{text}");
        }
    }

    #[test]
    fn nesting_has_an_end() {
        assert!(value_of(&nested(MAX_DEPTH - 1)).is_ok());
        assert!(value_of(&nested(MAX_DEPTH)).is_ok());
        assert!(value_of(&nested(MAX_DEPTH + 1)).unwrap_err().too_deep);
        assert!(value_of(&nested(100_000)).unwrap_err().too_deep);
    }
}
