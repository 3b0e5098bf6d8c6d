//! What one client may ask for: who a client is, and the [`Credit`] that it has.
//!
//! Who a client is where proxies stand in front, [`forwarded`](crate::connections::forwarded) says; if a proxy does not
//! say it, its own address is counted, and the operator is told.

use super::{Asker, Client, logs::Seldom};
use crate::{
    aggregator::{config::limits::Limits, http::Failure, metrics::Metrics},
    connections::{
        credit::Credit,
        forwarded::{Proxies, Unreadable},
    },
};
use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

/// The credit of all clients.
pub struct Throttle {
    credit: Credit,
    proxies: Option<Proxies>,
    metrics: Arc<Metrics>,
    unreadable: Seldom,
<<<<<<< ours
=======
    table: Mutex<Table>,
}

/// When each client's credit would be full again.
#[derive(Default)]
struct Table {
    clients: HashMap<IpAddr, Instant>,
    /// Of all newcomers together, while the table is full.
    crowd: Option<Instant>,
    swept_at: Option<Instant>,
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
/// How often a full table is looked through for clients that it may forget.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

impl Table {
    /// The client's entry, or that of all newcomers.
    fn entry(&mut self, client: IpAddr, now: Instant) -> &mut Instant {
        if self.clients.len() >= ADDRESSES && !self.clients.contains_key(&client) {
            self.sweep(now);
            if self.clients.len() >= ADDRESSES {
                return self.crowd.get_or_insert(now);
            }
        }
        self.clients.entry(client).or_insert(now)
    }

    /// Forgets clients whose credit is full; not at each request of a flood.
    fn sweep(&mut self, now: Instant) {
        let since = self.swept_at.map(|swept| now.saturating_duration_since(swept));
        if since.is_none_or(|since| since >= SWEEP_EVERY) {
            self.swept_at = Some(now);
            self.clients.retain(|_, full_at| *full_at > now);
        }
    }
>>>>>>> theirs
}

impl Throttle {
    /// The credit that `limits` allows. Proxies that cannot be meant are none: the configuration is
    /// refused for them.
    pub fn new(limits: &Limits, metrics: Arc<Metrics>) -> Self {
        let credit = Credit::new(limits.requests_per_second, limits.request_burst);
        let proxies = limits.proxies().ok().flatten();
        Self { credit, proxies, metrics, unreadable: Seldom::new(TELL_EVERY) }
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
        if let Some(times) = self.unreadable.happens(Instant::now()) {
            tracing::warn!(
                times,
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
        throttle.credit.take(address, Instant::now()).map_err(Failure::TooMany)?;
        request.extensions_mut().insert(Asker(address));
    }
    Ok(next.run(request).await)
}

#[cfg(test)]
mod tests {
    use super::*;

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
<<<<<<< ours
=======

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
        assert!(throttle.table.lock().unwrap().clients.len() < 10);
    }

    #[test]
    fn a_full_table_of_busy_clients_is_looked_through_once_a_second_and_not_at_each_request() {
        let (throttle, now) = (throttle(1, 10), Instant::now());
        let later = now + Duration::from_secs(60);
        throttle.table.lock().unwrap().clients = (0..u32::try_from(ADDRESSES).unwrap())
            .map(|n| (Ipv4Addr::from(n).into(), later))
            .collect();
        let swept = || throttle.table.lock().unwrap().swept_at;
        for milliseconds in [0, 1, 999] {
            let _ = throttle.take(address(1), now + Duration::from_millis(milliseconds));
            assert_eq!(swept(), Some(now));
        }
        let _ = throttle.take(address(1), now + Duration::from_secs(1));
        assert_eq!(swept(), Some(now + Duration::from_secs(1)));
    }

    #[test]
    fn loopback_is_a_client_and_not_the_crowd() {
        let (throttle, now) = (throttle(1, 1), Instant::now());
        for number in 0..u32::try_from(ADDRESSES).unwrap() - 1 {
            throttle.take(Ipv4Addr::from(number).into(), now).unwrap();
        }
        let take = |text: &str| throttle.take(text.parse().unwrap(), now).is_ok();
        assert!(take("::1") && !take("::1"));
        assert!(take("2001:db8::1") && !take("2001:db8:1::1"));
    }

    #[test]
    fn no_limit_is_no_limit() {
        let (throttle, now) = (throttle(0, 1), Instant::now());
        assert!((0..1000).all(|_| throttle.take(address(1), now).is_ok()));
    }
>>>>>>> theirs
}
