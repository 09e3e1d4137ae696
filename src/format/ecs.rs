//! The ECS format: Elastic's field names for Bedrock invocations, as the data stream `invocation` of its integration
//! `aws_bedrock` has them, in nested objects, so that a line can be indexed as it is. Bodies are never cut. What Elastic
//! has no name for, cached tokens, the cost and what was done to the event, stands under `bedrock_tap`.

use std::io::Write as _;

use super::names::{arn, failed, filled, intervened};
use super::object::Object;
use super::view::figures;
use crate::body::Usage;
use crate::enrich::Event;
use crate::invocation::Invocation;
use crate::pipeline::Context;

mod fields;
mod gen_ai;

/// The version of ECS that Elastic's integration follows.
const ECS_VERSION: &str = "8.11.0";

/// Appends the event as one JSON object.
pub fn encode(event: &Event<'_>, context: &Context<'_>, out: &mut Vec<u8>) {
    let (invocation, view) = (event.invocation, &event.view);
    let mut object = Object::begin(out, invocation.line_breaks);
    time(&mut object, "@timestamp", invocation);
    object.object("ecs", |object| object.text("version", ECS_VERSION));
    object.object("event", |object| about(object, event));
    object.object("cloud", |object| {
        object.text("provider", "aws");
        object.object_if_any("account", |object| object.string("id", filled(Some(invocation.account_id))));
        object.string("region", filled(invocation.region));
        object.object("service", |object| object.text("name", "bedrock"));
    });
    object.object_if_any("user", |object| object.string("id", arn(invocation)));
    if !event.marks.findings.is_empty() {
        // A field of ECS may have several values.
        object.object("rule", |object| {
            object.array("id", |ids| event.marks.findings.iter().for_each(|found| ids.text(&found.rule)));
        });
    }
    object.object("aws_bedrock", |object| {
        object.object("invocation", |object| fields::write(object, invocation, view));
    });
    object.object("gen_ai", |object| gen_ai::write(object, invocation, view));
    object.object_if_any("bedrock_tap", |object| {
        event.marks.members(object);
        object.object_if_any("usage", |object| usage(object, view.usage()));
        figures::cost("cost", object, event.cost(context.prices));
    });
    object.end();
}

/// The member `event`.
fn about(object: &mut Object<'_>, event: &Event<'_>) {
    let invocation = event.invocation;
    object.string("action", filled(invocation.operation));
    object.text("dataset", "aws_bedrock.invocation");
    object.hex("id", &event.row_id());
    object.text("kind", "event");
    object.text("module", "aws_bedrock");
    object.text("original", invocation.event.message);
    object.text("outcome", if failed(event) || intervened(&event.view) { "failure" } else { "success" });
}

fn usage(object: &mut Object<'_>, usage: &Usage) {
    object.integer("cache_read", usage.cache_read);
    object.integer("cache_write", usage.cache_write);
    object.integer("cache_write_1h", usage.cache_write_1h);
    object.integer("reasoning", usage.reasoning);
    object.integer("total", usage.total);
    object.boolean("total_is_off", usage.total_is_off.then_some(true));
}

/// When the call was, as RFC 3339 writes it.
fn time(object: &mut Object<'_>, key: &'static str, invocation: &Invocation<'_>) {
    object.quoted(key, |out| {
        // Writing to memory cannot fail.
        let _ = write!(out, "{}", invocation.event_time);
    });
}

#[cfg(test)]
mod tests;
