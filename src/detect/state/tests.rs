//! Tests of the state: against a model that keeps everything and looks at all of it each time, and by example.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::config::RuleFile;
use crate::detect::finding::Measure;
use crate::detect::rule::{Function, Severity};

const SEVERITIES: [Severity; 5] = [Severity::Info, Severity::Low, Severity::Medium, Severity::High, Severity::Critical];

/// 2026-01-15T10:00:00Z, in seconds.
const START: i64 = 1_768_471_200;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(START + seconds).expect("a time")
}

fn rule_with(more: &str) -> Arc<Rule> {
    let text = format!(
        "id = 'test.rule'\nname = 'Test'\ndescription = 'Test.'\nseverity = 'low'\nmatch = 'true'\ntitle = 'Test'\n{more}"
    );
    RuleFile::parse(&text, "test.toml").unwrap_or_else(|error| panic!("{error}")).1
}

fn finding(rule: &Arc<Rule>, who: &str, seconds: i64, id: &str) -> Finding {
    Finding {
        rule: Arc::clone(rule),
        severity: Severity::Low,
        title: format!("by {who}"),
        dedup: who.to_owned(),
        group: vec![("who".to_owned(), who.to_owned())],
        context: vec![("event".to_owned(), id.to_owned())],
        time: at(seconds),
        event_id: id.to_owned(),
        request_id: None,
        measures: Vec::new(),
    }
}

fn measured(rule: &Arc<Rule>, seconds: i64, id: &str, measure: Measure) -> Finding {
    Finding { measures: vec![Some(measure)], ..finding(rule, "alice", seconds, id) }
}

fn limits() -> Limits {
    Limits { lateness: Duration::from_secs(100), ..Limits::default() }
}

/// Everything that was seen, and the alerts that it adds up to.
#[derive(Default)]
struct Model {
    clock: Option<i64>,
    events: Vec<Seen>,
    alerts: Vec<Told>,
}

#[derive(Clone)]
struct Seen {
    time: i64,
    id: String,
    number: Option<i32>,
    severity: Severity,
    is_counted: bool,
}

#[derive(Clone, Debug, PartialEq)]
struct Told {
    opened: i64,
    until: i64,
    first: i64,
    last: i64,
    count: usize,
    severity: Severity,
    ids: Vec<String>,
}

impl Model {
    fn observe(&mut self, rule: &Rule, new: &Seen) {
        let counting = &rule.counting;
        let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap();
        let (window, period) = (seconds(counting.window), seconds(counting.dedup_period));
        if self.clock.is_some_and(|clock| new.time < clock - 100) {
            return;
        }
        self.clock = self.clock.max(Some(new.time));
        if self.events.iter().any(|event| event.id == new.id) {
            return;
        }
        self.events.push(new.clone());
        self.events.sort_by(|a, b| (a.time, &a.id).cmp(&(b.time, &b.id)));
        let takes = |alert: &Told, time: i64| time > alert.opened - window && time < alert.until;
        if let Some(alert) = self.alerts.iter_mut().find(|alert| takes(alert, new.time)) {
            let event = self.events.iter_mut().find(|event| event.id == new.id).unwrap();
            alert.take(event);
            return;
        }
        let events = self.events.clone();
        let last = events.iter().enumerate().find(|(place, last)| {
            let held: Vec<_> =
                events[..=*place].iter().filter(|event| !event.is_counted && last.time - event.time < window).collect();
            !last.is_counted
                && held.iter().any(|event| event.id == new.id)
                && held.len() >= counting.threshold as usize
                && counting.aggregates.iter().all(|aggregate| {
                    let numbers: Vec<_> = held.iter().filter_map(|event| event.number).map(f64::from).collect();
                    value(aggregate.function, &numbers).is_some_and(|value| value >= aggregate.at_least)
                })
        });
        let Some((place, last)) = last else { return };
        let mut held = events[..=place].iter().filter(|event| !event.is_counted && last.time - event.time < window);
        let first = held.next().unwrap().time;
        let mut alert = Told {
            opened: last.time,
            until: (first + period).max(last.time + 1),
            first,
            last: first,
            count: 0,
            severity: Severity::Info,
            ids: Vec::new(),
        };
        for event in &mut self.events {
            if !event.is_counted && takes(&alert, event.time) {
                alert.take(event);
            }
        }
        self.alerts.push(alert);
        self.alerts.sort_by_key(|alert| alert.opened);
    }
}

