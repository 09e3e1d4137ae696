//! Reading the evidence: the places where Converse, the models' own dialects and their streams keep a guardrail's trace,
//! its action and the stop reason. What a text says of guardrails is none of them.

use std::collections::HashMap;

use memchr::memmem;

use super::{Assessment, Coverage, Guardrail, Policy, Side};
use crate::body::text::Text;
use crate::body::value::{Kind, Value};

/// Objects that hold an event, or a part of one, are followed this far into each other: a collector's `chunk` around an
/// event's `message`, and one more. Each level reads what is in it once more.
const MAX_NESTING: usize = 3;

/// Findings that are kept. A trace names each finding in a text, and a body is 100 KB where it is not fetched from S3;
/// the limit keeps a forged one from taking many times its size in memory.
const MAX_ASSESSMENTS: usize = 100_000;

/// Names of units that are told apart. The API knows fewer than a dozen (source: the API model `bedrock-runtime`, `GuardrailUsage`).
const MAX_UNITS: usize = 64;

/// The evidence in a request's and an answer's body; none where neither knows of a guardrail.
pub(super) fn evidence<'a>(input: Option<Value<'a>>, output: Option<Value<'a>>) -> Option<Guardrail<'a>> {
    let mut reader = Reader::default();
    if let Some(body) = input.filter(mentions_guardrail) {
        reader.request(body);
    }
    if let Some(body) = output.filter(mentions_guardrail) {
        match body.kind() {
            Kind::Array => body.elements().filter(mentions_guardrail).for_each(|event| reader.event(event, 0)),
            _ => reader.event(body, 0),
        }
    }
    reader.finish()
}

/// Whether there can be evidence in the body: every key of it has these letters in it, and so have its words, which some
/// families shout.
fn mentions_guardrail(body: &Value<'_>) -> bool {
    let body = body.text().as_bytes();
    memmem::find(body, b"uardrail").is_some() || memmem::find(body, b"UARDRAIL").is_some()
}

/// Reads the bodies and keeps what was found.
#[derive(Default)]
struct Reader<'a> {
    found: Guardrail<'a>,
    known: bool,
    /// The guardrail that the assessments were filed under first.
    filed: Option<Text<'a>>,
    /// The guardrail that an assessment says was applied.
    applied: Identity<'a>,
    /// The guardrail that the caller asked for.
    asked: Identity<'a>,
    /// How many traces were met.
    traces: usize,
    /// The raw assessments that were met.
    met: HashMap<(Side, &'a str), Met>,
}

/// How often the same assessment was met. Streams repeat a trace on several events, while within one trace each counts.
#[derive(Default)]
struct Met {
    /// The trace that it was met in last.
    trace: usize,
    /// How often in that trace.
    there: usize,
    /// How often it was read.
    read: usize,
}

/// A guardrail's name and version, as far as one place tells them.
#[derive(Default)]
struct Identity<'a> {
    id: Option<Text<'a>>,
    version: Option<Text<'a>>,
}

impl<'a> Reader<'a> {
    /// What the caller asked for.
    fn request(&mut self, body: Value<'a>) {
        for (key, value) in body.members() {
            if !matches!(&*key, "guardrailConfig" | "amazon-bedrock-guardrailConfig") || value.kind() != Kind::Object {
                continue;
            }
            self.known = true;
            self.asked.id = named(value, "guardrailIdentifier").or(self.asked.id.take());
            self.asked.version = named(value, "guardrailVersion").or(self.asked.version.take());
        }
    }

    /// A merged answer, one event of a stream, or an object in one of them that holds such facts.
    fn event(&mut self, event: Value<'a>, nesting: usize) {
        for (key, value) in event.members() {
            match &*key {
                "trace" | "amazon-bedrock-trace" => self.trace(value),
                // ConverseStream. Nothing else counts in it, since OpenAI's `metadata` are words of the caller's.
                "metadata" => value.get("trace").into_iter().for_each(|trace| self.trace(trace)),
                "amazon-bedrock-guardrailAction" => self.action(value),
                "stopReason" | "stop_reason" | "finishReason" | "finish_reason" | "completionReason" => {
                    self.stop(value);
                }
                "delta" | "message" | "messageStop" | "chunk" | "response" if nesting < MAX_NESTING => {
                    self.event(value, nesting + 1);
                }
                "choices" | "results" | "outputs" | "generations" | "completions" if nesting < MAX_NESTING => {
                    value.elements().for_each(|choice| self.event(choice, nesting + 1));
                }
                _ => {}
            }
        }
    }

