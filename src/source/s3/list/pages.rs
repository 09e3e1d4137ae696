//! Pages: what ListObjectsV2 says of a folder, a page at a time, for as long as it takes.

use std::sync::Arc;

use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::list_objects_v2::{ListObjectsV2Error, ListObjectsV2Output};
use aws_sdk_s3::types::EncodingType;
use jiff::Timestamp;
use tracing::warn;

use crate::aws::bounded::BoundedAnswers;
use crate::aws::error::{CREDENTIALS_ADVICE, Failure, Meaning};
use crate::source::SourceError;
use crate::source::kinesis::pace::Backoff;
use crate::source::s3::error::MAX_ANSWER_BYTES;
use crate::source::s3::notification::decoded;
use crate::source::s3::object::Objects;

/// The longest key that S3 has, in bytes. Source: the S3 user guide, "Naming Amazon S3 objects".
const MAX_KEY_BYTES: usize = 1024;

/// An object of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) key: Arc<str>,
    /// Its size, if the list says so.
    pub(super) bytes: Option<u64>,
    pub(super) modified: Option<Timestamp>,
}

/// What a page says.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// The objects directly in the folder.
    pub(super) objects: Vec<Listed>,
    /// The prefixes of the folders in it, each with its `/`.
    pub(super) folders: Vec<Arc<str>>,
}

/// Lists a bucket. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Lister {
    objects: Objects,
    bucket: Arc<str>,
    page_keys: i32,
}

/// Where the listing of a folder is.
#[derive(Debug)]
pub(super) struct Pages {
    prefix: Arc<str>,
    start_after: Option<Arc<str>>,
    token: Option<String>,
    is_done: bool,
    /// The last names that were listed.
    last_object: Option<Arc<str>>,
    last_folder: Option<Arc<str>>,
}

impl Pages {
    /// All of a folder, or what stands behind a key.
    pub(super) fn new(prefix: Arc<str>, start_after: Option<Arc<str>>) -> Self {
        let last_object = start_after.clone();
        Self { prefix, start_after, token: None, is_done: false, last_object, last_folder: None }
    }

    /// The next page; none at the end. A future that is dropped has lost no page.
    ///
    /// # Errors
    /// [`SourceError::Fatal`]: the bucket is not there, cannot be listed so, or gives names in no order.
    pub(super) async fn next(&mut self, lister: &Lister) -> Result<Option<Page>, SourceError> {
        if self.is_done {
            return Ok(None);
        }
        let (answer, page) = lister.list(self).await?;
        let is_in_order = follow(&mut self.last_object, page.objects.iter().map(|object| &object.key))
            && follow(&mut self.last_folder, page.folders.iter());
        if !is_in_order {
            let advice = "its keys come in no order, so that there is no position in them".to_owned();
            return Err(SourceError::Fatal { what: lister.what(self), advice, source: None });
        }
        self.is_done = answer.is_truncated != Some(true);
        self.token = answer.next_continuation_token;
        Ok(Some(page))
    }
}

impl Lister {
    pub(super) fn new(objects: Objects, bucket: Arc<str>, page_keys: i32) -> Self {
        Self { objects, bucket, page_keys }
    }

