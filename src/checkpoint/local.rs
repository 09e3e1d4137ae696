//! Checkpoints in an embedded database on the local disk, for one process at a time. A thread of its own writes: all
//! commits that wait are stored in one transaction, so that many partitions share one sync.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;

use redb::{Database, DatabaseError, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use tokio::sync::{mpsc, oneshot};

use super::{Changes, CheckpointError, CheckpointStore, Commits, Entries, Kept, Stored, decode, encode, moves};
use crate::delivery::{Announcement, Delivered};
use crate::record::{Partition, Position, ShardId};
use crate::source::BoxFuture;

/// The database's name in its directory.
const FILE_NAME: &str = "positions.redb";

/// The file whose lock says who has the directory. Making the database takes several steps, which only the owner of this
/// lock takes.
const LOCK_NAME: &str = "positions.lock";

/// Stream and shard to position.
const POSITIONS: TableDefinition<'static, (&str, &str), &str> = TableDefinition::new("positions");

/// Stream and shard to the end of the range that is about to be written.
const ANNOUNCED: TableDefinition<'static, (&str, &str), &str> = TableDefinition::new("announced");

/// What is remembered of events, by keys that only their owner can read.
const ENTRIES: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("entries");

/// Requests that wait for the writer: one a partition is usual, and a stream rarely has more shards.
const QUEUE_REQUESTS: usize = 1024;

/// The database's page cache: all positions of thousands of shards fit.
const CACHE_BYTES: usize = 1 << 20;

/// Where the positions are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The directory; it is created.
    pub directory: PathBuf,
}

/// Positions in a file, locked for this process. Dropping it waits until the file is closed: the next to open it, in
/// this process or another, finds it free and has nothing to repair.
#[derive(Debug)]
pub struct Local {
    name: Arc<str>,
    requests: Option<mpsc::Sender<Request>>,
    writer: Option<JoinHandle<()>>,
    /// Held for as long as the database is open.
    _lock: File,
}

impl Drop for Local {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(writer) = self.writer.take() {
            // A writer that panicked was told of by the log.
            let _ = writer.join();
        }
    }
}

#[derive(Debug)]
enum Request {
    Load { stream: String, reply: Reply<Vec<(Partition, Position)>> },
    Stored { partition: Partition, reply: Reply<Stored> },
    Store { store: Store, reply: Reply<()> },
    Recall { entries: SyncSender<(Vec<u8>, Vec<u8>)>, reply: Reply<()> },
    Remember { changes: Arc<Changes>, reply: Reply<()> },
}

type Reply<T> = oneshot::Sender<Result<T, CheckpointError>>;

impl Local {
    /// Opens or creates the database. Blocks while the disk works; a store of any real size opens at once.
    ///
    /// # Errors
    /// [`CheckpointError::Fatal`]: another process has it, it is damaged, or the directory cannot be written.
    pub fn open(settings: &Settings) -> Result<Self, CheckpointError> {
        let path = settings.directory.join(FILE_NAME);
        let name = Arc::<str>::from(path.display().to_string());
        let lock = lock(&settings.directory, &name)?;
        if !path.exists() {
            make(&path, &name)?;
        }
        let database = open(&path, &name)?;
        let (requests, queue) = mpsc::channel(QUEUE_REQUESTS);
        let writer = Writer { path, name: Arc::clone(&name), database: Some(database) };
        let started = std::thread::Builder::new().name("checkpoints".to_owned()).spawn(move || writer.run(queue));
        let no_thread = |error| fatal(&name, "the system starts no more threads", Some(Box::new(error)));
        let writer = Some(started.map_err(no_thread)?);
        Ok(Self { name, requests: Some(requests), writer, _lock: lock })
    }

    /// Whether it is the database of this directory.
    pub fn is_in(&self, directory: &Path) -> bool {
        self.name.as_ref() == directory.join(FILE_NAME).display().to_string()
    }

