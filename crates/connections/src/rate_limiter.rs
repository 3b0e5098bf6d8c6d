//! The rate limit of each client: requests a second on average, and a burst after a pause.
//!
//! The generic cell rate algorithm: of each address only the moment is kept at which its credit would be
//! full again. The table is bounded; when it is full of busy addresses, newcomers share one credit.

use super::address::counted;
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The credit of all clients.
#[derive(Debug)]
pub struct RateLimiter {
    rate: Option<Rate>,
    table: Mutex<Table>,
}

/// When each client's credit would be full again.
#[derive(Debug, Default)]
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
}

impl RateLimiter {
    /// So many requests of one address in a second on average, and so many at once after a pause; any
    /// number if `per_second` is 0.
    pub fn new(per_second: u32, at_once: u32) -> Self {
        let rate = (per_second > 0).then(|| {
            let each = Duration::from_secs(1) / per_second;
            Rate { each, burst: each * at_once }
        });
        Self { rate, table: Mutex::default() }
    }

    /// Takes one request off an address's credit, or says how long to wait for it. IPv6 addresses count by
    /// /64.
    pub fn take(&self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        let Some(rate) = self.rate else { return Ok(()) };
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let full_at = table.entry(counted(address), now);
        let next = (*full_at).max(now) + rate.each;
        let over = next.saturating_duration_since(now).saturating_sub(rate.burst);
        if !over.is_zero() {
            return Err(over);
        }
        *full_at = next;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn address(last: u8) -> IpAddr {
        Ipv4Addr::new(10, 0, 0, last).into()
    }

    #[test]
    fn addresses_of_one_ipv6_network_share_a_credit() {
        let (limiter, now) = (RateLimiter::new(1, 1), Instant::now());
        let take = |text: &str| limiter.take(text.parse().unwrap(), now).is_ok();
        assert!(take("2001:db8::1") && !take("2001:db8::ffff:1") && take("2001:db8:0:1::1"));
    }

    #[test]
    fn a_burst_passes_and_then_as_many_as_time_allows() {
        let (limiter, now) = (RateLimiter::new(10, 3), Instant::now());
        assert!((0..3).all(|_| limiter.take(address(1), now).is_ok()));
        assert_eq!(limiter.take(address(1), now), Err(Duration::from_millis(100)));
        assert!(limiter.take(address(2), now).is_ok());
        let later = now + Duration::from_millis(100);
        assert!(limiter.take(address(1), later).is_ok());
        assert!(limiter.take(address(1), later).is_err());
    }

    #[test]
    fn a_full_table_forgets_the_idle_and_lets_newcomers_share() {
        let (limiter, now) = (RateLimiter::new(1, 1), Instant::now());
        for number in 0..u32::try_from(ADDRESSES).unwrap() {
            limiter.take(Ipv4Addr::from(number).into(), now).unwrap();
        }
        let strangers = [250, 251].map(|last| limiter.take(address(last), now).is_ok());
        assert_eq!(strangers, [true, false]);
        assert!(limiter.take(address(252), now + Duration::from_secs(2)).is_ok());
        assert!(limiter.table.lock().unwrap().clients.len() < 10);
    }

    #[test]
    fn a_full_table_of_busy_clients_is_looked_through_once_a_second_and_not_at_each_request() {
        let (limiter, now) = (RateLimiter::new(1, 10), Instant::now());
        let later = now + Duration::from_secs(60);
        limiter.table.lock().unwrap().clients = (0..u32::try_from(ADDRESSES).unwrap())
            .map(|n| (Ipv4Addr::from(n).into(), later))
            .collect();
        let swept = || limiter.table.lock().unwrap().swept_at;
        for milliseconds in [0, 1, 999] {
            let _ = limiter.take(address(1), now + Duration::from_millis(milliseconds));
            assert_eq!(swept(), Some(now));
        }
        let _ = limiter.take(address(1), now + Duration::from_secs(1));
        assert_eq!(swept(), Some(now + Duration::from_secs(1)));
    }

    #[test]
    fn loopback_is_a_client_and_not_the_crowd() {
        let (limiter, now) = (RateLimiter::new(1, 1), Instant::now());
        for number in 0..u32::try_from(ADDRESSES).unwrap() - 1 {
            limiter.take(Ipv4Addr::from(number).into(), now).unwrap();
        }
        let take = |text: &str| limiter.take(text.parse().unwrap(), now).is_ok();
        assert!(take("::1") && !take("::1"));
        assert!(take("2001:db8::1") && !take("2001:db8:1::1"));
    }

    #[test]
    fn no_limit_is_no_limit() {
        let (limiter, now) = (RateLimiter::new(0, 1), Instant::now());
        assert!((0..1000).all(|_| limiter.take(address(1), now).is_ok()));
    }
}
