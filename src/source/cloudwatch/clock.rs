//! The clock: this host's, put right by the service's. Events bear times of AWS, and what is read for good is what is old
//! enough: a host whose clock is fast would take for read what is still to come.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_sdk_cloudwatchlogs::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_cloudwatchlogs::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_cloudwatchlogs::error::BoxError;
use jiff::fmt::rfc2822::DateTimeParser;
use jiff::{SignedDuration, Timestamp};

/// Tells the time; tests tell their own.
pub type HostClock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// A difference below this is the way of the answer, and the service telling whole seconds.
const UNSURE: SignedDuration = SignedDuration::from_secs(5);
/// A host may be so far behind: one that is more so has its signatures refused. Source: the IAM user guide on signatures.
const MAX_BEHIND: SignedDuration = SignedDuration::from_mins(5);

/// The time, as AWS tells it. Clones share what they know.
#[derive(Clone)]
pub(super) struct Clock {
    host: HostClock,
    /// How far the host is ahead, once an answer said what time it is.
    ahead: Arc<Mutex<Option<SignedDuration>>>,
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock").field("ahead", &*self.ahead()).finish_non_exhaustive()
    }
}

impl Clock {
    pub(super) fn new(host: HostClock) -> Self {
        Self { host, ahead: Arc::default() }
    }

    pub(super) fn now(&self) -> Timestamp {
        let ahead = self.ahead().unwrap_or_default();
        (self.host)().saturating_sub(ahead).unwrap_or(Timestamp::MIN)
    }

    /// Whether an answer said what time it is.
    pub(super) fn is_sure(&self) -> bool {
        self.ahead().is_some()
    }

    /// Notes the `Date` of an answer that came just now.
    fn answered(&self, date: &str) {
        let Ok(date) = DateTimeParser::new().parse_timestamp(date) else { return };
        let ahead = (self.host)().duration_since(date);
        let ahead = if ahead.abs() < UNSURE { SignedDuration::ZERO } else { ahead.max(-MAX_BEHIND) };
        *self.ahead() = Some(ahead);
    }

    fn ahead(&self) -> MutexGuard<'_, Option<SignedDuration>> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Every answer, a refusal too, says what time it is.
impl Intercept for Clock {
    fn name(&self) -> &'static str {
        "Clock"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(date) = context.response().headers().get("date") {
            self.answered(date);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_put_right_by_what_answers_say() {
        let now: Timestamp = "2026-01-02T03:04:05.678Z".parse().unwrap();
        let check = |date: &str, ahead_seconds: i64, is_sure: bool| {
            let clock = Clock::new(Arc::new(move || now));
            clock.answered(date);
            let ahead = SignedDuration::from_secs(ahead_seconds).saturating_add(match ahead_seconds {
                1.. => SignedDuration::from_millis(678),
                _ => SignedDuration::ZERO,
            });
            assert_eq!((clock.now(), clock.is_sure()), (now - ahead, is_sure), "{date:?}");
        };
        check("Fri, 02 Jan 2026 03:04:05 GMT", 0, true);
        check("Fri, 02 Jan 2026 03:04:01 GMT", 0, true);
        check("Fri, 02 Jan 2026 03:04:10 GMT", 0, true);
        check("Fri, 02 Jan 2026 02:44:05 GMT", 1200, true);
        // No answer puts the time far ahead: what is to come would be taken for read.
        check("Fri, 02 Jan 2026 03:44:05 GMT", -300, true);
        for date in ["", "yesterday", "2026-01-02T03:04:05Z", "Fri, 02 Jan 2026"] {
            check(date, 0, false);
        }
    }
}
