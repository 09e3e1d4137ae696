//! Fetched bodies in the pure line. The line fetches nothing: it takes a record apart up to the first event whose bodies
//! it does not know, says which ones it wants, looks ahead for more of them, and goes on at that very event once it is
//! told. What came before stays as it is, so that a record of any number of bodies needs the memory of a few.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Context, Packer};
use crate::bodies::{Allowed, Body, Known, Pointer, State};
use crate::body::moved_to;
use crate::enrich::Marks;
use crate::invocation::{Invocation, RawJson, Section};
use crate::reject::Skip;

/// Bodies that are wanted at a time: enough that those of busy streams land side by side, few enough that looking for them
/// costs little.
const MAX_WANTED: usize = 256;

/// Bytes of fetched bodies after which a part ends: what is encoded has no place in a budget until then.
const PART_BYTES: usize = 4 << 20;

/// What the line knows of bodies in S3, and how far it is in a record that is taken apart in parts.
#[derive(Debug)]
pub struct Fetched {
    allowed: Arc<Allowed>,
    known: Known,
    wanted: Vec<Pointer>,
    /// How many of the wanted belong to the event at which the line stopped.
    must: usize,
    paths: HashSet<String>,
    /// What became of the events of this record that were dealt with in earlier parts.
    done: Vec<Option<Skip>>,
    /// Events of this record that were met in this run over it.
    seen: usize,
    /// Bytes of bodies that this part has.
    bytes: usize,
    halt: Option<Halt>,
}

/// Why a part ended within a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Halt {
    /// Bodies are wanted; on the way to the end there may be more of them.
    Wanting,
    /// It is large enough.
    Full,
}

/// What an event is to the part of the record that is being made.
pub(super) enum Turn {
    /// It was dealt with before; this became of it.
    Done(Option<Skip>),
    /// It is taken as it came.
    Plain,
    /// It is taken with what is known of its bodies.
    Moved(Moved),
    /// It comes with another part.
    Later,
}

/// What is known of the bodies that an event points at.
pub(super) struct Moved {
    input: Option<Result<Arc<Body>, State>>,
    output: Option<Result<Arc<Body>, State>>,
}

impl Fetched {
    /// Nothing is known yet.
    pub fn new(allowed: Arc<Allowed>) -> Self {
        Self {
            allowed,
            known: Known::default(),
            wanted: Vec::new(),
            must: 0,
            paths: HashSet::new(),
            done: Vec::new(),
            seen: 0,
            bytes: 0,
            halt: None,
        }
    }

    /// The bodies that are wanted before the line can go on, and how many of them it cannot do without. What was known so
    /// far is used up, and is given up with this.
    pub fn take_wanted(&mut self) -> Option<(Vec<Pointer>, usize)> {
        if self.wanted.is_empty() {
            return None;
        }
        self.known = Known::default();
        self.paths.clear();
        Some((std::mem::take(&mut self.wanted), std::mem::take(&mut self.must)))
    }

    /// What became of those that were wanted.
    pub fn tell(&mut self, known: Known) {
        self.known = known;
    }

    /// Begins a part.
    pub fn begin_part(&mut self) {
        (self.bytes, self.halt) = (0, None);
    }

    /// Whether the record that was taken apart last is done.
    pub fn is_done(&self) -> bool {
        self.halt.is_none()
    }

    /// Whether it is worth looking into the records behind for more bodies to fetch.
    pub fn looks_ahead(&self) -> bool {
        self.halt == Some(Halt::Wanting) && self.wanted.len() < MAX_WANTED
    }

    /// Begins a run over a record.
    pub(super) fn begin(&mut self) {
        self.seen = 0;
    }

    /// Ends a run over a record, and says whether all of it is done.
    pub(super) fn finish(&mut self) -> bool {
        if self.is_done() {
            self.done.clear();
        }
        self.is_done()
    }

