//! From a configuration to a source of the kind cloudwatch.

use crate::config::{CloudwatchSource, Config};
use crate::daemon::{Seam, SourcePlan};

/// The source.
pub(super) fn source(source: &CloudwatchSource, config: &Config) -> SourcePlan {
    let _ = (source, config);
    SourcePlan::Partitions(Box::new(|_: Seam| Box::pin(async { anyhow::bail!("is not there yet") })))
}
