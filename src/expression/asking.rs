//! Asking: what native expressions ask an event for, each part when it is wanted, and nothing built for it.

use super::native::{Read, Seen, Stop};
use super::variables::Demand;
use crate::invocation::Invocation;

/// Whom native expressions ask, and what all expressions of a rule need together: it decides what is null where nothing
/// is.
#[derive(Clone)]
pub(super) struct Asking<'v> {
    pub(super) origin: Origin<'v>,
    pub(super) demand: &'v Demand,
}

/// What the variables are made of.
#[derive(Clone, Copy)]
pub(super) enum Origin<'v> {
    /// An invocation.
    Event(&'v dyn Asks),
    /// A record that is no invocation, as JSON.
    Record(&'v str),
}

/// An event that can be asked for its parts.
pub(super) trait Asks {
    /// A field of the view.
    fn read(&self, read: Read) -> Seen<'_>;
    /// The record.
    fn invocation(&self) -> &Invocation<'_>;
    /// An object with the view's member of this number, or with none where the event has not got it.
    fn member(&self, index: usize) -> &str;
    /// Whether the pattern of this id may match.
    fn may_match(&self, pattern: usize) -> bool;
    /// How many tools were called.
    fn calls(&self) -> usize;
    /// Whether the joined text of this name is empty.
    fn is_empty(&self, text: &str) -> bool;
}

/// Says of patterns that look at the view's joined texts whether they may match, without a look at the texts. It only
/// ever errs on the side of looking.
pub(crate) trait Gate {
    /// Whether the pattern of this id may match.
    fn may_match(&self, pattern: usize) -> bool;
}

impl Asking<'_> {
    /// Whether the pattern of this id may match.
    pub(super) fn may_match(&self, pattern: usize) -> bool {
        match self.origin {
            Origin::Event(views) => views.may_match(pattern),
            Origin::Record(_) => true,
        }
    }

    /// How many tools were called.
    pub(super) fn calls(&self) -> Result<i64, Stop> {
        match self.origin {
            Origin::Event(views) => i64::try_from(views.calls()).map_err(|_| Stop::Failed),
            Origin::Record(_) => Err(Stop::Unsure),
        }
    }

    /// Whether the view's joined text of this name is empty.
    pub(super) fn is_empty(&self, text: &str) -> Result<bool, Stop> {
        match self.origin {
            Origin::Event(views) => Ok(views.is_empty(text)),
            Origin::Record(_) => Err(Stop::Unsure),
        }
    }
}
