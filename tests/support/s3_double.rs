//! A scripted S3 on the loopback interface: objects by path, and what their next requests meet instead.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bedrock_tap::aws::{Access, CredentialsFrom};
use bedrock_tap::bodies::{Pace, Settings};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// What a request meets instead of the object.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Meet {
    /// This status and error code.
    Error(u16, &'static str),
    /// A connection that breaks off after half the bytes.
    Cut,
    /// An answer that does not come.
    Silence,
}

pub(crate) const MISSING: Meet = Meet::Error(404, "NoSuchKey");
pub(crate) const DENIED: Meet = Meet::Error(403, "AccessDenied");

#[derive(Default)]
struct Shelf {
    objects: HashMap<String, Vec<u8>>,
    script: HashMap<String, VecDeque<Meet>>,
    always: Option<Meet>,
    asked: BTreeMap<String, usize>,
    now: usize,
    most: usize,
}

/// The double; it stops when it is dropped.
pub(crate) struct S3Double {
    address: SocketAddr,
    shelf: Arc<Mutex<Shelf>>,
    _tasks: JoinSet<()>,
}

impl S3Double {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shelf = Arc::<Mutex<Shelf>>::default();
        let router = axum::Router::new().fallback(get).with_state(Arc::clone(&shelf));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, shelf, _tasks: tasks }
    }

    /// Puts an object to `s3://bucket/key`.
    pub(crate) fn put(&self, path: &str, bytes: impl Into<Vec<u8>>) {
        self.shelf.lock().unwrap().objects.insert(path.to_owned(), bytes.into());
    }

    /// The next requests for the object meet these.
    pub(crate) fn script(&self, path: &str, meets: impl IntoIterator<Item = Meet>) {
        self.shelf.lock().unwrap().script.entry(path.to_owned()).or_default().extend(meets);
    }

    /// All requests meet this.
    pub(crate) fn always(&self, meet: Option<Meet>) {
        self.shelf.lock().unwrap().always = meet;
    }

    /// How often each path was asked for.
    pub(crate) fn asked(&self) -> BTreeMap<String, usize> {
        self.shelf.lock().unwrap().asked.clone()
    }

    /// The most requests that were there at a time.
    pub(crate) fn most_at_a_time(&self) -> usize {
        self.shelf.lock().unwrap().most
    }

    /// How a fetcher reaches it, with waits of milliseconds.
    pub(crate) fn settings(&self, buckets: &[&str]) -> Settings {
        let ms = Duration::from_millis;
        Settings {
            access: Access {
                region: Some("us-east-1".to_owned()),
                endpoint_url: Some(format!("http://{}", self.address)),
                credentials: CredentialsFrom::MadeUp,
                ..Access::default()
            },
            buckets: buckets.iter().map(|bucket| (*bucket).to_owned()).collect(),
            max_body_bytes: 1 << 20,
            concurrency: 8,
            wait: Duration::from_secs(60),
            memory_bytes: 8 << 20,
            depth: 126,
            pace: Pace {
                first_wait: ms(2),
                longest_wait: ms(20),
                attempt: Duration::from_secs(20),
                trouble: Duration::from_secs(20),
                after_stop: ms(100),
            },
        }
    }
}

async fn get(State(shelf): State<Arc<Mutex<Shelf>>>, request: Request) -> Response {
    let path = format!("s3:/{}", request.uri().path());
    let (meet, object) = {
        let mut shelf = shelf.lock().unwrap();
        *shelf.asked.entry(path.clone()).or_default() += 1;
        shelf.now += 1;
        shelf.most = shelf.most.max(shelf.now);
        let meet = shelf.script.get_mut(&path).and_then(VecDeque::pop_front).or(shelf.always);
        (meet, shelf.objects.get(&path).cloned())
    };
    // Others that are on their way arrive meanwhile.
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    shelf.lock().unwrap().now -= 1;
    match (meet, object) {
        (Some(Meet::Error(status, code)), _) => error(status, code),
        (Some(Meet::Silence), _) => std::future::pending().await,
        (Some(Meet::Cut), Some(object)) => {
            let half = Body::from(object[..object.len() / 2].to_vec());
            ([(header::CONTENT_LENGTH, object.len().to_string())], half).into_response()
        }
        (_, Some(object)) => object.into_response(),
        (_, None) => error(404, "NoSuchKey"),
    }
}

fn error(status: u16, code: &str) -> Response {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>scripted</Message></Error>");
    (StatusCode::from_u16(status).unwrap(), [(header::CONTENT_TYPE, "application/xml")], body).into_response()
}
