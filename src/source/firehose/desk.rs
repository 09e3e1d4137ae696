//! The desk: what becomes of a request, from its headers to its answer.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, Version};
use axum::response::Response;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::answer::{Refusal, Refusals, answer};
use super::body::{Arriving, Inbox, Memory};
use super::caller::Caller;
use super::dedupe::{Key, Lead, Registry, Turn};
use super::keys::Keys;
use super::limits::{Limits, STOP_BODY_WAIT};
use super::request::{self, ACCESS_KEY, Head};
use super::{HEALTH, Settings};
use crate::budget::Reservation;
use crate::delivery::{LaneEnd, LaneError, Lanes};
use crate::record::{Partition, Position, Record, ShardId};
use crate::source::{BoxFuture, Read, Source, SourceError};

/// Bodies up to this size are taken apart where they came in, in less time than another thread takes to begin; larger ones
/// would hold up other requests.
const INLINE_BYTES: usize = 64 << 10;

const UNAUTHORISED: Refusal =
    Refusal { status: StatusCode::UNAUTHORIZED, message: "the access key is missing or not known", closes: true };
const NOT_FOUND: Refusal =
    Refusal { status: StatusCode::NOT_FOUND, message: "records are not posted to this path", closes: false };
const NOT_ALLOWED: Refusal =
    Refusal { status: StatusCode::METHOD_NOT_ALLOWED, message: "records come by POST", closes: false };
const STOPPING: Refusal = Refusal::later("the endpoint is stopping", true);
const TOO_MANY: Refusal = Refusal::later("too many requests are under way", true);
const TOO_MANY_WAIT: Refusal = Refusal::later("too many requests wait for the sinks", false);
const NOT_YET: Refusal = Refusal::later("not durable yet; the same request again waits for the same delivery", false);
const NOT_DELIVERED: Refusal = Refusal::later("the delivery was given up", false);
const PANICKED: Refusal = Refusal::later("a task panicked; the log says where, please report it", false);

/// What all requests share.
pub(super) struct Desk {
    settings: Settings,
    keys: Keys,
    lanes: Arc<dyn Lanes>,
    memory: Memory,
    stop: CancellationToken,
    refusals: Refusals,
    registry: Arc<Registry>,
    /// Requests that are read.
    reading: Semaphore,
    /// Requests that are delivered. They go on where a client does not wait, and retries of them need no further place.
    delivering: Arc<Semaphore>,
    tasks: TaskTracker,
    failed: Arc<Mutex<Option<LaneError>>>,
}

/// Answers a request.
pub(super) async fn respond(State((desk, caller)): State<(Arc<Desk>, Arc<Caller>)>, request: Request) -> Response {
    let version = request.version();
    let busy = caller.begin(version >= Version::HTTP_2);
    let id = request::id_of(request.headers()).to_owned();
    let refusal = if desk.is_health(&request) {
        desk.stop.is_cancelled().then_some(STOPPING)
    } else {
        Box::pin(desk.take(&caller, request)).await.err()
    };
    if let Some(refusal) = refusal {
        desk.refusals.count(refusal.message);
    }
    drop(busy);
    answer(&id, refusal, version)
}

impl Desk {
    pub(super) fn new(
        settings: Settings,
        keys: Keys,
        lanes: Arc<dyn Lanes>,
        memory: Memory,
        stop: CancellationToken,
    ) -> Self {
        let requests = settings.limits.requests;
        Self {
            settings,
            keys,
            lanes,
            memory,
            stop,
            refusals: Refusals::default(),
            registry: Arc::default(),
            reading: Semaphore::new(requests),
            delivering: Arc::new(Semaphore::new(requests)),
            tasks: TaskTracker::new(),
            failed: Arc::default(),
        }
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.settings.limits
    }

    pub(super) fn drain(&self) -> Duration {
        self.settings.drain
    }

    pub(super) fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    pub(super) fn refresh_keys(&self) {
        self.keys.refresh();
    }

    /// Waits for the lanes, which the drain deadline ends.
    ///
    /// # Errors
    /// The first error of one.
    pub(super) async fn end(&self) -> Result<(), LaneError> {
        self.tasks.close();
        self.tasks.wait().await;
        self.refusals.say_rest();
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }

    fn is_health(&self, request: &Request) -> bool {
        request.uri().path() == HEALTH && matches!(*request.method(), Method::GET | Method::HEAD)
    }

