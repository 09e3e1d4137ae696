//! The ledger: what was written to the stream and where, against what the workers delivered.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use tokio::time::{sleep, timeout};

use super::worker::{Delivery, Worker};
use crate::support::kinesis_double::Double;

/// Missing ids that a failed test names.
const NAMED: usize = 20;

/// Where an event was written.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) shard: String,
    pub(super) sequence: String,
    pub(super) at: Instant,
}

/// The request ids that were written, and their places.
#[derive(Default)]
pub(super) struct Ledger {
    written: Mutex<BTreeMap<String, Place>>,
}

impl Ledger {
    /// Writes records with so many events each, under new ids that are known from then on.
    pub(super) async fn write(&self, double: &Double, events: &[usize]) {
        let first = self.len();
        let mut ids = (first..).map(|number| format!("request-{number:07}"));
        let records: Vec<Vec<_>> = events.iter().map(|count| ids.by_ref().take(*count).collect()).collect();
        let envelopes: Vec<_> = records.iter().map(|ids| (ids[0].clone(), envelope(ids))).collect();
        let places = double.write(&envelopes).await;
        let at = Instant::now();
        let mut written = self.lock();
        for (ids, (shard, sequence)) in records.into_iter().zip(places) {
            let place = |id| (id, Place { shard: shard.clone(), sequence: sequence.clone(), at });
            written.extend(ids.into_iter().map(place));
        }
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    pub(super) fn place(&self, id: &str) -> Option<Place> {
        self.lock().get(id).cloned()
    }

    /// All ids, and where they were written.
    pub(super) fn places(&self) -> BTreeMap<String, Place> {
        self.lock().clone()
    }

    /// The ids that no worker has delivered.
    pub(super) fn missing(&self, workers: &[&Worker]) -> Vec<String> {
        let delivered: BTreeSet<_> = workers.iter().flat_map(|worker| worker.delivered()).map(|one| one.id).collect();
        self.lock().keys().filter(|id| !delivered.contains(*id)).cloned().collect()
    }

    /// Waits until everything is delivered, and fails with what is not.
    pub(super) async fn until_delivered(&self, workers: &[&Worker], within: Duration) {
        let all = timeout(within, async {
            while !self.missing(workers).is_empty() {
                sleep(Duration::from_millis(100)).await;
            }
        });
        if all.await.is_err() {
            let missing = self.missing(workers);
            panic!("{}{}", self.describe(&missing), logs(workers));
        }
    }

    /// Asserts that what was delivered is what was written, and that nothing was rejected. Gives the deliveries by id.
    pub(super) fn check<'w>(&self, workers: &[&'w Worker]) -> BTreeMap<String, Vec<(&'w str, Delivery)>> {
        let mut deliveries = BTreeMap::<_, Vec<_>>::new();
        for worker in workers {
            for delivery in worker.delivered() {
                deliveries.entry(delivery.id.clone()).or_default().push((worker.name.as_str(), delivery));
            }
            assert_eq!(worker.letters(), "", "{} rejected something", worker.name);
            assert!(!worker.log().contains("request-0"), "the log of {} holds what was read", worker.name);
        }
        let missing = self.missing(workers);
        assert!(missing.is_empty(), "{}{}", self.describe(&missing), logs(workers));
        let unknown: Vec<_> = deliveries.keys().filter(|id| self.place(id).is_none()).take(NAMED).collect();
        assert!(unknown.is_empty(), "never written: {unknown:?}");
        deliveries
    }

    fn describe(&self, missing: &[String]) -> String {
        let mut text = format!("{} of {} events were not delivered:\n", missing.len(), self.len());
        for id in missing.iter().take(NAMED) {
            let Place { shard, sequence, at } = self.place(id).unwrap();
            writeln!(text, "{id} in {shard} at {sequence}, {:?} ago", at.elapsed()).unwrap();
        }
        text
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Place>> {
        self.written.lock().unwrap()
    }
}

/// The ends of the workers' logs.
pub(super) fn logs(workers: &[&Worker]) -> String {
    workers.iter().map(|worker| worker.log_tail()).collect()
}

/// A record as a subscription of CloudWatch Logs writes it.
fn envelope(ids: &[String]) -> Vec<u8> {
    let event = |id: &String| {
        let message = json!({
            "schemaType": "ModelInvocationLog", "schemaVersion": "1.0", "timestamp": "2026-01-02T03:04:05Z",
            "accountId": "123456789012", "region": "us-east-1", "requestId": id, "operation": "Converse",
            "modelId": "amazon.nova-lite-v1:0",
        });
        json!({ "id": id, "timestamp": 1_767_323_045_000_u64, "message": message.to_string() })
    };
    let envelope = json!({
        "messageType": "DATA_MESSAGE", "owner": "123456789012", "logGroup": "/aws/bedrock/modelinvocations",
        "logStream": "aws/bedrock/modelinvocations", "subscriptionFilters": ["bedrock"],
        "logEvents": ids.iter().map(event).collect::<Vec<_>>(),
    });
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(envelope.to_string().as_bytes()).unwrap();
    gzip.finish().unwrap()
}
