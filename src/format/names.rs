//! Names: who called, which model, and how the call ended, in the words that several formats share.

use std::borrow::Cow;

use crate::body::guardrail::{Assessment, Guardrail};
use crate::body::{Kind, StopReason, Value, View};
use crate::enrich::Event;
use crate::invocation::{Invocation, JsonStr, RawJson, Section};

/// A caller, as the ARN in the record tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity<'a> {
    pub(super) kind: IdentityKind,
    /// `aws`, `aws-cn` or `aws-us-gov`.
    pub(super) partition: Option<&'a str>,
    /// The caller's account, which may be another than the called one.
    pub(super) account: Option<&'a str>,
    /// The role's or user's name without its path; what the ARN says of another kind.
    pub(super) name: &'a str,
    /// The name of an assumed role's session.
    pub(super) session: Option<&'a str>,
    resource: &'a str,
}

/// Kinds of callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IdentityKind {
    AssumedRole,
    User,
    Root,
    FederatedUser,
    Role,
    Other,
}

impl IdentityKind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::AssumedRole => "assumed_role",
            Self::User => "user",
            Self::Root => "root",
            Self::FederatedUser => "federated_user",
            Self::Role => "role",
            Self::Other => "other",
        }
    }
}

impl<'a> Identity<'a> {
    /// Reads an ARN; what is none is a caller of another kind. An empty text is nobody.
    pub(super) fn of(arn: &'a str) -> Option<Self> {
        if arn.is_empty() {
            return None;
        }
        let mut parts = arn.splitn(6, ':');
        let mut part = || parts.next().filter(|part| !part.is_empty());
        let (scheme, partition, _service, _region, account) = (part(), part(), part(), part(), part());
        let resource = if scheme == Some("arn") { part() } else { None };
        let Some(resource) = resource else {
            let kind = IdentityKind::Other;
            return Some(Self { kind, partition: None, account: None, name: arn, session: None, resource: arn });
        };
        let last = |path: &'a str| path.rsplit('/').next().unwrap_or(path);
        let (kind, name, session) = match resource.split_once('/') {
            Some(("assumed-role", role)) => match role.split_once('/') {
                Some((role, session)) => (IdentityKind::AssumedRole, role, Some(session)),
                None => (IdentityKind::AssumedRole, role, None),
            },
            // A path may stand before the name.
            Some(("user", path)) => (IdentityKind::User, last(path), None),
            Some(("role", path)) => (IdentityKind::Role, last(path), None),
            Some(("federated-user", path)) => (IdentityKind::FederatedUser, last(path), None),
            None if resource == "root" => (IdentityKind::Root, resource, None),
            _ => (IdentityKind::Other, resource, None),
        };
        Some(Self { kind, partition, account, name, session, resource })
    }

    /// Role and session of an assumed role, the name of a user or a role, or what the ARN says of another kind.
    pub(super) fn shown(&self) -> &'a str {
        match self.resource.strip_prefix("assumed-role/") {
            // IAM Identity Center puts this before the name of each of its roles.
            Some(role) => role.strip_prefix("AWSReservedSSO_").unwrap_or(role),
            None => self.name,
        }
    }
}

/// A model, as its id tells it: `us.anthropic.claude-3-5-sonnet-20241022-v2:0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Model<'a> {
    /// `anthropic`; none for an id that does not say.
    pub(super) provider: Option<&'a str>,
    /// `claude-3-5-sonnet`
    pub(super) name: &'a str,
    /// `20241022-v2:0`
    pub(super) version: Option<&'a str>,
}

impl<'a> Model<'a> {
    /// Reads a model's id, an inference profile's, or an ARN that ends in one. The ids of application inference
    /// profiles, provisioned and imported models say nothing: they stand as the name.
    pub(super) fn of(model: &'a str) -> Self {
        let id = model_id(model);
        if id != model && !names_a_model(model) {
            return Self { provider: None, name: id, version: None };
        }
        // A custom model's id stands behind the id of the model that it was made from.
        let id = id.split('/').next().unwrap_or(id);
        let id = match id.split_once('.') {
            Some((prefix, rest)) if is_geography(prefix) && rest.contains('.') => rest,
            _ => id,
        };
        let (provider, id) = match id.split_once('.') {
            Some((provider, name)) if is_provider(provider, name) => (Some(provider), name),
            _ => (None, id),
        };
        let (name, version) = split_version(id);
        Self { provider: provider.filter(|provider| !provider.is_empty()), name, version }
    }
}

/// The id at the end of an ARN (`inference-profile/us.anthropic…`), or the model id as it is.
pub(super) fn model_id(model: &str) -> &str {
    if !model.starts_with("arn:") {
        return model;
    }
    let resource = model.splitn(6, ':').nth(5).unwrap_or(model);
    match resource.split_once('/') {
        Some((_, id)) if !id.is_empty() => id,
        _ => resource,
    }
}

/// Whether an ARN ends in the id of a model and not in one of its own.
fn names_a_model(arn: &str) -> bool {
    let resource = arn.splitn(6, ':').nth(5).unwrap_or_default();
    ["inference-profile/", "foundation-model/", "custom-model/"].iter().any(|kind| resource.starts_with(kind))
}

