//! A source whose reading blocks. It has a thread of its own, so that a slow disk, a silent pipe or much to inflate holds
//! up nothing else.

use std::io;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::pieces::{Piece, Pieces};
use super::{BoxFuture, Read, Source, SourceError};
use crate::budget::Budget;
use crate::record::{Origin, Position, Record};

/// Pieces are handed on together up to this size, so that many small ones do not each cost a turn.
const READ_BYTES: usize = 1 << 20;

/// Where the thread hands on what it read. Its receiver goes away when nothing more is wanted.
pub(super) type Reads = mpsc::Sender<Result<Read, SourceError>>;

type Body = Box<dyn FnOnce(&Handle, &Reads) -> Result<(), SourceError> + Send>;

/// Runs what reads on a thread, from the first call on.
pub(super) struct Threaded {
    what: Arc<str>,
    body: Option<Body>,
    reads: Option<mpsc::Receiver<Result<Read, SourceError>>>,
}

impl Threaded {
    /// `body` hands on what it reads and returns at the end, or where nobody listens any more; `what` is read.
    pub(super) fn new(
        what: impl Into<Arc<str>>,
        body: impl FnOnce(&Handle, &Reads) -> Result<(), SourceError> + Send + 'static,
    ) -> Self {
        Self { what: what.into(), body: Some(Box::new(body)), reads: None }
    }
}

impl Source for Threaded {
    fn next(&mut self) -> BoxFuture<'_, Result<Read, SourceError>> {
        Box::pin(async move {
            if let Some(body) = self.body.take() {
                let (sender, receiver) = mpsc::channel(1);
                let runtime = Handle::current();
                let thread = std::thread::Builder::new().name("read".to_owned());
                thread
                    .spawn(move || {
                        let last = body(&runtime, &sender).map(|()| Read::End { children: Vec::new() });
                        // Who reads may have been told to stop.
                        let _ = sender.blocking_send(last);
                    })
                    .map_err(|error| fatal(&self.what, "the system starts no more threads", error))?;
                self.reads = Some(receiver);
            }
            let read = match &mut self.reads {
                Some(reads) => reads.recv().await,
                None => None,
            };
            let died = || fatal(&self.what, "its thread has died; the log says where", io::Error::other("it panicked"));
            read.unwrap_or_else(|| Err(died()))
        })
    }
}

/// Content that is read in pieces.
pub(super) struct Content<'a> {
    /// Its pieces.
    pub(super) pieces: &'a mut Pieces,
    /// The pieces that end here or before were delivered before.
    pub(super) from: u64,
    /// It may wait for more at any time, so each piece is handed on as it comes.
    pub(super) live: bool,
    /// Holds the bytes of what was read and is not through the line.
    pub(super) budget: &'a Budget,
    /// Where the piece at an offset came from.
    pub(super) origin: &'a dyn Fn(u64) -> Origin,
}

impl Content<'_> {
    /// Hands on all pieces, until nobody listens any more.
    ///
    /// # Errors
    /// What reading answers.
    pub(super) fn hand_on(self, runtime: &Handle, reads: &Reads) -> io::Result<()> {
        let Self { pieces, from, live, budget, origin } = self;
        loop {
            let (mut records, mut bytes, mut end) = (Vec::new(), 0, None);
            while bytes < READ_BYTES {
                let Some(piece) = pieces.next_piece()? else { break };
                let Piece { data, offset, end: piece_end } = piece;
                if piece_end <= from {
                    continue;
                }
                end = Some(piece_end);
                bytes += data.len();
                records.push(Record::new(data, origin(offset)));
                if live {
                    break;
                }
            }
            let Some(end) = end else { return Ok(()) };
            let room = runtime.block_on(async {
                tokio::select! {
                    biased;
                    () = reads.closed() => None,
                    reservation = budget.reserve(bytes) => Some(reservation),
                }
            });
            // What nobody wants any more is not to wait for room that others could have.
            let Some(reservation) = room else { return Ok(()) };
            let read = Read::Records { records, position: Position::Offset(end), lag: None, reservation };
            if reads.blocking_send(Ok(read)).is_err() {
                return Ok(());
            }
        }
    }
}

fn fatal(what: &str, advice: &str, source: io::Error) -> SourceError {
    SourceError::Fatal { what: what.to_owned(), advice: advice.to_owned(), source: Some(Box::new(source)) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn what_nobody_wants_any_more_waits_for_no_room() {
        let budget = Budget::new(8);
        let taken = budget.reserve(8).await;
        let (sender, ended) = std::sync::mpsc::sync_channel::<()>(1);
        let mut source = Threaded::new("a", {
            let budget = budget.clone();
            move |runtime, reads| {
                let _sender = sender;
                let origin = |offset| Origin::S3 { bucket: "logs".into(), key: "a".into(), offset };
                let mut pieces = Pieces::new(&b"some text"[..], 1 << 20, false);
                let content = Content { pieces: &mut pieces, from: 0, live: false, budget: &budget, origin: &origin };
                content.hand_on(runtime, reads).map_err(|error| fatal("a", "", error))
            }
        });
        assert!(tokio::time::timeout(Duration::from_millis(100), source.next()).await.is_err(), "there was room");
        drop(source);
        let end = tokio::task::spawn_blocking(move || ended.recv_timeout(Duration::from_secs(10)));
        assert_eq!(end.await.unwrap(), Err(std::sync::mpsc::RecvTimeoutError::Disconnected), "its thread waits on");
        drop(taken);
    }
}