    /// A page, however often it has to be asked for.
    async fn list(&self, pages: &Pages) -> Result<(ListObjectsV2Output, Page), SourceError> {
        let (mut brief, mut slow) = (Backoff::brief(), Backoff::slow());
        loop {
            let call = self.objects.client().list_objects_v2().bucket(&*self.bucket).prefix(&*pages.prefix);
            let call = call.delimiter("/").max_keys(self.page_keys).set_continuation_token(pages.token.clone());
            let call = call.set_start_after(pages.start_after.as_deref().map(str::to_owned));
            // Keys may hold what XML cannot.
            let call = call.encoding_type(EncodingType::Url).customize();
            let call = call.interceptor(BoundedAnswers::all(MAX_ANSWER_BYTES));
            let (code, is_denied) = match tokio::time::timeout(self.objects.silence(), Box::pin(call.send())).await {
                Err(_) => ("no answer in time".to_owned(), false),
                Ok(Ok(answer)) if is_endless(&answer, pages) => ("a list that does not go on".to_owned(), false),
                Ok(Ok(answer)) => match read(&pages.prefix, &answer) {
                    Some(page) => return Ok((answer, page)),
                    None => ("a list with keys that are not encoded as S3 does".to_owned(), false),
                },
                Ok(Err(error)) => match meaning(&error) {
                    (Next::Give(advice), code) => {
                        let source = Some(format!("S3 answers {code}").into());
                        return Err(SourceError::Fatal { what: self.what(pages), advice: advice.to_owned(), source });
                    }
                    (Next::Hold, code) => (code, true),
                    (Next::Again, code) => (code, false),
                },
            };
            let wait = if is_denied { slow.wait() } else { brief.wait() };
            if is_denied {
                warn!(
                    what = self.what(pages),
                    code, "cannot be read until a person allows s3:ListBucket on the bucket; {CREDENTIALS_ADVICE}"
                );
            } else if brief.tries() > 2 {
                warn!(what = self.what(pages), code, "cannot be read, trying again");
            }
            tokio::time::sleep(wait).await;
        }
    }

    fn what(&self, pages: &Pages) -> String {
        format!("the list of s3://{}/{}", self.bucket, pages.prefix)
    }
}

/// What comes after a call that failed.
enum Next {
    Again,
    Hold,
    Give(&'static str),
}

fn meaning(error: &SdkError<ListObjectsV2Error>) -> (Next, String) {
    let status = error.raw_response().map_or(0, |answer| answer.status().as_u16());
    let Failure { meaning, code, .. } = Failure::read(error);
    let next = match (code.as_str(), meaning, status) {
        ("NoSuchBucket", ..) => Next::Give("there is no such bucket: check its name, the account and the endpoint"),
        ("PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException", ..)
        | (_, _, 301 | 307) => Next::Give("the bucket is in another Region: set `region` to it"),
        (_, Meaning::Throttled, _) | ("RequestTimeout", ..) | (_, _, 408) => Next::Again,
        (_, Meaning::Denied, _) => Next::Hold,
        (_, Meaning::Invalid, _) | (_, _, 400..=499) => Next::Give("see what S3 answered, and check the prefix"),
        _ => Next::Again,
    };
    (next, code)
}

/// Whether there is said to be more, and not where.
fn is_endless(answer: &ListObjectsV2Output, pages: &Pages) -> bool {
    let token = answer.next_continuation_token.as_ref();
    answer.is_truncated == Some(true) && (token.is_none() || token == pages.token.as_ref())
}

/// Whether names go on in their order behind the last one, which is then the last of them. What comes twice does not.
fn follow<'n>(last: &mut Option<Arc<str>>, names: impl Iterator<Item = &'n Arc<str>>) -> bool {
    for name in names {
        if last.as_ref().is_some_and(|last| name <= last) {
            return false;
        }
        *last = Some(Arc::clone(name));
    }
    true
}

/// What an answer says, without what cannot be below the prefix; none where a name cannot be decoded.
fn read(prefix: &str, answer: &ListObjectsV2Output) -> Option<Page> {
    // A server that does not know of encodings says nothing of one.
    let is_encoded = answer.encoding_type() == Some(&EncodingType::Url);
    let plain = |name: &str| if is_encoded { decoded(name) } else { Some(name.to_owned()) };
    let is_below = |name: &str| name.len() <= MAX_KEY_BYTES && name.starts_with(prefix);
    let mut page = Page::default();
    for common in answer.common_prefixes() {
        let name = plain(common.prefix().unwrap_or_default())?;
        if is_below(&name) && name.len() > prefix.len() && name.ends_with('/') {
            page.folders.push(name.into());
        }
    }
    for object in answer.contents() {
        // A prefix may be the whole key of an object.
        let key = plain(object.key().unwrap_or_default())?;
        if is_below(&key) && !key.is_empty() {
            let bytes = object.size().and_then(|bytes| u64::try_from(bytes).ok());
            let modified = object.last_modified().and_then(|time| Timestamp::from_second(time.secs()).ok());
            page.objects.push(Listed { key: key.into(), bytes, modified });
        }
    }
    Some(page)
}
