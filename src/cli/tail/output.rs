//! The output: a thread of its own that writes, so that a terminal that is held or a slow pipe stops the reading and
//! never the process.

use std::io::{self, ErrorKind, Write};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Chunks that wait while one is written. A chunk is what one record became and may be large, so one is enough to keep
/// the writer busy.
const WAITING_CHUNKS: usize = 1;

/// Where a chunk goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Lines,
    /// Standard error.
    Notes,
}

/// Writes chunks in their order.
#[derive(Debug)]
pub struct Output {
    chunks: mpsc::Sender<(Stream, Vec<u8>)>,
    done: oneshot::Receiver<io::Result<()>>,
}

impl Output {
    /// Starts the writer. When nobody reads any more, or writing fails, `stop` is cancelled.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(
        lines: impl Write + Send + 'static,
        notes: impl Write + Send + 'static,
        stop: CancellationToken,
    ) -> io::Result<Self> {
        let (chunks, waiting) = mpsc::channel(WAITING_CHUNKS);
        let (finished, done) = oneshot::channel();
        std::thread::Builder::new().name("output".to_owned()).spawn(move || {
            let written = write_all(lines, notes, waiting);
            stop.cancel();
            // Nobody waits any more if the process is ending.
            let _ = finished.send(written);
        })?;
        Ok(Self { chunks, done })
    }

    /// Where chunks are put in.
    pub fn chunks(&self) -> Chunks {
        Chunks(self.chunks.clone())
    }

    /// Waits until everything is written, but no longer than `patience`: a terminal that is held must not keep the
    /// process. A closed pipe is a quiet end. All [`Chunks`] must be dropped before.
    ///
    /// # Errors
    /// What kept the output from being written.
    pub async fn finish(self, patience: Duration) -> io::Result<()> {
        drop(self.chunks);
        match tokio::time::timeout(patience, self.done).await {
            Ok(Ok(written)) => written,
            // Held, or the thread is gone: nothing more can be written.
            Ok(Err(_)) | Err(_) => Ok(()),
        }
    }
}

/// Puts chunks into an [`Output`].
#[derive(Clone, Debug)]
pub struct Chunks(mpsc::Sender<(Stream, Vec<u8>)>);

impl Chunks {
    /// Waits for room and hands the chunk over; an empty one, or one after the end of the output, is dropped.
    pub async fn put(&self, stream: Stream, chunk: Vec<u8>) {
        if !chunk.is_empty() {
            // The writer has ended: it has said so, and there is nobody to read this.
            let _ = self.0.send((stream, chunk)).await;
        }
    }
}

fn write_all(
    mut lines: impl Write,
    mut notes: impl Write,
    mut waiting: mpsc::Receiver<(Stream, Vec<u8>)>,
) -> io::Result<()> {
    while let Some((stream, chunk)) = waiting.blocking_recv() {
        let written = match stream {
            Stream::Lines => {
                lines.write_all(&chunk).and_then(|()| if waiting.is_empty() { lines.flush() } else { Ok(()) })
            }
            // Notes are an aid; lines go on without them.
            Stream::Notes => notes.write_all(&chunk).or(Ok(())),
        };
        if let Err(error) = written {
            return quiet(error);
        }
    }
    lines.flush().or_else(quiet)
}

/// A closed pipe is how a reader says that it has enough.
fn quiet(error: io::Error) -> io::Result<()> {
    if error.kind() == ErrorKind::BrokenPipe { Ok(()) } else { Err(error) }
}
