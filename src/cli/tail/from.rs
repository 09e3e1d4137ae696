//! Where invocations come from: files, or a stream that is read beside whatever else reads it.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::screen::Screen;
use crate::pipeline::{Limits, Settings};

/// Where invocations are read from.
#[derive(Debug)]
pub(super) enum From {
    /// Files, each once.
    Files(Vec<PathBuf>),
    /// What a configuration names as its source.
    Config(PathBuf),
    /// A stream.
    Stream(Stream),
}

/// A Kinesis data stream, and how to reach it; what is missing comes from the AWS configuration.
#[derive(Debug)]
pub(super) struct Stream {
    /// Its name or ARN.
    pub(super) name: String,
    pub(super) region: Option<String>,
    pub(super) profile: Option<String>,
    pub(super) endpoint_url: Option<String>,
}

impl From {
    /// What the pure line is told.
    pub(super) fn line(&self) -> anyhow::Result<Settings> {
        Ok(Settings {
            limits: Limits { inflated_bytes: 64 << 20, events: 100_000, depth: 128 },
            log_groups: globset::GlobSet::empty(),
            outputs: Vec::new(),
            source_id: None,
            source_label: None,
            unmapped: true,
        })
    }

    /// Reads to the end of the files, or until `stop` is cancelled; a stream from its newest record on, or from what
    /// arrived since.
    pub(super) async fn read(
        self,
        since: Option<Timestamp>,
        screen: Arc<Screen>,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let _ = (since, screen, stop);
        anyhow::bail!("not wired")
    }
}
