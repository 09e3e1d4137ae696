//! A layout: which columns a terminal of some width shows, and how wide each of them is.

use jiff::civil::Date;

use super::colour::{Colours, Tone};
use super::escape::{cut, width};
use super::number::{Digits, count, duration, money};
use super::row::{Outcome, Row};

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Time,
    Operation,
    Model,
    Who,
    Tokens,
    Cost,
    Latency,
    End,
    Region,
    Account,
    RequestId,
}

use Column::{Account, Cost, End, Latency, Model, Operation, Region, RequestId, Time, Tokens, Who};

/// The columns that every terminal shows which is wide enough, as they stand, each with its least width.
const CORE: [(Column, usize); 8] =
    [(Time, 8), (Operation, 9), (Model, 14), (Who, 9), (Tokens, 10), (Cost, 6), (Latency, 5), (End, 10)];

/// What a narrow terminal does without, first to last. The time is always shown.
const DROPPED: [Column; 7] = [Operation, Latency, Cost, Tokens, Who, End, Model];

/// What room that is left is spent on, first to last: a width that a core column grows to, or a further column that is
/// shown where all of it fits. The widths hold what is common: a model without its date, then with it.
const GROWN: [(Column, usize); 16] = [
    (Model, 16),
    (Tokens, 12),
    (Model, 20),
    (Who, 14),
    (End, 13),
    (Operation, 14),
    (Model, 29),
    (Cost, 8),
    (Who, 20),
    (RequestId, 36),
    (Region, 19),
    (Account, 12),
    (Model, 44),
    (Who, 40),
    (End, 28),
    (Tokens, 21),
];

/// From this width on two blanks stand between columns, not one.
const WIDE: usize = 96;

/// What was found has this part of a line, and at most so many columns.
const MARKS_SHARE: usize = 4;
const MAX_MARKS: usize = 34;

/// Which columns are shown, and how wide each is.
#[derive(Clone, Debug)]
pub struct Layout {
    columns: Vec<(Column, usize)>,
    gap: usize,
    width: usize,
    /// The columns in which stands what was found; none where room for it is made only when it is needed.
    marks: usize,
}

impl Layout {
    /// The layout for a terminal of this many columns.
    pub fn new(width: usize) -> Self {
        let gap = if width >= WIDE { 2 } else { 1 };
        let mut columns = CORE.to_vec();
        let taken = |columns: &[(Column, usize)]| -> usize {
            columns.iter().map(|(_, columns)| columns).sum::<usize>() + gap * columns.len().saturating_sub(1)
        };
        for dropped in DROPPED {
            if taken(&columns) <= width {
                break;
            }
            columns.retain(|(column, _)| *column != dropped);
        }
        let mut room = width.saturating_sub(taken(&columns));
        for (column, wanted) in GROWN {
            if let Some((_, columns)) = columns.iter_mut().find(|(known, _)| *known == column) {
                let more = wanted.saturating_sub(*columns).min(room);
                *columns += more;
                room -= more;
            } else if columns.len() >= CORE.len() && wanted + gap <= room {
                columns.push((column, wanted));
                room -= wanted + gap;
            }
        }
        // A request id is the longest and the least looked at: it stands last.
        columns.sort_by_key(|(column, _)| *column as usize);
        Self { columns, gap, width, marks: 0 }
    }

    /// The layout of lines that have room for what was found, marked or not.
    pub fn with_marks(width: usize) -> Self {
        let marks = (width / MARKS_SHARE).clamp(1, MAX_MARKS).min(width);
        let room = width.saturating_sub(marks + 1);
        let Self { mut columns, gap, .. } = Self::new(room);
        columns.iter_mut().for_each(|(_, columns)| *columns = room.min(*columns));
        Self { columns, gap, width, marks }
    }

    /// The line that tells a new day.
    pub fn day(&self, day: Date) -> String {
        cut(&format!("{day} UTC"), self.width)
    }

    /// The row, fitted: never wider than the terminal.
    pub fn line(&self, row: &Row, colours: Colours) -> String {
        if row.findings.is_empty() {
            return self.columns_of(row, colours).0;
        }
        if self.marks == 0 {
            // What was found is worth more than the columns that make room for it.
            return Self::with_marks(self.width).marked(row, colours);
        }
        self.marked(row, colours)
    }