impl Told {
    fn take(&mut self, event: &mut Seen) {
        event.is_counted = true;
        self.count += 1;
        self.first = self.first.min(event.time);
        self.last = self.last.max(event.time);
        self.severity = self.severity.max(event.severity);
        if self.ids.len() < 10 {
            self.ids.push(event.id.clone());
        }
    }
}

fn value(function: Function, numbers: &[f64]) -> Option<f64> {
    let sum: f64 = numbers.iter().sum();
    let by = |a: &f64, b: &f64| a.total_cmp(b);
    #[expect(clippy::cast_precision_loss, reason = "few")]
    match function {
        Function::Sum => Some(sum),
        Function::Mean => (!numbers.is_empty()).then(|| sum / numbers.len() as f64),
        Function::Max => numbers.iter().copied().max_by(by),
        Function::Min => numbers.iter().copied().min_by(by),
        Function::Distinct => Some(numbers.iter().map(|number| number.to_bits()).collect::<BTreeSet<_>>().len() as f64),
    }
}

/// An event of a random sequence: how much later than the one before, how much out of order, whose, and the rest.
type Step = (i64, i64, bool, u16, Option<i32>, usize);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0_i64..40, 0_i64..130, any::<bool>(), 0_u16..400, proptest::option::of(-5..20_i32), 0..5_usize);
    proptest::collection::vec(step, 0..120)
}

fn rules() -> impl Strategy<Value = Arc<Rule>> {
    let aggregates = prop_oneof![
        4 => Just(String::new()),
        1 => (-3..60_i32).prop_map(|least| aggregate("sum", least)),
        1 => (-3..15_i32).prop_map(|least| aggregate("mean", least)),
        1 => (-3..19_i32).prop_map(|least| aggregate("max", least)),
        1 => (-3..5_i32).prop_map(|least| aggregate("min", least)),
        2 => (0..6_i32).prop_map(|least| aggregate("distinct", least)),
    ];
    (1..9_u32, 1..200_i64, 60..300_i64, aggregates).prop_map(|(threshold, window, period, aggregates)| {
        rule_with(&format!("threshold = {threshold}\nwindow = '{window}s'\ndedup_period = '{period}s'\n{aggregates}"))
    })
}

fn aggregate(function: &str, least: i32) -> String {
    format!("[[aggregates]]\nfunction = '{function}'\nof = '1'\nat_least = {least}.0\n")
}

/// The findings of a sequence. A number names an event, so that some come again, exactly as they were.
fn sequence(rule: &Arc<Rule>, steps: &[Step]) -> Vec<(Finding, Seen)> {
    let mut time = 0;
    let mut known: BTreeMap<u16, (Finding, Seen)> = BTreeMap::new();
    let each = steps.iter().map(|(later, behind, is_alice, name, number, severity)| {
        time += later;
        let new = || {
            // Ids of all three forms.
            let id = match name % 3 {
                0 => format!("{name:032x}"),
                1 => format!("{name:08x}-0000-4000-8000-000000000000"),
                _ => format!("event-{name}"),
            };
            let who = if *is_alice { "alice" } else { "bob" };
            let when = time - if behind % 3 == 0 { *behind } else { 0 };
            let seen = Seen { time: when, id, number: *number, severity: SEVERITIES[*severity], is_counted: false };
            let measures = vec![number.map(|number| Measure::Number(f64::from(number)))];
            let finding = Finding { severity: seen.severity, measures, ..finding(rule, who, seen.time, &seen.id) };
            (finding, seen)
        };
        known.entry(*name).or_insert_with(new).clone()
    });
    each.collect()
}

fn tell(state: &mut State, now: Timestamp, alerts: &mut BTreeMap<String, Alert>) {
    for alert in state.take_due(now) {
        state.told(&alert.id, alert.revision);
        if let Some(before) = alerts.insert(alert.id.clone(), alert.clone()) {
            assert_eq!(alert.revision, before.revision + 1);
        } else {
            assert_eq!(alert.revision, 1);
        }
    }
}

