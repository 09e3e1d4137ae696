//! Literals: pieces of text that must stand in an event's JSON wherever an expression is to hold. Only letters, digits and
//! marks that no writer of JSON escapes are in them, so that they stand there as they are.

use std::collections::HashMap;

use regex_syntax::hir::{Class, Hir, HirKind, Look};

/// The shortest piece that is looked for: what is shorter is in every text.
pub(crate) const MIN_BYTES: usize = 4;

/// The shortest piece with a border, which is looked for where nothing longer must be there.
const MIN_WORD_BYTES: usize = 3;

/// A piece of text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Literal {
    /// The piece; in lower case where case does not matter.
    pub(crate) text: String,
    /// Whether case does not matter.
    pub(crate) folded: bool,
    /// Whether no letter or digit stands before it.
    pub(crate) starts: bool,
    /// Whether none stands behind it.
    pub(crate) ends: bool,
}

impl Literal {
    /// A piece that may stand anywhere.
    fn new(text: &str, folded: bool) -> Self {
        let text = if folded { text.to_ascii_lowercase() } else { text.to_owned() };
        Self { text, folded, starts: false, ends: false }
    }

    /// The pieces of a text that must be there as it is.
    pub(super) fn of_text(text: &str, folded: bool) -> Vec<Self> {
        let pieces = text.split(|c: char| !c.is_ascii() || !is_plain(c as u8));
        pieces.filter(|piece| piece.len() >= MIN_BYTES).map(|piece| Self::new(piece, folded)).collect()
    }
}

/// Whether writers of JSON leave a character as it is; some escape quotes, signs and brackets.
pub(crate) fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b" _-.:,".contains(&byte)
}

/// The pieces that expressions ask for, each with a number.
#[derive(Debug, Default)]
pub(crate) struct Literals {
    all: Vec<Literal>,
    numbers: HashMap<Literal, usize>,
}

impl Literals {
    /// The number of a piece.
    pub(super) fn number(&mut self, literal: Literal) -> usize {
        let next = self.all.len();
        *self.numbers.entry(literal).or_insert_with_key(|literal| {
            self.all.push(literal.clone());
            next
        })
    }

    /// All of them, in the order of their numbers.
    pub(crate) fn all(&self) -> &[Literal] {
        &self.all
    }
}

/// What must be in a text that a regex matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Needed {
    /// All of these.
    All(Vec<Needed>),
    /// One of these.
    Any(Vec<Needed>),
    /// This.
    One(Literal),
}

impl Needed {
    /// Whether it asks for any piece.
    pub(super) fn says_something(&self) -> bool {
        match self {
            Self::One(_) => true,
            Self::All(all) => all.iter().any(Self::says_something),
            Self::Any(any) => !any.is_empty() && any.iter().all(Self::says_something),
        }
    }

    /// The same where colons, and spaces behind them, may stand in the text alone and not in what it was made of.
    pub(super) fn apart(self) -> Self {
        let all = |all: Vec<Self>| all.into_iter().map(Self::apart).collect();
        let literal = match self {
            Self::All(needed) => return Self::All(all(needed)),
            Self::Any(needed) => return Self::Any(all(needed)),
            Self::One(literal) => literal,
        };
        let pieces: Vec<&str> = literal.text.split(':').collect();
        let last = pieces.len() - 1;
        let piece = |(number, piece): (usize, &&str)| Literal {
            text: piece.trim_start_matches(' ').to_owned(),
            folded: literal.folded,
            starts: literal.starts && number == 0,
            ends: literal.ends && number == last,
        };
        let pieces = pieces.iter().enumerate().map(piece).filter(|piece| piece.text.len() >= MIN_BYTES);
        Self::All(pieces.map(Self::One).collect())
    }
}

/// All of these; words of three letters are left out where something longer says more.
fn all(mut needed: Vec<Needed>) -> Needed {
    let is_short = |one: &Needed| matches!(one, Needed::One(literal) if literal.text.len() < MIN_BYTES);
    if needed.iter().any(|one| !is_short(one) && one.says_something()) {
        needed.retain(|one| !is_short(one));
    }
    Needed::All(needed)
}

