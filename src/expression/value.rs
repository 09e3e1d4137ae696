//! Values: JSON as CEL's interpreter takes it, as far as it is needed. Texts without escapes are borrowed.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use cel::common::types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString};
use cel::common::value::Val;

use super::needs::Needs;
use super::variables::Names;
use crate::json::{Cursor, JsonError, Kind, unescape};

/// A value that may borrow from the event.
pub(super) type Boxed<'v> = Box<dyn Val + 'v>;

/// The members of an object.
pub(super) type Members<'v> = HashMap<CelMapKey<'v>, Boxed<'v>>;

/// Values that are built for one event. A batch of embeddings has 150,000; each takes about a hundred bytes.
const MAX_VALUES: usize = 1 << 18;

/// Nesting that is followed: the deepest record, and the members of the view around it.
const MAX_DEPTH: usize = crate::json::MAX_DEPTH + 16;

/// Builds the values of one event, and counts them.
pub(super) struct Builder {
    left: usize,
    pub(super) names: Names,
    /// Bytes of the texts that were built.
    pub(super) bytes: usize,
}

/// The event is too large or too deep to be built, or no JSON.
#[derive(Debug)]
pub(crate) struct Unbuilt;

impl From<JsonError> for Unbuilt {
    fn from(_: JsonError) -> Self {
        Self
    }
}

impl Builder {
    pub(super) fn new(names: Names) -> Self {
        Self { left: MAX_VALUES, names, bytes: 0 }
    }

    /// A JSON value.
    ///
    /// # Errors
    /// It is over a limit, or no JSON.
    pub(super) fn json<'v>(&mut self, json: &'v str, needs: &Needs) -> Result<Boxed<'v>, Unbuilt> {
        self.value(json, &mut Cursor::new(json.as_bytes(), 0), needs, MAX_DEPTH)
    }

    /// A text that may have JSON's escapes.
    ///
    /// # Errors
    /// There are too many values.
    pub(super) fn text<'v>(&mut self, escaped: &'v str) -> Result<Boxed<'v>, Unbuilt> {
        self.count(escaped.len())?;
        Ok(Box::new(CelString::from(unescape(escaped))))
    }

    /// A whole number.
    ///
    /// # Errors
    /// There are too many values.
    pub(super) fn integer<'v>(&mut self, value: i64) -> Result<Boxed<'v>, Unbuilt> {
        self.count(0)?;
        Ok(Box::new(CelInt::from(value)))
    }

    fn count(&mut self, bytes: usize) -> Result<(), Unbuilt> {
        self.left = self.left.checked_sub(1).ok_or(Unbuilt)?;
        self.bytes += bytes;
        Ok(())
    }

    fn value<'v>(
        &mut self,
        json: &'v str,
        cursor: &mut Cursor<'v>,
        needs: &Needs,
        depth: usize,
    ) -> Result<Boxed<'v>, Unbuilt> {
        let depth = depth.checked_sub(1).ok_or(Unbuilt)?;
        self.count(0)?;
        match Kind::of(cursor.peek().ok_or(Unbuilt)?) {
            Kind::Object => {
                let mut members = HashMap::new();
                self.members(json, cursor, needs, depth, &mut members)?;
                Ok(object(members, needs))
            }
            Kind::Array if needs.is_whole() => {
                let mut elements = Vec::new();
                cursor.array(|cursor| {
                    elements.push(self.value(json, cursor, needs, depth)?);
                    Ok::<_, Unbuilt>(())
                })?;
                Ok(Box::new(CelList::from(elements)))
            }
            // Nobody looks into it: members are asked for, and it has none.
            Kind::Array => {
                cursor.value(crate::json::MAX_DEPTH)?;
                Ok(Box::new(CelList::from(Vec::new())))
            }
            Kind::String => {
                let span = cursor.string()?;
                let text = json.get(span).filter(|_| needs.is_whole()).unwrap_or_default();
                self.bytes += text.len();
                Ok(Box::new(CelString::from(unescape(text))))
            }
            kind => {
                let span = cursor.value(1)?;
                Ok(scalar(kind, json.get(span).unwrap_or_default()))
            }
        }
    }

    /// The members of an object.
    fn members<'v>(
        &mut self,
        json: &'v str,
        cursor: &mut Cursor<'v>,
        needs: &Needs,
        depth: usize,
        members: &mut Members<'v>,
    ) -> Result<(), Unbuilt> {
        cursor.object(|cursor, key| {
            let key = unescape(json.get(key).unwrap_or_default());
            let start = cursor.clone();
            let mut is_read = false;
            for (name, needs) in needs.asked_as(&key, self.names) {
                *cursor = start.clone();
                let value = self.value(json, cursor, needs, depth)?;
                is_read = true;
                // The exact name wins over one that differs in case, wherever they stand.
                let is_exact = name == key;
                let slot = members.entry(CelMapKey::String(CelString::from(name.to_owned())));
                match slot {
                    Entry::Occupied(mut slot) if is_exact => drop(slot.insert(value)),
                    Entry::Occupied(_) => {}
                    Entry::Vacant(slot) => drop(slot.insert(value)),
                }
            }
            if !is_read {
                cursor.value(crate::json::MAX_DEPTH)?;
            }
            Ok(())
        })
    }

    /// Adds the members of a JSON object to those of another one.
    ///
    /// # Errors
    /// They are over a limit, or no JSON.
    pub(super) fn add<'v>(&mut self, json: &'v str, needs: &Needs, members: &mut Members<'v>) -> Result<(), Unbuilt> {
        self.members(json, &mut Cursor::new(json.as_bytes(), 0), needs, MAX_DEPTH, members)
    }
}

/// An object, with null for each member that is looked at and not there.
pub(super) fn object<'v>(mut members: Members<'v>, needs: &Needs) -> Boxed<'v> {
    for (name, needs) in needs.expected() {
        members.entry(CelMapKey::from(name.to_owned())).or_insert_with(|| match needs.is_whole() {
            true => Box::new(CelNull),
            false => object(HashMap::new(), needs),
        });
    }
    Box::new(CelMap::from(members))
}

/// A whole number that fits is an `int`, any other number a `double`.
fn scalar<'v>(kind: Kind, text: &str) -> Boxed<'v> {
    match kind {
        Kind::Null => Box::new(CelNull),
        Kind::Bool => Box::new(CelBool::from(text == "true")),
        _ => match text.parse::<i64>() {
            Ok(integer) => Box::new(CelInt::from(integer)),
            Err(_) => Box::new(CelDouble::from(text.parse::<f64>().unwrap_or(f64::NAN))),
        },
    }
}
