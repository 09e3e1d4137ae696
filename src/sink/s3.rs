//! Objects of an S3 bucket as a sink: each range of a partition becomes an object, or one for each prefix that its events
//! ask for, under a name that is made of the range alone.
//!
//! A batch is durable once each of its objects is complete. Whoever delivers a range again writes the same names, so that
//! nothing is there twice, and nothing has to be remembered between two calls.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use self::bucket::{Bucket, S3Error};
use self::group::Group;
use super::aside::{aside, ended};
use super::batch::{self, RangeLimits};
use super::retry::Patience;
use super::{Batch, Planned, Sink, SinkError, opening};
use crate::aws::Access;
use crate::format::key::{Place, Template};
use crate::source::BoxFuture;

mod bucket;
mod encode;
mod group;
mod name;
pub mod parquet;

/// The longest prefix in bytes: a key has 1024 at most, and the names leave as much. Source: the Amazon S3 User Guide,
/// "Naming Amazon S3 objects".
pub const MAX_PREFIX_BYTES: usize = 600;

/// Bytes at which objects of no range are closed. Somebody waits for rejects, and a sink that is not required has room for
/// 16 MiB, of which one half is under way while the other fills.
const LOOSE_BYTES: usize = 4 << 20;

/// The age at which objects of no range are closed: well within the time that a stop has.
const LOOSE_AGE: Duration = Duration::from_secs(5);

/// Where and how objects are written.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How to reach S3.
    pub access: Access,
    /// The bucket's name, or the ARN of an access point.
    pub bucket: String,
    /// Whether the bucket is named in the URL's path; none: if there is an endpoint of one's own.
    pub path_style: Option<bool>,
    /// Whether bodies go with a CRC32; none: unless there is an endpoint of one's own.
    pub crc32: Option<bool>,
    /// What names begin with.
    pub prefix: Arc<Template>,
    /// What an object holds.
    pub encoding: Encoding,
    /// The storage class.
    pub storage_class: Option<String>,
    /// How S3 encrypts objects.
    pub encryption: Option<Encryption>,
    /// The account that the bucket must belong to.
    pub expected_bucket_owner: Option<String>,
    /// Bytes of lines at which an object is closed.
    pub object_bytes: usize,
    /// The age at which an object is closed.
    pub object_age: Duration,
    /// Objects that are written at a time.
    pub concurrency: usize,
    /// How long a request may take.
    pub timeout: Duration,
    /// Bytes of a part. What has more than two parts is written in parts.
    pub part_bytes: usize,
}

impl Settings {
    /// What suits most, for this bucket.
    pub fn new(bucket: String) -> Self {
        Self {
            access: Access::default(),
            bucket,
            path_style: None,
            crc32: None,
            prefix: Arc::default(),
            encoding: Encoding::Zstd(1),
            storage_class: None,
            encryption: None,
            expected_bucket_owner: None,
            object_bytes: 64 << 20,
            object_age: Duration::from_secs(60),
            concurrency: 4,
            // The largest request has 16 MiB, which takes a minute at 2 Mbit/s.
            timeout: Duration::from_secs(120),
            // S3 takes parts of 5 MiB at least. Source: the Amazon S3 User Guide, "Multipart upload limits".
            part_bytes: 8 << 20,
        }
    }
}

/// What an object holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Lines.
    Plain,
    /// Lines in gzip, at this level of libdeflate.
    Gzip(i32),
    /// Lines in zstd, at this level.
    Zstd(i32),
    /// Rows.
    Parquet,
}

impl Encoding {
    /// How names end.
    fn extension(self) -> &'static str {
        match self {
            Self::Plain => ".jsonl",
            Self::Gzip(_) => ".jsonl.gz",
            Self::Zstd(_) => ".jsonl.zst",
            Self::Parquet => ".parquet",
        }
    }

    /// The media type. What is compressed is stored as a compressed file, not as an encoding of another: clients that undo
    /// a Content-Encoding would save a `.gz` that is none.
    fn content_type(self) -> &'static str {
        match self {
            Self::Plain => "application/x-ndjson",
            Self::Gzip(_) => "application/gzip",
            Self::Zstd(_) => "application/zstd",
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }
}

