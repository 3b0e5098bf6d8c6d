//! Serving: listen, answer, stop in good order.
//!
//! [`edge`] is what stands around the roles' routes: [`throttle`] bounds what one client may ask for and
//! [`intake`] what bodies take; [`forwarded`] says who a client behind proxies is. [`tls`] is HTTPS, with
//! files whose [`renewal`] is noticed, [`signals`] tells when to stop, [`admin`] is the
//! operator's own door, [`logs`] what is written down and [`traces`] what is told to OpenTelemetry.

pub mod admin;
pub mod edge;
pub mod forwarded;
pub mod intake;
pub mod logs;
pub mod renewal;
pub mod signals;
pub mod throttle;
pub mod tls;
pub mod traces;

use super::{config::limits::Limits, http::Failure};
use axum::{Router, body::Body, extract::Request, http::StatusCode, routing::get};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use thiserror::Error;
use tls::Certificates;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    time::timeout,
};
use tower_service::Service;

/// A server that cannot start.
#[derive(Debug, Error)]
pub enum ServeError {
    /// Somebody else listens there.
    #[error(
        "{0} is in use by another program; stop it, or set `listen` to a free address and port"
    )]
    InUse(SocketAddr),
    /// The address cannot be listened on.
    #[error("{address} cannot be listened on: {source}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// HTTPS cannot be set up.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
}

/// Who is at the other end of a connection; an extension of each request.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    /// Its address.
    pub address: IpAddr,
    /// Whether it showed a certificate of the peer's authority.
    pub certified: bool,
}

/// Starts to listen.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => ServeError::InUse(address),
        _ => ServeError::Listen { address, source },
    })
}

/// What strangers reach: a role's resources under the path of its endpoint.
pub fn public(path: &str, router: Router) -> Router {
    let path = path.trim_end_matches('/');
    let router = if path.is_empty() { router } else { Router::new().nest(path, router) };
    router
        .route("/healthz", get(|| async { StatusCode::OK }))
        .fallback(|| async { Failure::NotFound })
        .method_not_allowed_fallback(|| async { Failure::MethodNotAllowed })
}

/// Serves `router` until `stop`, then lets open requests end, for a while.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    certificates: Option<Arc<Certificates>>,
    limits: &Limits,
    mut stop: watch::Receiver<bool>,
) {
    let connections = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    let patience = limits.request_time;
    loop {
        // First a place, then a connection: those that wait are the system's to keep.
        let accepted = async {
            let place = Arc::clone(&connections).acquire_owned().await;
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            accepted = accepted => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let Ok((stream, address)) = accepted else {
            // Out of file descriptors, most likely: some will be free in a moment.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let (router, certificates) = (router.clone(), certificates.clone());
        let watcher = graceful.watcher();
        tokio::spawn(async move {
            let _place = place;
            let handled = handle(stream, address, router, certificates, patience, watcher).await;
            if let Err(reason) = handled {
                tracing::debug!(%address, reason, "a connection ended");
            }
        });
    }
    drop(listener);
    let _ = timeout(DRAIN, graceful.shutdown()).await;
}

const DRAIN: Duration = Duration::from_secs(10);
/// Bytes that a connection keeps before anyone takes them, a request's whole head among them: what
/// every stranger may have, on top of what the intake has room for.
const READ_AHEAD: usize = 64 << 10;

type Watcher = hyper_util::server::graceful::Watcher;

async fn handle(
    stream: TcpStream,
    address: SocketAddr,
    router: Router,
    certificates: Option<Arc<Certificates>>,
    patience: Duration,
    watcher: Watcher,
) -> Result<(), String> {
    let mut client = Client { address: address.ip(), certified: false };
    let Some(certificates) = certificates else {
        return converse(stream, Version::Http1, client, router, patience, watcher).await;
    };
    let stream = timeout(patience, certificates.accept(stream)).await;
    let stream = stream.map_err(|_| "no TLS handshake in time".to_owned())?;
    let stream = stream.map_err(|error| error.to_string())?;
    let session = stream.get_ref().1;
    client.certified = session.peer_certificates().is_some();
    let version =
        if session.alpn_protocol() == Some(b"h2") { Version::Http2 } else { Version::Http1 };
    converse(stream, version, client, router, patience, watcher).await
}

/// What a connection speaks: agreed on in the handshake, so that nobody waits for a client that
/// does not say.
#[derive(Clone, Copy)]
enum Version {
    Http1,
    Http2,
}

/// Answers the requests of one connection.
async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    version: Version,
    client: Client,
    router: Router,
    patience: Duration,
    watcher: Watcher,
) -> Result<(), String> {
    let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(client);
        router.clone().call(request)
    });
    let stream = TokioIo::new(stream);
    let ended = match version {
        Version::Http1 => {
            let mut builder = hyper::server::conn::http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(patience).max_buf_size(READ_AHEAD);
            watcher.watch(builder.serve_connection(stream, service)).await
        }
        Version::Http2 => {
            let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            builder
                .timer(TokioTimer::new())
                .max_header_list_size(16 << 10)
                .max_concurrent_streams(64)
                .keep_alive_interval(Some(patience))
                .keep_alive_timeout(patience);
            watcher.watch(builder.serve_connection(stream, service)).await
        }
    };
    ended.map_err(|error| error.to_string())
}
