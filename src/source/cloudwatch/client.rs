//! The client: calls of CloudWatch Logs at a pace that all its clones share. It retries nothing by itself, so that each
//! call is one that the pace knows of.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_sdk_cloudwatchlogs::Client;
use aws_sdk_cloudwatchlogs::types;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::clock::Clock;
pub use super::clock::HostClock;
use super::error::{CallError, Policy};
use super::pace::Pace;
use crate::aws::bounded::BoundedAnswers;
use crate::aws::calls::CALLS;
use crate::aws::{Access, AccessError};

/// Calls of FilterLogEvents a second that leave one of the five of an account and Region to others. Source: the service
/// quotas of CloudWatch Logs.
pub const DEFAULT_CALLS_PER_SECOND: f64 = 4.0;

/// The bytes of an answer that are read: a page is 1 MB and 10,000 events at most, a byte of it six as JSON at worst.
/// Source: the CloudWatch Logs API reference, `FilterLogEvents`.
const MAX_ANSWER_BYTES: usize = 10 * 1024 * 1024;
/// Pages of 50 log groups that are looked through for one name: those before it in order that begin with it.
const MAX_GROUP_PAGES: usize = 100;

/// A log group, as the user named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// What the user wrote, without the `:*` that IAM policies have behind an ARN.
    pub given: Arc<str>,
    /// The log group's name.
    pub name: Arc<str>,
    /// Its account, if it was named by its ARN.
    pub account: Option<Arc<str>>,
    /// Its Region, if it was named by its ARN.
    pub region: Option<Arc<str>>,
}

impl Group {
    /// Reads a name or an ARN (`arn:aws:logs:REGION:ACCOUNT:log-group:NAME`). What is neither is taken for a name, which
    /// the service refuses.
    pub fn of(text: &str) -> Self {
        let given = text.strip_suffix(":*").unwrap_or(text);
        let parts: Vec<_> = given.splitn(7, ':').collect();
        match parts[..] {
            ["arn", _, "logs", region, account, "log-group", name] => Self {
                given: given.into(),
                name: name.into(),
                account: Some(account.into()),
                region: Some(region.into()),
            },
            _ => Self { given: given.into(), name: given.into(), account: None, region: None },
        }
    }

    fn is_arn(&self) -> bool {
        self.account.is_some()
    }
}

/// A log event as FilterLogEvents gives it; what an answer leaves out is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// The id.
    pub id: Option<String>,
    /// The log stream's name.
    pub log_stream: Option<String>,
    /// The event's time, in milliseconds since 1970.
    pub timestamp_millis: Option<i64>,
    /// The message. Never logged: it holds prompts and answers.
    pub message: Option<String>,
}

/// A page of log events.
#[derive(Debug, Default)]
pub struct Page {
    /// The events: by time, by ingestion and by request, the oldest first. A page may have none although more follow.
    pub events: Vec<Event>,
    /// What the next page is asked for with; none is the end.
    pub next: Option<String>,
}

/// A log group as the service describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogGroup {
    /// The ARN, without `:*` at its end: as StartLiveTail wants it.
    pub arn: String,
    /// The name.
    pub name: String,
    /// The account that owns it, from the ARN.
    pub account: String,
    /// The class, such as `STANDARD` or `INFREQUENT_ACCESS`.
    pub class: Option<String>,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// How long it keeps events; none is for ever.
    pub retention_days: Option<u32>,
    /// The KMS key that encrypts it, if that is not the service's own.
    pub kms_key: Option<String>,
}

/// CloudWatch Logs in one Region. Cheap to clone; clones share their pace.
#[derive(Clone)]
pub struct Logs {
    client: Client,
    region: Arc<str>,
    pace: Pace,
    clock: Clock,
    /// When the log last said of each log group that it cannot be read.
    said: Arc<Mutex<HashMap<Arc<str>, Instant>>>,
}

/// The time between two lines of the log on one log group, which may be read in many parts at a time.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

impl fmt::Debug for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logs").field("region", &self.region).finish_non_exhaustive()
    }
}

impl Logs {
    /// Finds Region and credentials and makes the client, which makes so many calls a second at most.
    ///
    /// # Errors
    /// What is missing or wrong, and where to set it.
    pub async fn connect(access: &Access, calls_per_second: f64) -> Result<Self, AccessError> {
        let config = access.load().await?;
        let mut builder = aws_sdk_cloudwatchlogs::config::Builder::from(&config)
            .interceptor(CALLS)
            .retry_config(RetryConfig::disabled())
            .interceptor(BoundedAnswers::all(MAX_ANSWER_BYTES));
        if let Some(url) = &access.endpoint_url {
            // Only this client's: an assumed role is asked for at its own service.
            builder = builder.endpoint_url(url);
        }
        Ok(Self::new(&Client::from_conf(builder.build()), calls_per_second, Arc::new(Timestamp::now)))
    }

