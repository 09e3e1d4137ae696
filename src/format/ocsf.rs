//! The OCSF format: an event of the class API Activity (6003) of OCSF 1.8.0, with the profiles `cloud` and
//! `ai_operation`. What the class has no attribute for stands in `unmapped`, under the names of the columns of the flat
//! format; the record itself is in `raw_data`.
//!
//! Source of the attributes: ocsf-schema, tag v1.8.0.

use super::flat::Row;
use super::names::{self, Identity, IdentityKind};
use super::object::Object;
use crate::body::StopReason;
use crate::enrich::Event;
use crate::invocation::{Invocation, JsonStr};
use crate::pipeline::Context;

/// `metadata.version`
const VERSION: &str = "1.8.0";

const CATEGORY_UID: i64 = 6;
const CLASS_UID: i64 = 6003;

/// OCSF's word for what nobody knows, where an attribute is required.
const UNKNOWN: &str = "Unknown";

/// The service by CloudTrail's name, and by the one that people know.
const SERVICE: &str = "bedrock.amazonaws.com";
const SERVICE_NAME: &str = "Amazon Bedrock";

/// Appends the event as one JSON object.
pub fn encode(event: &Event<'_>, context: &Context<'_>, out: &mut Vec<u8>) {
    let invocation = event.invocation;
    let mut object = Object::begin(out, invocation.line_breaks);
    classification(&mut object, invocation);
    outcome(&mut object, event);
    object.integer("time", Some(invocation.event_time.as_millisecond()));
    object.object("metadata", |object| metadata(object, event, context));
    let arn = names::arn(invocation).map(JsonStr::decode).unwrap_or_default();
    let identity = Identity::of(&arn);
    object.object("actor", |object| actor(object, invocation, identity.as_ref(), &arn));
    object.object("api", |object| api(object, invocation));
    // The class requires it, and the record holds no address of the caller's: it names the service that it comes from.
    object.object("src_endpoint", |object| object.text("svc_name", SERVICE));
    object.object("cloud", |object| {
        object.text("provider", "AWS");
        text(object, "cloud_partition", identity.as_ref().and_then(|identity| identity.partition));
        object.string("region", names::filled(invocation.region));
        let account = invocation.account_id.decode();
        aws_account(object, Some(&account).filter(|account| !account.is_empty()).map(|account| &**account));
    });
    object.object("ai_model", |object| ai_model(object, event));
    object.object("message_context", |object| message_context(object, event));
    object.integer("duration", event.view.answer().latency_ms);
    observables(&mut object, invocation);
    object.object("unmapped", |object| unmapped(object, event, context));
    object.text("raw_data", invocation.event.message);
    object.end();
}

/// What kind of event this is. The class's own activities are to create, read, update and delete: a call of a model is
/// another one, named by its operation.
fn classification(object: &mut Object<'_>, invocation: &Invocation<'_>) {
    let operation = names::filled(invocation.operation);
    let (activity, name) = if operation.is_some() { (99, "Other") } else { (0, UNKNOWN) };
    object.integer("activity_id", Some(activity));
    match operation {
        Some(operation) => object.string("activity_name", Some(operation)),
        None => object.text("activity_name", UNKNOWN),
    }
    object.integer("category_uid", Some(CATEGORY_UID));
    object.text("category_name", "Application Activity");
    object.integer("class_uid", Some(CLASS_UID));
    object.text("class_name", "API Activity");
    object.integer("type_uid", Some(CLASS_UID * 100 + activity));
    object.quoted("type_name", |out| out.extend_from_slice(format!("API Activity: {name}").as_bytes()));
}