/// What must be in a text that a regex matches.
pub(super) fn of_regex(pattern: &str) -> Needed {
    match regex_syntax::parse(pattern) {
        Ok(hir) => in_hir(&hir, false, false),
        Err(_) => Needed::All(Vec::new()),
    }
}

/// What must be where this part matches; `starts` and `ends` where no letter or digit stands before and behind the part.
fn in_hir(hir: &Hir, starts: bool, ends: bool) -> Needed {
    let mut walk = Walk { starts, ..Walk::default() };
    walk.read(hir, ends);
    walk.flush(ends);
    all(walk.needed)
}

/// Reads a regex from its beginning to its end.
#[derive(Default)]
struct Walk {
    needed: Vec<Needed>,
    /// What stands one behind the other since the last thing that may be anything.
    run: String,
    folded: bool,
    /// Whether what comes before the run is no letter or digit.
    starts: bool,
}

impl Walk {
    fn read(&mut self, hir: &Hir, ends: bool) {
        match hir.kind() {
            HirKind::Empty => {}
            HirKind::Literal(literal) => match std::str::from_utf8(&literal.0) {
                Ok(text) => text.chars().for_each(|c| self.push(c)),
                Err(_) => self.flush(false),
            },
            HirKind::Class(class) => match one_letter(class) {
                Some(letter) => {
                    self.folded = true;
                    self.push(letter);
                }
                None => {
                    let is_between = is_between_words(class);
                    self.flush(is_between);
                    self.starts = is_between;
                }
            },
            HirKind::Look(look) => self.look(*look),
            HirKind::Repetition(repetition) if repetition.min == 0 => self.flush(false),
            HirKind::Repetition(repetition) => {
                if let HirKind::Class(class) = repetition.sub.kind()
                    && is_between_words(class)
                {
                    self.flush(true);
                    self.starts = true;
                    return;
                }
                self.flush(false);
                self.needed.push(in_hir(&repetition.sub, false, false));
            }
            HirKind::Capture(capture) => self.read(&capture.sub, ends),
            HirKind::Concat(parts) => {
                for (index, part) in parts.iter().enumerate() {
                    self.read(part, parts.get(index + 1).map_or(ends, is_border));
                }
            }
            HirKind::Alternation(parts) => {
                // The parser takes what all of them begin with out of them; here each gets it back.
                let needed = std::mem::take(&mut self.needed);
                let Walk { run, folded, starts, .. } = std::mem::replace(self, Walk { needed, ..Walk::default() });
                let branch = |part| {
                    let mut walk = Walk { needed: Vec::new(), run: run.clone(), folded, starts };
                    walk.read(part, ends);
                    walk.flush(ends);
                    all(walk.needed)
                };
                self.needed.push(Needed::Any(parts.iter().map(branch).collect()));
            }
        }
    }

    fn push(&mut self, c: char) {
        match u8::try_from(c) {
            Ok(byte) if is_plain(byte) => self.run.push(c),
            Ok(byte) if byte.is_ascii_punctuation() => {
                self.flush(true);
                self.starts = true;
            }
            _ => self.flush(false),
        }
    }

    /// A border of a word behind a letter ends the word, and before one begins it.
    fn look(&mut self, look: Look) {
        if !matches!(look, Look::WordAscii | Look::WordUnicode) {
            return;
        }
        match self.run.bytes().last() {
            Some(last) if last.is_ascii_alphanumeric() => {
                self.flush(true);
                self.starts = false;
            }
            Some(_) => {}
            // What comes next is a letter, or nothing is said: a border stands beside what is none, too.
            None => self.starts = true,
        }
    }

    /// Ends the run; `ends` where no letter or digit can come behind it.
    fn flush(&mut self, ends: bool) {
        let (run, folded, starts) =
            (std::mem::take(&mut self.run), std::mem::take(&mut self.folded), std::mem::take(&mut self.starts));
        let is_letter = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
        let starts = starts && is_letter(run.bytes().next());
        let ends = ends && is_letter(run.bytes().last());
        let min = if starts || ends { MIN_WORD_BYTES } else { MIN_BYTES };
        if run.len() >= min {
            self.needed.push(Needed::One(Literal { starts, ends, ..Literal::new(&run, folded) }));
        }
    }
}

