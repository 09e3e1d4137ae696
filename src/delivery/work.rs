//! The crew: the pure lines that take records apart, no more at once than there are cores, on threads of their own.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::LaneError;
use crate::format::Lines;
use crate::pipeline::{Line, Parcel, Settings, Tally};
use crate::record::Record;
use crate::sink::batch::Origins;
use crate::sink::dead_letter;

/// The encoded bytes at which a group of records is submitted: large enough that a submission's own cost does not
/// show, small enough that a read of 10 MiB does not become hundreds of MiB of output at once.
const GROUP_BYTES: usize = 1 << 20;

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
}

/// What a group of records became.
pub(super) struct Group {
    /// The records in it.
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
        Self::new(seats, outputs, move || Box::new(Line::new(settings.clone())))
    }

    /// A crew of at most `seats` workers at once, each with this many outputs.
    pub fn new(seats: usize, outputs: usize, hire: impl Fn() -> Box<dyn Work> + Send + Sync + 'static) -> Self {
        let seats = Arc::new(Semaphore::new(seats.max(1)));
        Self { hire: Box::new(hire), idle: Mutex::default(), seats, outputs }
    }

    /// The outputs that each worker has.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Takes records apart from the one at `first` on, until they are all done or the group is large enough.
    pub(super) async fn group(&self, records: &Arc<Vec<Record>>, first: usize) -> Result<Group, LaneError> {
        let seat = Arc::clone(&self.seats).acquire_owned().await.ok();
        let mut worker = self.idle().pop().unwrap_or_else(|| (self.hire)());
        let (records_, outputs) = (Arc::clone(records), self.outputs);
        let work = tokio::task::spawn_blocking(move || {
            let group = process(worker.as_mut(), records_.get(first..).unwrap_or_default(), outputs);
            (worker, group)
        });
        let Ok((worker, mut group)) = work.await else {
            let origin = records.get(first).map_or_else(String::new, |record| record.origin.to_string());
            return Err(LaneError::Panicked { origin });
        };
        self.idle().push(worker);
        group.seat = seat;
        Ok(group)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Box<dyn Work>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn process(worker: &mut dyn Work, records: &[Record], outputs: usize) -> Group {
    let now = Timestamp::now();
    let mut parcel = Parcel { outputs: vec![Lines::default(); outputs], ..Parcel::default() };
    let mut origins = vec![Origins::default(); outputs];
    let mut rejects = Lines::default();
    let mut taken = 0;
    for record in records {
        worker.process(record, now, &mut parcel);
        taken += 1;
        for (origins, lines) in origins.iter_mut().zip(&parcel.outputs) {
            origins.push(lines.len(), &record.origin);
        }
        dead_letter::encode(&std::mem::take(&mut parcel.rejects), now, &mut rejects);
        let bytes: usize = parcel.outputs.iter().map(|lines| lines.bytes().len()).sum();
        if bytes + rejects.bytes().len() >= GROUP_BYTES {
            break;
        }
    }
    // The budget counts the bytes that are used: those that a growing buffer has to spare go back.
    parcel.outputs.iter_mut().for_each(Lines::shrink_to_fit);
    let outputs = parcel.outputs.into_iter().zip(origins).collect();
    Group { records: taken, outputs, rejects, tally: parcel.tally, seat: None }
}
