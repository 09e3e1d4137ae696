//! The crew: the pure lines that take records apart, no more at once than there are cores, on threads of their own.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::LaneError;
use crate::bodies::fetch::Fetcher;
use crate::format::Lines;
use crate::format::key::Template;
use crate::pipeline::fetched::Fetched;
use crate::pipeline::{Line, Parcel, Settings, Switch, Tally};
use crate::record::Record;
use crate::sink::batch::Origins;
use crate::sink::dead_letter;

/// The encoded bytes at which a group of records is submitted: large enough that a submission's own cost does not
/// show, small enough that a read of 10 MiB does not become hundreds of MiB of output at once.
const GROUP_BYTES: usize = 1 << 20;

/// Records that are looked into for further bodies where one is wanted. They are taken apart once more when it is their
/// turn, so this bounds what that costs.
const RECORDS_AHEAD: usize = 64;

/// Takes one record apart; what becomes of it is appended to the parcel.
pub trait Work: Send + 'static {
    /// Takes one record apart.
    fn process(&mut self, record: &Record, parse_time: Timestamp, parcel: &mut Parcel);
}

impl Work for Line {
    fn process(&mut self, record: &Record, parse_time: Timestamp, parcel: &mut Parcel) {
        Self::process(self, record, parse_time, parcel);
    }
}

/// Workers that are reused, so that their buffers are.
pub struct Crew {
    hire: Box<dyn Fn() -> Box<dyn Work> + Send + Sync>,
    idle: Mutex<Vec<Box<dyn Work>>>,
    seats: Arc<Semaphore>,
    outputs: usize,
    fetcher: Option<Fetcher>,
    letter_tags: Option<Arc<Template>>,
    switch: Option<Arc<Switch>>,
}

/// How far the records of a read are taken apart.
#[derive(Default)]
pub(super) struct Place {
    /// The first record that is not done.
    pub(super) record: usize,
    /// How far that one is, and what is known of the bodies that it needs.
    fetched: Option<Fetched>,
}

impl Place {
    /// Whether it is at the end of a record, and nothing of the next one was handed on.
    pub(super) fn is_between_records(&self) -> bool {
        self.fetched.as_ref().is_none_or(Fetched::is_done)
    }
}

/// What a group of records became.
pub(super) struct Group {
    /// The records that are done with it: where bodies are fetched, the last may have begun in an earlier group, and
    /// another may have begun in this one.
    pub(super) records: usize,
    /// One run of lines for each output, and where its lines came from.
    pub(super) outputs: Vec<(Lines, Origins)>,
    /// The rejects, as lines for the dead letter.
    pub(super) rejects: Lines,
    /// The counts.
    pub(super) tally: Tally,
    /// The seat of the worker. It is given up only once the encoded bytes have their place in the budget, so that
    /// bytes without one are bounded by the seats.
    pub(super) seat: Option<OwnedSemaphorePermit>,
}

impl Crew {
    /// A crew of pure lines.
    pub fn of_lines(settings: Settings) -> Self {
        let outputs = settings.outputs.len();
        let seats = std::thread::available_parallelism().map_or(1, usize::from);
        let switch = Arc::new(Switch::new(settings));
        let told = Arc::clone(&switch);
        Self { switch: Some(switch), ..Self::new(seats, outputs, move || Box::new(Line::following(&told))) }
    }

    /// What its pure lines are told, and may be told anew; none where the workers are no such lines.
    pub fn switch(&self) -> Option<&Arc<Switch>> {
        self.switch.as_ref()
    }

    /// A crew of at most `seats` workers at once, each with this many outputs.
    pub fn new(seats: usize, outputs: usize, hire: impl Fn() -> Box<dyn Work> + Send + Sync + 'static) -> Self {
        let seats = Arc::new(Semaphore::new(seats.max(1)));
        let idle = Mutex::default();
        Self { hire: Box::new(hire), idle, seats, outputs, fetcher: None, letter_tags: None, switch: None }
    }

    /// The same crew, which fetches the bodies that the records point at.
    #[must_use]
    pub fn fetching(self, fetcher: Fetcher) -> Self {
        Self { fetcher: Some(fetcher), ..self }
    }

