//! The endpoint of sessions. AWS gives them a host of their own, whose name is that of the service's with a prefix; the SDK
//! puts the prefix before any host, which an endpoint that a person named does not have.

use aws_sdk_cloudwatchlogs::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_cloudwatchlogs::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_cloudwatchlogs::error::BoxError;

/// Source: the SDK's model of StartLiveTail.
const PREFIX: &str = "stream-";

/// Takes the prefix away, before the request is signed.
#[derive(Debug)]
pub(super) struct AsNamed;

impl Intercept for AsNamed {
    fn name(&self) -> &'static str {
        "AsNamed"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request_mut();
        if let Some((scheme, rest)) = request.uri().split_once("://")
            && let Some(host) = rest.strip_prefix(PREFIX)
        {
            let named = format!("{scheme}://{host}");
            request.set_uri(named)?;
        }
        Ok(())
    }
}
