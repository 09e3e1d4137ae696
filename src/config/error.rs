//! A configuration that is not valid: each fault with its place, what is allowed, and the way out.

use std::fmt;

/// What is wrong with a configuration: every fault that was found, in the order of the file.
#[derive(Debug)]
pub struct ConfigError {
    name: String,
    faults: Vec<Fault>,
    /// Faults that are not shown.
    more: usize,
}

/// One fault, with all that a person needs to mend it.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) place: Place,
    /// The key's full path; empty where no key is at fault.
    pub(super) key: String,
    /// What is wrong.
    pub(super) message: String,
    /// What to write instead, shown beside the caret.
    pub(super) hint: Option<String>,
    /// What is allowed.
    pub(super) allowed: Option<String>,
}

/// Where a fault is.
#[derive(Debug)]
pub(super) enum Place {
    /// Nowhere in particular.
    File,
    /// In a variable of the environment.
    Variable(String),
    /// In a line of the file.
    Line {
        /// The line's number, from 1.
        line: usize,
        /// The column in characters, from 1.
        column: usize,
        /// The line's text, if it may be shown, with the place in it.
        excerpt: Option<Excerpt>,
    },
}

/// A line of the file with a mark.
#[derive(Debug)]
pub(super) struct Excerpt {
    /// The text, without control characters.
    pub(super) text: String,
    /// Characters before the mark.
    pub(super) before: usize,
    /// Characters that are marked.
    pub(super) marked: usize,
}

/// How errors are shown.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Columns to fit into.
    pub width: usize,
    /// Whether escape sequences for colours are written.
    pub colours: bool,
}

impl Look {
    /// For logs and files: no colours, lines of 100 columns.
    pub const PLAIN: Self = Self { width: 100, colours: false };
}

/// The fewest columns that text is folded to; narrower terminals fold it themselves.
const MIN_WIDTH: usize = 40;

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Look::PLAIN))
    }
}

impl ConfigError {
    pub(super) fn new(name: &str, faults: Vec<Fault>) -> Self {
        Self { name: name.to_owned(), faults, more: 0 }
    }

    /// The same error, with a number of faults that are not shown.
    pub(super) fn and_more(self, more: usize) -> Self {
        Self { more, ..self }
    }

    /// One fault of the whole file.
    pub(super) fn whole(name: &str, message: String) -> Self {
        let fault = Fault { place: Place::File, key: String::new(), message, hint: None, allowed: None };
        Self::new(name, vec![fault])
    }

    /// The error in one line, for the log: where the first fault is and what is wrong, and how many more there are.
    pub fn brief(&self) -> String {
        let Some(fault) = self.faults.first() else { return format!("{}: not valid", self.name) };
        let mut text = match &fault.place {
            Place::File => self.name.clone(),
            Place::Variable(variable) => format!("environment variable {variable}"),
            Place::Line { line, column, .. } => format!("{}:{line}:{column}", self.name),
        };
        text.push_str(": ");
        if !fault.key.is_empty() {
            text.push_str(&format!("`{}`: ", fault.key));
        }
        text.push_str(&fault.message);
        for (label, more) in [("hint", &fault.hint), ("allowed", &fault.allowed)] {
            if let Some(more) = more {
                text.push_str(&format!("; {label}: {more}"));
            }
        }
        match self.faults.len() + self.more - 1 {
            0 => {}
            1 => text.push_str("; and one more fault"),
            more => text.push_str(&format!("; and {more} more faults")),
        }
        text.replace(['\n', '\r'], " ")
    }

    /// The error as text of several lines, without a newline at its end.
    pub fn render(&self, look: Look) -> String {
        let mut page = Page { look: Look { width: look.width.max(MIN_WIDTH), ..look }, text: String::new() };
        match self.faults.len() + self.more {
            0 | 1 => {}
            count => page.text.push_str(&format!("{} has {count} faults\n\n", self.name)),
        }
        for (index, fault) in self.faults.iter().enumerate() {
            if index > 0 {
                page.text.push_str("\n\n");
            }
            page.fault(&self.name, fault);
        }
        if self.more > 0 {
            page.text.push_str(&format!("\n\nand {} more", self.more));
        }
        page.text
    }
}

