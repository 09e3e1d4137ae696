//! The coverage of a log group: what of its time came live, and which gaps are still to be read.
//!
//! A session gives events in the order in which they were ingested; a reader of windows gives those of a range of the
//! events' own times. The lag ties both: an event is ingested within the lag after its time. So what was missed between
//! two times of the session is among the events of the times from the lag before the first one to the second one, and
//! the events of a time are all there once the lag has passed.

use std::ops::Range;
use std::time::Duration;

use jiff::Timestamp;

/// A gap that grows is read in parts of this length, so that a session which is sampled all the time, or none at all,
/// costs a call in so many seconds and not one a second.
const PART: Duration = Duration::from_secs(10);

/// A session may tell an event so long after a reader of windows found it.
const RETOLD: Duration = Duration::from_secs(120);

/// What of a log group's time is read.
#[derive(Debug)]
pub(super) struct Coverage {
    start: Timestamp,
    lag: Duration,
    /// Up to when the session told what was ingested, or left a gap.
    live_to: Option<Timestamp>,
    /// What is to be read, by the events' times: sorted, and none touches another.
    gaps: Vec<Range<Timestamp>>,
}

impl Coverage {
    /// Everything from `start` on is to be read.
    pub(super) fn new(start: Timestamp, lag: Duration) -> Self {
        Self { start, lag, live_to: None, gaps: Vec::new() }
    }

    /// The session told what was ingested up to a time: since the last time that it did so, if it is `complete`; else it
    /// left something out.
    pub(super) fn came(&mut self, to: Timestamp, complete: bool) {
        match self.live_to {
            None => self.open(self.start..to),
            // The host's clock may have been set back.
            Some(live_to) if !complete => self.open(self.before(live_to.min(to))..live_to.max(to)),
            Some(_) => {}
        }
        self.live_to = self.live_to.max(Some(to));
    }

    /// The oldest part of the gaps, if it can and should be read now.
    pub(super) fn due(&self, now: Timestamp) -> Option<Range<Timestamp>> {
        let gap = self.gaps.first()?;
        let to = gap.end.min(earlier(now, self.lag));
        let is_worth = to >= later(gap.start, PART).min(gap.end);
        (to > gap.start && is_worth).then(|| gap.start..to)
    }

    /// How long until something is due, if nothing else comes.
    pub(super) fn wait(&self, now: Timestamp) -> Option<Duration> {
        let gap = self.gaps.first()?;
        let due = later(later(gap.start, PART).min(gap.end), self.lag);
        Some(Duration::try_from(due.duration_since(now)).unwrap_or_default())
    }

    /// All events of these times were read.
    pub(super) fn read(&mut self, read: &Range<Timestamp>) {
        let rest = |gap: Range<Timestamp>| {
            [gap.start..gap.end.min(read.start), gap.start.max(read.end)..gap.end]
                .into_iter()
                .filter(|part| !part.is_empty())
        };
        self.gaps = std::mem::take(&mut self.gaps).into_iter().flat_map(rest).collect();
    }

    /// The time before which everything is read. It never goes back.
    pub(super) fn position(&self) -> Timestamp {
        let live = self.live_to.map_or(self.start, |live_to| self.before(live_to));
        self.gaps.first().map_or(live, |gap| gap.start.min(live))
    }

    /// Whether an event of this time may still be read or told again: one in a gap, or of the last minutes.
    pub(super) fn may_come_again(&self, time: Timestamp) -> bool {
        self.live_to.is_none_or(|live_to| time >= earlier(self.before(live_to), RETOLD))
            || self.gaps.iter().any(|gap| gap.contains(&time))
    }

    /// The lag before a time, and never before the start.
    fn before(&self, time: Timestamp) -> Timestamp {
        earlier(time, self.lag).max(self.start)
    }

    fn open(&mut self, gap: Range<Timestamp>) {
        if gap.is_empty() {
            return;
        }
        let (mut gaps, mut gap) = (Vec::new(), gap);
        for other in std::mem::take(&mut self.gaps) {
            if other.end < gap.start || other.start > gap.end {
                gaps.push(other);
            } else {
                gap = gap.start.min(other.start)..gap.end.max(other.end);
            }
        }
        gaps.push(gap);
        gaps.sort_by_key(|gap| gap.start);
        self.gaps = gaps;
    }
}

