//! A body on its way in: its bytes are taken from the budget as they come, inflated as they come, and never more than the
//! protocol allows. Whoever waits for memory waits for a short time only, so that two halves of bodies do not wait for
//! each other. A body that needs more than there is takes all that there is, and comes in alone.

use std::time::Duration;

use axum::body::Body;
use flate2::{Decompress, FlushDecompress, Status};
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout_at};

use super::answer::Refusal;
use super::limits::{MAX_BODY_BYTES, MAX_SILENCE};
use crate::budget::{Budget, Reservation};

/// The memory that is taken at a time: a client that is slow holds hardly more than it has sent, and 64 MiB still come in
/// some 70 steps.
const STEP_BYTES: std::ops::RangeInclusive<usize> = (16 << 10)..=(1 << 20);

/// A body that is small: some dozens of records.
const SMALL_BYTES: usize = 256 << 10;

/// The part of the memory that only small bodies take.
pub(super) const SMALL_SHARE: usize = 8;

const TOO_LARGE: Refusal = Refusal::too_large("the body has more than 64 MiB before compression");
const TOO_LARGE_FOR_MEMORY: Refusal = Refusal::too_large(
    "the body has escapes in JSON and takes more than there is memory for; raise memory_budget, or send base64 as it is",
);
const NO_MEMORY: Refusal = Refusal::later("no memory is free, as sinks are slower than what comes in", true);
const NO_GZIP: Refusal = Refusal::malformed("the body is no gzip, although its Content-Encoding says so");
const TRUNCATED: Refusal = Refusal::malformed("the body ends too early");
const TOO_SLOW: Refusal = Refusal::slow("the body did not come in time");

/// How a body comes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arriving {
    /// Whether it is compressed.
    pub(super) gzip: bool,
    /// How many bytes come, if that was said.
    pub(super) length: Option<u64>,
    /// When it must be there.
    pub(super) deadline: Instant,
    /// How long it may wait for memory.
    pub(super) busy_timeout: Duration,
}

/// What memory bodies take.
pub(super) struct Memory {
    /// For all bodies.
    budget: Budget,
    /// For small ones first, which are not to wait until large ones have come to their end.
    small: Budget,
    _small_share: Reservation,
}

impl Memory {
    /// Shares a budget out.
    pub(super) async fn new(budget: Budget) -> Self {
        let small = Budget::new(budget.total_bytes() / SMALL_SHARE);
        let share = budget.reserve(small.total_bytes()).await;
        Self { budget, small, _small_share: share }
    }

    /// The bytes that are for all but the small share: what a body takes that needs as much or more.
    fn whole(&self) -> usize {
        self.budget.total_bytes().saturating_sub(self.small.total_bytes())
    }

    /// Whether a body of so many bytes is one of the small ones.
    fn is_small(&self, bytes: usize) -> bool {
        bytes <= SMALL_BYTES.min(self.small.total_bytes())
    }
}

/// A body and the memory that it holds.
pub(super) struct Inbox<'b> {
    memory: &'b Memory,
    is_small: bool,
    deadline: Instant,
    busy_timeout: Duration,
    /// The bytes that are known to come.
    expected: usize,
    pub(super) data: Vec<u8>,
    pub(super) held: Reservation,
}

impl<'b> Inbox<'b> {
    /// Takes a body in.
    ///
    /// # Errors
    /// It is too large or slow, or no gzip, or memory is short.
    pub(super) async fn receive(mut body: Body, arriving: Arriving, memory: &'b Memory) -> Result<Self, Refusal> {
        let Arriving { gzip, length, deadline, busy_timeout } = arriving;
        let length = length.map(|length| usize::try_from(length).unwrap_or(usize::MAX));
        if length.is_some_and(|length| length > MAX_BODY_BYTES) {
            return Err(TOO_LARGE);
        }
        let expected = if gzip { 0 } else { length.unwrap_or(0) };
        let (data, held) = (Vec::new(), Reservation::default());
        let mut inbox = Self { memory, is_small: true, deadline, busy_timeout, expected, data, held };
        let mut inflating = gzip.then(Inflating::new);
        loop {
            let frame = timeout_at(deadline.min(Instant::now() + MAX_SILENCE), body.frame()).await;
            let Some(frame) = frame.map_err(|_| TOO_SLOW)? else { break };
            // A connection that broke off gets no answer anyway.
            let Ok(chunk) = frame.map_err(|_| TRUNCATED)?.into_data() else { continue };
            match &mut inflating {
                Some(inflating) => inflating.feed(&chunk, &mut inbox).await?,
                None => {
                    inbox.make_room(chunk.len()).await?;
                    inbox.data.extend_from_slice(&chunk);
                }
            }
        }
        if inflating.is_some_and(|inflating| !inflating.is_complete()) {
            return Err(TRUNCATED);
        }
        Ok(inbox)
    }

