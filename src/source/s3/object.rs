//! An object, read from its beginning to its end in the memory of a piece, however large it is. A connection that breaks
//! is taken up again where it broke, on the same version of the object.

use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::get_object::{GetObjectError, GetObjectOutput};
use aws_sdk_s3::primitives::ByteStream;
use bytes::{Buf as _, Bytes};
use tokio::runtime::Handle;
use tracing::warn;

use super::error::{MAX_ANSWER_BYTES, plain};
use crate::aws::bounded::BoundedAnswers;
use crate::aws::calls::CALLS;
use crate::aws::error::{CREDENTIALS_ADVICE, Failure, Meaning};
use crate::aws::{Access, AccessError};
use crate::budget::Budget;
use crate::record::Origin;
use crate::source::kinesis::pace::Backoff;
use crate::source::pieces::Pieces;
use crate::source::threaded::{Content, Reads, Threaded};
use crate::source::{BoxFuture, Read, Source, SourceError};

/// Tries in a row that bring no byte before an object is given up: some minutes.
const MAX_TRIES: u32 = 30;

/// How long an answer may stay silent, at its beginning and between two of its parts.
const SILENCE: Duration = Duration::from_secs(30);

/// Which object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Object {
    /// Its bucket.
    pub bucket: Arc<str>,
    /// Its key.
    pub key: Arc<str>,
    /// Its version, where the bucket keeps them; none is the newest.
    pub version: Option<String>,
}

impl std::fmt::Display for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "s3://{}/", self.bucket)?;
        // A key may hold anything, and logs are read on terminals.
        for c in self.key.chars() {
            if c.is_control() { write!(f, "{}", c.escape_default())? } else { f.write_char(c)? }
        }
        Ok(())
    }
}

/// Why an object cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// It is not there, or not any more.
    Gone,
    /// It was written anew while it was read: its new content is another object.
    Changed,
    /// A person has to grant something; without the right to list, S3 says this of what is not there too.
    Denied,
    /// Its bucket is in another Region than the one that is asked.
    Elsewhere,
    /// It is archived: a person would have to restore it.
    Archived,
    /// S3 does not give it, whatever is tried.
    Failed,
}

impl Trouble {
    /// Whether a person has to act, and then other objects can be read as well.
    pub fn is_of_access(self) -> bool {
        matches!(self, Self::Denied | Self::Elsewhere)
    }
}

/// An object that cannot be read; the source of a [`SourceError::Fatal`].
#[derive(Debug, thiserror::Error)]
#[error("S3 answers {code}")]
pub struct ObjectError {
    /// What that means.
    pub trouble: Trouble,
    /// The error's code as S3 wrote it, or what happened on the way.
    pub code: String,
}

/// Gets objects. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Objects {
    client: Client,
    silence: Duration,
}

impl Objects {
    /// Finds Region and credentials and makes the client, which tries each call once.
    ///
    /// # Errors
    /// What is missing or wrong, and where to set it.
    pub async fn connect(access: &Access) -> Result<Self, AccessError> {
        let config = access.load().await?;
        // A large object may take hours; silence is what ends a call.
        let timeouts = config.timeout_config().map_or_else(TimeoutConfig::builder, TimeoutConfig::to_builder);
        let timeouts = timeouts.disable_operation_timeout().read_timeout(SILENCE).build();
        let mut builder = aws_sdk_s3::config::Builder::from(&config)
            .interceptor(CALLS)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            .interceptor(BoundedAnswers::errors(MAX_ANSWER_BYTES))
            // Who reads may wait for room as long as it takes; what counts as silence is told below.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        if let Some(url) = &access.endpoint_url {
            // An endpoint of one's own seldom has a name for each bucket.
            builder = builder.endpoint_url(url).force_path_style(true);
        }
        Ok(Self { client: Client::from_conf(builder.build()), silence: SILENCE })
    }

    /// Takes an answer that stays silent for so long in its midst for broken off. Default: 30 s.
    #[must_use]
    pub fn patient_for(self, silence: Duration) -> Self {
        Self { silence, ..self }
    }

    /// How long an answer may stay silent.
    pub(super) fn silence(&self) -> Duration {
        self.silence
    }

    /// The client, for calls of other kinds.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    async fn get(&self, object: &Object, from: u64, etag: Option<&str>) -> Result<GetObjectOutput, ObjectFailure> {
        let call = self.client.get_object().bucket(&*object.bucket).key(&*object.key);
        let call =
            call.set_version_id(object.version.clone()).set_if_match(etag.filter(|_| from > 0).map(str::to_owned));
        let call = call.set_range((from > 0).then(|| format!("bytes={from}-")));
        // The body of an answer is read by others; that of an error is read here, and may fall silent too.
        match tokio::time::timeout(self.silence, Box::pin(call.send())).await {
            Err(_) => Err(failed("no answer in time", true)),
            Ok(answer) => answer.map_err(|error| meaning(&error)),
        }
    }
}

