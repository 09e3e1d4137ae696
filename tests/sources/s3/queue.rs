//! Objects that a queue tells of: what is deleted, what is held, what is left, and what is given back.

use std::sync::Arc;
use std::time::Duration;

use bedrock_tap::checkpoint::nowhere::Nowhere;
use bedrock_tap::daemon::{self, CheckpointPlan, Plan, Seam, SinkPlan, SourcePlan, Stop};
use bedrock_tap::sink::Planned;
use bedrock_tap::source::s3::choice::Choice;
use bedrock_tap::source::s3::notified::{Notified, Settings};
use bedrock_tap::source::s3::queue;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{notification, notification_of};
use crate::support::engine_script::{Keeper, echo_crew};
use crate::support::objects_double::{self, ObjectsDouble};
use crate::support::queue_double::{Meet, QueueDouble};

/// The longest that anything takes on a busy machine.
const LONG: Duration = Duration::from_secs(30);

/// A daemon on doubles.
struct World {
    queue: QueueDouble,
    objects: ObjectsDouble,
    sink: Arc<Keeper>,
    letters: Arc<Keeper>,
    stop: CancellationToken,
    running: Option<JoinHandle<anyhow::Result<()>>>,
}

impl World {
    async fn new(max_receives: Option<u32>) -> Self {
        Self {
            queue: QueueDouble::start(max_receives).await,
            objects: ObjectsDouble::start().await,
            sink: Arc::default(),
            letters: Arc::default(),
            stop: CancellationToken::new(),
            running: None,
        }
    }

    /// Writes an object of one line, and tells of it.
    fn put(&self, key: &str, line: &str) {
        self.objects.put(&format!("logs/{key}"), line.to_owned());
        self.queue.send(notification(key, line.as_bytes()));
    }

    fn start(&mut self, concurrency: usize, drain: Duration) {
        let settings = Settings {
            access: self.objects.access(),
            queue: queue::Settings { access: self.queue.access(), url: self.queue.url() },
            choice: Choice { exclude: vec!["not/".to_owned()], ..Choice::default() },
            concurrency,
            visibility: Duration::from_secs(2),
            drain,
            max_inflated_bytes: 64 << 20,
        };
        let source = SourcePlan::Partitions(Box::new(move |seam: Seam| {
            Box::pin(async move {
                let Seam { engine, budget, stop, .. } = seam;
                let lanes = Arc::new(engine.without_ranges().with_checkpoints(Arc::new(Nowhere)));
                Ok(Notified::connect(settings).await?.run(lanes, budget, stop).await?)
            })
        }));
        let plan = Plan {
            http: None,
            source,
            crew: echo_crew(1),
            bodies: None,
            sinks: vec![SinkPlan::new("sink", Planned::made(self.sink.clone()))],
            dead_letter: SinkPlan::new("dead_letter", Planned::made(self.letters.clone())),
            dead_letters: Vec::new(),
            detection: None,
            checkpoints: CheckpointPlan::Memory,
            memory_bytes: 64 << 20,
            drain,
        };
        let stop = Stop::by(self.stop.clone());
        self.running = Some(tokio::spawn(async move { daemon::run(plan, stop).await.map(drop) }));
    }

