//! A file as a sink: lines are appended and synced before they count as delivered; rotated by size and age; optionally
//! gzip, where each batch is a complete member, so that the file can be read at any time.
//!
//! A batch is acknowledged only after its last newline (or its whole gzip member) is on the disk. What a crash leaves
//! behind the last newline was therefore never acknowledged and is delivered again: it is cut off on start, so that no
//! torn line is ever glued to the next.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use tokio::runtime::Handle;
use tracing::{info, warn};

use self::append::Appender;
use self::open::Opened;
use super::{Batch, Planned, Sink, SinkError, opening};
use crate::format::Lines;
use crate::source::BoxFuture;

mod append;
mod member;
mod open;

/// Where and how the file is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The file; with `gzip`, `.gz` is added to its name unless it ends so. Its directories are created.
    pub path: PathBuf,
    /// The file is set aside once its lines, before compression, would grow over this. A batch is never split over two
    /// files.
    pub rotate_bytes: Option<u64>,
    /// The file is set aside this long after its first line, also if nothing more comes. Needs a runtime.
    pub rotate_age: Option<Duration>,
    /// Whether batches are written as gzip members.
    pub gzip: bool,
}

/// Appends lines to a file.
#[derive(Debug)]
pub struct FileSink {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    path: PathBuf,
    settings: Settings,
    /// Missing after a rotation or a lost file until the next batch opens it again.
    current: Option<Current>,
}

#[derive(Debug)]
struct Current {
    appender: Appender<std::fs::File>,
    content_bytes: u64,
    begun: SystemTime,
}

impl FileSink {
    /// Opens the file for this process alone and mends what a crash left behind.
    ///
    /// # Errors
    /// [`SinkError::Stop`] if the file cannot be written or another process writes to it.
    pub fn open(settings: Settings) -> Result<Self, SinkError> {
        let path = path_of(&settings);
        let mut state = State { path, settings, current: None };
        match state.current() {
            Ok(_) => {
                let rotate_age = state.settings.rotate_age;
                let state = Arc::new(Mutex::new(state));
                if let (Some(age), Ok(runtime)) = (rotate_age, Handle::try_current()) {
                    runtime.spawn(set_aside_when_old(Arc::downgrade(&state), age));
                }
                Ok(Self { state })
            }
            Err(error) => Err(SinkError::Stop {
                advice: format!("cannot write to {}{}", state.path.display(), open::advice(&error)),
                source: Some(Box::new(error)),
            }),
        }
    }
}

/// A file as it is configured.
pub fn planned(settings: Settings) -> Planned {
    Planned::local(opening(async {
        let opened = tokio::task::spawn_blocking(move || FileSink::open(settings)).await;
        // The error of a task that panicked quotes the panic, which may quote data.
        let opened = opened.map_err(|_| anyhow::anyhow!("a task panicked; the log says where, please report it"))?;
        Ok(opened?)
    }))
}

impl Sink for FileSink {
    fn deliver(&self, batch: Arc<Batch>) -> BoxFuture<'_, Result<(), SinkError>> {
        let state = Arc::clone(&self.state);
        Box::pin(async move {
            let result = tokio::task::spawn_blocking(move || {
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                state.deliver(&batch).map_err(|error| WriteError { path: state.path.clone(), source: error })
            });
            match result.await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(SinkError::Retry { after: None, source: Box::new(error) }),
                // The task's error quotes the panic, which may quote data.
                Err(_) => {
                    let advice = "writing to a file panicked; the log says where, please report it".to_owned();
                    Err(SinkError::Stop { advice, source: None })
                }
            }
        })
    }
}

/// The system's answer, with the path that it lacks.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to {}", path.display())]
struct WriteError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl State {
    fn deliver(&mut self, batch: &Batch) -> io::Result<()> {
        if batch.total_bytes() == 0 {
            return Ok(());
        }
        let lines = || batch.parts.iter().map(Lines::bytes);
        if self.settings.gzip {
            let member = member::compress(lines())?;
            self.append(std::iter::once(member.as_slice()), batch.total_bytes() as u64)
        } else {
            self.append(lines(), batch.total_bytes() as u64)
        }
    }

