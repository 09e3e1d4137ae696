//! What was counted and found: parameters, tokens, sizes, cost, and a guardrail's evidence.

use crate::body::guardrail::{Assessment, Coverage};
use crate::body::{Embeddings, Guardrail, Parameters, Usage};
use crate::enrich::cost::Cost;
use crate::format::object::Object;
use crate::invocation::RawJson;
use crate::json::number_length;

/// A number that stands as it came; what is none is left out.
fn number(key: &'static str, to: &mut Object<'_>, value: Option<&str>) {
    let value = value.filter(|text| number_length(text.as_bytes()) == Some(text.len()));
    to.json(key, value.map(RawJson));
}

fn count(value: usize) -> Option<i64> {
    i64::try_from(value).ok()
}

pub(super) fn parameters(key: &'static str, to: &mut Object<'_>, parameters: &Parameters<'_>) {
    to.object(key, |to| {
        to.integer("max_tokens", parameters.max_tokens);
        number("temperature", to, parameters.temperature);
        number("top_p", to, parameters.top_p);
        to.integer("top_k", parameters.top_k);
        if !parameters.stop_sequences.is_empty() {
            to.array("stop_sequences", |array| parameters.stop_sequences.iter().for_each(|text| array.said(text)));
        }
        to.boolean("stream", parameters.stream);
    });
}

pub(super) fn usage(key: &'static str, to: &mut Object<'_>, usage: &Usage) {
    to.object(key, |to| {
        to.integer("input", usage.input);
        to.integer("output", usage.output);
        to.integer("cache_read", usage.cache_read);
        to.integer("cache_write", usage.cache_write);
        to.integer("cache_write_1h", usage.cache_write_1h);
        to.integer("reasoning", usage.reasoning);
        to.integer("total", usage.total);
        to.boolean("total_is_off", usage.total.map(|_| usage.total_is_off));
    });
}

pub(super) fn embeddings(key: &'static str, to: &mut Object<'_>, embeddings: Option<Embeddings>) {
    let Some(embeddings) = embeddings else { return };
    to.object(key, |to| {
        to.integer("count", count(embeddings.count));
        to.integer("dimensions", count(embeddings.dimensions).filter(|dimensions| *dimensions > 0));
    });
}

pub(super) fn bytes(key: &'static str, to: &mut Object<'_>, (input, output): (Option<usize>, Option<usize>)) {
    to.object(key, |to| {
        to.integer("input", input.and_then(count));
        to.integer("output", output.and_then(count));
    });
}

pub(in crate::format) fn cost(key: &'static str, to: &mut Object<'_>, cost: Option<&Cost>) {
    let Some(cost) = cost else { return };
    to.object(key, |to| {
        for (key, part) in [
            ("input", cost.input),
            ("output", cost.output),
            ("cache_read", cost.cache_read),
            ("cache_write", cost.cache_write),
            ("guardrail", cost.guardrail),
            ("total", cost.total),
        ] {
            to.float(key, Some(part.as_f64()));
        }
        to.text("price_key", &cost.price_key);
        if let Some(date) = &cost.price_date {
            to.text("price_date", date);
        }
        to.text("price_basis", cost.basis.as_str());
    });
}

pub(super) fn guardrail(key: &'static str, to: &mut Object<'_>, guardrail: Option<&Guardrail<'_>>) {
    let Some(guardrail) = guardrail else { return };
    to.object(key, |to| {
        to.boolean("intervened", Some(guardrail.intervened));
        to.said("action", guardrail.action.as_ref());
        to.said("action_reason", guardrail.action_reason.as_ref());
        to.said("id", guardrail.id.as_ref());
        to.said("version", guardrail.version.as_ref());
        to.array("assessments", |array| {
            guardrail.assessments.iter().for_each(|found| array.object(|to| assessment(to, found)));
        });
        coverage("text_coverage", to, guardrail.text_coverage);
        coverage("image_coverage", to, guardrail.image_coverage);
        if !guardrail.units.is_empty() {
            to.object("units", |to| {
                for (name, units) in &guardrail.units {
                    to.raw_key(name.escaped());
                    to.raw(&units.to_string());
                }
            });
        }
        to.integer("latency_ms", guardrail.latency_ms);
    });
}

fn coverage(key: &'static str, to: &mut Object<'_>, coverage: Option<Coverage>) {
    let Some(coverage) = coverage else { return };
    to.object(key, |to| {
        to.integer("guarded", Some(coverage.guarded));
        to.integer("total", Some(coverage.total));
    });
}

fn assessment(to: &mut Object<'_>, found: &Assessment<'_>) {
    to.text("side", found.side.as_str());
    to.text("policy", found.policy.as_str());
    for (key, text) in [
        ("name", &found.name),
        ("type", &found.kind),
        ("confidence", &found.confidence),
        ("strength", &found.strength),
        ("action", &found.action),
    ] {
        to.said(key, text.as_ref());
    }
    to.boolean("detected", found.detected);
    to.said("match", found.matched.as_ref());
    number("score", to, found.score);
    number("threshold", to, found.threshold);
}
