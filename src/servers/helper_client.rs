//! How the leader reaches the helper: whom it trusts and what it shows, also when the files of that
//! are renewed.

use anyhow::{Context, anyhow};
use axum::http::{HeaderMap, HeaderValue, header::DATE};
use sottovoce_aggregator::{
    clock,
    config::{ClientCertificate, Peer, access},
    metrics::Metrics,
    serve::{
        certificate::{self, CertificateError},
        reload::{Contents, RELOAD_EVERY, WatchedFiles},
        traces, validity,
    },
    skew,
};
use sottovoce_transport::http::{HttpClient, Identity};
use std::{path::PathBuf, sync::Arc, time::Duration};
use zeroize::Zeroizing;

/// Longer than a helper takes for the largest job, shorter than a lease.
const HELPER_TIMEOUT: Duration = Duration::from_secs(30);

/// A client for the helper, as its files are now.
pub(super) fn helper_client(peer: &Peer) -> anyhow::Result<HttpClient> {
    read(peer).map(|(_, _, http)| http)
}

/// Makes a client of its files.
fn read(peer: &Peer) -> anyhow::Result<(WatchedFiles, Vec<Contents>, HttpClient)> {
    let (watched, contents) =
        WatchedFiles::begin(files(peer).cloned().collect()).map_err(|(path, error)| {
            let cure = access::cure(&path, &error);
            anyhow!("[peer]: {} cannot be read: {error}{cure}", path.display())
        })?;
    check(peer, &contents).context("[peer]")?;
    let http = HttpClient::with_identity(HELPER_TIMEOUT, identity(peer, &contents))
        .with_context(|| names(peer))?
        .with_headers(add_headers);
    Ok((watched, contents, http))
}

/// What requests say of themselves: which trace they are of, and our time, so that the helper can tell how far our
/// clocks are apart.
fn add_headers(headers: &mut HeaderMap) {
    traces::pass_on(headers);
    if let Ok(date) = HeaderValue::try_from(skew::date(clock::now())) {
        headers.insert(DATE, date);
    }
}

/// The files in the order in which they are read: the authority, the certificate, and its key if that is apart.
fn files(peer: &Peer) -> impl Iterator<Item = &PathBuf> {
    peer.ca.iter().chain(peer.identity.iter().flat_map(ClientCertificate::files))
}

/// Whether what is read is what others will accept.
fn check(peer: &Peer, contents: &[Contents]) -> Result<(), CertificateError> {
    let now = clock::seconds(clock::now());
    let mut contents = contents.iter().map(|contents| contents.as_slice());
    if let Some(path) = &peer.ca {
        certificate::authorities(path, contents.next().unwrap_or_default())?;
    }
    let Some(ClientCertificate { certificate: path, key }) = &peer.identity else { return Ok(()) };
    let pem = contents.next().unwrap_or_default();
    let chain = certificate::chain(path, pem)?;
    certificate::check_chain(path, &chain, &[], now)?;
    let private_key = certificate::key(key, contents.next().unwrap_or(pem))?;
    certificate::check_pair([path, key], chain, private_key)
}

/// The client, and the files that it was made of: for a server, which runs while they are renewed.
pub(super) struct HelperFiles {
    peer: Peer,
    watched: WatchedFiles,
    http: HttpClient,
    /// When the certificate that is shown to the helper ends, in seconds since the Epoch.
    ends: Option<u64>,
}

impl HelperFiles {
    /// Reads the files.
    pub(super) fn read(peer: &Peer) -> anyhow::Result<Self> {
        let (watched, contents, http) = read(peer)?;
        Ok(Self { peer: peer.clone(), watched, http, ends: ends(peer, &contents) })
    }

    /// The client: its clones show and trust what is renewed, too.
    pub(super) fn client(&self) -> HttpClient {
        self.http.clone()
    }

    /// Takes renewed files into use, now and then, for ever. Files that are of no use are left alone
    /// until they are.
    pub(super) async fn reload_forever(mut self, metrics: Arc<Metrics>) {
        let mut ticks = tokio::time::interval(RELOAD_EVERY);
        loop {
            if let Some(ends) = self.ends {
                metrics.certificate("peer_identity", ends);
            }
            ticks.tick().await;
            self.reload();
        }
    }

