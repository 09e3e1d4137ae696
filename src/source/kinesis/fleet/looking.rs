//! Looking at the lease table: at all of it now and then, and at a few leases in between.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{info, warn};

use super::{Backoff, Error, Event, Fleet, LEFT_OVERS_FOR, fraction};
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
        let mut looks = JoinSet::new();
        for key in keys {
            let table = Arc::clone(&self.table);
            looks.spawn(async move { (table.get(key.clone()).await, key) });
        }
        let keeper = self.keeper.clone();
        self.tasks.spawn(async move {
            let mut seen = Vec::with_capacity(looks.len());
            for (look, key) in looks.join_all().await {
                match look {
                    Ok(lease) => seen.push((key, lease)),
                    Err(error) => keeper.complain(&key, &error, "a look at a lease failed"),
                }
            }
            Event::Watched(seen)
        });
    }

    /// Whether a lease is told by its stream where ours are not, or the other way round.
    fn is_of_another_kind(&self, lease: &Lease) -> bool {
        self.streams.iter().any(|known| known.stream.key.is_some() != lease.key.stream.is_some())
    }

    /// The table is another configuration's: what it holds would be begun anew beside it.
    fn other_kind(&self, lease: &Lease) -> TableError {
        let reason = format!(
            "its leases, such as {}, are those of {}",
            lease.key,
            match lease.key.stream {
                Some(_) => "several streams (`streams`)",
                None => "a single stream (`stream`)",
            }
        );
        let advice = "name the source in the same way as before, or take another table, which begins at `start`";
        TableError::Unusable { table: self.table.name().to_owned(), reason, advice: advice.to_owned() }
    }

    pub(super) fn scanned(
        &mut self,
        scanned: Result<Vec<Lease>, TableError>,
        asked: Instant,
        now: Instant,
    ) -> Result<(), Error> {
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
                if let Some(other) = others.iter().find(|other| self.is_of_another_kind(other)) {
                    return Err(self.other_kind(other).into());
                }
                if let (false, Some(other)) = (self.has_scanned, others.first()) {
                    warn!(table = self.table.name(), leases = others.len(), such_as = %other.key,
                        "the table holds leases of streams that this configuration does not name; they are left alone");
                }
                self.view.saw_all(ours, asked, now);
                (self.has_scanned, self.has_taken) = (true, false);
                self.note_dead(now);
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

    /// Whether workers are gone that were not before.
    fn note_dead(&mut self, now: Instant) -> bool {
        let dead = self.view.note_dead(now);
        if !dead.is_empty() {
            info!(workers = ?dead.iter().map(WorkerId::as_str).collect::<Vec<_>>(), "workers are gone");
        }
        !dead.is_empty()
    }

    pub(super) fn watched(&mut self, seen: Vec<(LeaseKey, Option<Lease>)>, now: Instant) {
        self.is_watching = false;
        let (mut has_changed, mut keys) = (false, Vec::with_capacity(seen.len()));
        for (key, lease) in seen {
            let before = self.view.get(&key);
            let hold = |lease: &Lease| (lease.owner.clone(), lease.draining.clone(), lease.is_ended());
            has_changed |= before.map(hold) != lease.as_ref().map(hold);
            let is_released = before.is_some_and(|lease| lease.owner.is_some() && !lease.is_ended())
                && lease.as_ref().is_some_and(|lease| lease.owner.is_none() && !lease.is_ended());
            if is_released {
                self.left_overs_until = now + LEFT_OVERS_FOR;
            }
            match lease {
                Some(lease) => self.view.glimpsed(lease, now),
                None => self.view.forget(&key),
            }
            keys.push(key);
        }
        let is_news = self.note_dead(now);
        if has_changed || is_news || self.view.has_new_suspects(&keys) {
            self.scan_at = now;
        }
    }
}
