//! A list of objects as a source: what is below a prefix and of a time, read once. Each folder that holds objects is a
//! partition of its own, and several are read at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;
use tracing::info;

use self::folder::FolderSource;
use self::pages::{Listed, Lister};
use self::walk::{Folder, Walk};
use super::choice::Choice;
use super::object::Objects;
use crate::budget::Budget;
use crate::checkpoint::{CheckpointError, CheckpointStore, Commits, Stored};
use crate::delivery::{Announcement, Delivered, LaneError, Lanes};
use crate::record::{Partition, Position, ShardId};
use crate::source::BoxFuture;
use crate::source::several::{Progress, Several};

pub mod dates;
mod folder;
mod pages;
mod walk;

/// Keys of a page: the most that S3 gives. Source: the S3 API reference, `ListObjectsV2`.
pub const PAGE_KEYS: i32 = 1000;

/// A call is written to the folder of the hour in which it ends, or of the next one.
const LATE: SignedDuration = SignedDuration::from_hours(1);

/// What is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The bucket's name.
    pub bucket: Arc<str>,
    /// What keys begin with; empty is the whole bucket.
    pub prefix: Arc<str>,
    /// The times of the calls.
    pub range: Range,
    /// Which objects are read.
    pub choice: Choice,
    /// The folders that are read at a time.
    pub concurrency: usize,
    /// The bytes that a record may have after inflating; see [`crate::pipeline::Limits`].
    pub max_inflated_bytes: usize,
    /// The stream that the positions of the folders are stored under.
    pub stream: Arc<str>,
    /// Keys of a page, 1 to [`PAGE_KEYS`].
    pub page_keys: i32,
}

/// Times of calls: from one, included, to another, excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The oldest.
    pub from: Timestamp,
    /// The one behind the newest.
    pub to: Timestamp,
}

impl Range {
    /// All that there is.
    pub const ALL: Self = Self { from: Timestamp::MIN, to: Timestamp::MAX };

    /// When the newest calls are written at the latest.
    fn end(self) -> Timestamp {
        self.to.checked_add(LATE).unwrap_or(Timestamp::MAX)
    }

    /// Whether a folder of this date may hold calls of these times.
    fn reaches(self, span: dates::Span) -> bool {
        span.overlaps(self.from, self.end())
    }
}

/// Which of the objects that are listed are read.
#[derive(Clone)]
struct Wanted {
    range: Range,
    choice: Arc<Choice>,
    bucket: Arc<str>,
}

impl Wanted {
    /// Whether an object is read. A folder's date decides, or the time at which the object was written.
    fn takes(&self, folder: &Folder, object: &Listed) -> bool {
        // S3 tells whole seconds.
        let is_since_from =
            |modified: Timestamp| modified.duration_until(self.range.from) < SignedDuration::from_secs(1);
        let is_of_time = match (folder.span, object.modified) {
            (Some(span), _) => self.range.reaches(span),
            (None, Some(modified)) => is_since_from(modified) && modified < self.range.end(),
            (None, None) => true,
        };
        is_of_time && self.choice.skip(&self.bucket, &object.key, object.bytes).is_none()
    }
}

/// How objects are reached and read.
#[derive(Clone)]
struct Reach {
    objects: Objects,
    bucket: Arc<str>,
    max_inflated_bytes: usize,
}

/// Who runs the folders that may get more objects, and keeps no end of them.
#[derive(Clone)]
pub struct Growing {
    /// Runs them, and commits to `store`.
    pub lanes: Arc<dyn Lanes>,
    /// Keeps their last key instead of their end.
    pub store: Arc<Endless>,
}

/// Who runs folders.
#[derive(Clone)]
pub struct Runners {
    /// Runs those that are read once and for all.
    pub lanes: Arc<dyn Lanes>,
    /// Runs those that may get more objects; none is as those above.
    pub growing: Option<Growing>,
}

