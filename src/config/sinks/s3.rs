//! The s3 sink's keys.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AwsAccess, Batching, Destination};
use crate::config::document::{KeyPath, Problem};
use crate::format::Format;
use crate::sink::{Opening, Planned, batch};

/// Objects of an S3 bucket, or of one at any S3-compatible endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct S3 {
    /// The bucket.
    pub bucket: String,
    /// How the service is reached.
    #[serde(flatten)]
    pub access: AwsAccess,
    /// How items are gathered.
    #[serde(flatten)]
    pub batching: Batching,
}

impl Destination for S3 {
    const KIND: &'static str = "s3";

    fn check(&self, _: Format, at: &KeyPath, problems: &mut Vec<Problem>) {
        self.access.check(at, problems);
    }

    fn describe(&self, format: &str) -> String {
        format!("s3 {}, {format}", self.bucket)
    }

    fn plan(&self, _: Format) -> Planned {
        let opening: Opening = Box::new(|| Box::pin(std::future::ready(Err(anyhow::anyhow!("not there yet")))));
        Planned {
            opening,
            batch: self.batching.settings(1 << 20, batch::Settings::DEFAULT),
            tags: None,
            may_refuse: true,
        }
    }
}
