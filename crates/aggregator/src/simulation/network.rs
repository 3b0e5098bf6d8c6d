//! The network between the parties: requests reach the routes of whoever is up, unless they get lost.

use super::plan::{Link, LinkFault};
use crate::clock::simulated::{by, elapsed};
use axum::{
    Router,
    body::{Body, to_bytes},
    http::{
        HeaderMap, HeaderName, Request as HttpRequest,
        header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, LOCATION, RETRY_AFTER},
    },
};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use sottovoce_dap::{
    bearer_token::BearerToken,
    exchange::{Method, Request, Response},
};
use sottovoce_transport::wire::{Carried, Wire};
use std::{
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{sync::Notify, time::sleep};
use tower_service::Service;

/// A server that is up.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) host: String,
    /// Of its process.
    pub(super) id: usize,
    pub(super) party: usize,
    pub(super) router: Router,
    /// Whether its process has ended.
    pub(super) gone: Gone,
}

/// Whether a process has ended. Those who wait for it learn it in the order in which they began to.
#[derive(Clone, Default)]
pub(super) struct Gone(Arc<(AtomicBool, Notify)>);

impl Gone {
    pub(super) fn now(&self) {
        self.0.0.store(true, Ordering::Relaxed);
        self.0.1.notify_waiters();
    }

    fn is(&self) -> bool {
        self.0.0.load(Ordering::Relaxed)
    }

    async fn wait(&self) {
        let told = self.0.1.notified();
        if !self.is() {
            told.await;
        }
    }
}

/// All who are up, and what goes wrong between them.
pub(super) struct Network(Mutex<Inner>);

struct Inner {
    nodes: Vec<Node>,
    faults: Vec<(Link, LinkFault, u64)>,
    rng: StdRng,
}

/// What becomes of one request.
#[derive(Default)]
struct Fate {
    answered_by: Option<LinkFault>,
    lost: bool,
    answer_lost: bool,
    twice: bool,
    there: Duration,
    back: Duration,
}

impl Network {
    pub(super) fn new(seed: u64) -> Self {
        let (nodes, faults) = (Vec::new(), Vec::new());
        Self(Mutex::new(Inner { nodes, faults, rng: StdRng::seed_from_u64(seed) }))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    pub(super) fn join(&self, node: Node) {
        self.lock().nodes.push(node);
    }

    pub(super) fn leave(&self, id: usize) {
        self.lock().nodes.retain(|node| node.id != id);
    }

    pub(super) fn add(&self, link: Link, fault: LinkFault, until: u64) {
        self.lock().faults.push((link, fault, until));
    }

    /// Ends all faults that are not for good.
    pub(super) fn mend(&self) {
        self.lock().faults.retain(|(.., until)| *until == u64::MAX);
    }

    /// Ends all faults, those for good too.
    pub(super) fn forgive(&self) {
        self.lock().faults.clear();
    }

    fn node(&self, url: &str) -> Option<Node> {
        let mut inner = self.lock();
        let Inner { nodes, rng, .. } = &mut *inner;
        let all: Vec<_> = nodes.iter().filter(|node| url.starts_with(&node.host)).collect();
        all.choose(rng).map(|node| (*node).clone())
    }

    fn fate(&self, link: Link) -> Fate {
        let now = elapsed();
        let mut inner = self.lock();
        let Inner { faults, rng, .. } = &mut *inner;
        let mut fate = Fate { there: drawn(rng, 5), back: drawn(rng, 5), ..Fate::default() };
        for (_, fault, _) in faults.iter().filter(|(on, _, until)| *on == link && now < *until) {
            match fault {
                LinkFault::Lossy if rng.random_ratio(1, 3) => fate.lost = true,
                LinkFault::Lossy if rng.random_ratio(1, 2) => fate.answer_lost = true,
                LinkFault::Lossy => {}
                LinkFault::Doubling => fate.twice = rng.random(),
                LinkFault::Slow(most) => {
                    (fate.there, fate.back) = (drawn(rng, *most), drawn(rng, *most));
                }
                other => fate.answered_by = Some(*other),
            }
        }
        fate
    }
}

fn drawn(rng: &mut StdRng, most: u64) -> Duration {
    Duration::from_millis(rng.random_range(0..=most))
}

/// One party's way to the others, until its process ends.
pub(super) struct Connection {
    pub(super) network: Arc<Network>,
    pub(super) link: fn(&str) -> Link,
    /// Whether the sender has ended.
    pub(super) gone: Gone,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connection")
    }
}

