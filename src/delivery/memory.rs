//! The memory: what detection remembers of events, stored before any position behind them is. A crash then forgets
//! nothing that is not read again, and what is read again is known already.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::{Announcement, Delivered};
use crate::checkpoint::{Changes, CheckpointError, Commits, Entries, Stored};
use crate::detect::state::Restored;
use crate::detect::{Detector, Rule};
use crate::record::Partition;
use crate::source::BoxFuture;

/// The least time between two saves. Partitions store their positions once a second each, at times of their own; within
/// this time they share a save, and whoever waits for an answer (a request, the end of a file) waits no longer.
const PACE: Duration = Duration::from_millis(100);

/// A slow store is left alone for so many times what the last save took, up to [`LONGEST_PACE`].
const REST: u32 = 4;

/// The longest time between two saves that are wanted.
const LONGEST_PACE: Duration = Duration::from_secs(1);

/// Entries on their way from the store at the start.
const ENTRIES_AHEAD: usize = 64;

/// Saves what a detector remembers.
pub struct Memory {
    detector: Arc<Detector>,
    store: Arc<dyn Entries>,
    /// Saves that were asked for.
    asked: AtomicU64,
    saving: Mutex<Saving>,
}

/// What the one who saves has in its hands.
#[derive(Default)]
struct Saving {
    /// What changed and is not known to be durable.
    changes: Arc<Changes>,
    /// Saves up to this one are done.
    saved: u64,
    /// When the next one may begin.
    next: Option<Instant>,
}

impl Memory {
    /// Keeps in `store` what `detector` remembers.
    pub fn new(detector: Arc<Detector>, store: Arc<dyn Entries>) -> Self {
        Self { detector, store, asked: AtomicU64::new(0), saving: Mutex::default() }
    }

    /// Takes up what was remembered before. Comes before anything is observed.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn recall(&self, rules: Vec<Arc<Rule>>) -> Result<Restored, CheckpointError> {
        let (sender, entries) = sync_channel(ENTRIES_AHEAD);
        let detector = Arc::clone(&self.detector);
        let restoring = tokio::task::spawn_blocking(move || detector.state().restore(&rules, entries.into_iter()));
        self.store.recall(sender).await?;
        restoring.await.map_err(|_| CheckpointError::Fatal {
            store: "of what is remembered".to_owned(),
            advice: "reading it panicked; the log says where, please report it".to_owned(),
            source: None,
        })
    }

    /// Makes everything durable that was observed before this was called. One save serves all who wait for one.
    ///
    /// # Errors
    /// The store did not take it. Nothing is forgotten: the next save has it.
    pub async fn save(&self) -> Result<(), CheckpointError> {
        let mine = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let mut saving = self.saving.lock().await;
        if saving.saved >= mine {
            return Ok(());
        }
        if let Some(next) = saving.next {
            tokio::time::sleep_until(next).await;
        }
        // Whoever has asked by now observed before what is taken here.
        let served = self.asked.load(Ordering::SeqCst);
        let changes = self.detector.state().changes();
        if !changes.is_empty() {
            let known = Arc::make_mut(&mut saving.changes);
            known.extend(changes.into_iter().map(|change| (change.key, change.value)));
        }
        if saving.changes.is_empty() {
            saving.saved = served;
            return Ok(());
        }
        let begun = Instant::now();
        let stored = self.store.remember(Arc::clone(&saving.changes)).await;
        saving.next = Some(Instant::now() + (begun.elapsed() * REST).clamp(PACE, LONGEST_PACE));
        stored?;
        saving.changes = Arc::default();
        saving.saved = served;
        Ok(())
    }
}

/// Positions, each behind what is remembered up to there.
pub(super) struct Remembering<'a> {
    pub(super) memory: &'a Memory,
    pub(super) positions: &'a dyn Commits,
}

impl Commits for Remembering<'_> {
    fn commit(&self, delivered: Delivered) -> BoxFuture<'_, Result<(), CheckpointError>> {
        Box::pin(async {
            self.memory.save().await?;
            self.positions.commit(delivered).await
        })
    }

    fn announce(&self, announcement: Announcement) -> BoxFuture<'_, Result<(), CheckpointError>> {
        Box::pin(async {
            // What was delivered before is stored with it.
            if announcement.delivered().is_some() {
                self.memory.save().await?;
            }
            self.positions.announce(announcement).await
        })
    }

    fn stored(&self, partition: &Partition) -> BoxFuture<'_, Result<Stored, CheckpointError>> {
        self.positions.stored(partition)
    }
}
