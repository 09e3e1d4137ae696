//! The memory: what detection remembers of events, stored before any position behind them is. A crash then forgets
//! nothing that is not read again, and what is read again is known already.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::warn;

use super::commit::COMMIT_INTERVAL;
use super::{Announcement, Delivered};
use crate::checkpoint::{Changes, CheckpointError, Commits, Entries, Heritage, Kept, Stored};
use crate::detect::Detector;
use crate::detect::state::Restored;
use crate::record::{Partition, Position};
use crate::sink::retry::Causes;
use crate::source::BoxFuture;

/// The pace of saves for positions on the way, for which nobody waits: that of the commits of one partition.
const PACE: Duration = COMMIT_INTERVAL;

/// A store is left alone for so many times what the last save took, so that whoever waits for an answer (a request, the
/// end of a file) waits no longer, and many of them share a save.
const REST: u32 = 4;

/// The shortest and the longest rest.
const RESTS: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// Entries on their way from the store at the start.
const ENTRIES_AHEAD: usize = 64;

/// How long to wait for another look at somebody who has not been heard of.
const DOUBT: Duration = Duration::from_secs(1);

/// What the log says where it cannot be taken up what others have left.
const NOT_TAKEN_UP: &str =
    "cannot look for what others have left of what detection remembers; windows of theirs may begin anew";

/// Saves what a detector remembers.
pub struct Memory {
    detector: Arc<Detector>,
    store: Arc<dyn Entries>,
    /// Saves that were asked for.
    asked: AtomicU64,
    saving: Mutex<Saving>,
    /// When the last look at what others have left began, and what it found.
    looked: Mutex<Option<(Instant, Heritage)>>,
}

/// What the one who saves has in its hands.
#[derive(Default)]
struct Saving {
    /// What changed and is not known to be durable.
    changes: Arc<Changes>,
    /// Saves up to this one are done.
    saved: u64,
    /// When the last one was done, and when the next may begin.
    rested: Option<(Instant, Instant)>,
}

impl Memory {
    /// Keeps in `store` what `detector` remembers.
    pub fn new(detector: Arc<Detector>, store: Arc<dyn Entries>) -> Self {
        Self { detector, store, asked: AtomicU64::new(0), saving: Mutex::default(), looked: Mutex::default() }
    }