impl Wire for Connection {
    fn carry(&self, request: Request, token: Option<&BearerToken>) -> Carried {
        if self.gone.is() {
            return Box::pin(async { std::future::pending().await });
        }
        let (network, link) = (Arc::clone(&self.network), (self.link)(&request.url));
        let token = token.filter(|_| request.authorized).map(|token| token.secret().to_owned());
        Box::pin(async move { carry(&network, link, request, token).await })
    }
}

async fn carry(
    network: &Network,
    link: Link,
    request: Request,
    token: Option<String>,
) -> Result<Response, String> {
    let fate = network.fate(link);
    sleep(fate.there).await;
    if let Some(fault) = fate.answered_by {
        return answered_by(fault).await;
    }
    if fate.lost {
        return Err("reset".to_owned());
    }
    let node = network.node(&request.url).ok_or("refused")?;
    if fate.twice {
        let (node, again) = (node.clone(), http(&request, token.as_deref()));
        let later = fate.back;
        tokio::spawn(async move {
            sleep(later).await;
            ask(node, again).await
        });
    }
    let answer = ask(node, http(&request, token.as_deref())).await?;
    sleep(fate.back).await;
    if fate.answer_lost { Err("reset".to_owned()) } else { Ok(answer) }
}

/// Asks a server, until it has answered or its process ends.
async fn ask(node: Node, request: HttpRequest<Body>) -> Result<Response, String> {
    let Node { party, mut router, gone, .. } = node;
    let answer = async move {
        let response = router.call(request).await.map_err(|error| error.to_string())?;
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.map_err(|error| error.to_string())?;
        Ok(response_of(parts.status.as_u16(), &parts.headers, body.to_vec()))
    };
    tokio::select! {
        biased;
        () = gone.wait() => Err("reset".to_owned()),
        answer = by(party, answer) => answer,
    }
}

async fn answered_by(fault: LinkFault) -> Result<Response, String> {
    let response = |status, content_type: &str, body: &str| {
        let content_type = Some(content_type.to_owned());
        Response { status, content_type, body: body.into(), ..Response::default() }
    };
    Ok(match fault {
        LinkFault::Says(status) => response(status, "text/plain", "no"),
        LinkFault::Refuses => response(
            400,
            "application/problem+json",
            r#"{"type":"urn:ietf:params:ppm:dap:error:invalidMessage","title":"no","status":400}"#,
        ),
        LinkFault::NotYet => Response {
            location: Some("/tasks/x/later".to_owned()),
            retry_after: Some("1".to_owned()),
            ..response(200, "text/plain", "")
        },
        LinkFault::Garbage => response(200, "text/html", "<html>"),
        _ => std::future::pending().await,
    })
}

fn http(request: &Request, token: Option<&str>) -> HttpRequest<Body> {
    let path = request.url.split("://").nth(1).and_then(|rest| rest.split_once('/'));
    let path = path.map_or_else(|| "/".to_owned(), |(_, path)| format!("/{path}"));
    let method = match request.method {
        Method::Get => "GET",
        Method::Post => "POST",
        Method::Delete => "DELETE",
    };
    let mut builder = HttpRequest::builder().method(method).uri(path);
    if let Some(media_type) = request.media_type {
        builder = builder.header(CONTENT_TYPE, media_type.to_string());
    }
    if let Some(token) = token {
        builder = builder.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    builder.body(Body::from(request.body.clone())).unwrap()
}

fn response_of(status: u16, headers: &HeaderMap, body: Vec<u8>) -> Response {
    let text = |name: &HeaderName| {
        headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
    };
    Response {
        status,
        content_type: text(&CONTENT_TYPE),
        location: text(&LOCATION),
        retry_after: text(&RETRY_AFTER),
        cache_control: text(&CACHE_CONTROL),
        body,
    }
}