/// Ties are broken by ids as they are packed, which the model orders as texts: those it has to compare as sets.
fn summary(alert: &Told) -> (i64, i64, usize, Severity) {
    (alert.first, alert.last, alert.count, alert.severity)
}

proptest! {
    #[test]
    fn alerts_are_those_of_a_model_that_forgets_nothing(rule in rules(), steps in steps()) {
        let mut state = State::new(Limits { update_every: Duration::ZERO, ..limits() });
        let mut models: BTreeMap<String, Model> = BTreeMap::new();
        let mut alerts = BTreeMap::new();
        for (finding, seen) in sequence(&rule, &steps) {
            prop_assert!(state.observe(&finding, at(1_000_000)));
            // The order among events of one time is the state's own.
            let id = EventOrder::of(&seen.id);
            models.entry(finding.dedup.clone()).or_default().observe(&rule, &Seen { id, ..seen });
            tell(&mut state, at(1_000_000), &mut alerts);
        }
        let mut expected = BTreeMap::new();
        for (who, model) in &models {
            let key = key::counted(&Hit::of(&finding(&rule, who, 0, "")));
            for alert in &model.alerts {
                let id = key::hex(&key::alert_id(&key, alert.opened.wrapping_add(START) * 1_000_000));
                let ids: Vec<_> = alert.ids.iter().map(|id| EventOrder::text(id)).collect();
                expected.insert(id, (summary(alert), ids));
            }
        }
        let seconds = |time: Timestamp| time.as_second() - START;
        let found: BTreeMap<_, _> = alerts.into_values().map(|alert| {
            let times = (seconds(alert.first_seen), seconds(alert.last_seen));
            let count = usize::try_from(alert.count).unwrap();
            (alert.id, ((times.0, times.1, count, alert.severity), alert.event_ids))
        }).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn what_is_restored_behaves_as_what_was_stored(
        kind in 0..3, rule in rules(), steps in steps(), cut in 0..120_usize, saves in 1..7_usize,
    ) {
        let rule = match kind {
            0 => rule,
            1 => rule_with("[baseline]\nof = '1'\ndeviations = 2.0\nmin_samples = 3\nwindow = '1h'\n"),
            _ => rule_with("threshold = 2\n[first_seen]\nof = '1'\nmin_samples = 3\nwindow = '5m'\n"),
        };
        let mut store: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        let mut state = State::new(limits());
        let all = sequence(&rule, &steps);
        let (before, after) = all.split_at(cut.min(all.len()));
        let mut alerts = BTreeMap::new();
        for (place, (finding, _)) in before.iter().enumerate() {
            state.observe(finding, at(0));
            tell(&mut state, at(i64::try_from(place).unwrap() * 20), &mut alerts);
            if place % saves == 0 {
                save(&mut state, &mut store);
            }
        }
        save(&mut state, &mut store);
        prop_assert!(state.changes().is_empty());
        let mut again = State::new(limits());
        let restored = again.restore(&[Arc::clone(&rule)], store.clone().into_iter());
        prop_assert_eq!(restored, Restored { kept: store.len() as u64, dropped: 0, alerts: 0 });
        prop_assert!(again.changes().is_empty());
        let mut told = (alerts.clone(), alerts);
        for (place, (finding, _)) in after.iter().enumerate() {
            let now = at(i64::try_from(before.len() + place).unwrap() * 20);
            prop_assert_eq!(state.observe(finding, at(0)), again.observe(finding, at(0)));
            tell(&mut state, now, &mut told.0);
            tell(&mut again, now, &mut told.1);
            prop_assert_eq!(format!("{:?}", told.0), format!("{:?}", told.1));
        }
        save(&mut state, &mut store);
        let mut other: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        save(&mut again, &mut other);
        // Alerts were compared as they are told; in their stored form stands their place among all that there were.
        for (key, value) in other.into_iter().filter(|(key, _)| key[0] == ENTRY) {
            prop_assert_eq!(store.get(&key), Some(&value));
        }
    }

    #[test]
    fn damaged_values_are_dropped(steps in steps(), at_byte in any::<prop::sample::Index>(), flip in 1..=255_u8, ends in any::<bool>()) {
        let rule = rule_with("threshold = 2\n");
        let mut state = State::new(limits());
        for (finding, _) in sequence(&rule, &steps) {
            state.observe(&finding, at(0));
        }
        for Change { key, value } in state.changes() {
            let mut value = value.expect("nothing is gone");
            let byte = at_byte.index(value.len());
            if ends { value.truncate(byte) } else { value[byte] ^= flip }
            let mut again = State::new(limits());
            let restored = again.restore(&[Arc::clone(&rule)], std::iter::once((key.clone(), value)));
            let alerts = u64::from(key[0] == ALERT);
            prop_assert_eq!(restored, Restored { kept: 0, dropped: 1, alerts });
            prop_assert_eq!(again.changes(), vec![Change { key, value: None }]);
        }
    }

    #[test]
    fn bounds_hold_at_every_moment(keys in 1..40_usize, kib in 64..400_usize, names in proptest::collection::vec(0..80_u8, 0..400)) {
        let rule = rule_with("threshold = 3\n");
        let mut state = State::new(Limits { keys, bytes: kib << 10, ..limits() });
        let mut recent: Vec<u8> = Vec::new();
        let mut store: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        for (place, name) in names.iter().enumerate() {
            let before = state.counts().redelivered;
            // The same event each time: the key's second one is a redelivery, if the key is remembered.
            state.observe(&finding(&rule, &format!("{name}"), 0, "event"), at(0));
            let is_known = recent.iter().rev().take(keys).any(|recent| recent == name);
            prop_assert_eq!(state.counts().redelivered > before, is_known);
            recent.retain(|recent| recent != name);
            recent.push(*name);
            let counts = state.counts();
            prop_assert!(counts.keys <= keys as u64 && counts.bytes <= (kib << 10) as u64);
            prop_assert_eq!(counts.keys, recent.len().min(keys) as u64);
            if place % 7 == 0 {
                save(&mut state, &mut store);
                prop_assert_eq!(store.len() as u64, counts.keys);
            }
        }
    }
}

/// A text whose order is that of the packed ids.
struct EventOrder;

impl EventOrder {
    fn of(text: &str) -> String {
        let id = key::EventId::of(text);
        format!("{}{}{text}", key::hex(&id.bytes), id.form as u8)
    }

    fn text(order: &str) -> String {
        order[33..].to_owned()
    }
}

fn save(state: &mut State, store: &mut BTreeMap<Vec<u8>, Vec<u8>>) {
    for Change { key, value } in state.changes() {
        match value {
            Some(value) => drop(store.insert(key, value)),
            None => drop(store.remove(&key)),
        }
    }
}

/// A group whose events were measured so, ten seconds apart, and whether the last one stands out.
fn check_last(more: &str, numbers: &[f64], expected: bool) {
    let rule = rule_with(more);
    let mut state = State::new(limits());
    let mut last = false;
    for (place, number) in numbers.iter().enumerate() {
        let seconds = i64::try_from(place).unwrap() * 10;
        let new = measured(&rule, seconds, &format!("{place}"), Measure::Number(*number));
        last = state.observe(&new, at(1_000_000));
        assert_eq!(state.observe(&new, at(1_000_000)), last, "a redelivery is judged as before");
    }
    assert_eq!(last, expected, "{more}: {numbers:?}");
}

#[test]
fn a_baseline_finds_what_is_far_above_the_usual() {
    const BASELINE: &str = "[baseline]\nof = '1'\ndeviations = 3.0\nmin_samples = 5\n";
    check_last(BASELINE, &[10.0, 12.0, 11.0, 9.0, 10.0, 20.0], true);
    check_last(BASELINE, &[10.0, 12.0, 11.0, 9.0, 10.0, 13.0], false);
    check_last(BASELINE, &[10.0, 12.0, 11.0, 9.0, 20.0], false);
    // All alike: a tenth of the median is the deviation.
    check_last(BASELINE, &[10.0, 10.0, 10.0, 10.0, 10.0, 12.9], false);
    check_last(BASELINE, &[10.0, 10.0, 10.0, 10.0, 10.0, 13.1], true);
    // Outliers do not make others usual at once.
    check_last(BASELINE, &[10.0, 11.0, 10.0, 9.0, 10.0, 500.0, 500.0, 500.0, 500.0], true);
    check_last(&format!("{BASELINE}at_least = 21.0\n"), &[10.0, 12.0, 11.0, 9.0, 10.0, 20.0], false);
    check_last(&format!("{BASELINE}at_least_medians = 3.0\n"), &[10.0, 12.0, 11.0, 9.0, 10.0, 20.0], false);
    // What is out of the window is not looked at.
    check_last(&format!("{BASELINE}window = '1m'\n"), &[99.0, 99.0, 99.0, 10.0, 12.0, 11.0, 9.0, 10.0, 20.0], true);
    check_last(BASELINE, &[10.0, 12.0, 11.0, 9.0, 10.0, f64::NAN], false);
}

#[test]
fn a_value_is_new_once() {
    const FIRST: &str = "[first_seen]\nof = '1'\nmin_samples = 2\nwindow = '1m'\n";
    check_last(FIRST, &[1.0, 1.0, 2.0], true);
    check_last(FIRST, &[1.0, 2.0], false);
    check_last(FIRST, &[1.0, 1.0, 2.0, 1.0, 2.0], false);
    // It is forgotten when it was not seen for the window.
    check_last(FIRST, &[1.0, 1.0, 2.0, 1.0, 1.0, 1.0, 1.0, 2.0], false);
    check_last(FIRST, &[1.0, 1.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 2.0], true);
    check_last("[first_seen]\nof = '1'\nmin_samples = 0\n", &[1.0], true);
}

#[test]
fn a_group_has_one_history_whatever_its_findings_are_told_under() {
    let rule = rule_with("[first_seen]\nof = '1'\nmin_samples = 1\n");
    let mut state = State::new(limits());
    let new = |seconds, dedup: &str, hash| Finding {
        dedup: dedup.to_owned(),
        ..measured(&rule, seconds, &format!("{seconds}"), Measure::Hash(hash))
    };
    assert!(!state.observe(&new(0, "a", 1), at(100)));
    assert!(state.observe(&new(1, "b", 2), at(100)));
    assert!(!state.observe(&new(2, "c", 2), at(100)));
    assert_eq!(state.take_due(at(100)).len(), 1);
}

#[test]
fn what_comes_too_late_is_a_finding_and_opens_nothing() {
    let rule = rule_with("");
    let mut state = State::new(limits());
    assert!(state.observe(&finding(&rule, "alice", 1_000, "a"), at(2_000)));
    assert!(state.observe(&finding(&rule, "alice", 899, "b"), at(2_000)));
    assert!(state.observe(&finding(&rule, "bob", 899, "c"), at(2_000)));
    let counts = state.counts();
    assert_eq!((counts.late, counts.alerts, counts.findings), (1, 2, 3));
}

#[test]
fn the_future_makes_nobody_late() {
    let rule = rule_with("threshold = 3\n");
    let mut state = State::new(limits());
    let day = 86_400;
    for number in 0..2 {
        state.observe(&finding(&rule, "alice", 400 * day + number, &format!("future-{number}")), at(50));
    }
    for number in 0..3 {
        state.observe(&finding(&rule, "alice", number, &format!("{number}")), at(50));
    }
    assert_eq!((state.counts().late, state.counts().alerts), (0, 1));
    assert_eq!(state.take_due(at(50))[0].count, 3);
    state.observe(&finding(&rule, "alice", 400 * day + 2, "future-2"), at(50));
    assert_eq!(state.counts().alerts, 2, "they count in the window of their own time");
}

#[test]
fn the_future_makes_nobody_late_where_reading_is_behind() {
    let rule = rule_with("threshold = 3\n");
    let day = 86_400;
    let check = |ahead: i64, late: u64| {
        let mut state = State::new(limits());
        state.observe(&finding(&rule, "alice", 10 * day + ahead, "future"), at(10 * day));
        for number in 0..3 {
            state.observe(&finding(&rule, "alice", number, &format!("{number}")), at(10 * day));
        }
        assert_eq!((state.counts().late, state.counts().alerts), (late, u64::from(late == 0)), "{ahead}");
    };
    check(400 * day, 0);
    check(3_601, 0);
    // A clock of the process that is a little behind is no reason to remember for ever.
    check(3_600, 3);
    check(-1, 3);
}

#[test]
fn an_update_waits_and_is_told_once_more_when_the_period_is_over() {
    let rule = rule_with("dedup_period = '7m'\n");
    let mut state = State::new(limits());
    let mut check = |seconds: i64, new: Option<&str>, expected: Option<(u64, u64)>| {
        if let Some(id) = new {
            state.observe(&finding(&rule, "alice", seconds, id), at(seconds));
        }
        let due = state.take_due(at(seconds));
        assert_eq!(due.first().map(|alert| (alert.revision, alert.count)), expected, "at {seconds}");
        assert!(state.take_due(at(seconds)).is_empty(), "it is under way");
        due.iter().for_each(|alert| state.told(&alert.id, alert.revision));
    };
    check(0, Some("a"), Some((1, 1)));
    check(10, Some("b"), None);
    check(299, None, None);
    check(300, None, Some((2, 2)));
    check(310, Some("c"), None);
    check(419, None, None);
    check(420, None, Some((3, 3)));
    check(1_000, None, None);
    check(1_001, Some("d"), Some((1, 1)));
}

#[test]
fn what_changes_under_way_is_given_out_again() {
    let rule = rule_with("");
    let mut state = State::new(limits());
    state.observe(&finding(&rule, "alice", 0, "a"), at(0));
    let first = state.take_due(at(0)).remove(0);
    state.observe(&finding(&rule, "alice", 1, "b"), at(1));
    state.told(&first.id, first.revision);
    assert!(state.take_due(at(299)).is_empty());
    let second = state.take_due(at(300)).remove(0);
    assert_eq!((second.id == first.id, second.revision, second.count), (true, 2, 2));
    assert_eq!(second.context, [("event".to_owned(), "b".to_owned())]);
    // An answer for the revision before says nothing about this one.
    state.told(&first.id, first.revision);
    let mut store = BTreeMap::new();
    save(&mut state, &mut store);
    let mut again = State::new(limits());
    again.restore(&[Arc::clone(&rule)], store.clone().into_iter());
    assert_eq!(again.take_due(at(300)).len(), 1, "it is due again after a restart");
    state.told(&second.id, second.revision);
    save(&mut state, &mut store);
    let mut again = State::new(limits());
    again.restore(&[rule], store.into_iter());
    assert!(again.take_due(at(10_000)).is_empty(), "it is told");
}

#[test]
fn a_rule_that_counts_otherwise_starts_anew_but_its_alerts_are_told() {
    let rule = rule_with("threshold = 2\n");
    let mut state = State::new(limits());
    state.observe(&finding(&rule, "alice", 0, "a"), at(0));
    state.observe(&finding(&rule, "alice", 1, "b"), at(1));
    state.observe(&finding(&rule, "bob", 1, "c"), at(1));
    let mut store = BTreeMap::new();
    save(&mut state, &mut store);
    let check = |rules: &[Arc<Rule>], kept: u64, dropped: u64, due: usize| {
        let mut again = State::new(limits());
        let alerts = u64::from(due == 0);
        assert_eq!(again.restore(rules, store.clone().into_iter()), Restored { kept, dropped, alerts });
        assert_eq!(again.take_due(at(1)).len(), due);
    };
    check(&[Arc::clone(&rule)], 3, 0, 1);
    check(&[rule_with("threshold = 2\ndedup = 'other'\n")], 1, 2, 1);
    check(&[], 0, 3, 0);
}

#[test]
fn alerts_that_nobody_was_told_of_outlive_their_keys_and_are_merged_in_the_end() {
    let rule = rule_with("");
    let mut state = State::new(Limits { keys: 4, bytes: 256 << 10, ..limits() });
    for number in 0..20 {
        state.observe(&finding(&rule, &format!("{number}"), 0, &format!("{number}")), at(0));
    }
    assert_eq!((state.counts().evicted, state.counts().merged), (16, 0));
    for number in 20..1_000 {
        state.observe(&finding(&rule, &format!("{number}"), 0, &format!("{number}")), at(0));
        assert!(state.counts().bytes <= 256 << 10);
    }
    let merged = state.counts().merged;
    let due = state.take_due(at(0));
    assert!(merged > 0 && due.len() as u64 == 1_000 - merged);
    assert_eq!(due.iter().map(|alert| alert.count).sum::<u64>(), 1_000, "none is lost");
    let context = &due.iter().max_by_key(|alert| alert.count).unwrap().context;
    assert!(context.contains(&("merged_alerts".to_owned(), merged.to_string())), "{context:?}");
}

#[test]
fn entries_go_when_their_time_is_over_by_both_clocks() {
    let rule = rule_with("threshold = 2\nwindow = '1m'\ndedup_period = '1m'\n");
    let check = |event: i64, now: i64, expected: u64| {
        let mut state = State::new(limits());
        state.observe(&finding(&rule, "alice", 0, "a"), at(0));
        state.observe(&finding(&rule, "bob", event, "b"), at(now));
        for _ in 0..100 {
            state.take_due(at(now));
        }
        assert_eq!(state.counts().keys, expected, "{event} {now}");
    };
    check(160, 161, 2);
    check(161, 161, 1);
    // Reading stood still, and goes on where it was.
    check(1, 10_000, 2);
}

/// What a state stores from now on.
fn stored_by(state: &mut State) -> Vec<(Vec<u8>, Vec<u8>)> {
    state.changes().into_iter().filter_map(|change| Some((change.key, change.value?))).collect()
}

#[test]
fn what_two_have_seen_is_one_whole_and_counts_once() {
    let rule = rule_with("threshold = 4\nwindow = '1h'\ndedup_period = '1h'\n");
    let check = |ours: &[i64], others: &[i64], more: &[i64], expected: Option<u64>| {
        let seen = |seconds: &[i64]| {
            let mut state = State::new(limits());
            for second in seconds {
                state.observe(&finding(&rule, "alice", *second, &format!("event-{second}")), at(50));
            }
            state
        };
        let (mut state, entries) = (seen(ours), stored_by(&mut seen(others)));
        for _ in 0..2 {
            let adopted = state.adopt(&[Arc::clone(&rule)], entries.clone().into_iter());
            assert_eq!(adopted, Restored { kept: entries.len() as u64, ..Restored::default() });
        }
        for second in more {
            state.observe(&finding(&rule, "alice", *second, &format!("event-{second}")), at(50));
        }
        let alerts = state.take_due(at(60));
        let counts: Vec<_> = alerts.iter().map(|alert| alert.count).collect();
        assert_eq!(counts, expected.into_iter().collect::<Vec<_>>(), "{ours:?} and {others:?}, then {more:?}");
        // Whoever takes over from the two has it all.
        let mut next = State::new(limits());
        state.store_anew();
        next.restore(&[Arc::clone(&rule)], stored_by(&mut state).into_iter());
        assert_eq!(next.counts().keys, state.counts().keys);
    };
    check(&[1, 2], &[3], &[], None);
    check(&[1, 2], &[2, 3], &[2], None);
    check(&[1, 2], &[3], &[4], Some(4));
    check(&[], &[1, 2, 3, 4], &[], Some(4));
    check(&[], &[1, 2, 3, 4], &[4, 5], Some(5));
    check(&[1, 2, 3, 4], &[1, 2, 3, 4, 5, 6], &[7], Some(7));
    check(&[1, 2, 3, 4, 5], &[1, 2, 3, 4, 6], &[], Some(6));
}

#[test]
fn an_alert_that_was_told_here_is_not_told_again_for_another() {
    let rule = rule_with("");
    let mut first = State::new(limits());
    first.observe(&finding(&rule, "alice", 1, "event-1"), at(1));
    let entries = stored_by(&mut first);
    let mut second = State::new(limits());
    let rules = [Arc::clone(&rule)];
    second.adopt(&rules, entries.clone().into_iter());
    let alert = second.take_due(at(2)).remove(0);
    second.told(&alert.id, alert.revision);
    second.adopt(&rules, entries.clone().into_iter());
    assert!(second.take_due(at(3)).is_empty());
    // Nor if the one who was told of it comes after.
    let mut third = State::new(limits());
    third.adopt(&rules, entries.into_iter());
    second.store_anew();
    third.adopt(&rules, stored_by(&mut second).into_iter());
    assert!(third.take_due(at(3)).is_empty());
}
