//! Middleware around both roles' routes: rate limits, CORS, and peer authentication.

use super::{
    PeerIdentity,
    admission::Admission,
    throttle::{Throttle, throttle},
};
use crate::{
    config::{Config, limits::Limits},
    http::{Failure, certified},
    metrics::Metrics,
};
use axum::{
    Router,
    http::{
        HeaderName, HeaderValue, Method,
        header::{CONTENT_TYPE, LOCATION, RETRY_AFTER},
    },
    middleware::from_fn_with_state,
};
use std::{sync::Arc, time::Duration};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// What web pages may read of an answer's head: when to come again, and where. How long keys and files
/// of the log may be kept, they may read anyway.
const EXPOSED: [HeaderName; 2] = [RETRY_AFTER, LOCATION];

/// The edge of a role, as configured.
#[derive(Clone)]
pub struct Edge {
    /// Bounds on each body.
    pub limits: Limits,
    /// Reads bodies.
    pub admission: Admission,
    throttle: Arc<Throttle>,
    origins: Vec<String>,
    mutual_tls: bool,
}

impl Edge {
    /// What the configuration says.
    pub fn new(config: &Config, metrics: &Arc<Metrics>) -> Self {
        Self {
            limits: config.limits.clone(),
            admission: Admission::new(&config.limits),
            throttle: Arc::new(Throttle::new(&config.limits, Arc::clone(metrics))),
            origins: config.cors.origins.clone(),
            mutual_tls: config.tls.as_ref().is_some_and(|tls| tls.peer_ca.is_some()),
        }
    }

    /// Around what anybody may ask for: each client gets its share, and web pages of the
    /// configured origins may ask too.
    pub fn for_devices<S: Clone + Send + Sync + 'static>(&self, routes: Router<S>) -> Router<S> {
        let routes = routes
            .route_layer(from_fn_with_state(Arc::clone(&self.throttle), throttle))
            // Said here too: one that is said later would stand before what web pages ask first.
            .method_not_allowed_fallback(|| async { Failure::MethodNotAllowed });
        if self.origins.is_empty() { routes } else { routes.layer(self.cors()) }
    }

    /// Around what is public and stays as it is: each client gets its share, and web pages of any
    /// origin may read.
    pub fn for_anybody<S: Clone + Send + Sync + 'static>(&self, routes: Router<S>) -> Router<S> {
        let cors = CorsLayer::new()
            .allow_origin(AllowOrigin::any())
            .allow_methods([Method::GET])
            .expose_headers(EXPOSED);
        routes
            .route_layer(from_fn_with_state(Arc::clone(&self.throttle), throttle))
            .method_not_allowed_fallback(|| async { Failure::MethodNotAllowed })
            .layer(cors)
    }

    fn cors(&self) -> CorsLayer {
        let any = self.origins.iter().any(|origin| origin == "*");
        let origins = self.origins.iter().filter_map(|origin| HeaderValue::try_from(origin).ok());
        let allowed = if any { AllowOrigin::any() } else { AllowOrigin::list(origins) };
        CorsLayer::new()
            .allow_origin(allowed)
            .allow_methods([Method::GET, Method::POST])
            .allow_headers([CONTENT_TYPE])
            .expose_headers(EXPOSED)
            .max_age(Duration::from_secs(86_400))
    }

    /// Checks that the peer showed its certificate, where the configuration asks for one.
    pub fn check_peer(&self, client: Option<&PeerIdentity>) -> Result<(), Failure> {
        certified(self.mutual_tls, client)
    }
}
