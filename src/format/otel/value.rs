//! A value: OTLP's `AnyValue` in the JSON of OTLP (source: opentelemetry-proto, "JSON Protobuf Encoding"): whole numbers
//! are strings, and maps are lists of keys and values.

use crate::body::Text;
use crate::format::object::{Array, Object};
use crate::invocation::{JsonStr, RawJson};
use crate::json::{Cursor, JsonError, Kind};

/// JSON that is nested deeper stands as text. Each level is up to three messages of Protobuf, of which the usual
/// decoders follow a hundred, and a third of them may be passed before the JSON begins.
const MAX_DEPTH: usize = 20;

/// A place for one value. A place that nothing is written to is null.
pub(super) struct Any<'m, 'a>(pub(super) &'m mut Object<'a>);

impl Any<'_, '_> {
    pub(super) fn text(self, value: &str) {
        self.0.text("stringValue", value);
    }

    pub(super) fn said(self, value: &Text<'_>) {
        self.0.said("stringValue", Some(value));
    }

    pub(super) fn integer(self, value: i64) {
        self.0.text("intValue", &value.to_string());
    }

    pub(super) fn list(self, fill: impl FnOnce(&mut List<'_, '_>)) {
        self.0.object("arrayValue", |object| object.array("values", |array| fill(&mut List(array))));
    }

    pub(super) fn map(self, fill: impl FnOnce(&mut Map<'_, '_>)) {
        self.0.object("kvlistValue", |object| object.array("values", |array| fill(&mut Map(array))));
    }

    /// Any JSON, structured.
    pub(super) fn json(self, json: RawJson<'_>) {
        let mut cursor = Cursor::new(json.0.as_bytes(), 0);
        // Bodies were validated; of what is no JSON, the part before the fault stands here.
        let _ = self.walk(json.0, &mut cursor, MAX_DEPTH);
    }

    /// Text that may hold JSON: structured if it does, and as it is if not.
    pub(super) fn json_or_text(self, text: &Text<'_>) {
        let decoded = text.decode();
        let mut cursor = Cursor::new(decoded.as_bytes(), 0);
        match cursor.value(crate::json::MAX_DEPTH) {
            Ok(_) if cursor.peek().is_none() => self.json(RawJson(&decoded)),
            _ => self.said(text),
        }
    }

    fn walk(self, source: &str, cursor: &mut Cursor<'_>, depth: usize) -> Result<(), JsonError> {
        let kind = cursor.peek().map_or(Kind::Null, Kind::of);
        let mut result = Ok(());
        match kind {
            Kind::Object if depth > 0 => self.map(|map| {
                result = cursor.object(|cursor, key| {
                    let mut member = Ok(());
                    let key = JsonStr(source.get(key).unwrap_or_default());
                    map.at(
                        |object| object.string("key", Some(key)),
                        |any| member = any.walk(source, cursor, depth - 1),
                    );
                    member
                });
            }),
            Kind::Array if depth > 0 => self.list(|list| {
                result = cursor.array(|cursor| {
                    let mut element = Ok(());
                    list.push(|any| element = any.walk(source, cursor, depth - 1));
                    element
                });
            }),
            _ => {
                let span = cursor.value(crate::json::MAX_DEPTH)?;
                self.scalar(kind, source.get(span).unwrap_or_default());
            }
        }
        result
    }

    /// A value that holds no others, or is nested too deep.
    fn scalar(self, kind: Kind, text: &str) {
        match kind {
            Kind::String => {
                let content = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
                self.0.string("stringValue", content.map(JsonStr));
            }
            Kind::Bool => self.0.boolean("boolValue", Some(text == "true")),
            Kind::Number => match (text.parse::<i64>(), text.parse::<f64>()) {
                (Ok(whole), _) => self.integer(whole),
                (_, Ok(float)) if float.is_finite() => self.0.float("doubleValue", Some(float)),
                _ => self.text(text),
            },
            Kind::Null => {}
            Kind::Object | Kind::Array => self.text(text),
        }
    }
}

/// The elements of a list.
pub(super) struct List<'m, 'a>(&'m mut Array<'a>);

impl List<'_, '_> {
    pub(super) fn push(&mut self, fill: impl FnOnce(Any<'_, '_>)) {
        self.0.object(|object| fill(Any(object)));
    }
}

/// The members of a map, or the attributes of a log record.
pub(super) struct Map<'m, 'a>(pub(super) &'m mut Array<'a>);

impl Map<'_, '_> {
    fn at(&mut self, key: impl FnOnce(&mut Object<'_>), fill: impl FnOnce(Any<'_, '_>)) {
        self.0.object(|object| {
            key(object);
            object.object("value", |object| fill(Any(object)));
        });
    }

    pub(super) fn set(&mut self, key: &str, fill: impl FnOnce(Any<'_, '_>)) {
        self.at(|object| object.text("key", key), fill);
    }

    /// A text, left out where it is empty.
    pub(super) fn text(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            self.set(key, |any| any.text(value));
        }
    }

    /// A text of a body, left out where it is empty.
    pub(super) fn said(&mut self, key: &str, value: Option<&Text<'_>>) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            self.set(key, |any| any.said(value));
        }
    }

    /// A string of the record, left out where it is empty.
    pub(super) fn string(&mut self, key: &str, value: Option<JsonStr<'_>>) {
        self.said(key, value.map(Text::from).as_ref());
    }

    pub(super) fn integer(&mut self, key: &str, value: Option<i64>) {
        if let Some(value) = value {
            self.set(key, |any| any.integer(value));
        }
    }

    /// A number, left out where it is not finite.
    pub(super) fn float(&mut self, key: &str, value: Option<f64>) {
        if let Some(value) = value.filter(|value| value.is_finite()) {
            self.set(key, |any| any.0.float("doubleValue", Some(value)));
        }
    }

    pub(super) fn boolean(&mut self, key: &str, value: Option<bool>) {
        if let Some(value) = value {
            self.set(key, |any| any.0.boolean("boolValue", Some(value)));
        }
    }
}
