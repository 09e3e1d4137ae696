//! A bucket on the loopback interface: an S3 by others (`s3s-fs`) over a temporary directory, behind a layer that notes
//! every request and lets some of them fail.

use std::collections::VecDeque;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bedrock_tap::aws::{Access, CredentialsFrom};
use bedrock_tap::sink::s3::Settings;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::objects_double::{error_body, unescaped};

/// The bucket's name.
pub(crate) const BUCKET: &str = "logs";

/// The longest key that `s3s-fs` takes: it makes file names of keys in base64, and a file's name has 255 bytes at most.
const MAX_KEY_BYTES: usize = 150;

/// What a request meets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It goes through.
    None,
    /// It is not passed on; this status, error code and header come back.
    Error(u16, &'static str, Option<(&'static str, &'static str)>),
    /// It is not passed on; this comes back with status 200.
    Answer(String),
    /// It is not answered.
    Silence,
    /// It is passed on, and its answer breaks off.
    Cut,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// `PUT`, and for the requests of objects in parts what they do: `create`, `part`, `complete`, `abort`.
    pub(crate) what: &'static str,
    /// The key.
    pub(crate) key: String,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The query.
    pub(crate) query: String,
}

struct Inner {
    service: S3Service,
    /// One for keys that are too long for the other, under short names, which nobody has signed.
    long: S3Service,
    asked: Mutex<Vec<Asked>>,
    /// What requests of this kind meet; `any` is of all.
    script: Mutex<VecDeque<(&'static str, Fault)>>,
    cleared: Notify,
}

/// The double; it stops when it is dropped.
pub(crate) struct BucketDouble {
    address: SocketAddr,
    directory: TempDir,
    long: TempDir,
    inner: Arc<Inner>,
    _tasks: JoinSet<()>,
}

impl BucketDouble {
    pub(crate) async fn start() -> Self {
        let builder = || {
            let directory = tempfile::tempdir().unwrap();
            std::fs::create_dir(directory.path().join(BUCKET)).unwrap();
            let builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(directory.path()).unwrap());
            (directory, builder)
        };
        let ((directory, mut service), (long, long_service)) = (builder(), builder());
        service.set_auth(SimpleAuth::from_single("embedded", "embedded"));
        let inner = Inner {
            service: service.build(),
            long: long_service.build(),
            asked: Mutex::default(),
            script: Mutex::default(),
            cleared: Notify::new(),
        };
        let inner = Arc::new(inner);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = axum::Router::new().fallback(serve).with_state(Arc::clone(&inner));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, directory, long, inner, _tasks: tasks }
    }

    /// How a sink reaches it.
    pub(crate) fn settings(&self) -> Settings {
        let access = Access {
            region: Some("us-east-1".to_owned()),
            endpoint_url: Some(format!("http://{}", self.address)),
            credentials: CredentialsFrom::MadeUp,
            ..Access::default()
        };
        Settings { access, timeout: Duration::from_millis(1500), ..Settings::new(BUCKET.to_owned()) }
    }

    /// The next requests of this kind meet these; `any` is of all kinds.
    pub(crate) fn script(&self, what: &'static str, faults: impl IntoIterator<Item = Fault>) {
        self.inner.script.lock().unwrap().extend(faults.into_iter().map(|fault| (what, fault)));
    }

    /// Nothing goes wrong any more; what was not answered fails.
    pub(crate) fn clear(&self) {
        self.inner.script.lock().unwrap().clear();
        self.inner.cleared.notify_waiters();
    }

    /// Puts an object, without a request.
    pub(crate) fn put(&self, key: &str, bytes: &[u8]) {
        let path = self.path(key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// Deletes an object, without a request.
    pub(crate) fn delete(&self, key: &str) {
        std::fs::remove_file(self.path(key)).unwrap();
    }

    /// The bytes of an object.
    pub(crate) fn bytes(&self, key: &str) -> Vec<u8> {
        std::fs::read(self.path(key)).unwrap()
    }

    /// The requests so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.inner.asked.lock().unwrap().clone()
    }

    /// What requests there were so far, in order.
    pub(crate) fn whats(&self) -> Vec<&'static str> {
        self.asked().iter().map(|asked| asked.what).collect()
    }

    /// The keys of the objects that are there, in the order in which they were last written.
    pub(crate) fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = Vec::new();
        for Asked { what, key, .. } in self.asked() {
            if what == "PUT" || what == "complete" {
                keys.retain(|other| *other != key);
                keys.push(key);
            }
        }
        keys.retain(|key| self.path(key).is_file());
        keys
    }

    /// How many files there are in the bucket.
    pub(crate) fn files(&self) -> usize {
        fn count(directory: &std::path::Path) -> usize {
            let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
            entries.map(|path| if path.is_dir() { count(&path) } else { 1 }).sum()
        }
        count(&self.directory.path().join(BUCKET)) + count(&self.long.path().join(BUCKET))
    }

    fn path(&self, key: &str) -> PathBuf {
        match short(key) {
            None => self.directory.path().join(BUCKET).join(key),
            Some(short) => self.long.path().join(BUCKET).join(short),
        }
    }

    /// The lines of an object, inflated.
    pub(crate) fn lines(&self, key: &str) -> Vec<String> {
        let bytes = self.bytes(key);
        let mut text = String::new();
        match key.rsplit('.').next() {
            Some("gz") => drop(flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap()),
            Some("zst") => drop(zstd::Decoder::new(&bytes[..]).unwrap().read_to_string(&mut text).unwrap()),
            _ => text = String::from_utf8(bytes).unwrap(),
        }
        assert!(text.ends_with('\n'), "{key} is torn");
        text.lines().map(str::to_owned).collect()
    }
}