/// The prefix of an inference profile's id: where it may run. Geographies are countries' codes but for these.
fn is_geography(prefix: &str) -> bool {
    let country = prefix.len() == 2 && prefix.bytes().all(|byte| byte.is_ascii_lowercase());
    country || matches!(prefix, "global" | "apac" | "us-gov")
}

/// Whether what stands before a point is a provider and no part of a name, as in `gpt-4.1` and `llama3.1`.
fn is_provider(before: &str, behind: &str) -> bool {
    before.bytes().all(|byte| byte.is_ascii_alphanumeric()) && behind.starts_with(|c: char| c.is_ascii_alphabetic())
}

/// Cuts date and version off an id: `-20241022-v2:0`, `-2502-v1:0`, `-1:0`.
fn split_version(id: &str) -> (&str, Option<&str>) {
    let is_version = |word: &str| {
        let number = word.strip_prefix('v').unwrap_or(word);
        let first = number.split(':').next().unwrap_or_default();
        number != first && is_digits(first) || number != word && is_digits(number)
    };
    // Mistral writes year and month: `2502`.
    let is_date = |word: &str| is_digits(word) && (word.len() == 8 || word.len() == 4 && word.starts_with('2'));
    let mut name = id;
    for is_part in [&is_version as &dyn Fn(&str) -> bool, &is_date] {
        if let Some((before, word)) = name.rsplit_once('-')
            && is_part(word)
            && !before.is_empty()
        {
            name = before;
        }
    }
    (name, id.get(name.len() + 1..).filter(|version| !version.is_empty()))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The model of an invocation. Where its id says nothing, as that of an application inference profile, the answer may.
pub(super) fn with_model<T>(invocation: &Invocation<'_>, view: &View<'_>, use_it: impl FnOnce(Model<'_>) -> T) -> T {
    let id = invocation.model_id.decode();
    let model = Model::of(&id);
    if model.provider.is_none()
        && let Some(answered) = view.answer().model.as_ref().map(|model| model.decode()).filter(|m| !m.is_empty())
    {
        return use_it(Model::of(&answered));
    }
    use_it(model)
}

/// A string that says something.
pub(super) fn filled(text: Option<JsonStr<'_>>) -> Option<JsonStr<'_>> {
    text.filter(|text| !text.0.is_empty())
}

/// The API operation; empty where the record has none.
pub(super) fn operation<'a>(invocation: &Invocation<'a>) -> Cow<'a, str> {
    invocation.operation.map(JsonStr::decode).unwrap_or_default()
}

/// The caller's ARN.
pub(super) fn arn<'a>(invocation: &Invocation<'a>) -> Option<JsonStr<'a>> {
    filled(invocation.identity.as_ref().and_then(|identity| identity.arn))
}

/// Whether the answer was streamed. The operation says so; a list of events is one too where a merged answer was due.
pub(super) fn streamed(invocation: &Invocation<'_>, view: &View<'_>) -> Option<bool> {
    let is_list = view.bodies().1.map(|body| Value::new(body).kind() == Kind::Array);
    match &*operation(invocation) {
        "" => is_list.filter(|list| *list).or(view.request().parameters.stream),
        // The one path of OpenAI's APIs streams if the request asks for it.
        "ChatCompletions" | "Responses" => view.request().parameters.stream.or(is_list),
        operation => Some(operation.contains("Stream") || is_list == Some(true)),
    }
}

/// Whether the call failed, or its answer broke off with an error.
pub(super) fn failed(event: &Event<'_>) -> bool {
    filled(event.invocation.error_code).is_some() || event.view.stop_reason() == Some(StopReason::Error)
}

/// Whether a guardrail intervened.
pub(super) fn intervened(view: &View<'_>) -> bool {
    view.stop_reason() == Some(StopReason::GuardrailIntervened) || view.guardrail().is_some_and(|g| g.intervened)
}

/// What a guardrail found, whatever it did about it.
pub(super) fn findings<'g, 'a>(guardrail: &'g Guardrail<'a>) -> impl Iterator<Item = &'g Assessment<'a>> {
    let acted = |assessment: &Assessment<'_>| assessment.action.as_ref().is_some_and(|action| *action != "NONE");
    guardrail.assessments.iter().filter(move |found| found.detected.unwrap_or_else(|| acted(found)))
}

/// The names of the policies that found something, each once.
pub(super) fn policies(guardrail: &Guardrail<'_>) -> Vec<&'static str> {
    let mut names = Vec::new();
    for finding in findings(guardrail) {
        let name = finding.policy.as_str();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// What the caller attached to the call, an object: beside the body, or in a body of Converse.
pub(super) fn request_metadata<'a>(invocation: &Invocation<'a>, view: &View<'a>) -> Option<RawJson<'a>> {
    let is_object = |value: &Value<'a>| value.kind() == Kind::Object;
    let mut fields = invocation.unknown.iter().filter(|field| field.section == Section::Top);
    let beside = fields.find(|field| field.key.0 == "requestMetadata").map(|field| Value::new(field.value));
    let inside = || Value::new(view.bodies().0?).get("requestMetadata").filter(is_object);
    beside.filter(is_object).or_else(inside).map(Value::raw)
}

#[cfg(test)]
mod tests;
