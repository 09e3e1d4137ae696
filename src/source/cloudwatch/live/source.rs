//! A log group's events: those that the session tells, and those of the gaps that it leaves, each of them once.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;
use tracing::debug;

use super::coverage::{AHEAD, Coverage, Delays, earlier};
use super::known::{Alike, Known, mark};
use super::session::News;
use crate::budget::{Budget, Reservation};
use crate::record::Position;
use crate::source::cloudwatch::client::{Event, Group, Logs};
use crate::source::cloudwatch::envelope;
use crate::source::cloudwatch::pages::{Pages, held_bytes};
use crate::source::cloudwatch::window::Window;
use crate::source::{BoxFuture, Read, Source, SourceError};

/// How often a position is told that moved without events.
const NEWS_INTERVAL: Duration = Duration::from_secs(5);

/// What a source of a log group is made of.
pub(super) struct Parts {
    pub(super) logs: Logs,
    pub(super) log_group: Arc<str>,
    pub(super) pattern: Option<Arc<str>>,
    /// Where reading begins.
    pub(super) start: Timestamp,
    pub(super) delays: Delays,
    /// Events that are remembered.
    pub(super) max_known: usize,
    /// Whether what is there already is read before what comes: a person reads the lines in their order.
    pub(super) history_first: bool,
    pub(super) budget: Budget,
    pub(super) feed: mpsc::Receiver<News>,
}

/// Reads one log group.
pub(super) struct LiveSource {
    parts: Parts,
    group: Group,
    coverage: Coverage,
    known: Known,
    filling: Option<Filling>,
    /// Up to when there is history to be read first.
    history: Option<Timestamp>,
    told: (Timestamp, Instant),
}

/// Pages of a gap. The call belongs to a task: neither news nor a reader that turns away for a moment breaks it off.
struct Filling {
    gap: Range<Timestamp>,
    /// When it was begun.
    at: Timestamp,
    page: AbortOnDropHandle<Turned>,
}

/// The pages, and what the next one holds.
type Turned = (Pages, Result<Option<(Vec<Event>, Reservation)>, SourceError>);

impl Source for LiveSource {
    fn next(&mut self) -> BoxFuture<'_, Result<Read, SourceError>> {
        Box::pin(self.advance())
    }
}

impl LiveSource {
    pub(super) fn new(parts: Parts) -> Self {
        let history = parts.history_first.then(|| earlier(parts.logs.now(), parts.delays.lag));
        Self {
            group: Group::of(&parts.log_group),
            coverage: Coverage::new(parts.start, parts.delays, AHEAD),
            known: Known::new(parts.max_known),
            filling: None,
            history,
            told: (parts.start, Instant::now()),
            parts,
        }
    }

    async fn advance(&mut self) -> Result<Read, SourceError> {
        loop {
            let now = self.parts.logs.now();
            if self.filling.is_none() {
                self.filling = self.coverage.due(now).map(|gap| self.fill(gap, now));
            }
            let (is_filling, wait) = (self.filling.is_some(), self.coverage.wait(now));
            let is_history = is_filling && self.history.is_some_and(|history| self.coverage.position() < history);
            let read = tokio::select! {
                turned = turned(&mut self.filling) => self.take_page(turned)?,
                news = self.parts.feed.recv(), if !is_history => self.take_news(news.ok_or_else(|| self.deserted())?),
                () = sleep(wait.unwrap_or_default()), if !is_filling && wait.is_some() => None,
            };
            if let Some(read) = read {
                return Ok(read);
            }
        }
    }

    fn fill(&self, gap: Range<Timestamp>, at: Timestamp) -> Filling {
        debug!(log_group = %self.parts.log_group, from = %gap.start, to = %gap.end, "reading a gap");
        let Parts { logs, log_group, pattern, budget, .. } = &self.parts;
        let window = Window { log_group: Arc::clone(log_group), from: gap.start, to: gap.end };
        Filling { gap, at, page: turn(Pages::new(logs.clone(), &window, pattern.clone(), budget.clone())) }
    }

    fn take_page(&mut self, turned: Turned) -> Result<Option<Read>, SourceError> {
        let (pages, page) = turned;
        let Some(Filling { gap, at, .. }) = self.filling.take() else { return Ok(None) };
        let page = page?;
        // The window may have been made by a clock that was fast, before an answer said so.
        let at = at.min(self.parts.logs.now());
        self.coverage.read(&(gap.start..pages.up_to().min(gap.end)), at);
        let (events, reservation) = match page {
            Some((events, reservation)) => {
                self.filling = Some(Filling { gap, at, page: turn(pages) });
                (events, reservation)
            }
            None => {
                self.coverage.read(&gap, at);
                (Vec::new(), Reservation::default())
            }
        };
        let lag = Duration::try_from(self.parts.logs.now().duration_since(self.coverage.position()));
        Ok(self.hand_on(events, reservation, lag.unwrap_or_default()))
    }

    fn take_news(&mut self, news: News) -> Option<Read> {
        let News { to, complete, events, reservation } = news;
        self.coverage.came(to, complete);
        let newest = events.iter().filter_map(|event| event.timestamp).max();
        let lag = newest.map_or(0, |newest| to.as_millisecond().saturating_sub(newest));
        let events = events.into_iter().map(|event| Event {
            id: None,
            log_stream: event.log_stream_name,
            timestamp_millis: event.timestamp,
            message: event.message,
        });
        self.hand_on(events.collect(), reservation, Duration::from_millis(u64::try_from(lag).unwrap_or_default()))
    }

    /// Nobody tells what came live any more: nothing would be read again.
    fn deserted(&self) -> SourceError {
        let what = format!("log group {}", self.parts.log_group);
        SourceError::Fatal {
            what,
            advice: "its live sessions ended by a fault of this program".to_owned(),
            source: None,
        }
    }

    /// What was not handed on before, if there is some, or if the position is news.
    fn hand_on(&mut self, mut events: Vec<Event>, mut reservation: Reservation, lag: Duration) -> Option<Read> {
        let mut alike = Alike::default();
        events.retain_mut(|event| {
            // A session gives no ids: an event without a request id has the same identity either way, that of its text.
            event.id = None;
            let (stream, text) = (event.log_stream.as_deref(), event.message.as_deref());
            let millis = event.timestamp_millis.unwrap_or_default();
            self.known.insert(alike.count(mark(stream.unwrap_or_default(), millis, text.unwrap_or_default())))
        });
        self.known.tidy(|time| self.coverage.may_come_again(time));
        let (told, at) = self.told;
        let position = self.coverage.position().max(told);
        if events.is_empty() && (position == told || at.elapsed() < NEWS_INTERVAL) {
            return None;
        }
        self.told = (position, Instant::now());
        let records = envelope::records(&self.group, &events);
        reservation.shrink_to(held_bytes(&records));
        Some(Read::Records { records, position: Position::UpTo(position), lag: Some(lag), reservation })
    }
}

/// Asks for the next page.
fn turn(mut pages: Pages) -> AbortOnDropHandle<Turned> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        let page = pages.next().await;
        (pages, page)
    }))
}

/// The page that is asked for, once it is there.
async fn turned(filling: &mut Option<Filling>) -> Turned {
    let Some(filling) = filling else { return std::future::pending().await };
    match (&mut filling.page).await {
        Ok(turned) => turned,
        // It was aborted with the runtime, or it panicked: then so does who waits for it.
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => std::future::pending().await,
        },
    }
}