    /// Takes up what was remembered before. Comes before anything is observed.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn recall(&self) -> Result<Restored, CheckpointError> {
        let (sender, entries) = sync_channel(ENTRIES_AHEAD);
        let (detector, rules) = (Arc::clone(&self.detector), self.detector.rules());
        let restoring = tokio::task::spawn_blocking(move || detector.state().restore(&rules, entries.into_iter()));
        self.store.recall(sender).await?;
        let restored = restoring.await.map_err(|_| panicked())?;
        let (_, inherited) = self.inherit().await?;
        Ok(restored + inherited)
    }

    /// Takes up what others have left behind, makes it durable, and lets go of it where it was. Taken up twice, it counts
    /// once.
    async fn inherit(&self) -> Result<(Heritage, Restored), CheckpointError> {
        let asked = Instant::now();
        let mut looked = self.looked.lock().await;
        // One look serves all who asked before it began: the lanes of many shards begin together.
        if let Some((begun, heritage)) = *looked
            && begun >= asked
        {
            return Ok((heritage, Restored::default()));
        }
        let begun = Instant::now();
        let (sender, entries) = sync_channel::<(Vec<u8>, Vec<u8>)>(ENTRIES_AHEAD);
        let (detector, rules) = (Arc::clone(&self.detector), self.detector.rules());
        let adopting = tokio::task::spawn_blocking(move || {
            let mut adopted = Restored::default();
            while let Ok(first) = entries.recv() {
                // A few at a time, so that those who observe do not wait for the store.
                let few: Vec<_> = std::iter::once(first).chain(entries.try_iter().take(ENTRIES_AHEAD)).collect();
                adopted = adopted + detector.state().adopt(&rules, few.into_iter());
            }
            adopted
        });
        let heritage = self.store.inherit(sender).await?;
        let adopted = adopting.await.map_err(|_| panicked())?;
        match heritage {
            Heritage::None | Heritage::Doubtful => {}
            Heritage::Some => {
                self.save().await?;
                self.store.inherited().await?;
            }
            Heritage::Lost => {
                self.store_anew().await;
                self.save().await?;
            }
        }
        *looked = Some((begun, heritage));
        Ok((heritage, adopted))
    }

    /// The next save stores everything.
    async fn store_anew(&self) {
        let mut saving = self.saving.lock().await;
        saving.changes = Arc::default();
        self.detector.state().store_anew();
    }

    /// Takes up what others have left behind, before anything is read that may have been theirs: whoever is in doubt is
    /// waited for. What cannot be taken up now is later.
    pub(super) async fn before_reading(&self) {
        let Some(wait) = self.store.looks() else { return };
        loop {
            match self.inherit().await {
                Ok((Heritage::Doubtful, _)) => tokio::time::sleep(wait.min(DOUBT)).await,
                Ok(_) => return,
                Err(error) => return warn!(error = %Causes(&error), "{NOT_TAKEN_UP}"),
            }
        }
    }

    /// Takes up what others have left behind by now.
    ///
    /// # Errors
    /// The store does not answer. Nothing is lost: the next look has it.
    pub async fn look(&self) -> Result<(), CheckpointError> {
        self.inherit().await.map(|_| ())
    }

    /// Takes up what others leave behind, for as long as this is polled.
    pub async fn keep(&self) {
        let Some(wait) = self.store.looks() else { return std::future::pending().await };
        loop {
            tokio::time::sleep(wait).await;
            if let Err(error) = self.look().await {
                warn!(error = %Causes(&error), "{NOT_TAKEN_UP}");
            }
        }
    }

    /// Nothing more is observed, and everything is saved: others may have it at once.
    ///
    /// # Errors
    /// The store does not answer; others have it later.
    pub async fn release(&self) -> Result<(), CheckpointError> {
        self.store.release().await
    }

    /// Makes everything durable that was observed before this was called. One save serves all who wait for one.
    ///
    /// # Errors
    /// The store did not take it. Nothing is forgotten: the next save has it.
    pub async fn save(&self) -> Result<(), CheckpointError> {
        let mine = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        self.save_for(mine).await
    }

    /// The same where nobody waits: at the pace of commits, unless somebody else who waits is served before.
    async fn save_some_time(&self) -> Result<(), CheckpointError> {
        let mine = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let last = self.saving.lock().await.rested.map(|(done, _)| done);
        if let Some(last) = last {
            tokio::time::sleep_until(last + PACE.max(self.store.pace())).await;
        }
        self.save_for(mine).await
    }

    async fn save_for(&self, mine: u64) -> Result<(), CheckpointError> {
        let mut saving = self.saving.lock().await;
        if saving.saved >= mine {
            return Ok(());
        }
        let mut served = self.gather(&mut saving);
        // Nothing has to rest for what is saved already.
        if !saving.changes.is_empty()
            && let Some((_, next)) = saving.rested
        {
            tokio::time::sleep_until(next).await;
            served = self.gather(&mut saving);
        }
        if saving.changes.is_empty() {
            saving.saved = served;
            return Ok(());
        }
        let begun = Instant::now();
        let stored = self.store.remember(Arc::clone(&saving.changes)).await;
        let done = Instant::now();
        saving.rested = Some((done, done + (begun.elapsed() * REST).clamp(RESTS.0, RESTS.1)));
        let mut kept = stored?;
        if kept == Kept::Nothing {
            saving.changes = Arc::default();
            self.detector.state().store_anew();
            served = self.gather(&mut saving);
            kept = self.store.remember(Arc::clone(&saving.changes)).await?;
        }
        if kept == Kept::Nothing {
            let source = "others take it for left behind again and again".into();
            return Err(CheckpointError::Retry { store: "of what is remembered".to_owned(), source });
        }
        saving.changes = Arc::default();
        saving.saved = served;
        Ok(())
    }

    /// Takes what has changed, and gives the last save that it serves.
    fn gather(&self, saving: &mut Saving) -> u64 {
        // Whoever has asked by now observed before what is taken here.
        let served = self.asked.load(Ordering::SeqCst);
        let changes = self.detector.state().changes();
        if !changes.is_empty() {
            let known = Arc::make_mut(&mut saving.changes);
            known.extend(changes.into_iter().map(|change| (change.key, change.value)));
        }
        served
    }
}

