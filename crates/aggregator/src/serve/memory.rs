//! The memory that request bodies and long responses may take: a limit for all clients together and, for
//! as long as the server waits for a client (to send its body or to read its response), one for each client.

use crate::http::Failure;
use sottovoce_connections::address::{Prefix, prefixes};
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A limit in bytes that many requests share.
#[derive(Clone, Debug)]
pub struct MemoryPool {
    /// In kilobytes.
    permits: Arc<Semaphore>,
    all: usize,
    quotas: Option<Arc<ClientQuotas>>,
}

/// What each client has of a pool while the server waits for it: for the rest of a body, or until a response
/// is read.
#[derive(Debug)]
struct ClientQuotas {
    /// Kilobytes that one client may have.
    one: usize,
    /// Kilobytes that a network of many clients may have.
    many: usize,
    held: Mutex<HashMap<Prefix, usize>>,
}

/// Leave to hold so many bytes, returned when this is dropped. It is kept for as long as what was made of a
/// body is in memory.
#[derive(Debug)]
pub struct MemoryPermit {
    permit: OwnedSemaphorePermit,
    share: Option<ClientShare>,
}

/// What one client has of a pool, while the server waits for it.
#[derive(Debug)]
struct ClientShare {
    of: Arc<ClientQuotas>,
    client: Vec<Prefix>,
    kilobytes: usize,
}

impl MemoryPool {
    /// A limit of `bytes`, but always enough for the longest body.
    pub fn new(bytes: usize, longest: usize) -> Self {
        let all = (kilobytes(bytes.max(longest)) + 1).min(Semaphore::MAX_PERMITS);
        Self { permits: Arc::new(Semaphore::new(all)), all, quotas: None }
    }

    /// The same, of which no client may have more than a quarter while the server waits for it, and no
    /// network more than half; but always enough for the longest body.
    pub fn with_client_quotas(bytes: usize, longest: usize) -> Self {
        let pool = Self::new(bytes, longest);
        let least = kilobytes(longest) + 1;
        let (one, many) = ((pool.all / 4).max(least), (pool.all / 2).max(least));
        let quotas = ClientQuotas { one, many, held: Mutex::default() };
        Self { quotas: Some(Arc::new(quotas)), ..pool }
    }

    /// A permit for `bytes`, for a client that the server waits for. Takes no more than a client may have: what
    /// is longer takes all of that.
    pub fn take(&self, client: Option<IpAddr>, bytes: usize) -> Result<MemoryPermit, Failure> {
        let most = self.quotas.as_ref().map_or(self.all, |quotas| quotas.one);
        let needed = kilobytes(bytes).clamp(1, most);
        let share = match (&self.quotas, client) {
            (Some(quotas), Some(client)) => Some(quotas.begin(client, needed)?),
            _ => None,
        };
        Ok(MemoryPermit { permit: acquire(&self.permits, needed)?, share })
    }

    /// Whether less than half is left.
    pub fn is_short(&self) -> bool {
        self.permits.available_permits() < self.all / 2
    }
}

impl MemoryPermit {
    /// Extends the permit to `bytes` in all, or fails if the limit is reached.
    pub fn grow_to(&mut self, bytes: usize) -> Result<(), Failure> {
        let more = kilobytes(bytes).saturating_sub(self.permit.num_permits());
        if let Some(share) = &mut self.share {
            share.grow(more)?;
        }
        let more = acquire(self.permit.semaphore(), more)?;
        self.permit.merge(more);
        Ok(())
    }

    /// Whether less than half is left of the quota of its client, or of its network.
    pub fn is_quota_short(&self) -> bool {
        self.share.as_ref().is_some_and(ClientShare::is_short)
    }

    /// The same permit, once the body is complete: it no longer counts against its client.
    #[must_use]
    pub fn arrived(self) -> Self {
        Self { share: None, ..self }
    }
}

