//! A pattern: a regex of an expression, compiled once. CEL's own `matches` compiles its text at each call.

use std::sync::OnceLock;

use cel::common::types::Type;
use cel::common::value::{StaticVal, Val};
use regex::{Regex, RegexBuilder};
use regex_syntax::hir::{Hir, HirKind, Look, Repetition};

/// What comes before the number of a pattern in its name.
pub(super) const PATTERN_NAME: &str = "@regex";

/// Bytes of a compiled regex.
const MAX_REGEX_BYTES: usize = 1 << 20;

/// A regex.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    regex: Regex,
    /// It without borders of words, made when a text first needs it.
    loose: OnceLock<Option<Regex>>,
}

impl Pattern {
    /// Compiles a regex.
    ///
    /// # Errors
    /// It is not valid, or too large.
    pub(super) fn compile(text: &str) -> Result<Self, regex::Error> {
        Ok(Self { regex: RegexBuilder::new(text).size_limit(MAX_REGEX_BYTES).build()?, loose: OnceLock::new() })
    }

    /// The name of the pattern with this number, for expressions.
    pub(super) fn name(number: usize) -> String {
        format!("{PATTERN_NAME}{number}")
    }

    /// The regex itself.
    pub(super) fn regex(&self) -> &Regex {
        &self.regex
    }

    /// Whether it matches somewhere in a text. A border of a word is where the engine gives up its speed once a text has
    /// a letter beyond ASCII's: some thirty times slower. Where nothing matches without borders, nothing does with them.
    pub(super) fn is_match(&self, text: &str) -> bool {
        let is_loosely = || {
            let loose = self.loose.get_or_init(|| without_borders(self.regex.as_str()));
            loose.as_ref().is_none_or(|loose| loose.is_match(text))
        };
        (text.is_ascii() || is_loosely()) && self.regex.is_match(text)
    }
}

/// The regex without borders of words; none where it has none.
fn without_borders(text: &str) -> Option<Regex> {
    let hir = regex_syntax::parse(text).ok()?;
    let loose = hir.properties().look_set().contains_word_unicode().then(|| loosened(&hir))?;
    RegexBuilder::new(&loose.to_string()).size_limit(MAX_REGEX_BYTES).build().ok()
}

fn loosened(hir: &Hir) -> Hir {
    match hir.kind() {
        HirKind::Look(
            Look::WordUnicode
            | Look::WordUnicodeNegate
            | Look::WordStartUnicode
            | Look::WordEndUnicode
            | Look::WordStartHalfUnicode
            | Look::WordEndHalfUnicode,
        ) => Hir::empty(),
        HirKind::Repetition(repetition) => {
            Hir::repetition(Repetition { sub: Box::new(loosened(&repetition.sub)), ..repetition.clone() })
        }
        HirKind::Capture(capture) => loosened(&capture.sub),
        HirKind::Concat(parts) => Hir::concat(parts.iter().map(loosened).collect()),
        HirKind::Alternation(parts) => Hir::alternation(parts.iter().map(loosened).collect()),
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_) => hir.clone(),
    }
}

pub(super) static PATTERN_TYPE: Type = Type::new_unspecified_type("regex");

impl Val for Pattern {
    fn get_type(&self) -> &Type {
        &PATTERN_TYPE
    }

    fn cel_type() -> &'static Type {
        &PATTERN_TYPE
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn std::any::Any> {
        Some(self)
    }
}

impl StaticVal for Pattern {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_what_its_regex_matches() {
        const REGEXES: [&str; 8] = [
            r"\bDAN\b",
            r"(?i)\b(?:ignore|forget)[^A-Za-z0-9]{1,4}(?:all|any)\b",
            r"a\Bb|\Bc",
            r"^\b|\b$",
            r"(?:\bx){2,3}y*\b",
            r"(?-u:\bab\b)",
            r"é\b.?ü",
            r"\b\b",
        ];
        let pieces = ["DAN", "é", "ü", " ", "ignore", "All", "a", "b", "xx", "y", "c", "…", ""];
        let mut matched = [0, 0];
        for regex in REGEXES {
            let (pattern, regex) = (Pattern::compile(regex).unwrap(), Regex::new(regex).unwrap());
            for (one, two, three) in pieces
                .iter()
                .flat_map(|one| pieces.iter().map(move |two| (one, two)))
                .flat_map(|(one, two)| pieces.iter().map(move |three| (one, two, three)))
            {
                let text = format!("{one}{two}{three}");
                let expected = regex.is_match(&text);
                assert_eq!(pattern.is_match(&text), expected, "{regex}: {text}");
                matched[usize::from(expected)] += 1;
            }
        }
        assert!(matched.iter().all(|count| *count > 100), "{matched:?}");
    }

    #[test]
    fn borders_are_left_out_where_there_are_some() {
        let check = |regex: &str, expected: Option<&str>| {
            assert_eq!(without_borders(regex).as_ref().map(Regex::as_str), expected, "{regex}");
        };
        check(r"\bDAN\b", Some("(?:DAN)"));
        check(r"DAN", None);
        check(r"(?-u:\b)DAN", None);
    }
}
