//! The session: one for all log groups, renewed whenever it ends. It never waits for a log group's lane: what a lane
//! cannot take is left out, and said to be missing.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_cloudwatchlogs::Client;
use aws_sdk_cloudwatchlogs::config::SharedInterceptor;
use aws_sdk_cloudwatchlogs::error::{ProvideErrorMetadata as _, SdkError};
use aws_sdk_cloudwatchlogs::operation::start_live_tail::StartLiveTailOutput;
use aws_sdk_cloudwatchlogs::types::{LiveTailSessionLogEvent, LiveTailSessionUpdate, StartLiveTailResponseStream};
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, info, warn};

use super::Settings;
use super::endpoint::AsNamed;
use crate::budget::{Budget, Reservation};
use crate::source::cloudwatch::client::{self, Logs};
use crate::source::cloudwatch::error::{CallError, Policy};
use crate::source::kinesis::pace::Backoff;

/// How long the start of a session is waited for.
const START_PATIENCE: Duration = Duration::from_secs(30);
/// A session that brings no update for so long is dead: an update comes every second, if an empty one.
const SILENCE: Duration = Duration::from_secs(30);
/// An update that comes so long after the one before may not be the next one: the service holds ten of them, a second
/// each, for who does not read, and then lets the oldest go. Source: the API reference of StartLiveTail.
const LATE: Duration = Duration::from_secs(5);
/// In its first seconds a session may not see everything yet: they are read again.
const WARM_UP: Duration = Duration::from_secs(5);
/// While there is no session, lanes are told so often that they are to read by themselves.
const BEAT: Duration = Duration::from_secs(10);
/// What lasts is said again after this time.
const AGAIN: Duration = Duration::from_secs(600);
/// Updates that wait for a lane.
pub(super) const FEED: usize = 32;
/// What an event takes beside its message.
const EVENT_BYTES: usize = 256;

/// What the session tells a log group.
#[derive(Debug)]
pub(super) struct News {
    /// Up to when.
    pub(super) to: Timestamp,
    /// Whether it is all that was ingested since the last news.
    pub(super) complete: bool,
    /// What came.
    pub(super) events: Vec<LiveTailSessionLogEvent>,
    /// The bytes that it holds.
    pub(super) reservation: Reservation,
}

/// A log group of the session.
#[derive(Debug)]
pub(super) struct Group {
    named: client::Group,
    /// The log group's ARN, without a `:*`, once it is known.
    arn: Option<Arc<str>>,
    feed: mpsc::Sender<News>,
    /// Something was left out since the last news that arrived.
    broken: bool,
    /// The session does not watch it.
    is_missing: bool,
}

impl Group {
    /// A log group, by its name or ARN, and where its news go.
    pub(super) fn new(log_group: &str, feed: mpsc::Sender<News>) -> Self {
        let named = client::Group::of(log_group);
        let arn = named.account.is_some().then(|| Arc::clone(&named.given));
        Self { named, arn, feed, broken: true, is_missing: false }
    }

    fn tell(&mut self, to: Timestamp, complete: bool, mut events: Vec<LiveTailSessionLogEvent>, budget: &Budget) {
        let bytes = events.iter().map(|event| EVENT_BYTES + event.message().map_or(0, str::len)).sum();
        let (room, mut complete) = (room(budget, bytes), complete && !self.broken && !self.is_missing);
        let reservation = room.unwrap_or_else(|| {
            (events, complete) = (Vec::new(), false);
            Reservation::default()
        });
        self.broken = self.feed.try_send(News { to, complete, events, reservation }).is_err();
    }
}

/// Bytes for events, if there are some. Half of the budget is left to reading the gaps, which waits for what it needs.
fn room(budget: &Budget, bytes: usize) -> Option<Reservation> {
    if bytes == 0 {
        return Some(Reservation::default());
    }
    (budget.in_flight_bytes() + bytes <= budget.total_bytes() / 2).then(|| budget.try_reserve(bytes)).flatten()
}

/// Sessions, one after the other.
pub(super) struct Sessions {
    logs: Logs,
    client: Client,
    pattern: Option<Arc<str>>,
    groups: Vec<Group>,
    budget: Budget,
    said: Said,
    sampled: Sampled,
}

/// Why a session ended.
#[derive(Debug)]
enum End {
    /// It was time: the service ends a session after three hours.
    Due,
    /// It broke off.
    Broken(String),
    /// There was none.
    Refused(CallError),
}