/// The name that an object has instead of a key that is too long.
fn short(key: &str) -> Option<String> {
    let hash = || Sha256::digest(key.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    (key.len() > MAX_KEY_BYTES).then(hash)
}

async fn serve(State(inner): State<Arc<Inner>>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let body = to_bytes(body, 64 << 20).await.unwrap();
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let what = match parts.method {
        Method::POST if query.starts_with("uploads") => "create",
        Method::POST => "complete",
        Method::DELETE => "abort",
        Method::PUT if query.contains("partNumber=") => "part",
        Method::PUT => "PUT",
        _ => "other",
    };
    let path = parts.uri.path().strip_prefix(&format!("/{BUCKET}/")).unwrap_or_default();
    let key = unescaped(path);
    let short = short(&key);
    inner.asked.lock().unwrap().push(Asked { what, key, headers: parts.headers.clone(), query: query.clone() });
    // Made before the script is asked, so that nobody waits for what has been.
    let cleared = inner.cleared.notified();
    let fault = {
        let mut script = inner.script.lock().unwrap();
        let at = script.iter().position(|(of, _)| *of == what || *of == "any");
        at.and_then(|at| script.remove(at)).map_or(Fault::None, |(_, fault)| fault)
    };
    match fault {
        Fault::Error(status, code, header) => return error(status, code, header),
        Fault::Answer(body) => return ([(header::CONTENT_TYPE, "application/xml")], body).into_response(),
        Fault::Silence => {
            cleared.await;
            return error(500, "InternalError", None);
        }
        Fault::None | Fault::Cut => {}
    }
    let service = if short.is_some() { &inner.long } else { &inner.service };
    if let Some(short) = short {
        parts.uri = format!("/{BUCKET}/{short}?{query}").parse().unwrap();
        parts.headers.remove(header::AUTHORIZATION);
    }
    let request = axum::http::Request::from_parts(parts, s3s::Body::from(body));
    let mut response = service.call(request).await.unwrap().map(Body::new);
    if query.contains("encoding-type=url") {
        // The service says that it encodes keys, and does not: it is to be one that knows of no encoding.
        let (mut parts, body) = response.into_parts();
        parts.headers.remove(header::CONTENT_LENGTH);
        let text = String::from_utf8(to_bytes(body, 64 << 20).await.unwrap().to_vec()).unwrap();
        let text = text.replace("<EncodingType>url</EncodingType>", "");
        response = Response::from_parts(parts, Body::from(text));
    }
    if fault == Fault::Cut {
        // A body that ends before it began: the server closes the connection.
        let broken = std::io::Error::other("cut");
        return Body::new(Broken(Some(broken))).into_response();
    }
    response
}

/// A body that is promised and does not come.
struct Broken(Option<std::io::Error>);

impl http_body::Body for Broken {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, std::io::Error>>> {
        std::task::Poll::Ready(self.0.take().map(Err))
    }
}

fn error(status: u16, code: &str, more: Option<(&'static str, &'static str)>) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    let mut response = (status, [(header::CONTENT_TYPE, "application/xml")], error_body(code)).into_response();
    if let Some((name, value)) = more {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}
