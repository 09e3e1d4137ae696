//! The printer: invocations as what a person asked to see, with the terminal's width, colours and days in mind.

use std::io::{self, IsTerminal as _};

use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::enrich::Event;
use crate::enrich::cost::Prices;
use crate::format::text::escape::{Place, json_for_terminal, push_escaped};
use crate::format::text::layout::Layout;
use crate::format::text::{Colours, Row, Tone, bodies, plain};
use crate::format::{panther, raw};
use crate::invocation::Invocation;
use crate::pipeline::Context;
use crate::record::Origin;
use crate::reject::Fault;

/// The width of a terminal that does not say its own.
const UNKNOWN_WIDTH: usize = 80;

/// What is printed for an invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One line for people.
    Text {
        /// With prompt and answer under it.
        bodies: bool,
    },
    /// One JSON object a line, in the panther format.
    Json,
    /// The record as it came.
    Raw,
}

/// How it looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// The terminal's width; none where output is no terminal.
    pub columns: Option<usize>,
    /// Whether the width is that of this process' terminal, and is looked at again from time to time.
    pub follows_terminal: bool,
    /// Whether what goes to standard output is coloured.
    pub colours: Colours,
    /// Whether what goes to standard error is coloured.
    pub note_colours: Colours,
}

impl Look {
    /// The look for this process' standard output and error; `colour` is what the user wants, if anything. In doubt,
    /// terminals are coloured unless `NO_COLOR` is set (<https://no-color.org>) or the terminal is a dumb one.
    pub fn of_process(colour: Option<bool>) -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let wanted = |terminal: bool| {
            let on = colour.unwrap_or(terminal && !set("NO_COLOR") && !dumb);
            if on { Colours::On } else { Colours::Off }
        };
        Self {
            columns: columns_of_stdout(),
            follows_terminal: true,
            colours: wanted(io::stdout().is_terminal()),
            note_colours: wanted(io::stderr().is_terminal()),
        }
    }
}

/// The width of the terminal that standard output is, if it is one.
fn columns_of_stdout() -> Option<usize> {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    let size = terminal_size::terminal_size_of(&stdout);
    Some(size.map_or(UNKNOWN_WIDTH, |(width, _)| usize::from(width.0)).max(1))
}

/// Turns invocations into bytes, whole lines only.
#[derive(Debug)]
pub struct Printer {
    form: Form,
    look: Look,
    layout: Option<Layout>,
    /// The day of the last line; a terminal is told when it changes, since lines show the time only.
    day: Option<Date>,
    out: Vec<u8>,
    notes: Vec<u8>,
}

impl Printer {
    /// A printer that has printed nothing.
    pub fn new(form: Form, look: Look) -> Self {
        Self { form, look, layout: look.columns.map(Layout::new), day: None, out: Vec::new(), notes: Vec::new() }
    }

    /// Looks whether the terminal has another width by now.
    pub fn resize(&mut self) {
        if self.look.follows_terminal && self.look.columns.is_some() {
            let columns = columns_of_stdout();
            if columns != self.look.columns {
                self.look.columns = columns;
                self.layout = columns.map(Layout::new);
            }
        }
    }

    /// Prints an invocation.
    pub fn invocation(&mut self, invocation: &Invocation<'_>, context: &Context<'_>) {
        self.event(&Event::new(invocation), context);
    }

    /// Prints an event, with the marks that it has.
    pub fn event(&mut self, event: &Event<'_>, context: &Context<'_>) {
        match self.form {
            Form::Text { bodies } => self.text(event, context.prices, bodies),
            Form::Json => self.json(|out| panther::encode(event, context, out)),
            Form::Raw => self.json(|out| raw::encode(event, out)),
        }
    }

    /// Notes a reject on standard error: where it came from and why, and nothing of what it holds.
    pub fn reject(&mut self, fault: &Fault, origin: &Origin) {
        let mut line = String::new();
        push_escaped(&mut line, &format!("rejected {origin}: {fault}"), Place::Body);
        self.notes.extend_from_slice(self.look.note_colours.paint(Tone::Dim, &line).as_bytes());
        self.notes.push(b'\n');
    }

    /// Takes what was printed for standard output.
    pub fn take_lines(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// Takes what was printed for standard error.
    pub fn take_notes(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.notes)
    }

    fn text(&mut self, event: &Event<'_>, prices: &Prices, with_bodies: bool) {
        let row = Row::of(event, prices);
        let colours = self.look.colours;
        let mut text = String::new();
        match &self.layout {
            Some(layout) => {
                let day = row.time.to_zoned(TimeZone::UTC).date();
                if self.day.replace(day) != Some(day) {
                    text.push_str(&colours.paint(Tone::Dim, &layout.day(day)));
                    text.push('\n');
                }
                text.push_str(&layout.line(&row, colours));
            }
            None => text.push_str(&plain(&row, colours)),
        }
        text.push('\n');
        if with_bodies {
            bodies::push(&mut text, event, self.look.columns, colours);
        }
        self.out.extend_from_slice(text.as_bytes());
    }

    fn json(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        if self.look.columns.is_none() {
            encode(&mut self.out);
        } else {
            let mut line = Vec::new();
            encode(&mut line);
            self.out.extend_from_slice(json_for_terminal(&String::from_utf8_lossy(&line)).as_bytes());
        }
        self.out.push(b'\n');
    }
}
