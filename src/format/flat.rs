//! The flat format: one row an invocation for Parquet and SQL. Each value is a column of [`COLUMNS`], always of the same
//! type; what is not known is left out, and nothing is nested: lists and objects are JSON in a text column.

use super::names;
use super::object::Object;
use crate::enrich::Event;
use crate::pipeline::Context;

mod columns;
mod row;

pub use columns::{COLUMNS, Column, Kind, json_schema};
pub(super) use row::Row;

/// Appends the event as one JSON object.
pub fn encode(event: &Event<'_>, context: &Context<'_>, out: &mut Vec<u8>) {
    let mut object = Object::begin(out, event.invocation.line_breaks);
    let mut row = Row::flat(&mut object);
    row.call(event);
    row.identity(event.invocation);
    row.usage(event.view.usage());
    row.other_usage(event.view.usage());
    row.cost(event.cost(context.prices));
    row.outcome(event);
    row.ending(&event.view);
    row.guardrail(names::intervened(&event.view), event.view.guardrail());
    row.conversation(&event.view);
    row.bodies(event);
    row.parameters(&event.view.request().parameters);
    row.marks(&event.marks);
    row.provenance(event, context);
    object.end();
}

#[cfg(test)]
mod tests;
