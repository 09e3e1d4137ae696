//! The coverage of a log group: what of its time came live, and what is still to be read of what did not.
//!
//! A session gives events in the order in which they were ingested; a reader of windows finds them by their own times,
//! which are up to `lookback` earlier. So what was missed between two times is read twice, as in [`super::super::poll`]:
//! soon, for what is as young as events usually are, and once more when it is `lookback` old, from `lookback` before the
//! first time on. Only the second reading moves the position. What is that old when it is first read is read once.

use std::ops::Range;
use std::time::Duration;

use jiff::Timestamp;

/// What is missed all the time is read in parts of this length: a call in so many seconds.
const PART: Duration = Duration::from_secs(10);
/// The second readings of a stretch of `lookback`.
const LOOKS_BACK: u32 = 15;
/// An event may bear a time so much later than that of its ingestion, by this host's clock.
pub(super) const AHEAD: Duration = Duration::from_secs(60);
/// A session may tell an event so long after a reader of windows found it.
const RETOLD: Duration = Duration::from_secs(120);

/// How long after their times events are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delays {
    /// When most are, and FilterLogEvents finds them.
    pub lag: Duration,
    /// When all are: so much later still.
    pub lookback: Duration,
}

impl Delays {
    fn all(self) -> Duration {
        self.lag + self.lookback
    }
}

/// What of a log group's time is read.
#[derive(Debug)]
pub(super) struct Coverage {
    start: Timestamp,
    delays: Delays,
    /// Events bear times so much later than those of their ingestion at most.
    ahead: Duration,
    /// Up to when the session told what was ingested, or left a gap.
    live_to: Option<Timestamp>,
    /// What is to be read soon.
    fresh: Spans,
    /// What is to be read for good. Positions wait for it.
    gaps: Spans,
}

impl Coverage {
    /// Everything from `start` on is to be read.
    pub(super) fn new(start: Timestamp, delays: Delays, ahead: Duration) -> Self {
        Self { start, delays, ahead, live_to: None, fresh: Spans::default(), gaps: Spans::default() }
    }

    /// The session told what was ingested up to a time: since the last time that it did so, if it is `complete`; else it
    /// left something out.
    pub(super) fn came(&mut self, to: Timestamp, complete: bool) {
        match self.live_to {
            None => {
                self.fresh.open(self.start..to);
                self.gaps.open(self.start..later(to, self.ahead));
            }
            Some(live_to) if !complete => {
                // The host's clock may have been set back.
                let (from, to) = (live_to.min(to), live_to.max(to));
                self.fresh.open(self.before(from, self.delays.lag)..to);
                self.gaps.open(self.before(from, self.delays.all())..later(to, self.ahead));
            }
            Some(_) => {}
        }
        self.live_to = self.live_to.max(Some(to));
    }

    /// What can and should be read now: what is to be read soon comes first.
    pub(super) fn due(&self, now: Timestamp) -> Option<Range<Timestamp>> {
        let Delays { lag, lookback } = self.delays;
        let fresh = self.fresh.due(earlier(now, lag), PART);
        fresh.or_else(|| self.gaps.due(earlier(now, self.delays.all()), PART.max(lookback / LOOKS_BACK)))
    }

    /// How long until something is due, if nothing else comes.
    pub(super) fn wait(&self, now: Timestamp) -> Option<Duration> {
        let Delays { lag, lookback } = self.delays;
        let fresh = self.fresh.next(PART).map(|next| later(next, lag));
        let gaps = self.gaps.next(PART.max(lookback / LOOKS_BACK)).map(|next| later(next, self.delays.all()));
        let next = [fresh, gaps].into_iter().flatten().min()?;
        Some(Duration::try_from(next.duration_since(now)).unwrap_or_default())
    }

    /// The events of these times were read as they were at a time, or after it.
    pub(super) fn read(&mut self, read: &Range<Timestamp>, at: Timestamp) {
        self.fresh.close(read);
        self.gaps.close(&(read.start..read.end.min(earlier(at, self.delays.all()))));
    }