/// How S3 encrypts objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// With keys of S3's own.
    Aes256,
    /// With this key of KMS, or the AWS managed one.
    Kms(Option<String>),
}

/// The bytes of the longest prefix that a template becomes.
pub fn longest_prefix_bytes(template: &Template) -> usize {
    // What is filled in here is as long as it ever gets, but for what a record says.
    let filled = template.tag_of([0; 16], jiff::Timestamp::UNIX_EPOCH).key.len();
    let is_of_record = |place: &Place| {
        matches!(place, Place::Account | Place::Region | Place::Model | Place::Provider | Place::Operation)
    };
    filled + template.places().filter(is_of_record).count() * (100 - "unknown".len())
}

/// An S3 sink to open. It takes every item.
pub fn planned(settings: Settings) -> Planned {
    let batch = batch::Settings {
        max_batch_bytes: settings.object_bytes.min(LOOSE_BYTES),
        linger: settings.object_age.min(LOOSE_AGE),
        concurrency: settings.concurrency,
        ranges: Some(RangeLimits { bytes: settings.object_bytes, age: settings.object_age }),
        patience: Patience::Unlimited,
        ..batch::Settings::DEFAULT
    };
    let tags = Some(Arc::clone(&settings.prefix));
    Planned { opening: opening(S3Sink::open(settings)), batch, tags, may_refuse: false }
}

/// The sink.
struct S3Sink {
    bucket: Arc<Bucket>,
    prefix: Arc<Template>,
    encoding: Encoding,
    /// Objects that are encoded and written at a time, over all batches: it bounds the memory that encoded ones take.
    objects: Arc<Semaphore>,
}

impl S3Sink {
    async fn open(settings: Settings) -> anyhow::Result<Self> {
        let (prefix, encoding) = (Arc::clone(&settings.prefix), settings.encoding);
        let objects = Arc::new(Semaphore::new(settings.concurrency.max(1)));
        Ok(Self { bucket: Arc::new(Bucket::connect(settings).await?), prefix, encoding, objects })
    }

    async fn write(&self, batch: Arc<Batch>) -> Result<(), SinkError> {
        let (of, prefix) = (Arc::clone(&batch), Arc::clone(&self.prefix));
        let groups = aside(move || group::groups(&of, prefix.beginning())).await?;
        // Dropped with this future, and all its tasks with it.
        let mut under_way = JoinSet::new();
        for group in groups {
            let permit = Arc::clone(&self.objects).acquire_owned().await;
            while let Some(done) = under_way.try_join_next() {
                done.map_err(ended)??;
            }
            let (batch, bucket, encoding) = (Arc::clone(&batch), Arc::clone(&self.bucket), self.encoding);
            under_way.spawn(async move {
                // A blocking task goes on when this one is dropped: the permit is with it.
                let (object, _permit) = aside(move || (object(&batch, &group, encoding), permit)).await?;
                let (key, body) = object.map_err(SinkError::retry)?;
                bucket.put(&key, body).await.map_err(S3Error::into_sink_error)
            });
        }
        while let Some(done) = under_way.join_next().await {
            done.map_err(ended)??;
        }
        Ok(())
    }
}

impl Sink for S3Sink {
    fn deliver(&self, batch: Arc<Batch>) -> BoxFuture<'_, Result<(), SinkError>> {
        Box::pin(self.write(batch))
    }

    fn probe(&self) -> BoxFuture<'_, Result<(), SinkError>> {
        let key = format!("{}bedrock-tap-probe{}", name::folder(self.prefix.beginning()), self.encoding.extension());
        Box::pin(async move { self.bucket.probe(&key).await.map_err(S3Error::into_sink_error) })
    }
}

/// The key and the bytes of a group's object.
fn object(batch: &Batch, group: &Group, encoding: Encoding) -> Result<(String, Bytes), encode::EncodeError> {
    let body = encode::encode(batch, group, encoding)?;
    let name = match &batch.range {
        Some(range) => name::of_range(range),
        None => name::of_content(group.time, &body),
    };
    Ok((format!("{}{name}{}", group.key, encoding.extension()), Bytes::from(body)))
}
