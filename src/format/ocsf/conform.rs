//! A check of OCSF's events, for tests: against what a text beside them says of a class and its objects. Of each object the
//! attributes that are written stand there, one a line, with type, requirement (R required, r recommended, - optional)
//! and, where there is one, the set of values. The first paragraph says where that comes from.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// An object's description.
#[derive(Debug, Default)]
struct Shape {
    one_of: Vec<&'static str>,
    attributes: BTreeMap<&'static str, Attribute>,
}

#[derive(Debug)]
struct Attribute {
    kind: &'static str,
    required: bool,
    values: Vec<i64>,
}

fn shapes(description: &'static str) -> BTreeMap<&'static str, Shape> {
    let mut shapes = BTreeMap::new();
    for paragraph in description.split("\n\n").skip(1) {
        let mut lines = paragraph.lines();
        let mut head = lines.next().unwrap().split(' ');
        let name = head.next().unwrap();
        let mut shape = Shape { one_of: head.skip(1).collect(), ..Shape::default() };
        for attribute in lines {
            let words: Vec<_> = attribute.split(' ').collect();
            assert!(matches!(words[2], "R" | "r" | "-"), "{attribute}");
            let values = words[3..].iter().map(|value| value.parse().unwrap()).collect();
            let attribute = Attribute { kind: words[1], required: words[2] == "R", values };
            assert!(shape.attributes.insert(words[0], attribute).is_none(), "{name}.{}", words[0]);
        }
        assert!(shapes.insert(name, shape).is_none(), "{name}");
    }
    shapes
}

/// What is wrong with an event of a class, by the attributes' paths.
pub(crate) fn faults(description: &'static str, class: &str, event: &Value) -> Vec<String> {
    object_faults(&shapes(description), class, event.as_object().unwrap(), "")
}

fn object_faults(schema: &BTreeMap<&str, Shape>, name: &str, object: &Map<String, Value>, path: &str) -> Vec<String> {
    let shape = schema.get(name).unwrap_or_else(|| panic!("no description of {name}"));
    let mut faults = Vec::new();
    for (key, attribute) in &shape.attributes {
        if attribute.required && !object.contains_key(*key) {
            faults.push(format!("{path}.{key} is missing"));
        }
    }
    if !shape.one_of.is_empty() && !shape.one_of.iter().any(|key| object.contains_key(*key)) {
        faults.push(format!("{path} has none of {:?}", shape.one_of));
    }
    for (key, value) in object {
        let path = format!("{path}.{key}");
        let Some(attribute) = shape.attributes.get(key.as_str()) else {
            faults.push(format!("{path} is unknown"));
            continue;
        };
        let values = &attribute.values;
        if !values.is_empty() && !value.as_i64().is_some_and(|value| values.contains(&value)) {
            faults.push(format!("{path} is none of {values:?}"));
        }
        let (kind, elements) = match (attribute.kind.strip_suffix("[]"), value) {
            (Some(kind), Value::Array(elements)) => (kind, elements.iter().collect()),
            (Some(kind), _) => (kind, vec![&Value::Null]),
            (None, value) => (attribute.kind, vec![value]),
        };
        for element in elements {
            let fits = match (kind, element) {
                ("string", Value::String(text)) => !text.is_empty() || key == "original_time",
                ("integer", element) => element.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
                ("long", element) => element.as_i64().is_some(),
                ("boolean", Value::Bool(_)) | ("object", Value::Object(_)) => true,
                (kind, Value::Object(object)) => {
                    faults.extend(object_faults(schema, kind, object, &path));
                    true
                }
                _ => false,
            };
            if !fits {
                faults.push(format!("{path} is no {kind}: {element}"));
            }
        }
    }
    faults
}
