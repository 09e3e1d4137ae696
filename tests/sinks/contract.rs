//! What every sink keeps to, whatever it writes to: each test of the contract runs a sink behind its batching, retries and
//! dead letter, against a double that is told what goes wrong.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bedrock_tap::format::key::Template;
use bedrock_tap::format::{Lines, Tag};
use bedrock_tap::record::Origin;
use bedrock_tap::sink::batch::{self, Origins, Outlet, Receipt};
use bedrock_tap::sink::dead_letter::DeadLetter;
use bedrock_tap::sink::{Planned, SinkError};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::engine_script::Keeper;

/// What goes wrong with the next request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The destination asks for fewer requests: its way to say 429 or 503, with `Retry-After: 1` where it has that.
    Busy,
    /// It fails, and has taken nothing: 500, or the like.
    Error,
    /// It does not answer before the sink's time is out, and has taken nothing.
    Hang,
    /// It takes the request, and the connection is cut before the answer.
    AppliedThenCut,
    /// Of the request's items it takes all but every second, which it asks to send again; where the destination answers
    /// for whole requests only, it is as `Busy`, but does not say for how long.
    Partial,
}

/// A destination that does what it is told.
pub(crate) trait Double: Send + Sync {
    /// A sink that writes to it. Its time-out is a second or two.
    fn plan(&self) -> Planned;

    /// What goes wrong with the coming requests, one after the other; then all is well.
    fn script(&self, troubles: &[Trouble]);

    /// Items that contain this text are refused for good, whatever request they come in. Gives whether the destination
    /// can refuse items at all.
    fn refuse(&self, text: &str) -> bool;

    /// The items that it holds, in the order in which it took them, as they were before any wrapping of the destination:
    /// the line that the sink was given, without its newline.
    fn held(&self) -> Vec<String>;

    /// Whether it tells items that it has already by their ids, so that none is there twice.
    fn is_idempotent(&self) -> bool;

    /// The bytes of the largest item that it takes.
    fn max_item_bytes(&self) -> usize;
}

/// A sink at work.
struct Running {
    outlet: Outlet,
    driver: JoinHandle<Result<(), SinkError>>,
    letters_driver: JoinHandle<Result<(), SinkError>>,
    letters: Arc<Keeper>,
    abandon: CancellationToken,
}