/// So long before; at the end of what can be told, that end.
pub(super) fn earlier(time: Timestamp, by: Duration) -> Timestamp {
    time.checked_sub(by).unwrap_or(Timestamp::MIN)
}

/// So long after; at the end of what can be told, that end.
pub(super) fn later(time: Timestamp, by: Duration) -> Timestamp {
    time.checked_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAG: Duration = Duration::from_secs(20);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).unwrap()
    }

    fn seconds(coverage: &Coverage) -> Vec<(i64, i64)> {
        let second = |time: Timestamp| time.as_second() - 1_000_000;
        coverage.gaps.iter().map(|gap| (second(gap.start), second(gap.end))).collect()
    }

    /// What came (up to when, complete), the gaps that it leaves, and the position.
    fn check(came: &[(i64, bool)], gaps: &[(i64, i64)], position: i64) -> Coverage {
        let mut coverage = Coverage::new(at(0), LAG);
        let mut last = coverage.position();
        for (to, complete) in came {
            coverage.came(at(*to), *complete);
            assert!(coverage.position() >= last, "{came:?}: goes back");
            last = coverage.position();
        }
        assert_eq!(seconds(&coverage), gaps, "{came:?}");
        assert_eq!(coverage.position(), at(position), "{came:?}");
        coverage
    }

    #[test]
    fn what_did_not_come_live_is_a_gap() {
        check(&[], &[], 0);
        check(&[(100, true), (101, true)], &[(0, 100)], 0);
        check(&[(0, true), (1, true), (2, true)], &[], 0);
        check(&[(0, true), (50, true), (51, true)], &[], 31);
        check(&[(0, true), (50, true), (61, false)], &[(30, 61)], 30);
        check(&[(0, true), (50, true), (51, false), (52, false)], &[(30, 52)], 30);
        check(&[(0, true), (50, true), (51, false), (150, true), (151, false)], &[(30, 51), (130, 151)], 30);
        // No session at all.
        check(&[(10, false), (20, false), (30, false)], &[(0, 30)], 0);
        // The clock was set back.
        check(&[(0, true), (50, true), (40, false)], &[(20, 50)], 20);
    }

    #[test]
    fn a_gap_is_read_in_parts_once_its_events_are_all_there() {
        let coverage = check(&[(100, true)], &[(0, 100)], 0);
        let due = |now: i64| coverage.due(at(now));
        assert_eq!(due(29), None, "too little");
        assert_eq!(due(30), Some(at(0)..at(10)));
        assert_eq!(due(119), Some(at(0)..at(99)));
        assert_eq!(due(1000), Some(at(0)..at(100)));
        assert_eq!(coverage.wait(at(25)), Some(Duration::from_secs(5)));
        assert_eq!(coverage.wait(at(1000)), Some(Duration::ZERO));
        let short = check(&[(4, true)], &[(0, 4)], 0);
        assert_eq!(short.due(at(23)), None);
        assert_eq!(short.due(at(24)), Some(at(0)..at(4)), "the whole of it, however short");
        assert_eq!(short.wait(at(23)), Some(Duration::from_secs(1)));
    }

    #[test]
    fn what_was_read_long_ago_does_not_come_again() {
        let coverage = check(&[(0, true), (50, true), (51, false), (52, true), (1000, true)], &[(30, 51)], 30);
        let again: Vec<_> = [29, 30, 50, 51, 859, 860, 2000].map(|time| coverage.may_come_again(at(time))).into();
        assert_eq!(again, [false, true, true, false, false, true, true]);
    }

    #[test]
    fn what_was_read_is_no_gap_any_more_and_the_rest_is() {
        let mut coverage = check(&[(100, true), (110, false), (111, true)], &[(0, 110)], 0);
        coverage.read(&(at(0)..at(40)));
        assert_eq!((seconds(&coverage), coverage.position()), (vec![(40, 110)], at(40)));
        coverage.read(&(at(60)..at(70)));
        assert_eq!(seconds(&coverage), [(40, 60), (70, 110)]);
        assert!(coverage.may_come_again(at(40)) && coverage.may_come_again(at(95)));
        coverage.read(&(at(0)..at(1000)));
        assert_eq!((seconds(&coverage), coverage.position()), (vec![], at(91)));
        assert_eq!((coverage.wait(at(0)), coverage.due(at(1000))), (None, None));
    }
}