    async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, CheckpointError> {
        let (reply, answer) = oneshot::channel();
        // The writer only goes away by a panic, which the log has.
        let gone = || fatal(&self.name, "its thread has died, see the log; start the process again", None);
        let requests = self.requests.as_ref().ok_or_else(gone)?;
        requests.send(request(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

impl Commits for Local {
    fn commit(&self, delivered: Delivered) -> BoxFuture<'_, Result<(), CheckpointError>> {
        let (partition, position) = (delivered.partition().clone(), Some(delivered.position().clone()));
        let store = Store { partition, position, only_if_new: false, announced: None };
        Box::pin(self.ask(move |reply| Request::Store { store, reply }))
    }

    fn announce(&self, announcement: Announcement) -> BoxFuture<'_, Result<(), CheckpointError>> {
        let (partition, position) = (announcement.partition().clone(), announcement.delivered().cloned());
        let store = Store { partition, position, only_if_new: false, announced: Some(announcement.to().clone()) };
        Box::pin(self.ask(move |reply| Request::Store { store, reply }))
    }

    fn stored(&self, partition: &Partition) -> BoxFuture<'_, Result<Stored, CheckpointError>> {
        let partition = partition.clone();
        Box::pin(self.ask(move |reply| Request::Stored { partition, reply }))
    }
}

impl CheckpointStore for Local {
    fn load(&self, stream: &str) -> BoxFuture<'_, Result<Vec<(Partition, Position)>, CheckpointError>> {
        let stream = stream.to_owned();
        Box::pin(self.ask(move |reply| Request::Load { stream, reply }))
    }

    fn begin(&self, partition: Partition, position: Position) -> BoxFuture<'_, Result<(), CheckpointError>> {
        let store = Store { partition, position: Some(position), only_if_new: true, announced: None };
        Box::pin(self.ask(move |reply| Request::Store { store, reply }))
    }
}

impl Entries for Local {
    fn recall(&self, entries: SyncSender<(Vec<u8>, Vec<u8>)>) -> BoxFuture<'_, Result<(), CheckpointError>> {
        Box::pin(self.ask(move |reply| Request::Recall { entries, reply }))
    }

    fn remember(&self, changes: Arc<Changes>) -> BoxFuture<'_, Result<Kept, CheckpointError>> {
        Box::pin(async {
            self.ask(move |reply| Request::Remember { changes, reply }).await?;
            Ok(Kept::Changes)
        })
    }
}

struct Writer {
    path: PathBuf,
    name: Arc<str>,
    /// Missing after an I/O error, which the database does not survive open.
    database: Option<Database>,
}

/// What to store of a partition.
#[derive(Debug)]
struct Store {
    partition: Partition,
    /// How far it was delivered.
    position: Option<Position>,
    /// Where it starts, and nothing if it has a position.
    only_if_new: bool,
    /// Where the range ends that is about to be written.
    announced: Option<Position>,
}

impl Writer {
    fn run(mut self, mut queue: mpsc::Receiver<Request>) {
        while let Some(first) = queue.blocking_recv() {
            let mut stores = Vec::new();
            let mut next = Some(first);
            while let Some(request) = next {
                match request {
                    Request::Store { store, reply } => stores.push((store, reply)),
                    Request::Stored { partition, reply } => {
                        self.store(std::mem::take(&mut stores));
                        // Who asked may have given up.
                        let _ = reply.send(self.with_database(|database| stored(database, &partition)));
                    }
                    Request::Load { stream, reply } => {
                        // What was asked for before is stored before, so that a load sees it.
                        self.store(std::mem::take(&mut stores));
                        let result = self.with_database(|database| load(database, &stream));
                        // Who asked may have given up.
                        let _ = reply.send(result);
                    }
                    Request::Recall { entries, reply } => {
                        let result = self.with_database(|database| recall(database, &entries));
                        drop(entries);
                        // Who asked may have given up.
                        let _ = reply.send(result);
                    }
                    Request::Remember { changes, reply } => {
                        let result = self.with_database(|database| remember(database, &changes));
                        // Who asked may have given up.
                        let _ = reply.send(result);
                    }
                }
                next = queue.try_recv().ok();
            }
            self.store(stores);
        }
    }

