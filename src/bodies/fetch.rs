//! The fetcher: gets bodies that the line wants, many at a time, within a bound on requests, memory and time.
//!
//! Memory cannot deadlock. A round of fetching begins with nothing held. It takes room for each body only if that is free
//! now, and leaves out what finds none, and all behind it. Only where even the first event finds none is room waited
//! for: enough for the worst, taken at once, by who holds nothing. Whoever holds room waits for S3, whose answers are
//! bounded in time, and then for the sinks, and for no other fetcher.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_sdk_s3::Client;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::cache::Cache;
use super::patience::{Miss, Patience, Signals, Then, Verdict};
use super::{Allowed, Body, Known, Pointer, Settings, State, allowed, get, object};
use crate::aws::AccessError;
use crate::aws::calls::CALLS;
use crate::budget::{Budget, Reservation};

/// The part of the memory that the cache has. It only saves requests; the rest keeps lanes going.
const CACHE_SHARE: usize = 4;

/// Bodies' sizes that an event may need at a time: the one that is there already, the one that is being inflated, and
/// that as it came.
const WORST_BODIES: usize = 3;

/// What inflating needs beside its result: the step in which its buffer grows, and room to see that there is too much.
const INFLATING_BYTES: usize = 128 << 10;

/// The shortest time between two warnings: each body that is not there would be one.
const BETWEEN_WARNINGS: Duration = Duration::from_secs(60);

/// Fetches bodies. Cheap to clone.
#[derive(Clone)]
pub struct Fetcher {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    settings: Settings,
    allowed: Arc<Allowed>,
    requests: Semaphore,
    budget: Budget,
    cache: Mutex<Cache>,
    warned: Mutex<Option<Instant>>,
}

/// Where the room for a body comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Room {
    /// From the budget, if it is free now.
    Free,
    /// It is held already.
    Held,
}

/// What became of a body in one round.
enum Found {
    Body(Arc<Body>, Reservation),
    Settled(State),
    Later,
}

impl Fetcher {
    /// Finds Region and credentials and makes the client.
    ///
    /// # Errors
    /// What is missing or wrong, and where to set it.
    pub async fn connect(settings: Settings) -> Result<Self, AccessError> {
        let config = settings.access.load().await?;
        // It retries nothing by itself: what is worth another try, and when, is decided here.
        let mut builder =
            aws_sdk_s3::config::Builder::from(&config).interceptor(CALLS).retry_config(RetryConfig::disabled());
        if let Some(url) = &settings.access.endpoint_url {
            // An endpoint of one's own seldom has a name for each bucket.
            builder = builder.endpoint_url(url).force_path_style(true);
        }
        let cached = settings.memory_bytes / CACHE_SHARE;
        Ok(Self {
            shared: Arc::new(Shared {
                client: Client::from_conf(builder.build()),
                allowed: Arc::new(Allowed::new(settings.buckets.iter().cloned())),
                requests: Semaphore::new(settings.concurrency.max(1)),
                budget: Budget::new(settings.memory_bytes - cached),
                cache: Mutex::new(Cache::new(cached)),
                warned: Mutex::default(),
                settings,
            }),
        })
    }

    /// What may be fetched.
    pub fn allowed(&self) -> Arc<Allowed> {
        Arc::clone(&self.shared.allowed)
    }

    /// The bytes of bodies that are held now, beside those in the cache.
    pub fn held_bytes(&self) -> usize {
        self.shared.budget.in_flight_bytes()
    }

    /// Fetches the first `must` of the wanted ones, and of the others as many as there is room and time for, without a gap
    /// between them. Whoever calls holds nothing that came from an earlier call.
    ///
    /// Once `stop` is cancelled, bodies that have not landed are waited for a few seconds more and no longer: an event
    /// that is delivered with its pointer in time is worth more than one that a stop leaves behind.
    pub async fn fetch(&self, wanted: &[Pointer], must: usize, stop: &CancellationToken) -> Known {
        let known = self.many(wanted, must, stop).await;
        match wanted.get(..must) {
            Some(needed) if known.bodies.len() < must => {
                drop(known);
                self.few(needed, stop).await
            }
            _ => known,
        }
    }

    /// All at a time, as far as there is room.
    async fn many(&self, wanted: &[Pointer], must: usize, stop: &CancellationToken) -> Known {
        let signals = Signals::new(stop);
        let mut tasks = JoinSet::new();
        for (index, pointer) in wanted.iter().cloned().enumerate() {
            let (shared, signals) = (Arc::clone(&self.shared), signals.clone());
            tasks.spawn(async move { (index, shared.body(&pointer, Room::Free, &signals).await) });
        }
        // A task that panics says nothing; its body is as if S3 had failed.
        let mut found: Vec<_> = wanted.iter().map(|_| Found::Settled(State::Failed)).collect();
        let mut missing = must;
        while let Some(ended) = tasks.join_next().await {
            let Ok((index, result)) = ended else { continue };
            missing -= usize::from(index < must);
            found[index] = result;
            if missing == 0 {
                signals.enough.cancel();
            }
        }
        let mut known = Known::default();
        for (pointer, found) in wanted.iter().zip(found) {
            match found {
                Found::Body(body, hold) => {
                    known.insert(&pointer.path, Ok(body));
                    known.holds.push(hold);
                }
                Found::Settled(state) => known.insert(&pointer.path, Err(state)),
                Found::Later => break,
            }
        }
        known
    }