/// Whether what begins here cannot begin with a letter or a digit behind one.
fn is_border(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Look(look) => matches!(look, Look::WordAscii | Look::WordUnicode | Look::End),
        HirKind::Class(class) => is_between_words(class),
        HirKind::Repetition(repetition) => repetition.min > 0 && is_border(&repetition.sub),
        HirKind::Capture(capture) => is_border(&capture.sub),
        _ => false,
    }
}

/// The letter that a class is, in whatever case.
fn one_letter(class: &Class) -> Option<char> {
    let mut found = None;
    let mut take = |c: char| {
        // The Kelvin sign and the long s are letters of the alphabet when case is ignored.
        let folded = match c {
            '\u{212a}' => 'k',
            '\u{17f}' => 's',
            c => c.to_ascii_lowercase(),
        };
        found.replace(folded).is_none_or(|known| known == folded)
    };
    let is_one = match class {
        Class::Unicode(class) => {
            class.ranges().iter().all(|range| range.len() <= 2 && (range.start()..=range.end()).all(&mut take))
        }
        Class::Bytes(class) => {
            class.ranges().iter().all(|range| range.len() <= 2 && (range.start()..=range.end()).all(|b| take(b.into())))
        }
    };
    found.filter(|letter| is_one && letter.is_ascii_alphabetic())
}

/// Whether a class has neither letters nor digits of ASCII.
fn is_between_words(class: &Class) -> bool {
    let is_word = |c: u32| c < 0x80 && (c as u8).is_ascii_alphanumeric();
    match class {
        Class::Unicode(class) => class
            .ranges()
            .iter()
            .all(|range| !(u32::from(range.start())..=u32::from(range.end()).min(0x7f)).any(is_word)),
        Class::Bytes(class) => {
            class.ranges().iter().all(|range| !(range.start()..=range.end()).any(|byte| is_word(byte.into())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(needed: &Needed) -> String {
        let list = |all: &[Needed], by: &str| {
            let shown: Vec<_> = all.iter().map(shown).collect();
            shown.into_iter().filter(|one| by != " & " || !one.is_empty()).collect::<Vec<_>>().join(by)
        };
        match needed {
            Needed::All(all) => list(all, " & "),
            Needed::Any(any) => format!("({})", list(any, " | ")),
            Needed::One(Literal { text, folded, starts, ends }) => {
                let border = |is: &bool| if *is { "|" } else { "" };
                format!("{}{text}{}{}", border(starts), border(ends), if *folded { "~" } else { "" })
            }
        }
    }

    #[test]
    fn a_regex_needs_its_literals() {
        let cases = [
            ("AKIA[A-Z0-9]{16}", "AKIA"),
            (r"\bAKIA\b", "|AKIA|"),
            ("(?i)ask me", "ask me~"),
            (
                r"(?i)ignore\s+(all\s+)?(previous|above) instructions",
                "ignore|~ & (previous~ | above~) &  instructions~",
            ),
            ("(?i)(abc|abcdef)", "( | abcdef~)"),
            (r"(?i)\b(drop|delete)\s+table\b", "(|drop|~ | |delete|~) & |table|~"),
            (r"\b(drop|delete)s?\b", "(|drop | |delete)"),
            ("(bash|curl)?", ""),
            ("(bash|curl)+x", "(bash | curl)"),
            ("a.c", ""),
            (r"-----BEGIN [A-Z ]*PRIVATE KEY-----", "-----BEGIN  & PRIVATE KEY-----"),
            (r#"pass"word\\secret"#, "pass| & |word| & |secret"),
            (r"x{4}yyyy", "yyyy"),
            (r"\b(?:edr|siem|defender)\b", "(|edr| | |siem| | |defender|)"),
            (r"\bthe\s+siem\b", "|siem|"),
            (r"\bthe\s+(?:x|siem)\b", "|the| & ( | |siem|)"),
            (r"\bat\b", ""),
            ("häßlich wort", "lich wort"),
            (r"\d+", ""),
            ("(", ""),
        ];
        let found = cases.map(|(pattern, _)| (pattern, shown(&of_regex(pattern))));
        assert_eq!(found, cases.map(|(pattern, needed)| (pattern, needed.to_owned())));
    }
}
