//! The text format: one line an invocation, for people. A sink gets it plain, with every column and nothing cut; a
//! terminal gets it fitted to its width. In both, what a terminal would act on is shown escaped.

use super::names::{Identity, IdentityKind};
use crate::enrich::Event;
use crate::pipeline::Context;

pub mod bodies;
mod colour;
pub mod escape;
pub mod layout;
mod number;
mod row;
mod wrap;

pub use colour::{Colours, Tone};
pub use row::{Outcome, Row};

/// Appends one line for people: all columns, in full, without colour. No field holds white space and a missing one is
/// `-`, so that the columns can be counted. A last one, behind a `!`, has the rules that found something, where some did.
pub fn encode(event: &Event<'_>, context: &Context<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(plain(&Row::of(event, context.prices), Colours::Off).as_bytes());
}

/// A text with the callers' ARNs in it as people know them, role and session or a user's name: they fit a terminal.
pub(crate) fn with_short_identities(text: &str) -> String {
    let words = text.split(' ').map(|word| match Identity::of(word) {
        Some(identity) if identity.kind != IdentityKind::Other => identity.shown(),
        _ => word,
    });
    words.collect::<Vec<_>>().join(" ")
}

/// The row in full: time, operation, model, who, tokens, cost, latency, end, Region, account, request id.
pub fn plain(row: &Row, colours: Colours) -> String {
    let mut line = String::with_capacity(256);
    // The widths are those of what is common, so that most lines stand in straight columns.
    let count = |name: &str, count: Option<i64>| match count {
        Some(count) => format!("{name}={count}"),
        None => format!("{name}=-"),
    };
    let cost = row.cost.map_or_else(|| "cost=-".to_owned(), |cost| format!("cost={cost}"));
    let latency = row.latency_ms.map(|ms| format!("{ms}ms")).unwrap_or_default();
    let cells = [
        (format!("{:.3}", row.time), 24, Tone::Dim),
        (row.operation.clone(), 29, Tone::Name),
        (row.model.clone(), 44, Tone::Plain),
        (row.who.clone(), 24, Tone::Who),
        (count("in", row.input), 9, Tone::Plain),
        (count("out", row.output), 9, Tone::Plain),
        (count("cached", row.cached), 12, Tone::Plain),
        (cost, 14, Tone::Plain),
        (latency, 8, Tone::Dim),
        (row.end.clone(), 20, row.tone()),
        (row.region.clone(), 19, Tone::Dim),
        (row.account.clone(), 12, Tone::Dim),
        (row.request_id.clone(), 0, Tone::Dim),
    ];
    for (index, (text, columns, tone)) in cells.into_iter().enumerate() {
        if index > 0 {
            line.push_str("  ");
        }
        let text = if text.is_empty() { "-" } else { &text };
        line.push_str(&colours.paint(tone, text));
        line.extend(std::iter::repeat_n(' ', usize::saturating_sub(columns, escape::width(text))));
    }
    if !row.findings.is_empty() {
        let rules: Vec<_> = row.findings.iter().map(|(rule, _)| rule.as_str()).collect();
        let marker = format!("!{}", rules.join(","));
        line.push_str("  ");
        line.push_str(&colours.paint(row.findings_tone(), &marker));
    }
    line
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::detect::Severity;
    use crate::enrich::cost::Usd;

    /// A row as most are.
    pub(crate) fn row() -> Row {
        Row {
            time: "2026-10-07T07:51:59Z".parse().unwrap(),
            operation: "ConverseStream".to_owned(),
            model: "us.anthropic.claude-haiku-4-5-20251001-v1:0".to_owned(),
            who: "App/alice".to_owned(),
            input: Some(1645),
            output: Some(15),
            cached: Some(0),
            cost: Some(Usd(1_720_000_000)),
            latency_ms: Some(576),
            end: "end_turn".to_owned(),
            outcome: Outcome::Answered,
            region: "us-east-2".to_owned(),
            account: "111122223333".to_owned(),
            request_id: "b0168751-0000-4000-8000-000000000000".to_owned(),
            findings: Vec::new(),
        }
    }

    #[test]
    fn plain_lines_have_all_columns() {
        let line = plain(&row(), Colours::Off);
        assert_eq!(
            line.split_whitespace().collect::<Vec<_>>(),
            [
                "2026-10-07T07:51:59.000Z",
                "ConverseStream",
                "us.anthropic.claude-haiku-4-5-20251001-v1:0",
                "App/alice",
                "in=1645",
                "out=15",
                "cached=0",
                "cost=0.00172",
                "576ms",
                "end_turn",
                "us-east-2",
                "111122223333",
                "b0168751-0000-4000-8000-000000000000",
            ]
        );
        let found = Row {
            findings: vec![("tap.refused".to_owned(), Severity::Low), ("acme.x".to_owned(), Severity::High)],
            ..row()
        };
        let found = plain(&found, Colours::Off);
        assert_eq!(found.strip_prefix(line.as_str()), Some("  !tap.refused,acme.x"), "{found}");
        let empty = Row {
            operation: String::new(),
            who: String::new(),
            input: None,
            output: None,
            cached: None,
            cost: None,
            latency_ms: None,
            end: String::new(),
            region: String::new(),
            request_id: String::new(),
            ..row()
        };
        let empty = plain(&empty, Colours::Off);
        assert_eq!(empty.split_whitespace().count(), 13, "{empty}");
        assert_eq!(empty.find("cached="), line.find("cached="), "columns stand where they stood");
    }
}
