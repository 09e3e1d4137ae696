//! Standard output as a sink: whole lines, straight to the file descriptor. A closed pipe ends the process quietly.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{Batch, Sink, SinkError};
use crate::source::BoxFuture;

/// How long a non-blocking descriptor is left alone when it is full.
const FULL_PIPE_WAIT: Duration = Duration::from_millis(5);

/// Writes lines to standard output.
#[derive(Debug)]
pub struct Stdout<W = Output> {
    state: Arc<Mutex<State<W>>>,
}

/// The descriptor of standard output, without a buffer of ours in between.
#[derive(Debug)]
pub struct Output {
    file: File,
    is_regular: bool,
}

/// The writer, and a batch that failed half way with the bytes of it that are out: the next attempt goes on from there,
/// so that no line is written twice or torn.
#[derive(Debug)]
struct State<W> {
    writer: W,
    torn: Option<(Arc<Batch>, usize)>,
}

impl Stdout {
    /// Takes standard output.
    ///
    /// # Errors
    /// The system's answer if standard output is closed.
    pub fn new() -> io::Result<Self> {
        #[cfg(unix)]
        let file = {
            use std::os::fd::AsFd as _;
            File::from(io::stdout().as_fd().try_clone_to_owned()?)
        };
        #[cfg(windows)]
        let file = {
            use std::os::windows::io::AsHandle as _;
            File::from(io::stdout().as_handle().try_clone_to_owned()?)
        };
        let is_regular = file.metadata().is_ok_and(|metadata| metadata.is_file());
        Ok(Self::to(Output { file, is_regular }))
    }
}

impl<W: Write + Send + 'static> Stdout<W> {
    /// Writes to `writer`, which must not buffer or must write its buffer out in `flush`.
    pub fn to(writer: W) -> Self {
        Self { state: Arc::new(Mutex::new(State { writer, torn: None })) }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    /// Nothing is buffered; where standard output is a file, a line counts as delivered only once it is on the disk.
    fn flush(&mut self) -> io::Result<()> {
        if self.is_regular { self.file.sync_data() } else { Ok(()) }
    }
}

impl<W: Write + Send + 'static> Sink for Stdout<W> {
    fn deliver(&self, batch: Arc<Batch>) -> BoxFuture<'_, Result<(), SinkError>> {
        let state = Arc::clone(&self.state);
        Box::pin(async move {
            // A reader that does not read blocks the write: off the runtime, so that nothing else waits for it.
            let result = tokio::task::spawn_blocking(move || {
                state.lock().unwrap_or_else(PoisonError::into_inner).write_batch(&batch)
            });
            match result.await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) if error.kind() == ErrorKind::BrokenPipe => {
                    let advice = "the reader of standard output has closed it".to_owned();
                    Err(SinkError::Stop { advice, source: Some(Box::new(error)) })
                }
                Ok(Err(error)) => Err(SinkError::Retry { after: None, source: Box::new(error) }),
                // The task's error quotes the panic, which may quote data.
                Err(_) => {
                    let advice = "writing to standard output panicked; the log says where, please report it".to_owned();
                    Err(SinkError::Stop { advice, source: None })
                }
            }
        })
    }
}

impl<W: Write> State<W> {
    fn write_batch(&mut self, batch: &Arc<Batch>) -> io::Result<()> {
        let mut written = 0;
        if let Some((torn, torn_written)) = self.torn.take() {
            if Arc::ptr_eq(&torn, batch) {
                written = torn_written;
            } else {
                // Its delivery was given up, but its last line still has to end before another can start.
                self.write_from(&torn, torn_written)?;
            }
        }
        self.write_from(batch, written)
    }

    fn write_from(&mut self, batch: &Arc<Batch>, mut written: usize) -> io::Result<()> {
        let mut skip = written;
        let result = batch.parts.iter().try_for_each(|part| {
            let rest = part.bytes().get(skip..).unwrap_or_default();
            skip = skip.saturating_sub(part.bytes().len());
            write_part(&mut self.writer, rest, &mut written)
        });
        let result = result.and_then(|()| self.writer.flush());
        if result.is_err() && written > 0 {
            self.torn = Some((Arc::clone(batch), written));
        }
        result
    }
}

fn write_part(writer: &mut impl Write, mut bytes: &[u8], written: &mut usize) -> io::Result<()> {
    while !bytes.is_empty() {
        match writer.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => {
                *written += count;
                bytes = &bytes[count..];
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Standard output may share a descriptor that someone made non-blocking.
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(FULL_PIPE_WAIT),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Lines;
    use std::collections::VecDeque;

    /// Takes at most so many bytes a write, or fails, as scripted; then takes everything.
    struct Scripted {
        script: VecDeque<io::Result<usize>>,
        out: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Scripted {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = self.script.pop_front().unwrap_or(Ok(usize::MAX))?.min(bytes.len());
            self.out.lock().unwrap().extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn batch(parts: &[&[&str]]) -> Arc<Batch> {
        let lines = |items: &&[&str]| {
            let mut lines = Lines::default();
            items.iter().for_each(|item| lines.push_with(|out| out.extend_from_slice(item.as_bytes())));
            lines
        };
        Arc::new(Batch { parts: parts.iter().map(lines).collect(), range: None })
    }

    #[tokio::test]
    async fn a_write_that_fails_half_way_goes_on_where_it_was() {
        let full = || io::Error::from(ErrorKind::StorageFull);
        let script = VecDeque::from([
            Ok(3),
            Err(ErrorKind::Interrupted.into()),
            Err(ErrorKind::WouldBlock.into()),
            Ok(4),
            Err(full()),
            Ok(1),
            Err(full()),
        ]);
        let out = Arc::<Mutex<Vec<u8>>>::default();
        let sink = Stdout::to(Scripted { script, out: Arc::clone(&out) });
        let (first, second) = (batch(&[&["one", "two"], &[], &["three"]]), batch(&[&["four"]]));
        assert!(matches!(sink.deliver(Arc::clone(&first)).await, Err(SinkError::Retry { .. })));
        assert!(matches!(sink.deliver(Arc::clone(&first)).await, Err(SinkError::Retry { .. })));
        sink.deliver(first).await.unwrap();
        sink.deliver(second).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&out.lock().unwrap()), "one\ntwo\nthree\nfour\n");
    }

    #[tokio::test]
    async fn a_batch_that_was_given_up_does_not_tear_the_next() {
        let script = VecDeque::from([Ok(5), Err(io::Error::from(ErrorKind::StorageFull))]);
        let out = Arc::<Mutex<Vec<u8>>>::default();
        let sink = Stdout::to(Scripted { script, out: Arc::clone(&out) });
        sink.deliver(batch(&[&["one", "two"]])).await.unwrap_err();
        sink.deliver(batch(&[&["three"]])).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&out.lock().unwrap()), "one\ntwo\nthree\n");
    }

    #[tokio::test]
    async fn a_closed_pipe_ends_it_quietly() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let error = Stdout::to(writer).deliver(batch(&[&["one"]])).await.unwrap_err();
        assert!(error.is_closed_pipe(), "{error:?}");
    }

    #[tokio::test]
    async fn a_full_disk_is_tried_again() {
        let Ok(full) = File::options().write(true).open("/dev/full") else { return };
        let sink = Stdout::to(full);
        let error = sink.deliver(batch(&[&["one"]])).await.unwrap_err();
        assert!(matches!(&error, SinkError::Retry { .. }), "{error:?}");
    }
}