    fn stop(&mut self, reason: Value<'a>) {
        if reason.as_text().is_some_and(|reason| is(&reason, "guardrail_intervened")) {
            self.known = true;
            self.found.intervened = true;
        }
    }

    /// What was done. Of several events the first one counts, unless another says that something was done.
    fn action(&mut self, value: Value<'a>) {
        let Some(action) = value.as_text().filter(|action| !action.is_empty()) else { return };
        self.known = true;
        let intervened = is(&action, "INTERVENED") || is(&action, "GUARDRAIL_INTERVENED");
        if intervened || self.found.action.is_none() {
            self.found.action = Some(action);
        }
        self.found.intervened |= intervened;
    }

    fn trace(&mut self, trace: Value<'a>) {
        let Some(trace) = trace.get("guardrail").filter(|trace| trace.kind() == Kind::Object) else { return };
        self.known = true;
        self.traces += 1;
        for (key, value) in trace.members() {
            match &*key {
                "inputAssessment" | "input" => self.filed(Side::Input, value),
                "outputAssessments" | "outputs" => self.filed(Side::Output, value),
                "action" => self.action(value),
                "actionReason" => self.found.action_reason = value.as_text().or(self.found.action_reason.take()),
                _ => {}
            }
        }
    }

    /// Assessments by guardrail, one or a list for each; or a list of such.
    fn filed(&mut self, side: Side, value: Value<'a>) {
        let lists = value.elements().chain((value.kind() == Kind::Object).then_some(value));
        for (id, assessments) in lists.flat_map(Value::members).filter(|(_, value)| value.kind() != Kind::Null) {
            let id = Some(Text::of(&id)).filter(|id| !id.is_empty());
            if self.filed.is_none() {
                self.filed.clone_from(&id);
            }
            let one = (assessments.kind() == Kind::Object).then_some(assessments);
            for assessment in assessments.elements().chain(one) {
                if self.is_new(side, assessment) {
                    self.assessment(side, id.as_ref(), assessment);
                }
            }
        }
    }

    /// Whether an assessment is met more often in this trace than in any before.
    fn is_new(&mut self, side: Side, assessment: Value<'a>) -> bool {
        let met = self.met.entry((side, assessment.text())).or_default();
        if met.trace != self.traces {
            (met.trace, met.there) = (self.traces, 0);
        }
        met.there += 1;
        let new = met.there > met.read;
        met.read = met.read.max(met.there);
        new
    }

    fn assessment(&mut self, side: Side, id: Option<&Text<'a>>, assessment: Value<'a>) {
        for (key, value) in assessment.members() {
            let (policy, lists): (_, &[&str]) = match &*key {
                "topicPolicy" => (Policy::Topic, &["topics"]),
                "contentPolicy" => (Policy::Content, &["filters"]),
                "wordPolicy" => (Policy::Word, &["customWords", "managedWordLists"]),
                "sensitiveInformationPolicy" => (Policy::SensitiveInformation, &["piiEntities", "regexes"]),
                "contextualGroundingPolicy" => (Policy::ContextualGrounding, &["filters"]),
                "automatedReasoningPolicy" => (Policy::AutomatedReasoning, &["findings"]),
                "invocationMetrics" => {
                    self.metrics(value);
                    continue;
                }
                // Of several guardrails it is the first one that the evidence is named after.
                "appliedGuardrailDetails" if id.is_none_or(|id| Some(id) == self.filed.as_ref()) => {
                    self.applied(value);
                    continue;
                }
                _ => continue,
            };
            for (_, list) in value.members().filter(|(key, _)| lists.contains(&&**key)) {
                list.elements().for_each(|item| self.item(side, policy, item));
            }
        }
    }

