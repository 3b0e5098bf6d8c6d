//! The log for anybody: files by C2SP's names, and proofs of single entries.

use super::PublicLog;
use crate::{
    aggregator::{
        http::{Failure, InPath, blocking},
        serve::edge::Edge,
    },
    log::{entry::EntryKey, tiles::TileName},
};
use axum::{
    Router,
    extract::State,
    http::{
        HeaderName, HeaderValue,
        header::{CACHE_CONTROL, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
    routing::get,
};
use std::sync::Arc;

/// The routes under an aggregator's own path.
pub fn router(log: Arc<PublicLog>, edge: &Edge) -> Router {
    let routes = Router::new()
        .route("/log/checkpoint", get(checkpoint))
        .route("/log/tile/{*name}", get(tile))
        .route("/log/proof/{key}", get(proof));
    edge.for_anybody(routes).with_state(log)
}

async fn checkpoint(State(log): State<Arc<PublicLog>>) -> Result<Response, Failure> {
    let note = blocking(move |_| Ok(log.checkpoint()?)).await?;
    Ok(answer("text/plain; charset=utf-8", "max-age=1", note.to_string()))
}

/// What is full never changes, and neither does the beginning that a partial name stands for.
async fn tile(
    State(log): State<Arc<PublicLog>>,
    InPath(name): InPath<String>,
) -> Result<Response, Failure> {
    let name: TileName = format!("tile/{name}").parse().map_err(|_| Failure::NotFound)?;
    let bytes = blocking(move |_| Ok(log.file(&name)?)).await?;
    Ok(answer("application/octet-stream", "public, max-age=31536000, immutable", bytes))
}

/// Ours, not C2SP's: an entry by its key, with its proof (C2SP tlog-proof).
async fn proof(
    State(log): State<Arc<PublicLog>>,
    InPath(key): InPath<String>,
) -> Result<Response, Failure> {
    let key = EntryKey::from_hex(&key).ok_or(Failure::NotFound)?;
    let proof = blocking(move |_| Ok(log.proof(&key)?)).await?;
    Ok(answer("text/plain; charset=utf-8", "no-store", proof.to_string()))
}

fn answer(media_type: &'static str, caching: &'static str, body: impl IntoResponse) -> Response {
    let header = |name: HeaderName, value| (name, HeaderValue::from_static(value));
    ([header(CONTENT_TYPE, media_type), header(CACHE_CONTROL, caching)], body).into_response()
}