/// The `n`th item, of about this many bytes.
pub(crate) fn item(n: usize, bytes: usize) -> String {
    let padding = "x".repeat(bytes.saturating_sub(40));
    format!(r#"{{"event":"event-{n:05}","text":"{padding}"}}"#)
}

/// Items as a sink gets them, with their tags by this template.
pub(crate) fn lines(items: &[String], template: Option<&Template>) -> Lines {
    let mut lines = Lines::default();
    for item in items {
        lines.push_with(|out| out.extend_from_slice(item.as_bytes()));
        if let Some(template) = template {
            let digest = <sha2::Sha256 as sha2::Digest>::digest(item.as_bytes());
            let id = *digest.first_chunk().unwrap();
            let Tag { id, time, key } = template.tag_of(id, "2026-01-02T03:04:05.678Z".parse().unwrap());
            lines.tag_last(Tag { id, time, key });
        }
    }
    lines
}

async fn start(double: &dyn Double) -> (Running, Option<Arc<Template>>) {
    let Planned { opening, batch: settings, tags, .. } = double.plan();
    let settings = batch::Settings { linger: Duration::ZERO, concurrency: 1, ..settings };
    let sink = opening().await.unwrap_or_else(|error| panic!("{error:#}"));
    let (abandon, letters) = (CancellationToken::new(), Arc::<Keeper>::default());
    let (letter_outlet, letter_driver) =
        batch::start("letters", Arc::clone(&letters) as _, batch::Settings::default(), None, abandon.clone());
    let dead_letter = DeadLetter::new(letter_outlet, None);
    let (outlet, driver) = batch::start("sink", sink, settings, Some(dead_letter), abandon.clone());
    let (driver, letters_driver) = (tokio::spawn(driver.run()), tokio::spawn(letter_driver.run()));
    (Running { outlet, driver, letters_driver, letters, abandon }, tags)
}

async fn submit(running: &Running, items: &[String], tags: Option<&Arc<Template>>) -> Receipt {
    let mut origins = Origins::default();
    origins.push(items.len(), &Origin::File { path: "in".into(), offset: 0 });
    running.outlet.submit(lines(items, tags.map(Arc::as_ref)), origins, Arc::default()).await.unwrap()
}

/// Delivers these items, in submissions of so many, and waits until all are durable or refused. Gives the dead letters.
pub(crate) async fn deliver(double: &dyn Double, items: &[String], at_once: usize) -> Vec<serde_json::Value> {
    let (running, tags) = start(double).await;
    let mut receipts = Vec::new();
    for some in items.chunks(at_once) {
        receipts.push(submit(&running, some, tags.as_ref()).await);
    }
    for receipt in receipts {
        tokio::time::timeout(Duration::from_secs(60), receipt.durable())
            .await
            .expect("not durable in a minute")
            .unwrap();
    }
    let Running { outlet, driver, letters_driver, letters, .. } = running;
    drop(outlet);
    driver.await.unwrap().unwrap();
    letters_driver.await.unwrap().unwrap();
    letters.taken().iter().map(|letter| serde_json::from_str(letter).unwrap()).collect()
}

pub(crate) fn items(count: usize) -> Vec<String> {
    (0..count).map(|n| item(n, 200)).collect()
}

/// None is missing; none is there twice where the destination can tell.
#[track_caller]
fn check_held(double: &dyn Double, expected: &[String], may_repeat: bool) {
    let held = double.held();
    for item in expected {
        let found = held.iter().filter(|held| *held == item).count();
        let shown: String = item.chars().take(30).collect();
        assert!(found > 0, "{shown} is missing: {} of {} are held", held.len(), expected.len());
        assert!(found == 1 || may_repeat && !double.is_idempotent(), "{shown} is there {found} times");
    }
    let strangers = held.iter().filter(|held| !expected.contains(held)).count();
    assert_eq!(strangers, 0, "items are held that were not delivered as such");
}

/// Runs the whole contract; `make` gives a new double each time.
pub(crate) async fn check<D: Double>(make: impl AsyncFn() -> D) {
    // Most of the time is waiting for a sink's patience to end or a destination's `Retry-After`: all wait together.
    let after = async |trouble: Trouble| after_trouble(&make().await, trouble).await;
    let all = async {
        tokio::join!(
            async { in_order(&make().await).await },
            after(Trouble::Busy),
            after(Trouble::Error),
            after(Trouble::Hang),
            after(Trouble::AppliedThenCut),
            after(Trouble::Partial),
            async { refused(&make().await).await },
            async { stopped(&make().await).await },
        );
    };
    Box::pin(all).await;
    // By itself: what is busy with this for a second answers nobody else in time.
    large(&make().await).await;
}

/// Within a batch, and over batches that follow each other, order is kept.
async fn in_order(double: &dyn Double) {
    let items = items(50);
    assert!(deliver(double, &items, 7).await.is_empty());
    assert_eq!(double.held(), items, "not in order");
}

/// Whatever goes wrong with the first requests, all is delivered in the end.
async fn after_trouble(double: &dyn Double, trouble: Trouble) {
    // What takes a second each time is met once.
    let times = if matches!(trouble, Trouble::Busy | Trouble::Hang) { 1 } else { 2 };
    double.script(&vec![trouble.clone(); times]);
    let items = items(25);
    let start = Instant::now();
    assert!(deliver(double, &items, 10).await.is_empty(), "after {trouble:?}");
    check_held(double, &items, trouble == Trouble::AppliedThenCut || trouble == Trouble::Hang);
    assert!(start.elapsed() < Duration::from_secs(45), "{trouble:?} took {:?}", start.elapsed());
}

/// What is refused goes to the dead letter with the answer, and the rest is delivered.
async fn refused(double: &dyn Double) {
    if !double.refuse("event-00003") {
        return;
    }
    let items = items(10);
    let letters = deliver(double, &items, 10).await;
    let rest: Vec<String> = items.iter().filter(|item| !item.contains("event-00003")).cloned().collect();
    check_held(double, &rest, true);
    assert_eq!(letters.len(), 1, "{} letters", letters.len());
    assert_eq!((&letters[0]["stage"], &letters[0]["reason"]), (&"deliver".into(), &"refused".into()));
    let detail = letters[0]["detail"].as_str().unwrap();
    assert!(detail.starts_with("the sink sink answered: ") && detail.len() > 30, "{detail}");
    use base64::Engine as _;
    let data = base64::prelude::BASE64_STANDARD.decode(letters[0]["data"].as_str().unwrap()).unwrap();
    assert_eq!(String::from_utf8(data).unwrap(), items[3]);
}

/// 4 MiB in one event: delivered, or refused by the limit with the rest delivered.
async fn large(double: &dyn Double) {
    let mut items = items(3);
    items[1] = item(1, 4 << 20);
    let fits = items[1].len() < double.max_item_bytes();
    let letters = deliver(double, &items, 3).await;
    if !fits {
        items.remove(1);
    }
    assert_eq!(letters.len(), usize::from(!fits));
    check_held(double, &items, false);
}

/// A sink that retries stops when it is told to, and says nothing is durable.
async fn stopped(double: &dyn Double) {
    double.script(&vec![Trouble::Error; 1000]);
    let (running, tags) = start(double).await;
    let receipt = submit(&running, &items(3), tags.as_ref()).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    running.abandon.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(2), running.driver).await;
    ended.expect("still retrying after it was told to stop").unwrap().unwrap();
    assert!(receipt.durable().await.is_err(), "a receipt for what was not delivered");
    assert!(double.held().is_empty());
}
