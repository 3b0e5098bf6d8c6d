//! The witness over HTTP: two resources, and whether it is there.

use super::{
    config::Limits,
    records::{NotCosigned, Records},
};
use crate::{
    connections::{self, Connection, Version},
    log::witness::{MAX_REQUEST, Refusal},
};
use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Path, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use std::{
    future::Future,
    io,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{net::TcpListener, task::spawn_blocking, time::timeout};

const PLAIN: &str = "text/plain; charset=utf-8";

/// What a request needs.
#[derive(Clone)]
struct Door {
    records: Arc<Records>,
    patience: Duration,
}

/// The witness's resources. Bodies have to come within `patience`.
pub fn router(records: Arc<Records>, patience: Duration) -> Router {
    Router::new()
        .route("/add-checkpoint", post(add_checkpoint))
        .route("/{log}/checkpoint", get(checkpoint))
        .route("/healthz", get(|| async { StatusCode::OK }))
        .fallback(|| async { said(StatusCode::NOT_FOUND, "a witness has no such resource\n") })
        .with_state(Door { records, patience })
}

async fn add_checkpoint(State(door): State<Door>, body: Body) -> Response {
    let body = match timeout(door.patience, to_bytes(body, MAX_REQUEST)).await {
        Ok(Ok(body)) => body,
        // One that ended early hears nothing anyway.
        Ok(Err(_)) => return refused(&Refusal::TooLong),
        Err(_) => return said(StatusCode::REQUEST_TIMEOUT, "the request did not come in time\n"),
    };
    let records = door.records;
    match spawn_blocking(move || records.add_checkpoint(&body, now())).await {
        Ok(Ok(line)) => said(StatusCode::OK, line.to_string()),
        Ok(Err(NotCosigned::Refused(refusal))) => refused(&refusal),
        Ok(Err(error @ NotCosigned::NotKept { .. })) => {
            eprintln!("{error}");
            unavailable()
        }
        Err(_) => unavailable(),
    }
}

async fn checkpoint(State(door): State<Door>, Path(log): Path<String>) -> Response {
    // A record may be held while the disk is slow.
    let newest = spawn_blocking(move || door.records.newest(&log)).await;
    match newest {
        Ok(Some(note)) => said(StatusCode::OK, note),
        Ok(None) => said(StatusCode::NOT_FOUND, "no checkpoint of that log was cosigned here\n"),
        Err(_) => unavailable(),
    }
}

/// In seconds since the Epoch; 0 for a clock that is before it.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn refused(refusal: &Refusal) -> Response {
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_REQUEST);
    let (media_type, body) = refusal.body();
    (status, [(CONTENT_TYPE, media_type)], body).into_response()
}

fn unavailable() -> Response {
    said(StatusCode::SERVICE_UNAVAILABLE, "the witness cannot keep what it would cosign\n")
}

fn said(status: StatusCode, text: impl Into<String>) -> Response {
    (status, [(CONTENT_TYPE, PLAIN)], text.into()).into_response()
}

/// Serves until `stop`, then lets open requests end, for a while.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: &Limits,
    stop: impl Future<Output = ()>,
) {
    let handle = move |stream, _, connection: Connection| {
        connection.converse(stream, Version::Http1, router.clone(), |_| ())
    };
    connections::serve(listener, limits.bounds(), Arc::new(|_| ()), stop, handle).await;
}

/// Ends at Ctrl-C or a request to terminate.
pub fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        Ok(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        })
    }
    #[cfg(not(unix))]
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
    })
}
