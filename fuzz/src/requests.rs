//! Requests of strangers and of partners, as the routes of both servers get them.

use crate::{choice, stage::STAGE};
use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri},
};
use sottovoce_aggregator::{
    config::Config,
    helper, leader,
    metrics::Metrics,
    serve::{self, PeerIdentity, edge::Edge},
    store::{Datastore, sqlite::SqliteStore},
};
use sottovoce_dap::role::Role;
use std::sync::Arc;
use tower_service::Service;

/// A byte of role and method, then a path, lines of headers that end with an empty one, and the body.
pub fn requests(data: &[u8]) {
    let Some((kind, rest)) = choice(data) else { return };
    let Some(request) = request(kind, rest) else { return };
    let mut router = if kind % 2 == 0 { helper() } else { leader() };
    STAGE.runtime.block_on(async {
        let answer = router.call(request).await.unwrap_or_else(|never| match never {});
        let status = answer.status();
        assert_ne!(status, StatusCode::INTERNAL_SERVER_ERROR, "nothing of ours may fail");
        let body = to_bytes(answer.into_body(), 1 << 20).await.expect("an answer ends");
        if status.is_client_error() {
            let problem = serde_json::from_slice::<serde_json::Value>(&body);
            assert!(
                problem.is_ok() || body.is_empty(),
                "{status}: a refusal is a problem document"
            );
        }
    });
}

fn request(kind: u8, rest: &[u8]) -> Option<Request<Body>> {
    let mut lines = rest.splitn(2, |byte| *byte == b'\n');
    let uri = Uri::try_from(lines.next()?).ok()?;
    let mut rest = lines.next().unwrap_or_default();
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = uri;
    *request.method_mut() = match kind / 2 % 5 {
        0 => Method::GET,
        1 | 2 => Method::POST,
        3 => Method::DELETE,
        _ => Method::OPTIONS,
    };
    while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
        let (line, after) = (&rest[..at], &rest[at + 1..]);
        rest = after;
        if line.is_empty() {
            break;
        }
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
        request.headers_mut().append(name, value);
    }
    *request.body_mut() = Body::from(rest.to_vec());
    let client = PeerIdentity { address: [192, 0, 2, 1].into(), certified: false };
    request.extensions_mut().insert(client);
    Some(request)
}

fn edge() -> Edge {
    let config = "listen = \"127.0.0.1:0\"\ndatabase = \"db\"\ndatabase_key = \"key\"\nsecrets = \"s\"\n\
                  [cors]\norigins = [\"https://app.example\"]\n\
                  [limits]\nrequests_per_second = 5\ntrusted_proxies = [\"192.0.2.0/24\"]\n";
    let config: Config = toml::from_str(config).expect("a configuration");
    Edge::new(&config, &Arc::new(Metrics::new()))
}

fn store(role: Role) -> Arc<dyn Datastore> {
    let store: Arc<dyn Datastore> = Arc::new(SqliteStore::in_memory().expect("a database"));
    STAGE.begin(store.as_ref(), role);
    store
}

fn helper() -> Router {
    let helper = STAGE.helper(&store(Role::Helper));
    serve::public("/", helper::router(Arc::new(helper), edge()))
}

fn leader() -> Router {
    let leader = STAGE.leader(&store(Role::Leader));
    serve::public("/", leader::router(Arc::new(leader), edge()))
}