impl Sessions {
    /// Sessions of these log groups.
    pub(super) fn new(logs: Logs, settings: &Settings, groups: Vec<Group>, budget: Budget) -> Self {
        // The answers of other calls are bounded; this one goes on for hours.
        let named = settings.is_endpoint_named.then(|| SharedInterceptor::new(AsNamed));
        let mut config = logs.client().config().to_builder();
        config.set_interceptors(named);
        Self {
            client: Client::from_conf(config.build()),
            logs,
            pattern: settings.pattern.clone(),
            groups,
            budget,
            said: Said::default(),
            sampled: Sampled::default(),
        }
    }

    /// Runs sessions for as long as it is polled.
    pub(super) async fn run(mut self) {
        let (mut brief, mut slow) = (Backoff::brief(), Backoff::slow());
        // What is there already can be read at once.
        self.tell(Vec::new(), false);
        loop {
            let (end, updates) = self.session().await;
            self.groups.iter_mut().for_each(|group| group.broken = true);
            if updates > 0 {
                (brief, slow) = (Backoff::brief(), Backoff::slow());
            }
            let wait = match end {
                End::Due => {
                    debug!("the live session has reached its end, starting another");
                    Duration::ZERO
                }
                End::Broken(error) => {
                    if brief.tries() >= 4 && self.said.is_news("broken") {
                        warn!(error, "live sessions break off; what they miss is read by polling");
                    } else {
                        info!(error, "the live session broke off, starting another");
                    }
                    brief.wait()
                }
                End::Refused(failure) if failure.policy == Policy::Retry => {
                    if brief.tries() >= 4 && self.said.is_news(&failure.code) {
                        warn_of(&failure);
                    }
                    brief.wait()
                }
                End::Refused(failure) => {
                    if self.said.is_news(&failure.code) {
                        warn_of(&failure);
                    }
                    slow.wait()
                }
            };
            self.wait(wait).await;
        }
    }

    /// Waits, and has the lanes read by themselves meanwhile.
    async fn wait(&mut self, wait: Duration) {
        let until = Instant::now() + wait;
        while Instant::now() < until {
            self.tell(Vec::new(), false);
            sleep_until(until.min(Instant::now() + BEAT)).await;
        }
    }

    /// One session; gives why it ended and how many updates it brought.
    async fn session(&mut self) -> (End, u64) {
        let mut updates = 0;
        let started = match self.start().await {
            Ok(started) => started,
            Err(failure) => return (End::Refused(failure), updates),
        };
        let mut stream = started.response_stream;
        let mut rhythm = Rhythm::new();
        loop {
            let event = match timeout(SILENCE, stream.recv()).await {
                Err(_) => return (End::Broken("nothing came for a while".to_owned()), updates),
                Ok(Err(error)) => return (end_of(&error), updates),
                Ok(Ok(None)) => return (End::Broken("the service closed it".to_owned()), updates),
                Ok(Ok(Some(event))) => event,
            };
            let update = match event {
                StartLiveTailResponseStream::SessionUpdate(update) => update,
                StartLiveTailResponseStream::SessionStart(start) => {
                    self.look_for_all(start.log_group_identifiers());
                    continue;
                }
                _ => continue,
            };
            updates += 1;
            if updates == 1 && self.said.is_over() {
                info!("there is a live session again");
            }
            let is_next = rhythm.is_next(self.logs.now(), &update);
            self.take(update, is_next);
        }
    }

    /// A session says at its start which log groups it watches, if it does.
    fn look_for_all(&mut self, watched: &[String]) {
        for group in &mut self.groups {
            let is_its = |identifier: &String| group.arn.as_deref().is_some_and(|arn| is_of(arn, identifier));
            group.is_missing = !watched.is_empty() && !watched.iter().any(is_its);
            if group.is_missing {
                warn!(log_group = %group.named.given, "the live session leaves out this log group, reading it by polling");
            }
        }
    }

