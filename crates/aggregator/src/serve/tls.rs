//! HTTPS by rustls, with certificates that are read again when they are renewed.

use super::{
    certificate::{self, CertificateError, authorities, chain, check_chain},
    reload::{Contents, RELOAD_EVERY, WatchedFiles},
    validity,
};
use crate::{
    clock,
    config::{Tls, access},
};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs::default_provider,
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use std::{
    io,
    path::Path,
    sync::{Arc, PoisonError, RwLock},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// The certificates in use.
pub struct Certificates {
    files: Tls,
    /// What they must be valid for.
    hosts: Vec<String>,
    watched: WatchedFiles,
    current: RwLock<Arc<ServerConfig>>,
    ends: RwLock<Vec<(&'static str, u64)>>,
}

impl Certificates {
    /// Reads the files. The certificate must be valid now, and for `hosts` unless the configuration names others.
    pub fn load(files: &Tls, hosts: &[String]) -> Result<Self, CertificateError> {
        let hosts = if files.names.is_empty() { hosts.to_vec() } else { files.names.clone() };
        let paths = [&files.certificate, &files.key].into_iter().chain(&files.peer_ca);
        let (watched, contents) =
            WatchedFiles::begin(paths.cloned().collect()).map_err(|(path, error)| {
                let cure = access::cure(&path, &error);
                CertificateError::File {
                    path,
                    what: "certificates or a private key",
                    reason: format!("{error}{cure}"),
                }
            })?;
        let current = RwLock::new(configuration(files, &contents, &hosts)?);
        let ends = RwLock::new(ends(files, &contents));
        Ok(Self { files: files.clone(), hosts, watched, current, ends })
    }

    /// The server's half of a handshake.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let current = Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner));
        TlsAcceptor::from(current).accept(stream).await
    }

    /// Takes renewed files into use, now and then, for ever. Files that are worse than those in use (of another host,
    /// expired, not valid yet) or do not fit together, as between two writes, are left alone until they are right.
    /// Says each time when the certificates in use end, by what they are for, in seconds since the Epoch.
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
        match configuration(&self.files, &contents, &self.hosts) {
            Ok(renewed) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = renewed;
                let ends = ends(&self.files, &contents);
                *self.ends.write().unwrap_or_else(PoisonError::into_inner) = ends;
                tracing::info!("reloaded the TLS certificates");
            }
            Err(error) => {
                if self.watched.refuse(&error.to_string(), error.may_pass()) {
                    tracing::warn!(%error, "cannot reload the TLS certificates; the previous ones stay in use");
                }
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
fn configuration(
    files: &Tls,
    contents: &[Contents],
    hosts: &[String],
) -> Result<Arc<ServerConfig>, CertificateError> {
    let text = |at: usize| contents.get(at).map_or(&[][..], |contents| contents.as_slice());
    let chain = chain(&files.certificate, text(0))?;
    let key = certificate::key(&files.key, text(1))?;
    let pair = |reason: String| CertificateError::Pair {
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
    check_chain(&files.certificate, &chain, hosts, clock::seconds(clock::now()))?;
    let mut configuration =
        builder.with_single_cert(chain, key).map_err(|error| pair(error.to_string()))?;
    configuration.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(configuration))
}

/// Checks a certificate if one is shown; whether one must be is decided request by request, for
/// devices that fetch keys have none.
fn verifier(path: &Path, pem: &[u8]) -> Result<Arc<dyn ClientCertVerifier>, CertificateError> {
    let roots = authorities(path, pem)?;
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider()))
        .allow_unauthenticated()
        .build()
        .map_err(|error| CertificateError::File {
            path: path.to_owned(),
            what: "certificates of authorities",
            reason: error.to_string(),
        })
}
