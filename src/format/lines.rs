//! Encoded items, and what a sink is told of each beside its bytes.

use std::sync::Arc;

use jiff::Timestamp;

use crate::extract::LogEvent;

/// Encoded items in one buffer, each ending in a newline.
#[derive(Debug, Default, Clone)]
pub struct Lines {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// One for each item, or none at all.
    tags: Vec<Tag>,
    /// What each item was made of, one after the other; where they are not kept, there are no ends.
    originals: Vec<u8>,
    original_ends: Vec<usize>,
    /// One for each item, or none at all.
    events: Vec<KnownEvent>,
}

/// What is known of the log event that an item was made of, beside its message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownEvent {
    /// CloudWatch Logs' id of the event.
    pub id: Option<Box<str>>,
    /// CloudWatch Logs' timestamp in milliseconds.
    pub timestamp_millis: Option<i64>,
    /// The log group.
    pub log_group: Option<Arc<str>>,
    /// The log stream.
    pub log_stream: Option<Arc<str>>,
}

/// The bytes of an event's id, which CloudWatch Logs writes with 56 digits.
const EVENT_ID_BYTES: usize = 56;

/// What a sink is told of an item beside its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// The event's identity: a redelivered event has the same one.
    pub id: [u8; 16],
    /// When the call was made.
    pub time: Timestamp,
    /// What the destination files the item under: the sink's [`Template`](super::key::Template), filled in.
    pub key: Arc<str>,
}

impl Tag {
    /// The identity as 32 hexadecimal digits, as every format shows it.
    pub fn id_text(&self) -> String {
        let mut text = Vec::with_capacity(32);
        crate::json::push_hex(&mut text, &self.id);
        String::from_utf8(text).unwrap_or_default()
    }
}

impl Lines {
    /// All items, one after the other.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The number of items.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The memory that the items use, their tags and originals included.
    pub fn memory_bytes(&self) -> usize {
        let ends = (self.ends.len() + self.original_ends.len()) * size_of::<usize>();
        let events = self.events.len() * (size_of::<KnownEvent>() + EVENT_ID_BYTES);
        self.bytes.len() + self.originals.len() + ends + events + self.tags.len() * size_of::<Tag>()
    }