/// How the call ended. A guardrail's intervention is of medium severity, since somebody asked for what a policy forbids
/// or a secret was about to pass; a failed call is of low severity, since throttling and bad requests are every day's.
fn outcome(object: &mut Object<'_>, event: &Event<'_>) {
    let stop = event.view.stop_reason();
    let failed = names::failed(event);
    let (severity_id, severity) = match (names::intervened(&event.view), failed) {
        (true, _) => (3, "Medium"),
        (_, true) => (2, "Low"),
        _ => (1, "Informational"),
    };
    object.integer("severity_id", Some(severity_id));
    object.text("severity", severity);
    let (status_id, status) = if failed { (2, "Failure") } else { (1, "Success") };
    object.integer("status_id", Some(status_id));
    object.text("status", status);
    object.string("status_code", names::filled(event.invocation.error_code));
    // That it is an error is said.
    let detail = stop.filter(|stop| *stop != StopReason::Error).map(StopReason::as_str);
    text(object, "status_detail", detail);
}

/// The event's own id is the one that a redelivery has too; the request's id is told beside it, since a request may be
/// logged more than once.
fn metadata(object: &mut Object<'_>, event: &Event<'_>, context: &Context<'_>) {
    let invocation = event.invocation;
    object.text("version", VERSION);
    object.object("product", |object| {
        object.text("name", SERVICE_NAME);
        object.text("vendor_name", "AWS");
    });
    object.list("profiles", &["cloud", "ai_operation"]);
    object.hex("uid", &event.row_id());
    text(object, "original_event_uid", invocation.event.id);
    object.string("correlation_uid", names::filled(invocation.request_id));
    match names::filled(invocation.schema_type) {
        Some(kind) => object.string("log_name", Some(kind)),
        None => object.text("log_name", "ModelInvocationLog"),
    }
    object.string("log_version", names::filled(invocation.schema_version));
    if let Some(group) = invocation.event.log_group.filter(|group| !group.is_empty()) {
        object.text("log_provider", "Amazon CloudWatch Logs");
        object.text("log_source", group);
    }
    object.text("log_format", "JSON");
    object.string("original_time", Some(invocation.timestamp));
    object.integer("logged_time", invocation.event.timestamp_millis);
    object.integer("processed_time", Some(context.parse_time.as_millisecond()));
}

/// Who called. Where no ARN is known the account stands for the user, and where that is not known either there is no
/// name to give.
fn actor(object: &mut Object<'_>, invocation: &Invocation<'_>, identity: Option<&Identity<'_>>, arn: &str) {
    let Some(identity) = identity else {
        let account = invocation.account_id.decode();
        if account.is_empty() {
            object.text("app_name", UNKNOWN);
        } else {
            object.object("user", |object| {
                object.text("type", UNKNOWN);
                object.integer("type_id", Some(0));
                aws_account(object, Some(&account));
            });
        }
        return;
    };
    // The class's own kinds where one fits, else CloudTrail's words.
    let (type_id, kind) = match identity.kind {
        IdentityKind::User => (1, "User"),
        IdentityKind::Root => (2, "Admin"),
        IdentityKind::AssumedRole => (99, "AssumedRole"),
        IdentityKind::Role => (99, "Role"),
        IdentityKind::FederatedUser => (99, "FederatedUser"),
        IdentityKind::Other => (0, UNKNOWN),
    };
    object.object("user", |object| {
        object.text("uid", arn);
        text(object, "name", Some(identity.name));
        object.text("type", kind);
        object.integer("type_id", Some(type_id));
        aws_account(object, identity.account);
    });
    if let Some(session) = identity.session.filter(|session| !session.is_empty()) {
        object.object("session", |object| object.text("uid", session));
    }
}

fn aws_account(object: &mut Object<'_>, uid: Option<&str>) {
    let Some(uid) = uid else { return };
    object.object("account", |object| {
        object.text("uid", uid);
        object.text("type", "AWS Account");
        object.integer("type_id", Some(10));
    });
}

