//! The cache: bodies that were fetched, for records that come again. A log event can be delivered twice, and a batch that
//! is read again points at the same bodies.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::Body;

/// What an entry costs beside its body: the path, twice, and the tables.
const ENTRY_BYTES: usize = 1024;

/// Bodies by path, the oldest given up first, never more bytes than its limit.
#[derive(Debug)]
pub(super) struct Cache {
    limit_bytes: usize,
    bytes: usize,
    bodies: HashMap<String, Arc<Body>>,
    oldest_first: VecDeque<String>,
}

impl Cache {
    pub(super) fn new(limit_bytes: usize) -> Self {
        Self { limit_bytes, bytes: 0, bodies: HashMap::new(), oldest_first: VecDeque::new() }
    }

    pub(super) fn get(&self, path: &str) -> Option<Arc<Body>> {
        self.bodies.get(path).cloned()
    }

    pub(super) fn put(&mut self, path: &str, body: &Arc<Body>) {
        let bytes = body.json().len() + ENTRY_BYTES;
        if bytes > self.limit_bytes || self.bodies.contains_key(path) {
            return;
        }
        while self.bytes + bytes > self.limit_bytes
            && let Some(path) = self.oldest_first.pop_front()
            && let Some(old) = self.bodies.remove(&path)
        {
            self.bytes -= old.json().len() + ENTRY_BYTES;
        }
        self.bytes += bytes;
        self.bodies.insert(path.to_owned(), Arc::clone(body));
        self.oldest_first.push_back(path.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bodies::object;

    #[test]
    fn the_oldest_goes_first_and_the_limit_holds() {
        let body = |bytes: usize| {
            let json = format!("\"{}\"", "x".repeat(bytes - 2));
            Arc::new(object::read(json.as_bytes(), bytes, 4).unwrap())
        };
        let mut cache = Cache::new(3 * 2048);
        for path in ["a", "b", "c", "a", "d"] {
            cache.put(path, &body(1024));
            assert!(cache.bytes <= cache.limit_bytes && cache.bodies.len() == cache.oldest_first.len());
        }
        let kept = ["a", "b", "c", "d"].map(|path| cache.get(path).is_some());
        assert_eq!(kept, [false, true, true, true]);
        cache.put("large", &body(8000));
        assert!(cache.get("large").is_none() && cache.get("d").is_some(), "what does not fit pushes nothing out");
    }
}