    /// The time before which everything is read. It goes back only where the host's clock does.
    pub(super) fn position(&self) -> Timestamp {
        let live = self.live_to.map_or(self.start, |live_to| self.before(live_to, self.delays.all()));
        self.gaps.first().map_or(live, |gap| gap.start.min(live))
    }

    /// Whether an event of this time may still be read or told again: one in a gap, or of the last minutes.
    pub(super) fn may_come_again(&self, time: Timestamp) -> bool {
        self.live_to.is_none_or(|live_to| time >= self.before(live_to, self.delays.all() + RETOLD))
            || self.gaps.0.iter().any(|gap| gap.contains(&time))
    }

    /// So long before a time, and never before the start.
    fn before(&self, time: Timestamp, by: Duration) -> Timestamp {
        earlier(time, by).max(self.start)
    }
}

/// Spans of time: sorted, and none touches another.
#[derive(Debug, Default)]
struct Spans(Vec<Range<Timestamp>>);

impl Spans {
    fn first(&self) -> Option<&Range<Timestamp>> {
        self.0.first()
    }

    /// The part of the oldest that is before a time, once that is so much: the rest of a span may still grow.
    fn due(&self, before: Timestamp, part: Duration) -> Option<Range<Timestamp>> {
        let span = self.first()?;
        (before >= self.next(part)?).then(|| span.start..span.end.min(before))
    }

    /// The time before which the oldest is read next.
    fn next(&self, part: Duration) -> Option<Timestamp> {
        self.first().map(|span| later(span.start, part))
    }

    fn open(&mut self, span: Range<Timestamp>) {
        if span.is_empty() {
            return;
        }
        let (mut spans, mut span) = (Vec::new(), span);
        for other in std::mem::take(&mut self.0) {
            if other.end < span.start || other.start > span.end {
                spans.push(other);
            } else {
                span = span.start.min(other.start)..span.end.max(other.end);
            }
        }
        spans.push(span);
        spans.sort_by_key(|span| span.start);
        self.0 = spans;
    }

    fn close(&mut self, read: &Range<Timestamp>) {
        if read.is_empty() {
            return;
        }
        let rest = |span: Range<Timestamp>| {
            let parts = [span.start..span.end.min(read.start), span.start.max(read.end)..span.end];
            parts.into_iter().filter(|part| !part.is_empty())
        };
        self.0 = std::mem::take(&mut self.0).into_iter().flat_map(rest).collect();
    }
}

/// So long before; at the end of what can be told, that end.
pub(super) fn earlier(time: Timestamp, by: Duration) -> Timestamp {
    time.checked_sub(by).unwrap_or(Timestamp::MIN)
}