fn api(object: &mut Object<'_>, invocation: &Invocation<'_>) {
    match names::filled(invocation.operation) {
        Some(operation) => object.string("operation", Some(operation)),
        None => object.text("operation", UNKNOWN),
    }
    object.object("service", |object| object.text("name", SERVICE));
    if let Some(id) = names::filled(invocation.request_id) {
        object.object("request", |object| object.string("uid", Some(id)));
    }
    if let Some(error) = names::filled(invocation.error_code) {
        object.object("response", |object| {
            object.string("error", Some(error));
            object.integer("code", http_status(&error.decode()));
        });
    }
}

/// The HTTP status of an exception. Source: the API model of `bedrock-runtime`.
fn http_status(error: &str) -> Option<i64> {
    let status = match error {
        "AccessDeniedException" => 403,
        "ConflictException" | "ServiceQuotaExceededException" | "ValidationException" => 400,
        "InternalServerException" => 500,
        "ModelErrorException" | "ModelStreamErrorException" => 424,
        "ModelNotReadyException" | "ThrottlingException" => 429,
        "ModelTimeoutException" => 408,
        "ResourceNotFoundException" => 404,
        "ServiceUnavailableException" => 503,
        _ => return None,
    };
    Some(status)
}

fn ai_model(object: &mut Object<'_>, event: &Event<'_>) {
    let id = event.invocation.model_id;
    names::with_model(event.invocation, &event.view, |model| {
        object.text("name", if model.name.is_empty() { UNKNOWN } else { model.name });
        object.text("ai_provider", model.provider.unwrap_or(UNKNOWN));
        text(object, "version", model.version);
    });
    object.string("uid", names::filled(Some(id)));
}

/// Tokens as Bedrock counts them: those of the prompt without cached ones, which are in `unmapped`.
fn message_context(object: &mut Object<'_>, event: &Event<'_>) {
    let usage = event.view.usage();
    object.object("service", |object| {
        object.text("name", SERVICE_NAME);
        object.text("uid", SERVICE);
    });
    object.string("uid", names::filled(event.invocation.request_id));
    // The schema's integers have 32 bits where they are stored.
    let count = |count: Option<i64>| count.filter(|count| i32::try_from(*count).is_ok());
    object.integer("prompt_tokens", count(usage.input));
    object.integer("completion_tokens", count(usage.output));
    object.integer("total_tokens", count(usage.total));
}

/// What a search for a caller or an account finds the event by.
fn observables(object: &mut Object<'_>, invocation: &Invocation<'_>) {
    let observed = [
        ("actor.user.uid", "User Object: uid", 31, names::arn(invocation)),
        ("cloud.account.uid", "Account Object: uid", 35, names::filled(Some(invocation.account_id))),
    ];
    if observed.iter().all(|(.., value)| value.is_none()) {
        return;
    }
    object.array("observables", |array| {
        for (name, kind, type_id, value) in observed {
            if value.is_some() {
                array.object(|object| {
                    object.text("name", name);
                    object.text("type", kind);
                    object.integer("type_id", Some(type_id));
                    object.string("value", value);
                });
            }
        }
    });
}

/// What the class has no attribute for; OCSF has some for the prompt's and the answer's text from 1.9 on only.
fn unmapped(object: &mut Object<'_>, event: &Event<'_>, context: &Context<'_>) {
    let invocation = event.invocation;
    object.string("inference_region", names::filled(invocation.inference_region));
    object.boolean("streamed", names::streamed(invocation, &event.view));
    object.string("status", names::filled(invocation.status));
    let mut row = Row::nested(object);
    row.other_usage(event.view.usage());
    row.cost(event.cost(context.prices));
    row.ending(&event.view);
    row.guardrail(names::intervened(&event.view), event.view.guardrail());
    row.conversation(&event.view);
    row.bodies(event);
    row.parameters(&event.view.request().parameters);
    event.marks.write(object);
}

fn text(object: &mut Object<'_>, key: &'static str, value: Option<&str>) {
    if let Some(value) = value.filter(|value| !value.is_empty()) {
        object.text(key, value);
    }
}

#[cfg(test)]
pub(crate) mod conform;
#[cfg(test)]
mod tests;
