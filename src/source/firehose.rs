//! An endpoint that Amazon Data Firehose delivers to by HTTP. Each request is a partition of its own, and is answered with
//! 200 once everything in it is durable. Source of the protocol: the Firehose developer guide, "Understand HTTP endpoint
//! delivery request and response specifications".

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::body::Memory;
use self::desk::Desk;
use self::keys::Keys;
use self::limits::Limits;
use self::tls::Tls;
use crate::budget::Budget;
use crate::config::{Secret, SecretError};
use crate::delivery::{LaneError, Lanes};

mod answer;
mod body;
mod caller;
mod dedupe;
mod desk;
mod keys;
pub mod limits;
mod request;
mod server;
mod tls;

/// Where load balancers ask whether requests are taken.
pub const HEALTH: &str = "/health";

/// How often the files of keys and certificates are read again: soon enough for a rotation, whose old key stays valid for
/// much longer, and no load.
pub const REFRESH_INTERVAL: Duration = Duration::from_secs(10);

/// What the endpoint is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The path that records are posted to.
    pub path: String,
    /// The access keys that are taken, each by itself or as Secrets Manager keeps one: `{"api_key": "…"}`.
    pub access_keys: Vec<Secret>,
    /// The certificate to show; none is plain HTTP.
    pub tls: Option<CertificateFiles>,
    /// How long a request waits for its records to be durable, from its first line on.
    pub answer_timeout: Duration,
    /// What clients may take.
    pub limits: Limits,
    /// How often keys and certificates are read again; see [`REFRESH_INTERVAL`].
    pub refresh_interval: Duration,
    /// How long requests that have begun may take once the process is told to stop.
    pub drain: Duration,
}

/// Where a certificate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain in PEM, the server's own certificate first.
    pub certificate: PathBuf,
    /// Its private key in PEM.
    pub key: PathBuf,
}

/// Why there is no endpoint, or no longer one.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {advice}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What a person can do about it.
        advice: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// An access key cannot be read.
    #[error("`access_keys` cannot be read")]
    Key(#[source] SecretError),
    /// An access key is none that Firehose could send.
    #[error("`access_keys`: {secret} {flaw}")]
    KeyForm {
        /// Where the key is.
        secret: Secret,
        /// What is wrong with it.
        flaw: &'static str,
    },
    /// The certificate or its key cannot be read.
    #[error("the file {} cannot be read", path.display())]
    CertificateFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The certificate and its key are no pair that a server can show.
    #[error("{} and {} are no certificate and key of a server: {flaw}", files.certificate.display(), files.key.display())]
    Certificate {
        /// The two.
        files: CertificateFiles,
        /// What is wrong with them.
        flaw: String,
    },
    /// What takes the records cannot go on.
    #[error(transparent)]
    Lane(LaneError),
}

/// An endpoint that listens, and answers nobody yet.
pub struct Endpoint {
    settings: Settings,
    listener: TcpListener,
    keys: Keys,
    tls: Option<Arc<Tls>>,
}

impl Endpoint {
    /// Reads keys and certificates, and begins to listen.
    ///
    /// # Errors
    /// What cannot be read or listened on.
    pub async fn open(settings: Settings) -> Result<Self, EndpointError> {
        let keys = Keys::read(&settings.access_keys)?;
        let tls = settings.tls.clone().map(Tls::open).transpose()?.map(Arc::new);
        let address = settings.listen;
        let listener = TcpListener::bind(address).await.map_err(|source| EndpointError::Listen {
            address,
            advice: listen_advice(source.kind()),
            source,
        })?;
        Ok(Self { settings, listener, keys, tls })
    }

    /// The address that it listens on.
    ///
    /// # Errors
    /// What the system says.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until `stop`, and then until the requests that have begun are answered. Bodies take their bytes from
    /// `budget`; the lanes look at no stop signal, because what has been taken in is to be delivered.
    ///
    /// # Errors
    /// The first error of a lane; `stop` is cancelled then.
    pub async fn serve(
        self,
        lanes: Arc<dyn Lanes>,
        budget: Budget,
        stop: CancellationToken,
    ) -> Result<(), EndpointError> {
        let Self { settings, listener, keys, tls } = self;
        let address = listener.local_addr().unwrap_or(settings.listen);
        info!(%address, tls = tls.is_some(), path = settings.path, "listening for Firehose");
        let refresh_interval = settings.refresh_interval;
        let memory = Memory::new(budget).await;
        let desk = Arc::new(Desk::new(settings, keys, lanes, memory, stop.clone()));
        let refreshing = tokio::spawn(refresh(Arc::clone(&desk), tls.clone(), refresh_interval));
        server::serve(listener, Arc::clone(&desk), tls, stop).await;
        refreshing.abort();
        desk.end().await.map_err(EndpointError::Lane)
    }
}

/// Reads keys and certificates again for as long as the endpoint is there.
async fn refresh(desk: Arc<Desk>, tls: Option<Arc<Tls>>, interval: Duration) {
    loop {
        tokio::time::sleep(interval).await;
        let (desk, tls) = (Arc::clone(&desk), tls.clone());
        let reading = tokio::task::spawn_blocking(move || {
            desk.refresh_keys();
            tls.iter().for_each(|tls| tls.refresh());
        });
        if reading.await.is_err() {
            warn!("reading the access keys or the certificate again panicked; the log says where, please report it");
        }
    }
}

fn listen_advice(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::AddrInUse => "another process listens there; take another port in `listen`, or end that one",
        io::ErrorKind::PermissionDenied => {
            "a port below 1024 needs a right (CAP_NET_BIND_SERVICE); take a higher one in `listen`, and let a load \
             balancer listen on 443"
        }
        io::ErrorKind::AddrNotAvailable => "no network interface has this address; `0.0.0.0` in `listen` takes all",
        _ => "check `listen`",
    }
}
