//! Keys: what a destination files an event under, such as a prefix of object names or a partition key, made from a
//! template that the user writes: `bedrock/date={date}/account={account}/`.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::names::with_model;
use crate::enrich::Event;
use crate::format::Tag;
use crate::invocation::JsonStr;
use crate::json::push_hex;
use crate::pipeline::Context;

/// The longest part that an event may add to a key, in bytes: what stands in a record is somebody else's.
const MAX_PART_BYTES: usize = 100;

/// What stands in the place of what is not known.
const UNKNOWN: &str = "unknown";

/// A text with places that each event fills in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Place(Place),
}

/// A place of a template, written as its name in braces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The day of the call, UTC: `2026-01-31`.
    Date,
    /// Its year.
    Year,
    /// Its month, two digits.
    Month,
    /// Its day of the month, two digits.
    Day,
    /// Its hour, two digits.
    Hour,
    /// The called account.
    Account,
    /// The called Region.
    Region,
    /// The model's name, without provider, date and version.
    Model,
    /// The model's provider.
    Provider,
    /// The API operation.
    Operation,
    /// The event's identity, 32 hexadecimal digits.
    Id,
}

impl Place {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Date,
        Self::Year,
        Self::Month,
        Self::Day,
        Self::Hour,
        Self::Account,
        Self::Region,
        Self::Model,
        Self::Provider,
        Self::Operation,
        Self::Id,
    ];

    /// The name, as it stands in the braces.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Date => "date",
            Self::Year => "year",
            Self::Month => "month",
            Self::Day => "day",
            Self::Hour => "hour",
            Self::Account => "account",
            Self::Region => "region",
            Self::Model => "model",
            Self::Provider => "provider",
            Self::Operation => "operation",
            Self::Id => "id",
        }
    }
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A brace that nothing closes or opens.
    #[error("a brace has no partner; `{{{{` and `}}}}` stand for braces themselves")]
    Brace,
    /// A place that does not exist.
    #[error("there is no place {{{0}}}")]
    NoPlace(String),
}

impl Template {
    /// Reads a template: places stand in braces, `{{` and `}}` are braces themselves.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let (mut literal, mut rest) = (String::new(), text);
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            literal.push_str(before);
            if let Some(after) = from.strip_prefix("{{").or_else(|| from.strip_prefix("}}")) {
                literal.push_str(&from[..1]);
                rest = after;
                continue;
            }
            let inside = from.strip_prefix('{').ok_or(TemplateError::Brace)?;
            let (name, after) = inside.split_once('}').ok_or(TemplateError::Brace)?;
            let place = Place::ALL.into_iter().find(|place| place.as_str() == name);
            let place = place.ok_or_else(|| TemplateError::NoPlace(name.chars().take(40).collect()))?;
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal)));
            }
            parts.push(Part::Place(place));
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(Self { parts })
    }

    /// The places that it has.
    pub fn places(&self) -> impl Iterator<Item = Place> {
        self.parts.iter().filter_map(|part| match part {
            Part::Place(place) => Some(*place),
            Part::Text(_) => None,
        })
    }

    /// The text before the first place.
    pub fn beginning(&self) -> &str {
        match self.parts.first() {
            Some(Part::Text(text)) => text,
            _ => "",
        }
    }

    /// What a sink is told of an event.
    pub fn tag(&self, event: &Event<'_>, _context: &Context<'_>) -> Tag {
        let (id, time) = (event.row_id(), event.invocation.event_time);
        let key = self.fill(&id, time, |place, out| match place {
            Place::Account => push_text(out, Some(event.invocation.account_id)),
            Place::Region => push_text(out, event.invocation.region),
            Place::Operation => push_text(out, event.invocation.operation),
            Place::Model => with_model(event.invocation, &event.view, |model| push_part(out, model.name)),
            Place::Provider => {
                with_model(event.invocation, &event.view, |model| push_part(out, model.provider.unwrap_or_default()));
            }
            _ => push_part(out, ""),
        });
        Tag { id, time, key }
    }

    /// What a sink is told of something that is no event: its identity and its time; all else is unknown.
    pub fn tag_of(&self, id: [u8; 16], time: Timestamp) -> Tag {
        let key = self.fill(&id, time, |_, out| push_part(out, ""));
        Tag { id, time, key }
    }

    fn fill(&self, id: &[u8; 16], time: Timestamp, mut other: impl FnMut(Place, &mut String)) -> Arc<str> {
        let mut out = String::new();
        let civil = TimeZone::UTC.to_datetime(time);
        let digits = |out: &mut String, number: i16, width: usize| out.push_str(&format!("{number:0width$}"));
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Place(Place::Date) => out.push_str(&civil.date().to_string()),
                Part::Place(Place::Year) => digits(&mut out, civil.year(), 4),
                Part::Place(Place::Month) => digits(&mut out, civil.month().into(), 2),
                Part::Place(Place::Day) => digits(&mut out, civil.day().into(), 2),
                Part::Place(Place::Hour) => digits(&mut out, civil.hour().into(), 2),
                Part::Place(Place::Id) => {
                    let mut text = Vec::with_capacity(32);
                    push_hex(&mut text, id);
                    out.push_str(&String::from_utf8_lossy(&text));
                }
                Part::Place(place) => other(*place, &mut out),
            }
        }
        out.into()
    }
}