    async fn start(&mut self) -> Result<StartLiveTailOutput, CallError> {
        let mut arns = Vec::with_capacity(self.groups.len());
        for group in &mut self.groups {
            let arn = match &group.arn {
                Some(arn) => Arc::clone(arn),
                None => Arc::clone(group.arn.insert(self.logs.describe(&group.named).await?.arn.into())),
            };
            arns.push(arn.to_string());
        }
        let call = self.client.start_live_tail().set_log_group_identifiers(Some(arns));
        let call = call.set_log_event_filter_pattern(self.pattern.as_deref().map(str::to_owned));
        let names: Vec<_> = self.groups.iter().map(|group| &*group.named.given).collect();
        let names = names.join(", ");
        let sent = timeout(START_PATIENCE, Box::pin(call.send())).await;
        match sent {
            Ok(sent) => sent.map_err(|error| CallError::new("StartLiveTail", &names, self.logs.region(), &error)),
            Err(_) => Err(CallError {
                policy: Policy::Retry,
                operation: "StartLiveTail",
                log_group: names,
                region: self.logs.region().to_owned(),
                code: "no answer in time".to_owned(),
                message: None,
                request_id: None,
            }),
        }
    }

    fn take(&mut self, update: LiveTailSessionUpdate, is_next: bool) {
        let is_sampled = update.session_metadata.is_some_and(|metadata| metadata.sampled);
        if is_sampled {
            self.sampled.note();
        }
        self.tell(update.session_results.unwrap_or_default(), is_next && !is_sampled);
    }

    /// Tells each log group its events.
    fn tell(&mut self, events: Vec<LiveTailSessionLogEvent>, mut complete: bool) {
        let now = self.logs.now();
        let mut parts: Vec<Vec<_>> = self.groups.iter().map(|_| Vec::new()).collect();
        for event in events {
            // What cannot be told apart, or lacks something, is found when the gap is read.
            match self.group_of(&event).filter(|_| event.message.is_some() && event.timestamp.is_some()) {
                Some(group) => parts[group].push(event),
                None => complete = false,
            }
        }
        for (group, events) in self.groups.iter_mut().zip(parts) {
            group.tell(now, complete, events, &self.budget);
        }
    }

    fn group_of(&self, event: &LiveTailSessionLogEvent) -> Option<usize> {
        if self.groups.len() == 1 {
            return Some(0);
        }
        let identifier = event.log_group_identifier.as_deref()?;
        self.groups.iter().position(|group| group.arn.as_deref().is_some_and(|arn| is_of(arn, identifier)))
    }
}

/// Whether an identifier is a log group's: its ARN, `ACCOUNT:NAME`, or its name.
fn is_of(arn: &str, identifier: &str) -> bool {
    let identifier = identifier.strip_suffix(":*").unwrap_or(identifier);
    if identifier.starts_with("arn:") {
        return identifier == arn;
    }
    let mut parts = arn.splitn(7, ':').skip(4);
    let (account, name) = (parts.next(), parts.nth(1));
    match identifier.split_once(':') {
        Some((of, named)) => account == Some(of) && name == Some(named),
        None => name == Some(identifier),
    }
}

fn warn_of(failure: &CallError) {
    let advice = match (failure.policy, failure.code.as_str()) {
        (_, "LimitExceededException") => "the account has as many live sessions as it may: end others".to_owned(),
        (Policy::Retry, _) => "Live Tail may not be offered in this Region, or by this endpoint".to_owned(),
        _ => failure.advice(),
    };
    warn!(error = %failure, advice, "there is no live session; what comes is read by polling until there is one");
}

/// What an error of the stream of events means.
fn end_of<R>(error: &SdkError<aws_sdk_cloudwatchlogs::types::error::StartLiveTailResponseStreamError, R>) -> End {
    match error {
        SdkError::ServiceError(context) if context.err().is_session_timeout_exception() => End::Due,
        SdkError::ServiceError(context) => {
            End::Broken(context.err().code().unwrap_or("an exception without a name").to_owned())
        }
        // What could not be read is left out: it may hold messages.
        SdkError::ResponseError(_) => End::Broken("what came is not readable".to_owned()),
        SdkError::TimeoutError(_) => End::Broken("nothing came in time".to_owned()),
        _ => End::Broken("the connection broke".to_owned()),
    }
}

/// Whether updates come one after the other, none let go between them.
#[derive(Debug)]
struct Rhythm {
    begun: Instant,
    /// When the last one came, by two clocks: one stands still while this host sleeps, the other is set.
    last: Option<(Instant, Timestamp)>,
    /// The least time from an event's ingestion to its update, in milliseconds. It has the difference of two clocks in it.
    quickest: Option<i64>,
}

