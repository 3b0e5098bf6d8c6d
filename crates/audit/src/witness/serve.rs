//! The witness over HTTP: what logs ask for, what anybody may see, and whether it is there.

use super::{
    config::Limits,
    records::{NotCosigned, Records},
    tally::Reason,
};
use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Path, Request, State},
    http::{
        HeaderValue, StatusCode,
        header::{CONTENT_TYPE, RETRY_AFTER},
    },
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use sottovoce_connections::{
    self as connections, Connection, Version, forwarded::Proxies, rate_limiter::RateLimiter,
};
use sottovoce_log::witness::{MAX_REQUEST, Refusal};
use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::{net::TcpListener, task::spawn_blocking, time::timeout};

const PLAIN: &str = "text/plain; charset=utf-8";

/// What a request needs.
#[derive(Clone)]
struct Door {
    records: Arc<Records>,
    patience: Duration,
}

/// How often clients may ask.
struct Throttle {
    limiter: RateLimiter,
    proxies: Option<Proxies>,
    /// Counts those that are refused.
    records: Arc<Records>,
}

impl Throttle {
    /// Who asks: the proxies' word for it if they stand in front, else the connection's. Clients that a
    /// proxy does not name share its credit.
    fn address(&self, request: &Request) -> Option<IpAddr> {
        let peer = request.extensions().get::<Client>()?.0;
        let named = self.proxies.as_ref().map(|p| p.client_address(request.headers(), peer));
        Some(named.and_then(Result::ok).unwrap_or(peer))
    }
}

/// Who is at the other end of a connection; an extension of each request.
#[derive(Clone, Copy)]
struct Client(IpAddr);

/// The witness's resources, within `limits`.
pub fn router(records: Arc<Records>, limits: &Limits) -> Router {
    let throttle = Throttle {
        limiter: RateLimiter::new(limits.requests_per_second, limits.request_burst),
        proxies: limits.proxies(),
        records: Arc::clone(&records),
    };
    let patience = limits.patience();
    Router::new()
        .route("/add-checkpoint", post(add_checkpoint))
        .route("/{log}/checkpoint", get(checkpoint))
        .route("/evidence", get(all_evidence))
        .route("/{log}/evidence/{name}", get(evidence))
        .route_layer(from_fn_with_state(Arc::new(throttle), throttled))
        // Whoever watches over the witness does so also while it is flooded.
        .route("/healthz", get(|| async { StatusCode::OK }))
        .route("/metrics", get(metrics))
        .fallback(|| async { said(StatusCode::NOT_FOUND, "no such resource\n") })
        .with_state(Door { records, patience })
}

/// Lets a request through while its client has credit: before its body is read, a signature is checked or
/// a file is written.
async fn throttled(
    State(throttle): State<Arc<Throttle>>,
    request: Request,
    next: Next,
) -> Response {
    let client = throttle.address(&request);
    match client.map_or(Ok(()), |address| throttle.limiter.take(address, Instant::now())) {
        Ok(()) => next.run(request).await,
        Err(wait) => {
            throttle.records.refused("", Reason::RateLimit, "rate limit exceeded for an address");
            too_many(wait)
        }
    }
}

fn too_many(wait: Duration) -> Response {
    let text = "rate limit exceeded for this address; retry after the time in Retry-After\n";
    let mut response = said(StatusCode::TOO_MANY_REQUESTS, text);
    // Rounded up: a retry after that time is let in.
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    response
}

async fn add_checkpoint(State(door): State<Door>, body: Body) -> Response {
    let records = door.records;
    let body = match timeout(door.patience, to_bytes(body, MAX_REQUEST)).await {
        Ok(Ok(body)) => body,
        // One that ended early hears nothing anyway.
        Ok(Err(_)) => {
            records.refused("", Reason::Form, "the request is too long, or ended early");
            return refused(&Refusal::TooLong);
        }
        Err(_) => {
            records.refused("", Reason::Timeout, "timeout while reading the request");
            return said(StatusCode::REQUEST_TIMEOUT, "timeout while reading the request\n");
        }
    };
    match spawn_blocking(move || records.add_checkpoint(&body, now())).await {
        Ok(Ok(line)) => said(StatusCode::OK, line.to_string()),
        Ok(Err(NotCosigned::Refused(refusal))) => refused(&refusal),
        Ok(Err(NotCosigned::NotKept { .. })) | Err(_) => unavailable(),
    }
}

async fn checkpoint(State(door): State<Door>, Path(log): Path<String>) -> Response {
    // A record may be held while the disk is slow.
    let newest = spawn_blocking(move || door.records.newest(&log)).await;
    match newest {
        Ok(Some(note)) => said(StatusCode::OK, note),
        Ok(None) => {
            said(StatusCode::NOT_FOUND, "this witness has cosigned no checkpoint of that log\n")
        }
        Err(_) => unavailable(),
    }
}

