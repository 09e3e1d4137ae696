//! Objects on the loopback interface, as S3 gives them: versions, ranges and conditions, and answers that break off, fall
//! silent or lie. Source of what it does: the Amazon S3 API reference, `GetObject`.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bedrock_tap::aws::{Access, CredentialsFrom};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// What a request meets.
#[derive(Clone, Debug)]
pub(crate) enum Meet {
    /// This status and error code.
    Error(u16, &'static str),
    /// The connection is cut behind so many bytes.
    Cut(usize),
    /// Nothing comes behind so many bytes.
    Silent(usize),
    /// The object as a whole, whatever was asked for.
    Whole,
    /// A range that begins so many bytes too late.
    Shifted(u64),
    /// Another ETag, whatever the condition.
    OtherEtag,
    /// An answer that is promised to be so much longer.
    Longer(usize),
}

/// A request as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The bucket and the key, decoded.
    pub(crate) name: String,
    pub(crate) range: Option<String>,
    pub(crate) condition: Option<String>,
    pub(crate) version: Option<String>,
}

#[derive(Default)]
struct Inner {
    objects: Mutex<BTreeMap<String, Bytes>>,
    script: Mutex<VecDeque<Meet>>,
    /// What every request for names that begin so meets.
    always: Mutex<Vec<(String, Meet)>>,
    asked: Mutex<Vec<Asked>>,
    open: Arc<AtomicUsize>,
    delay: Mutex<Duration>,
}

/// The double; it stops when it is dropped.
pub(crate) struct ObjectsDouble {
    pub(crate) address: SocketAddr,
    inner: Arc<Inner>,
    _tasks: JoinSet<()>,
}

impl ObjectsDouble {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let inner = Arc::<Inner>::default();
        let router = axum::Router::new().fallback(answer).with_state(Arc::clone(&inner));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, inner, _tasks: tasks }
    }

    /// How it is reached.
    pub(crate) fn access(&self) -> Access {
        Access {
            region: Some("us-east-1".to_owned()),
            endpoint_url: Some(format!("http://{}", self.address)),
            credentials: CredentialsFrom::MadeUp,
            ..Access::default()
        }
    }

    /// Writes an object; the name is the bucket's and the key.
    pub(crate) fn put(&self, name: &str, content: impl Into<Bytes>) {
        self.inner.objects.lock().unwrap().insert(name.to_owned(), content.into());
    }

    /// The next requests meet these.
    pub(crate) fn script(&self, meets: impl IntoIterator<Item = Meet>) {
        self.inner.script.lock().unwrap().extend(meets);
    }

    /// All requests for names that begin so meet this, until the next call with `None`.
    pub(crate) fn always(&self, beginning: &str, meet: Option<Meet>) {
        let mut always = self.inner.always.lock().unwrap();
        always.retain(|(other, _)| other != beginning);
        always.extend(meet.map(|meet| (beginning.to_owned(), meet)));
    }

    /// Each answer takes this long.
    pub(crate) fn delay(&self, delay: Duration) {
        *self.inner.delay.lock().unwrap() = delay;
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.inner.asked.lock().unwrap().clone()
    }

    /// Answers that are being read.
    pub(crate) fn open(&self) -> usize {
        self.inner.open.load(Ordering::SeqCst)
    }
}

