//! A pattern: a regex of an expression, compiled once. CEL's own `matches` compiles its text at each call.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::literal::{self, Needed};
use cel::common::types::Type;
use cel::common::value::{StaticVal, Val};
use memchr::memmem;
use regex::{Regex, RegexBuilder};
use regex_syntax::hir::{Class, Hir, HirKind, Look, Repetition};

/// What comes before the number of a pattern in its name.
pub(super) const PATTERN_NAME: &str = "@regex";

/// Bytes of a compiled regex.
const MAX_REGEX_BYTES: usize = 1 << 20;

/// A regex.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    /// No other pattern of the process has it.
    id: usize,
    regex: Regex,
    /// It with looser borders of words, made when a text first needs it.
    loose: OnceLock<Option<Loose>>,
    /// Those of its alternatives that need no piece of text, made when a gate is first made for it.
    rest: OnceLock<Option<Box<Pattern>>>,
}

/// A regex that matches wherever the pattern does. Its borders of words know letters of ASCII alone, which the engine
/// reads at full speed; where it cannot be told which side of a border the word is on, the border is left out.
#[derive(Clone, Debug)]
struct Loose {
    regex: Regex,
    /// Whether all borders are there: what matches among nothing but ASCII is then a match of the pattern, too.
    is_whole: bool,
}

impl Pattern {
    /// Compiles a regex.
    ///
    /// # Errors
    /// It is not valid, or too large.
    pub(super) fn compile(text: &str) -> Result<Self, regex::Error> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let regex = compiled(text)?;
        Ok(Self { id: NEXT.fetch_add(1, Ordering::Relaxed), regex, loose: OnceLock::new(), rest: OnceLock::new() })
    }

    /// What it is known by.
    pub(super) fn id(&self) -> usize {
        self.id
    }

    /// The name of the pattern with this number, for expressions.
    pub(super) fn name(number: usize) -> String {
        format!("{PATTERN_NAME}{number}")
    }

    /// The regex itself.
    pub(super) fn regex(&self) -> &Regex {
        &self.regex
    }

    /// What a gate is made of: the pieces that its alternatives need, without those alternatives that need none. They
    /// are looked for where the gate is shut.
    pub(super) fn needed(&self) -> Needed {
        let whole = || literal::of_regex(self.regex.as_str());
        let hir = regex_syntax::parse(self.regex.as_str());
        let Ok(HirKind::Alternation(parts)) = hir.map(Hir::into_kind) else { return whole() };
        let (gated, free): (Vec<_>, Vec<_>) =
            parts.into_iter().partition(|part| literal::of_regex(&part.to_string()).says_something());
        if gated.is_empty() || free.is_empty() {
            return whole();
        }
        let rest = self.rest.get_or_init(|| Self::compile(&Hir::alternation(free).to_string()).ok().map(Box::new));
        if rest.is_none() { whole() } else { literal::of_regex(&Hir::alternation(gated).to_string()) }
    }

    /// Whether it matches somewhere in a text where its gate is shut.
    pub(super) fn is_match_beside(&self, text: &str) -> bool {
        self.rest.get().and_then(Option::as_ref).is_some_and(|rest| rest.is_match(text))
    }

    /// Whether it may match where its gate is shut.
    pub(super) fn has_rest(&self) -> bool {
        self.rest.get().is_some_and(Option::is_some)
    }

    /// Whether it matches somewhere in a text. A border of a word is where the engine gives up its speed once a text has
    /// a letter beyond ASCII's: some hundred times slower. Where nothing matches loosely, nothing does at all.
    pub(super) fn is_match(&self, text: &str) -> bool {
        let has = |letter: &str| memmem::find(text.as_bytes(), letter.as_bytes()).is_some();
        if text.is_ascii() || has("\u{17f}") || has("\u{212a}") {
            return self.regex.is_match(text);
        }
        let Some(loose) = self.loose.get_or_init(|| loose(self.regex.as_str())) else {
            return self.regex.is_match(text);
        };
        let Some(found) = loose.regex.find(text) else { return false };
        let is_plain = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii);
        let bytes = text.as_bytes();
        let is_certain = loose.is_whole
            && found.as_str().is_ascii()
            && is_plain(found.start().checked_sub(1).and_then(|before| bytes.get(before)))
            && is_plain(bytes.get(found.end()));
        is_certain || self.regex.is_match(text)
    }
}

fn compiled(text: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(text).size_limit(MAX_REGEX_BYTES).build()
}

/// The regex with looser borders of words; none where it has no borders. It is good for texts without the two letters
/// beyond ASCII that are letters of ASCII in another case.
fn loose(text: &str) -> Option<Loose> {
    let hir = regex_syntax::parse(text).ok()?;
    hir.properties().look_set().contains_word_unicode().then_some(())?;
    let mut is_whole = true;
    let loose = loosened(&hir, [false; 2], &mut is_whole);
    Some(Loose { regex: compiled(&loose.to_string()).ok()?, is_whole })
}