    /// A row with its mark, which stands in the same place in every line.
    fn marked(&self, row: &Row, colours: Colours) -> String {
        let (mut line, used) = self.columns_of(row, colours);
        let mark = row.findings_in(self.marks);
        line.extend(std::iter::repeat_n(' ', self.width.saturating_sub(used + self.marks)));
        line.push_str(&colours.paint(row.findings_tone(), &mark));
        line
    }

    /// The columns, and how wide they are together.
    fn columns_of(&self, row: &Row, colours: Colours) -> (String, usize) {
        let mut used = 0;
        let mut line = String::with_capacity(self.width * 2);
        let mut blanks = 0;
        let mut skipped = 0;
        let spans = row.outcome == Outcome::Failed && (row.input, row.output) == (None, None);
        for &(column, columns) in &self.columns {
            // A call that failed has no tokens, cost and latency: its error takes their place.
            if spans && matches!(column, Tokens | Cost | Latency) {
                skipped += columns + self.gap;
                continue;
            }
            let columns = columns + std::mem::take(&mut skipped);
            let text = cut(&cell(row, column, columns), columns.min(self.width));
            let padding = columns.saturating_sub(width(&text));
            let (before, after) = if matches!(column, Tokens | Cost | Latency) { (padding, 0) } else { (0, padding) };
            line.extend(std::iter::repeat_n(' ', blanks + before));
            line.push_str(&colours.paint(tone(row, column), &text));
            used += blanks + before + width(&text);
            // Blanks at the end of a line are never written.
            blanks = after + self.gap;
        }
        (line, used)
    }
}

fn cell(row: &Row, column: Column, columns: usize) -> String {
    let text = match column {
        Time => row.time.strftime("%H:%M:%S").to_string(),
        Operation => row.operation_in(columns).to_owned(),
        Model => row.model_in(columns),
        Who => row.who_in(columns).to_owned(),
        Tokens => tokens(row, columns),
        Cost => row.cost.map(|cost| money(cost, columns)).unwrap_or_default(),
        Latency => row.latency_ms.map(duration).unwrap_or_default(),
        End => row.end_in(columns),
        Region => row.region.clone(),
        Account => row.account.clone(),
        RequestId => row.request_id.clone(),
    };
    if text.is_empty() { "-".to_owned() } else { text }
}

fn tone(row: &Row, column: Column) -> Tone {
    match column {
        Operation => Tone::Name,
        Who => Tone::Who,
        Model | Tokens | Cost => Tone::Plain,
        End => row.tone(),
        Time | Latency | Region | Account | RequestId => Tone::Dim,
    }
}

