//! What one client may ask for: so many requests a second on average, and a burst after a pause.
//!
//! The generic cell rate algorithm: of each address only the moment is kept at which its
//! credit would be full again. The table is bounded; when it is full of busy addresses, newcomers
//! share one credit.

use super::Client;
use crate::aggregator::{config::limits::Limits, http::Failure};
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
#[derive(Debug)]
pub struct Throttle {
    rate: Option<Rate>,
    header: Option<String>,
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
    /// The credit that `limits` allows.
    pub fn new(limits: &Limits) -> Self {
        let rate = (limits.requests_per_second > 0).then(|| {
            let each = Duration::from_secs(1) / limits.requests_per_second;
            Rate { each, burst: each * limits.request_burst }
        });
        let header = limits.client_address_header.clone();
        Self { rate, header, full_at: Mutex::default() }
    }

    /// Takes one request off an address's credit, or says how long to wait for it.
    fn take(&self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        let Some(rate) = self.rate else { return Ok(()) };
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

    /// Who asks: the proxy's word for it if it has one, else the connection's.
    fn address(&self, request: &Request) -> Option<IpAddr> {
        let named = self.header.as_ref().and_then(|header| {
            // The last one is the one that our own proxy added.
            let value = request.headers().get(header)?.to_str().ok()?;
            value.rsplit(',').next()?.trim().parse().ok()
        });
        named.or_else(|| request.extensions().get::<Client>().map(|client| client.address))
    }
}

/// Lets a request through while its client has credit.
pub async fn throttle(
    State(throttle): State<Arc<Throttle>>,
    request: Request,
    next: Next,
) -> Result<Response, Failure> {
    if let Some(address) = throttle.address(&request) {
        throttle.take(address, Instant::now()).map_err(Failure::TooMany)?;
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
        Throttle::new(&limits)
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