    /// One after the other, with room for the worst.
    async fn few(&self, wanted: &[Pointer], stop: &CancellationToken) -> Known {
        let Shared { budget, settings, .. } = &*self.shared;
        let worst = settings.max_body_bytes.saturating_mul(WORST_BODIES).saturating_add(INFLATING_BYTES);
        let mut hold = budget.reserve(worst).await;
        let signals = Signals::new(stop);
        let (mut known, mut bytes) = (Known::default(), 0);
        for pointer in wanted {
            let found = match Box::pin(self.shared.body(pointer, Room::Held, &signals)).await {
                Found::Body(body, _) => {
                    bytes += body.json().len();
                    Ok(body)
                }
                Found::Settled(state) => Err(state),
                Found::Later => Err(State::Failed),
            };
            known.insert(&pointer.path, found);
        }
        hold.shrink_to(bytes);
        known.holds.push(hold);
        known
    }
}

impl Shared {
    /// One body, asked for as long as it is worth it.
    async fn body(&self, pointer: &Pointer, room: Room, signals: &Signals) -> Found {
        let cached = self.cache.lock().unwrap_or_else(PoisonError::into_inner).get(&pointer.path);
        if let Some(body) = cached {
            // In a cache that gives it up meanwhile it no longer counts.
            let hold = self.take(room, body.json().len(), signals);
            return hold.map_or(Found::Later, |hold| Found::Body(body, hold));
        }
        let mut patience = Patience::new(&self.settings, pointer.event_time, signals);
        loop {
            let miss = match Box::pin(self.attempt(&pointer.path, room, signals)).await {
                Ok((body, hold)) => {
                    let body = Arc::new(body);
                    self.cache.lock().unwrap_or_else(PoisonError::into_inner).put(&pointer.path, &body);
                    return Found::Body(body, hold);
                }
                Err(miss) => miss,
            };
            match patience.after(&miss, signals).await {
                Verdict::Again => {}
                Verdict::Later => return Found::Later,
                Verdict::Settled(state) => {
                    self.warn(&pointer.path, &miss);
                    return Found::Settled(state);
                }
            }
        }
    }

    /// One try: a request, and what it gave read as a body.
    async fn attempt(&self, path: &str, room: Room, signals: &Signals) -> Result<(Body, Reservation), Miss> {
        let Settings { max_body_bytes: limit, depth, pace, .. } = self.settings;
        let miss = |state, then, code: &str| Miss { state, then, code: code.to_owned() };
        let no_room = || miss(State::Failed, Then::MakeRoom, "no memory is free");
        let _request = self.requests.acquire().await;
        if room == Room::Free && signals.full.is_cancelled() {
            return Err(no_room());
        }
        let object = Box::pin(get::object(&self.client, path, limit, |bytes| self.take(room, bytes, signals)));
        let (bytes, raw) = tokio::select! {
            biased;
            object = tokio::time::timeout(pace.attempt, object) => object.ok(),
            () = async { signals.stop.cancelled().await; tokio::time::sleep(pace.after_stop).await } => None,
        }
        .unwrap_or_else(|| Err(miss(State::Timeout, Then::Retry, "no whole answer in time")))?;
        let bytes = Arc::new(bytes);
        // First with the room that the object itself asks for, which is all it needs if it is honest.
        let mut size = object::promised_bytes(&bytes).min(limit);
        loop {
            let mut hold = self.take(room, size + INFLATING_BYTES, signals).ok_or_else(no_room)?;
            let object = Arc::clone(&bytes);
            let read = tokio::task::spawn_blocking(move || object::read(&object, size, depth)).await;
            match read.map_err(|_| miss(State::Failed, Then::GiveUp, "reading it panicked"))? {
                Ok(body) => {
                    drop(raw);
                    hold.shrink_to(body.json().len());
                    return Ok((body, hold));
                }
                Err(State::TooLarge) if size < limit => size = limit,
                Err(state) => return Err(miss(state, Then::GiveUp, "the object is none that can be read")),
            }
        }
    }

    fn take(&self, room: Room, bytes: usize, signals: &Signals) -> Option<Reservation> {
        if room == Room::Held {
            return Some(Reservation::default());
        }
        let hold = self.budget.try_reserve(bytes);
        if hold.is_none() {
            signals.full.cancel();
        }
        hold
    }

    /// Says that a body cannot be had; of many, only of one from time to time.
    fn warn(&self, path: &str, miss: &Miss) {
        let Miss { state, code, .. } = miss;
        let bucket = allowed::split(path).map_or("", |(bucket, _)| bucket);
        let now = Instant::now();
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.is_some_and(|last| now - last < BETWEEN_WARNINGS) {
            debug!(bucket, state = state.as_str(), code, "a body cannot be fetched");
            return;
        }
        *warned = Some(now);
        warn!(
            bucket,
            state = state.as_str(),
            code,
            advice = advice(*state),
            "a body cannot be fetched, its event is delivered without it; further ones are only counted for a minute"
        );
    }
}

/// A sentence for the person who runs this.
fn advice(state: State) -> &'static str {
    match state {
        State::Denied => {
            "grant s3:GetObject on the bucket's bodies to the role that reads them, kms:Decrypt if they are encrypted with \
             a key, and s3:ListBucket to tell what is missing from what is denied"
        }
        State::Missing => "check that the bodies are not deleted sooner than the records are read, and `bodies.wait`",
        State::TooLarge => "raise `bodies.max_body` if such bodies are wanted",
        State::Timeout => "check the network path to S3, and `bodies.concurrency`",
        State::NotJson => "look at the object: Bedrock writes JSON",
        State::Failed => "check the bucket's Region against `bodies.region`, and S3's state",
        State::Fetched | State::NotAllowed | State::BadKey => "nothing to do",
    }
}