impl Rhythm {
    fn new() -> Self {
        Self { begun: Instant::now(), last: None, quickest: None }
    }

    /// Whether this update, which came just now, is the one after the last.
    fn is_next(&mut self, now: Timestamp, update: &LiveTailSessionUpdate) -> bool {
        let late_millis = i64::try_from(LATE.as_millis()).unwrap_or(i64::MAX);
        let is_soon = self.last.is_some_and(|(last, at)| {
            last.elapsed() < LATE && now.as_millisecond().saturating_sub(at.as_millisecond()) < late_millis
        });
        self.last = Some((Instant::now(), now));
        // Who reads a little too slowly gets each update in time, and each later than the one before.
        let newest = update.session_results().iter().filter_map(|event| event.ingestion_time).max();
        let age = newest.map(|newest| now.as_millisecond().saturating_sub(newest));
        self.quickest = self.quickest.into_iter().chain(age).min();
        let is_held_up =
            age.zip(self.quickest).is_some_and(|(age, quickest)| age.saturating_sub(quickest) >= late_millis);
        is_soon && !is_held_up && self.begun.elapsed() >= WARM_UP
    }
}

/// What was said, so that what lasts is not said all the time.
#[derive(Debug, Default)]
pub(super) struct Said(Option<(String, Instant)>);

impl Said {
    fn is_news(&mut self, what: &str) -> bool {
        let is_old = self.0.as_ref().is_some_and(|(said, at)| said == what && at.elapsed() < AGAIN);
        if !is_old {
            self.0 = Some((what.to_owned(), Instant::now()));
        }
        !is_old
    }

    /// Whether something was said, which is then over.
    fn is_over(&mut self) -> bool {
        self.0.take().is_some()
    }
}

/// The seconds of which the session gave a sample only.
#[derive(Debug, Default)]
pub(super) struct Sampled {
    seconds: u64,
    said: Option<Instant>,
}

impl Sampled {
    fn note(&mut self) {
        self.seconds += 1;
        if self.said.is_none_or(|said| said.elapsed() >= Duration::from_secs(60)) {
            self.said = Some(Instant::now());
            let sampled_seconds = self.seconds;
            warn!(
                sampled_seconds,
                "more than 500 log events in a second: the session gives a sample, the rest is read by polling"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_update_that_may_not_be_the_next_one_is_told() {
        let mut rhythm = Rhythm::new();
        // After so long, by the clock that stands still and by the wall's, an update comes with an event of this age.
        let mut came = async |seconds: u64, wall: i64, age: Option<i64>| {
            tokio::time::advance(Duration::from_secs(seconds)).await;
            let now = Timestamp::from_second(1_000_000 + wall).unwrap();
            let ingested = |age: i64| {
                let event = LiveTailSessionLogEvent::builder();
                event.ingestion_time((1_000_000 + wall - age) * 1000).build()
            };
            let update = LiveTailSessionUpdate::builder().set_session_results(age.map(|age| vec![ingested(age)]));
            rhythm.is_next(now, &update.build())
        };
        assert!(!came(0, 0, None).await && !came(1, 1, None).await, "it warms up");
        assert!(came(4, 5, None).await && came(1, 6, Some(2)).await);
        assert!(!came(6, 12, None).await, "it came late");
        assert!(came(1, 13, None).await);
        assert!(!came(1, 3613, None).await, "this host slept");
        assert!(came(1, 3614, Some(3)).await && came(4, 3618, Some(6)).await);
        assert!(!came(4, 3622, Some(8)).await, "what is held up for so long may be let go");
        assert!(came(1, 3623, Some(2)).await);
        assert!(came(1, 3624, Some(-100)).await, "the clocks differ");
    }

    #[test]
    fn an_identifier_names_a_log_group_in_any_of_three_ways() {
        const ARN: &str = "arn:aws:logs:eu-west-1:123456789012:log-group:/aws/bedrock";
        let check = |identifier: &str, expected: bool| assert_eq!(is_of(ARN, identifier), expected, "{identifier}");
        check(ARN, true);
        check(&format!("{ARN}:*"), true);
        check("123456789012:/aws/bedrock", true);
        check("/aws/bedrock", true);
        check("210987654321:/aws/bedrock", false);
        check("/aws/bedrock2", false);
        check("arn:aws:logs:eu-west-1:123456789012:log-group:/aws", false);
        check("", false);
    }
}