/// So long after; at the end of what can be told, that end.
fn later(time: Timestamp, by: Duration) -> Timestamp {
    time.checked_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAYS: Delays = Delays { lag: Duration::from_secs(5), lookback: Duration::from_secs(15) };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).unwrap()
    }

    fn seconds(spans: &Spans) -> Vec<(i64, i64)> {
        let second = |time: Timestamp| time.as_second() - 1_000_000;
        spans.0.iter().map(|span| (second(span.start), second(span.end))).collect()
    }

    /// What came (up to when, complete), what is to be read soon and for good, and the position.
    fn check(came: &[(i64, bool)], fresh: &[(i64, i64)], gaps: &[(i64, i64)], position: i64) -> Coverage {
        let mut coverage = Coverage::new(at(0), DELAYS, Duration::ZERO);
        let mut last = coverage.position();
        for (to, complete) in came {
            coverage.came(at(*to), *complete);
            assert!(coverage.position() >= last, "{came:?}: goes back");
            last = coverage.position();
        }
        assert_eq!((seconds(&coverage.fresh), seconds(&coverage.gaps)), (fresh.to_vec(), gaps.to_vec()), "{came:?}");
        assert_eq!(coverage.position(), at(position), "{came:?}");
        coverage
    }

    #[test]
    fn what_did_not_come_live_is_to_be_read() {
        check(&[], &[], &[], 0);
        check(&[(100, true), (101, true)], &[(0, 100)], &[(0, 100)], 0);
        check(&[(0, true), (1, true), (2, true)], &[], &[], 0);
        check(&[(0, true), (50, true), (51, true)], &[], &[], 31);
        check(&[(0, true), (50, true), (61, false)], &[(45, 61)], &[(30, 61)], 30);
        check(&[(0, true), (50, true), (51, false), (52, false)], &[(45, 52)], &[(30, 52)], 30);
        check(
            &[(0, true), (50, true), (51, false), (150, true), (151, false)],
            &[(45, 51), (145, 151)],
            &[(30, 51), (130, 151)],
            30,
        );
        // No session at all.
        check(&[(10, false), (20, false), (30, false)], &[(0, 30)], &[(0, 30)], 0);
    }

    #[test]
    fn what_is_ahead_of_its_ingestion_is_read_once_it_is_old() {
        let mut coverage = Coverage::new(at(0), DELAYS, AHEAD);
        coverage.came(at(0), true);
        coverage.came(at(100), true);
        coverage.came(at(101), false);
        assert_eq!((seconds(&coverage.fresh), seconds(&coverage.gaps)), (vec![(95, 101)], vec![(0, 60), (80, 161)]));
    }

    #[test]
    fn a_clock_that_was_set_back_leaves_no_gap_unread() {
        let mut coverage = check(&[(0, true), (50, true)], &[], &[], 30);
        coverage.came(at(40), false);
        assert_eq!((seconds(&coverage.fresh), seconds(&coverage.gaps)), (vec![(35, 50)], vec![(20, 50)]));
    }

    #[test]
    fn what_is_missed_is_read_in_parts_soon_and_once_more() {
        let mut coverage = check(&[(100, true)], &[(0, 100)], &[(0, 100)], 0);
        let due = |coverage: &Coverage, now: i64| coverage.due(at(now));
        assert_eq!(due(&coverage, 14), None, "too little");
        assert_eq!(coverage.wait(at(14)), Some(Duration::from_secs(1)));
        assert_eq!(due(&coverage, 15), Some(at(0)..at(10)));
        assert_eq!(due(&coverage, 104), Some(at(0)..at(99)));
        assert_eq!(due(&coverage, 1000), Some(at(0)..at(100)));
        assert_eq!(coverage.wait(at(1000)), Some(Duration::ZERO));
        coverage.read(&(at(0)..at(99)), at(104));
        assert_eq!((seconds(&coverage.fresh), seconds(&coverage.gaps)), (vec![(99, 100)], vec![(84, 100)]));
        assert_eq!((coverage.position(), due(&coverage, 113)), (at(80), None));
        assert_eq!(due(&coverage, 114), Some(at(99)..at(100)), "all of it, though it did not grow");
        coverage.read(&(at(99)..at(100)), at(114));
        assert_eq!(due(&coverage, 114), Some(at(84)..at(94)), "once more");
        coverage.read(&(at(84)..at(100)), at(120));
        assert_eq!((coverage.wait(at(120)), seconds(&coverage.gaps)), (None, vec![]));
    }

    #[test]
    fn a_part_that_was_read_is_taken_out_of_the_middle() {
        let mut coverage = check(&[(100, true), (110, false)], &[(0, 110)], &[(0, 110)], 0);
        coverage.read(&(at(60)..at(70)), at(1000));
        assert_eq!(seconds(&coverage.gaps), [(0, 60), (70, 110)]);
        coverage.read(&(at(0)..at(40)), at(1000));
        assert_eq!((seconds(&coverage.gaps), coverage.position()), (vec![(40, 60), (70, 110)], at(40)));
        coverage.read(&(at(50)..at(50)), at(1000));
        coverage.read(&(at(0)..at(1000)), at(2000));
        assert_eq!((seconds(&coverage.gaps), coverage.position()), (vec![], at(90)));
    }

    #[test]
    fn what_was_read_long_ago_does_not_come_again() {
        let came = [(0, true), (50, true), (51, false), (52, true), (1000, true)];
        let coverage = check(&came, &[(45, 51)], &[(30, 51)], 30);
        let again: Vec<_> = [29, 30, 50, 51, 859, 860, 2000].map(|time| coverage.may_come_again(at(time))).into();
        assert_eq!(again, [false, true, true, false, false, true, true]);
    }
}
