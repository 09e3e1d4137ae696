//! The bucket: its client, whole objects and objects in parts, and what its errors mean.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{RequestChecksumCalculation, ResponseChecksumValidation};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::RequestId;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, ServerSideEncryption};
use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::{Encryption, Settings};
use crate::aws::AccessError;
use crate::aws::calls::CALLS;
use crate::aws::error::{CREDENTIALS_ADVICE, Failure, Meaning};
use crate::sink::SinkError;
use crate::sink::service;

/// Parts of one object that are on their way at a time. They are slices of it, so they cost no memory.
const PARTS_AT_A_TIME: usize = 4;

/// The most parts of an object. Source: the Amazon S3 User Guide, "Multipart upload limits".
const MAX_PARTS: usize = 10_000;

/// A bucket and how objects are written to it.
pub(super) struct Bucket {
    client: Client,
    checksum: Option<ChecksumAlgorithm>,
    settings: Settings,
}

/// A call that failed. It says nothing that S3 said but a code, which is kept short: the rest may quote what was sent.
#[derive(Debug, thiserror::Error)]
#[error("{action} in the bucket {bucket} failed: {code}{}", .advice.map(|advice| format!("; {advice}")).unwrap_or_default())]
pub(super) struct S3Error {
    action: &'static str,
    bucket: String,
    code: String,
    advice: Option<&'static str>,
    after: Option<Duration>,
}

impl S3Error {
    /// Everything may change: a person mends a right or a bucket, and a sink that is required holds until then.
    pub(super) fn into_sink_error(self) -> SinkError {
        SinkError::Retry { after: self.after, source: Box::new(self) }
    }
}

/// Sets what a request has that begins an object.
macro_rules! described {
    ($self:ident, $request:expr, $key:expr) => {{
        let Settings { encoding, storage_class, encryption, .. } = &$self.settings;
        let (encryption, key_id) = match encryption {
            None => (None, None),
            Some(Encryption::Aes256) => (Some(ServerSideEncryption::Aes256), None),
            Some(Encryption::Kms(key_id)) => (Some(ServerSideEncryption::AwsKms), key_id.clone()),
        };
        of_bucket!($self, $request, $key)
            .set_checksum_algorithm($self.checksum.clone())
            .content_type(encoding.content_type())
            .set_storage_class(storage_class.as_deref().map(From::from))
            .set_server_side_encryption(encryption)
            .set_ssekms_key_id(key_id)
    }};
}

/// Sets what every request has.
macro_rules! of_bucket {
    ($self:ident, $request:expr, $key:expr) => {
        $request
            .bucket(&$self.settings.bucket)
            .key($key)
            .set_expected_bucket_owner($self.settings.expected_bucket_owner.clone())
    };
}

impl Bucket {
    /// Finds Region and credentials and makes the client. No request is sent.
    pub(super) async fn connect(settings: Settings) -> Result<Self, AccessError> {
        let config = service::load(&settings.access, settings.timeout).await?;
        // AWS keeps the CRC32, and checks it for as long as the object lives; others may not know it. The signature holds a
        // SHA-256 of the body in either case, so that what arrives is what was sent.
        let (checksum, calculation) = if settings.crc32.unwrap_or(settings.access.endpoint_url.is_none()) {
            (Some(ChecksumAlgorithm::Crc32), RequestChecksumCalculation::WhenSupported)
        } else {
            (None, RequestChecksumCalculation::WhenRequired)
        };
        let builder = aws_sdk_s3::config::Builder::from(&config)
            .interceptor(CALLS)
            .interceptor(service::BOUNDED)
            .force_path_style(settings.path_style.unwrap_or(settings.access.endpoint_url.is_some()))
            .request_checksum_calculation(calculation)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        Ok(Self { client: Client::from_conf(builder.build()), checksum, settings })
    }