fn push_text(out: &mut String, text: Option<JsonStr<'_>>) {
    push_part(out, &text.map(JsonStr::decode).unwrap_or_default());
}

/// Appends what an event says, so that it stays one part of the key: letters, digits, `-`, `_` and `.` stand, all else
/// becomes `_`, and it never is a path of its own.
fn push_part(out: &mut String, text: &str) {
    let text = if text.is_empty() { UNKNOWN } else { text };
    let start = out.len();
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' };
    out.extend(text.chars().take(MAX_PART_BYTES).map(safe));
    if out[start..].bytes().all(|byte| byte == b'.') {
        out.truncate(start);
        out.push('_');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrich::with_event;

    fn check(template: &str, account: &str, expected: Result<&str, &str>) {
        let message = format!(
            r#"{{"schemaType":"ModelInvocationLog","schemaVersion":"1.0","timestamp":"2026-01-31T23:05:00Z","accountId":"{account}","region":"eu-central-1","requestId":"r","operation":"Converse","modelId":"eu.anthropic.claude-3-haiku-20240307-v1:0"}}"#
        );
        let found = match Template::parse(template) {
            Ok(template) => Ok(with_event(&message, |event, context| template.tag(event, context).key.to_string())),
            Err(error) => Err(error.to_string()),
        };
        let expected = expected.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(found, expected, "{template}");
    }

    #[test]
    fn events_fill_the_places() {
        let account = "123456789012";
        check("", account, Ok(""));
        check("all/", account, Ok("all/"));
        check("d={date}/{year}/{month}/{day}/{hour}/", account, Ok("d=2026-01-31/2026/01/31/23/"));
        check(
            "{account}:{region}:{operation}:{provider}.{model}",
            account,
            Ok("123456789012:eu-central-1:Converse:anthropic.claude-3-haiku"),
        );
        check("{{{account}}}", account, Ok("{123456789012}"));
        // What stands in a record leads nowhere else.
        check("a/{account}/b", "../..", Ok("a/.._../b"));
        check("a/{account}/b", "..", Ok("a/_/b"));
        check("{account}", &"x".repeat(1000), Ok(&"x".repeat(100)));
        check("{account}", r"ü/\\ \u0000", Ok("_____"));
        check("{account}", "", Ok("unknown"));
        check("{accounts}", account, Err("there is no place {accounts}"));
        let brace = "a brace has no partner; `{{` and `}}` stand for braces themselves";
        for text in ["{date", "date}", "{", "}", "a{b{date}"] {
            check(text, account, Err(if text == "a{b{date}" { "there is no place {b{date}" } else { brace }));
        }
    }

    #[test]
    fn what_is_no_event_has_an_identity_and_a_time() {
        let template = Template::parse("{date}/{account}/{id}").unwrap();
        let tag = template.tag_of([1; 16], "2026-01-31T00:00:00Z".parse().unwrap());
        assert_eq!(&*tag.key, format!("2026-01-31/unknown/{}", "01".repeat(16)));
        assert_eq!(template.places().collect::<Vec<_>>(), [Place::Date, Place::Account, Place::Id]);
        assert_eq!(template.beginning(), "");
    }
}