/// `prompt+cached/answer`, with as many digits as fit; nothing is added where nothing was cached.
fn tokens(row: &Row, columns: usize) -> String {
    if (row.input, row.output, row.cached) == (None, None, None) {
        return String::new();
    }
    let mut text = String::new();
    for digits in [Digits::All, Digits::Three, Digits::Two] {
        let number = |number: Option<i64>| number.map_or("-".to_owned(), |number| count(number, digits));
        let cached = match row.cached {
            Some(cached) if cached != 0 => format!("+{}", count(cached, digits)),
            _ => String::new(),
        };
        text = format!("{}{cached}/{}", number(row.input), number(row.output));
        if text.len() <= columns {
            break;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::tests::row;
    use super::*;
    use crate::detect::Severity;

    #[test]
    fn a_line_shows_what_fits() {
        let check = |columns: usize, expected: &str| {
            assert_eq!(Layout::new(columns).line(&row(), Colours::Off), expected, "{columns} columns");
        };
        check(0, "");
        check(8, "07:51:59");
        check(23, "07:51:59 claude-haiku-…");
        check(40, "07:51:59 us.claude-haiku-4-5  end_turn");
        check(60, "07:51:59 claude-haiku-4-5  App/alice      1645/15 end_turn");
        check(80, "07:51:59 Converse~ claude-haiku-4-5 App/alice    1645/15 $.0017 576ms end_turn");
        check(100, "07:51:59  Converse~  us.claude-haiku-4-5   App/alice            1645/15  $.0017  576ms  end_turn");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let long = Row {
            operation: "InvokeModelWithResponseStreamAndMore".to_owned(),
            model: "日本".repeat(40),
            who: "Role/".to_owned() + &"\\u{1b}".repeat(40),
            input: Some(i64::MIN),
            output: Some(i64::MAX),
            cached: Some(i64::MAX),
            cost: Some(crate::enrich::cost::Usd(i64::MAX)),
            latency_ms: Some(i64::MAX),
            end: "x".repeat(100),
            region: "y".repeat(100),
            account: "z".repeat(100),
            request_id: "w".repeat(100),
            ..row()
        };
        let failed = Row { input: None, output: None, outcome: Outcome::Failed, ..long.clone() };
        for columns in 0..260 {
            let layout = Layout::new(columns);
            for row in [&long, &failed, &row()] {
                let line = layout.line(row, Colours::Off);
                assert!(width(&line) <= columns, "{} in {columns}: {line}", width(&line));
                let coloured = layout.line(row, Colours::On);
                let stripped = strip(&coloured);
                assert_eq!(stripped, line, "colour changes no character");
                if columns >= 8 {
                    assert!(coloured.contains("\x1b[2m"), "{coloured:?}");
                }
            }
        }
    }

    fn strip(text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("\x1b[") {
            out.push_str(before);
            rest = after.split_once('m').unwrap().1;
        }
        out + rest
    }

    #[test]
    fn an_error_takes_the_place_of_what_it_has_not() {
        let failed = Row {
            input: None,
            output: None,
            cached: None,
            cost: None,
            latency_ms: None,
            end: "ServiceQuotaExceededException".to_owned(),
            outcome: Outcome::Failed,
            ..row()
        };
        let line = Layout::new(80).line(&failed, Colours::Off);
        assert!(line.ends_with("App/alice ServiceQuotaExceededException"), "{line}");
    }

    #[test]
    fn what_was_found_stands_at_the_end() {
        let found = |rules: &[(&str, Severity)]| Row {
            findings: rules.iter().map(|(rule, severity)| ((*rule).to_owned(), *severity)).collect(),
            ..row()
        };
        let one = found(&[("tap.guardrail-intervened", Severity::Medium)]);
        let two = found(&[("tap.refused", Severity::Low), ("panther.x", Severity::High), ("acme.y", Severity::High)]);
        let check = |row: &Row, columns: usize, expected: &str| {
            assert_eq!(Layout::new(columns).line(row, Colours::Off), expected, "{columns} columns");
        };
        check(&one, 0, "");
        check(&one, 1, "!");
        check(&one, 9, "07:51… !");
        check(&one, 12, "07:51:59 !");
        check(&one, 40, "07:51:59 us.claude-haiku-4-5  ! guardra…");
        check(&one, 60, "07:51:59 claude-haiku-… App/alice end_turn   ! guardrail-in…");
        check(&one, 80, "07:51:59 claude-haiku-4-5 App/alice      1645/15 end_turn   ! guardrail-interve…");
        check(&two, 80, "07:51:59 claude-haiku-4-5 App/alice      1645/15 end_turn   ! panther.x +2");
        let unmarked = Layout::with_marks(80).line(&row(), Colours::Off);
        assert_eq!(
            unmarked, "07:51:59 claude-haiku-4-5 App/alice      1645/15 end_turn",
            "columns stay where they are"
        );
        let line = Layout::new(80).line(&two, Colours::On);
        assert!(line.ends_with("\x1b[1;31m! panther.x +2\x1b[0m"), "{line:?}");
        for columns in 0..200 {
            for row in [&one, &two] {
                let line = Layout::new(columns).line(row, Colours::Off);
                assert!(width(&line) <= columns && !line.ends_with(' '), "{columns}: {line}");
            }
        }
    }

    #[test]
    fn tokens_lose_digits_before_they_are_cut() {
        let check = |columns: usize, expected: &str| {
            let row = Row { input: Some(1645), cached: Some(24_316), output: Some(5123), ..row() };
            assert_eq!(tokens(&row, columns), expected, "{columns} columns");
        };
        check(21, "1645+24316/5123");
        check(15, "1645+24316/5123");
        check(14, "1.6k+24k/5.1k");
        check(5, "1.6k+24k/5.1k");
    }
}
