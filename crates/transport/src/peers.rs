//! Permits for each peer, and a circuit breaker, so that a slow peer does not delay requests to others.
//!
//! A peer is the origin of a URL: whoever runs it, it is up or down as one. Each has permits of its own,
//! so that one that does not answer holds up nobody else. One that fails several times in a row is left
//! alone for a while, ever longer (a circuit breaker); then one attempt shows whether it is well again.

use super::retry::Backoff;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Failures in a row after which a peer is left alone.
const FAILURES: u32 = 3;
const FIRST_BACKOFF: Duration = Duration::from_millis(500);
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

/// All peers, with `permits` for each.
#[derive(Debug)]
pub struct Peers {
    permits: usize,
    all: Arc<Mutex<HashMap<String, Peer>>>,
}

#[derive(Debug, Default)]
struct Peer {
    taken: usize,
    failures: u32,
    backoff_until: Option<Instant>,
}

impl Peer {
    /// How many more may ask it now: all that have a permit, or one to try it after a backoff.
    fn room(&self, permits: usize, now: Instant) -> usize {
        match self.backoff_until {
            Some(until) if until > now => 0,
            Some(_) => 1_usize.saturating_sub(self.taken),
            None => permits.saturating_sub(self.taken),
        }
    }
}

/// A permit at a peer, free again when it is dropped. Say how it went: [`succeeded`](Self::succeeded) or
/// [`failed`](Self::failed).
#[derive(Debug)]
pub struct Permit {
    origin: String,
    all: Arc<Mutex<HashMap<String, Peer>>>,
}

impl Peers {
    /// Peers of which each is asked for at most `permits` things at the same time.
    pub fn new(permits: usize) -> Self {
        Self { permits: permits.max(1), all: Arc::default() }
    }

    /// How many more may ask a peer now.
    pub fn room(&self, origin: &str, now: Instant) -> usize {
        lock(&self.all).get(origin).map_or(self.permits, |peer| peer.room(self.permits, now))
    }

    /// A permit at a peer, unless all are taken or it is left alone.
    pub fn acquire(&self, origin: &str, now: Instant) -> Option<Permit> {
        let mut all = lock(&self.all);
        if !all.contains_key(origin) {
            all.insert(origin.to_owned(), Peer::default());
        }
        let peer = all.get_mut(origin)?;
        if peer.room(self.permits, now) == 0 {
            return None;
        }
        peer.taken += 1;
        Some(Permit { origin: origin.to_owned(), all: Arc::clone(&self.all) })
    }

    /// Whether a peer is left alone for what it did.
    pub fn is_backed_off(&self, origin: &str) -> bool {
        lock(&self.all).get(origin).is_some_and(|peer| peer.backoff_until.is_some())
    }

    /// How many peers are left alone.
    pub fn backed_off(&self) -> usize {
        lock(&self.all).values().filter(|peer| peer.backoff_until.is_some()).count()
    }
}

impl Permit {
    /// Whose it is: the origin of the peer's URL.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The peer answered, whatever it said.
    pub fn succeeded(&self) {
        self.note(|peer| (peer.failures, peer.backoff_until) = (0, None));
    }

    /// The peer answered that it is busy: it is there, and is not left alone for what was before.
    pub fn answered_busy(&self) {
        self.note(|peer| peer.backoff_until = None);
    }

    /// The peer did not answer in time, or is out of order. Says for how long it is left alone, if this
    /// begins a backoff.
    pub fn failed(&self, now: Instant) -> Option<Duration> {
        self.note(|peer| {
            if peer.backoff_until.is_some_and(|until| until > now) {
                // Others that were under way fail with it: the same trouble, not more of it.
                return None;
            }
            peer.failures = peer.failures.saturating_add(1);
            let beyond = peer.failures.checked_sub(FAILURES)?;
            let backoff = Backoff::at_attempt(FIRST_BACKOFF, LONGEST_BACKOFF, beyond);
            peer.backoff_until = Some(now + backoff);
            Some(backoff)
        })
    }

    fn note<T: Default>(&self, change: impl FnOnce(&mut Peer) -> T) -> T {
        lock(&self.all).get_mut(&self.origin).map(change).unwrap_or_default()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.note(|peer| peer.taken = peer.taken.saturating_sub(1));
    }
}

fn lock(all: &Mutex<HashMap<String, Peer>>) -> MutexGuard<'_, HashMap<String, Peer>> {
    all.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The origin of a URL: scheme, host and port as written.
pub fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    url[host..].find(['/', '?', '#']).map_or(url, |end| &url[..host + end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_url_without_its_path() {
        for url in
            ["https://a.example:8443", "https://a.example:8443/", "https://a.example:8443/x/y?z"]
        {
            assert_eq!(origin(url), "https://a.example:8443");
        }
    }

    #[test]
    fn a_peer_that_takes_all_its_permits_leaves_those_of_others() {
        let (peers, now) = (Peers::new(2), Instant::now());
        let taken: Vec<_> = (0..3).map(|_| peers.acquire("frozen", now)).collect();
        assert_eq!(taken.iter().flatten().count(), 2);
        assert_eq!((peers.room("frozen", now), peers.room("well", now)), (0, 2));
        drop(taken);
        assert_eq!(peers.room("frozen", now), 2);
    }

    #[test]
    fn a_peer_that_fails_is_left_alone_and_then_tried_by_one() {
        let (peers, now) = (Peers::new(4), Instant::now());
        let fail = |now| peers.acquire("bad", now).unwrap().failed(now);
        assert_eq!((fail(now), fail(now)), (None, None));
        let backoff = fail(now).unwrap();
        assert!(peers.acquire("bad", now).is_none() && peers.is_backed_off("bad"));
        assert!(peers.acquire("good", now).is_some());
        let after = now + backoff;
        let probe = peers.acquire("bad", after).unwrap();
        assert!(peers.acquire("bad", after).is_none(), "one tries it");
        let longer = probe.failed(after).unwrap();
        drop(probe);
        assert!(peers.acquire("bad", after).is_none() && longer > Duration::ZERO);
        let probe = peers.acquire("bad", after + longer).unwrap();
        probe.succeeded();
        assert_eq!((peers.room("bad", after), peers.backed_off()), (3, 0));
    }

    #[test]
    fn backoffs_become_longer_up_to_a_bound_and_end_with_an_answer() {
        let (peers, mut now) = (Peers::new(1), Instant::now());
        for _ in 0..40 {
            let backoff = peers.acquire("bad", now).unwrap().failed(now).unwrap_or_default();
            assert!(backoff <= LONGEST_BACKOFF);
            now += backoff;
        }
        peers.acquire("bad", now).unwrap().succeeded();
        assert_eq!(peers.acquire("bad", now).unwrap().failed(now), None, "counted from the start");
    }

    #[test]
    fn those_that_were_under_way_make_the_backoff_no_longer() {
        let (peers, now) = (Peers::new(8), Instant::now());
        let permits: Vec<_> = (0..8).filter_map(|_| peers.acquire("bad", now)).collect();
        let backoffs = permits.iter().filter_map(|permit| permit.failed(now)).count();
        assert_eq!((permits.len(), backoffs), (8, 1));
    }
}