/// Reads all that there is to its end, or until `stop`, which the lanes look at too. Whether everything was delivered.
///
/// # Errors
/// The first error of a lane or of the listing, once the lanes that were running have ended.
pub async fn run(
    settings: Settings,
    objects: Objects,
    runners: Runners,
    checkpoints: Arc<dyn CheckpointStore>,
    budget: Budget,
    progress: Arc<Progress>,
    stop: CancellationToken,
) -> Result<bool, LaneError> {
    let Settings { bucket, prefix, range, choice, stream, .. } = settings;
    let stored: HashMap<_, _> = checkpoints.load(&stream).await?.into_iter().collect();
    let lister = Lister::new(objects.clone(), Arc::clone(&bucket), settings.page_keys);
    let reach = Reach { objects, bucket, max_inflated_bytes: settings.max_inflated_bytes };
    let wanted = Wanted { range, choice: Arc::new(choice), bucket: Arc::clone(&reach.bucket) };
    let mut walk = Walk::new(lister.clone(), prefix, wanted.clone());
    let mut several = Several::new(settings.concurrency, Arc::clone(&progress), stop.clone());
    let listed = loop {
        let folder = match stop.run_until_cancelled(walk.next()).await {
            None => break Ok(()),
            Some(Err(error)) => break Err(error),
            Some(Ok(None)) => {
                progress.all_found();
                break Ok(());
            }
            Some(Ok(Some(folder))) => folder,
        };
        progress.add_found(1);
        let partition = Partition { stream: Arc::clone(&stream), shard: ShardId::new(Arc::clone(&folder.prefix)) };
        let position = stored.get(&partition).cloned();
        if position == Some(Position::End) {
            progress.add_before();
            continue;
        }
        if !several.has_room().await {
            break Ok(());
        }
        let may_grow = folder.span.is_none_or(|span| Timestamp::now() < Range { to: span.to, ..range }.end());
        let growing = runners.growing.as_ref().filter(|_| may_grow);
        let lanes = Arc::clone(growing.map_or(&runners.lanes, |growing| &growing.lanes));
        let ending = growing.map(|growing| (Arc::clone(&growing.store), partition.clone()));
        let (lister, reach, progress) = (lister.clone(), reach.clone(), Arc::clone(&progress));
        let source = FolderSource::new(lister, reach, budget.clone(), (folder, wanted.clone()), position, progress);
        several.begin(lanes, partition, Box::new(source.ending(ending)));
    };
    if listed.is_err() {
        stop.cancel();
    }
    let is_whole = several.finish().await?;
    listed?;
    let seen = progress.look();
    if seen.before > 0 {
        info!(folders = seen.before, "folders that were delivered to their end before are not read again");
    }
    let is_whole = is_whole && seen.is_all_found;
    if is_whole {
        progress.complete();
    }
    Ok(is_whole)
}

/// A store that does not keep the ends of partitions but the last positions that are settled: what comes behind those later
/// is read by the next run.
pub struct Endless {
    store: Arc<dyn CheckpointStore>,
    last: Mutex<HashMap<Partition, Position>>,
}

impl Endless {
    /// Keeps positions in `store`.
    pub fn new(store: Arc<dyn CheckpointStore>) -> Self {
        Self { store, last: Mutex::default() }
    }

    /// Notes the position at which a partition ends for now.
    fn note(&self, partition: Partition, last: Position) {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).insert(partition, last);
    }
}

impl Commits for Endless {
    fn commit(&self, delivered: Delivered) -> BoxFuture<'_, Result<(), CheckpointError>> {
        if *delivered.position() != Position::End {
            return self.store.commit(delivered);
        }
        // It stays until the lane has ended: a commit that fails is tried again.
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).get(delivered.partition()).cloned();
        match last {
            Some(last) => self.store.commit(delivered.short_of_end(last)),
            None => Box::pin(std::future::ready(Ok(()))),
        }
    }

    fn announce(&self, announcement: Announcement) -> BoxFuture<'_, Result<(), CheckpointError>> {
        self.store.announce(announcement)
    }

    fn stored(&self, partition: &Partition) -> BoxFuture<'_, Result<Stored, CheckpointError>> {
        self.store.stored(partition)
    }
}