/// An object's ETag: that of its content.
pub(crate) fn etag(content: &[u8]) -> String {
    let md5 = <md5::Md5 as md5::Digest>::digest(content);
    format!("\"{}\"", md5.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

async fn answer(State(inner): State<Arc<Inner>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    drop(body);
    let header = |name: header::HeaderName| parts.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    assert!(header(header::AUTHORIZATION).is_some(), "not signed");
    let query = parts.uri.query().unwrap_or_default();
    let asked = Asked {
        name: unescaped(parts.uri.path().trim_start_matches('/')),
        range: header(header::RANGE),
        condition: header(header::IF_MATCH),
        version: query.split('&').find_map(|pair| pair.strip_prefix("versionId=")).map(str::to_owned),
    };
    inner.asked.lock().unwrap().push(asked.clone());
    let delay = *inner.delay.lock().unwrap();
    tokio::time::sleep(delay).await;
    let meet = {
        let always = inner.always.lock().unwrap();
        let found = always.iter().find(|(beginning, _)| asked.name.starts_with(beginning.as_str()));
        found.map(|(_, meet)| meet.clone()).or_else(|| inner.script.lock().unwrap().pop_front())
    };
    if let Some(Meet::Error(status, code)) = meet {
        return error(status, code);
    }
    let Some(content) = inner.objects.lock().unwrap().get(&asked.name).cloned() else { return error(404, "NoSuchKey") };
    let mut tag = etag(&content);
    if asked.condition.as_ref().is_some_and(|condition| *condition != tag) {
        return error(412, "PreconditionFailed");
    }
    let mut headers = HeaderMap::new();
    let from = match (&asked.range, &meet) {
        (Some(range), meet) if !matches!(meet, Some(Meet::Whole)) => {
            let from: usize = range.strip_prefix("bytes=").unwrap().strip_suffix('-').unwrap().parse().unwrap();
            let shift = if let Some(Meet::Shifted(bytes)) = meet { *bytes } else { 0 };
            let range = format!("bytes {}-{}/{}", from as u64 + shift, content.len() - 1, content.len());
            headers.insert(header::CONTENT_RANGE, range.parse().unwrap());
            from
        }
        _ => 0,
    };
    if matches!(meet, Some(Meet::OtherEtag)) {
        tag = "\"another\"".to_owned();
    }
    headers.insert(header::ETAG, tag.parse().unwrap());
    let rest = content.slice(from..);
    let promised = rest.len() + if let Some(Meet::Longer(bytes)) = meet { bytes } else { 0 };
    headers.insert(header::CONTENT_LENGTH, promised.to_string().parse().unwrap());
    let status = if headers.contains_key(header::CONTENT_RANGE) { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let (sent, silent) = match meet {
        Some(Meet::Cut(bytes)) => (rest.slice(..bytes.min(rest.len())), false),
        Some(Meet::Silent(bytes)) => (rest.slice(..bytes.min(rest.len())), true),
        _ => (rest, false),
    };
    (status, headers, Body::new(Content::new(sent, silent, &inner.open))).into_response()
}

/// What of an answer is sent; it is read no faster than it is taken.
struct Content {
    parts: mpsc::Receiver<Bytes>,
    open: Arc<AtomicUsize>,
}

impl Content {
    fn new(content: Bytes, silent: bool, open: &Arc<AtomicUsize>) -> Self {
        let (sender, parts) = mpsc::channel(1);
        tokio::spawn(async move {
            let mut content = content;
            while !content.is_empty() {
                let part = content.split_to(content.len().min(64 << 10));
                if sender.send(part).await.is_err() {
                    return;
                }
            }
            if silent {
                sender.closed().await;
            }
            // What was sent is on its way before the connection may be cut.
            tokio::time::sleep(Duration::from_millis(20)).await;
        });
        open.fetch_add(1, Ordering::SeqCst);
        Self { parts, open: Arc::clone(open) }
    }
}

impl Drop for Content {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
}

impl http_body::Body for Content {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        self.parts.poll_recv(context).map(|part| part.map(|part| Ok(http_body::Frame::data(part))))
    }
}

/// The path of a request without its escapes.
pub(crate) fn unescaped(path: &str) -> String {
    let mut bytes = path.bytes();
    let mut text = Vec::new();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
            text.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
        } else {
            text.push(byte);
        }
    }
    String::from_utf8(text).unwrap()
}

/// An error as S3 writes it.
pub(crate) fn error_body(code: &str) -> String {
    format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>it quotes secret-text</Message></Error>")
}

fn error(status: u16, code: &str) -> Response {
    let body = error_body(code);
    (StatusCode::from_u16(status).unwrap(), [(header::CONTENT_TYPE, "application/xml")], body).into_response()
}
