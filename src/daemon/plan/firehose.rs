//! From a configuration to a source of the kind firehose.

use std::sync::Arc;

use crate::checkpoint::nowhere::Nowhere;
use crate::config::{Config, FirehoseSource};
use crate::daemon::{Seam, SourcePlan};
use crate::source::firehose::limits::Limits;
use crate::source::firehose::{CertificateFiles, Endpoint, EndpointError, REFRESH_INTERVAL, Settings};

/// The source.
pub(super) fn source(source: &FirehoseSource, config: &Config) -> SourcePlan {
    let settings = settings(source, config);
    SourcePlan::Partitions(Box::new(|Seam { engine, budget, stop, .. }: Seam| {
        Box::pin(async move {
            // A request has no place to come back to: Firehose sends it again until it is answered.
            let lanes = engine.without_ranges().with_checkpoints(Arc::new(Nowhere));
            let endpoint = Endpoint::open(settings).await?;
            endpoint.serve(Arc::new(lanes), budget, stop).await.map_err(|error| match error {
                EndpointError::Lane(error) => error.into(),
                error => error.into(),
            })
        })
    }))
}

fn settings(source: &FirehoseSource, config: &Config) -> Settings {
    Settings {
        listen: source.listen,
        path: source.path.clone(),
        access_keys: source.access_keys.clone(),
        tls: source
            .tls
            .as_ref()
            .map(|tls| CertificateFiles { certificate: tls.certificate.clone(), key: tls.key.clone() }),
        answer_timeout: source.answer_timeout,
        limits: Limits {
            connections: source.max_connections as usize,
            requests: source.max_requests as usize,
            headers: source.max_headers as usize,
            header_bytes: source.max_header_size.as_usize(),
            header_timeout: source.header_timeout,
            body_timeout: source.body_timeout,
            idle_timeout: source.idle_timeout,
            busy_timeout: source.busy_timeout,
        },
        refresh_interval: REFRESH_INTERVAL,
        drain: config.drain_timeout,
    }
}
