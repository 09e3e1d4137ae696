//! Places: where the pieces of an answer go, in whatever order they come.

use std::collections::BTreeMap;

/// Things by their places. Of two at one place the later one is open, and both are kept.
#[derive(Debug)]
pub(super) struct Places<K, T> {
    things: Vec<(K, T)>,
    /// The open thing of each place; places are anything from negative to huge.
    open: BTreeMap<K, usize>,
    /// The thing that was looked for last: most pieces go where the one before went.
    last: usize,
}

impl<K, T> Default for Places<K, T> {
    fn default() -> Self {
        Self { things: Vec::new(), open: BTreeMap::new(), last: 0 }
    }
}

impl<K: Copy + Ord, T> Places<K, T> {
    pub(super) fn is_empty(&self) -> bool {
        self.things.is_empty()
    }

    pub(super) fn get(&mut self, place: K) -> Option<&mut T> {
        if self.things.get(self.last).is_none_or(|(known, _)| *known != place) {
            self.last = *self.open.get(&place)?;
        }
        self.things.get_mut(self.last).map(|(_, thing)| thing)
    }

    pub(super) fn push(&mut self, place: K, thing: T) {
        self.last = self.things.len();
        self.open.insert(place, self.last);
        self.things.push((place, thing));
    }

    pub(super) fn get_or_push(&mut self, place: K, thing: impl FnOnce() -> T) -> &mut T {
        if self.get(place).is_none() {
            self.push(place, thing());
        }
        &mut self.things[self.last].1
    }

    pub(super) fn into_sorted(mut self) -> impl Iterator<Item = T> {
        self.things.sort_by_key(|(place, _)| *place);
        self.things.into_iter().map(|(_, thing)| thing)
    }
}
