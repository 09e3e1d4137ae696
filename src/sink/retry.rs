//! Retry: a batch is delivered again until it is durable. A required sink holds what it has; it never drops it.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;
use tracing::{info, warn};

use super::batch::Counts;
use super::{Batch, Sink, SinkError};

/// The first back-off: long enough for a connection to be made anew, too short to be noticed.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);

/// The longest back-off: an outage of an hour is then found to be over within half a minute.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

/// The shortest wait that jitter may choose, so that a destination is never asked in a tight loop.
const SHORTEST_WAIT: Duration = Duration::from_millis(10);

/// The longest time that a destination is left alone for its asking: an answer of a proxy, or a wrong clock, is not to
/// stop deliveries for a day.
const LONGEST_REQUESTED: Duration = Duration::from_secs(300);

/// The longest time between two log lines about the same trouble.
const LONGEST_SILENCE: Duration = Duration::from_secs(300);

/// Waits between attempts: exponential with full jitter, so that many that failed together do not come back together.
#[derive(Debug, Default)]
pub struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// How long to wait before the next attempt.
    pub fn next_wait(&mut self) -> Duration {
        let ceiling = FIRST_BACKOFF.saturating_mul(1 << self.attempts.min(16)).min(LONGEST_BACKOFF);
        self.attempts = self.attempts.saturating_add(1);
        // The hasher's keys are random: a random number without a dependency.
        let random = RandomState::new().build_hasher().finish();
        let nanos = u64::try_from(ceiling.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(random % nanos.max(1)).max(SHORTEST_WAIT)
    }

    /// The attempts that failed.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }
}

/// Decides when trouble that goes on is worth another log line: at once, then at intervals that double.
#[derive(Debug)]
pub struct Complaint {
    since: Instant,
    next: Instant,
    interval: Duration,
}

impl Complaint {
    /// Trouble that starts now; the first line is due after `patience`.
    pub fn new(patience: Duration) -> Self {
        let now = Instant::now();
        Self { since: now, next: now + patience, interval: patience.max(Duration::from_secs(1)) }
    }

    /// Whether a line is due now; if so, the next is due after twice the time.
    pub fn is_due(&mut self) -> bool {
        let now = Instant::now();
        if now < self.next {
            return false;
        }
        self.next = now + self.interval;
        self.interval = (self.interval * 2).min(LONGEST_SILENCE);
        true
    }

    /// When the next line is due.
    pub fn due_at(&self) -> Instant {
        self.next
    }

    /// How long the trouble has lasted.
    pub fn lasting(&self) -> Duration {
        self.since.elapsed()
    }
}

/// How long a batch is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Patience {
    /// For ever: a required sink holds what it has.
    #[default]
    Unlimited,
    /// This long; then the rest of the batch is dropped.
    Limited(Duration),
}

/// What a batch may be, and how long it is tried.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The bytes of the largest item, newline included.
    pub max_item_bytes: usize,
    /// How long.
    pub patience: Patience,
}

/// What became of a batch that is done.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The items that the destination refused for good, by their index, each with its answer; in no order.
    pub refused: Vec<(usize, String)>,
    /// The items that were given up.
    pub dropped: usize,
}

/// Failed tries in a row, over all batches, after which a destination counts as down: one is bad luck, a few are not.
const FAILURES_TO_OPEN: u32 = 3;

/// A circuit before a destination: while it is down, one batch at a time asks whether it is up again, and the others wait.
#[derive(Debug)]
pub struct Circuit {
    failures: AtomicU32,
    probe: Semaphore,
}

impl Default for Circuit {
    fn default() -> Self {
        Self { failures: AtomicU32::new(0), probe: Semaphore::new(1) }
    }
}

impl Circuit {
    /// Whether the destination counts as down.
    pub fn is_open(&self) -> bool {
        self.failures.load(Ordering::Relaxed) >= FAILURES_TO_OPEN
    }

