//! A row: the fields of one invocation as people read them, each already escaped.

use jiff::Timestamp;

use super::colour::Tone;
use super::escape::{Place, cut, push_escaped, width};
use crate::body::{Guardrail, StopReason, View};
use crate::detect::Severity;
use crate::detect::finding::{rule_in, tone};
use crate::enrich::Event;
use crate::enrich::cost::{Prices, Usd};
use crate::format::names::{Identity, arn, findings, intervened, model_id};
use crate::invocation::JsonStr;

/// What a guardrail acted on is named up to this many; who wants all of it asks for the view.
const MAX_POLICIES: usize = 3;

/// A rule's name in fewer columns says nothing.
const LEAST_RULE: usize = 8;

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The model answered.
    Answered,
    /// The answer is not all there: cut at a limit, or filtered by the model.
    Partial,
    /// A guardrail intervened.
    Guardrail,
    /// The call failed.
    Failed,
}

/// One invocation as people read it.
#[derive(Clone, Debug)]
pub struct Row {
    /// When the call was made.
    pub time: Timestamp,
    /// The API operation, as it came.
    pub operation: String,
    /// The model's id, or the id at the end of its ARN.
    pub model: String,
    /// Role and session, or the user.
    pub who: String,
    /// Tokens of the prompt, without cached ones.
    pub input: Option<i64>,
    /// Tokens of the answer.
    pub output: Option<i64>,
    /// Tokens read from the cache.
    pub cached: Option<i64>,
    /// What the call cost, if its price is known.
    pub cost: Option<Usd>,
    /// Milliseconds.
    pub latency_ms: Option<i64>,
    /// The stop reason, or the error's code.
    pub end: String,
    /// How the call ended.
    pub outcome: Outcome,
    /// The called Region, and the one that served it where that is another.
    pub region: String,
    /// The calling account.
    pub account: String,
    /// The request's id.
    pub request_id: String,
    /// The rules that found something, as they are marked on the event.
    pub findings: Vec<(String, Severity)>,
}

impl Row {
    /// Reads the fields that people look at, the answer's body included.
    pub fn of(event: &Event<'_>, prices: &Prices) -> Self {
        let (invocation, view) = (event.invocation, &event.view);
        let usage = view.usage();
        let error = field(invocation.error_code);
        let (end, outcome) = if error.is_empty() { ending(view) } else { (error, Outcome::Failed) };
        let arn = arn(invocation).map(JsonStr::decode).unwrap_or_default();
        Self {
            time: invocation.event_time,
            operation: field(invocation.operation),
            model: escaped(model_id(&invocation.model_id.decode())),
            who: Identity::of(&arn).map(|identity| escaped(identity.shown())).unwrap_or_default(),
            input: usage.input,
            output: usage.output,
            cached: usage.cache_read,
            cost: event.cost(prices).map(|cost| cost.total),
            latency_ms: view.answer().latency_ms,
            end,
            outcome,
            region: region(field(invocation.region), &field(invocation.inference_region)),
            account: escaped(&invocation.account_id.decode()),
            request_id: field(invocation.request_id),
            findings: event.marks.findings.iter().map(|found| (escaped(&found.rule), found.severity)).collect(),
        }
    }

    /// What the end is to the eye.
    pub(super) fn tone(&self) -> Tone {
        match self.outcome {
            Outcome::Answered => Tone::Plain,
            Outcome::Partial => Tone::Warning,
            Outcome::Guardrail => Tone::Guardrail,
            Outcome::Failed => Tone::Error,
        }
    }

    /// What the findings are to the eye: the worst of them.
    pub(super) fn findings_tone(&self) -> Tone {
        self.findings.iter().map(|(_, severity)| *severity).max().map_or(Tone::Plain, tone)
    }

    /// The findings, fitted: the worst one's rule, and how many more there are; in a few columns only that there are some.
    pub(super) fn findings_in(&self, columns: usize) -> String {
        let mut worst: Option<&(String, Severity)> = None;
        for found in &self.findings {
            if worst.is_none_or(|(_, severity)| *severity < found.1) {
                worst = Some(found);
            }
        }
        let Some((rule, _)) = worst else { return String::new() };
        let more = match self.findings.len() {
            1 => String::new(),
            all => format!(" +{}", all - 1),
        };
        let room = columns.saturating_sub("! ".len() + more.len());
        if room < LEAST_RULE { cut("!", columns) } else { format!("! {}{more}", rule_in(rule, room)) }
    }

    /// The operation, fitted: `~` stands for an answer that was streamed.
    pub(super) fn operation_in(&self, columns: usize) -> &str {
        if width(&self.operation) <= columns {
            return &self.operation;
        }
        match self.operation.as_str() {
            "InvokeModelWithResponseStream" if columns >= 17 => "InvokeModelStream",
            "InvokeModelWithResponseStream" if columns >= 12 => "InvokeStream",
            "InvokeModelWithResponseStream" => "Invoke~",
            "InvokeModel" => "Invoke",
            "ConverseStream" => "Converse~",
            "ChatCompletions" => "Chat",
            other => other,
        }
    }

    /// The model, fitted: without version and date, then without the vendor, then without where it runs.
    pub(super) fn model_in(&self, columns: usize) -> String {
        let mut name = self.model.clone();
        for shorten in [without_version, without_date, without_vendor, without_geography] {
            if width(&name) <= columns {
                break;
            }
            name = shorten(&name);
        }
        name
    }

    /// Who, fitted: the session alone where the role does not fit beside it.
    pub(super) fn who_in(&self, columns: usize) -> &str {
        match self.who.split_once('/') {
            Some((_, session)) if width(&self.who) > columns && !session.is_empty() => session,
            _ => &self.who,
        }
    }

