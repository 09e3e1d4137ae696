//! The certificate that the endpoint shows. It is read again while the endpoint runs: certificates are short-lived.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};

use super::{CertificateFiles, EndpointError};
use crate::sink::retry::Causes;

/// A certificate and its key, as files that may change.
pub(super) struct Tls {
    files: CertificateFiles,
    state: RwLock<State>,
}

struct State {
    config: Arc<ServerConfig>,
    /// What the files held when they were last looked at, so that what is wrong with them is said once.
    seen: Option<Pair>,
}

/// What the two files hold.
#[derive(PartialEq, Eq)]
struct Pair {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Tls {
    /// Reads the pair.
    ///
    /// # Errors
    /// It cannot be read, or is none.
    pub(super) fn open(files: CertificateFiles) -> Result<Self, EndpointError> {
        let pair = read(&files)?;
        let config = Arc::new(server_config(&files, &pair)?);
        Ok(Self { files, state: RwLock::new(State { config, seen: Some(pair) }) })
    }

    /// Takes connections with the newest pair.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(&state.config))
    }

    /// Looks at the files again. The old pair stays where the new one is none: a pair is two files, so it may also be
    /// half written, and is looked at again.
    pub(super) fn refresh(&self) {
        let pair = read(&self.files);
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if pair.as_ref().ok() == state.seen.as_ref() {
            return;
        }
        let (seen, config) = match pair {
            Ok(pair) => {
                let config = server_config(&self.files, &pair);
                (Some(pair), config)
            }
            Err(error) => (None, Err(error)),
        };
        match config {
            Ok(config) => {
                state.config = Arc::new(config);
                info!(certificate = %self.files.certificate.display(), "the certificate has changed");
            }
            Err(error) => {
                warn!(error = %Causes(&error), "the new certificate cannot be shown, the one from before stays");
            }
        }
        state.seen = seen;
    }
}

fn read(files: &CertificateFiles) -> Result<Pair, EndpointError> {
    let read = |path: &Path| {
        std::fs::read(path).map_err(|source| EndpointError::CertificateFile { path: path.to_owned(), source })
    };
    Ok(Pair { certificate: read(&files.certificate)?, key: read(&files.key)? })
}

fn server_config(files: &CertificateFiles, pair: &Pair) -> Result<ServerConfig, EndpointError> {
    let none = |flaw: String| EndpointError::Certificate { files: files.clone(), flaw };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pair.certificate).collect();
    let chain = chain.map_err(|_| none("the certificate is no PEM".into()))?;
    if chain.is_empty() {
        return Err(none("there is no certificate in PEM".into()));
    }
    // The error of a key's parser is not shown: it may quote the key.
    let key = PrivateKeyDer::from_pem_slice(&pair.key).map_err(|_| none("there is no private key in PEM".into()))?;
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| none(error.to_string()))?;
    // Whether the key is the certificate's is checked here.
    let mut config =
        builder.with_no_client_auth().with_single_cert(chain, key).map_err(|error| none(error.to_string()))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