    /// Takes memory for so many bytes beside those that are there.
    ///
    /// # Errors
    /// That is too much, or none is free.
    pub(super) async fn make_room(&mut self, more: usize) -> Result<(), Refusal> {
        let (length, capacity) = (self.data.len(), self.data.capacity());
        let needed = length.saturating_add(more);
        if needed <= capacity {
            return Ok(());
        }
        if needed > MAX_BODY_BYTES {
            return Err(TOO_LARGE);
        }
        let step = (capacity / 4).clamp(*STEP_BYTES.start(), *STEP_BYTES.end());
        let wanted = if self.expected < needed {
            needed.max((capacity + step).min(MAX_BODY_BYTES))
        } else if self.memory.is_small(needed) {
            needed.max((capacity + step).min(self.expected))
        } else {
            // What has begun to come and says how much it is takes all at once, so that it does not hold a part of the
            // memory while it waits for the rest.
            self.expected
        };
        self.hold(wanted).await?;
        self.data.reserve_exact(wanted - length);
        Ok(())
    }

    /// Holds so many bytes of the budget, or the whole of it for as much as the largest body has.
    ///
    /// # Errors
    /// That is more than may be, or they do not come free in time.
    pub(super) async fn hold(&mut self, bytes: usize) -> Result<(), Refusal> {
        let Memory { budget, small, .. } = self.memory;
        let whole = self.memory.whole();
        if bytes > whole.max(MAX_BODY_BYTES) {
            return Err(TOO_LARGE_FOR_MEMORY);
        }
        let wants_whole = bytes >= whole;
        let bytes = bytes.min(whole);
        let more = bytes.saturating_sub(self.held.bytes());
        if more == 0 {
            return Ok(());
        }
        if self.is_small
            && self.memory.is_small(bytes)
            && let Some(more) = small.try_reserve(more)
        {
            self.held.merge(more);
            return Ok(());
        }
        // One that leaves the small ones takes all that it needs from the others.
        let wanted = if self.is_small { bytes } else { more };
        // Who needs everything waits twice as long, so that those who hold a part and wait behind it give up first.
        let patience = if wants_whole { 2 * self.busy_timeout } else { self.busy_timeout };
        let until = self.deadline.min(Instant::now() + patience);
        let reserved = timeout_at(until, budget.reserve(wanted)).await.map_err(|_| NO_MEMORY)?;
        if self.is_small {
            self.held = reserved;
            self.is_small = false;
        } else {
            self.held.merge(reserved);
        }
        Ok(())
    }
}

/// Gzip that is inflated as it comes, of as many members as there are.
struct Inflating {
    gzip: Decompress,
    /// The last member is complete.
    is_between_members: bool,
}

impl Inflating {
    /// The largest window of deflate, and the format gzip. Source: zlib's manual, `inflateInit2`.
    const WINDOW_BITS: u8 = 15;

    fn new() -> Self {
        Self { gzip: Decompress::new_gzip(Self::WINDOW_BITS), is_between_members: false }
    }

    fn is_complete(&self) -> bool {
        self.is_between_members
    }

    /// Inflates what came.
    async fn feed(&mut self, mut input: &[u8], inbox: &mut Inbox<'_>) -> Result<(), Refusal> {
        loop {
            if self.is_between_members && !input.is_empty() {
                *self = Self::new();
            }
            if inbox.data.len() == inbox.data.capacity() {
                if input.is_empty() && self.is_between_members {
                    return Ok(());
                }
                inbox.make_room(1).await?;
                // What inflates to much is not to hold up others.
                tokio::task::yield_now().await;
            }
            let (before_in, before_out) = (self.gzip.total_in(), self.gzip.total_out());
            let status = self.gzip.decompress_vec(input, &mut inbox.data, FlushDecompress::None);
            let taken = usize::try_from(self.gzip.total_in() - before_in).unwrap_or(input.len());
            input = input.get(taken..).unwrap_or_default();
            match status {
                Err(_) => return Err(NO_GZIP),
                Ok(Status::StreamEnd) => self.is_between_members = true,
                Ok(Status::Ok | Status::BufError) => {}
            }
            let has_room = inbox.data.len() < inbox.data.capacity();
            if input.is_empty() && (has_room || self.is_between_members) {
                return Ok(());
            }
            if taken == 0 && self.gzip.total_out() == before_out && has_room && !self.is_between_members {
                // It asks for more although there is more.
                return Err(NO_GZIP);
            }
        }
    }
}