    /// Waits until a try may be made. While the destination is down, that is the right of whoever holds the permit.
    async fn pass(&self) -> Option<SemaphorePermit<'_>> {
        if !self.is_open() {
            return None;
        }
        // Whoever waited may find that the destination is up again.
        self.probe.acquire().await.ok().filter(|_| self.is_open())
    }

    fn works(&self) {
        self.failures.store(0, Ordering::Relaxed);
    }

    fn fails(&self) {
        self.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |failures| failures.checked_add(1)).ok();
    }
}

/// Items on their way: what is sent, and the place of each in the first batch. No places: it is that batch.
struct Rest {
    batch: Arc<Batch>,
    places: Option<Vec<usize>>,
}

impl Rest {
    fn place(&self, index: usize) -> usize {
        self.places.as_ref().map_or(index, |places| places.get(index).copied().unwrap_or_default())
    }

    /// Without the items that are over the limit, which are refused.
    fn within(self, max_item_bytes: usize, outcome: &mut Outcome) -> Self {
        let is_over = |bytes: usize| bytes > max_item_bytes;
        if !self.batch.items().any(|item| is_over(item.line.len())) {
            return self;
        }
        let mut fitting = Vec::new();
        for (index, item) in self.batch.items().enumerate() {
            let bytes = item.line.len();
            if is_over(bytes) {
                let answer = format!("{bytes} bytes are more than it takes, {max_item_bytes}");
                outcome.refused.push((index, answer));
            } else {
                fitting.push(index);
            }
        }
        // A range without what is too large is the same whenever it is delivered.
        let Self { batch, places } = self.of(&fitting);
        let batch = Batch { range: self.batch.range.clone(), ..Arc::unwrap_or_clone(batch) };
        Self { batch: Arc::new(batch), places }
    }

    /// What is left to do where all of it was refused: its halves, until it is one item.
    fn halve(&self, answer: String, rests: &mut Vec<Self>, outcome: &mut Outcome) {
        match self.batch.total_items() {
            0 => {}
            1 => outcome.refused.push((self.place(0), answer)),
            items => {
                let indexes: Vec<usize> = (0..items).collect();
                let (first, second) = indexes.split_at(items / 2);
                // The first half is on top: the order is kept.
                rests.extend([self.of(second), self.of(first)]);
            }
        }
    }

    /// These of its items.
    fn of(&self, indexes: &[usize]) -> Self {
        let places = indexes.iter().map(|index| self.place(*index)).collect();
        Self { batch: Arc::new(self.batch.of_items(indexes)), places: Some(places) }
    }
}

/// Delivers a batch until each item is durable, refused, or given up.
///
/// # Errors
/// Only [`SinkError::Stop`]: everything else is tried again.
pub async fn deliver(
    sink: &dyn Sink,
    name: &str,
    batch: &Arc<Batch>,
    circuit: &Circuit,
    limits: Limits,
    counts: &Counts,
) -> Result<Outcome, SinkError> {
    let metrics = counts.metrics();
    let (mut outcome, mut trouble) = (Outcome::default(), Trouble::new(name, limits.patience));
    let mut rests = vec![Rest { batch: Arc::clone(batch), places: None }.within(limits.max_item_bytes, &mut outcome)];
    let mut permit = None;
    while let Some(rest) = rests.pop() {
        if rest.batch.total_items() == 0 && rest.places.is_some() {
            continue;
        }
        if permit.is_none() {
            match trouble.within_patience(circuit.pass()).await {
                Some(passed) => permit = passed,
                None => {
                    rests.push(rest);
                    break;
                }
            }
        }
        let begun = Instant::now();
        let answer = sink.deliver(Arc::clone(&rest.batch)).await.map_err(|error| fitting(error, &rest.batch));
        metrics.seconds.observe(begun.elapsed().as_secs_f64());
        if !matches!(answer, Err(SinkError::Retry { .. })) {
            // Whoever waits to ask may go on.
            circuit.works();
            metrics.up.set(1);
            permit = None;
        }
        let (source, after) = match answer {
            Ok(()) => continue,
            Err(SinkError::Partial { retry, refused, after, source }) => {
                outcome.refused.extend(refused.into_iter().map(|(index, answer)| (rest.place(index), answer)));
                if retry.is_empty() {
                    continue;
                }
                // A part got through: what is left starts its waits anew.
                trouble.backoff = Backoff::default();
                rests.push(rest.of(&retry));
                (source, after)
            }
            Err(SinkError::Refused { answer }) => {
                rest.halve(answer, &mut rests, &mut outcome);
                // One that refuses everything is not to be asked in a tight loop.
                tokio::time::sleep(SHORTEST_WAIT).await;
                continue;
            }
            Err(SinkError::Retry { after, source }) => {
                circuit.fails();
                metrics.up.set(i64::from(!circuit.is_open()));
                rests.push(rest);
                (source, after)
            }
            Err(stop @ SinkError::Stop { .. }) => return Err(stop),
        };
        if trouble.is_over() {
            break;
        }
        metrics.retries.inc();
        counts.failed(&Causes(source.as_ref()));
        let wait = trouble.next_wait(source.as_ref(), after);
        drop(source);
        tokio::time::sleep(wait).await;
        // While it is down, the next in line asks: what stands in the way may be in this batch alone.
        permit = None;
    }
    outcome.dropped = rests.iter().map(|rest| rest.batch.total_items()).sum();
    if outcome.dropped == 0 {
        trouble.recovered();
    }
    Ok(outcome)
}

