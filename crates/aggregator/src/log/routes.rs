//! The log for anybody: files by C2SP's names, and proofs of single entries.

use super::PublicLog;
use crate::{
    http::{Failure, InPath},
    serve::{ClientAddress, edge::Edge, response_body::body_with_permit},
};
use axum::{
    Extension, Router,
    extract::State,
    http::{
        HeaderName, HeaderValue,
        header::{CACHE_CONTROL, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
    routing::get,
};
use sottovoce_log::{entry::EntryKey, tiles::TileName};
use std::sync::Arc;

/// The routes under an aggregator's own path.
pub fn router(log: Arc<PublicLog>, edge: &Edge) -> Router {
    let routes = Router::new()
        .route("/log/checkpoint", get(checkpoint))
        .route("/log/tile/{*name}", get(tile))
        .route("/log/proof/{key}", get(proof));
    edge.for_anybody(routes).with_state(Served { log, edge: edge.clone() })
}

#[derive(Clone)]
struct Served {
    log: Arc<PublicLog>,
    edge: Edge,
}

/// Who asks, if the server knows.
type RateLimited = Option<Extension<ClientAddress>>;

async fn checkpoint(
    State(Served { log, edge }): State<Served>,
    client: RateLimited,
) -> Result<Response, Failure> {
    let note = edge.admission.query(move |_| Ok(log.checkpoint()?)).await?;
    answer(&edge, client, TEXT, "max-age=1", note.to_string().into())
}

/// What is full never changes, and neither does the beginning that a partial name stands for.
async fn tile(
    State(Served { log, edge }): State<Served>,
    client: RateLimited,
    InPath(name): InPath<String>,
) -> Result<Response, Failure> {
    let name: TileName = format!("tile/{name}").parse().map_err(|_| Failure::NotFound)?;
    let bytes = edge.admission.query(move |_| Ok(log.file(&name)?)).await?;
    let caching = "public, max-age=31536000, immutable";
    answer(&edge, client, "application/octet-stream", caching, bytes)
}

/// Ours, not C2SP's: an entry by its key, with its proof (C2SP tlog-proof).
async fn proof(
    State(Served { log, edge }): State<Served>,
    client: RateLimited,
    InPath(key): InPath<String>,
) -> Result<Response, Failure> {
    let key = EntryKey::from_hex(&key).ok_or(Failure::NotFound)?;
    let proof = edge.admission.query(move |_| Ok(log.proof(&key)?)).await?;
    answer(&edge, client, TEXT, "no-store", proof.to_string().into())
}

const TEXT: &str = "text/plain; charset=utf-8";

/// Takes memory that is for strangers until it is read: a file may have megabytes.
fn answer(
    edge: &Edge,
    client: RateLimited,
    media_type: &'static str,
    caching: &'static str,
    body: Vec<u8>,
) -> Result<Response, Failure> {
    let memory = edge.admission.memory(client.map(|Extension(client)| client), body.len())?;
    let header = |name: HeaderName, value| (name, HeaderValue::from_static(value));
    let headers = [header(CONTENT_TYPE, media_type), header(CACHE_CONTROL, caching)];
    Ok((headers, body_with_permit(body, memory)).into_response())
}
