//! Calls: each call of AWS is counted and timed, whichever client makes it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use aws_sdk_kinesis::config::interceptors::{BeforeSerializationInterceptorContextRef, FinalizerInterceptorContextRef};
use aws_sdk_kinesis::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_kinesis::error::BoxError;
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use aws_smithy_runtime_api::http::Response;
use aws_smithy_types::config_bag::{Storable, StoreReplace};
use jiff::Timestamp;

use super::error::{Meaning, meaning_of};
use crate::metrics;

/// Counts and times calls. Every client that the daemon makes has it.
pub(crate) const CALLS: Calls = Calls;

/// See [`CALLS`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Calls;

/// The last failure of each operation, of which there are as many as the program has.
static FAILURES: Mutex<BTreeMap<(String, String), CallFailure>> = Mutex::new(BTreeMap::new());

/// The last failure of an operation.
#[derive(Clone, Debug)]
pub struct CallFailure {
    /// The service, as the SDK names it.
    pub service: String,
    /// The operation.
    pub operation: String,
    /// What it means: throttled, denied, invalid or failed.
    pub result: &'static str,
    /// The error's code, if the service gave one.
    pub code: Option<String>,
    /// When it was.
    pub at: Timestamp,
    /// The operation's failures so far.
    pub count: u64,
}

/// The last failures, by service and operation.
pub fn failures() -> Vec<CallFailure> {
    FAILURES.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
}

fn note(service: &str, operation: &str, result: &'static str, code: Option<String>) {
    let mut failures = FAILURES.lock().unwrap_or_else(PoisonError::into_inner);
    let key = (service.to_owned(), operation.to_owned());
    let count = failures.get(&key).map_or(0, |failure| failure.count) + 1;
    let failure = CallFailure {
        service: service.to_owned(),
        operation: operation.to_owned(),
        result,
        code,
        at: Timestamp::now(),
        count,
    };
    failures.insert(key, failure);
}

/// When a call began.
#[derive(Debug)]
struct Begun(Instant);

impl Storable for Begun {
    type Storer = StoreReplace<Self>;
}

impl Intercept for Calls {
    fn name(&self) -> &'static str {
        "Calls"
    }

    fn read_before_execution(
        &self,
        _: &BeforeSerializationInterceptorContextRef<'_>,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        bag.interceptor_state().store_put(Begun(Instant::now()));
        Ok(())
    }

    fn read_after_execution(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Some(call) = bag.load::<Metadata>() else { return Ok(()) };
        let (service, operation) = (call.service(), call.name());
        let is_ok = matches!(context.output_or_error(), Some(Ok(_)));
        let (result, code) = if is_ok { ("ok", None) } else { context.response().map_or(("failed", None), result_of) };
        if !is_ok {
            note(service, operation, result, code);
        }
        let families = metrics::families();
        families.aws_calls.with_label_values(&[service, operation, result]).inc();
        if let Some(Begun(begun)) = bag.load::<Begun>() {
            families.aws_seconds.with_label_values(&[service, operation]).observe(begun.elapsed().as_secs_f64());
        }
        Ok(())
    }
}

/// What an answer that is an error means.
fn result_of(response: &Response) -> (&'static str, Option<String>) {
    let header = response.headers().get("x-amzn-errortype");
    let body = response.body().bytes().unwrap_or_default();
    let code = header.map(str::to_owned).or_else(|| code_of(body));
    // `AccessDeniedException:http://…` and `com.amazonaws.kinesis#AccessDeniedException` are the same.
    let code = code.as_deref().and_then(|code| code.rsplit('#').next()?.split(':').next());
    let result = match meaning_of(code, response.status().as_u16()) {
        Meaning::Throttled => "throttled",
        Meaning::Denied => "denied",
        Meaning::Invalid => "invalid",
        Meaning::Retry => "failed",
    };
    // A code is short; what is not is none.
    (result, code.filter(|code| code.len() <= 100).map(str::to_owned))
}

/// The code in a body of JSON or XML.
fn code_of(body: &[u8]) -> Option<String> {
    if let Ok(json) = serde_json::from_slice::<serde_json::Value>(body) {
        return ["__type", "code"].into_iter().find_map(|name| json.get(name)?.as_str().map(str::to_owned));
    }
    let text = std::str::from_utf8(body).ok()?;
    let (_, rest) = text.split_once("<Code>")?;
    rest.split_once("</Code>").map(|(code, _)| code.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_known_by_its_header_or_its_body() {
        let check = |status: u16, header: Option<&'static str>, body: &'static str, expected: &str| {
            let mut response = Response::new(status.try_into().unwrap(), body.into());
            if let Some(header) = header {
                response.headers_mut().insert("x-amzn-errortype", header);
            }
            assert_eq!(result_of(&response).0, expected, "{status} {header:?} {body}");
        };
        check(400, Some("ProvisionedThroughputExceededException"), "", "throttled");
        check(400, Some("AccessDeniedException:http://example.com/"), "", "denied");
        check(400, None, r#"{"__type":"com.amazonaws.kinesis.v20131202#LimitExceededException"}"#, "throttled");
        check(400, None, r#"{"__type":"ValidationException","message":"no"}"#, "invalid");
        check(503, None, "<Error><Code>SlowDown</Code></Error>", "throttled");
        check(403, None, "<Error><Code>AccessDenied</Code></Error>", "denied");
        check(500, None, "<html>", "failed");
        check(429, None, "", "throttled");
    }
}
