//! Wrapping: text broken into lines that fit, at blanks where there are any.

use unicode_width::UnicodeWidthChar as _;

use super::escape::{Place, push_escaped};

/// Appends `text` behind what stands on the line already, and breaks it into lines of at most `columns`; further lines
/// begin with `indent` blanks. Newlines break, tabs become four blanks, everything else that a terminal would act on is
/// escaped. Without `columns` only newlines break.
pub(super) struct Wrap {
    /// The width, or none.
    pub(super) columns: Option<usize>,
    /// The blanks before each further line.
    pub(super) indent: usize,
}

impl Wrap {
    /// Appends the text; `used` is how many columns the line's beginning takes. Gives how many its last line takes.
    pub(super) fn push(&self, out: &mut String, used: usize, text: &str) -> usize {
        let mut used = used;
        let text = text.trim_end_matches(['\n', '\r']);
        for (index, line) in text.split('\n').enumerate() {
            if index > 0 {
                used = self.new_line(out);
            }
            let mut escaped = String::with_capacity(line.len());
            push_escaped(&mut escaped, &line.strip_suffix('\r').unwrap_or(line).replace('\t', "    "), Place::Body);
            used = self.push_line(out, used, &escaped);
        }
        used
    }

    fn new_line(&self, out: &mut String) -> usize {
        out.truncate(out.trim_end_matches(' ').len());
        out.push('\n');
        out.extend(std::iter::repeat_n(' ', self.indent));
        self.indent
    }

    fn push_line(&self, out: &mut String, used: usize, line: &str) -> usize {
        let Some(columns) = self.columns else {
            out.push_str(line);
            return used + super::escape::width(line);
        };
        // A terminal that is narrower than the indentation still gets a few characters a line.
        let columns = columns.max(self.indent + 8);
        let mut used = used;
        for word in line.split_inclusive(' ') {
            let word_width = super::escape::width(word.trim_end_matches(' '));
            if used + word_width > columns && used > self.indent && word_width <= columns - self.indent {
                used = self.new_line(out);
            }
            for c in word.chars() {
                let width = c.width().unwrap_or(0);
                if used + width > columns {
                    if c == ' ' {
                        continue;
                    }
                    used = self.new_line(out);
                }
                out.push(c);
                used += width;
            }
        }
        used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_broken_at_blanks() {
        let check = |columns: Option<usize>, text: &str, expected: &str| {
            let mut out = "  user: ".to_owned();
            Wrap { columns, indent: 4 }.push(&mut out, 8, text);
            assert_eq!(out, expected, "{text:?} in {columns:?}");
        };
        check(None, "one two three\nfour\r\n", "  user: one two three\n    four");
        check(Some(16), "one two three four", "  user: one two\n    three four");
        check(Some(16), "onetwothreefourfivesix", "  user: onetwoth\n    reefourfives\n    ix");
        check(Some(20), "a\tb \u{1b}[2J", "  user: a    b\n    \\u{1b}[2J");
        check(Some(16), "日本語日本語", "  user:\n    日本語日本語");
        check(Some(2), "one two", "  user: one\n    two");
        check(Some(16), "", "  user: ");
    }
}
