//! From a configuration to a list of objects as a source.

use std::sync::Arc;

use anyhow::Context as _;

use crate::aws::Access;
use crate::config::{Config, S3List};
use crate::daemon::{Seam, SourcePlan};
use crate::source::s3::choice::Choice;
use crate::source::s3::list::{self, Endless, Growing, Range, Runners};
use crate::source::s3::object::Objects;
use crate::source::several::Progress;

/// What is listed.
pub(super) fn settings(list: &S3List, choice: Choice, config: &Config) -> list::Settings {
    // The configuration's own check refuses what is no place.
    let (bucket, prefix) = S3List::place(&list.url).unwrap_or_default();
    let Range { from, to } = Range::ALL;
    list::Settings {
        bucket: bucket.into(),
        prefix: prefix.into(),
        range: Range { from: list.from.unwrap_or(from), to: list.to.unwrap_or(to) },
        choice,
        concurrency: usize::from(list.concurrency),
        max_inflated_bytes: config.decode.limits().inflated_bytes,
        stream: format!("s3://{bucket}").into(),
        page_keys: list::PAGE_KEYS,
    }
}

/// What is there, read once. A folder that may get more is looked at again by the next start.
pub(super) fn source(
    access: Access,
    list: &S3List,
    choice: Choice,
    config: &Config,
    progress: Arc<Progress>,
) -> SourcePlan {
    let settings = settings(list, choice, config);
    SourcePlan::Partitions(Box::new(move |seam: Seam| {
        Box::pin(async move {
            let Seam { engine, checkpoints, budget, stop } = seam;
            let objects = Box::pin(Objects::connect(&access)).await.context("S3 cannot be reached")?;
            let store = Arc::new(Endless::new(Arc::clone(&checkpoints)));
            // Names of ranges are made of sequence numbers, and keys are none.
            let engine = engine.without_ranges();
            let growing = Growing { lanes: Arc::new(engine.with_checkpoints(store.clone())), store };
            let runners = Runners { lanes: Arc::new(engine), growing: Some(growing) };
            list::run(settings, objects, runners, checkpoints, budget, progress, stop).await?;
            Ok(())
        })
    }))
}