    /// Writes an object. It is complete, or not there.
    pub(super) async fn put(self: &Arc<Self>, key: &str, body: Bytes) -> Result<(), S3Error> {
        if body.len() > self.settings.part_bytes.saturating_mul(2) {
            return self.put_in_parts(key, body).await;
        }
        const ACTION: &str = "writing an object";
        let request = described!(self, self.client.put_object(), key).body(ByteStream::from(body));
        let answer = Box::pin(request.send()).await.map_err(|error| self.failed(ACTION, &error))?;
        // Who stores an object says what it is known by; something else may have answered.
        answer.e_tag().map(drop).ok_or_else(|| self.unclear(ACTION))
    }

    async fn put_in_parts(self: &Arc<Self>, key: &str, body: Bytes) -> Result<(), S3Error> {
        let mut upload = self.begin(key).await?;
        let part_bytes = self.settings.part_bytes.max(body.len().div_ceil(MAX_PARTS)).max(1);
        let mut parts = Vec::new();
        // Dropped before the upload, so that no part is on its way when that is aborted.
        let mut under_way = JoinSet::new();
        let mut rest = body;
        for number in 1.. {
            if rest.is_empty() {
                break;
            }
            if under_way.len() >= PARTS_AT_A_TIME {
                parts.extend(self.joined(&mut under_way).await?);
            }
            let part = rest.split_to(part_bytes.min(rest.len()));
            let (bucket, key, id) = (Arc::clone(self), upload.key.clone(), upload.id.clone());
            under_way.spawn(async move { bucket.put_part(&key, &id, number, part).await });
        }
        while let Some(part) = self.joined(&mut under_way).await? {
            parts.push(part);
        }
        parts.sort_unstable_by_key(CompletedPart::part_number);
        const ACTION: &str = "completing an object";
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let request = of_bucket!(self, self.client.complete_multipart_upload(), key);
        let sent = Box::pin(request.upload_id(&upload.id).multipart_upload(parts).send()).await;
        let answer = sent.map_err(|error| self.failed(ACTION, &error))?;
        answer.e_tag().map(drop).ok_or_else(|| self.unclear(ACTION))?;
        upload.is_open = false;
        Ok(())
    }

    async fn joined(
        &self,
        under_way: &mut JoinSet<Result<CompletedPart, S3Error>>,
    ) -> Result<Option<CompletedPart>, S3Error> {
        let Some(done) = under_way.join_next().await else { return Ok(None) };
        done.unwrap_or_else(|_| Err(self.error("writing a part", "its task ended".to_owned(), None))).map(Some)
    }

    async fn put_part(&self, key: &str, id: &str, number: i32, part: Bytes) -> Result<CompletedPart, S3Error> {
        const ACTION: &str = "writing a part";
        let request = of_bucket!(self, self.client.upload_part(), key).upload_id(id).part_number(number);
        let request = request.set_checksum_algorithm(self.checksum.clone()).body(ByteStream::from(part));
        let sent = Box::pin(request.send()).await;
        let answer = sent.map_err(|error| self.failed(ACTION, &error))?;
        let tag = answer.e_tag().ok_or_else(|| self.unclear(ACTION))?;
        let part = CompletedPart::builder().part_number(number).e_tag(tag);
        // What S3 was given of a checksum it is given again: it asks for it where the object was begun with one.
        Ok(part.set_checksum_crc32(answer.checksum_crc32().map(str::to_owned)).build())
    }

    async fn begin(self: &Arc<Self>, key: &str) -> Result<Upload, S3Error> {
        const ACTION: &str = "beginning an object";
        let request = described!(self, self.client.create_multipart_upload(), key);
        let answer = Box::pin(request.send()).await.map_err(|error| self.failed(ACTION, &error))?;
        let id = answer.upload_id().filter(|id| !id.is_empty()).ok_or_else(|| self.unclear(ACTION))?;
        Ok(Upload { bucket: Arc::clone(self), key: key.to_owned(), id: id.to_owned(), is_open: true })
    }