fn panicked() -> CheckpointError {
    CheckpointError::Fatal {
        store: "of what is remembered".to_owned(),
        advice: "reading it panicked; the log says where, please report it".to_owned(),
        source: None,
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
            match delivered.position() {
                Position::End => self.memory.save().await?,
                _ => self.memory.save_some_time().await?,
            }
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Mutex as Held;
    use std::sync::atomic::AtomicBool;
    use std::sync::mpsc::SyncSender;

    use super::*;
    use crate::checkpoint::memory;
    use crate::config::RuleFile;
    use crate::delivery::delivered_for_test;
    use crate::detect::{Finding, Rule, state};
    use crate::record::ShardId;

    /// Entries in memory, with the number of saves; it fails when told so.
    #[derive(Default)]
    struct Shelf {
        entries: Held<BTreeMap<Vec<u8>, Vec<u8>>>,
        saves: AtomicU64,
        fails: AtomicBool,
    }

    impl Entries for Shelf {
        fn recall(&self, entries: SyncSender<(Vec<u8>, Vec<u8>)>) -> BoxFuture<'_, Result<(), CheckpointError>> {
            let all = self.entries.lock().unwrap().clone();
            Box::pin(async move {
                tokio::task::spawn_blocking(move || all.into_iter().for_each(|entry| entries.send(entry).unwrap()))
                    .await
                    .unwrap();
                Ok(())
            })
        }

        fn remember(&self, changes: Arc<Changes>) -> BoxFuture<'_, Result<Kept, CheckpointError>> {
            Box::pin(async move {
                // A disk takes its time.
                tokio::time::sleep(Duration::from_millis(5)).await;
                self.saves.fetch_add(1, Ordering::SeqCst);
                if self.fails.load(Ordering::SeqCst) {
                    return Err(CheckpointError::Retry { store: "shelf".into(), source: "it fails".into() });
                }
                let mut entries = self.entries.lock().unwrap();
                for (key, value) in changes.iter() {
                    match value {
                        Some(value) => drop(entries.insert(key.clone(), value.clone())),
                        None => drop(entries.remove(key)),
                    }
                }
                Ok(Kept::Changes)
            })
        }
    }

    fn rule() -> Arc<Rule> {
        let text = "id = 'a.b'\nname = 'n'\ndescription = 'd'\nseverity = 'low'\nmatch = 'true'\ntitle = 't'\n\
                    group_by = ['event.accountId']\nthreshold = 2\n";
        RuleFile::parse(text, "t.toml").unwrap_or_else(|error| panic!("{error}")).1
    }

    fn observe(detector: &Detector, rule: &Arc<Rule>, account: &str, event: &str) {
        let time = "2026-01-02T03:04:05Z".parse().unwrap();
        let finding = Finding {
            rule: Arc::clone(rule),
            severity: rule.severity,
            title: "t".into(),
            dedup: account.into(),
            group: vec![("accountId".into(), account.into())],
            context: Vec::new(),
            time,
            event_id: event.into(),
            request_id: None,
            measures: Vec::new(),
        };
        assert!(detector.state().observe(&finding, time));
    }

    fn memory(rule: &Arc<Rule>, shelf: &Arc<Shelf>) -> (Arc<Detector>, Memory) {
        let detector = Arc::new(Detector::new(std::slice::from_ref(rule), state::Limits::default()));
        let memory = Memory::new(Arc::clone(&detector), Arc::clone(shelf) as Arc<dyn Entries>);
        (detector, memory)
    }

    #[tokio::test(start_paused = true)]
    async fn one_save_serves_all_who_wait() {
        let (rule, shelf) = (rule(), Arc::<Shelf>::default());
        let (detector, memory) = memory(&rule, &shelf);
        memory.save().await.unwrap();
        assert_eq!(shelf.saves.load(Ordering::SeqCst), 0, "there is nothing to save");
        observe(&detector, &rule, "1", "a");
        let (first, second, third) = tokio::join!(memory.save(), memory.save(), memory.save());
        assert!(first.is_ok() && second.is_ok() && third.is_ok());
        assert_eq!(shelf.saves.load(Ordering::SeqCst), 1);
        let begun = Instant::now();
        observe(&detector, &rule, "1", "b");
        memory.save().await.unwrap();
        assert_eq!(shelf.saves.load(Ordering::SeqCst), 2);
        assert!(begun.elapsed() >= RESTS.0 && begun.elapsed() < RESTS.1, "{:?}", begun.elapsed());
        // Nobody waits for this one, and it is served by the one behind it.
        observe(&detector, &rule, "1", "c");
        let begun = Instant::now();
        let patient = async {
            memory.save_some_time().await.unwrap();
            begun.elapsed()
        };
        let (waited, saved) = tokio::join!(patient, memory.save());
        assert!(saved.is_ok() && waited > PACE / 2, "{waited:?}");
        assert_eq!(shelf.saves.load(Ordering::SeqCst), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_save_loses_no_change_and_holds_the_position_back() {
        let (rule, shelf) = (rule(), Arc::<Shelf>::default());
        let (detector, memory) = memory(&rule, &shelf);
        let positions = memory::Memory::default();
        let remembering = Remembering { memory: &memory, positions: &positions };
        let partition = Partition { stream: "a".into(), shard: ShardId::new("1") };
        let delivered = || delivered_for_test(partition.clone(), Position::Offset(1));
        observe(&detector, &rule, "1", "a");
        shelf.fails.store(true, Ordering::SeqCst);
        let error = remembering.commit(delivered()).await.unwrap_err();
        assert!(matches!(error, CheckpointError::Retry { .. }));
        assert_eq!(remembering.stored(&partition).await.unwrap(), Stored::default());
        shelf.fails.store(false, Ordering::SeqCst);
        remembering.commit(delivered()).await.unwrap();
        assert_eq!(remembering.stored(&partition).await.unwrap().position, Some(Position::Offset(1)));
        assert!(!shelf.entries.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn what_was_saved_is_known_to_the_next() {
        let (rule, shelf) = (rule(), Arc::<Shelf>::default());
        let (detector, first) = memory(&rule, &shelf);
        observe(&detector, &rule, "1", "a");
        first.save().await.unwrap();
        let (detector, second) = memory(&rule, &shelf);
        let restored = second.recall().await.unwrap();
        assert!(restored.kept > 0 && restored.dropped == 0);
        // Seen before, it does not count a second time.
        let now = "2026-01-02T03:05:00Z".parse().unwrap();
        observe(&detector, &rule, "1", "a");
        assert!(detector.state().take_due(now).is_empty());
        observe(&detector, &rule, "1", "b");
        assert_eq!(detector.state().take_due(now).len(), 1);
    }
}
