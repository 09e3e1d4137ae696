//! A template: a text with expressions in braces, such as `{view.account} called {view.model}`, filled in for an event.

use crate::expression::{Answer, Bindings, Demand, Dialect, Expression, Flaw, Variables};

/// What stands in the place of what is not known.
pub const UNKNOWN: &str = "unknown";

/// The longest title or dedup string, in characters, with what stands at the end of one that was cut. As Panther does.
pub const MAX_CHARACTERS: usize = 1000;
const TRUNCATED: &str = "... (truncated)";

/// A text with places that each event fills in.
#[derive(Debug, Default)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Text(String),
    Place(Expression),
}

impl Template {
    /// Reads a template. `{{` and `}}` are braces.
    ///
    /// # Errors
    /// A brace that is not closed, or an expression that is not valid.
    pub fn compile(text: &str, dialect: Dialect<'_>) -> Result<Self, Flaw> {
        let dialect = Dialect { is_question: false, ..dialect };
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        let behind = |flaw: Flaw, place: &str| flaw.behind(&text[..text.len() - place.len()]);
        while let Some(at) = rest.find(['{', '}']) {
            let (before, brace) = rest.split_at(at);
            plain.push_str(before);
            if brace.starts_with("{{") || brace.starts_with("}}") {
                plain.push_str(&brace[..1]);
                rest = &brace[2..];
                continue;
            }
            let end = if brace.starts_with('{') { end_of_place(brace) } else { None };
            let column = text[..text.len() - brace.len()].chars().count() + 1;
            let Some(end) = end else {
                return Err(Flaw::new(format!("in column {column}: a brace without its other half; write it twice")));
            };
            parts.push(Part::Text(std::mem::take(&mut plain)));
            parts.push(Part::Place(
                Expression::compile_in(&brace[1..end], dialect).map_err(|flaw| behind(flaw, &brace[1..]))?,
            ));
            rest = &brace[end + 1..];
        }
        plain.push_str(rest);
        parts.push(Part::Text(plain));
        parts.retain(|part| !matches!(part, Part::Text(text) if text.is_empty()));
        Ok(Self { parts })
    }

    /// What it needs of the variables.
    pub(crate) fn add_demand(&self, demand: &mut Demand) {
        for part in &self.parts {
            if let Part::Place(expression) = part {
                demand.merge(expression.demand());
            }
        }
    }

    /// The text for an event.
    pub(crate) fn fill<'b>(&self, variables: &Variables<'b>, bindings: &Bindings<'b>) -> String {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(plain) => text.push_str(plain),
                Part::Place(expression) => {
                    let answer = expression.answer(variables, bindings).as_ref().and_then(Answer::text);
                    text.push_str(answer.as_deref().unwrap_or(UNKNOWN));
                }
            }
        }
        cut(text)
    }
}

/// Where the place that begins here ends: the brace that closes it, and not one in quotes or of a map.
fn end_of_place(text: &str) -> Option<usize> {
    let (mut depth, mut quote, mut escaped) = (0_usize, None, false);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), _) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '{') => depth += 1,
            (None, '}') => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

/// Cuts a text that is too long.
pub(crate) fn cut(mut text: String) -> String {
    if text.char_indices().nth(MAX_CHARACTERS).is_some() {
        let kept = text.char_indices().nth(MAX_CHARACTERS - TRUNCATED.len());
        text.truncate(kept.map_or(text.len(), |(end, _)| end));
        text.push_str(TRUNCATED);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrich::with_event;
    use crate::expression::{Names, Views};

    #[test]
    fn what_is_too_long_ends_within_the_limit() {
        let check = |length: usize, kept: usize, is_cut: bool| {
            let text = cut("×".repeat(length));
            assert_eq!(text.chars().filter(|c| *c == '×').count(), kept, "{length}");
            assert_eq!(text.ends_with(TRUNCATED), is_cut, "{length}");
            assert!(text.chars().count() <= MAX_CHARACTERS, "{length}");
        };
        check(0, 0, false);
        check(1000, 1000, false);
        check(1001, 985, true);
        check(5000, 985, true);
    }

    #[test]
    fn places_are_filled_in() {
        let long = format!("{{'{}'}}", "\u{d7}".repeat(1001));
        let cut = format!("{}... (truncated)", "\u{d7}".repeat(985));
        for (text, expected) in [
            ("account {view.account}!", "account 1!"),
            ("{{{view.account}}} {{}}", "{1} {}"),
            ("{'}{' + view.account}", "}{1"),
            ("{ {'a': 'b}'}['a'] }", "b}"),
            (r"{view.error} {'it\'s'}", "unknown it's"),
            (&long, &cut),
        ] {
            let template = Template::compile(text, Dialect::QUESTION).unwrap_or_else(|flaw| panic!("{text}: {flaw:?}"));
            let message = r#"{"timestamp":"2026-11-22T07:39:00Z","accountId":"1","modelId":"m"}"#;
            let mut demand = Demand::default();
            template.add_demand(&mut demand);
            let filled = with_event(message, |event, context| {
                let views = Views::new(event, context);
                let variables = Variables::of_event(event, &views, &demand, Names::Folded).unwrap();
                template.fill(&variables, &Bindings::default())
            });
            assert_eq!(filled, expected, "{text}");
        }
    }

    #[test]
    fn flaws_are_shown_with_their_place() {
        for (text, place) in [
            ("a } b", "in column 3: a brace without its other half"),
            ("{'a}", "in column 1: a brace without its other half"),
        ] {
            let flaw = Template::compile(text, Dialect::QUESTION).expect_err(text);
            assert!(flaw.message.starts_with(place), "{text}: {}", flaw.message);
        }
    }
}