    fn store(&mut self, stores: Vec<(Store, Reply<()>)>) {
        if stores.is_empty() {
            return;
        }
        let mut result = self.with_database(|database| store(database, &stores));
        for (_, reply) in stores {
            let answer = match &mut result {
                Ok(()) => Ok(()),
                Err(error) => Err(again(error)),
            };
            // Who asked may have given up.
            let _ = reply.send(answer);
        }
    }

    fn with_database<T>(
        &mut self,
        act: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, CheckpointError> {
        let database = match self.database.take() {
            Some(database) => database,
            None => open(&self.path, &self.name)?,
        };
        match act(&database) {
            Ok(value) => {
                self.database = Some(database);
                Ok(value)
            }
            // The database is closed here and opened again by the next request.
            Err(error) => Err(answer(&self.name, error)),
        }
    }
}

fn load(database: &Database, stream: &str) -> Result<Vec<(Partition, Position)>, redb::Error> {
    let transaction = database.begin_read()?;
    let table = match transaction.open_table(POSITIONS) {
        Ok(table) => table,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let stream_name = Arc::<str>::from(stream);
    let mut positions = Vec::new();
    for entry in table.range((stream, "")..)? {
        let (key, value) = entry?;
        let (of_stream, shard) = key.value();
        if of_stream != stream {
            break;
        }
        let position = decode(value.value())
            .ok_or_else(|| redb::Error::Corrupted(format!("{of_stream}/{shard} has a position of an unknown form")))?;
        positions.push((Partition { stream: Arc::clone(&stream_name), shard: ShardId::new(shard) }, position));
    }
    Ok(positions)
}

fn stored(database: &Database, partition: &Partition) -> Result<Stored, redb::Error> {
    let transaction = database.begin_read()?;
    let read = |table| {
        let table = match transaction.open_table(table) {
            Ok(table) => table,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
            Err(error) => return Err(redb::Error::from(error)),
        };
        let Some(value) = table.get((&*partition.stream, partition.shard.as_str()))? else { return Ok(None) };
        let position = decode(value.value());
        position
            .map(Some)
            .ok_or_else(|| redb::Error::Corrupted(format!("{partition} has a position of an unknown form")))
    };
    Ok(Stored { position: read(POSITIONS)?, announced: read(ANNOUNCED)? })
}

fn store(database: &Database, stores: &[(Store, Reply<()>)]) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut table = transaction.open_table(POSITIONS)?;
        let mut ranges = transaction.open_table(ANNOUNCED)?;
        for (Store { partition, position, only_if_new, announced }, _) in stores {
            let key = (&*partition.stream, partition.shard.as_str());
            if let Some(position) = position {
                let stays = match table.get(key)? {
                    None => false,
                    Some(_) if *only_if_new => true,
                    // A position that cannot be read is left for a person to look at.
                    Some(stored) => !decode(stored.value()).is_some_and(|stored| moves(&stored, position)),
                };
                if !stays {
                    table.insert(key, encode(position).as_str())?;
                    ranges.remove(key)?;
                }
            }
            if let Some(announced) = announced {
                ranges.insert(key, encode(announced).as_str())?;
            }
        }
    }
    transaction.commit()?;
    Ok(())
}

fn recall(database: &Database, entries: &SyncSender<(Vec<u8>, Vec<u8>)>) -> Result<(), redb::Error> {
    let transaction = database.begin_read()?;
    let table = match transaction.open_table(ENTRIES) {
        Ok(table) => table,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    for entry in table.iter()? {
        let (key, value) = entry?;
        if entries.send((key.value().to_vec(), value.value().to_vec())).is_err() {
            // Whoever asked has enough.
            break;
        }
    }
    Ok(())
}

fn remember(database: &Database, changes: &Changes) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut table = transaction.open_table(ENTRIES)?;
        for (key, value) in changes {
            match value {
                Some(value) => drop(table.insert(key.as_slice(), value.as_slice())?),
                None => drop(table.remove(key.as_slice())?),
            }
        }
    }
    transaction.commit()?;
    Ok(())
}

