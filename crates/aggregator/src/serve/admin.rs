//! The admin interface, on a listener or socket of its own: health, readiness, metrics, log level.

use super::logs::{self, LogLevel};
use crate::{
    http::{Failure, authenticate, blocking},
    metrics::{Format, Metrics},
    store::{Datastore, OperatorCommand},
};
use axum::{
    Router,
    extract::{Request, State},
    http::{
        HeaderMap, StatusCode,
        header::{ACCEPT, CONTENT_TYPE},
    },
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, put},
};
use sottovoce_dap::{bearer_token::TokenHash, printable::one_line};
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
    /// Who may see and change more than health and readiness: anybody who reaches it, or who has the token.
    pub token: Option<TokenHash>,
    /// What it is called in the audit trail.
    pub place: String,
}

/// Its routes.
pub fn router(admin: Admin) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/log", put(log))
        .route_layer(from_fn_with_state(admin.token, locked))
        // Open, since whoever probes has no secrets and learns one bit.
        .route("/healthz", get(|| async { StatusCode::OK }))
        .route("/readyz", get(ready))
        .fallback(|| async { Failure::NotFound })
        .with_state(admin)
}

/// Lets requests through that show the token, if there is one.
async fn locked(
    State(token): State<Option<TokenHash>>,
    request: Request,
    next: Next,
) -> Result<Response, Failure> {
    if let Some(token) = token {
        authenticate(request.headers(), &token)?;
    }
    Ok(next.run(request).await)
}

/// Ready means: what is asked of us now can be answered, for which the database must.
async fn ready(State(admin): State<Admin>) -> impl IntoResponse {
    let pinged = blocking(move |_| admin.store.ping().map_err(Failure::from));
    match pinged.await {
        Ok(()) => (StatusCode::OK, "ready\n"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the database is unavailable\n"),
    }
}

async fn metrics(
    State(admin): State<Admin>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Failure> {
    let lines = headers.get_all(ACCEPT).iter().filter_map(|line| line.to_str().ok());
    let format = Format::accepted(&lines.collect::<Vec<_>>().join(","));
    let text = blocking(move |now| {
        admin.metrics.look(admin.store.as_ref(), now).map_err(Failure::from)?;
        Ok(admin.metrics.text(format))
    });
    Ok(([(CONTENT_TYPE, format.content_type())], text.await?))
}

async fn log(
    State(admin): State<Admin>,
    filter: String,
) -> Result<StatusCode, (StatusCode, String)> {
    let filter = filter.trim();
    let wrong = |error| (StatusCode::BAD_REQUEST, format!("{error}\n"));
    logs::check(filter).map_err(wrong)?;
    admin.write_down(format!("PUT /log {}", one_line(filter))).await;
    admin.log.set(filter).map_err(wrong)?;
    tracing::info!(filter, "log filter changed");
    Ok(StatusCode::OK)
}

impl Admin {
    /// Writes down a command in the audit trail. More is logged too if the database is away: it may be why.
    async fn write_down(&self, what: String) {
        let (store, who) = (Arc::clone(&self.store), self.place.clone());
        let written = blocking(move |time| {
            let command = OperatorCommand { time, who, what };
            store.write_operator_command(&command).map_err(Failure::from)
        });
        if written.await.is_err() {
            tracing::warn!(
                "a command of the admin interface is missing in the audit trail: the database failed"
            );
        }
    }
}