/// What an answer means once it is held against the batch: one that names items that are not there is no answer, an item
/// that is refused is not sent again, and a part that is the whole is no part.
fn fitting(error: SinkError, batch: &Batch) -> SinkError {
    let SinkError::Partial { mut retry, mut refused, after, source } = error else { return error };
    let items = batch.total_items();
    if retry.iter().chain(refused.iter().map(|(index, _)| index)).any(|index| *index >= items) {
        return SinkError::Retry { after, source };
    }
    refused.sort_by_key(|(index, _)| *index);
    refused.dedup_by_key(|(index, _)| *index);
    retry.retain(|index| refused.binary_search_by_key(index, |(index, _)| *index).is_err());
    retry.sort_unstable();
    retry.dedup();
    if retry.len() == items && items > 0 {
        return SinkError::Retry { after, source };
    }
    SinkError::Partial { retry, refused, after, source }
}

/// Trouble with one batch: how long to wait, and when to say so.
struct Trouble<'a> {
    name: &'a str,
    backoff: Backoff,
    attempts: u32,
    complaint: Option<Complaint>,
    /// When the rest is given up.
    deadline: Option<Instant>,
}

impl<'a> Trouble<'a> {
    fn new(name: &'a str, patience: Patience) -> Self {
        let deadline = match patience {
            Patience::Unlimited => None,
            Patience::Limited(most) => Some(Instant::now() + most),
        };
        Self { name, backoff: Backoff::default(), attempts: 0, complaint: None, deadline }
    }

    /// What `act` comes to, unless the rest is given up before.
    async fn within_patience<T>(&self, act: impl Future<Output = T>) -> Option<T> {
        match self.deadline {
            None => Some(act.await),
            Some(deadline) => tokio::time::timeout_at(deadline, act).await.ok(),
        }
    }

