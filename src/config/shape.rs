//! The shape of the file, as JSON Schema: made from the types and their doc comments, printed for editors, and what a
//! document is compared with.

use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use super::Config;
use super::document::KeyPath;

/// The shape of a configuration file.
pub(super) struct Shape {
    schema: Value,
}

/// A part of the schema; its references are followed.
#[derive(Clone, Copy)]
pub(super) struct Node<'s> {
    shape: &'s Shape,
    value: &'s Value,
}

/// Makes a schema read well in an editor: TOML has no null, doc comments are wrapped, and the widths of our integers
/// are no formats of JSON Schema.
fn polish(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else { return };
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            object.insert("type".into(), only);
        }
    }
    if let Some(Value::Array(choices)) = object.get_mut("anyOf") {
        choices.retain(|choice| choice.get("type") != Some(&json!("null")));
        if let [Value::Object(only)] = choices.as_slice() {
            let only = only.clone();
            object.remove("anyOf");
            for (key, value) in only {
                object.entry(key).or_insert(value);
            }
        }
    }
    if let Some(Value::String(text)) = object.get_mut("description") {
        *text = text.replace("\n\n", "\u{0}").replace('\n', " ").replace('\u{0}', "\n\n");
    }
    if object.get("format").and_then(Value::as_str).is_some_and(|format| format.starts_with("uint")) {
        object.remove("format");
    }
}

impl Shape {
    /// The shape of [`Config`].
    pub(super) fn of_config() -> Self {
        Self::of::<Config>("bedrock-tap configuration")
    }

    /// The shape of a file that holds a `T`.
    pub(super) fn of<T: JsonSchema>(title: &str) -> Self {
        let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>();
        RecursiveTransform(polish).transform(&mut schema);
        schema.insert("title".into(), json!(title));
        Self { schema: schema.to_value() }
    }

    /// The schema.
    pub(super) fn into_schema(self) -> Value {
        self.schema
    }

    /// The whole document's part.
    pub(super) fn root(&self) -> Node<'_> {
        Node { shape: self, value: &self.schema }
    }
}

impl<'s> Node<'s> {
    /// A keyword of this part, or of what it refers to.
    pub(super) fn get(self, keyword: &str) -> Option<&'s Value> {
        let mut value = self.value;
        loop {
            if let Some(found) = value.get(keyword) {
                return Some(found);
            }
            let name = value.get("$ref")?.as_str()?.strip_prefix("#/$defs/")?;
            value = self.shape.schema.get("$defs")?.get(name)?;
        }
    }

    /// Another part of the same schema.
    pub(super) fn at(self, value: &'s Value) -> Self {
        Self { value, ..self }
    }

    /// The kinds of a table that holds exactly one of several.
    pub(super) fn kinds(self) -> Option<Map<String, Value>> {
        let mut kinds = Map::new();
        for choice in self.get("oneOf")?.as_array()? {
            kinds.extend(choice.get("properties")?.as_object()?.clone());
        }
        Some(kinds)
    }

    /// The part of one kind.
    pub(super) fn kind(self, name: &str) -> Option<Self> {
        let choices = self.get("oneOf")?.as_array()?;
        choices.iter().find_map(|choice| choice.get("properties")?.get(name)).map(|value| self.at(value))
    }

    /// The part of a key in this table.
    pub(super) fn child(self, key: &str) -> Option<Self> {
        let property = self.get("properties").and_then(|properties| properties.get(key));
        let value = property.or_else(|| self.get("additionalProperties").filter(|value| value.is_object()));
        value.map(|value| self.at(value)).or_else(|| self.kind(key))
    }

    /// Whether a value of this part is a string.
    pub(super) fn is_text(self) -> bool {
        self.get("type") == Some(&json!("string")) || self.choices().is_some() || self.get("anyOf").is_some()
    }

    /// The strings that are allowed, if they are few.
    pub(super) fn choices(self) -> Option<Vec<&'s str>> {
        self.get("oneOf")?.as_array()?.iter().map(|choice| choice.get("const")?.as_str()).collect()
    }

    /// The keys that may stand in this table.
    pub(super) fn keys(self) -> Vec<String> {
        let properties = self.get("properties").and_then(Value::as_object).cloned();
        properties.or_else(|| self.kinds()).unwrap_or_default().keys().cloned().collect()
    }

    /// The paths of all keys of the file that are called `name`.
    pub(super) fn places_of(self, name: &str) -> Vec<String> {
        let mut found = Vec::new();
        self.shape.root().search(name, &KeyPath::default(), &mut found);
        found
    }

    fn search(self, name: &str, at: &KeyPath, found: &mut Vec<String>) {
        for key in self.keys() {
            let path = at.key(&key);
            if key == name {
                found.push(path.to_string());
            }
            if let Some(child) = self.child(&key) {
                child.search(name, &path, found);
            }
        }
        if let Some(any) = self.get("additionalProperties").filter(|value| value.is_object()) {
            self.at(any).search(name, &at.key("NAME"), found);
        }
    }

    /// Whether the schema says that a value is of `kind`.
    pub(super) fn is(self, kind: &str) -> bool {
        self.get("type").and_then(Value::as_str) == Some(kind)
    }

    /// Whether a value of this part is a table.
    pub(super) fn is_table(self) -> bool {
        self.is("object") || self.kinds().is_some()
    }

    /// The type of a value of this part, as JSON Schema names it.
    pub(super) fn type_name(self) -> &'s str {
        self.get("type").and_then(Value::as_str).unwrap_or("value")
    }

    /// The smallest and the largest number.
    pub(super) fn bounds(self) -> Option<String> {
        Some(format!("{} to {}", self.get("minimum")?, self.get("maximum")?))
    }

    /// The headers of the kinds below a table, such as `[source.file], [source.kinesis]`.
    pub(super) fn tables_below(self, path: &KeyPath) -> String {
        self.keys().iter().map(|kind| format!("[{}]", path.key(kind))).collect::<Vec<_>>().join(", ")
    }

    /// The first sentence of the key's documentation.
    pub(super) fn purpose(self) -> String {
        let text = self.get("description").and_then(Value::as_str).unwrap_or_default();
        text.split_inclusive(". ").next().unwrap_or_default().trim_end().trim_end_matches('.').to_owned()
    }
}
