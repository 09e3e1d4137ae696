//! Bounds: the entries of all keys in one table, with what was seen least recently at its end, and what they cost.

use super::Change;
use super::entry::Entry;
use super::key::Key;

/// Bytes of an allocation of this many bytes, with what the allocator needs for itself.
pub(super) fn heap(bytes: usize) -> usize {
    if bytes == 0 { 0 } else { (bytes + 8).next_multiple_of(16).max(32) }
}

/// No slot.
const NONE: u32 = u32::MAX;

/// Slots that are allocated at once: no move of all entries when there are more.
const CHUNK: usize = 256;

/// What a slot costs: itself, and its places in the lists of what has changed.
const SLOT: usize = size_of::<Slot>() + 48;

/// Entries by key.
#[derive(Debug)]
pub(super) struct Table {
    chunks: Vec<Vec<Slot>>,
    free: Vec<u32>,
    /// A slot and 32 bits of the key's hash each; 0 is an empty place. A place is in the order of the hash bits, so that a
    /// larger index is made from this one alone.
    index: Vec<u64>,
    len: usize,
    /// Whoever chooses names does not choose places.
    seed: u64,
    /// Seen most and least recently.
    head: u32,
    tail: u32,
    /// Bytes of entries on the heap.
    heap: usize,
    /// Slots to look at for changes, each once.
    changed: Vec<u32>,
    /// Stored keys that are gone.
    gone: Vec<Key>,
    /// The next slot to look at for an entry that is over.
    hand: u32,
}

#[derive(Debug)]
struct Slot {
    key: Key,
    newer: u32,
    older: u32,
    has_changed: bool,
    is_listed: bool,
    is_stored: bool,
    entry: Option<Entry>,
}