/// A part with looser borders; `beside` is whether what comes before it ends with a letter of ASCII, and whether what
/// comes behind it begins with one. A border beside such a letter is one for who knows no other letters, too.
fn loosened(hir: &Hir, beside: [bool; 2], is_whole: &mut bool) -> Hir {
    match hir.kind() {
        HirKind::Look(Look::WordUnicode) if beside != [false; 2] => Hir::look(Look::WordAscii),
        HirKind::Look(
            Look::WordUnicode
            | Look::WordUnicodeNegate
            | Look::WordStartUnicode
            | Look::WordEndUnicode
            | Look::WordStartHalfUnicode
            | Look::WordEndHalfUnicode,
        ) => {
            *is_whole = false;
            Hir::empty()
        }
        HirKind::Repetition(repetition) => {
            let sub = Box::new(loosened(&repetition.sub, [false; 2], is_whole));
            Hir::repetition(Repetition { sub, ..repetition.clone() })
        }
        HirKind::Capture(capture) => loosened(&capture.sub, beside, is_whole),
        HirKind::Concat(parts) => {
            let part = |(at, part): (usize, &Hir)| {
                let before = at.checked_sub(1).and_then(|at| parts.get(at));
                let before = before.map_or(beside[0], |before| is_letter(before, true));
                let behind = parts.get(at + 1).map_or(beside[1], |behind| is_letter(behind, false));
                loosened(part, [before, behind], is_whole)
            };
            Hir::concat(parts.iter().enumerate().map(part).collect())
        }
        HirKind::Alternation(parts) => {
            Hir::alternation(parts.iter().map(|part| loosened(part, beside, is_whole)).collect())
        }
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_) => hir.clone(),
    }
}

/// Whether all that a part can match begins with a letter of ASCII, or ends with one.
fn is_letter(hir: &Hir, at_its_end: bool) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '\u{17f}' | '\u{212a}');
    let outer = |parts: &[Hir]| {
        let part = if at_its_end { parts.last() } else { parts.first() };
        part.is_some_and(|part| is_letter(part, at_its_end))
    };
    match hir.kind() {
        HirKind::Literal(literal) => {
            let byte = if at_its_end { literal.0.last() } else { literal.0.first() };
            byte.is_some_and(|byte| is_word(char::from(*byte)))
        }
        HirKind::Class(Class::Unicode(class)) => {
            let mut ranges = class.ranges().iter();
            !class.ranges().is_empty()
                && ranges.all(|range| range.len() <= 26 && (range.start()..=range.end()).all(is_word))
        }
        HirKind::Repetition(repetition) => repetition.min > 0 && is_letter(&repetition.sub, at_its_end),
        HirKind::Capture(capture) => is_letter(&capture.sub, at_its_end),
        HirKind::Concat(parts) => outer(parts),
        HirKind::Alternation(parts) => parts.iter().all(|part| is_letter(part, at_its_end)),
        HirKind::Empty | HirKind::Class(Class::Bytes(_)) | HirKind::Look(_) => false,
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
        const REGEXES: [&str; 11] = [
            r"\bDAN\b",
            r"(?i)\b(?:ignore|forget)[^A-Za-z0-9]{1,4}(?:all|any)\b",
            r"a\Bb|\Bc",
            r"^\b|\b$",
            r"(?:\bx){2,3}y*\b",
            r"(?-u:\bab\b)",
            r"é\b.?ü",
            r"\b\b",
            r"(?i)\bask\b",
            r"\b[a-z]+\b.?(?:\bDAN|é\b)",
            r"(?i)\b(?:all|ask)\b|\bü\b",
        ];
        let pieces =
            ["DAN", "é", "ü", " ", "ignore", "All", "a", "b", "xx", "y", "c", "…", "ask", "a\u{17f}\u{212a}", "_", ""];
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
    fn alternatives_without_a_piece_are_looked_for_where_the_gate_is_shut() {
        let check = |regex: &str, text: &str, is_gated: bool, is_found: bool| {
            let pattern = Pattern::compile(regex).unwrap();
            assert_eq!(pattern.needed().says_something(), is_gated, "{regex}");
            assert_eq!(pattern.has_rest() && pattern.is_match_beside(text), is_found, "{regex}: {text}");
        };
        check(r"(?i)(?:\bnc\s+-l|mkfifo\s+/tmp/|\bIO\.popen)", "run NC -l", true, true);
        check(r"(?i)(?:\bnc\s+-l|mkfifo\s+/tmp/|\bIO\.popen)", "mkfifo /tmp/x", true, false);
        check(r"mkfifo|netcat", "mkfifo", true, false);
        check(r"[0-9]+|\bnc", "nc", false, false);
    }

    #[test]
    fn borders_are_loosened_where_there_are_some() {
        let check = |regex: &str, expected: Option<(&str, bool)>| {
            let loose = loose(regex);
            let found = loose.as_ref().map(|loose| (loose.regex.as_str(), loose.is_whole));
            assert_eq!(found, expected, "{regex}");
        };
        check(r"\bDAN\b", Some((r"(?:(?-u:\b)(?:DAN)(?-u:\b))", true)));
        check(r"\b(?:a|é)\b", Some(("[aé]", false)));
        check(r"DAN", None);
        check(r"(?-u:\b)DAN", None);
    }
}