    /// Appends chunks that hold so many bytes of lines.
    fn append<'a>(&mut self, chunks: impl Iterator<Item = &'a [u8]>, content_bytes: u64) -> io::Result<()> {
        if self.current.as_ref().is_some_and(|current| !open::is_at(current.appender.medium(), &self.path)) {
            // Someone moved the file away, as log rotation does: what is delivered from now on belongs to a new one.
            self.current = None;
        }
        let limit = self.settings.rotate_bytes.unwrap_or(u64::MAX);
        let rotate_age = self.settings.rotate_age;
        let current = self.current()?;
        let is_full = !current.is_empty() && current.content_bytes.saturating_add(content_bytes) > limit;
        if is_full || current.is_old(rotate_age) {
            self.rotate()?;
        }
        let current = self.current()?;
        if current.is_empty() {
            current.begun = SystemTime::now();
        }
        current.appender.append(chunks)?;
        current.content_bytes += content_bytes;
        Ok(())
    }

    fn current(&mut self) -> io::Result<&mut Current> {
        if self.current.is_none() {
            let mut opened = Opened::open(&self.path)?;
            if opened.mend(&self.path, self.settings.gzip)? {
                // A damaged file is kept as it is; what can be read of it is not ours to judge.
                set_aside(&self.path)?;
                opened = Opened::open(&self.path)?;
            }
            let Opened { file, length, content_bytes, begun } = opened;
            let mut appender = Appender::new(file, length);
            appender.mend()?;
            self.current = Some(Current { appender, content_bytes, begun });
        }
        self.current.as_mut().ok_or_else(|| io::Error::other("the file is not open"))
    }

    fn rotate(&mut self) -> io::Result<()> {
        set_aside(&self.path)?;
        self.current = None;
        Ok(())
    }
}

impl Current {
    fn is_empty(&self) -> bool {
        self.appender.durable_bytes() == 0
    }

    fn is_old(&self, rotate_age: Option<Duration>) -> bool {
        // A clock that was set back makes no file old.
        let is_old = rotate_age.is_some_and(|limit| self.begun.elapsed().is_ok_and(|age| age >= limit));
        is_old && !self.is_empty()
    }
}

/// Looks once in a while whether the file is old, for as long as there is a sink: whoever collects files that are set
/// aside also waits for those of a quiet time.
async fn set_aside_when_old(state: Weak<Mutex<State>>, rotate_age: Duration) {
    let pause = (rotate_age / 10).clamp(Duration::from_millis(10), Duration::from_secs(60));
    loop {
        tokio::time::sleep(pause).await;
        let Some(state) = state.upgrade() else { return };
        let looked = tokio::task::spawn_blocking(move || {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            let is_old = state.current.as_ref().is_some_and(|current| current.is_old(Some(rotate_age)));
            if is_old && let Err(error) = state.rotate().and_then(|()| state.current().map(drop)) {
                // The next batch tries again, and holds if it fails.
                warn!(file = %state.path.display(), %error, "cannot set the file aside");
            }
        });
        if looked.await.is_err() {
            return;
        }
    }
}

/// Renames the file to `<stem>-<UTC time>-<number><extension>`, a name that nothing has.
fn set_aside(path: &Path) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // Both endings of `calls.jsonl.gz` stay at the end.
    let without_gz = name.strip_suffix(".gz").unwrap_or(&name);
    let stem_length = without_gz.rfind('.').filter(|&at| at > 0).unwrap_or(without_gz.len());
    let (stem, extension) = name.split_at(stem_length);
    let time = Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    for number in 0..=u32::MAX {
        let target = path.with_file_name(format!("{stem}-{time}-{number}{extension}"));
        if target.symlink_metadata().is_ok() {
            continue;
        }
        std::fs::rename(path, &target)?;
        open::sync_directory(path)?;
        info!(file = %path.display(), to = %target.display(), "rotated");
        return Ok(());
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

fn path_of(settings: &Settings) -> PathBuf {
    if !settings.gzip || settings.path.extension().is_some_and(|extension| extension == "gz") {
        return settings.path.clone();
    }
    let mut name = settings.path.clone().into_os_string();
    name.push(".gz");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests;