/// A colour's escape sequence.
#[derive(Clone, Copy)]
enum Ink {
    Bold,
    Red,
    Blue,
}

/// Text in the making.
struct Page {
    look: Look,
    text: String,
}

impl Page {
    fn ink(&mut self, ink: Ink, text: &str) {
        if !self.look.colours {
            self.text.push_str(text);
            return;
        }
        let code = match ink {
            Ink::Bold => "1",
            Ink::Red => "1;31",
            Ink::Blue => "1;34",
        };
        self.text.push_str(&format!("\u{1b}[{code}m{text}\u{1b}[0m"));
    }

    fn fault(&mut self, name: &str, fault: &Fault) {
        let place = match &fault.place {
            Place::File => name.to_owned(),
            Place::Variable(variable) => format!("environment variable {variable}"),
            Place::Line { line, column, .. } => format!("{name}:{line}:{column}"),
        };
        self.ink(Ink::Bold, &format!("{place}:"));
        // The message begins a line of its own where it would be folded anyhow: a place can be long, and stays whole so
        // that terminals can follow it.
        let key = if fault.key.is_empty() { String::new() } else { format!("`{}`: ", fault.key) };
        let message = format!("{key}{}", fault.message);
        let fits = place.chars().count() + 2 + message.chars().count() <= self.look.width;
        let indent = if fits { " " } else { "\n    " };
        self.text.push_str(indent);
        self.fold(&message, 4, if fits { place.chars().count() + 2 } else { 4 });
        let margin = self.excerpt(fault);
        for (label, text) in [("hint", &fault.hint), ("allowed", &fault.allowed)] {
            let Some(text) = text else { continue };
            self.text.push('\n');
            self.text.push_str(&" ".repeat(margin));
            self.ink(Ink::Blue, "=");
            self.text.push_str(&format!(" {label}: "));
            let indent = margin + label.len() + 4;
            self.fold(text, indent, indent);
        }
    }

    /// Shows the line with its mark, and gives the width of the margin.
    fn excerpt(&mut self, fault: &Fault) -> usize {
        let Place::Line { line, excerpt: Some(excerpt), .. } = &fault.place else { return 4 };
        let number = line.to_string();
        let margin = number.len() + 1;
        let (text, before, marked) = excerpt.clip(self.look.width - margin - 2);
        self.text.push('\n');
        self.ink(Ink::Blue, &format!("{number} |"));
        self.text.push_str(&format!(" {text}\n"));
        self.ink(Ink::Blue, &format!("{}|", " ".repeat(margin)));
        self.text.push_str(&" ".repeat(before + 1));
        self.ink(Ink::Red, &"^".repeat(marked));
        margin
    }

    fn fold(&mut self, text: &str, indent: usize, used: usize) {
        fold(&mut self.text, text, self.look.width, indent, used);
    }
}

/// Writes `text` to `page` from column `used`, folded between words to the width, each further line after `indent` spaces.
pub(crate) fn fold(page: &mut String, text: &str, width: usize, indent: usize, used: usize) {
    let mut column = used;
    for (index, word) in text.split(' ').enumerate() {
        let length = word.chars().count();
        if index > 0 && column + 1 + length > width {
            page.push('\n');
            page.push_str(&" ".repeat(indent));
            column = indent;
        } else if index > 0 {
            page.push(' ');
            column += 1;
        }
        page.push_str(word);
        column += length;
    }
}

impl Excerpt {
    /// The part of the line around the mark that fits into `width`, with the mark's place in it.
    fn clip(&self, width: usize) -> (String, usize, usize) {
        let chars: Vec<char> = self.text.chars().collect();
        if chars.len() <= width {
            return (self.text.clone(), self.before, self.marked.max(1));
        }
        // A third of the width is left for what stands before the mark.
        let start = self.before.saturating_sub(width / 3).min(chars.len().saturating_sub(width));
        let end = (start + width).min(chars.len());
        let mut shown: Vec<char> = chars[start..end].to_vec();
        if start > 0 {
            shown[0] = '…';
        }
        if end < chars.len()
            && let Some(last) = shown.last_mut()
        {
            *last = '…';
        }
        let before = self.before - start;
        (shown.into_iter().collect(), before, self.marked.clamp(1, (width - before).max(1)))
    }
}
