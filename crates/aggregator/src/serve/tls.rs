//! HTTPS by rustls, with certificates that are read again when they are renewed.

use super::{
    reload::{Contents, RELOAD_EVERY, WatchedFiles},
    validity,
};
use crate::config::Tls;
use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// HTTPS that cannot be set up.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read, or is no PEM of the right kind.
    #[error("{path}: {reason}; it must be PEM with {what}")]
    File {
        /// The file.
        path: PathBuf,
        /// What was expected in it.
        what: &'static str,
        /// What is wrong; never a part of a key.
        reason: String,
    },
    /// Certificate and key do not go together, or are of no use.
    #[error("{certificate} and {key} cannot be used together: {reason}")]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What rustls says.
        reason: String,
    },
}

/// The certificates in use.
pub struct Certificates {
    files: Tls,
    watched: WatchedFiles,
    current: RwLock<Arc<ServerConfig>>,
    ends: RwLock<Vec<(&'static str, u64)>>,
}

impl Certificates {
    /// Reads the files.
    pub fn load(files: &Tls) -> Result<Self, TlsError> {
        let paths = [&files.certificate, &files.key].into_iter().chain(&files.peer_ca);
        let (watched, contents) =
            WatchedFiles::begin(paths.cloned().collect()).map_err(|(path, error)| {
                TlsError::File {
                    path,
                    what: "certificates or a private key",
                    reason: error.to_string(),
                }
            })?;
        let current = RwLock::new(configuration(files, &contents)?);
        let ends = RwLock::new(ends(files, &contents));
        Ok(Self { files: files.clone(), watched, current, ends })
    }

    /// The server's half of a handshake.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let current = Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner));
        TlsAcceptor::from(current).accept(stream).await
    }

    /// Takes renewed files into use, now and then, for ever. Files that do not fit together, as
    /// between two writes, are left alone until they do. Says each time when the certificates in use end, by
    /// what they are for, in seconds since the Epoch.
    pub async fn reload_forever(&self, ends: impl Fn(&'static str, u64)) {
        let mut ticks = tokio::time::interval(RELOAD_EVERY);
        loop {
            for (name, end) in &*self.ends.read().unwrap_or_else(PoisonError::into_inner) {
                ends(name, *end);
            }
            ticks.tick().await;
            self.reload();
        }
    }

    fn reload(&self) {
        let Some(contents) = self.watched.changed() else { return };
        match configuration(&self.files, &contents) {
            Ok(renewed) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = renewed;
                let ends = ends(&self.files, &contents);
                *self.ends.write().unwrap_or_else(PoisonError::into_inner) = ends;
                tracing::info!("reloaded the TLS certificates");
            }
            Err(error) => {
                tracing::warn!(%error, "cannot reload the TLS certificates; the previous ones stay in use");
            }
        }
    }
}

/// When the certificates in the files end, by what they are for.
fn ends(files: &Tls, contents: &[Contents]) -> Vec<(&'static str, u64)> {
    let authorities = files.peer_ca.as_ref().map(|_| ("peer_ca", 2));
    let named = [Some(("server", 0)), authorities].into_iter().flatten();
    named.filter_map(|(name, at)| Some((name, validity::ends(contents.get(at)?)?))).collect()
}

/// What files say, in the order in which they were read: certificate, key, authorities.
fn configuration(files: &Tls, contents: &[Contents]) -> Result<Arc<ServerConfig>, TlsError> {
    let text = |at: usize| contents.get(at).map_or(&[][..], |contents| contents.as_slice());
    let chain = certificates(&files.certificate, text(0))?;
    let key = PrivateKeyDer::from_pem_slice(text(1)).map_err(|error| TlsError::File {
        path: files.key.clone(),
        what: "a private key",
        reason: error.to_string(),
    })?;
    let pair = |reason: String| TlsError::Pair {
        certificate: files.certificate.clone(),
        key: files.key.clone(),
        reason,
    };
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| pair(error.to_string()))?;
    let builder = match &files.peer_ca {
        None => builder.with_no_client_auth(),
        Some(path) => builder.with_client_cert_verifier(verifier(path, text(2))?),
    };
    let mut configuration =
        builder.with_single_cert(chain, key).map_err(|error| pair(error.to_string()))?;
    configuration.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(configuration))
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |reason: String| TlsError::File {
        path: path.to_owned(),
        what: "one or more certificates",
        reason,
    };
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(error.to_string()))?;
    if found.is_empty() { Err(wrong("it has none".to_owned())) } else { Ok(found) }
}

/// Checks a certificate if one is shown; whether one must be is decided request by request, for
/// devices that fetch keys have none.
fn verifier(
    path: &Path,
    pem: &[u8],
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, TlsError> {
    let wrong = |reason: String| TlsError::File {
        path: path.to_owned(),
        what: "certificates of authorities",
        reason,
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, pem)? {
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider()))
        .allow_unauthenticated()
        .build()
        .map_err(|error| wrong(error.to_string()))
}
