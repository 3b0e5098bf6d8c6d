//! What one client may ask for: so many requests a second on average, and a burst after a pause.
//!
//! The generic cell rate algorithm: of each address only the moment is kept at which its
//! credit would be full again. The table is bounded; when it is full of busy addresses, newcomers
//! share one credit. Who a client is where proxies stand in front, [`forwarded`](super::forwarded)
//! says; if a proxy does not say it, its own address is counted, and the operator is told.

use super::{
    Asker, Client,
    forwarded::{Proxies, Unreadable},
};
use crate::{
    aggregator::{config::limits::Limits, http::Failure, metrics::Metrics},
    connections::address::counted,
};
use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The credit of all clients; `None` inside if there is no limit.
pub struct Throttle {
    rate: Option<Rate>,
    proxies: Option<Proxies>,
    metrics: Arc<Metrics>,
    told_at: Mutex<Option<Instant>>,
    full_at: Mutex<HashMap<IpAddr, Instant>>,
}

#[derive(Clone, Copy, Debug)]
struct Rate {
    /// What one request takes to be forgotten.
    each: Duration,
    /// As many requests at once as fit in here.
    burst: Duration,
}

/// Addresses remembered: a few megabytes.
const ADDRESSES: usize = 50_000;
/// Stands for all newcomers while the table is full.
const CROWD: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

impl Throttle {
    /// The credit that `limits` allows. Proxies that cannot be meant are none: the configuration is
    /// refused for them.
    pub fn new(limits: &Limits, metrics: Arc<Metrics>) -> Self {
        let rate = (limits.requests_per_second > 0).then(|| {
            let each = Duration::from_secs(1) / limits.requests_per_second;
            Rate { each, burst: each * limits.request_burst }
        });
        let proxies = limits.proxies().ok().flatten();
        Self { rate, proxies, metrics, told_at: Mutex::default(), full_at: Mutex::default() }
    }

    /// Takes one request off an address's credit, or says how long to wait for it.
    fn take(&self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        let Some(rate) = self.rate else { return Ok(()) };
        let address = counted(address);
        let mut table = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if table.len() >= ADDRESSES {
            table.retain(|_, full_at| *full_at > now);
        }
        let crowded = table.len() >= ADDRESSES && !table.contains_key(&address);
        let full_at = table.entry(if crowded { CROWD } else { address }).or_insert(now);
        let next = (*full_at).max(now) + rate.each;
        let over = next.saturating_duration_since(now).saturating_sub(rate.burst);
        if !over.is_zero() {
            return Err(over);
        }
        *full_at = next;
        Ok(())
    }

    /// Who asks: the proxies' word for it if they stand in front, else the connection's.
    fn address(&self, request: &Request) -> Option<IpAddr> {
        let peer = request.extensions().get::<Client>()?.address;
        let Some(proxies) = &self.proxies else { return Some(peer) };
        let named = proxies.client_address(request.headers(), peer);
        Some(named.unwrap_or_else(|unreadable| {
            self.tell(proxies, peer, unreadable);
            peer
        }))
    }

    /// Counts a client whose address cannot be read, and says it in the log now and then.
    fn tell(&self, proxies: &Proxies, peer: IpAddr, unreadable: Unreadable) {
        self.metrics.unreadable_address();
        let (now, mut told_at) =
            (Instant::now(), self.told_at.lock().unwrap_or_else(PoisonError::into_inner));
        if told_at.is_none_or(|told| now.saturating_duration_since(told) >= TELL_EVERY) {
            *told_at = Some(now);
            tracing::warn!(
                proxy = %peer,
                header = %proxies.header,
                reason = %unreadable,
                "a client's address cannot be read; all such clients of this proxy share one credit"
            );
        }
    }
}

/// How often an address that cannot be read is said in the log; each is counted.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Lets a request through while its client has credit, and says whose it is.
pub async fn throttle(
    State(throttle): State<Arc<Throttle>>,
    mut request: Request,
    next: Next,
) -> Result<Response, Failure> {
    if let Some(address) = throttle.address(&request) {
        throttle.take(address, Instant::now()).map_err(Failure::TooMany)?;
        request.extensions_mut().insert(Asker(address));
    }
    Ok(next.run(request).await)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn address(last: u8) -> IpAddr {
        Ipv4Addr::new(10, 0, 0, last).into()
    }

    fn throttle(per_second: u32, burst: u32) -> Throttle {
        let limits =
            Limits { requests_per_second: per_second, request_burst: burst, ..Limits::default() };
        Throttle::new(&limits, Arc::default())
    }

    fn request(header: &str, value: &str, peer: &str) -> Request {
        let client = Client { address: peer.parse().unwrap(), certified: false };
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
        assert!(metrics.text().contains("client_addresses_unreadable_total 0"));
        assert_eq!(asks("unknown", "10.0.0.1"), ip("10.0.0.1"));
        assert!(metrics.text().contains("client_addresses_unreadable_total 1"));
    }

    #[test]
    fn addresses_of_one_ipv6_network_share_a_credit() {
        let (throttle, now) = (throttle(1, 1), Instant::now());
        let take = |text: &str| throttle.take(text.parse().unwrap(), now).is_ok();
        assert!(take("2001:db8::1") && !take("2001:db8::ffff:1") && take("2001:db8:0:1::1"));
    }

    #[test]
    fn a_burst_passes_and_then_as_many_as_time_allows() {
        let (throttle, now) = (throttle(10, 3), Instant::now());
        assert!((0..3).all(|_| throttle.take(address(1), now).is_ok()));
        assert_eq!(throttle.take(address(1), now), Err(Duration::from_millis(100)));
        assert!(throttle.take(address(2), now).is_ok());
        let later = now + Duration::from_millis(100);
        assert!(throttle.take(address(1), later).is_ok());
        assert!(throttle.take(address(1), later).is_err());
    }

    #[test]
    fn a_full_table_forgets_the_idle_and_lets_newcomers_share() {
        let (throttle, now) = (throttle(1, 1), Instant::now());
        for number in 0..u32::try_from(ADDRESSES).unwrap() {
            throttle.take(Ipv4Addr::from(number).into(), now).unwrap();
        }
        let strangers = [250, 251].map(|last| throttle.take(address(last), now).is_ok());
        assert_eq!(strangers, [true, false]);
        assert!(throttle.take(address(252), now + Duration::from_secs(2)).is_ok());
        assert!(throttle.full_at.lock().unwrap().len() < 10);
    }

    #[test]
    fn no_limit_is_no_limit() {
        let (throttle, now) = (throttle(0, 1), Instant::now());
        assert!((0..1000).all(|_| throttle.take(address(1), now).is_ok()));
    }
}
