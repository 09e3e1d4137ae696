//! Placing leases: the shards of a stream are listed, leases that are missing are created, and those that are over are
//! deleted. Any worker does it, whenever; each write is on a condition, so that several at once do no harm.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{info, warn};

use super::{CallError, Error, Event, Fleet, Graph, Lease, Table, TableError, shards};
use crate::lease::ready::Leases;
use crate::source::kinesis::coordinator::MAX_CHILD_LOOKS;
use crate::source::kinesis::pace::fraction;
use crate::source::kinesis::poll::margin_before;
use crate::source::kinesis::refusal::made_anew;

/// Leases that are created at a time. A start that is cut off, or that meets another worker's, has done that many for
/// nothing at most.
const CREATED_AT_A_TIME: usize = 32;

/// What became of the leases that were to be created.
#[derive(Default)]
pub(super) struct Created {
    leases: Vec<Lease>,
    /// Another worker creates them too.
    has_met_another: bool,
    failure: Option<TableError>,
}

impl Fleet {
    pub(super) fn listed(
        &mut self,
        stream: usize,
        asked: (Timestamp, Instant),
        listed: Result<Graph, CallError>,
        now: Instant,
    ) -> Result<(), Error> {
        let workers = self.workers();
        let audit = self.settings.audit_interval.mul_f64(workers as f64 * (0.5 + fraction()));
        let known = &mut self.streams[stream];
        known.is_listing = false;
        match listed {
            Ok(graph) => {
                (known.brief, known.slow) = (super::Backoff::brief(), super::Backoff::slow());
                let ours = self.view.leases().filter(|lease| lease.key.stream == known.stream.key && lease.is_ended());
                if let Some(shard) = known.reopened.look(&graph, ours.map(|lease| &lease.key.shard), now) {
                    return Err(made_anew(&known.stream.kinesis, &shard).into());
                }
                known.graph = Some((graph, asked.1));
                known.list_at = now + audit;
                self.place(stream, asked.0, now);
                self.balance_soon(now);
                Ok(())
            }
            Err(failure) => {
                let wait = shards::listing_failed(&known.stream.kinesis, failure, &mut known.brief, &mut known.slow)?;
                known.list_at = now + wait;
                Ok(())
            }
        }
    }

    /// Creates what is missing and deletes what is over.
    fn place(&mut self, stream: usize, asked: Timestamp, now: Instant) {
        let known = &self.streams[stream];
        let Some((graph, _)) = &known.graph else { return };
        let key = known.stream.key.clone();
        let leases: Leases<'_> = self.view.leases().filter(|lease| lease.key.stream == key).collect();
        let missing = leases.missing(key.as_ref(), graph, self.settings.start, margin_before(asked));
        let over = self.view.leases().filter(|lease| lease.key.stream == key && leases.is_over(lease, graph));
        let over: Vec<_> = over.map(|lease| (lease.key.clone(), lease.counter)).collect();
        let is_childless =
            |lease: &Lease| lease.is_ended() && graph.has(&lease.key.shard) && !graph.has_child_of(&lease.key.shard);
        let mut ours = self.view.leases().filter(|lease| lease.key.stream == key);
        let has_unlisted_children = graph.shards().next().is_none() || ours.any(is_childless);
        let known = &mut self.streams[stream];
        if has_unlisted_children && known.unlisted_children < MAX_CHILD_LOOKS {
            known.unlisted_children += 1;
            known.list_at = known.list_at.min(now + Duration::from_secs(1) * known.unlisted_children);
        }
        if !missing.is_empty() && !known.is_creating && known.create_at <= now {
            info!(stream = %known.stream.kinesis.resource(), leases = missing.len(), "creating leases");
            known.is_creating = true;
            let table = Arc::clone(&self.table);
            self.tasks.spawn(async move { Event::Created { stream, created: create(table, missing).await } });
        }
        if !over.is_empty() {
            let table = Arc::clone(&self.table);
            self.tasks.spawn(async move {
                let mut deleted = Vec::new();
                for (key, counter) in over {
                    match table.delete(key.clone(), counter).await {
                        Ok(true) => deleted.push(key),
                        Ok(false) => {}
                        Err(error) => warn!(lease = %key, %error, "a lease that is over cannot be deleted"),
                    }
                }
                if !deleted.is_empty() {
                    info!(leases = deleted.len(), "leases of shards that left the stream are deleted");
                }
                Event::Deleted(deleted)
            });
        }
    }

    pub(super) fn created(&mut self, stream: usize, created: Created, now: Instant) -> Result<(), Error> {
        let Created { leases, has_met_another, failure } = created;
        for lease in leases {
            self.view.saw(lease, now);
        }
        let known = &mut self.streams[stream];
        known.is_creating = false;
        match failure {
            Some(unusable @ TableError::Unusable { .. }) => return Err(unusable.into()),
            Some(error) => warn!(%error, "leases cannot be created, trying again"),
            // Whoever began goes on; this worker sees later whether anything was left out.
            None if has_met_another => self.scan_at = now,
            None => {
                known.create_trouble = super::Backoff::slow();
                self.balance_soon(now);
                return Ok(());
            }
        }
        known.create_at = now + known.create_trouble.wait();
        known.list_at = known.list_at.min(known.create_at);
        self.balance_soon(now);
        Ok(())
    }

    /// The workers that hold leases, this one among them.
    fn workers(&self) -> usize {
        let held = self.view.leases().filter(|lease| !lease.is_ended());
        let owners = held.filter_map(|lease| lease.owner.as_ref()).filter(|owner| self.view.is_live(owner));
        owners.chain([self.view.me()]).collect::<std::collections::BTreeSet<_>>().len()
    }
}

/// Creates leases, some at a time and in their order, until another worker is met that does the same.
async fn create(table: Arc<dyn Table>, missing: Vec<Lease>) -> Created {
    let mut created = Created::default();
    for some in missing.chunks(CREATED_AT_A_TIME) {
        let mut writes = JoinSet::new();
        for lease in some.iter().cloned() {
            let table = Arc::clone(&table);
            writes.spawn(async move { (table.create(lease.clone()).await, lease) });
        }
        for (written, lease) in writes.join_all().await {
            match written {
                Ok(true) => created.leases.push(lease),
                Ok(false) => created.has_met_another = true,
                Err(failure) => created.failure = Some(failure),
            }
        }
        if created.has_met_another || created.failure.is_some() {
            break;
        }
    }
    created
}