    /// Each item with its newline.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.ends.len()).map(|index| part(&self.bytes, &self.ends, index))
    }

    /// The item with this index, with its newline.
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        (index < self.ends.len()).then(|| part(&self.bytes, &self.ends, index))
    }

    /// What is known of the item with this index; none where the output asked for no tags.
    pub fn tag(&self, index: usize) -> Option<&Tag> {
        self.tags.get(index)
    }

    /// What the item with this index was made of: the log event's message as it came, where the output keeps it.
    pub fn original(&self, index: usize) -> Option<&[u8]> {
        (index < self.original_ends.len()).then(|| part(&self.originals, &self.original_ends, index))
    }

    /// What is known of the log event of the item with this index, where the output keeps it.
    pub fn event(&self, index: usize) -> Option<&KnownEvent> {
        self.events.get(index)
    }

    /// Appends one item that `write` produces; a newline is added to it.
    pub fn push_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.bytes.push(b'\n');
        self.ends.push(self.bytes.len());
    }

    /// Says what is known of the item that was pushed last. Tags are pushed for all items or for none.
    pub fn tag_last(&mut self, mut tag: Tag) {
        // Neighbours are mostly of one key: they share it.
        if let Some(last) = self.tags.last().filter(|last| last.key == tag.key) {
            tag.key = Arc::clone(&last.key);
        }
        self.tags.push(tag);
    }

    /// Keeps what the item that was pushed last was made of. Kept for all items or for none.
    pub fn keep_original(&mut self, original: &[u8]) {
        self.originals.extend_from_slice(original);
        self.original_ends.push(self.originals.len());
    }

    /// Keeps what is known of the log event of the item that was pushed last. Kept for all items or for none.
    pub fn keep_event(&mut self, event: &LogEvent<'_>) {
        let last = self.events.last();
        // Neighbours are mostly of one log stream: they share its name.
        let shared = |name: Option<&str>, last: Option<&Arc<str>>| match (name, last) {
            (Some(name), Some(last)) if **last == *name => Some(Arc::clone(last)),
            (name, _) => name.map(Arc::from),
        };
        self.events.push(KnownEvent {
            id: event.id.map(Box::from),
            timestamp_millis: event.timestamp_millis,
            log_group: shared(event.log_group, last.and_then(|last| last.log_group.as_ref())),
            log_stream: shared(event.log_stream, last.and_then(|last| last.log_stream.as_ref())),
        });
    }

    /// Appends an item of `other`, with all that is known of it.
    pub fn push_from(&mut self, other: &Self, index: usize) {
        let Some(item) = other.get(index) else { return };
        self.bytes.extend_from_slice(item);
        self.ends.push(self.bytes.len());
        self.tags.extend(other.tags.get(index).cloned());
        if let Some(original) = other.original(index) {
            self.keep_original(original);
        }
        self.events.extend(other.events.get(index).cloned());
    }

    /// Gives back the memory that no item uses.
    pub fn shrink_to_fit(&mut self) {
        self.bytes.shrink_to_fit();
        self.ends.shrink_to_fit();
        self.tags.shrink_to_fit();
        self.originals.shrink_to_fit();
        self.original_ends.shrink_to_fit();
        self.events.shrink_to_fit();
    }

    /// Drops all items and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.tags.clear();
        self.originals.clear();
        self.original_ends.clear();
        self.events.clear();
    }
}

/// The part before the end with this index.
fn part<'a>(bytes: &'a [u8], ends: &[usize], index: usize) -> &'a [u8] {
    let start = index.checked_sub(1).and_then(|before| ends.get(before)).copied().unwrap_or_default();
    ends.get(index).and_then(|end| bytes.get(start..*end)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_takes_with_it_all_that_is_known_of_it() {
        let mut lines = Lines::default();
        for (at, item) in ["one", "two", "three"].into_iter().enumerate() {
            lines.push_with(|out| out.extend_from_slice(item.as_bytes()));
            lines.tag_last(Tag { id: [0xab; 16], time: Timestamp::UNIX_EPOCH, key: format!("key{}", at / 2).into() });
            lines.keep_original(&item.as_bytes()[..at]);
            lines.keep_event(&LogEvent { id: Some(item), log_group: Some("group"), ..LogEvent::default() });
        }
        assert!(Arc::ptr_eq(&lines.tag(0).unwrap().key, &lines.tag(1).unwrap().key), "one key, kept twice");
        let mut some = Lines::default();
        for index in [2, 0, 3] {
            some.push_from(&lines, index);
        }
        assert_eq!(some.iter().collect::<Vec<_>>(), [b"three\n".as_slice(), b"one\n"]);
        assert_eq!(
            (some.original(0), some.original(1), some.original(2)),
            (Some(b"th".as_slice()), Some(b"".as_slice()), None)
        );
        let events: Vec<_> = (0..3).map(|index| some.event(index).and_then(|event| event.id.as_deref())).collect();
        assert_eq!(events, [Some("three"), Some("one"), None]);
        let group = |index| lines.event(index).unwrap().log_group.as_ref().unwrap();
        assert!(Arc::ptr_eq(group(0), group(2)), "one name, kept twice");
        assert_eq!(some.tag(0).map(|tag| &*tag.key), Some("key1"));
        assert_eq!(some.tag(0).unwrap().id_text(), "ab".repeat(16));
        assert_eq!((some.len(), some.get(2), some.tag(2)), (2, None, None));
        some.clear();
        assert_eq!((some.len(), some.memory_bytes()), (0, 0));
    }
}
