//! What was said and found out: `gen_ai`, by Elastic's names, which are older than those of OpenTelemetry.

use std::collections::HashSet;

use super::time;
use crate::body::guardrail::{Assessment, Guardrail, Policy};
use crate::body::{Parameters, Text, View};
use crate::format::names::{arn, filled, findings, intervened, with_model};
use crate::format::object::Object;
use crate::invocation::{Invocation, RawJson};

/// Policies by Elastic's names, in the order of Bedrock's documentation.
const POLICIES: [(Policy, &str); 6] = [
    (Policy::Topic, "topic_policy"),
    (Policy::Content, "content_policy"),
    (Policy::Word, "word_policy"),
    (Policy::SensitiveInformation, "sensitive_information_policy"),
    (Policy::ContextualGrounding, "contextual_grounding_policy"),
    (Policy::AutomatedReasoning, "automated_reasoning_policy"),
];

pub(super) fn write(object: &mut Object<'_>, invocation: &Invocation<'_>, view: &View<'_>) {
    let answer = view.answer();
    object.said("completion", Some(&view.answer_text()).filter(|text| !text.is_empty()));
    if let Some(guardrail) = view.guardrail() {
        compliance(object, guardrail, intervened(view));
    }
    object.object_if_any("performance", |object| {
        let (request, response) = view.body_bytes();
        let bytes = |size: Option<usize>| size.and_then(|size| i64::try_from(size).ok());
        object.integer("request_size", bytes(request));
        object.integer("response_size", bytes(response));
        object.integer("response_time", answer.latency_ms);
        object.integer("start_response_time", answer.first_byte_ms);
    });
    object.said("prompt", Some(&view.prompt_text()).filter(|text| !text.is_empty()));
    object.object_if_any("request", |object| {
        object.string("id", filled(invocation.request_id));
        object.object_if_any("model", |object| {
            object.string("id", filled(Some(invocation.model_id)));
            object.said("role", answer.messages.first().map(|message| &message.role).filter(|role| !role.is_empty()));
            with_model(invocation, view, |model| {
                if model.provider.is_none() {
                    return;
                }
                object.text("type", model.name);
                model.version.into_iter().for_each(|version| object.text("version", version));
            });
        });
        parameters(object, &view.request().parameters);
    });
    object.object_if_any("response", |object| {
        object.string("error_code", filled(invocation.error_code));
        if let Some(reason) = &answer.stop_reason {
            object.array("finish_reasons", |array| array.said(reason));
        }
        object.said("id", answer.response_id.as_ref());
        object.said("model", answer.model.as_ref());
        if invocation.output.is_some() {
            time(object, "timestamp", invocation);
        }
    });
    with_model(invocation, view, |model| model.provider.into_iter().for_each(|it| object.text("system", it)));
    object.object_if_any("usage", |object| {
        object.integer("completion_tokens", view.usage().output);
        object.integer("prompt_tokens", view.usage().input);
    });
    object.object_if_any("user", |object| object.string("id", arn(invocation)));
}

/// How the model was to answer.
pub(super) fn parameters(object: &mut Object<'_>, parameters: &Parameters<'_>) {
    object.integer("max_tokens", parameters.max_tokens);
    object.json("temperature", parameters.temperature.map(RawJson));
    object.integer("top_k", parameters.top_k);
    object.json("top_p", parameters.top_p.map(RawJson));
}

/// What the guardrail's policies found, whether they blocked it or not.
fn compliance(object: &mut Object<'_>, guardrail: &Guardrail<'_>, intervened: bool) {
    let findings: Vec<_> = findings(guardrail).collect();
    let texts = |object: &mut Object<'_>, key, text: for<'t, 'a> fn(&'t Assessment<'a>) -> Option<&'t Text<'a>>| {
        distinct(object, key, findings.iter().filter_map(|found| text(found)));
    };
    object.object("compliance", |object| {
        texts(object, "violation_code", |found| found.kind.as_ref().or(found.name.as_ref()));
        object.boolean("violation_detected", Some(intervened || !findings.is_empty()));
    });
    object.object_if_any("policy", |object| {
        if findings.is_empty() {
            distinct(object, "action", guardrail.action.iter());
        } else {
            texts(object, "action", |found| found.action.as_ref());
        }
        texts(object, "confidence", |found| found.confidence.as_ref());
        let found_by = |policy: Policy| findings.iter().filter(move |found| found.policy == policy);
        // An object by policy: Elastic maps `match_detail.*`, and would refuse a plain list.
        object.object_if_any("match_detail", |object| {
            for (policy, name) in POLICIES {
                let details = found_by(policy).filter_map(|found| found.matched.as_ref().or(found.name.as_ref()));
                distinct(object, name, details);
            }
        });
        let names = POLICIES.into_iter().filter(|(policy, _)| found_by(*policy).next().is_some());
        object.list("name", &names.map(|(_, name)| name).collect::<Vec<_>>());
    });
}

/// A list of texts, each once, in the order in which they came; left out where there are none.
fn distinct<'t, 'a: 't>(object: &mut Object<'_>, key: &'static str, texts: impl Iterator<Item = &'t Text<'a>>) {
    let mut met = HashSet::new();
    let texts: Vec<_> = texts.filter(|text| !text.is_empty() && met.insert(text.escaped())).collect();
    if !texts.is_empty() {
        object.array(key, |array| texts.iter().for_each(|text| array.said(text)));
    }
}
