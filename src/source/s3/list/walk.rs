//! The walk: from a prefix down to the folders that hold objects, without those whose dates are not wanted.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Wanted;
use super::dates::Span;
use super::pages::{Lister, Pages};
use crate::source::SourceError;
use crate::source::s3::choice::is_of_bodies;

/// Folders in folders. Bedrock has nine; a list that is deeper leads nowhere.
const MAX_DEPTH: usize = 64;

/// A folder with objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Folder {
    /// Its prefix, with the last `/`; that of the beginning may have none.
    pub(super) prefix: Arc<str>,
    /// Its date, or that of the folder it is in.
    pub(super) span: Option<Span>,
}

struct Level {
    folder: Folder,
    pages: Pages,
    folders: VecDeque<Arc<str>>,
    is_told: bool,
}

/// Walks depth first, so that it holds one page a level, in the order of names: that of dates.
pub(super) struct Walk {
    lister: Lister,
    wanted: Wanted,
    levels: Vec<Level>,
}

impl Walk {
    pub(super) fn new(lister: Lister, prefix: Arc<str>, wanted: Wanted) -> Self {
        let mut walk = Self { lister, wanted, levels: Vec::new() };
        walk.descend(prefix, None);
        walk
    }

    /// The next folder that holds objects to read.
    ///
    /// # Errors
    /// See [`Pages::next`]; folders that are too deep.
    pub(super) async fn next(&mut self) -> Result<Option<Folder>, SourceError> {
        while let Some(level) = self.levels.last_mut() {
            if let Some(prefix) = level.folders.pop_front() {
                let span = level.folder.span;
                if self.levels.len() >= MAX_DEPTH {
                    let advice = "its folders are too deep: name one of them".to_owned();
                    return Err(SourceError::Fatal { what: prefix.to_string(), advice, source: None });
                }
                self.descend(prefix, span);
                continue;
            }
            let Some(page) = level.pages.next(&self.lister).await? else {
                self.levels.pop();
                continue;
            };
            level.folders = page.folders.into();
            let folder = &level.folder;
            if !level.is_told && page.objects.iter().any(|object| self.wanted.takes(folder, object)) {
                level.is_told = true;
                return Ok(Some(folder.clone()));
            }
        }
        Ok(None)
    }

    fn descend(&mut self, prefix: Arc<str>, above: Option<Span>) {
        let own = Span::of(&prefix);
        if is_of_bodies(&prefix) || own.is_some_and(|span| !self.wanted.range.reaches(span)) {
            return;
        }
        let folder = Folder { prefix: Arc::clone(&prefix), span: own.or(above) };
        let pages = Pages::new(prefix, None);
        self.levels.push(Level { folder, pages, folders: VecDeque::new(), is_told: false });
    }
}