    /// The same crew, whose rejects are told of to their sink as these tags say.
    #[must_use]
    pub fn tagging_letters(self, tags: Option<Arc<Template>>) -> Self {
        Self { letter_tags: tags, ..self }
    }

    /// The outputs that each worker has.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Takes records apart from `place` on, until they are all done or the group is large enough. Where bodies are wanted,
    /// they are fetched first, without a seat.
    pub(super) async fn group(
        &self,
        records: &Arc<Vec<Record>>,
        place: &mut Place,
        stop: &CancellationToken,
    ) -> Result<Group, LaneError> {
        let mut fetched = self.fetched(place, stop).await;
        let seat = Arc::clone(&self.seats).acquire_owned().await.ok();
        let mut worker = self.idle().pop().unwrap_or_else(|| (self.hire)());
        let (records_, outputs, first) = (Arc::clone(records), self.outputs, place.record);
        let letter_tags = self.letter_tags.clone();
        let work = tokio::task::spawn_blocking(move || {
            let records = records_.get(first..).unwrap_or_default();
            let group = process(worker.as_mut(), records, outputs, letter_tags.as_deref(), &mut fetched);
            (worker, group, fetched)
        });
        let Ok((worker, mut group, fetched)) = work.await else {
            let origin = records.get(first).map_or_else(String::new, |record| record.origin.to_string());
            return Err(LaneError::Panicked { origin });
        };
        self.idle().push(worker);
        group.seat = seat;
        *place = Place { record: first + group.records, fetched };
        Ok(group)
    }

    /// What the line needs to know of bodies to go on at `place`.
    async fn fetched(&self, place: &mut Place, stop: &CancellationToken) -> Option<Fetched> {
        let fetcher = self.fetcher.as_ref()?;
        let mut fetched = place.fetched.take().unwrap_or_else(|| Fetched::new(fetcher.allowed()));
        if let Some((wanted, must)) = fetched.take_wanted() {
            fetched.tell(fetcher.fetch(&wanted, must, stop).await);
        }
        Some(fetched)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Box<dyn Work>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn process(
    worker: &mut dyn Work,
    records: &[Record],
    outputs: usize,
    letter_tags: Option<&Template>,
    fetched: &mut Option<Fetched>,
) -> Group {
    let now = Timestamp::now();
    let mut parcel = Parcel { outputs: vec![Lines::default(); outputs], fetched: fetched.take(), ..Parcel::default() };
    if let Some(fetched) = &mut parcel.fetched {
        fetched.begin_part();
    }
    let mut origins = vec![Origins::default(); outputs];
    let mut rejects = Lines::default();
    let mut taken = 0;
    for record in records {
        worker.process(record, now, &mut parcel);
        for (origins, lines) in origins.iter_mut().zip(&parcel.outputs) {
            origins.push(lines.len(), &record.origin);
        }
        dead_letter::encode(&std::mem::take(&mut parcel.rejects), now, letter_tags, &mut rejects);
        if parcel.fetched.as_ref().is_some_and(|fetched| !fetched.is_done()) {
            look_ahead(worker, &records[taken + 1..], now, &mut parcel);
            break;
        }
        taken += 1;
        let bytes: usize = parcel.outputs.iter().map(|lines| lines.bytes().len()).sum();
        if bytes + rejects.bytes().len() >= GROUP_BYTES {
            break;
        }
    }
    // The budget counts the bytes that are used: those that a growing buffer has to spare go back.
    parcel.outputs.iter_mut().for_each(Lines::shrink_to_fit);
    *fetched = parcel.fetched.take();
    let outputs = parcel.outputs.into_iter().zip(origins).collect();
    Group { records: taken, outputs, rejects, tally: parcel.tally, seat: None }
}

/// Looks for further bodies to fetch beside those that the record before needs. Nothing else comes of it.
fn look_ahead(worker: &mut dyn Work, records: &[Record], now: Timestamp, parcel: &mut Parcel) {
    for record in records.iter().take(RECORDS_AHEAD) {
        if !parcel.fetched.as_ref().is_some_and(Fetched::looks_ahead) {
            return;
        }
        worker.process(record, now, parcel);
    }
}
