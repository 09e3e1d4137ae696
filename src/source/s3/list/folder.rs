//! A folder as a partition: its objects one after the other, in the order of their keys.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::Timestamp;
use tracing::warn;

use super::pages::{Listed, Lister, Pages};
use super::walk::Folder;
use super::{Endless, LATE, Reach, Wanted};
use crate::budget::{Budget, Reservation};
use crate::record::{Partition, Position, Record};
use crate::source::s3::object::{Object, ObjectError, ObjectSource, Trouble};
use crate::source::several::Progress;
use crate::source::{BoxFuture, Read, Source, SourceError};

/// How often an object is begun that is written anew again and again while it is read.
const MAX_BEGUN: u32 = 5;

/// Reads a folder's objects. Its position is the key of the last one that was read to its end; where more may come, of the
/// last one before which nothing will: who writes has a clock of its own, and names begin with its time.
pub(super) struct FolderSource {
    lister: Lister,
    reach: Reach,
    budget: Budget,
    folder: Folder,
    wanted: Wanted,
    pages: Pages,
    listed: VecDeque<Listed>,
    current: Option<Current>,
    last: Option<Arc<str>>,
    /// Where more may come: objects that were written before this are settled, up to the first that was not.
    settled: Option<Timestamp>,
    progress: Arc<Progress>,
    ending: Option<(Arc<Endless>, Partition)>,
}

/// The object that is being read.
struct Current {
    listed: Listed,
    source: ObjectSource,
    begun: u32,
}

impl FolderSource {
    pub(super) fn new(
        lister: Lister,
        reach: Reach,
        budget: Budget,
        (folder, wanted): (Folder, Wanted),
        position: Option<Position>,
        progress: Arc<Progress>,
    ) -> Self {
        let last = match position {
            Some(Position::Key(key)) => Some(key),
            _ => None,
        };
        let pages = Pages::new(Arc::clone(&folder.prefix), last.clone());
        let (listed, current) = (VecDeque::new(), None);
        Self {
            lister,
            reach,
            budget,
            folder,
            wanted,
            pages,
            listed,
            current,
            last,
            settled: None,
            progress,
            ending: None,
        }
    }

    /// The same, of a folder that may get more: it notes its last position at its end.
    pub(super) fn ending(self, ending: Option<(Arc<Endless>, Partition)>) -> Self {
        let before = Timestamp::now().checked_sub(LATE).unwrap_or(Timestamp::MIN);
        Self { settled: ending.as_ref().map(|_| before), ending, ..self }
    }

    fn open(&self, key: &Arc<str>) -> ObjectSource {
        let Reach { objects, bucket, max_inflated_bytes } = self.reach.clone();
        let object = Object { bucket, key: Arc::clone(key), version: None };
        ObjectSource::new(objects, object, max_inflated_bytes, self.budget.clone())
    }

    /// Where reading goes on after the objects that are done.
    fn position(&self) -> Position {
        self.last.clone().map_or(Position::TrimHorizon, Position::Key)
    }

    fn records(&self, records: Vec<Record>, reservation: Reservation) -> Read {
        Read::Records { records, position: self.position(), lag: None, reservation }
    }

    /// The next of the current object; none where there is no current one.
    async fn read_on(&mut self) -> Result<Option<Read>, SourceError> {
        let Some(current) = &mut self.current else { return Ok(None) };
        let error = match current.source.next().await {
            Ok(Read::Records { records, reservation, .. }) => return Ok(Some(self.records(records, reservation))),
            Ok(Read::End { .. }) => {
                self.progress.add_object();
                return Ok(Some(self.finish()));
            }
            Err(error) => error,
        };
        let (begun, key) = (current.begun, Arc::clone(&current.listed.key));
        match trouble(&error) {
            Some(Trouble::Gone) => {
                let bucket = &self.reach.bucket;
                warn!(object = %format_args!("s3://{bucket}/{key}"), "an object was deleted before it was read");
                self.progress.add_gone();
                Ok(Some(self.finish()))
            }
            // Its content is another one now: what was read of it is delivered, and all of the new one.
            Some(Trouble::Changed) if begun < MAX_BEGUN => {
                let source = self.open(&key);
                if let Some(current) = &mut self.current {
                    current.source = source;
                    current.begun += 1;
                }
                Ok(Some(self.records(Vec::new(), Reservation::default())))
            }
            _ => Err(error),
        }
    }

    /// Moves behind the current object.
    fn finish(&mut self) -> Read {
        if let Some(Current { listed, .. }) = self.current.take() {
            self.progress.add_bytes(listed.bytes.unwrap_or(0));
            match self.settled {
                // It and all that follow are read again by the next run, with what came before them meanwhile.
                Some(before) if listed.modified.is_none_or(|modified| modified >= before) => {
                    self.settled = Some(Timestamp::MIN);
                }
                _ => self.last = Some(listed.key),
            }
        }
        self.records(Vec::new(), Reservation::default())
    }

    /// Takes the wanted objects of the next page; false at the end.
    async fn list_on(&mut self) -> Result<bool, SourceError> {
        let Some(page) = self.pages.next(&self.lister).await? else { return Ok(false) };
        self.listed.extend(page.objects.into_iter().filter(|object| self.wanted.takes(&self.folder, object)));
        Ok(true)
    }
}

impl Source for FolderSource {
    fn next(&mut self) -> BoxFuture<'_, Result<Read, SourceError>> {
        Box::pin(async move {
            loop {
                if let Some(read) = self.read_on().await? {
                    return Ok(read);
                }
                if let Some(listed) = self.listed.pop_front() {
                    let source = self.open(&listed.key);
                    self.current = Some(Current { listed, source, begun: 1 });
                } else if !self.list_on().await? {
                    if let Some((store, partition)) = &self.ending {
                        store.note(partition.clone(), self.position());
                    }
                    return Ok(Read::End { children: Vec::new() });
                }
            }
        })
    }
}

/// What is the matter with an object.
fn trouble(error: &SourceError) -> Option<Trouble> {
    let SourceError::Fatal { source, .. } = error else { return None };
    source.as_ref()?.downcast_ref::<ObjectError>().map(|error| error.trouble)
}