    fn reload(&mut self) {
        let Some(contents) = self.watched.changed() else { return };
        let checked = check(&self.peer, &contents);
        let may_pass = checked.as_ref().is_err_and(CertificateError::may_pass);
        let renewed = checked.map_err(anyhow::Error::new).and_then(|()| {
            self.http.renew(identity(&self.peer, &contents)).map_err(anyhow::Error::new)
        });
        match renewed {
            Ok(()) => {
                self.ends = ends(&self.peer, &contents);
                tracing::info!("reloaded the certificate files for the helper");
            }
            Err(error) => {
                if self.watched.refuse(&error.to_string(), may_pass) {
                    tracing::warn!(%error, files = names(&self.peer), "cannot reload the certificate files for the helper; the previous ones stay in use");
                }
            }
        }
    }
}

/// What the files say, in the order in which they are read.
fn identity(peer: &Peer, contents: &[Contents]) -> Identity {
    let mut contents = contents.iter();
    let authority = peer.ca.as_ref().and_then(|_| contents.next());
    // Line by line: a file may lack the end of its last line.
    let both = |both: &[Contents]| {
        Zeroizing::new(both.iter().map(|part| part.as_slice()).collect::<Vec<_>>().join(&b'\n'))
    };
    Identity {
        authority: authority.map(|pem| pem.to_vec()),
        certificate_and_key: peer.identity.as_ref().map(|_| both(contents.as_slice())),
    }
}

/// When the certificate ends that the files have for us.
fn ends(peer: &Peer, contents: &[Contents]) -> Option<u64> {
    let own = peer.identity.as_ref().and_then(|_| contents.get(usize::from(peer.ca.is_some())));
    own.and_then(|pem| validity::ends(pem))
}

fn names(peer: &Peer) -> String {
    let names = files(peer).map(|path| path.display().to_string());
    format!("[peer]: {}", names.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        fs,
        io::{Read, Write},
        net::TcpListener,
        path::Path,
    };

    /// An authority and a certificate of it for loopback, with its key.
    struct Authority {
        pem: String,
        server: rustls::ServerConfig,
    }

    fn authority() -> Authority {
        use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        let own = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&own, &issuer).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let server = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                rustls::pki_types::PrivateKeyDer::try_from(own.serialize_der()).unwrap(),
            )
            .unwrap();
        Authority { pem, server }
    }

    /// Answers each connection once, if its client trusts the certificate.
    fn answer(listener: TcpListener, server: rustls::ServerConfig) {
        let server = Arc::new(server);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let connection = rustls::ServerConnection::new(Arc::clone(&server)).unwrap();
                let mut stream = rustls::StreamOwned::new(connection, stream.unwrap());
                if matches!(stream.read(&mut [0; 4096]), Ok(1..)) {
                    let _ = stream.write_all(
                        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
                    );
                }
            }
        });
    }

    fn write_long_ago(path: &Path, pem: &str) {
        fs::write(path, pem).unwrap();
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    }

    #[test]
    fn a_renewed_authority_is_trusted_without_a_restart_however_old_its_file() {
        let (old, new, folder) = (authority(), authority(), tempfile::tempdir().unwrap());
        let ca = folder.path().join("ca.pem");
        fs::write(&ca, &old.pem).unwrap();
        let mut files = HelperFiles::read(&Peer { ca: Some(ca.clone()), identity: None }).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}/", listener.local_addr().unwrap());
        answer(listener, new.server);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let client = files.client();
        let asks = || runtime.block_on(client.get(url.clone(), 10)).map(|response| response.status);
        assert!(asks().is_err());

        write_long_ago(&ca, "no PEM");
        files.reload();
        assert!(asks().is_err());
        write_long_ago(&ca, &new.pem);
        files.reload();
        assert_eq!(asks().unwrap(), 200);
    }

    #[test]
    fn a_file_that_is_missing_is_named() {
        let peer = Peer { ca: Some("no-such-file.pem".into()), identity: None };
        assert!(format!("{:#}", helper_client(&peer).err().unwrap()).contains("no-such-file.pem"));
    }
}