    async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let all = timeout(LONG, async {
            while !is_so(self) {
                sleep(Duration::from_millis(10)).await;
            }
        });
        all.await.unwrap_or_else(|_| panic!("not so: {what}; {:?} taken", self.sink.taken()));
    }

    async fn end(&mut self) {
        self.stop.cancel();
        timeout(LONG, self.running.take().unwrap()).await.expect("it does not end").unwrap().unwrap();
    }

    fn taken(&self) -> Vec<String> {
        let mut taken = self.sink.taken();
        taken.sort();
        taken
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_told_of_is_delivered_and_what_is_no_log_is_deleted() {
    let mut world = World::new(Some(1)).await;
    world.put("plain.json", "one");
    // SNS around S3's own, EventBridge, and two objects in a message, one of them no log.
    world.objects.put("logs/a b/\u{fc}", "two");
    let inner = notification("a+b%2F%C3%BC", b"two");
    world.queue.send(json!({ "Type": "Notification", "Message": inner }).to_string());
    world.objects.put("logs/a+b", "three");
    let detail = json!({ "bucket": { "name": "logs" }, "object": { "key": "a+b", "size": 5 } });
    world.queue.send(json!({ "source": "aws.s3", "detail-type": "Object Created", "detail": detail }).to_string());
    world.objects.put("logs/fourth", "four\n!reject");
    let records = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap()["Records"][0].clone();
    let both = [records(&notification("fourth", b"four\n!reject")), records(&notification("not/this", b"x"))];
    world.queue.send(json!({ "Records": both }).to_string());
    for key in ["not/a", "AWSLogs/1/BedrockModelInvocationLogs/data/b", "c/amazon-bedrock-logs-permission-check"] {
        world.queue.send(notification(key, b"x"));
    }
    world.queue.send(notification_of("empty", 0, "e"));
    world.queue.send(json!({ "Service": "Amazon S3", "Event": "s3:TestEvent" }).to_string());
    world.queue.send(notification("gone", b"x").replace("ObjectCreated:Put", "ObjectRemoved:Delete"));
    world.queue.send("secret");
    world.start(4, Duration::from_secs(5));
    world.until("the queue is empty", |world| world.queue.len() == 0 && world.queue.dead().len() == 1).await;
    world.end().await;
    assert_eq!(world.taken(), ["four", "one", "three", "two"]);
    assert_eq!(world.letters.taken().len(), 1);
    // What is no notification is left to the queue, and nothing that was not to be read was asked for.
    assert_eq!(world.queue.dead(), ["secret"]);
    assert_eq!(world.objects.asked().len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_held_until_its_object_is_durable() {
    let mut world = World::new(Some(1)).await;
    world.sink.hold("slow");
    world.put("slow", "slow");
    world.put("fast", "fast");
    // Renewals that fail are made again in time; a lost answer is one that failed.
    world.queue.script("ChangeMessageVisibilityBatch", [Meet::Error(500, "InternalError"), Meet::Unnamed, Meet::Lost]);
    world.start(1, Duration::from_secs(5));
    sleep(Duration::from_secs(6)).await;
    assert_eq!((world.queue.len(), world.queue.visible()), (2, 1), "one was deleted, or came back");
    assert_eq!(world.queue.receives(), [1, 0], "more was received than there is room for");
    world.sink.let_go("slow");
    world.until("the queue is empty", |world| world.queue.len() == 0).await;
    world.end().await;
    assert_eq!(world.taken(), ["fast", "slow"]);
    assert!(world.queue.asked().iter().all(|most| *most == 1), "{:?}", world.queue.asked());
    assert!(world.queue.hidden().len() >= 4, "{:?}", world.queue.hidden());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletions_and_receives_that_fail_are_made_again() {
    let mut world = World::new(Some(1)).await;
    let receives = [Meet::Error(403, "AccessDenied"), Meet::Error(500, "InternalError"), Meet::Error(400, "OverLimit")];
    world.queue.script("ReceiveMessage", receives);
    world.queue.script("GetQueueAttributes", [Meet::Error(403, "AccessDenied")]);
    world.queue.script(
        "DeleteMessageBatch",
        [
            Meet::EverySecond("InternalError"),
            Meet::Error(403, "AccessDenied"),
            Meet::Unnamed,
            Meet::Lost,
            Meet::Error(400, "ReceiptHandleIsInvalid"),
        ],
    );
    let mut expected: Vec<String> = (0..20).map(|number| format!("line {number}")).collect();
    for line in &expected {
        world.put(&line.replace(' ', "-"), line);
    }
    world.start(8, Duration::from_secs(5));
    world.until("all is delivered", |world| world.taken().len() >= 20).await;
    // One is told to be somebody else's, and comes again to nobody: it was received once.
    world.until("the queue is empty", |world| world.queue.len() + world.queue.dead().len() <= 1).await;
    world.end().await;
    expected.sort();
    assert_eq!(world.taken(), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_nothing_may_be_read_nothing_more_is_received() {
    let mut world = World::new(Some(2)).await;
    for number in 0..6 {
        world.put(&format!("object-{number}"), &format!("line {number}"));
    }
    world.objects.always("logs/", Some(objects_double::Meet::Error(403, "AccessDenied")));
    world.start(2, Duration::from_secs(5));
    world.until("both are tried twice", |world| world.objects.asked().len() >= 4).await;
    sleep(Duration::from_secs(3)).await;
    assert_eq!(world.queue.receives(), [1, 1, 0, 0, 0, 0]);
    world.objects.always("logs/", None);
    world.until("the queue is empty", |world| world.queue.len() == 0).await;
    world.end().await;
    assert_eq!(world.taken().len(), 6);
    assert_eq!(world.queue.dead(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_is_left_to_the_queue_and_the_rest_goes_on() {
    let mut world = World::new(Some(2)).await;
    world.queue.send(notification("gone", b"x"));
    world.put("archived", "never");
    world.put("denied", "never");
    world.objects.always("logs/archived", Some(objects_double::Meet::Error(403, "InvalidObjectState")));
    world.objects.always("logs/denied", Some(objects_double::Meet::Error(403, "AccessDenied")));
    for number in 0..20 {
        world.put(&format!("object-{number}"), &format!("line {number}"));
    }
    world.start(4, Duration::from_secs(5));
    world.until("all else is delivered", |world| world.taken().len() == 20).await;
    // The one that is denied is given up whenever another can be read.
    for number in 20..100 {
        if world.queue.dead().len() == 3 {
            break;
        }
        sleep(Duration::from_millis(300)).await;
        world.put(&format!("object-{number}"), &format!("line {number}"));
    }
    world.until("three are dead", |world| world.queue.len() == 0 && world.queue.dead().len() == 3).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_denied_among_others_does_not_hold_them_up() {
    let mut world = World::new(None).await;
    world.objects.always("logs/denied", Some(objects_double::Meet::Error(403, "AccessDenied")));
    world.put("first", "first");
    world.start(2, Duration::from_secs(5));
    world.until("the first is delivered", |world| world.queue.len() == 0).await;
    for number in 0..6 {
        world.put(&format!("denied-{number}"), "never");
    }
    world.put("last", "last");
    let begun = tokio::time::Instant::now();
    world.until("the last is delivered", |world| world.taken().len() == 2).await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_delivers_what_can_be_and_gives_the_rest_back() {
    let mut world = World::new(None).await;
    world.put("quick", "quick");
    world.start(4, Duration::from_secs(4));
    world.until("the first is delivered", |world| world.queue.len() == 0).await;
    world.objects.put("logs/silent", "silent\n".repeat(100));
    world.objects.always("logs/silent", Some(objects_double::Meet::Silent(10)));
    world.queue.send(notification("silent", b"x"));
    world.sink.hold("late");
    world.put("late", "late");
    world.until("both are read", |world| world.objects.asked().len() == 3).await;
    let begun = tokio::time::Instant::now();
    world.stop.cancel();
    sleep(Duration::from_millis(500)).await;
    world.sink.let_go("late");
    world.end().await;
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert_eq!(world.taken(), ["late", "quick"]);
    // The one that was not read to its end is there for others at once.
    assert_eq!((world.queue.len(), world.queue.visible()), (1, 1));
    assert_eq!(world.queue.hidden().last(), Some(&0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_told_twice_is_read_once_at_a_time() {
    let mut world = World::new(Some(1)).await;
    world.sink.hold("one");
    world.put("object", "one");
    world.queue.send(notification("object", b"one"));
    // Of the same name, and written anew.
    world.queue.send(notification("object", b"two"));
    world.start(4, Duration::from_secs(5));
    world.until("it is read", |world| world.objects.asked().len() == 2).await;
    sleep(Duration::from_millis(500)).await;
    assert_eq!((world.queue.len(), world.objects.asked().len()), (3, 2));
    world.sink.let_go("one");
    world.until("the queue is empty", |world| world.queue.len() == 0).await;
    world.end().await;
    assert_eq!(world.taken(), ["one", "one"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_written_anew_with_the_same_bytes_is_read_anew() {
    let mut world = World::new(Some(1)).await;
    world.sink.hold("one");
    world.put("object", "one");
    world.start(4, Duration::from_secs(5));
    world.until("it is read", |world| world.objects.asked().len() == 1).await;
    // Between the two it may have held other bytes, which were those that were read.
    world.queue.send(notification_of("object", 3, "another writing"));
    world.until("it is read again", |world| world.objects.asked().len() == 2).await;
    world.sink.let_go("one");
    world.until("the queue is empty", |world| world.queue.len() == 0).await;
    world.end().await;
}
