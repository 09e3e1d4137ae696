//! Looking at the lease table: at all of it now and then, and at a few leases in between.

use std::sync::Arc;

use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::{Backoff, Error, Event, Fleet, fraction};
use crate::lease::table::TableError;
use crate::lease::{Lease, LeaseKey, WorkerId};

impl Fleet {
    /// Looks at the leases that stand for other workers.
    pub(super) fn watch(&mut self, now: Instant) {
        self.watch_at = now + self.settings.timing.watch();
        let keys = self.view.watched();
        if keys.is_empty() {
            return;
        }
        self.is_watching = true;
        let table = Arc::clone(&self.table);
        self.tasks.spawn(async move {
            let mut seen = Vec::with_capacity(keys.len());
            for key in keys {
                match table.get(key.clone()).await {
                    Ok(lease) => seen.push((key, lease)),
                    Err(error) => debug!(lease = %key, %error, "a look at a lease failed"),
                }
            }
            Event::Watched(seen)
        });
    }

    pub(super) fn scanned(&mut self, scanned: Result<Vec<Lease>, TableError>, now: Instant) -> Result<(), Error> {
        self.is_scanning = false;
        self.no_scan_before = now + self.settings.timing.watch();
        match scanned {
            Ok(leases) => {
                self.scan_trouble = Backoff::brief();
                // A little more than the failover time, and not the same for all: so that what stood still from one look
                // to the next has expired.
                self.scan_at = now + self.settings.timing.failover.mul_f64(1.01 + 0.05 * fraction());
                let is_ours = |lease: &Lease| self.streams.iter().any(|known| known.stream.key == lease.key.stream);
                let (ours, others): (Vec<_>, Vec<_>) = leases.into_iter().partition(is_ours);
                if let (false, Some(other)) = (self.has_scanned, others.first()) {
                    warn!(table = self.table.name(), leases = others.len(), such_as = %other.key,
                        "the table holds leases of streams that this configuration does not name; they are left alone");
                }
                self.view.saw_all(ours, now);
                self.has_scanned = true;
                self.dead = self.view.dead(now);
                self.balance_soon(now);
            }
            Err(unusable @ TableError::Unusable { .. }) => return Err(unusable.into()),
            Err(error) => {
                warn!(%error, "the leases cannot be looked at, trying again");
                self.scan_at = now + self.scan_trouble.wait();
            }
        }
        Ok(())
    }

    pub(super) fn watched(&mut self, seen: Vec<(LeaseKey, Option<Lease>)>, now: Instant) {
        self.is_watching = false;
        let (mut has_changed, mut keys) = (false, Vec::with_capacity(seen.len()));
        for (key, lease) in seen {
            let before = self.view.get(&key);
            let hold = |lease: &Lease| (lease.owner.clone(), lease.draining.clone(), lease.is_ended());
            has_changed |= before.map(hold) != lease.as_ref().map(hold);
            match lease {
                Some(lease) => self.view.glimpsed(lease, now),
                None => self.view.forget(&key),
            }
            keys.push(key);
        }
        let dead = self.view.dead(now);
        let is_news = dead.difference(&self.dead).next().is_some();
        if is_news {
            info!(workers = ?dead.iter().map(WorkerId::as_str).collect::<Vec<_>>(), "workers are gone");
        }
        if has_changed || is_news || self.view.has_new_suspects(&keys) {
            self.scan_at = now;
        }
        self.dead = dead;
    }
}
