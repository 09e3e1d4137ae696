//! How a report is shown: a line a check, or JSON.

use serde::Serialize;

use super::template::comment;
use super::{Check, Repair, Report, Status};
use crate::config::{Look, fold};

/// The column behind the status.
const INDENT: usize = 11;

/// A line a check, with what to do below where something is to be done, and the count of each status at the end. Folded to
/// the look's width.
pub fn text(report: &Report, look: Look) -> String {
    let mut page = String::new();
    for check in &report.checks {
        line(&mut page, check, look);
    }
    let counted = [Status::Failed, Status::Warning, Status::NotKnown, Status::Ok, Status::Skipped];
    let counted = counted.map(|status| (report.count(status), status));
    let counts = counted.iter().filter(|(count, _)| *count > 0);
    let counts: Vec<_> = counts.map(|(count, status)| counted_as(*count, *status)).collect();
    page.push_str(&format!("{}\n", if counts.is_empty() { "nothing to check".to_owned() } else { counts.join(", ") }));
    page
}

fn counted_as(count: usize, status: Status) -> String {
    let plural = if status == Status::Warning && count > 1 { "s" } else { "" };
    format!("{count} {}{plural}", status.as_str())
}

/// Checks by themselves, a line each.
pub fn lines(checks: &[Check], look: Look) -> String {
    let mut page = String::new();
    checks.iter().for_each(|check| line(&mut page, check, look));
    page
}

/// The commands that make the repairs, each with its reason above.
pub fn commands(repairs: &[Repair]) -> String {
    let mut page = String::new();
    for (index, repair) in repairs.iter().enumerate() {
        if index > 0 {
            page.push('\n');
        }
        comment(&mut page, "", &format!("{}. {}: {}", index + 1, repair.what, repair.why));
        if let Some(why) = &repair.by_hand {
            comment(&mut page, "", &format!("By hand, --apply leaves it: {why}."));
        }
        for command in &repair.commands {
            page.push_str(command);
            page.push('\n');
        }
    }
    if repairs.is_empty() {
        page.push_str("# Nothing is missing that a command could make.\n");
    }
    page
}

/// One check.
pub(super) fn line(page: &mut String, check: &Check, look: Look) {
    let status = check.status.as_str();
    let colour = match check.status {
        Status::Ok => "32",
        Status::Skipped => "2",
        Status::NotKnown | Status::Warning => "33",
        Status::Failed => "31",
    };
    match look.colours {
        true => page.push_str(&format!("\u{1b}[{colour}m{status}\u{1b}[0m{}", " ".repeat(INDENT - status.len()))),
        false => page.push_str(&format!("{status:<INDENT$}")),
    }
    let target = check.target.as_deref().map(|target| format!(" ({target})")).unwrap_or_default();
    let said = format!("{}{target}: {}", check.id, check.what);
    fold(page, &plain(&said), look.width, INDENT, INDENT);
    page.push('\n');
    if let Some(fix) = check.fix.as_deref().filter(|_| check.status != Status::Ok) {
        page.push_str(&" ".repeat(INDENT));
        fold(page, &plain(&format!("fix: {fix}")), look.width, INDENT + 5, INDENT);
        page.push('\n');
    }
}

/// The text with control characters escaped: it comes from services and files.
pub(super) fn plain(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

/// The report as JSON.
#[derive(Serialize)]
struct Shape<'r> {
    checks: &'r [Check],
    failed: usize,
    warnings: usize,
    not_known: usize,
    ok: usize,
    skipped: usize,
}

/// The report as one JSON object, over several lines.
pub fn json(report: &Report) -> String {
    let shape = Shape {
        checks: &report.checks,
        failed: report.count(Status::Failed),
        warnings: report.count(Status::Warning),
        not_known: report.count(Status::NotKnown),
        ok: report.count(Status::Ok),
        skipped: report.count(Status::Skipped),
    };
    // It has no keys but texts, and no numbers that JSON does not know.
    let mut text = serde_json::to_string_pretty(&shape).unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let check = |id: &str, target: Option<&str>, status: Status, what: &str, fix: Option<&str>| Check {
            id: id.to_owned(),
            target: target.map(str::to_owned),
            status,
            what: what.to_owned(),
            fix: fix.map(str::to_owned),
        };
        Report {
            checks: vec![
                check("aws.clock", None, Status::Ok, "agrees", None),
                check(
                    "stream.status",
                    Some("a"),
                    Status::Failed,
                    "there is no\u{1b}[31m stream of this name anywhere that could be found",
                    Some("make it, or correct its name, its Region or its account, whatever it may be"),
                ),
                check("permission.a:B", None, Status::NotKnown, "nothing tells", None),
            ],
        }
    }

    #[test]
    fn a_check_is_a_line_and_a_fix_below() {
        let expected = "\
ok         aws.clock: agrees
failed     stream.status (a): there is no\\u{1b}[31m stream of this name
           anywhere that could be found
           fix: make it, or correct its name, its Region or its account,
                whatever it may be
not known  permission.a:B: nothing tells
1 failed, 1 not known, 1 ok
";
        assert_eq!(text(&report(), Look { width: 72, colours: false }), expected);
        let coloured = text(&report(), Look { width: 200, colours: true });
        assert!(coloured.starts_with("\u{1b}[32mok\u{1b}[0m         aws.clock"), "{coloured}");
    }

    #[test]
    fn json_has_the_same() {
        let found: serde_json::Value = serde_json::from_str(&json(&report())).unwrap();
        assert_eq!(found["failed"], 1);
        assert_eq!(found["checks"][1]["id"], "stream.status");
        assert_eq!(found["checks"][2]["status"], "not_known");
        assert_eq!(found["checks"][0].get("fix"), None);
    }
}