    /// Takes the records of a request; they are durable when this returns.
    async fn take(&self, caller: &Caller, request: Request) -> Result<(), Refusal> {
        let deadline = Instant::now() + self.settings.answer_timeout;
        let (parts, body) = request.into_parts();
        if parts.uri.path() != self.settings.path {
            return Err(NOT_FOUND);
        }
        if parts.method != Method::POST {
            return Err(NOT_ALLOWED);
        }
        // The key comes before all that costs anything.
        if !parts.headers.get(ACCESS_KEY).is_some_and(|key| self.keys.knows(key.as_bytes())) {
            return Err(UNAUTHORISED);
        }
        caller.is_now_known();
        if self.stop.is_cancelled() {
            return Err(STOPPING);
        }
        let head = Head::read(&parts.headers)?;
        let limits = &self.settings.limits;
        let place = timeout(limits.busy_timeout, self.reading.acquire()).await.map_err(|_| TOO_MANY)?;
        let arriving = Arriving {
            gzip: head.gzip,
            length: head.length,
            deadline: deadline.min(Instant::now() + limits.body_timeout),
            busy_timeout: limits.busy_timeout,
        };
        let mut inbox = tokio::select! {
            biased;
            inbox = Inbox::receive(body, arriving, &self.memory) => inbox?,
            () = async { self.stop.cancelled().await; sleep(STOP_BODY_WAIT).await } => return Err(STOPPING),
        };
        if request::has_escapes(&inbox.data) {
            // The reader's own copy, and a copy of each text.
            inbox.hold(inbox.data.capacity() + 2 * inbox.data.len()).await?;
        }
        let Inbox { data, held, .. } = inbox;
        let head = Arc::new(head);
        let (records, key) = read(data, &head).await?;
        drop(place);
        self.deliver(&head, records, key, held, deadline).await
    }

    /// Delivers records, or waits for what delivers them already.
    async fn deliver(
        &self,
        head: &Head,
        records: Vec<Record>,
        key: Key,
        held: Reservation,
        deadline: Instant,
    ) -> Result<(), Refusal> {
        if records.is_empty() {
            return Ok(());
        }
        let follow = match self.registry.enter(key) {
            Turn::Done => return Ok(()),
            Turn::Again(follow) => {
                drop((records, held));
                follow
            }
            Turn::First(lead, follow) => {
                let place = Arc::clone(&self.delivering).acquire_owned();
                let place = timeout(self.settings.limits.busy_timeout, place).await.map_err(|_| TOO_MANY_WAIT)?;
                let partition =
                    Partition { stream: Arc::clone(&head.source), shard: ShardId::new(Arc::clone(&head.id)) };
                self.run(partition, Box::new(Once::new(records, held)), lead, place.ok());
                follow
            }
        };
        match timeout_at(deadline, follow.end()).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(NOT_DELIVERED),
            Err(_) => Err(NOT_YET),
        }
    }

    /// Runs the lane of a request to its end, whether its client waits or not.
    fn run(&self, partition: Partition, source: Box<Once>, lead: Lead, place: impl Send + 'static) {
        let (lanes, failed, stop) = (Arc::clone(&self.lanes), Arc::clone(&self.failed), self.stop.clone());
        self.tasks.spawn(async move {
            let origin = partition.to_string();
            // What was taken in is delivered although nothing more is read.
            let lane = async move { lanes.run(partition, source, CancellationToken::new()).await };
            let ended = tokio::spawn(lane).await.unwrap_or_else(|_| Err(LaneError::Panicked { origin }));
            match ended {
                Ok(LaneEnd::Ended { .. }) => lead.durable(),
                // The drain deadline has passed.
                Ok(LaneEnd::Stopped) => drop(lead),
                Err(error) => {
                    failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                    stop.cancel();
                    drop(lead);
                }
            }
            drop(place);
        });
    }
}

/// Takes a body apart, on a thread of its own if it is large.
async fn read(data: Vec<u8>, head: &Arc<Head>) -> Result<(Vec<Record>, Key), Refusal> {
    if data.len() <= INLINE_BYTES {
        return request::read(data, head);
    }
    let head = Arc::clone(head);
    tokio::task::spawn_blocking(move || request::read(data, &head)).await.map_err(|_| PANICKED)?
}

/// The records of one request as a source: all at once, and then the end.
struct Once(Option<Read>);

impl Once {
    fn new(records: Vec<Record>, reservation: Reservation) -> Self {
        let position = Position::Offset(records.len() as u64);
        Self(Some(Read::Records { records, position, lag: None, reservation }))
    }
}

impl Source for Once {
    fn next(&mut self) -> BoxFuture<'_, Result<Read, SourceError>> {
        let read = self.0.take().unwrap_or(Read::End { children: Vec::new() });
        Box::pin(std::future::ready(Ok(read)))
    }
}
