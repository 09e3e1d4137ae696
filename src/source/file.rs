//! Files, pipes and standard input as a source: the same payloads as a stream's, for replay, tests and people without a
//! stream. Each file is a partition of its own and goes on where it was left; a pipe has no position to go back to.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::info;

use self::inputs::Input;
use self::pieces::{Piece, Pieces};
use super::{BoxFuture, Read, Source, SourceError};
use crate::budget::Budget;
use crate::checkpoint::CheckpointStore;
use crate::delivery::{LaneEnd, LaneError, Lanes};
use crate::record::{Origin, Partition, Position, Record, ShardId};

mod cut;

pub mod inputs;
mod nesting;
pub mod pieces;

/// The stream that partitions of files belong to.
const STREAM: &str = "file";

/// Pieces are handed on together up to this size, so that many small ones do not each cost a turn.
const READ_BYTES: usize = 1 << 20;

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

/// Reads one input. A thread of its own reads, so that a slow disk or a silent pipe holds up nothing else.
pub struct FileSource {
    start: Option<Reader>,
    reads: Option<mpsc::Receiver<Result<Read, SourceError>>>,
}

impl FileSource {
    /// Reads `input` from `position` on. `budget` holds the bytes of what was read and is not through the line.
    pub fn new(input: Input, position: Option<Position>, max_inflated_bytes: usize, budget: Budget) -> Self {
        let from = match position {
            Some(Position::Offset(from)) => from,
            _ => 0,
        };
        Self { start: Some(Reader { input, from, max_inflated_bytes, budget }), reads: None }
    }
}

impl Source for FileSource {
    fn next(&mut self) -> BoxFuture<'_, Result<Read, SourceError>> {
        Box::pin(async move {
            if let Some(reader) = self.start.take() {
                let (sender, receiver) = mpsc::channel(1);
                let what = reader.name();
                let runtime = tokio::runtime::Handle::current();
                let thread = std::thread::Builder::new().name("read-file".to_owned());
                thread
                    .spawn(move || reader.run(&runtime, &sender))
                    .map_err(|error| fatal(&what, "the system starts no more threads", Some(error)))?;
                self.reads = Some(receiver);
            }
            let read = match &mut self.reads {
                Some(reads) => reads.recv().await,
                None => None,
            };
            read.unwrap_or_else(|| Err(fatal("a file", "its thread has died; the log says where", None)))
        })
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

    fn run(self, runtime: &tokio::runtime::Handle, reads: &mpsc::Sender<Result<Read, SourceError>>) {
        let result = self.read_all(runtime, reads);
        let last = result.map(|()| Read::End { children: Vec::new() });
        // Who reads may have been told to stop.
        let _ = reads.blocking_send(last);
    }

    fn read_all(
        &self,
        runtime: &tokio::runtime::Handle,
        reads: &mpsc::Sender<Result<Read, SourceError>>,
    ) -> Result<(), SourceError> {
        let name = self.name();
        let failed = |error| fatal(&name, "make it readable or leave it out", Some(error));
        let (mut pieces, live) = self.open()?;
        let path = Arc::<str>::from(name.as_str());
        loop {
            let (mut records, mut bytes, mut end) = (Vec::new(), 0, None);
            while bytes < READ_BYTES {
                let Some(piece) = pieces.next_piece().map_err(failed)? else { break };
                let Piece { data, offset, end: piece_end } = piece;
                if piece_end <= self.from {
                    continue;
                }
                end = Some(piece_end);
                bytes += data.len();
                records.push(Record::new(data, Origin::File { path: Arc::clone(&path), offset }));
                if live {
                    break;
                }
            }
            let Some(end) = end else { break };
            let reservation = runtime.block_on(self.budget.reserve(bytes));
            let read = Read::Records { records, position: Position::Offset(end), lag: None, reservation };
            if reads.blocking_send(Ok(read)).is_err() {
                return Ok(());
            }
        }
        if pieces.offset() < self.from { Err(self.shrunk()) } else { Ok(()) }
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
    file.take(3).read_to_end(&mut head)?;
    Ok(pieces::is_inflated_in_parts(&head, file.metadata()?.len()))
}

fn fatal(what: &str, advice: &str, source: Option<io::Error>) -> SourceError {
    let source = source.map(|error| Box::new(error) as Box<dyn std::error::Error + Send + Sync>);
    SourceError::Fatal { what: what.to_owned(), advice: advice.to_owned(), source }
}
