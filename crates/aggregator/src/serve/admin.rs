//! The admin interface, on a listener of its own: health, readiness, metrics, log level.

use super::logs::LogLevel;
use crate::{
    http::{Failure, blocking},
    metrics::Metrics,
    store::Datastore,
};
use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::{get, put},
};
use std::sync::Arc;

/// What the admin interface shows.
#[derive(Clone)]
pub struct Admin {
    /// The database, which must answer.
    pub store: Arc<dyn Datastore>,
    /// What was counted.
    pub metrics: Arc<Metrics>,
    /// What is logged.
    pub log: LogLevel,
}

/// Its routes.
pub fn router(admin: Admin) -> Router {
    Router::new()
        .route("/healthz", get(|| async { StatusCode::OK }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/log", put(log))
        .fallback(|| async { Failure::NotFound })
        .with_state(admin)
}

/// Ready means: what is asked of us now can be answered, for which the database must.
async fn ready(State(admin): State<Admin>) -> impl IntoResponse {
    let pinged = blocking(move |_| admin.store.ping().map_err(Failure::from));
    match pinged.await {
        Ok(()) => (StatusCode::OK, "ready\n"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the database is unavailable\n"),
    }
}

async fn metrics(State(admin): State<Admin>) -> Result<impl IntoResponse, Failure> {
    let text = blocking(move |now| {
        admin.metrics.look(admin.store.as_ref(), now).map_err(Failure::from)?;
        Ok(admin.metrics.text())
    });
    Ok(([(CONTENT_TYPE, CONTENT)], text.await?))
}

const CONTENT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

async fn log(State(admin): State<Admin>, filter: String) -> impl IntoResponse {
    match admin.log.set(filter.trim()) {
        Ok(()) => {
            tracing::info!(filter = filter.trim(), "log filter changed");
            (StatusCode::OK, String::new())
        }
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")),
    }
}
