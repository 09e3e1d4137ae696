//! Nodes: the URLs of one cluster, asked in turn. One that fails is left alone for a while.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::Url;
use tokio::time::Instant;

/// How long a node that fails is left alone, as long as others do not: a restart takes about this long.
const REST: Duration = Duration::from_secs(30);

/// The nodes of a cluster.
#[derive(Debug)]
pub(super) struct Nodes {
    urls: Vec<Url>,
    next: AtomicUsize,
    /// Until when each is left alone.
    resting: Mutex<Vec<Option<Instant>>>,
}

impl Nodes {
    /// These nodes, of which there is at least one.
    pub(super) fn new(urls: Vec<Url>) -> Self {
        let resting = Mutex::new(vec![None; urls.len()]);
        Self { urls, next: AtomicUsize::new(0), resting }
    }

    pub(super) fn all(&self) -> &[Url] {
        &self.urls
    }

    /// The node whose turn it is, with its index. Where all are to be left alone, it is the one that has been for longest.
    pub(super) fn next(&self) -> (usize, &Url) {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        let until = |node: usize| {
            let resting = self.resting.lock().ok();
            resting.and_then(|resting| resting.get(node).copied().flatten()).filter(|until| *until > now)
        };
        let turns = (0..self.urls.len()).map(|turn| (first.wrapping_add(turn)) % self.urls.len());
        let node = turns.min_by_key(|node| until(*node)).unwrap_or_default();
        (node, &self.urls[node])
    }

    /// Leaves a node alone for a while.
    pub(super) fn failed(&self, node: usize) {
        self.rest(node, Some(Instant::now() + REST));
    }

    /// Says that a node works.
    pub(super) fn works(&self, node: usize) {
        self.rest(node, None);
    }

    fn rest(&self, node: usize, until: Option<Instant>) {
        let mut resting = self.resting.lock().ok();
        if let Some(place) = resting.as_mut().and_then(|resting| resting.get_mut(node)) {
            *place = until;
        }
    }
}

/// A node's host and port, for messages.
pub(super) fn name(node: &Url) -> String {
    let port = node.port_or_known_default().unwrap_or_default();
    format!("{}:{port}", node.host_str().unwrap_or_default())
}

/// The URL of a path below a node's.
pub(super) fn below(node: &Url, path: &[&str]) -> Url {
    let mut url = node.clone();
    // Only URLs without a host have no path.
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path);
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nodes_are_asked_in_turn_and_failed_ones_later() {
        let urls = ["http://a:9200", "http://b:9200/es/", "http://c:9200"].map(|url| url.parse().unwrap());
        let nodes = Nodes::new(urls.to_vec());
        let turns = |count: usize| (0..count).map(|_| nodes.next().0).collect::<Vec<_>>();
        assert_eq!(turns(4), [0, 1, 2, 0]);
        nodes.failed(1);
        assert!(!turns(6).contains(&1));
        tokio::time::advance(REST / 2).await;
        nodes.failed(0);
        nodes.failed(2);
        assert_eq!(turns(3), [1, 1, 1], "the one that has rested for longest");
        tokio::time::advance(Duration::from_millis(1)).await;
        nodes.failed(1);
        assert!(!turns(3).contains(&1));
        nodes.works(2);
        assert_eq!(turns(3), [2, 2, 2]);
        tokio::time::advance(REST).await;
        let mut all = turns(3);
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2]);
    }

    #[test]
    fn a_path_is_put_below_a_nodes() {
        let check = |node: &str, expected: &str| {
            assert_eq!(below(&node.parse().unwrap(), &["_bulk"]).as_str(), expected);
        };
        check("http://a:9200", "http://a:9200/_bulk");
        check("https://a/es/", "https://a/es/_bulk");
        check("https://a/es", "https://a/es/_bulk");
    }
}
