//! Files, pipes and standard input as a source: the same payloads as a stream's, for replay, tests and people without a
//! stream. Each file is a partition of its own and goes on where it was left; a pipe has no position to go back to.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::info;

use self::inputs::Input;
use super::pieces::{self, Piece, Pieces};
use super::threaded::{Content, Reads, Threaded};
use super::{BoxFuture, Read, Source, SourceError};
use crate::budget::Budget;
use crate::checkpoint::CheckpointStore;
use crate::delivery::{LaneEnd, LaneError, Lanes};
use crate::record::{Origin, Partition, Position, Record, ShardId};

pub mod inputs;

/// The stream that partitions of files belong to.
const STREAM: &str = "file";

/// What is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The inputs, as [`inputs::expand`] found them.
    pub inputs: Vec<Input>,
    /// The bytes that a record may have after inflating; see [`crate::pipeline::Limits`].
    pub max_inflated_bytes: usize,
    /// The files that are read at a time.
    pub concurrency: usize,
}

/// Reads all inputs to their end, or until `stop`, which the lanes look at too. Partitions with a position run on `lanes`; pipes and standard input
/// run on `unpositioned`, whose store is to forget.
///
/// # Errors
/// The first error of a lane, once those that were running beside it have ended.
pub async fn run(
    settings: Settings,
    lanes: Arc<dyn Lanes>,
    unpositioned: Arc<dyn Lanes>,
    checkpoints: Arc<dyn CheckpointStore>,
    budget: Budget,
    stop: CancellationToken,
) -> Result<(), LaneError> {
    let positions = checkpoints.load(STREAM).await?;
    let mut running: JoinSet<Result<LaneEnd, LaneError>> = JoinSet::new();
    let (mut first_error, mut finished_before) = (Ok(()), 0u64);
    for input in settings.inputs {
        while running.len() >= settings.concurrency.max(1) {
            join_one(&mut running, &mut first_error, &stop).await;
        }
        if first_error.is_err() || stop.is_cancelled() {
            break;
        }
        let partition = partition_of(&input);
        let position = positions.iter().find(|(known, _)| *known == partition).map(|(_, position)| position.clone());
        if position == Some(Position::End) {
            finished_before += 1;
            continue;
        }
        let lanes = Arc::clone(if has_position(&input) { &lanes } else { &unpositioned });
        let source = FileSource::new(input, position, settings.max_inflated_bytes, budget.clone());
        let reading = stop.clone();
        running.spawn(async move { lanes.run(partition, Box::new(source), reading).await });
    }
    if finished_before > 0 {
        info!(files = finished_before, "files that were delivered to their end before are not read again");
    }
    while !running.is_empty() {
        join_one(&mut running, &mut first_error, &stop).await;
    }
    first_error
}

/// Waits for a lane to end; one that fails stops the others.
async fn join_one(
    running: &mut JoinSet<Result<LaneEnd, LaneError>>,
    first_error: &mut Result<(), LaneError>,
    stop: &CancellationToken,
) {
    let error = match running.join_next().await {
        None | Some(Ok(Ok(_))) => return,
        Some(Ok(Err(error))) => error,
        Some(Err(_)) => LaneError::Panicked { origin: "a file".to_owned() },
    };
    stop.cancel();
    if first_error.is_ok() {
        *first_error = Err(error);
    }
}

fn has_position(input: &Input) -> bool {
    match input {
        Input::Stdin => false,
        Input::Path(path) => std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file()),
    }
}

fn partition_of(input: &Input) -> Partition {
    let shard = match input {
        Input::Stdin => "-".to_owned(),
        Input::Path(path) => {
            let absolute = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            match absolute.to_str() {
                Some(text) => text.to_owned(),
                // Two names that are not UTF-8 must not share a position.
                None => absolute.as_os_str().as_encoded_bytes().escape_ascii().to_string(),
            }
        }
    };
    Partition { stream: STREAM.into(), shard: ShardId::new(shard) }
}

/// Reads one input.
pub struct FileSource(Threaded);

