//! A detector: what finds one kind of secret in a text. All of them are linear in the text's length. What they take for
//! a secret is a trade: a missed one is worse than a masked word, but ids, hashes and times have to survive.

use std::ops::Range;

use regex::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod assignment;
mod contact;
mod digits;
mod key;
mod network;
mod token;

use assignment::named;
pub(super) use digits::is_card;

/// A built-in detector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Detector {
    /// Ids of AWS access keys.
    AwsAccessKey,
    /// AWS secret access keys: 40 characters beside a name or an access key's id.
    AwsSecretKey,
    /// API keys of Amazon Bedrock.
    BedrockApiKey,
    /// Private keys as PEM blocks, to their end or the text's.
    PrivateKey,
    /// Tokens of well-known services, JSON Web Tokens, authorization headers, passwords in URLs, and what is assigned to
    /// a password, a secret, a token or a key.
    Token,
    /// E-mail addresses.
    Email,
    /// Telephone numbers.
    Phone,
    /// Numbers of payment cards, with a valid check digit.
    Card,
    /// IBANs, with valid check digits.
    Iban,
    /// Social security numbers of the USA.
    Ssn,
    /// IP addresses, but for those that mean no host or the own one.
    Ip,
}

impl Detector {
    /// All of them, the more specific ones first: of two at one place the first one counts.
    pub const ALL: [Self; 11] = [
        Self::AwsAccessKey,
        Self::AwsSecretKey,
        Self::BedrockApiKey,
        Self::PrivateKey,
        Self::Token,
        Self::Email,
        Self::Phone,
        Self::Card,
        Self::Iban,
        Self::Ssn,
        Self::Ip,
    ];

    /// The name in the configuration and in masks.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AwsAccessKey => "aws_access_key",
            Self::AwsSecretKey => "aws_secret_key",
            Self::BedrockApiKey => "bedrock_api_key",
            Self::PrivateKey => "private_key",
            Self::Token => "token",
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Card => "card",
            Self::Iban => "iban",
            Self::Ssn => "ssn",
            Self::Ip => "ip",
        }
    }
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hit {
    /// Where.
    pub(super) range: Range<usize>,
    /// The place of its name among the scanner's kinds.
    pub(super) kind: usize,
}

/// What stands over masks, byte for byte, while a text is looked through: no word, no space, no quote.
pub(super) const HIDDEN: char = '\u{1a}';

/// A text that is looked through.
#[derive(Clone, Copy)]
struct Looked<'t> {
    text: &'t str,
    /// The key that the text stands under; empty where there is none.
    name: &'t str,
}

