//! A window: the log events of a log group between two times, oldest first.

use std::sync::Arc;

use jiff::Timestamp;

use super::client::Logs;
use super::envelope;
use super::pages::{Pages, held_bytes};
use crate::budget::Budget;
use crate::record::Position;
use crate::source::{BoxFuture, Read, Source, SourceError};

/// Which events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// The log group's name or ARN.
    pub log_group: Arc<str>,
    /// The time of the oldest, included.
    pub from: Timestamp,
    /// The time behind the newest, excluded.
    pub to: Timestamp,
}

/// Reads one window to its end, as subscription envelopes. Its positions are [`Position::UpTo`] the newest event that was
/// given: whoever goes on from there gets the events of that millisecond again, with the same ids.
#[derive(Debug)]
pub struct WindowSource {
    pages: Pages,
    ended: bool,
}

impl WindowSource {
    /// A source of the window, on from `position` if that is one in it. `budget` holds the bytes of what was read and is
    /// not through the line.
    pub fn new(logs: Logs, window: Window, position: Option<Position>, budget: Budget) -> Self {
        let ended = position == Some(Position::End);
        let from = match position {
            Some(Position::UpTo(time)) => window.from.max(time),
            _ => window.from,
        };
        Self { pages: Pages::new(logs, &Window { from, ..window }, None, budget), ended }
    }

    async fn advance(&mut self) -> Result<Read, SourceError> {
        if !self.ended
            && let Some((events, mut reservation)) = self.pages.next().await?
        {
            let records = envelope::records(self.pages.group(), &events);
            reservation.shrink_to(held_bytes(&records));
            let position = Position::UpTo(self.pages.up_to());
            return Ok(Read::Records { records, position, lag: None, reservation });
        }
        self.ended = true;
        Ok(Read::End { children: Vec::new() })
    }
}

impl Source for WindowSource {
    fn next(&mut self) -> BoxFuture<'_, Result<Read, SourceError>> {
        Box::pin(self.advance())
    }
}
