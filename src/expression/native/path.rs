//! A path: a member of a variable, however deep, found in the event without building what lies on the way.

use super::field::{self, Read, Seen};
use super::record::{self, Place};
use super::{Stop, Value, Variable};
use crate::expression::asking::{Asking, Origin};
use crate::expression::needs::Needs;

/// A member of a variable.
#[derive(Debug)]
pub(in crate::expression) struct Path {
    variable: Variable,
    steps: Vec<String>,
    /// Steps before the first that may lead nowhere.
    plain: usize,
    place: At,
}

#[derive(Debug)]
enum At {
    View(Read),
    Event(Place),
}

/// What is found at the end of a path.
pub(super) enum Found<'x> {
    Value(Value<'x>),
    /// A list or a map.
    Container,
    /// The map has no member for the step with this number.
    NoMember(usize),
    /// There is no map for the step with this number.
    NoMap(usize),
}

impl Path {
    /// A path; none where the members of the view are not known to be there or not.
    pub(super) fn new(variable: Variable, steps: Vec<String>, plain: usize) -> Option<Self> {
        let place = match variable {
            Variable::View => At::View(field::read(&steps)?),
            Variable::Event => At::Event(record::place(&steps)?),
        };
        Some(Self { variable, steps, plain, place })
    }

    /// The name of the view's joined text that it leads to, if it leads to one.
    pub(super) fn joined_text(&self) -> Option<&str> {
        match (self.variable, self.steps.as_slice()) {
            (Variable::View, [name]) => field::JOINED.contains(&name.as_str()).then_some(name),
            _ => None,
        }
    }

    /// Whether each step must lead somewhere.
    pub(super) fn is_plain(&self) -> bool {
        self.plain == self.steps.len()
    }

    /// The value there; that of a list or map is the interpreter's.
    pub(super) fn value<'x>(&self, asking: &Asking<'x>) -> Result<Value<'x>, Stop> {
        match self.find(asking)? {
            Found::Value(value) => Ok(value),
            Found::Container => Err(Stop::Unsure),
            Found::NoMember(_) | Found::NoMap(_) => Err(Stop::Failed),
        }
    }

    /// Whether the last member is there.
    pub(super) fn has(&self, asking: &Asking<'_>) -> Result<bool, Stop> {
        match self.find(asking)? {
            Found::Value(_) | Found::Container => Ok(true),
            Found::NoMember(step) if step + 1 == self.steps.len() => Ok(false),
            Found::NoMember(_) | Found::NoMap(_) => Err(Stop::Failed),
        }
    }

    /// The value there, if the optional steps lead to one. Of a list or map it is only known that it is there.
    pub(super) fn optional<'x>(&self, asking: &Asking<'x>) -> Result<Option<Result<Value<'x>, Stop>>, Stop> {
        match self.find(asking)? {
            Found::Value(value) => Ok(Some(Ok(value))),
            Found::Container => Ok(Some(Err(Stop::Unsure))),
            Found::NoMember(step) | Found::NoMap(step) if step < self.plain => Err(Stop::Failed),
            Found::NoMember(_) | Found::NoMap(_) => Ok(None),
        }
    }

    fn find<'x>(&self, asking: &Asking<'x>) -> Result<Found<'x>, Stop> {
        let needs = match self.variable {
            Variable::Event => asking.demand.event.as_ref(),
            Variable::View => asking.demand.view.as_ref(),
        };
        let needs = needs.ok_or(Stop::Unsure)?;
        match (&self.place, asking.origin) {
            (At::View(read), Origin::Event(views)) => match views.read(*read) {
                Seen::Value(value) => Ok(Found::Value(value)),
                Seen::Container => Ok(Found::Container),
                Seen::Absent(step) => absent(needs, &self.steps, step),
            },
            (At::View(_), Origin::Record(_)) => Err(Stop::Unsure),
            (At::Event(place), Origin::Event(views)) => place.find(views.invocation(), &self.steps, needs),
            (At::Event(_), Origin::Record(json)) => {
                let value = crate::body::Value::new(crate::invocation::RawJson(json));
                record::walk(value, &self.steps, 0, needs)
            }
        }
    }
}

/// What is needed of the map in which a step looks.
pub(super) fn needed<'n>(needs: &'n Needs, steps: &[String], step: usize) -> Option<&'n Needs> {
    steps.iter().take(step).try_fold(needs, |needs, name| needs.of(name))
}

/// What stands in the place of a member that is not there: null, and a map of nulls around it, where no expression of the
/// rule asks whether it is there.
pub(super) fn absent<'x>(needs: &Needs, steps: &[String], step: usize) -> Result<Found<'x>, Stop> {
    let mut needs = needed(needs, steps, step).ok_or(Stop::Unsure)?;
    for (step, name) in steps.iter().enumerate().skip(step) {
        if needs.is_whole() {
            return Ok(Found::NoMember(step));
        }
        needs = needs.of(name).ok_or(Stop::Unsure)?;
        if needs.is_tested() {
            return Ok(Found::NoMember(step));
        }
        if needs.is_whole() {
            let is_last = step + 1 == steps.len();
            return Ok(if is_last { Found::Value(Value::Null) } else { Found::NoMap(step + 1) });
        }
    }
    Ok(Found::Container)
}