/// How a rule finds what it looks for.
enum Find {
    /// By a regex, each match of which is checked: the part that is secret, or where to go on.
    Regex(&'static str, Check),
    /// By code, which is given the regex's matches all the same.
    Code(fn(&Looked<'_>, &mut Vec<Range<usize>>)),
}

type Check = fn(&Looked<'_>, &regex::Captures<'_>) -> Result<Range<usize>, usize>;

/// One way to find one kind.
struct Rule {
    detector: Detector,
    /// A regex without which there is nothing to find; all rules' together are looked for in one go.
    trigger: &'static str,
    find: Find,
}

/// A rule ready for use.
struct Ready {
    rule: &'static Rule,
    regex: Option<Regex>,
}

/// Finds what a policy wants masked.
pub(super) struct Scanner {
    /// The names of the built-in kinds, then of the user's.
    kinds: Vec<String>,
    detect: Vec<Detector>,
    triggers: RegexSet,
    rules: Vec<Ready>,
    own: Vec<(usize, Regex)>,
    masks: Regex,
}

/// Bytes that a user's regex may take when compiled: thousands of characters of an ordinary one. Its author should hear
/// of a repetition of a repetition before it slows down everything.
const MAX_REGEX_BYTES: usize = 1 << 20;

/// Bytes that the automaton of a regex may take while it is built as it is needed. With the 2 MiB that are the default,
/// the triggers' would be thrown away and built again and again.
const AUTOMATON_BYTES: usize = 16 << 20;

/// Compiles a user's regex.
///
/// # Errors
/// What is no regex, or one that is too large.
pub(crate) fn own_regex(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern).size_limit(MAX_REGEX_BYTES).build()
}

impl Scanner {
    /// Looks for what `detect` names, and for the user's regexes by the names of their kinds.
    pub(super) fn new<'p>(
        detect: &[Detector],
        patterns: impl Iterator<Item = (&'p str, &'p str)>,
    ) -> Result<Self, regex::Error> {
        let mut kinds: Vec<String> = Detector::ALL.iter().map(|detector| detector.as_str().to_owned()).collect();
        let mut own = Vec::new();
        for (name, pattern) in patterns {
            own.push((kinds.len(), own_regex(pattern)?));
            kinds.push(name.to_owned());
        }
        let wanted = [key::RULES, token::RULES, assignment::RULES, contact::RULES, digits::RULES, network::RULES];
        let wanted = wanted.into_iter().flatten().filter(|rule| detect.contains(&rule.detector));
        let mut rules = Vec::new();
        for rule in wanted {
            let regex = match rule.find {
                Find::Regex(pattern, _) => Some(RegexBuilder::new(pattern).dfa_size_limit(AUTOMATON_BYTES).build()?),
                Find::Code(_) => None,
            };
            rules.push(Ready { rule, regex });
        }
        let names = kinds.iter().map(|kind| regex::escape(kind)).collect::<Vec<_>>();
        Ok(Self {
            triggers: RegexSetBuilder::new(rules.iter().map(|ready| ready.rule.trigger))
                .dfa_size_limit(AUTOMATON_BYTES)
                .build()?,
            detect: detect.to_vec(),
            rules,
            own,
            masks: Regex::new(&format!(r"\[(?:{})\]", names.join("|")))?,
            kinds,
        })
    }

    /// The names of what is found.
    pub(super) fn kinds(&self) -> &[String] {
        &self.kinds
    }

    /// Whether a built-in detector is in use.
    pub(super) fn finds(&self, detector: Detector) -> bool {
        self.detect.contains(&detector)
    }

    /// Appends what is found in `text`, which stands under the key `name`. Hits may overlap.
    pub(super) fn scan(&self, text: &str, name: &str, hits: &mut Vec<Hit>) {
        let looked = Looked { text, name };
        let mut push = |range: Range<usize>, kind: usize| {
            if !range.is_empty() {
                hits.push(Hit { range, kind });
            }
        };
        if self.finds(Detector::Token)
            && let Some(range) = named(name, text)
        {
            push(range, Detector::Token as usize);
        }
        if self.own.is_empty() && is_word(text) {
            return;
        }
        let mut found = Vec::new();
        for index in self.triggers.matches(text) {
            let Ready { rule, regex } = &self.rules[index];
            match (&rule.find, regex) {
                (Find::Regex(_, check), Some(regex)) => walk(&looked, regex, *check, &mut found),
                (Find::Code(find), _) => find(&looked, &mut found),
                (Find::Regex(..), None) => {}
            }
            found.drain(..).for_each(|range| push(range, rule.detector as usize));
        }
        for (kind, regex) in &self.own {
            if regex.capture_names().flatten().any(|name| name == "secret") {
                let secrets = regex.captures_iter(text).filter_map(|captures| captures.name("secret"));
                secrets.for_each(|secret| push(secret.range(), *kind));
            } else {
                regex.find_iter(text).for_each(|found| push(found.range(), *kind));
            }
        }
    }

    /// The masks that stand in a text already.
    pub(super) fn masks<'t>(&self, text: &'t str) -> impl Iterator<Item = Range<usize>> + use<'_, 't> {
        self.masks.find_iter(text).map(|mask| mask.range())
    }
}

/// Whether a text is a short word, such as most keys, in which no detector finds anything.
fn is_word(text: &str) -> bool {
    text.len() < 18 && text.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_')
}

/// Tries each match of a regex. Where it is none after all, the check says where to go on.
fn walk(looked: &Looked<'_>, regex: &Regex, check: Check, found: &mut Vec<Range<usize>>) {
    let mut at = 0;
    while let Some(captures) = regex.captures_at(looked.text, at) {
        let Some(whole) = captures.get(0) else { return };
        let next = match check(looked, &captures) {
            Ok(range) => {
                let end = range.end;
                found.push(range);
                end
            }
            Err(next) => next,
        };
        at = next.max(whole.start() + 1);
        while at < looked.text.len() && !looked.text.is_char_boundary(at) {
            at += 1;
        }
        if at >= looked.text.len() {
            return;
        }
    }
}

impl Looked<'_> {
    /// Whether one of `words`, in small letters, stands in the `width` bytes before `at`, or in the key of the text.
    fn is_after(&self, words: &[&str], at: usize, width: usize) -> bool {
        let near = self.text.as_bytes().get(at.saturating_sub(width)..at).unwrap_or_default().to_ascii_lowercase();
        let holds = |bytes: &[u8]| words.iter().any(|word| memchr::memmem::find(bytes, word.as_bytes()).is_some());
        holds(&near) || (at < width && self.name.len() <= 64 && holds(self.name.to_ascii_lowercase().as_bytes()))
    }

    /// Whether neither letters, digits nor `_` touch the range, nor such behind a dash or digits behind another one of
    /// `joints`. Where no word follows a `_`, it marks emphasis.
    fn stands_alone(&self, range: &Range<usize>, joints: &[char]) -> bool {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        let touches = |first: Option<char>, second: Option<char>| match first {
            Some('_') => second.is_some_and(is_part),
            Some(c) if is_part(c) => true,
            Some('-') if joints.contains(&'-') => second.is_some_and(is_part),
            Some(c) if joints.contains(&c) => second.is_some_and(|c| c.is_ascii_digit()),
            _ => false,
        };
        let mut before = self.text[..range.start].chars().rev();
        let mut after = self.text[range.end..].chars();
        !touches(before.next(), before.next()) && !touches(after.next(), after.next())
    }

    /// The byte before `at`.
    fn byte_before(&self, at: usize) -> Option<u8> {
        at.checked_sub(1).and_then(|at| self.text.as_bytes().get(at).copied())
    }
}