    /// Whether this has lasted longer than the sink is worth.
    fn is_over(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// How long to wait for the next try; says so in the log if that is due.
    fn next_wait(&mut self, source: &(dyn std::error::Error + 'static), after: Option<Duration>) -> Duration {
        self.attempts = self.attempts.saturating_add(1);
        // A destination that asks for a time knows best; jitter comes on top, so that not all come back at it.
        let wait = self.backoff.next_wait() + after.unwrap_or_default().min(LONGEST_REQUESTED);
        let complaint = self.complaint.get_or_insert_with(|| Complaint::new(Duration::ZERO));
        if complaint.is_due() {
            let is_required = self.deadline.is_none();
            let what = if is_required {
                "the sink cannot deliver, holding and trying again"
            } else {
                "the sink cannot deliver, trying again for a while"
            };
            warn!(
                sink = self.name,
                attempts = self.attempts,
                lasting_seconds = complaint.lasting().as_secs(),
                error = %Causes(source),
                "{what}"
            );
        }
        let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        left.map_or(wait, |left| wait.min(left))
    }

    fn recovered(&self) {
        if let Some(complaint) = &self.complaint {
            let lasting_seconds = complaint.lasting().as_secs();
            info!(sink = self.name, attempts = self.attempts, lasting_seconds, "the sink delivers again");
        }
    }
}

/// An error with its causes on one line.
pub struct Causes<'a>(pub &'a (dyn std::error::Error + 'a));

impl std::fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Lines;
    use crate::source::BoxFuture;
    use std::sync::Mutex;

    /// Gives the scripted answers in turn, and notes when it was asked and for what.
    struct Scripted {
        script: Mutex<Vec<Result<(), SinkError>>>,
        asked: Mutex<Vec<(Instant, String)>>,
    }

    impl Scripted {
        fn new(script: Vec<Result<(), SinkError>>) -> Self {
            Self { script: Mutex::new(script), asked: Mutex::default() }
        }

        fn sent(&self) -> Vec<String> {
            self.asked.lock().unwrap().iter().map(|(_, items)| items.clone()).collect()
        }
    }

    impl Sink for Scripted {
        fn deliver(&self, batch: Arc<Batch>) -> BoxFuture<'_, Result<(), SinkError>> {
            let items = batch.items().map(|item| String::from_utf8_lossy(item.bytes()).into_owned()).collect();
            self.asked.lock().unwrap().push((Instant::now(), items));
            let answer = self.script.lock().unwrap().remove(0);
            Box::pin(async move { answer })
        }
    }

    /// Is down until a time.
    struct Down {
        up_at: Instant,
        asked: AtomicU32,
    }

    impl Sink for Down {
        fn deliver(&self, _: Arc<Batch>) -> BoxFuture<'_, Result<(), SinkError>> {
            Box::pin(async move {
                self.asked.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(50)).await;
                if Instant::now() < self.up_at { retry(None) } else { Ok(()) }
            })
        }
    }

    fn retry(after: Option<Duration>) -> Result<(), SinkError> {
        Err(SinkError::Retry { after, source: "busy".into() })
    }

    async fn run(sink: &Scripted, items: &[&str], patience: Patience) -> Result<Outcome, SinkError> {
        let mut lines = Lines::default();
        items.iter().for_each(|item| lines.push_with(|out| out.extend_from_slice(item.as_bytes())));
        let batch = Arc::new(Batch { parts: vec![Lines::default(), lines], range: None });
        deliver(sink, "lake", &batch, &Circuit::default(), limits(patience), &Counts::of("lake")).await
    }

    fn limits(patience: Patience) -> Limits {
        Limits { max_item_bytes: 6, patience }
    }

    fn refused(answer: &str) -> Result<(), SinkError> {
        Err(SinkError::Refused { answer: answer.to_owned() })
    }

    fn partial(retry: &[usize], refused: &[usize]) -> Result<(), SinkError> {
        let refused = refused.iter().map(|index| (*index, "bad".to_owned())).collect();
        Err(SinkError::Partial { retry: retry.to_vec(), refused, after: None, source: "busy".into() })
    }

    #[tokio::test(start_paused = true)]
    async fn a_required_sink_is_asked_until_it_delivers() {
        let mut script: Vec<_> = (0..200).map(|_| retry(None)).collect();
        script.push(Ok(()));
        let sink = Scripted::new(script);
        assert_eq!(run(&sink, &["a"], Patience::Unlimited).await.unwrap(), Outcome::default());
        let asked = sink.asked.lock().unwrap();
        assert_eq!(asked.len(), 201);
        for pair in asked.windows(2) {
            let wait = pair[1].0 - pair[0].0;
            assert!(wait >= SHORTEST_WAIT && wait <= LONGEST_BACKOFF + Duration::from_millis(1), "{wait:?}");
        }
        assert!(asked[200].0 - asked[0].0 > Duration::from_secs(300), "the waits do not grow");
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_that_the_destination_asks_for_is_kept() {
        let check = async |asked: u64, least: u64, most: u64| {
            let sink = Scripted::new(vec![retry(Some(Duration::from_secs(asked))), Ok(())]);
            run(&sink, &["a"], Patience::Unlimited).await.unwrap();
            let asked = sink.asked.lock().unwrap();
            let waited = (asked[1].0 - asked[0].0).as_secs();
            assert!((least..=most).contains(&waited), "{waited}");
        };
        check(90, 90, 91).await;
        check(1 << 40, 300, 301).await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_of_a_batch_is_delivered_in_its_order() {
        let script = vec![partial(&[4, 1, 2], &[3]), partial(&[0, 2], &[]), partial(&[1], &[0]), Ok(())];
        let sink = Scripted::new(script);
        let outcome = run(&sink, &["a", "b", "c", "d", "e"], Patience::Unlimited).await.unwrap();
        assert_eq!(outcome, Outcome { refused: vec![(3, "bad".into()), (1, "bad".into())], dropped: 0 });
        assert_eq!(sink.sent(), ["abcde", "bce", "be", "e"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_that_is_refused_is_halved_until_the_item_is_found() {
        let script = vec![refused("x"), Ok(()), refused("x"), refused("worse"), Ok(())];
        let sink = Scripted::new(script);
        let outcome = run(&sink, &["a", "b", "c", "d"], Patience::Unlimited).await.unwrap();
        assert_eq!(outcome, Outcome { refused: vec![(2, "worse".into())], dropped: 0 });
        assert_eq!(sink.sent(), ["abcd", "ab", "cd", "c", "d"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_too_large_is_refused_unasked() {
        let sink = Scripted::new(vec![partial(&[1], &[]), Ok(())]);
        let outcome = run(&sink, &["a", "too-large", "six66", "b"], Patience::Unlimited).await.unwrap();
        let answer = "10 bytes are more than it takes, 6".to_owned();
        assert_eq!(outcome, Outcome { refused: vec![(1, answer)], dropped: 0 });
        assert_eq!(sink.sent(), ["asix66b", "six66"]);
        let sink = Scripted::new(vec![]);
        assert_eq!(run(&sink, &["too-large"], Patience::Unlimited).await.unwrap().refused.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_sink_that_is_not_required_gives_up() {
        let sink = Scripted::new(std::iter::once(partial(&[1, 2], &[])).chain((0..99).map(|_| retry(None))).collect());
        let start = Instant::now();
        let outcome = run(&sink, &["a", "b", "c"], Patience::Limited(Duration::from_secs(60))).await.unwrap();
        assert_eq!(outcome, Outcome { refused: vec![], dropped: 2 });
        assert!((60..=91).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn while_the_destination_is_down_one_batch_asks() {
        let circuit = Circuit::default();
        let up_at = Instant::now() + Duration::from_secs(600);
        let sink = Down { up_at, asked: AtomicU32::new(0) };
        let batches = (0..8).map(|_| async {
            let mut lines = Lines::default();
            lines.push_with(|out| out.push(b'a'));
            let batch = Arc::new(Batch { parts: vec![lines], range: None });
            deliver(&sink, "lake", &batch, &circuit, limits(Patience::Unlimited), &Counts::of("lake")).await.unwrap();
        });
        join(batches.map(Box::pin).collect()).await;
        let asked = sink.asked.load(Ordering::Relaxed);
        // One that waits 15 s on average asks 40 times in ten minutes; eight would ask 320 times.
        assert!((20..=120).contains(&asked), "asked {asked} times");
        assert!(!circuit.is_open());
    }

    async fn join(mut all: Vec<std::pin::Pin<Box<impl Future<Output = ()>>>>) {
        std::future::poll_fn(|context| {
            all.retain_mut(|one| one.as_mut().poll(context).is_pending());
            if all.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_is_handed_back() {
        let stop = Err(SinkError::Stop { advice: "open it again".into(), source: None });
        let sink = Scripted::new(vec![retry(None), stop]);
        assert!(matches!(run(&sink, &["a"], Patience::Unlimited).await, Err(SinkError::Stop { .. })));
    }

    #[tokio::test(start_paused = true)]
    async fn complaints_grow_rare() {
        let mut complaint = Complaint::new(Duration::ZERO);
        let mut lines = 0;
        for _ in 0..3600 {
            lines += u32::from(complaint.is_due());
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert!((15..=25).contains(&lines), "{lines} lines in an hour");
    }

    struct OneThrottled {
        mode: Mutex<u32>,
        asked: AtomicU32,
        others: AtomicU32,
    }

    impl Sink for OneThrottled {
        fn deliver(&self, batch: Arc<Batch>) -> BoxFuture<'_, Result<(), SinkError>> {
            Box::pin(async move {
                tokio::time::sleep(Duration::from_millis(50)).await;
                let n = {
                    let mut m = self.mode.lock().unwrap();
                    *m += 1;
                    *m
                };
                if n <= 6 {
                    return retry(None);
                }
                self.asked.fetch_add(1, Ordering::Relaxed);
                // The item "z" is throttled for ever, all else is taken.
                let z: Vec<usize> =
                    batch.items().enumerate().filter(|(_, i)| i.bytes() == b"z").map(|(n, _)| n).collect();
                if z.is_empty() {
                    self.others.fetch_add(1, Ordering::Relaxed);
                    return Ok(());
                }
                partial(&z, &[])
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_throttled_item_does_not_keep_the_others_waiting() {
        let circuit = Circuit::default();
        let sink = OneThrottled { mode: Mutex::new(0), asked: AtomicU32::new(0), others: AtomicU32::new(0) };
        let batch = |text: &str| {
            let mut lines = Lines::default();
            lines.push_with(|out| out.extend_from_slice(text.as_bytes()));
            Arc::new(Batch { parts: vec![lines], range: None })
        };
        let all = async {
            let texts = ["z", "b", "c", "d"];
            let runs = texts.map(|t| {
                let b = batch(t);
                let (s, c) = (&sink, &circuit);
                Box::pin(async move {
                    if t != "z" {
                        while c.probe.available_permits() > 0 {
                            tokio::time::sleep(Duration::from_millis(10)).await;
                        }
                    }
                    deliver(s, "lake", &b, c, limits(Patience::Unlimited), &Counts::of("lake")).await.unwrap();
                })
            });
            join(runs.into_iter().collect()).await;
        };
        let _ = tokio::time::timeout(Duration::from_secs(7200), all).await;
        assert_eq!(
            sink.others.load(Ordering::Relaxed),
            3,
            "the others wait for two hours though the circuit is closed (open: {})",
            circuit.is_open()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_retry_after_does_not_outlast_patience() {
        let sink = Scripted::new((0..9).map(|_| retry(Some(Duration::from_secs(3600)))).collect());
        let start = Instant::now();
        run(&sink, &["a"], Patience::Limited(Duration::from_secs(60))).await.unwrap();
        assert!(start.elapsed() <= Duration::from_secs(95), "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_for_the_circuit_counts_as_patience() {
        let circuit = Circuit::default();
        let up_at = Instant::now() + Duration::from_secs(1 << 20);
        let sink = Down { up_at, asked: AtomicU32::new(0) };
        circuit.failures.store(3, Ordering::Relaxed);
        let start = Instant::now();
        let batches = (0..8).map(|_| async {
            let mut lines = Lines::default();
            lines.push_with(|out| out.push(b'a'));
            let batch = Arc::new(Batch { parts: vec![lines], range: None });
            deliver(
                &sink,
                "lake",
                &batch,
                &circuit,
                limits(Patience::Limited(Duration::from_secs(60))),
                &Counts::of("lake"),
            )
            .await
            .unwrap();
        });
        join(batches.map(Box::pin).collect()).await;
        assert!(start.elapsed() <= Duration::from_secs(100), "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn an_index_out_of_range_blames_no_other() {
        let script = vec![partial(&[1, 2], &[]), partial(&[], &[7]), Ok(())];
        let sink = Scripted::new(script);
        let outcome = run(&sink, &["a", "b", "c"], Patience::Unlimited).await.unwrap();
        assert_eq!(outcome.refused, [], "item 0 was delivered");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_does_not_fit_the_batch_is_none() {
        let sink = Scripted::new(vec![partial(&[9], &[]), Ok(())]);
        let outcome = run(&sink, &["a", "b", "c"], Patience::Unlimited).await.unwrap();
        assert_eq!(outcome, Outcome::default());
        assert_eq!(sink.sent(), ["abc", "abc"], "an answer that does not fit the batch was believed");
    }

    #[tokio::test(start_paused = true)]
    async fn one_item_is_refused_once_and_not_sent_again() {
        let sink = Scripted::new(vec![partial(&[0, 1, 1], &[1, 1]), Ok(())]);
        let outcome = run(&sink, &["a", "b", "c"], Patience::Unlimited).await.unwrap();
        assert_eq!(outcome.refused, [(1, "bad".into())], "letters");
        assert_eq!(sink.sent(), ["abc", "a"]);
    }

    struct RefusesAll(AtomicU32);
    impl Sink for RefusesAll {
        fn deliver(&self, _: Arc<Batch>) -> BoxFuture<'_, Result<(), SinkError>> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Box::pin(async { refused("setting") })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_refuses_everything_is_not_asked_in_a_tight_loop() {
        let sink = RefusesAll(AtomicU32::new(0));
        let mut lines = Lines::default();
        (0..5000).for_each(|_| lines.push_with(|out| out.push(b'a')));
        let batch = Arc::new(Batch { parts: vec![lines], range: None });
        let start = Instant::now();
        deliver(&sink, "lake", &batch, &Circuit::default(), limits(Patience::Unlimited), &Counts::of("lake"))
            .await
            .unwrap();
        let requests = sink.0.load(Ordering::Relaxed);
        assert!(start.elapsed() >= SHORTEST_WAIT * requests, "{requests} requests in {:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_range_keeps_its_name_without_what_is_too_large() {
        struct Names(Mutex<Vec<bool>>);
        impl Sink for Names {
            fn deliver(&self, batch: Arc<Batch>) -> BoxFuture<'_, Result<(), SinkError>> {
                self.0.lock().unwrap().push(batch.range.is_some());
                Box::pin(async { Ok(()) })
            }
        }
        let mut lines = Lines::default();
        ["a", "too-large-by-far"].iter().for_each(|item| lines.push_with(|out| out.extend_from_slice(item.as_bytes())));
        let range = crate::sink::Range {
            partition: crate::record::Partition { stream: "s".into(), shard: crate::record::ShardId::new("1") },
            from: "1".into(),
            to: "2".into(),
        };
        let batch = Arc::new(Batch { parts: vec![lines], range: Some(Arc::new(range)) });
        let sink = Names(Mutex::default());
        deliver(&sink, "lake", &batch, &Circuit::default(), limits(Patience::Unlimited), &Counts::of("lake"))
            .await
            .unwrap();
        assert_eq!(*sink.0.lock().unwrap(), [true], "a range with one item over the limit has no name");
    }

    #[tokio::test(start_paused = true)]
    async fn all_throttled_by_item_opens_the_circuit() {
        let circuit = Circuit::default();
        let sink = Scripted::new((0..50).map(|_| partial(&[0, 1], &[])).chain([Ok(())]).collect());
        let mut lines = Lines::default();
        ["a", "b"].iter().for_each(|item| lines.push_with(|out| out.extend_from_slice(item.as_bytes())));
        let batch = Arc::new(Batch { parts: vec![lines], range: None });
        let watch = async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            assert!(circuit.is_open(), "nothing got through for a minute, and the circuit is closed");
        };
        let run = async {
            deliver(&sink, "lake", &batch, &circuit, limits(Patience::Unlimited), &Counts::of("lake")).await.unwrap();
        };
        tokio::join!(run, watch);
    }
}