/// Reads one object. It ends with an error that has an [`ObjectError`] for its source where the object cannot be read;
/// what may pass is tried again for minutes before.
pub struct ObjectSource(Threaded);

impl ObjectSource {
    /// Reads `object` from its beginning. `budget` holds the bytes of what was read and is not through the line.
    pub fn new(objects: Objects, object: Object, max_inflated_bytes: usize, budget: Budget) -> Self {
        let what = object.to_string();
        Self(Threaded::new(what, move |runtime, reads| {
            read(objects, object, max_inflated_bytes, &budget, runtime, reads)
        }))
    }
}

impl Source for ObjectSource {
    fn next(&mut self) -> BoxFuture<'_, Result<Read, SourceError>> {
        self.0.next()
    }
}

fn read(
    objects: Objects,
    object: Object,
    max_inflated_bytes: usize,
    budget: &Budget,
    runtime: &Handle,
    reads: &Reads,
) -> Result<(), SourceError> {
    let what = object.to_string();
    let origin = {
        let (bucket, key) = (Arc::clone(&object.bucket), Arc::clone(&object.key));
        move |offset| Origin::S3 { bucket: Arc::clone(&bucket), key: Arc::clone(&key), offset }
    };
    let body = Body::new(objects, object, runtime.clone(), reads.clone());
    let mut pieces = Pieces::new(body, max_inflated_bytes, false);
    let content = Content { pieces: &mut pieces, from: 0, live: false, budget, origin: &origin };
    match content.hand_on(runtime, reads) {
        // Nobody listens any more, so nobody is told.
        Err(_) if reads.is_closed() => Ok(()),
        read => read.map_err(|error| refused(what, error)),
    }
}

/// The bytes of an object, for who reads in a thread of its own.
struct Body {
    objects: Objects,
    object: Object,
    runtime: Handle,
    /// Closed when nobody wants more.
    reads: Reads,
    stream: Option<ByteStream>,
    chunk: Bytes,
    at: u64,
    length: Option<u64>,
    etag: Option<String>,
    is_at_end: bool,
}

impl Body {
    fn new(objects: Objects, object: Object, runtime: Handle, reads: Reads) -> Self {
        Self {
            objects,
            object,
            runtime,
            reads,
            stream: None,
            chunk: Bytes::new(),
            at: 0,
            length: None,
            etag: None,
            is_at_end: false,
        }
    }

    /// The next bytes; none at the end.
    async fn next(&mut self) -> Result<Bytes, ObjectError> {
        let (mut backoff, mut tries) = (Backoff::brief(), 0);
        loop {
            let failure = match self.step().await {
                Ok(chunk) => return Ok(chunk),
                Err(failure) => failure,
            };
            self.stream = None;
            tries += 1;
            // Whose content nothing tells from another's cannot be gone on with.
            let can_go_on = self.at == 0 || self.etag.is_some() || self.object.version.is_some();
            if !failure.may_pass || !can_go_on || tries >= MAX_TRIES {
                return Err(failure.error);
            }
            if tries > 2 {
                warn!(object = %self.object, error = %failure.error, "an object cannot be read, trying again");
            }
            tokio::time::sleep(backoff.wait()).await;
        }
    }

    async fn step(&mut self) -> Result<Bytes, ObjectFailure> {
        if self.is_at_end {
            return Ok(Bytes::new());
        }
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => {
                let answer = self.objects.get(&self.object, self.at, self.etag.as_deref()).await?;
                self.begin(&answer)?;
                self.stream.insert(answer.body)
            }
        };
        let next = tokio::time::timeout(self.objects.silence, stream.next()).await;
        let is_whole = self.length == Some(self.at);
        match next {
            Err(_) => Err(failed("silence in the midst of the object", true)),
            // S3's checksum of the object is compared at its end, and what was read cannot be taken back.
            Ok(Some(Err(_))) if is_whole && self.at > 0 => Err(failed("an answer that is damaged", false)),
            Ok(Some(Err(_))) => Err(failed("an answer that broke off", true)),
            Ok(Some(Ok(chunk))) => {
                self.at += chunk.len() as u64;
                if self.length.is_some_and(|length| self.at > length) {
                    return Err(failed("an answer that is too long", false));
                }
                Ok(chunk)
            }
            Ok(None) if self.length.is_some_and(|length| self.at < length) => {
                Err(failed("an answer that is too short", true))
            }
            Ok(None) => {
                (self.is_at_end, self.stream) = (true, None);
                Ok(Bytes::new())
            }
        }
    }

    /// Notes what an answer says of the object, or compares it with what the first one said.
    fn begin(&mut self, answer: &GetObjectOutput) -> Result<(), ObjectFailure> {
        let rest = answer.content_length().and_then(|length| u64::try_from(length).ok());
        if self.at == 0 {
            (self.length, self.etag) = (rest, answer.e_tag.clone());
            return Ok(());
        }
        if self.etag.is_some() && answer.e_tag != self.etag {
            return Err(ObjectFailure {
                error: ObjectError { trouble: Trouble::Changed, code: "another ETag".to_owned() },
                may_pass: false,
            });
        }
        // Without its range this is the whole object, from a server that knows none: its first bytes were read before.
        let (start, total) = answer.content_range().and_then(range).unwrap_or_default();
        let is_rest = self.length.is_none_or(|length| total.is_none_or(|total| total == length));
        if start != Some(self.at) || !is_rest {
            return Err(failed("an answer without the range that was asked for", false));
        }
        Ok(())
    }
}