    /// What is to be done with the next event of the record.
    pub(super) fn turn(&mut self, invocation: &Invocation<'_>) -> Turn {
        let index = self.seen;
        self.seen += 1;
        match self.halt {
            Some(Halt::Full) => return Turn::Later,
            Some(Halt::Wanting) => {
                if self.wanted.len() < MAX_WANTED {
                    self.want(invocation);
                }
                return Turn::Later;
            }
            None => {}
        }
        if let Some(skip) = self.done.get(index) {
            return Turn::Done(*skip);
        }
        if self.bytes >= PART_BYTES {
            self.halt = Some(Halt::Full);
            return Turn::Later;
        }
        let Some(moved) = self.moved(invocation) else {
            self.halt = Some(Halt::Wanting);
            self.want(invocation);
            self.must = self.wanted.len();
            return Turn::Later;
        };
        if moved.input.is_none() && moved.output.is_none() {
            return Turn::Plain;
        }
        let found = [&moved.input, &moved.output].into_iter().flatten().flatten();
        self.bytes += found.map(|body| body.json().len()).sum::<usize>();
        Turn::Moved(moved)
    }

    /// Notes what became of an event whose turn it was.
    pub(super) fn done(&mut self, skip: Option<Skip>) {
        self.done.push(skip);
    }

    /// What is known of the bodies that the event points at; none if something is not known yet.
    fn moved(&self, invocation: &Invocation<'_>) -> Option<Moved> {
        let known = |section| match self.pointer(invocation, section) {
            None => Some(None),
            Some(Err(state)) => Some(Some(Err(state))),
            Some(Ok(path)) => self.known.get(&path).cloned().map(Some),
        };
        Some(Moved { input: known(Section::Input)?, output: known(Section::Output)? })
    }

    /// Where the event's body is, if it is not in the event, and may be fetched.
    fn pointer(&self, invocation: &Invocation<'_>, section: Section) -> Option<Result<String, State>> {
        let body = match section {
            Section::Input => invocation.input.as_ref().and_then(|input| input.input_body_json),
            _ => invocation.output.as_ref().and_then(|output| output.output_body_json),
        };
        if body.is_some() {
            return None;
        }
        let moved = moved_to(invocation, section)?;
        let path = moved.decode();
        Some(self.allowed.check(&path, &invocation.account_id.decode()).map(|()| path.into_owned()))
    }

    /// Notes that the bodies of an event are wanted.
    fn want(&mut self, invocation: &Invocation<'_>) {
        for section in [Section::Input, Section::Output] {
            if let Some(Ok(path)) = self.pointer(invocation, section)
                && self.paths.insert(path.clone())
            {
                self.wanted.push(Pointer { path, event_time: invocation.event_time });
            }
        }
    }
}

impl Moved {
    pub(super) fn marks(&self) -> Marks {
        let mark = |found: &Option<Result<Arc<Body>, State>>| {
            let state = found.as_ref()?.as_ref().map_or_else(|state| *state, |_| State::Fetched);
            Some(state.as_str())
        };
        Marks { input_body: mark(&self.input), output_body: mark(&self.output), ..Marks::default() }
    }

    /// The invocation with the bodies that there are, as if they had been in the record.
    pub(super) fn put_into<'b>(&'b self, invocation: &Invocation<'b>) -> Invocation<'b> {
        let mut whole = invocation.clone();
        // A null in a body's place is no body, here as in a record.
        let json = |body: &'b Body| Some(RawJson(body.json())).filter(|json| json.0 != "null");
        if let (Some(Ok(body)), Some(input)) = (&self.input, &mut whole.input) {
            input.input_body_json = json(body);
            whole.line_breaks |= body.line_breaks();
        }
        if let (Some(Ok(body)), Some(output)) = (&self.output, &mut whole.output) {
            output.output_body_json = json(body);
            whole.line_breaks |= body.line_breaks();
        }
        whole
    }
}

impl Packer<'_> {
    /// Encodes an event with the bodies that were fetched for it.
    pub(super) fn pack_moved(
        &mut self,
        invocation: &Invocation<'_>,
        moved: &Moved,
        context: &Context<'_>,
    ) -> Option<Skip> {
        let marks = moved.marks();
        for state in [marks.input_body, marks.output_body].into_iter().flatten() {
            *self.noted.bodies.entry(state).or_default() += 1;
        }
        self.pack(&moved.put_into(invocation), marks, context)
    }
}