const IN_USE: &str = "another process uses it; stop that one or give this one a checkpoint directory of its own";

/// Creates the directory and takes it for this process.
fn lock(directory: &Path, name: &str) -> Result<File, CheckpointError> {
    let no_directory = |error: io::Error| fatal(name, NO_DIRECTORY, Some(Box::new(error)));
    fs::create_dir_all(directory).map_err(no_directory)?;
    let lock = File::options().write(true).create(true).truncate(false).open(directory.join(LOCK_NAME));
    let lock = lock.map_err(no_directory)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(fatal(name, IN_USE, None)),
        // The database has a lock of its own, which then says the same.
        Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {}
        Err(TryLockError::Error(error)) => return Err(no_directory(error)),
    }
    Ok(lock)
}

/// Makes an empty database beside its place and moves it there once it is whole: a process that is killed in between
/// leaves no half one behind that the next could not tell from a damaged one.
fn make(path: &Path, name: &str) -> Result<(), CheckpointError> {
    let unfinished = path.with_extension("unfinished");
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(answer(name, error.into())),
        _ => {}
    }
    let database = Database::create(&unfinished).map_err(|error| answer(name, error.into()))?;
    drop(database);
    let moved = fs::rename(&unfinished, path).and_then(|()| {
        // Directories cannot be synced elsewhere.
        if cfg!(unix) { File::open(path.parent().unwrap_or(path))?.sync_all() } else { Ok(()) }
    });
    moved.map_err(|error| answer(name, error.into()))
}

fn open(path: &Path, name: &str) -> Result<Database, CheckpointError> {
    // A damaged file may break the database's own assumptions; that must end in advice, not in a panic.
    let opened =
        std::panic::catch_unwind(AssertUnwindSafe(|| Database::builder().set_cache_size(CACHE_BYTES).open(path)));
    match opened {
        Ok(Ok(database)) => Ok(database),
        Ok(Err(DatabaseError::DatabaseAlreadyOpen)) => Err(fatal(name, IN_USE, None)),
        Ok(Err(error)) => Err(answer(name, error.into())),
        Err(_) => Err(fatal(name, DAMAGED, None)),
    }
}

const NO_DIRECTORY: &str = "choose a directory that this user can write";

const DAMAGED: &str = "it is damaged or no checkpoint store; put a copy of it back, or move it away to start again from \
                       the configured position, which delivers again what the source still holds";

/// Names what to do about an error of the database.
fn answer(name: &str, error: redb::Error) -> CheckpointError {
    match error {
        redb::Error::Corrupted(_) | redb::Error::UpgradeRequired(_) | redb::Error::RepairAborted => {
            fatal(name, DAMAGED, Some(Box::new(error)))
        }
        redb::Error::Io(io) => match io.kind() {
            // What the database answers to a file that it did not write.
            ErrorKind::InvalidData | ErrorKind::UnexpectedEof => fatal(name, DAMAGED, Some(Box::new(io))),
            ErrorKind::PermissionDenied | ErrorKind::IsADirectory | ErrorKind::ReadOnlyFilesystem => {
                fatal(name, NO_DIRECTORY, Some(Box::new(io)))
            }
            _ => CheckpointError::Retry { store: name.to_owned(), source: Box::new(io) },
        },
        redb::Error::TableTypeMismatch { .. } | redb::Error::TypeDefinitionChanged { .. } => {
            fatal(name, DAMAGED, Some(Box::new(error)))
        }
        other => CheckpointError::Retry { store: name.to_owned(), source: Box::new(other) },
    }
}

fn fatal(name: &str, advice: &str, source: Option<Box<dyn std::error::Error + Send + Sync>>) -> CheckpointError {
    CheckpointError::Fatal { store: name.to_owned(), advice: advice.to_owned(), source }
}

