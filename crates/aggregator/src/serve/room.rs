//! Room in memory for what others have us hold: bounded for all together and, while a client keeps us
//! waiting, for each.

use crate::http::Failure;
use sottovoce_connections::address::{Prefix, prefixes};
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Room that many share.
#[derive(Clone, Debug)]
pub struct Pool {
    /// In kilobytes.
    room: Arc<Semaphore>,
    all: usize,
    parts: Option<Arc<Parts>>,
}

/// What clients have of a pool that keep us waiting: for the rest of a body, or until an answer is read.
#[derive(Debug)]
struct Parts {
    /// Kilobytes that one client may have.
    one: usize,
    /// Kilobytes that a network of many clients may have.
    many: usize,
    held: Mutex<HashMap<Prefix, usize>>,
}

/// Room that is taken until this is dropped: held for as long as what was made of a body is in memory.
#[derive(Debug)]
pub struct Room {
    permit: OwnedSemaphorePermit,
    part: Option<Part>,
}

/// A client's part of a pool, while it keeps us waiting.
#[derive(Debug)]
struct Part {
    of: Arc<Parts>,
    client: Vec<Prefix>,
    kilobytes: usize,
}

impl Pool {
    /// So many bytes, but always enough for the longest.
    pub fn new(bytes: usize, longest: usize) -> Self {
        let all = (kilobytes(bytes.max(longest)) + 1).min(Semaphore::MAX_PERMITS);
        Self { room: Arc::new(Semaphore::new(all)), all, parts: None }
    }

    /// The same, of which no client may have more than a quarter while it keeps us waiting, and no
    /// network more than half; but always enough for the longest.
    pub fn in_parts(bytes: usize, longest: usize) -> Self {
        let pool = Self::new(bytes, longest);
        let least = kilobytes(longest) + 1;
        let (one, many) = ((pool.all / 4).max(least), (pool.all / 2).max(least));
        let parts = Parts { one, many, held: Mutex::default() };
        Self { parts: Some(Arc::new(parts)), ..pool }
    }

    /// Room for so many bytes, for a client that keeps us waiting. Takes no more than a client may have:
    /// what is longer has all of that.
    pub fn take(&self, client: Option<IpAddr>, bytes: usize) -> Result<Room, Failure> {
        let most = self.parts.as_ref().map_or(self.all, |parts| parts.one);
        let needed = kilobytes(bytes).clamp(1, most);
        let part = match (&self.parts, client) {
            (Some(parts), Some(client)) => Some(parts.begin(client, needed)?),
            _ => None,
        };
        Ok(Room { permit: acquire(&self.room, needed)?, part })
    }

    /// Whether less than half is left.
    pub fn is_short(&self) -> bool {
        self.room.available_permits() < self.all / 2
    }
}

impl Room {
    /// Has room for so many bytes, or there is none.
    pub fn grow_to(&mut self, bytes: usize) -> Result<(), Failure> {
        let more = kilobytes(bytes).saturating_sub(self.permit.num_permits());
        if let Some(part) = &mut self.part {
            part.grow(more)?;
        }
        let more = acquire(self.permit.semaphore(), more)?;
        self.permit.merge(more);
        Ok(())
    }

    /// Whether less than half is left of what its client may have that keeps us waiting, or its network.
    pub fn is_part_short(&self) -> bool {
        self.part.as_ref().is_some_and(Part::is_short)
    }

    /// The same room, whose client keeps nobody waiting any more.
    #[must_use]
    pub fn arrived(self) -> Self {
        Self { part: None, ..self }
    }
}

impl Parts {
    fn begin(self: &Arc<Self>, client: IpAddr, kilobytes: usize) -> Result<Part, Failure> {
        let mut part = Part { of: Arc::clone(self), client: prefixes(client), kilobytes: 0 };
        part.grow(kilobytes)?;
        Ok(part)
    }

    fn most(&self, prefix: &Prefix) -> usize {
        if prefix.clients() == 1 { self.one } else { self.many }
    }
}

impl Part {
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

impl Drop for Part {
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

fn acquire(room: &Arc<Semaphore>, kilobytes: usize) -> Result<OwnedSemaphorePermit, Failure> {
    let permits = u32::try_from(kilobytes).unwrap_or(u32::MAX);
    Arc::clone(room).try_acquire_many_owned(permits).map_err(|_| Failure::Busy)
}

const KILOBYTE: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Option<IpAddr> {
        text.parse().ok()
    }

    #[test]
    fn a_client_that_keeps_us_waiting_has_a_part_and_leaves_the_rest() {
        let pool = Pool::in_parts(400 << 10, 10 << 10);
        let take = |client| pool.take(ip(client), 20 << 10);
        let held: Vec<_> = std::iter::from_fn(|| take("192.0.2.1").ok()).collect();
        assert_eq!(held.len(), 5);
        assert!(take("192.0.2.2").is_ok());
        // What has arrived is held against nobody.
        let _worked_on: Vec<_> = held.into_iter().map(Room::arrived).collect();
        let mut last = take("192.0.2.1").unwrap();
        assert!(last.grow_to(100 << 10).is_ok() && last.grow_to(101 << 10).is_err());
        drop(last);
        assert!(pool.parts.as_ref().unwrap().held.lock().unwrap().is_empty());
    }

    #[test]
    fn many_addresses_of_one_network_leave_half() {
        let pool = Pool::in_parts(400 << 10, 10 << 10);
        let take = |number| pool.take(ip(&format!("2001:db8:0:{number:x}00::1")), 20 << 10).ok();
        let held: Vec<_> = (0..100).map_while(take).collect();
        assert_eq!(held.len(), 10);
        assert!(pool.take(ip("2001:db8:1::1"), 20 << 10).is_ok());
    }

    #[test]
    fn the_longest_always_fits_a_part_and_what_is_longer_takes_all_of_it() {
        let pool = Pool::in_parts(1 << 10, 90 << 10);
        assert!(pool.take(ip("192.0.2.1"), 90 << 10).is_ok());
        let all = pool.take(ip("192.0.2.1"), 900 << 10).unwrap();
        assert!(pool.take(ip("192.0.2.1"), 1).is_err());
        drop(all);
        assert!(!pool.is_short());
    }
}