    /// CloudWatch Logs through a client that is there already, on a host that has this clock. The client must not retry
    /// by itself.
    pub fn new(client: &Client, calls_per_second: f64, host: HostClock) -> Self {
        let region = client.config().region().map_or("", |region| region.as_ref()).into();
        let clock = Clock::new(host);
        let client = Client::from_conf(client.config().to_builder().interceptor(clock.clone()).build());
        Self { client, region, pace: Pace::new(calls_per_second), clock, said: Arc::default() }
    }

    /// Whether it is time to say of a log group that it cannot be read.
    pub(super) fn is_news(&self, group: &Group) -> bool {
        let (mut said, now) = (self.said.lock().unwrap_or_else(PoisonError::into_inner), Instant::now());
        let is_news = said.get(&group.given).is_none_or(|last| now.duration_since(*last) >= BETWEEN_LINES);
        if is_news {
            said.insert(Arc::clone(&group.given), now);
        }
        is_news
    }

    /// The time: this host's, put right by what the service's answers say.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Has the service say what time it is, if no answer did so yet. A refusal says it too; where none comes, this host's
    /// is taken.
    pub(super) async fn ask_for_time(&self, log_group: &Group) {
        if !self.clock.is_sure() {
            let now = self.now();
            let moment = now.saturating_add(SignedDuration::from_millis(1)).unwrap_or(now);
            // What it holds is read in its turn.
            let _ = self.filter_page(log_group, now, moment, None, None).await;
        }
    }

    /// The Region that is asked.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The client, for calls of other kinds.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// What is said of pages that come round again.
    pub(super) fn token_repeats(&self, group: &Group) -> CallError {
        self.failure("FilterLogEvents", Policy::Invalid, group, "the service gives the same token again and again")
    }

    /// A page of the events of a log group (its name or ARN) whose times are in `[from, to)`: the first, or the one that
    /// `token` stands for. Waits for its turn. Only events that match `pattern` come, if there is one.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn filter_page(
        &self,
        log_group: &Group,
        from: Timestamp,
        to: Timestamp,
        token: Option<&str>,
        pattern: Option<&str>,
    ) -> Result<Page, CallError> {
        // Both ends of a call are included, in milliseconds: rounded alike, so that adjacent windows share no event.
        let (start, end) = (millis_from(from), millis_from(to) - 1);
        if end < start {
            return Ok(Page::default());
        }
        let call = self.client.filter_log_events().start_time(start).end_time(end);
        let call = if log_group.is_arn() {
            call.log_group_identifier(&*log_group.given)
        } else {
            call.log_group_name(&*log_group.name)
        };
        let call = call.set_next_token(token.map(str::to_owned)).set_filter_pattern(pattern.map(str::to_owned));
        self.pace.turn().await;
        let sent = Box::pin(call.send()).await;
        let answer = sent.map_err(|error| self.error("FilterLogEvents", log_group, &error));
        self.ended(answer.as_ref().err());
        let answer = answer?;
        let events = answer.events.unwrap_or_default().into_iter().map(Event::from).collect();
        Ok(Page { events, next: answer.next_token.filter(|token| !token.is_empty()) })
    }

    /// What the service says of a log group (its name or ARN).
    ///
    /// # Errors
    /// See [`CallError`]; [`Policy::NotFound`] if no log group has exactly this name, or this ARN.
    pub async fn describe(&self, log_group: &Group) -> Result<LogGroup, CallError> {
        if let Some(found) = self.look_for(log_group, None).await? {
            return Ok(found);
        }
        // A log group of an account that this one monitors is listed only where it is asked for.
        if let Some(account) = &log_group.account
            && let Some(found) = self.look_for(log_group, Some(account)).await?
        {
            return Ok(found);
        }
        Err(self.failure("DescribeLogGroups", Policy::NotFound, log_group, "no log group has this name"))
    }

    async fn look_for(&self, log_group: &Group, linked: Option<&str>) -> Result<Option<LogGroup>, CallError> {
        let mut token = None;
        for _ in 0..MAX_GROUP_PAGES {
            let mut call = self.client.describe_log_groups().log_group_name_prefix(&*log_group.name);
            if let Some(account) = linked {
                call = call.include_linked_accounts(true).account_identifiers(account);
            }
            self.pace.turn().await;
            let sent = Box::pin(call.set_next_token(token.take()).send()).await;
            let answer = sent.map_err(|error| self.error("DescribeLogGroups", log_group, &error));
            self.ended(answer.as_ref().err());
            let answer = answer?;
            let described = answer.log_groups.unwrap_or_default().into_iter().filter_map(described);
            let is_it = |found: &LogGroup| {
                found.name == *log_group.name && (!log_group.is_arn() || found.arn == *log_group.given)
            };
            let mut described = described.filter(is_it);
            match (described.next(), answer.next_token) {
                (Some(found), _) => return Ok(Some(found)),
                (None, None) => break,
                (None, next) => token = next,
            }
        }
        Ok(None)
    }

    /// Notes how a call ended.
    fn ended(&self, failure: Option<&CallError>) {
        match failure {
            None => self.pace.answered(),
            Some(failure) if failure.policy == Policy::Throttled => self.pace.throttled(),
            Some(_) => {}
        }
    }

    fn error<E>(
        &self,
        operation: &'static str,
        log_group: &Group,
        error: &aws_sdk_cloudwatchlogs::error::SdkError<E>,
    ) -> CallError
    where
        E: aws_sdk_cloudwatchlogs::error::ProvideErrorMetadata
            + aws_sdk_cloudwatchlogs::operation::RequestId
            + std::error::Error
            + 'static,
    {
        CallError::new(operation, &log_group.given, &self.region, error)
    }

    /// A failure that this side found.
    fn failure(&self, operation: &'static str, policy: Policy, log_group: &Group, code: &str) -> CallError {
        let (log_group, region) = (log_group.given.to_string(), self.region.to_string());
        CallError { policy, operation, log_group, region, code: code.to_owned(), message: None, request_id: None }
    }
}