/// The same answer for another who asked; the cause is kept as text.
fn again(error: &CheckpointError) -> CheckpointError {
    match error {
        CheckpointError::Retry { store, source } => {
            CheckpointError::Retry { store: store.clone(), source: source.to_string().into() }
        }
        CheckpointError::Lost { partition } => CheckpointError::Lost { partition: partition.clone() },
        CheckpointError::Fatal { store, advice, source } => CheckpointError::Fatal {
            store: store.clone(),
            advice: advice.clone(),
            source: source.as_ref().map(|source| source.to_string().into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::SequenceNumber;

    fn partition(stream: &str, shard: &str) -> Partition {
        Partition { stream: stream.into(), shard: ShardId::new(shard) }
    }

    fn after(digits: &str) -> Position {
        Position::After(SequenceNumber::new(digits).unwrap())
    }

    fn settings(directory: &tempfile::TempDir) -> Settings {
        Settings { directory: directory.path().join("state") }
    }

    async fn commit(store: &dyn CheckpointStore, partition: &Partition, position: Position) {
        store.commit(crate::delivery::delivered_for_test(partition.clone(), position)).await.unwrap();
    }

    async fn check_store(store: &dyn CheckpointStore) {
        let (one, two, other) = (partition("calls", "1"), partition("calls", "2"), partition("calls-2", "1"));
        assert!(store.load("calls").await.unwrap().is_empty());
        store.begin(one.clone(), Position::TrimHorizon).await.unwrap();
        store.begin(other.clone(), Position::Latest).await.unwrap();
        commit(store, &one, after("10")).await;
        store.begin(one.clone(), Position::TrimHorizon).await.unwrap();
        commit(store, &one, after("9")).await;
        commit(store, &two, Position::End).await;
        commit(store, &two, after("11")).await;
        assert_eq!(store.load("calls").await.unwrap(), [(one, after("10")), (two, Position::End)]);
        assert_eq!(store.load("calls-2").await.unwrap(), [(other, Position::Latest)]);
    }

    async fn check_ranges(store: &dyn CheckpointStore) {
        let one = partition("calls", "1");
        let announce = async |delivered: Option<&str>, to: &str| {
            let announcement = crate::delivery::announcement_for_test(one.clone(), delivered.map(after), after(to));
            store.announce(announcement).await.unwrap();
        };
        let check = async |position: &str, announced: Option<&str>| {
            let expected = Stored { position: Some(after(position)), announced: announced.map(after) };
            assert_eq!(store.stored(&one).await.unwrap(), expected);
        };
        check("10", None).await;
        announce(None, "20").await;
        check("10", Some("20")).await;
        // What does not move anything takes nothing away.
        commit(store, &one, after("10")).await;
        store.begin(one.clone(), Position::TrimHorizon).await.unwrap();
        check("10", Some("20")).await;
        announce(Some("20"), "30").await;
        check("20", Some("30")).await;
        announce(Some("20"), "30").await;
        commit(store, &one, after("20")).await;
        check("20", Some("30")).await;
        commit(store, &one, after("30")).await;
        check("30", None).await;
        assert_eq!(store.stored(&partition("calls", "other")).await.unwrap(), Stored::default());
    }

    #[tokio::test]
    async fn both_stores_move_forwards_only() {
        let directory = tempfile::tempdir().unwrap();
        let (local, memory) = (Local::open(&settings(&directory)).unwrap(), super::super::memory::Memory::default());
        for store in [&local as &dyn CheckpointStore, &memory] {
            check_store(store).await;
            check_ranges(store).await;
        }
    }

    #[tokio::test]
    async fn a_second_process_is_told_the_way_out() {
        let directory = tempfile::tempdir().unwrap();
        let first = Local::open(&settings(&directory)).unwrap();
        let error = Local::open(&settings(&directory)).unwrap_err().to_string();
        assert!(error.contains("positions.redb") && error.contains("another process uses it"), "{error}");
        drop(first);
    }

    #[tokio::test]
    async fn what_is_no_database_is_told_and_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = settings(&directory).directory.join(FILE_NAME);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        for content in [b"not a database\n".repeat(1000), b"redb\x1a\x0a\xa9\x0d\x0a".to_vec(), vec![0; 9000]] {
            std::fs::write(&path, &content).unwrap();
            let error = Local::open(&settings(&directory)).unwrap_err();
            assert!(matches!(&error, CheckpointError::Fatal { .. }), "{error:?}");
            assert!(error.to_string().contains("move it away"), "{error}");
            assert_eq!(std::fs::read(&path).unwrap(), content);
        }
    }

    /// A copy of the file while it is written is what a power failure leaves.
    #[tokio::test]
    async fn a_copy_taken_while_writing_opens_and_holds_what_was_committed() {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(Local::open(&settings(&directory)).unwrap());
        let path = settings(&directory).directory.join(FILE_NAME);
        let one = partition("calls", "1");
        commit(store.as_ref(), &one, after("1")).await;
        let writing = Arc::clone(&store);
        let writer = tokio::spawn(async move {
            for number in 2..60u32 {
                commit(writing.as_ref(), &partition("calls", "1"), after(&number.to_string())).await;
                commit(writing.as_ref(), &partition("calls", &format!("shard-{number}")), Position::End).await;
            }
        });
        let mut copies = 0;
        while !writer.is_finished() || copies == 0 {
            let least = store.load("calls").await.unwrap().into_iter().find(|(p, _)| *p == one).unwrap().1;
            let copy = tempfile::tempdir().unwrap();
            let content = std::fs::read(&path).unwrap();
            if content != std::fs::read(&path).unwrap() {
                // It was written to in between: a state that the disk never had.
                continue;
            }
            std::fs::create_dir_all(settings(&copy).directory).unwrap();
            std::fs::write(settings(&copy).directory.join(FILE_NAME), content).unwrap();
            let opened = Local::open(&settings(&copy)).unwrap();
            let found = opened.load("calls").await.unwrap().into_iter().find(|(p, _)| *p == one).unwrap().1;
            assert!(found == least || moves(&least, &found), "{found:?} in a copy taken after {least:?}");
            copies += 1;
        }
        writer.await.unwrap();
    }

    #[tokio::test]
    async fn entries_are_kept_beside_the_positions() {
        let directory = tempfile::tempdir().unwrap();
        let recalled = async |store: &Local| {
            let (sender, entries) = std::sync::mpsc::sync_channel(8);
            store.recall(sender).await.unwrap();
            let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
            entries.into_iter().map(|(key, value)| text(key) + "=" + &text(value)).collect::<Vec<_>>()
        };
        let remember = async |store: &Local, changes: &[(&str, Option<&str>)]| {
            let bytes = |text: &str| text.as_bytes().to_vec();
            let changes = changes.iter().map(|(key, value)| (bytes(key), value.map(bytes))).collect();
            store.remember(Arc::new(changes)).await.unwrap();
        };
        let store = Local::open(&settings(&directory)).unwrap();
        assert!(recalled(&store).await.is_empty());
        remember(&store, &[("a", Some("1")), ("b", Some("2")), ("c", None)]).await;
        remember(&store, &[("a", Some("3")), ("b", None), ("d", Some(""))]).await;
        commit(&store, &partition("calls", "1"), after("1")).await;
        assert!(store.is_in(&settings(&directory).directory) && !store.is_in(directory.path()));
        drop(store);
        let store = Local::open(&settings(&directory)).unwrap();
        assert_eq!(recalled(&store).await, ["a=3", "d="]);
        assert_eq!(store.load("calls").await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn whoever_has_enough_entries_gets_no_more() {
        let directory = tempfile::tempdir().unwrap();
        let store = Local::open(&settings(&directory)).unwrap();
        let changes: Changes = (0..100_u8).map(|key| (vec![key], Some(vec![key]))).collect();
        store.remember(Arc::new(changes)).await.unwrap();
        let (sender, entries) = std::sync::mpsc::sync_channel(200);
        drop(entries);
        store.recall(sender).await.unwrap();
    }
}
