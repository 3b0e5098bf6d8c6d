//! Limits on open connections: how many in all, how many of each client, and for how long.
//!
//! A server has so many [`slots`], so many of them for one client [`address`], and the last for those
//! that have none. A connection keeps its slot while there is [`activity`]: a request that is worked
//! on, or an answer that is taken. Whoever only holds one open loses it, first of all when somebody
//! else needs it; then whoever has many and keeps us waiting for the rest of a request. How often a client
//! may ask, on however many connections, is its [`rate_limiter`]; who a client is where proxies stand in front,
//! [`forwarded`] says if they are HTTP's, and [`proxy_protocol`] if they pass TCP connections on.
//!
//! ```
//! use sottovoce_connections::address::counted;
//!
//! // A client of IPv6 has a whole network, and is counted by it.
//! assert_eq!(counted("2001:db8::7".parse()?), counted("2001:db8::8".parse()?));
//! assert_ne!(counted("192.0.2.7".parse()?), counted("192.0.2.8".parse()?));
//! # Ok::<_, std::net::AddrParseError>(())
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::cast_precision_loss))]

pub mod activity;
pub mod address;
mod body;
pub mod forwarded;
pub mod proxy_protocol;
pub mod rate_limiter;
pub mod slots;

use activity::{Active, Shared};
use address::Network;
use axum::{Router, body::Body, extract::Request};
use body::{RequestBody, ResponseBody};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
};
use slots::{Refused, Slot, Slots};
use std::{
    convert::Infallible,
    future::Future,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tower_service::Service;

/// Bounds on connections.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Connections at once, at least one.
    pub connections: usize,
    /// Of those, connections of one client address, at least one. A network of IPv6 that may be many
    /// clients has more: a /56 twice, a /48 four times as many.
    pub of_one_client: usize,
    /// Addresses with as many as there are: proxies, behind which are many clients.
    pub proxies: Vec<Network>,
    /// How long a client may take for a handshake, and for a request's head.
    pub patience: Duration,
    /// How long a connection may be open without a request that is worked on, or an answer of which
    /// something is taken; also of each answer by itself, unless a proxy's requests share the connection.
    /// It must be taken in twice that, and a second for each 16 KiB.
    pub idle: Duration,
    /// Bytes that a connection keeps before anyone takes them, a request's whole head among them.
    pub read_ahead: usize,
}

/// What happens to connections, for whoever counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// One was not taken.
    Refused(Refused),
    /// One was closed for nothing happened on it.
    Idle,
    /// One on which nothing happened, or that kept us waiting, was closed for another to have its slot.
    Evicted,
}

/// Who hears of events.
pub type OnEvent = Arc<dyn Fn(Event) + Send + Sync>;

/// A connection that ended before its client ended it.
#[derive(Debug, Error)]
pub enum Ended {
    /// Nothing happened on it.
    #[error("idle timeout")]
    Idle,
    /// Nothing happened on it, and another needed its slot.
    #[error("closed while idle, to make room for another connection")]
    Evicted,
    /// There was no handshake in time.
    #[error("handshake timeout")]
    Handshake,
    /// The client that a balancer passed on has no slot.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The connection broke, or the client broke the protocol.
    #[error("{0}")]
    Broken(String),
}