impl Table {
    pub(super) fn new() -> Self {
        use std::hash::BuildHasher as _;
        Self {
            chunks: Vec::new(),
            free: Vec::new(),
            index: vec![0; 64],
            len: 0,
            seed: std::hash::RandomState::new().hash_one(0_u8),
            head: NONE,
            tail: NONE,
            heap: 0,
            changed: Vec::new(),
            gone: Vec::new(),
            hand: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of all of it.
    pub(super) fn bytes(&self) -> usize {
        self.fixed() + self.heap
    }

    /// Bytes that no eviction gives back.
    fn fixed(&self) -> usize {
        self.chunks.len() * CHUNK * SLOT + self.index.len() * 8
    }

    fn slot(&self, slot: u32) -> &Slot {
        &self.chunks[slot as usize / CHUNK][slot as usize % CHUNK]
    }

    fn slot_mut(&mut self, slot: u32) -> &mut Slot {
        &mut self.chunks[slot as usize / CHUNK][slot as usize % CHUNK]
    }

    fn tag(&self, key: &Key) -> u32 {
        let half = u64::from_le_bytes(key.first_chunk().copied().unwrap_or_default());
        ((half ^ self.seed).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as u32
    }

    /// Where a hash would be.
    fn home(tag: u32, places: usize) -> usize {
        ((u64::from(tag) * places as u64) >> 32) as usize
    }

    /// The key's place in the index, and its slot.
    fn place(&self, key: &Key) -> Option<(usize, u32)> {
        let tag = self.tag(key);
        let mut at = Self::home(tag, self.index.len());
        loop {
            let word = self.index[at];
            if word == 0 {
                return None;
            }
            let slot = (word & u64::from(u32::MAX)) as u32 - 1;
            if (word >> 32) as u32 == tag && self.slot(slot).key == *key {
                return Some((at, slot));
            }
            at = (at + 1) % self.index.len();
        }
    }

    pub(super) fn find(&self, key: &Key) -> Option<u32> {
        self.place(key).map(|(_, slot)| slot)
    }

    /// What is remembered in a slot.
    pub(super) fn entry(&self, slot: u32) -> Option<&Entry> {
        self.slot(slot).entry.as_ref()
    }

    /// The key's entry, which is now the one that was seen most recently. Where there is none, others may have to go for
    /// it: they are counted in `evicted`.
    pub(super) fn touch(&mut self, key: Key, bound: &Bound, evicted: &mut u64, new: impl FnOnce() -> Entry) -> u32 {
        if let Some(slot) = self.find(&key) {
            if self.head != slot {
                self.unlink(slot);
                self.link(slot);
            }
            return slot;
        }
        while self.len >= bound.keys.max(1) || (self.len > 0 && !self.has_room(bound)) {
            self.evict(evicted);
        }
        self.insert(key, new())
    }

    /// Whether one more entry has a place without more than three quarters of all bytes in places.
    fn has_room(&self, bound: &Bound) -> bool {
        let index = if self.is_full() { self.index.len() * 16 } else { 0 };
        let chunk = if self.free.is_empty() { CHUNK * SLOT } else { 0 };
        index + chunk == 0 || self.fixed() + index + chunk <= bound.bytes / 4 * 3
    }

    fn is_full(&self) -> bool {
        (self.len + 1) * 4 > self.index.len() * 3
    }

    fn insert(&mut self, key: Key, entry: Entry) -> u32 {
        if self.is_full() {
            self.grow();
        }
        let slot = self.free.pop().unwrap_or_else(|| self.allocate());
        self.heap += entry.heap();
        let place = self.slot_mut(slot);
        (place.key, place.entry, place.is_stored) = (key, Some(entry), false);
        self.link(slot);
        let word = u64::from(self.tag(&key)) << 32 | u64::from(slot + 1);
        Self::put(&mut self.index, word);
        self.len += 1;
        slot
    }

    fn put(index: &mut [u64], word: u64) {
        let mut at = Self::home((word >> 32) as u32, index.len());
        while index[at] != 0 {
            at = (at + 1) % index.len();
        }
        index[at] = word;
    }

    fn grow(&mut self) {
        let mut larger = vec![0; self.index.len() * 2];
        for word in self.index.iter().filter(|word| **word != 0) {
            Self::put(&mut larger, *word);
        }
        self.index = larger;
    }

    fn allocate(&mut self) -> u32 {
        let first = u32::try_from(self.chunks.len() * CHUNK).unwrap_or(NONE);
        let empty = || Slot {
            key: Key::default(),
            newer: NONE,
            older: NONE,
            has_changed: false,
            is_listed: false,
            is_stored: false,
            entry: None,
        };
        self.chunks.push(std::iter::repeat_with(empty).take(CHUNK).collect());
        self.free.extend((1..CHUNK).rev().filter_map(|at| first.checked_add(u32::try_from(at).ok()?)));
        first
    }

    fn link(&mut self, slot: u32) {
        let head = self.head;
        let place = self.slot_mut(slot);
        (place.newer, place.older) = (NONE, head);
        match head {
            NONE => self.tail = slot,
            head => self.slot_mut(head).newer = slot,
        }
        self.head = slot;
    }

    fn unlink(&mut self, slot: u32) {
        let &Slot { newer, older, .. } = self.slot(slot);
        match newer {
            NONE => self.head = older,
            newer => self.slot_mut(newer).older = older,
        }
        match older {
            NONE => self.tail = newer,
            older => self.slot_mut(older).newer = newer,
        }
    }

    /// What is seen least recently goes.
    pub(super) fn evict(&mut self, evicted: &mut u64) {
        if self.tail != NONE {
            self.remove(self.tail);
            *evicted += 1;
        }
    }

    /// Whether there is an entry on the heap that could go beside the newest.
    pub(super) fn can_evict(&self) -> bool {
        self.len > 1
    }

    fn remove(&mut self, slot: u32) {
        self.unlink(slot);
        let place = self.slot_mut(slot);
        let (key, is_stored) = (place.key, place.is_stored);
        if let Some(entry) = place.entry.take() {
            self.heap -= entry.heap();
        }
        if let Some((at, _)) = self.place(&key) {
            self.vacate(at);
        }
        if is_stored {
            self.gone.push(key);
        }
        self.len -= 1;
        self.free.push(slot);
    }

    /// Empties a place of the index: what stands behind it moves up, so that it is found.
    fn vacate(&mut self, mut empty: usize) {
        let len = self.index.len();
        let mut at = empty;
        loop {
            at = (at + 1) % len;
            let word = self.index[at];
            if word == 0 {
                break;
            }
            let home = Self::home((word >> 32) as u32, len);
            if (at + len - home) % len >= (at + len - empty) % len {
                self.index[empty] = word;
                empty = at;
            }
        }
        self.index[empty] = 0;
    }

    /// Changes an entry.
    pub(super) fn update<T>(&mut self, slot: u32, change: impl FnOnce(&Key, &mut Entry) -> T) -> Option<T> {
        let place = &mut self.chunks[slot as usize / CHUNK][slot as usize % CHUNK];
        let entry = place.entry.as_mut()?;
        let before = entry.heap();
        let result = change(&place.key, entry);
        self.heap = self.heap + entry.heap() - before;
        place.has_changed = true;
        if !std::mem::replace(&mut place.is_listed, true) {
            self.changed.push(slot);
        }
        Some(result)
    }

    /// The entry of a slot.
    pub(super) fn look(&self, slot: u32) -> Option<&Entry> {
        self.slot(slot).entry.as_ref()
    }

    /// Everything has changed, and nothing is stored.
    pub(super) fn store_anew(&mut self) {
        self.gone.clear();
        for slot in 0..u32::try_from(self.chunks.len() * CHUNK).unwrap_or(NONE) {
            let place = self.slot_mut(slot);
            if place.entry.is_none() {
                continue;
            }
            (place.has_changed, place.is_stored) = (true, false);
            if !std::mem::replace(&mut place.is_listed, true) {
                self.changed.push(slot);
            }
        }
    }

    /// Looks at a few entries, in turn, and lets those go that are over.
    pub(super) fn sweep(&mut self, slots: u32, is_over: impl Fn(&Entry) -> bool) {
        let all = u32::try_from(self.chunks.len() * CHUNK).unwrap_or(NONE);
        for _ in 0..slots.min(all) {
            self.hand = (self.hand + 1) % all;
            if self.slot(self.hand).entry.as_ref().is_some_and(&is_over) {
                self.remove(self.hand);
            }
        }
    }

    /// The stored form of what has changed; a prefix stands before each key.
    pub(super) fn changes(&mut self, prefix: u8, changes: &mut Vec<Change>) {
        let stored = |key: &Key| std::iter::once(prefix).chain(key.iter().copied()).collect();
        changes.extend(std::mem::take(&mut self.gone).iter().map(|key| Change { key: stored(key), value: None }));
        for slot in std::mem::take(&mut self.changed) {
            let place = self.slot_mut(slot);
            place.is_listed = false;
            if std::mem::take(&mut place.has_changed)
                && let Some(entry) = &place.entry
            {
                changes.push(Change { key: stored(&place.key), value: Some(super::stored::entry(entry)) });
                place.is_stored = true;
            }
        }
    }

    /// Puts an entry back that was stored; it is newer than those before.
    pub(super) fn restore(&mut self, key: Key, entry: Entry, bound: &Bound, evicted: &mut u64) {
        let slot = self.touch(key, bound, evicted, || entry);
        self.slot_mut(slot).is_stored = true;
    }
}

/// How much there may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    pub(super) keys: usize,
    pub(super) bytes: usize,
}