/// What is kept as evidence, with where each is.
async fn all_evidence(State(door): State<Door>) -> Response {
    let listed = spawn_blocking(move || serde_json::to_vec_pretty(&door.records.evidence())).await;
    listed.ok().and_then(Result::ok).map_or_else(unavailable, json)
}

async fn evidence(State(door): State<Door>, Path((log, name)): Path<(String, String)>) -> Response {
    match spawn_blocking(move || door.records.evidence_of(&log, &name)).await {
        Ok(Some(text)) => json(text),
        Ok(None) => said(StatusCode::NOT_FOUND, "there is no such evidence; see /evidence\n"),
        Err(_) => unavailable(),
    }
}

async fn metrics(State(door): State<Door>) -> Response {
    let text = spawn_blocking(move || door.records.prometheus()).await;
    let media_type = "text/plain; version=0.0.4; charset=utf-8";
    text.map_or_else(
        |_| unavailable(),
        |text| (StatusCode::OK, [(CONTENT_TYPE, media_type)], text).into_response(),
    )
}

fn json(text: Vec<u8>) -> Response {
    (StatusCode::OK, [(CONTENT_TYPE, "application/json")], text).into_response()
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
    said(StatusCode::SERVICE_UNAVAILABLE, "the witness cannot write its records\n")
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
    let handle = move |stream, address: SocketAddr, connection: Connection| {
        let client = Client(address.ip());
        connection.serve_requests(stream, Version::Http1, router.clone(), move |request| {
            request.extensions_mut().insert(client);
        })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::witness::key::WitnessKey;
    use sottovoce_log::note::KeyName;
    use tower_service::Service;

    fn router(limits: &Limits) -> Router {
        let folder = tempfile::tempdir().unwrap();
        let records = folder.path().join("records");
        Records::create(&records).unwrap();
        let name = KeyName::new("witness.example/w").unwrap();
        let key = WitnessKey::create(&name, &folder.path().join("key")).unwrap();
        let records = Records::open(&records, key, Vec::new()).unwrap();
        super::router(Arc::new(records), limits)
    }

    /// `from` is an address, and after a comma the one that it names.
    async fn ask(router: &mut Router, from: &str, method: &str, path: &str) -> Response {
        let (from, named) = from.split_once(',').unwrap_or((from, ""));
        let client = Client(from.parse().unwrap());
        let request = Request::builder().method(method).uri(path).extension(client);
        let request = request.header("x-forwarded-for", named);
        router.call(request.body(Body::from("no request")).unwrap()).await.unwrap()
    }

    #[tokio::test]
    async fn one_address_that_asks_too_often_is_told_when_to_come_back_and_others_get_in() {
        let limits = Limits {
            requests_per_second: 1,
            request_burst: 2,
            trusted_proxies: vec!["10.0.0.7".parse().unwrap()],
            ..Limits::default()
        };
        let mut router = router(&limits);
        for (from, path, status) in [
            ("192.0.2.1", "/add-checkpoint", 400),
            ("192.0.2.1", "/add-checkpoint", 400),
            ("192.0.2.1", "/add-checkpoint", 429),
            ("192.0.2.1,192.0.2.2", "/add-checkpoint", 429),
            ("192.0.2.2", "/add-checkpoint", 400),
            ("10.0.0.7,192.0.2.1", "/add-checkpoint", 429),
            ("10.0.0.7,192.0.2.3", "/add-checkpoint", 400),
        ] {
            let answer = ask(&mut router, from, "POST", path).await;
            assert_eq!(answer.status(), status, "{from} {path}");
            assert_eq!(answer.headers().contains_key(RETRY_AFTER), status == 429);
        }
        // Whoever reads has the same credit; whoever watches over the witness needs none.
        for path in ["/a/checkpoint", "/evidence", "/a/evidence/b"] {
            assert_eq!(ask(&mut router, "192.0.2.1", "GET", path).await.status(), 429);
        }
        for path in ["/healthz", "/metrics"] {
            assert_eq!(ask(&mut router, "192.0.2.1", "GET", path).await.status(), 200);
        }
        let metrics = ask(&mut router, "192.0.2.1", "GET", "/metrics").await;
        let text = to_bytes(metrics.into_body(), 1 << 20).await.unwrap();
        let text = String::from_utf8(text.to_vec()).unwrap();
        assert!(text.contains("{log=\"\",reason=\"rate_limit\"} 6"), "{text}");
        assert!(text.contains("{log=\"\",reason=\"form\"} 4"), "{text}");
    }
}
