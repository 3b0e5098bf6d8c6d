//! Serving: listen, say that we are there, stop in good order.

use super::{config::Config, http::Failure};
use axum::{Router, http::StatusCode, routing::get};
use std::{future::Future, io, net::SocketAddr, time::Duration};
use thiserror::Error;
use tokio::{net::TcpListener, sync::watch};

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
    /// Serving stopped by itself.
    #[error("serving stopped: {0}")]
    Serve(io::Error),
}

/// Starts to listen where the configuration says.
pub async fn listen(config: &Config) -> Result<TcpListener, ServeError> {
    let address = config.listen;
    TcpListener::bind(address).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => ServeError::InUse(address),
        _ => ServeError::Listen { address, source },
    })
}

/// Serves `router` until `stop`, then lets open requests end, for a while.
pub async fn serve(
    listener: TcpListener,
    path: &str,
    router: Router,
    mut stop: watch::Receiver<bool>,
) -> Result<(), ServeError> {
    let path = path.trim_end_matches('/');
    let router = if path.is_empty() { router } else { Router::new().nest(path, router) };
    let router = router
        .route("/healthz", get(|| async { StatusCode::OK }))
        .fallback(|| async { Failure::NotFound })
        .method_not_allowed_fallback(|| async { Failure::MethodNotAllowed });
    let mut stopping = stop.clone();
    let drained = axum::serve(listener, router).with_graceful_shutdown(async move {
        let _ = stopping.wait_for(|stop| *stop).await;
    });
    let patience = async move {
        let _ = stop.wait_for(|stop| *stop).await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        served = drained.into_future() => served.map_err(ServeError::Serve),
        () = patience => Ok(()),
    }
}

const DRAIN: Duration = Duration::from_secs(10);

/// Becomes true at Ctrl-C or a request to terminate.
pub fn stop_signal() -> io::Result<watch::Receiver<bool>> {
    let (sender, receiver) = watch::channel(false);
    let signal = termination()?;
    tokio::spawn(async move {
        signal.await;
        let _ = sender.send(true);
        // Kept: a closed channel would look like a change for ever.
        std::future::pending::<()>().await;
    });
    Ok(receiver)
}

#[cfg(unix)]
fn termination() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

#[cfg(not(unix))]
fn termination() -> io::Result<impl Future<Output = ()>> {
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
    })
}