/// What a connection speaks: agreed on in the handshake, so that nobody waits for a client that
/// does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// Takes connections until `stop`, and has each handled; then lets open requests end, for a while.
pub async fn serve<F>(
    listener: TcpListener,
    bounds: Bounds,
    on_event: OnEvent,
    stop: impl Future<Output = ()>,
    handle: impl Fn(TcpStream, SocketAddr, Connection) -> F,
) where
    F: Future<Output = Result<(), Ended>> + Send + 'static,
{
    let slots = Arc::new(Slots::new(&bounds));
    let (bounds, graceful) = (Arc::new(bounds), GracefulShutdown::new());
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        let Ok((stream, address)) = accepted else {
            // Out of file descriptors, most likely: some will be free in a moment.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        // One that is refused is closed at once: to keep it waiting would cost as much as a slot.
        let slot = match slots.take(address.ip()) {
            Ok(slot) => slot,
            Err(refused) => {
                on_event(Event::Refused(refused));
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let connection =
            Connection { slot, bounds: Arc::clone(&bounds), watcher: graceful.watcher() };
        let (handled, on_event) = (handle(stream, address, connection), Arc::clone(&on_event));
        tokio::spawn(async move {
            match handled.await {
                Err(Ended::Idle) => on_event(Event::Idle),
                Err(Ended::Evicted) => on_event(Event::Evicted),
                Err(Ended::Refused(refused)) => on_event(Event::Refused(refused)),
                // Whoever hangs up, or breaks the protocol, is gone.
                Ok(()) | Err(Ended::Handshake | Ended::Broken(_)) => {}
            }
        });
    }
    drop(listener);
    let _ = timeout(DRAIN, graceful.shutdown()).await;
}

/// How long open requests may take to end: a little less than a server goes on that is told to stop.
const DRAIN: Duration = Duration::from_secs(6);

/// A connection that has a slot, to be handled.
pub struct Connection {
    slot: Slot,
    bounds: Arc<Bounds>,
    watcher: Watcher,
}

impl Connection {
    /// The same for the client that a balancer passed on: it counts among that client's connections, and no more
    /// among the balancer's.
    pub fn of_client(self, client: IpAddr) -> Result<Self, Ended> {
        Ok(Self { slot: self.slot.moved_to(client)?, ..self })
    }

    /// A handshake, in bounded time, unless another needs the slot.
    pub async fn handshake<T, E: std::fmt::Display>(
        &self,
        handshake: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Ended> {
        let bounded = timeout(self.bounds.patience, handshake);
        let done = tokio::select! {
            done = bounded => done.map_err(|_| Ended::Handshake)?,
            () = self.slot.activity().evicted() => return Err(Ended::Evicted),
        };
        done.map_err(|error| Ended::Broken(error.to_string()))
    }

    /// Answers the requests that come over a stream. `mark` adds to each what the handlers are to
    /// know of the connection.
    pub async fn serve_requests(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        version: Version,
        router: Router,
        mark: impl Fn(&mut Request) + Clone + Send + 'static,
    ) -> Result<(), Ended> {
        let Self { slot, bounds, watcher } = self;
        let activity = slot.activity();
        let (asked, idle) = (Arc::clone(activity), bounds.idle);
        let of_many = version == Version::Http2 && slot.is_proxy();
        let shared = if of_many { Shared::ByMany } else { Shared::ByNobody };
        let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
            let working = asked.work();
            let mut request = request.map(|body| Body::new(RequestBody::new(body, &asked)));
            mark(&mut request);
            let answer = router.clone().call(request);
            let activity = Arc::clone(&asked);
            async move {
                let answer = answer.await?;
                let answer = answer.map(|body| Body::new(ResponseBody::new(body, &activity, idle)));
                drop(working);
                Ok::<_, Infallible>(answer)
            }
        });
        let conversation = async {
            match version {
                Version::Http1 => {
                    let mut builder = hyper::server::conn::http1::Builder::new();
                    let stream = TokioIo::new(Active::new(stream, Arc::clone(activity)));
                    builder
                        .timer(TokioTimer::new())
                        .header_read_timeout(bounds.patience)
                        .max_buf_size(bounds.read_ahead);
                    watcher.watch(builder.serve_connection(stream, service)).await
                }
                Version::Http2 => {
                    // What is written says nothing here: it may be answers to pings.
                    let stream = TokioIo::new(stream);
                    watcher.watch(http2(&bounds).serve_connection(stream, service)).await
                }
            }
        };
        tokio::select! {
            ended = conversation => ended.map_err(|error| Ended::Broken(error.to_string())),
            () = activity.idle(idle, shared) => Err(Ended::Idle),
            () = activity.evicted() => Err(Ended::Evicted),
        }
    }
}

fn http2(bounds: &Bounds) -> hyper::server::conn::http2::Builder<TokioExecutor> {
    let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_header_list_size(16 << 10)
        .max_concurrent_streams(64)
        .max_send_buf_size(bounds.read_ahead)
        .keep_alive_interval(Some(bounds.patience))
        .keep_alive_timeout(bounds.patience);
    builder
}

#[cfg(test)]
mod tests;
