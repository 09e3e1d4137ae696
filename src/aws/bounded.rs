//! Bounded answers: no more of an answer is read than it can have, whatever the other side sends.

use aws_sdk_kinesis::config::interceptors::BeforeDeserializationInterceptorContextMut;
use aws_sdk_kinesis::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_kinesis::error::BoxError;
use aws_sdk_s3::primitives::SdkBody;
use http_body_util::Limited;

/// Reads so many bytes of an answer at most; a longer one is an error of the call.
#[derive(Debug)]
pub(crate) struct BoundedAnswers {
    max_bytes: usize,
    /// Only of answers that tell of an error: others may hold what has no bound, such as an object.
    of_errors: bool,
}

impl BoundedAnswers {
    /// Of every answer.
    pub(crate) const fn all(max_bytes: usize) -> Self {
        Self { max_bytes, of_errors: false }
    }

    /// Of answers that tell of an error.
    pub(crate) const fn errors(max_bytes: usize) -> Self {
        Self { max_bytes, of_errors: true }
    }
}

impl Intercept for BoundedAnswers {
    fn name(&self) -> &'static str {
        "BoundedAnswers"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if self.of_errors && context.response().status().is_success() {
            return Ok(());
        }
        let body = context.response_mut().body_mut();
        let whole = std::mem::replace(body, SdkBody::taken());
        *body = SdkBody::from_body_1_x(Limited::new(whole, self.max_bytes));
        Ok(())
    }
}
