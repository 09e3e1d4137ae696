//! From a configuration to a source of the kind s3.

use std::sync::Arc;

use super::list;
use crate::config::{Config, S3Source};
use crate::daemon::{Seam, SourcePlan};

/// The source.
pub(super) fn source(source: &S3Source, config: &Config) -> SourcePlan {
    match &source.list {
        Some(list) => list::source(source.aws.access(), list, config, Arc::default()),
        None => SourcePlan::Partitions(Box::new(|_: Seam| Box::pin(async { anyhow::bail!("is not there yet") }))),
    }
}
