//! The format of Slack: a message for an incoming webhook, with blocks, and a text for notifications and for what is
//! compatible with Slack and knows no blocks. What comes from an event or a rule is escaped, so that it calls nobody, links
//! to nothing and hides nothing.
//!
//! Source of the members and their limits: "Block Kit reference" and "Formatting message text", Slack API.

use std::borrow::Cow;

use super::{Alert, AlertContext, named};
use crate::detect::rule::Severity;
use crate::format::object::{Array, Object};
use crate::format::text::escape::{Place, push_escaped};

/// Characters of a header, of a section's text, and of one of its fields. What is shown in a field is shorter than Slack
/// would take: a message is looked at, and who wants all of an alert has other formats.
const MAX_HEADER: usize = 150;
const MAX_SECTION: usize = 3000;
const MAX_FIELD: usize = 500;

/// Fields of one section.
const MAX_FIELDS: usize = 10;

/// Names and values that are shown, and links.
const MAX_PAIRS: usize = 30;
const MAX_LINKS: usize = 5;

/// Characters of the text that stands for the blocks.
const MAX_TEXT: usize = 3000;

/// Characters of a link.
const MAX_LINK: usize = 300;

/// Appends an alert as one JSON object.
pub(super) fn encode(alert: &Alert, context: &AlertContext<'_>, out: &mut Vec<u8>) {
    let mut object = Object::begin(out, false);
    object.text("text", &text(alert));
    object.array("blocks", |blocks| {
        let header = headline(alert, MAX_HEADER);
        blocks.object(|block| {
            block.text("type", "header");
            block.object("text", |text| plain(text, &header));
        });
        let title = headline(alert, MAX_SECTION);
        if title != header {
            section(blocks, |text| plain(text, &title));
        }
        fields(blocks, &facts(alert));
        for pairs in [&alert.group, &alert.context] {
            let known = named(pairs).into_iter().filter(|(_, value)| !value.is_empty());
            fields(blocks, &known.take(MAX_PAIRS).collect::<Vec<_>>());
        }
        for prose in [Some(&alert.rule.description), alert.rule.runbook.as_ref()].into_iter().flatten() {
            if !prose.trim().is_empty() {
                section(blocks, |text| plain(text, &lines(prose, MAX_SECTION)));
            }
        }
        footer(blocks, alert, context);
    });
    object.end();
}

/// The severity, for who does not read, and the title. An alert that was told of before is told of again because it is
/// worse now.
fn headline(alert: &Alert, limit: usize) -> String {
    let sign = match alert.severity {
        Severity::Info => '\u{26aa}',
        Severity::Low => '\u{1f535}',
        Severity::Medium => '\u{1f7e1}',
        Severity::High => '\u{1f7e0}',
        Severity::Critical => '\u{1f534}',
    };
    let now = if alert.is_new() { "" } else { "now " };
    let word = alert.severity.as_str();
    escaped(&format!("{sign} {now}{word}: {}", shown(alert.headline())), limit)
}

/// What a notification shows, and all of the message where blocks are not known.
fn text(alert: &Alert) -> String {
    let facts = facts(alert);
    let facts: Vec<_> = facts.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let title = headline(alert, MAX_TEXT / 2);
    format!("{title}\n{}", escaped(&shown(&facts.join(", ")), MAX_TEXT / 2))
}

fn facts(alert: &Alert) -> Vec<(String, Cow<'_, str>)> {
    let events = if alert.count == 1 { "1 event".to_owned() } else { format!("{} events", alert.count) };
    let time = |time: jiff::Timestamp| time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
    vec![
        ("Rule".to_owned(), alert.rule.id.as_str().into()),
        ("Severity".to_owned(), alert.severity.as_str().into()),
        ("Events".to_owned(), events.into()),
        ("First seen".to_owned(), time(alert.first_seen).into()),
        ("Last seen".to_owned(), time(alert.last_seen).into()),
    ]
}

/// Names above their values, in sections of as many as one may have.
fn fields(blocks: &mut Array<'_>, pairs: &[(String, Cow<'_, str>)]) {
    for pairs in pairs.chunks(MAX_FIELDS) {
        blocks.object(|block| {
            block.text("type", "section");
            block.array("fields", |fields| {
                for (name, value) in pairs {
                    let text = format!("{}\n{}", shown(name), shown(value));
                    fields.object(|field| plain(field, &escaped(&text, MAX_FIELD)));
                }
            });
        });
    }
}

fn section(blocks: &mut Array<'_>, text: impl FnOnce(&mut Object<'_>)) {
    blocks.object(|block| {
        block.text("type", "section");
        block.object("text", text);
    });
}

/// Where to read more, and which alert this is.
fn footer(blocks: &mut Array<'_>, alert: &Alert, context: &AlertContext<'_>) {
    blocks.object(|block| {
        block.text("type", "context");
        block.array("elements", |elements| {
            for link in alert.rule.references.iter().filter(|link| is_link(link)).take(MAX_LINKS) {
                elements.object(|element| {
                    element.text("type", "mrkdwn");
                    element.text("text", &format!("<{}>", link.replace('&', "&amp;")));
                    element.boolean("verbatim", Some(true));
                });
            }
            let id = format!("alert {} · bedrock-tap {}", shown(&alert.id), context.version);
            elements.object(|element| plain(element, &escaped(&id, MAX_FIELD)));
        });
    });
}

fn is_link(text: &str) -> bool {
    let named = text.starts_with("https://") || text.starts_with("http://");
    named && text.len() <= MAX_LINK && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>|\"`".contains(&byte))
}

/// A text in which nothing is marked up and nobody is mentioned.
fn plain(object: &mut Object<'_>, escaped: &str) {
    object.text("type", "plain_text");
    object.text("text", escaped);
    object.boolean("emoji", Some(false));
}

/// A text in one line, with what nobody would see shown.
fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    push_escaped(&mut shown, text, Place::Body);
    shown
}

/// Prose of a rule, which has lines.
fn lines(text: &str, limit: usize) -> String {
    escaped(&text.trim().lines().map(shown).collect::<Vec<_>>().join("\n"), limit)
}

/// At most so many characters of a text, as Slack counts them at most: behind escaping, and in UTF-16. The three
/// characters that begin and end what Slack reads are escaped as it says. An `@` that may call somebody is kept from what
/// follows by a word joiner: others that take these messages call everybody by `@channel` or `@everyone`.
fn escaped(text: &str, limit: usize) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut used, mut rest_at, mut before) = (0, 0, ' ');
    for (at, c) in text.char_indices() {
        let mut buffer = [0; 4];
        let piece = match c {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            '@' if !before.is_alphanumeric() || calls_everybody(&text[at + 1..]) => "@\u{2060}",
            c => c.encode_utf8(&mut buffer),
        };
        let length = piece.encode_utf16().count();
        if used + length > limit {
            out.truncate(rest_at);
            out.push('…');
            return out;
        }
        used += length;
        out.push_str(piece);
        before = c;
        if used < limit {
            // Here there is room for what says that something is missing.
            rest_at = out.len();
        }
    }
    out
}

/// Whether what stands behind an `@` is a word for everybody: of an address it would be a part.
fn calls_everybody(rest: &str) -> bool {
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
    ["all", "channel", "everyone", "group", "here"].iter().any(|word| rest[..end].eq_ignore_ascii_case(word))
}