impl FileSource {
    /// Reads `input` from `position` on. `budget` holds the bytes of what was read and is not through the line.
    pub fn new(input: Input, position: Option<Position>, max_inflated_bytes: usize, budget: Budget) -> Self {
        let from = match position {
            Some(Position::Offset(from)) => from,
            _ => 0,
        };
        let reader = Reader { input, from, max_inflated_bytes, budget };
        Self(Threaded::new(reader.name(), move |runtime, reads| reader.read_all(runtime, reads)))
    }
}

impl Source for FileSource {
    fn next(&mut self) -> BoxFuture<'_, Result<Read, SourceError>> {
        self.0.next()
    }
}

/// The records of `input` from its start, read in this thread.
///
/// # Errors
/// What opening the input answers; each item may be what reading answers.
pub fn records(
    input: &Input,
    max_inflated_bytes: usize,
) -> io::Result<impl Iterator<Item = io::Result<Record>> + use<>> {
    let (path, mut pieces) = match input {
        Input::Stdin => (Arc::from("-"), Pieces::new(io::stdin(), max_inflated_bytes, true)),
        Input::Path(path) => {
            let file = File::open(path)?;
            let live = !file.metadata()?.is_file();
            (Arc::from(path.display().to_string()), Pieces::new(file, max_inflated_bytes, live))
        }
    };
    let record = move |Piece { data, offset, .. }| {
        let path: Arc<str> = Arc::clone(&path);
        Record::new(data, Origin::File { path, offset })
    };
    Ok(std::iter::from_fn(move || pieces.next_piece().map(|piece| piece.map(&record)).transpose()))
}

/// What the reading thread owns.
struct Reader {
    input: Input,
    from: u64,
    max_inflated_bytes: usize,
    budget: Budget,
}

impl Reader {
    fn name(&self) -> String {
        match &self.input {
            Input::Stdin => "-".to_owned(),
            Input::Path(path) => path.display().to_string(),
        }
    }

    fn read_all(&self, runtime: &Handle, reads: &Reads) -> Result<(), SourceError> {
        let name = self.name();
        let (mut pieces, live) = self.open()?;
        let path = Arc::<str>::from(name.as_str());
        let origin = |offset| Origin::File { path: Arc::clone(&path), offset };
        let content = Content { pieces: &mut pieces, from: self.from, live, budget: &self.budget, origin: &origin };
        let read = content.hand_on(runtime, reads);
        read.map_err(|error| fatal(&name, "make it readable or leave it out", Some(error)))?;
        if pieces.offset() < self.from && !reads.is_closed() { Err(self.shrunk()) } else { Ok(()) }
    }

    /// Opens the input at its position. Whether it is a pipe comes with it.
    fn open(&self) -> Result<(Pieces, bool), SourceError> {
        let path = match &self.input {
            Input::Stdin => return Ok((Pieces::new(io::stdin(), self.max_inflated_bytes, true), true)),
            Input::Path(path) => path,
        };
        let failed = |error| fatal(&self.name(), "make it readable or leave it out", Some(error));
        let mut file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Ok((Pieces::new(file, self.max_inflated_bytes, true), true));
        }
        let skips = self.from > 0 && !is_inflated_in_parts(&mut file).map_err(failed)?;
        if skips && metadata.len() < self.from {
            return Err(self.shrunk());
        }
        let start = if skips { self.from } else { 0 };
        file.seek(SeekFrom::Start(start)).map_err(failed)?;
        Ok((Pieces::new(file, self.max_inflated_bytes, false).starting_at(start), false))
    }

    fn shrunk(&self) -> SourceError {
        let advice = "it is shorter than what was read of it before, so it was replaced; give the new content another \
                      name, or use another checkpoint directory to read it from its start";
        SourceError::Position { what: self.name(), advice: advice.to_owned(), source: None }
    }
}

/// Whether offsets of this file count inflated bytes, which only reading from the start finds again.
fn is_inflated_in_parts(file: &mut File) -> io::Result<bool> {
    let mut head = Vec::new();
    file.take(pieces::HEAD_BYTES as u64).read_to_end(&mut head)?;
    Ok(pieces::is_inflated_in_parts(&head, file.metadata()?.len()))
}

fn fatal(what: &str, advice: &str, source: Option<io::Error>) -> SourceError {
    let source = source.map(|error| Box::new(error) as Box<dyn std::error::Error + Send + Sync>);
    SourceError::Fatal { what: what.to_owned(), advice: advice.to_owned(), source }
}