impl ClientQuotas {
    fn begin(self: &Arc<Self>, client: IpAddr, kilobytes: usize) -> Result<ClientShare, Failure> {
        let mut share =
            ClientShare { of: Arc::clone(self), client: prefixes(client), kilobytes: 0 };
        share.grow(kilobytes)?;
        Ok(share)
    }

    fn most(&self, prefix: &Prefix) -> usize {
        if prefix.clients() == 1 { self.one } else { self.many }
    }
}

impl ClientShare {
    fn grow(&mut self, kilobytes: usize) -> Result<(), Failure> {
        let mut held = self.of.held.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |prefix: &Prefix| {
            held.get(prefix).copied().unwrap_or_default() + kilobytes <= self.of.most(prefix)
        };
        if !self.client.iter().all(fits) {
            return Err(Failure::Busy);
        }
        for prefix in &self.client {
            *held.entry(*prefix).or_default() += kilobytes;
        }
        self.kilobytes += kilobytes;
        Ok(())
    }

    fn is_short(&self) -> bool {
        let held = self.of.held.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |prefix: &Prefix| held.get(prefix).copied().unwrap_or_default();
        self.client.iter().any(|prefix| of(prefix) > self.of.most(prefix) / 2)
    }
}

impl Drop for ClientShare {
    fn drop(&mut self) {
        let mut held = self.of.held.lock().unwrap_or_else(PoisonError::into_inner);
        for prefix in &self.client {
            if let Some(theirs) = held.get_mut(prefix) {
                *theirs = theirs.saturating_sub(self.kilobytes);
                if *theirs == 0 {
                    held.remove(prefix);
                }
            }
        }
    }
}

fn kilobytes(bytes: usize) -> usize {
    bytes.div_ceil(KILOBYTE)
}

fn acquire(semaphore: &Arc<Semaphore>, kilobytes: usize) -> Result<OwnedSemaphorePermit, Failure> {
    let permits = u32::try_from(kilobytes).unwrap_or(u32::MAX);
    Arc::clone(semaphore).try_acquire_many_owned(permits).map_err(|_| Failure::Busy)
}

const KILOBYTE: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Option<IpAddr> {
        text.parse().ok()
    }

    #[test]
    fn one_client_gets_its_quota_and_leaves_the_rest() {
        let pool = MemoryPool::with_client_quotas(400 << 10, 10 << 10);
        let take = |client| pool.take(ip(client), 20 << 10);
        let held: Vec<_> = std::iter::from_fn(|| take("192.0.2.1").ok()).collect();
        assert_eq!(held.len(), 5);
        assert!(take("192.0.2.2").is_ok());
        // What has arrived is held against nobody.
        let _worked_on: Vec<_> = held.into_iter().map(MemoryPermit::arrived).collect();
        let mut last = take("192.0.2.1").unwrap();
        assert!(last.grow_to(100 << 10).is_ok() && last.grow_to(101 << 10).is_err());
        drop(last);
        assert!(pool.quotas.as_ref().unwrap().held.lock().unwrap().is_empty());
    }

    #[test]
    fn many_addresses_of_one_network_leave_half() {
        let pool = MemoryPool::with_client_quotas(400 << 10, 10 << 10);
        let take = |number| pool.take(ip(&format!("2001:db8:0:{number:x}00::1")), 20 << 10).ok();
        let held: Vec<_> = (0..100).map_while(take).collect();
        assert_eq!(held.len(), 10);
        assert!(pool.take(ip("2001:db8:1::1"), 20 << 10).is_ok());
    }

    #[test]
    fn the_longest_body_always_fits_a_quota_and_what_is_longer_takes_all_of_it() {
        let pool = MemoryPool::with_client_quotas(1 << 10, 90 << 10);
        assert!(pool.take(ip("192.0.2.1"), 90 << 10).is_ok());
        let all = pool.take(ip("192.0.2.1"), 900 << 10).unwrap();
        assert!(pool.take(ip("192.0.2.1"), 1).is_err());
        drop(all);
        assert!(!pool.is_short());
    }
}