/// The start and the object's length of a `Content-Range`. Source: RFC 9110, 14.4.
fn range(text: &str) -> Option<(Option<u64>, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    Some((range.split_once('-')?.0.parse().ok(), total.parse().ok()))
}

impl io::Read for Body {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            let (runtime, reads) = (self.runtime.clone(), self.reads.clone());
            let chunk = runtime.block_on(async {
                tokio::select! {
                    biased;
                    () = reads.closed() => Err(io::ErrorKind::BrokenPipe.into()),
                    chunk = self.next() => chunk.map_err(io::Error::other),
                }
            })?;
            if self.is_at_end {
                return Ok(0);
            }
            self.chunk = chunk;
        }
        let count = self.chunk.len().min(out.len());
        self.chunk.copy_to_slice(&mut out[..count]);
        Ok(count)
    }
}

/// A call that failed.
struct ObjectFailure {
    error: ObjectError,
    may_pass: bool,
}

fn failed(code: &str, may_pass: bool) -> ObjectFailure {
    ObjectFailure { error: ObjectError { trouble: Trouble::Failed, code: code.to_owned() }, may_pass }
}

/// Source of the codes: the Amazon S3 API reference, "Error responses" and `GetObject`.
fn meaning(error: &SdkError<GetObjectError>) -> ObjectFailure {
    let status = error.raw_response().map_or(0, |answer| answer.status().as_u16());
    let Failure { meaning, code, .. } = Failure::read(error);
    let code = plain(&code);
    let (trouble, may_pass) = match (code.as_str(), meaning, status) {
        ("InvalidObjectState", ..) => (Trouble::Archived, false),
        ("PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException", ..)
        | (_, _, 301) => (Trouble::Elsewhere, false),
        ("KMS.ThrottlingException", ..) | (_, Meaning::Throttled, _) | ("RequestTimeout", ..) | (_, _, 408) => {
            (Trouble::Failed, true)
        }
        // Another write of the object is on its way.
        ("ConditionalRequestConflict" | "OperationAborted", ..) => (Trouble::Failed, true),
        (_, _, 404) => (Trouble::Gone, false),
        (_, _, 412) => (Trouble::Changed, false),
        (_, Meaning::Denied, _) => (Trouble::Denied, false),
        (code, ..) if code.starts_with("KMS.") => (Trouble::Denied, false),
        (_, Meaning::Invalid, _) | (_, _, 300..=499) => (Trouble::Failed, false),
        _ => (Trouble::Failed, true),
    };
    ObjectFailure { error: ObjectError { trouble, code }, may_pass }
}

/// What a person can do about an object that cannot be read.
fn refused(what: String, error: io::Error) -> SourceError {
    let advice = match error.get_ref().and_then(|cause| cause.downcast_ref::<ObjectError>()) {
        Some(ObjectError { trouble, .. }) => match trouble {
            Trouble::Gone => "it is not there (any more)".to_owned(),
            Trouble::Changed => "it was written anew while it was read".to_owned(),
            Trouble::Denied => format!(
                "allow s3:GetObject (s3:GetObjectVersion where the bucket keeps versions), and kms:Decrypt for its key; \
                 without s3:ListBucket, S3 says this of what is not there too; else {CREDENTIALS_ADVICE}"
            ),
            Trouble::Elsewhere => "set `region` to that of the bucket".to_owned(),
            Trouble::Archived => "restore it from its archive".to_owned(),
            Trouble::Failed => "see what S3 answered".to_owned(),
        },
        None => "see what reading it answered".to_owned(),
    };
    let source = error.into_inner().or_else(|| Some(Box::new(io::Error::other("reading it failed"))));
    SourceError::Fatal { what, advice, source }
}
