//! The S3 way: queue and buckets.

use super::{failed, needed, ok, refused, warning};
use crate::doctor::Check;
use crate::doctor::facts::{Facts, Refused};

/// As long as SQS keeps messages at most.
const MOST_SECONDS: u64 = 14 * 24 * 60 * 60;

pub(super) fn judge(facts: &Facts, checks: &mut Vec<Check>) {
    if let Some(queue) = &facts.queue {
        // The URL may have been written with a password; its end is the account and the name.
        let name = queue.url.rsplit('/').next().unwrap_or_default();
        match &queue.found {
            Ok(found) => {
                checks.push(ok("queue.exists", name, format!("the queue {name} answers")));
                checks.push(match found.has_redrive {
                    true => ok("queue.redrive", name, "has a dead-letter queue"),
                    false => warning("queue.redrive", name, "has no dead-letter queue: what cannot be read comes back")
                        .fix("give it a redrive policy"),
                });
                let days = found.retention_seconds / (24 * 60 * 60);
                checks.push(match found.retention_seconds >= MOST_SECONDS {
                    true => ok("queue.retention", name, format!("messages are kept for {days} days")),
                    false => warning("queue.retention", name, format!("messages are kept for {days} days"))
                        .fix("set MessageRetentionPeriod to 1209600: so long may this service be down"),
                });
            }
            Err(refusal) if refusal.refused == Refused::Missing => {
                checks.push(failed("queue.exists", name, format!("there is no queue {name}")).fix(refusal.way_out()));
            }
            Err(refusal) => checks.push(needed("queue.exists", name, refusal)),
        }
    }
    for bucket in &facts.buckets {
        let (id, name) = ("bucket.exists", bucket.name.as_str());
        checks.push(match &bucket.found {
            Ok(()) => ok(id, name, format!("the bucket {name} answers")),
            Err(refusal) if refusal.refused == Refused::Missing => {
                failed(id, name, format!("there is no bucket {name}")).fix(refusal.way_out())
            }
            Err(refusal) => refused(id, name, refusal),
        });
    }
}
