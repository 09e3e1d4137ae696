//! The index: the name of the index, data stream or alias that a document goes to, made from a template.

use std::borrow::Cow;

use jiff::Timestamp;

use crate::format::key::{Template, TemplateError};

/// The longest name, in bytes. Source: Elasticsearch's reference, "Create index".
const MAX_NAME_BYTES: usize = 255;

/// What no name begins with.
const NO_BEGINNING: [char; 3] = ['-', '_', '+'];

/// What no name holds.
const NOT_ALLOWED: [char; 12] = ['\\', '/', '*', '?', '"', '<', '>', '|', ' ', ',', '#', ':'];

/// Where documents go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    text: String,
    /// What stands in for an item of which nothing is known.
    sample: String,
    /// Whether the name begins with what an event says.
    begins_with_place: bool,
}

/// Why a template is none of names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It is no template.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// Its text cannot be in a name.
    #[error("{0}")]
    Name(&'static str),
}

/// Checks a name by the rules for indexes, which those for data streams and aliases are no stricter than.
///
/// # Errors
/// What is wrong with it.
pub fn check_name(name: &str) -> Result<(), NameError> {
    let wrong = |what: &'static str| Err(NameError::Name(what));
    if name.is_empty() || name == "." || name == ".." {
        return wrong("is no name");
    }
    if name.chars().any(char::is_uppercase) {
        return wrong("names of indexes are lower case");
    }
    if name.contains(NOT_ALLOWED) || name.contains(char::is_control) {
        return wrong("names of indexes have no space, no control character and none of `\\ / * ? \" < > | , # :`");
    }
    if name.starts_with(NO_BEGINNING) {
        return wrong("names of indexes do not begin with `-`, `_` or `+`");
    }
    if name.len() > MAX_NAME_BYTES {
        return wrong("names of indexes have at most 255 bytes");
    }
    Ok(())
}

impl Index {
    /// Reads a template of names.
    ///
    /// # Errors
    /// It is no template, or its text cannot be in a name.
    pub fn parse(text: &str) -> Result<(Self, Template), NameError> {
        let template = Template::parse(text)?;
        // With all places filled, what is wrong with the name is wrong with the text.
        let sample = template.tag_of([0; 16], Timestamp::UNIX_EPOCH).key.to_string();
        check_name(&sample)?;
        let begins_with_place = template.beginning().is_empty();
        Ok((Self { text: text.to_owned(), sample, begins_with_place }, template))
    }

    /// The template, as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The name for an item with this key. What events fill in has letters, digits, `-`, `_` and `.` only: what is left
    /// to do is the case, the beginning and the length.
    pub(super) fn name<'k>(&'k self, key: Option<&'k str>) -> Cow<'k, str> {
        let Some(key) = key else { return Cow::Borrowed(&self.sample) };
        let mut name = Cow::Borrowed(key);
        if key.bytes().any(|byte| byte.is_ascii_uppercase()) {
            name = Cow::Owned(key.to_ascii_lowercase());
        }
        if self.begins_with_place && name.starts_with(['-', '_', '+', '.']) {
            name = Cow::Owned(format!("x{name}"));
        }
        if name.len() > MAX_NAME_BYTES {
            name = Cow::Owned(name[..name.floor_char_boundary(MAX_NAME_BYTES)].to_owned());
        }
        name
    }

    /// A pattern that all names match, for questions about rights.
    pub(super) fn pattern(&self) -> String {
        let mut pattern = String::new();
        let mut rest = self.text.as_str();
        while let Some((text, place)) = rest.split_once('{') {
            pattern.push_str(text);
            pattern.push('*');
            rest = place.split_once('}').map_or("", |(_, rest)| rest);
        }
        pattern + rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_one_of_names() {
        let check = |text: &str, expected: &str| {
            let found = match Index::parse(text) {
                Ok((index, _)) => format!("{} {}", index.sample, index.pattern()),
                Err(error) => error.to_string(),
            };
            assert!(found.contains(expected), "{text}: {found}");
        };
        check("logs-aws_bedrock.invocation-default", "logs-aws_bedrock.invocation-default logs-aws_bedrock.invoc");
        check("bedrock-{account}-{year}.{month}", "bedrock-unknown-1970.01 bedrock-*-*.*");
        check("{region}-calls", "unknown-calls *-calls");
        check("{day", "a brace has no partner");
        check("{tag}", "there is no place {tag}");
        check("", "is no name");
        check("..", "is no name");
        check("Logs", "lower case");
        for text in ["a b", "a/b", "a\\b", "a*", "a?", "a\"", "a<", "a>", "a|b", "a,b", "a#", "a:b", "a\n", "{{a}}{{"] {
            check(text, if text.contains('{') { "{a}{" } else { "have no space" });
        }
        for text in ["-a", "_a", "+a"] {
            check(text, "do not begin");
        }
        check(&"x".repeat(256), "at most 255");
        check(&"x".repeat(255), "xxx");
    }

    #[test]
    fn what_an_event_says_makes_a_name() {
        let check = |text: &str, key: &str, expected: &str| {
            let (index, _) = Index::parse(text).unwrap();
            let name = index.name(Some(key));
            assert_eq!(name, expected);
            assert_eq!(check_name(&name), Ok(()));
        };
        check("a-{operation}", "a-Converse", "a-converse");
        check("{account}", "_", "x_");
        check("{account}-x", "-1-x", "x-1-x");
        check("{account}", ".hidden", "x.hidden");
        check(".a{account}", ".a1", ".a1");
        check("{account}{account}{account}", &"A".repeat(300), &"a".repeat(255));
        let (index, _) = Index::parse("a-{account}").unwrap();
        assert_eq!(index.name(None), "a-unknown");
    }
}
