//! Groups: the items of a batch that go into one object, by the prefix that each asks for.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use jiff::Timestamp;

use super::name;
use crate::sink::Batch;

/// The most prefixes of one batch. What an event is filed under stands in a record, which is somebody else's: without a
/// bound, whoever calls models could make a request of every event.
const MAX_GROUPS: usize = 1000;

/// The folder of what would need more prefixes than that, whatever it asks for.
const OTHERS: &str = "other/";

/// The items of one object, in order.
#[derive(Debug)]
pub(super) struct Group {
    /// What its name begins with.
    pub(super) key: Arc<str>,
    /// The time of its first item.
    pub(super) time: Timestamp,
    runs: Vec<Run>,
}

/// Items that follow each other in a part of the batch.
#[derive(Debug)]
struct Run {
    part: usize,
    bytes: Range<usize>,
}

impl Group {
    /// The lines, in pieces as large as they come.
    pub(super) fn pieces<'a>(&'a self, batch: &'a Batch) -> impl Iterator<Item = &'a [u8]> {
        self.runs.iter().filter_map(|run| batch.parts.get(run.part)?.bytes().get(run.bytes.clone()))
    }

    /// The bytes of the lines.
    pub(super) fn total_bytes(&self) -> usize {
        self.runs.iter().map(|run| run.bytes.len()).sum()
    }

    /// Each line without its newline. None of them has one inside: they are JSON.
    pub(super) fn lines<'a>(&'a self, batch: &'a Batch) -> impl Iterator<Item = &'a [u8]> {
        let lines = |piece: &'a [u8]| piece.strip_suffix(b"\n").unwrap_or(piece).split(|byte| *byte == b'\n');
        self.pieces(batch).flat_map(lines)
    }
}

/// The groups of a batch, in the order of their first items. The same batch has the same groups each time.
pub(super) fn groups(batch: &Batch, beginning: &str) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut places: HashMap<Arc<str>, usize> = HashMap::new();
    // Neighbours mostly share their key, which is then not looked up.
    let mut last: Option<(Arc<str>, usize)> = None;
    for (part, lines) in batch.parts.iter().enumerate() {
        let mut start = 0;
        for (index, line) in lines.iter().enumerate() {
            let tag = lines.tag(index);
            let place = match (&last, tag) {
                (Some((key, place)), Some(tag)) if Arc::ptr_eq(key, &tag.key) => *place,
                _ => {
                    // What has no tag is filed where nothing is known of it.
                    let key = tag.map_or_else(|| name::folder(beginning).into(), |tag| Arc::clone(&tag.key));
                    let time = tag.map_or(Timestamp::UNIX_EPOCH, |tag| tag.time);
                    let place = place_of(&key, time, beginning, &mut places, &mut groups);
                    last = Some((key, place));
                    place
                }
            };
            let end = start + line.len();
            match groups[place].runs.last_mut() {
                Some(run) if run.part == part && run.bytes.end == start => run.bytes.end = end,
                _ => groups[place].runs.push(Run { part, bytes: start..end }),
            }
            start = end;
        }
    }
    groups
}

/// The index of the group with this key, which is made if there is room for it.
fn place_of(
    key: &Arc<str>,
    time: Timestamp,
    beginning: &str,
    places: &mut HashMap<Arc<str>, usize>,
    groups: &mut Vec<Group>,
) -> usize {
    if let Some(place) = places.get(key) {
        return *place;
    }
    let key: Arc<str> =
        if places.len() < MAX_GROUPS { Arc::clone(key) } else { format!("{}{OTHERS}", name::folder(beginning)).into() };
    // The folder of all others may be there already, by this way or as a key.
    *places.entry(Arc::clone(&key)).or_insert_with(|| {
        groups.push(Group { key, time, runs: Vec::new() });
        groups.len() - 1
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{Lines, Tag};

    /// A batch of parts, each of items with their keys.
    fn batch(parts: &[&[(&str, &str)]]) -> Batch {
        let lines = |items: &&[(&str, &str)]| {
            let mut lines = Lines::default();
            for (key, item) in *items {
                lines.push_with(|out| out.extend_from_slice(item.as_bytes()));
                lines.tag_last(Tag { id: [0; 16], time: Timestamp::UNIX_EPOCH, key: (*key).into() });
            }
            lines
        };
        Batch { parts: parts.iter().map(lines).collect(), range: None }
    }

    fn shown(batch: &Batch) -> Vec<String> {
        let texts = |group: &Group| {
            let pieces: Vec<_> = group.pieces(batch).map(|piece| String::from_utf8_lossy(piece)).collect();
            assert_eq!(group.total_bytes(), pieces.concat().len());
            assert_eq!(group.lines(batch).collect::<Vec<_>>().join(&b"\n"[..]), pieces.concat().trim_end().as_bytes());
            format!("{}: {}", group.key, pieces.join("|").replace('\n', ";"))
        };
        groups(batch, "a/b=").iter().map(texts).collect()
    }

    #[test]
    fn items_are_grouped_by_their_keys_in_order() {
        let parts: &[&[_]] = &[&[("x/", "1"), ("x/", "2"), ("y/", "3"), ("x/", "4")], &[], &[("x/", "5"), ("y/", "6")]];
        assert_eq!(shown(&batch(parts)), ["x/: 1;2;|4;|5;", "y/: 3;|6;"]);
        assert!(shown(&batch(&[])).is_empty());
    }

    #[test]
    fn what_has_no_tag_is_filed_too() {
        let mut lines = Lines::default();
        lines.push_with(|out| out.push(b'1'));
        assert_eq!(shown(&Batch { parts: vec![lines], range: None }), ["a/: 1;"]);
    }

    #[test]
    fn too_many_keys_share_one() {
        let keys: Vec<String> = (0..1003).map(|n| format!("a/b={n}/")).collect();
        let mut items: Vec<(&str, &str)> = keys.iter().map(|key| (key.as_str(), "1")).collect();
        items.extend([("a/b=0/", "2"), ("a/b=1002/", "3"), ("a/b=1001/", "4")]);
        let batch = batch(&[&items]);
        let shown = shown(&batch);
        assert_eq!(shown.len(), 1001);
        assert_eq!(shown[0], "a/b=0/: 1;|2;");
        assert_eq!(shown[1000], "a/other/: 1;1;1;|3;4;");
    }
}