    /// The end, fitted: an error without the word `Exception`, a guardrail's mark before what it did not stop.
    pub(super) fn end_in(&self, columns: usize) -> String {
        if width(&self.end) <= columns {
            return self.end.clone();
        }
        match self.outcome {
            Outcome::Failed => self.end.strip_suffix("Exception").unwrap_or(&self.end).to_owned(),
            Outcome::Guardrail => "guardrail".to_owned(),
            _ => self.end.clone(),
        }
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    push_escaped(&mut out, text, Place::Field);
    out
}

fn field(text: Option<JsonStr<'_>>) -> String {
    text.map(|text| escaped(&text.decode())).unwrap_or_default()
}

fn ending(view: &View<'_>) -> (String, Outcome) {
    let reason = view.stop_reason();
    let word = view.answer().stop_reason.as_ref();
    let word = word.map(|word| escaped(&word.decode())).unwrap_or_default();
    if intervened(view) {
        return (intervention(view.guardrail(), &word), Outcome::Guardrail);
    }
    let outcome = match reason {
        Some(
            StopReason::MaxTokens
            | StopReason::ContentFiltered
            | StopReason::MalformedModelOutput
            | StopReason::MalformedToolUse
            | StopReason::ContextWindowExceeded,
        ) => Outcome::Partial,
        Some(StopReason::Error) => Outcome::Failed,
        _ => Outcome::Answered,
    };
    (word, outcome)
}

/// What a guardrail stopped or masked, such as `guardrail:VIOLENCE,EMAIL`; where it does not say, how the call ended.
fn intervention(guardrail: Option<&Guardrail<'_>>, word: &str) -> String {
    let mut names: Vec<String> = Vec::new();
    for finding in guardrail.into_iter().flat_map(findings) {
        // `DENY` is the type of every topic: its name says more.
        let name = finding.kind.as_ref().filter(|kind| *kind != "DENY").or(finding.name.as_ref());
        let name = name.map_or_else(|| finding.policy.as_str().to_owned(), |name| escaped(&name.decode()));
        if names.len() < MAX_POLICIES && !names.contains(&name) {
            names.push(name);
        }
    }
    match (names.is_empty(), word) {
        (false, _) => format!("guardrail:{}", names.join(",")),
        (true, "" | "guardrail_intervened") => "guardrail_intervened".to_owned(),
        (true, word) => format!("guardrail:{word}"),
    }
}

fn region(called: String, served: &str) -> String {
    if served.is_empty() || served == called { called } else { format!("{called}>{served}") }
}

/// `-v1:0` says nothing, since every model has it; of `-v2:0` the version stays.
fn without_version(model: &str) -> String {
    let name = match model.rsplit_once(':') {
        Some((name, "0")) => name,
        _ => model,
    };
    name.strip_suffix("-v1").unwrap_or(name).to_owned()
}

/// `-20251001`, at the end or before a version.
fn without_date(model: &str) -> String {
    let is_date = |word: &&str| word.len() == 8 && word.bytes().all(|b| b.is_ascii_digit());
    model.split('-').filter(|word| !is_date(word)).collect::<Vec<_>>().join("-")
}

/// `anthropic.` of `us.anthropic.claude…`; the prefix that says in which Regions it runs stays.
fn without_vendor(model: &str) -> String {
    let mut words: Vec<&str> = model.split('.').collect();
    match words.len() {
        // A number's point is no separator: `llama3.1`.
        2 if !words[1].starts_with(|c: char| c.is_ascii_digit()) => words[1].to_owned(),
        3.. => {
            words.remove(1);
            words.join(".")
        }
        _ => model.to_owned(),
    }
}

/// `us.` of `us.claude-haiku-4-5`: the last to go, since it is half of what the Region says.
fn without_geography(model: &str) -> String {
    const GEOGRAPHIES: [&str; 9] = ["us", "eu", "apac", "jp", "au", "in", "ca", "us-gov", "global"];
    match model.split_once('.') {
        Some((prefix, rest)) if GEOGRAPHIES.contains(&prefix) => rest.to_owned(),
        _ => model.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_shortened_step_by_step() {
        let check = |model: &str, columns: usize, expected: &str| {
            let mut row = super::super::tests::row();
            row.model = model_id(model).to_owned();
            assert_eq!(row.model_in(columns), expected, "{model} in {columns}");
        };
        let haiku = "us.anthropic.claude-haiku-4-5-20251001-v1:0";
        check(haiku, 80, haiku);
        check(haiku, 40, "us.anthropic.claude-haiku-4-5-20251001");
        check(haiku, 30, "us.anthropic.claude-haiku-4-5");
        check(haiku, 20, "us.claude-haiku-4-5");
        check(haiku, 16, "claude-haiku-4-5");
        check(
            "arn:aws:bedrock:us-east-2:1:inference-profile/us.meta.llama3-3-70b-instruct-v1:0",
            24,
            "us.llama3-3-70b-instruct",
        );
        check("amazon.titan-embed-text-v2:0", 20, "titan-embed-text-v2");
        check("us.anthropic.claude-3-5-sonnet-20241022-v2:0", 24, "us.claude-3-5-sonnet-v2");
        check("anthropic.claude-v2:1", 14, "claude-v2:1");
        check("arn:aws:bedrock:us-east-2:1:application-inference-profile/abc123", 20, "abc123");
        check("arn:aws:sagemaker:us-east-2:1:endpoint/mine", 20, "mine");
        check("arn:aws:bedrock:us-east-2:1", 9, "arn:aws:bedrock:us-east-2:1");
    }
}