impl From<types::FilteredLogEvent> for Event {
    fn from(event: types::FilteredLogEvent) -> Self {
        let types::FilteredLogEvent { log_stream_name, timestamp, message, event_id, .. } = event;
        Self { id: event_id, log_stream: log_stream_name, timestamp_millis: timestamp, message }
    }
}

/// The first whole millisecond at or after a time, since 1970.
fn millis_from(time: Timestamp) -> i64 {
    let (whole, rest) = (time.as_millisecond(), time.subsec_nanosecond() % 1_000_000);
    (whole + i64::from(rest > 0)).max(0)
}

/// Reads a description; none for one without the ARN of a log group.
fn described(group: types::LogGroup) -> Option<LogGroup> {
    let arn = group.log_group_arn.or(group.arn)?;
    let parsed = Group::of(&arn);
    Some(LogGroup {
        arn: parsed.given.to_string(),
        name: group.log_group_name.unwrap_or_else(|| parsed.name.to_string()),
        account: parsed.account?.to_string(),
        class: group.log_group_class.map(|class| class.as_str().to_owned()),
        created: group.creation_time.and_then(|millis| Timestamp::from_millisecond(millis).ok()),
        retention_days: group.retention_in_days.and_then(|days| u32::try_from(days).ok()),
        kms_key: group.kms_key_id,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_is_taken_apart() {
        let check = |text: &str, given: &str, name: &str, account: Option<&str>, region: Option<&str>| {
            let group = Group::of(text);
            let found = (&*group.given, &*group.name, group.account.as_deref(), group.region.as_deref());
            assert_eq!(found, (given, name, account, region), "{text:?}");
        };
        check("/aws/bedrock", "/aws/bedrock", "/aws/bedrock", None, None);
        let arn = "arn:aws:logs:eu-west-1:123456789012:log-group:/aws/bedrock";
        check(arn, arn, "/aws/bedrock", Some("123456789012"), Some("eu-west-1"));
        check(&format!("{arn}:*"), arn, "/aws/bedrock", Some("123456789012"), Some("eu-west-1"));
        check("arn:aws:s3:::bucket", "arn:aws:s3:::bucket", "arn:aws:s3:::bucket", None, None);
    }

    #[test]
    fn adjacent_windows_share_no_millisecond_and_leave_out_none() {
        let check = |time: &str, expected: i64| {
            assert_eq!(millis_from(time.parse().unwrap()), expected, "{time}");
        };
        check("1970-01-01T00:00:01.234Z", 1234);
        check("1970-01-01T00:00:01.2340001Z", 1235);
        check("1970-01-01T00:00:01.234999999Z", 1235);
        check("1969-12-31T23:59:59Z", 0);
    }
}
