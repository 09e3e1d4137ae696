//! A service: how sinks call those of AWS. A call is made once, ends in time, and has no more of its answer read than it
//! can have.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_kinesis::error::SdkError;

use crate::aws::bounded::BoundedAnswers;
use crate::aws::{Access, AccessError};

/// The bytes of an answer that are read: the longest is that to a put of records, 500 entries of some hundred bytes each.
pub(super) const BOUNDED: BoundedAnswers = BoundedAnswers::all(1 << 20);

/// Finds Region and credentials. A client made of this calls once, since the sink's own retries are those that count, and
/// gives up after `timeout`.
pub(super) async fn load(access: &Access, timeout: Duration) -> Result<SdkConfig, AccessError> {
    let config = access.load().await?;
    let timeouts = config.timeout_config().map_or_else(TimeoutConfig::builder, TimeoutConfig::to_builder);
    let timeouts = timeouts.read_timeout(timeout).operation_timeout(timeout).build();
    let mut builder = config.into_builder().retry_config(RetryConfig::disabled()).timeout_config(timeouts);
    // A role that is to be assumed was asked for at its own service by now. The environment may name an endpoint as well.
    if let Some(url) = &access.endpoint_url {
        builder = builder.endpoint_url(url);
    }
    Ok(builder.build())
}

/// How long an answer asks to be left alone. The sinks' retries bound it.
pub(super) fn retry_after<E>(error: &SdkError<E>) -> Option<Duration> {
    let seconds = error.raw_response()?.headers().get("retry-after")?;
    seconds.trim().parse().ok().map(Duration::from_secs)
}
