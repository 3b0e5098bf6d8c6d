//! Rate limiting: which client a request counts against, and its [`RateLimiter`].
//!
//! Who a client is where proxies stand in front, [`forwarded`](sottovoce_connections::forwarded) says; if a proxy does not
//! say it, its own address is counted, and the operator is told.

use super::{ClientAddress, PeerIdentity, log_limit::LogLimit};
use crate::{config::limits::Limits, http::Failure, metrics::Metrics};
use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use sottovoce_connections::{
    forwarded::{Proxies, Unreadable},
    rate_limiter::RateLimiter,
};
use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

/// The credit of all clients.
pub struct Throttle {
    limiter: RateLimiter,
    proxies: Option<Proxies>,
    metrics: Arc<Metrics>,
    unreadable: LogLimit,
}

impl Throttle {
    /// The credit that `limits` allows. Proxies that cannot be meant are none: the configuration is
    /// refused for them.
    pub fn new(limits: &Limits, metrics: Arc<Metrics>) -> Self {
        let limiter = RateLimiter::new(limits.requests_per_second, limits.request_burst);
        let proxies = limits.proxies().ok().flatten();
        Self { limiter, proxies, metrics, unreadable: LogLimit::new(WARN_EVERY) }
    }

    /// Who asks: the proxies' word for it if they stand in front, else the connection's.
    fn address(&self, request: &Request) -> Option<IpAddr> {
        let peer = request.extensions().get::<PeerIdentity>()?.address;
        let Some(proxies) = &self.proxies else { return Some(peer) };
        let named = proxies.client_address(request.headers(), peer);
        Some(named.unwrap_or_else(|unreadable| {
            self.warn_unreadable(proxies, peer, unreadable);
            peer
        }))
    }

    /// Counts a client whose address cannot be read, and says it in the log now and then.
    fn warn_unreadable(&self, proxies: &Proxies, peer: IpAddr, unreadable: Unreadable) {
        self.metrics.unreadable_address();
        if let Some(times) = self.unreadable.count(Instant::now()) {
            tracing::warn!(
                times,
                proxy = %peer,
                header = %proxies.header,
                reason = %unreadable,
                "the forwarding header has no valid client address; all such clients of this proxy share one rate limit"
            );
        }
    }
}

/// How often an address that cannot be read is said in the log; each is counted.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// Lets a request through while its client has credit, and says whose it is.
pub async fn throttle(
    State(throttle): State<Arc<Throttle>>,
    mut request: Request,
    next: Next,
) -> Result<Response, Failure> {
    if let Some(address) = throttle.address(&request) {
        throttle.limiter.take(address, Instant::now()).map_err(Failure::TooMany)?;
        request.extensions_mut().insert(ClientAddress(address));
    }
    Ok(next.run(request).await)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Format;

    fn request(header: &str, value: &str, peer: &str) -> Request {
        let client = PeerIdentity { address: peer.parse().unwrap(), certified: false };
        let request = Request::builder().header(header, value).extension(client);
        request.body(axum::body::Body::empty()).unwrap()
    }

    #[test]
    fn behind_a_proxy_clients_are_counted_and_unreadable_ones_are_said() {
        let trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
        let limits = Limits { trusted_proxies, ..Limits::default() };
        let metrics = Arc::new(Metrics::new());
        let throttle = Throttle::new(&limits, Arc::clone(&metrics));
        let asks = |value, peer| throttle.address(&request("x-forwarded-for", value, peer));
        let ip = |text: &str| text.parse().ok();
        assert_eq!(asks("203.0.113.1, 192.0.2.7:80", "10.0.0.1"), ip("192.0.2.7"));
        assert_eq!(asks("192.0.2.7", "192.0.2.9"), ip("192.0.2.9"));
        assert!(metrics.text(Format::Prometheus).contains("client_addresses_unreadable_total 0"));
        assert_eq!(asks("unknown", "10.0.0.1"), ip("10.0.0.1"));
        assert!(metrics.text(Format::Prometheus).contains("client_addresses_unreadable_total 1"));
    }
}
