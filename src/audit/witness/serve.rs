//! The witness over HTTP: two resources, and whether it is there.

use super::{
    config::Limits,
    records::{NotCosigned, Records},
};
use crate::log::witness::{MAX_REQUEST, Refusal};
use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Path, Request, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use std::{
    future::Future,
    io,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::spawn_blocking,
    time::timeout,
};
use tower_service::Service;

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
    let places = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    let patience = limits.patience();
    let mut stop = std::pin::pin!(stop);
    loop {
        // First a place, then a connection: those that wait are the system's to keep.
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            accepted = accepted => accepted,
            () = &mut stop => break,
        };
        let Ok((stream, _)) = accepted else {
            // Out of file descriptors, most likely: some will be free in a moment.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let conversation = converse(stream, router.clone(), patience, graceful.watcher());
        tokio::spawn(async move {
            let _place = place;
            // Whoever hangs up, or is too slow, is gone; there is nothing to do about it.
            let _ = conversation.await;
        });
    }
    drop(listener);
    let _ = timeout(DRAIN, graceful.shutdown()).await;
}

const DRAIN: Duration = Duration::from_secs(10);
/// Bytes that a connection keeps before anyone takes them.
const READ_AHEAD: usize = 16 << 10;

/// Answers the requests of one connection.
async fn converse(
    stream: TcpStream,
    router: Router,
    patience: Duration,
    watcher: hyper_util::server::graceful::Watcher,
) -> hyper::Result<()> {
    let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
        router.clone().call(request.map(Body::new))
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(patience).max_buf_size(READ_AHEAD);
    watcher.watch(builder.serve_connection(TokioIo::new(stream), service)).await
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
