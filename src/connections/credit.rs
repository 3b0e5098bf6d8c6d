//! What one client may ask for: so many requests a second on average, and a burst after a pause.
//!
//! The generic cell rate algorithm: of each address only the moment is kept at which its credit would be
//! full again. The table is bounded; when it is full of busy addresses, newcomers share one credit.

use super::address::counted;
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The credit of all clients.
#[derive(Debug)]
pub struct Credit {
    rate: Option<Rate>,
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

impl Credit {
    /// So many requests of one address in a second on average, and so many at once after a pause; any
    /// number if `per_second` is 0.
    pub fn new(per_second: u32, at_once: u32) -> Self {
        let rate = (per_second > 0).then(|| {
            let each = Duration::from_secs(1) / per_second;
            Rate { each, burst: each * at_once }
        });
        Self { rate, full_at: Mutex::default() }
    }

    /// Takes one request off an address's credit, or says how long to wait for it. IPv6 addresses count by
    /// /64.
    pub fn take(&self, address: IpAddr, now: Instant) -> Result<(), Duration> {
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
        let (credit, now) = (Credit::new(1, 1), Instant::now());
        let take = |text: &str| credit.take(text.parse().unwrap(), now).is_ok();
        assert!(take("2001:db8::1") && !take("2001:db8::ffff:1") && take("2001:db8:0:1::1"));
    }

    #[test]
    fn a_burst_passes_and_then_as_many_as_time_allows() {
        let (credit, now) = (Credit::new(10, 3), Instant::now());
        assert!((0..3).all(|_| credit.take(address(1), now).is_ok()));
        assert_eq!(credit.take(address(1), now), Err(Duration::from_millis(100)));
        assert!(credit.take(address(2), now).is_ok());
        let later = now + Duration::from_millis(100);
        assert!(credit.take(address(1), later).is_ok());
        assert!(credit.take(address(1), later).is_err());
    }

    #[test]
    fn a_full_table_forgets_the_idle_and_lets_newcomers_share() {
        let (credit, now) = (Credit::new(1, 1), Instant::now());
        for number in 0..u32::try_from(ADDRESSES).unwrap() {
            credit.take(Ipv4Addr::from(number).into(), now).unwrap();
        }
        let strangers = [250, 251].map(|last| credit.take(address(last), now).is_ok());
        assert_eq!(strangers, [true, false]);
        assert!(credit.take(address(252), now + Duration::from_secs(2)).is_ok());
        assert!(credit.full_at.lock().unwrap().len() < 10);
    }

    #[test]
    fn no_limit_is_no_limit() {
        let (credit, now) = (Credit::new(0, 1), Instant::now());
        assert!((0..1000).all(|_| credit.take(address(1), now).is_ok()));
    }
}
