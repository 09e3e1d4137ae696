//! From a configuration to a source of the kind s3.

use std::sync::Arc;

use super::list;
use crate::checkpoint::nowhere::Nowhere;
use crate::config::{Config, S3Source};
use crate::daemon::{Seam, SourcePlan};
use crate::source::s3::notified::{Notified, Settings};
use crate::source::s3::queue;

/// The source.
pub(super) fn source(source: &S3Source, config: &Config) -> SourcePlan {
    if let Some(listed) = &source.list {
        return list::source(source.access(), listed, source.choice(), config, Arc::default());
    }
    let settings = Settings {
        access: source.access(),
        queue: queue::Settings {
            access: source.queue_access(),
            // A configuration that was checked has one.
            url: source.queue_url.clone().unwrap_or_default(),
        },
        choice: source.choice(),
        concurrency: usize::from(source.concurrency),
        visibility: source.visibility_timeout,
        drain: config.drain_timeout,
        max_inflated_bytes: config.decode.limits().inflated_bytes,
    };
    SourcePlan::Partitions(Box::new(|seam: Seam| {
        Box::pin(async move {
            let Seam { engine, budget, stop, .. } = seam;
            let Some(notified) = stop.run_until_cancelled(Notified::connect(settings)).await else { return Ok(()) };
            // What has no position has no place for ranges either.
            let lanes = Arc::new(engine.without_ranges().with_checkpoints(Arc::new(Nowhere)));
            Ok(notified?.run(lanes, budget, stop).await?)
        })
    }))
}