    async fn abort(&self, key: &str, id: &str) -> Result<(), S3Error> {
        let request = of_bucket!(self, self.client.abort_multipart_upload(), key).upload_id(id);
        let sent = Box::pin(request.send()).await;
        sent.map(drop).map_err(|error| self.failed("aborting an object", &error))
    }

    /// Begins an object and aborts it: that takes the right to write, and leaves nothing.
    pub(super) async fn probe(self: &Arc<Self>, key: &str) -> Result<(), S3Error> {
        let mut upload = self.begin(key).await?;
        upload.is_open = false;
        self.abort(key, &upload.id).await
    }

    fn failed<E>(&self, action: &'static str, error: &SdkError<E>) -> S3Error
    where
        E: ProvideErrorMetadata + RequestId + Error + 'static,
    {
        let failure = Failure::read(error);
        let status = error.raw_response().map(|answer| answer.status().as_u16());
        let advice = advice(&failure, status.unwrap_or_default());
        let Failure { code, message, .. } = failure;
        // Without an answer the message is this side's own.
        let code = match (status, message) {
            (None, Some(message)) => format!("{code}: {message}"),
            (None, None) => code,
            (Some(status), _) => format!("{} ({status})", short(&code)),
        };
        S3Error { after: service::retry_after(error), ..self.error(action, code, advice) }
    }

    fn unclear(&self, action: &'static str) -> S3Error {
        let advice = "check that `endpoint_url` is one of S3";
        self.error(action, "the answer is none of S3".to_owned(), Some(advice))
    }

    fn error(&self, action: &'static str, code: String, advice: Option<&'static str>) -> S3Error {
        S3Error { action, bucket: self.settings.bucket.clone(), code, advice, after: None }
    }
}

/// A code as it is logged: a service may say anything.
fn short(code: &str) -> String {
    code.chars().take(80).map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect()
}

/// What a person can do. Source of the codes: the Amazon S3 API reference, "Error responses", and the KMS API reference.
fn advice(failure: &Failure, status: u16) -> Option<&'static str> {
    Some(match failure.code.as_str() {
        "NoSuchBucket" => "create it, or correct `bucket`",
        "AccessDenied" | "AllAccessDisabled" => {
            "allow s3:PutObject and s3:AbortMultipartUpload on its objects, and kms:GenerateDataKey and kms:Decrypt on \
             the key that it is encrypted with; `expected_bucket_owner` must be right"
        }
        "PermanentRedirect"
        | "TemporaryRedirect"
        | "Redirect"
        | "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException" => "set `region` to the bucket's Region",
        "InvalidStorageClass" => "correct `storage_class`",
        "EntityTooLarge" => "set `object_size` to less",
        code if code.starts_with("KMS.") || code.starts_with("KMS") => {
            "check that `kms_key_id` is an enabled key of the bucket's Region, and that its policy allows \
             kms:GenerateDataKey and kms:Decrypt"
        }
        _ if status == 301 || status == 307 => "set `region` to the bucket's Region",
        _ if failure.meaning == Meaning::Denied => CREDENTIALS_ADVICE,
        _ => return None,
    })
}

/// An object that is being written in parts. What S3 has of it costs money until it is aborted; where that fails, a
/// lifecycle rule of the bucket's has to.
struct Upload {
    bucket: Arc<Bucket>,
    key: String,
    id: String,
    is_open: bool,
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Ok(runtime) = Handle::try_current() else { return };
        if !self.is_open {
            return;
        }
        let (bucket, key, id) = (Arc::clone(&self.bucket), std::mem::take(&mut self.key), std::mem::take(&mut self.id));
        runtime.spawn(async move {
            if let Err(error) = bucket.abort(&key, &id).await {
                tracing::debug!(%error, "an object that was begun is left to the bucket's lifecycle rules");
            }
        });
    }
}
