//! The firehose sink's keys.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AwsAccess, Batching, Destination};
use crate::config::document::{KeyPath, Problem};
use crate::format::Format;
use crate::sink::{Opening, Planned, batch};

/// An Amazon Data Firehose delivery stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Firehose {
    /// The delivery stream's name.
    pub stream: String,
    /// How the service is reached.
    #[serde(flatten)]
    pub access: AwsAccess,
    /// How items are gathered.
    #[serde(flatten)]
    pub batching: Batching,
}

impl Destination for Firehose {
    const KIND: &'static str = "firehose";

    fn check(&self, _: Format, at: &KeyPath, problems: &mut Vec<Problem>) {
        self.access.check(at, problems);
    }

    fn describe(&self, format: &str) -> String {
        format!("firehose {}, {format}", self.stream)
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
