//! Serving: listen, answer, stop in good order.
//!
//! [`edge`] is the middleware around the roles' routes: [`throttle`] is the rate limit of each client,
//! [`admission`] limits what bodies and work take, [`memory`] is the limit on memory that they share, and
//! [`response_body`] is a response that counts against it until it is written. `balancers` read whose connection
//! it is that a balancer passed on. [`tls`] is HTTPS, with files that are watched for [`reload`] and whose
//! [`certificate`]s are checked, `handshakes` tells of those that fail, and [`validity`] is when certificates end.
//! [`signals`] tells when to stop, [`admin`] is the operator's listener or [`socket`], [`logs`] what is written down,
//! [`log_limit`] how often if strangers cause it, and [`traces`] exports spans to OpenTelemetry.

pub mod admin;
pub mod admission;
mod balancers;
pub mod certificate;
mod client;
pub mod edge;
mod handshakes;
pub mod log_limit;
pub mod logs;
pub mod memory;
pub mod reload;
pub mod response_body;
pub mod signals;
#[cfg(unix)]
pub mod socket;
pub mod throttle;
pub mod tls;
pub mod traces;
pub mod validity;

pub use client::{ClientAddress, PeerIdentity};

use super::{clock, config::limits::Limits, http::Failure, metrics::Metrics, skew};
use axum::{
    Router,
    extract::Request,
    http::{HeaderValue, StatusCode, header::DATE},
    middleware::map_response,
    response::Response,
    routing::get,
};
use balancers::Balancers;
use handshakes::Handshakes;
use sottovoce_connections::{self as connections, Connection, Ended, Version};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};
use thiserror::Error;
use tls::Certificates;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// A server that cannot start.
#[derive(Debug, Error)]
pub enum ServeError {
    /// Somebody else listens there.
    #[error(
        "{0} is in use by another program; stop it, or set `listen` to a free address and port"
    )]
    InUse(SocketAddr),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// HTTPS cannot be set up.
    #[error(transparent)]
    Tls(#[from] certificate::CertificateError),
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
        .layer(map_response(dated))
}

/// Our time, of now: Hyper's own stands still for as long as a clock was set back.
async fn dated(mut response: Response) -> Response {
    if let Ok(date) = HeaderValue::try_from(skew::date(clock::now())) {
        response.headers_mut().insert(DATE, date);
    }
    response
}

/// Serves `router` until `stop`, then lets open requests end, for a while.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    certificates: Option<Arc<Certificates>>,
    limits: &Limits,
    metrics: Arc<Metrics>,
    mut stop: watch::Receiver<bool>,
) {
    let handshakes = Handshakes::new(Arc::clone(&metrics));
    let secured = certificates.map(|certificates| (certificates, handshakes));
    let on_event = Arc::new(move |event| metrics.connection(event));
    let around = Arc::new(Around { router, secured, balancers: Balancers::new(limits) });
    let stopped = async move {
        let _ = stop.wait_for(|stop| *stop).await;
    };
    let handle = move |stream, address: SocketAddr, connection| {
        let around = Arc::clone(&around);
        async move {
            let ended = around.handle(stream, address.ip().to_canonical(), connection).await;
            if let Err(reason) = &ended {
                tracing::debug!(%address, %reason, "connection closed");
            }
            ended
        }
    };
    connections::serve(listener, limits.bounds(), on_event, stopped, handle).await;
}

/// What a connection goes through before its requests are answered.
struct Around {
    router: Router,
    secured: Option<(Arc<Certificates>, Handshakes)>,
    balancers: Option<Balancers>,
}

impl Around {
    async fn handle(
        &self,
        mut stream: TcpStream,
        peer: IpAddr,
        connection: Connection,
    ) -> Result<(), Ended> {
        let (address, connection) = match &self.balancers {
            Some(balancers) => balancers.client(&mut stream, peer, connection).await?,
            None => (peer, connection),
        };
        let mut client = PeerIdentity { address, certified: false };
        let mark = |client| {
            move |request: &mut Request| {
                request.extensions_mut().insert(client);
            }
        };
        let router = self.router.clone();
        let Some((certificates, handshakes)) = &self.secured else {
            return connection.serve_requests(stream, Version::Http1, router, mark(client)).await;
        };
        let shaken = connection.handshake(certificates.accept(stream)).await;
        let stream = shaken.inspect_err(|ended| handshakes.refused(client.address, ended))?;
        let session = stream.get_ref().1;
        client.certified = session.peer_certificates().is_some();
        let version =
            if session.alpn_protocol() == Some(b"h2") { Version::Http2 } else { Version::Http1 };
        connection.serve_requests(stream, version, router, mark(client)).await
    }
}