    fn item(&mut self, side: Side, policy: Policy, item: Value<'a>) {
        let mut seen = Assessment::new(side, policy);
        let number = |value: Value<'a>| (value.kind() == Kind::Number).then_some(value.text());
        for (key, value) in item.members() {
            match &*key {
                "name" => seen.name = value.as_text(),
                "type" => seen.kind = value.as_text(),
                "confidence" => seen.confidence = value.as_text(),
                "filterStrength" => seen.strength = value.as_text(),
                "match" => seen.matched = value.as_text(),
                "action" => seen.action = value.as_text(),
                "detected" => seen.detected = value.boolean(),
                "score" => seen.score = number(value),
                "threshold" => seen.threshold = number(value),
                // A finding is a union: the one member that it has is its kind.
                _ if policy == Policy::AutomatedReasoning && value.kind() == Kind::Object => {
                    seen.kind = Some(Text::of(&key));
                }
                _ => {}
            }
        }
        let acted = |action: &Text<'_>| is(action, "BLOCKED") || is(action, "ANONYMIZED");
        self.found.intervened |= seen.action.as_ref().is_some_and(acted);
        if seen != Assessment::new(side, policy) && self.found.assessments.len() < MAX_ASSESSMENTS {
            self.found.assessments.push(seen);
        }
    }

    fn metrics(&mut self, metrics: Value<'a>) {
        for (key, value) in metrics.members() {
            match &*key {
                "guardrailProcessingLatency" => {
                    if let Some(millis) = value.integer() {
                        let before = self.found.latency_ms.unwrap_or(0);
                        self.found.latency_ms = Some(before.saturating_add(millis));
                    }
                }
                "usage" => value.members().for_each(|(name, count)| self.unit(&name, count)),
                "guardrailCoverage" => {
                    for (kind, value) in value.members() {
                        match &*kind {
                            "textCharacters" => cover(&mut self.found.text_coverage, value),
                            "images" => cover(&mut self.found.image_coverage, value),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn unit(&mut self, name: &str, count: Value<'a>) {
        let Some(count) = count.integer() else { return };
        let name = Text::of(name);
        let units = &mut self.found.units;
        if let Some((_, sum)) = units.iter_mut().find(|(known, _)| *known == name) {
            *sum = sum.saturating_add(count);
        } else if units.len() < MAX_UNITS {
            units.push((name, count));
        }
    }

    fn applied(&mut self, details: Value<'a>) {
        if self.applied.id.is_none() {
            self.applied.id = named(details, "guardrailId").or_else(|| named(details, "guardrailArn"));
        }
        if self.applied.version.is_none() {
            self.applied.version = named(details, "guardrailVersion");
        }
    }

    fn finish(self) -> Option<Guardrail<'a>> {
        let Self { known, filed, applied, asked, .. } = self;
        let id = filed.or(applied.id);
        // An organisation may have another guardrail applied than the one that was asked for.
        let is_asked = |id: &Text<'_>| {
            asked
                .id
                .as_ref()
                .is_none_or(|asked| asked == id || asked.escaped().rsplit('/').next() == Some(id.escaped()))
        };
        let asked_version = if id.as_ref().is_none_or(is_asked) { asked.version } else { None };
        let (id, version) = (id.or(asked.id), applied.version.or(asked_version));
        known.then_some(Guardrail { id, version, ..self.found })
    }
}

impl Assessment<'_> {
    /// An assessment that says nothing yet.
    fn new(side: Side, policy: Policy) -> Self {
        Self {
            side,
            policy,
            name: None,
            kind: None,
            confidence: None,
            strength: None,
            action: None,
            detected: None,
            matched: None,
            score: None,
            threshold: None,
        }
    }
}

/// A text that is not empty.
fn named<'a>(object: Value<'a>, name: &str) -> Option<Text<'a>> {
    object.get_text(name).filter(|text| !text.is_empty())
}

fn is(text: &Text<'_>, word: &str) -> bool {
    text.decode().eq_ignore_ascii_case(word)
}

fn cover(coverage: &mut Option<Coverage>, value: Value<'_>) {
    let count = |name: &str| value.get(name).and_then(Value::integer);
    let (guarded, total) = (count("guarded"), count("total"));
    if guarded.is_none() && total.is_none() {
        return;
    }
    let sum = coverage.get_or_insert_default();
    sum.guarded = sum.guarded.saturating_add(guarded.unwrap_or(0));
    sum.total = sum.total.saturating_add(total.unwrap_or(0));
}
