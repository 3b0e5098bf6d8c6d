//! Fair shares for each of the parties that are asked for something.
//!
//! A peer is the origin of a URL: whoever runs it, it is up or down as one. Each has places of its own,
//! so that one that does not answer holds up nobody else. One that fails several times in a row is left
//! alone for a while, ever longer; then one attempt shows whether it is well again.

use super::retry::Backoff;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Failures in a row after which a peer is left alone.
const FAILURES: u32 = 3;
const FIRST_REST: Duration = Duration::from_millis(500);
const LONGEST_REST: Duration = Duration::from_secs(30);

/// All peers, with `places` for each.
#[derive(Debug)]
pub struct Peers {
    places: usize,
    all: Arc<Mutex<HashMap<String, Peer>>>,
}

#[derive(Debug, Default)]
struct Peer {
    taken: usize,
    failures: u32,
    rests_until: Option<Instant>,
}

impl Peer {
    /// How many more may ask it now: all that have a place, or one to try it after a rest.
    fn room(&self, places: usize, now: Instant) -> usize {
        match self.rests_until {
            Some(until) if until > now => 0,
            Some(_) => 1_usize.saturating_sub(self.taken),
            None => places.saturating_sub(self.taken),
        }
    }
}

/// A place at a peer, free again when it is dropped. Say how it went: [`went_well`](Self::went_well) or
/// [`failed`](Self::failed).
#[derive(Debug)]
pub struct Place {
    origin: String,
    all: Arc<Mutex<HashMap<String, Peer>>>,
}

impl Peers {
    /// Peers of which each is asked for at most `places` things at the same time.
    pub fn new(places: usize) -> Self {
        Self { places: places.max(1), all: Arc::default() }
    }

    /// How many more may ask a peer now.
    pub fn room(&self, origin: &str, now: Instant) -> usize {
        lock(&self.all).get(origin).map_or(self.places, |peer| peer.room(self.places, now))
    }

    /// A place at a peer, unless all are taken or it is left alone.
    pub fn enter(&self, origin: &str, now: Instant) -> Option<Place> {
        let mut all = lock(&self.all);
        if !all.contains_key(origin) {
            all.insert(origin.to_owned(), Peer::default());
        }
        let peer = all.get_mut(origin)?;
        if peer.room(self.places, now) == 0 {
            return None;
        }
        peer.taken += 1;
        Some(Place { origin: origin.to_owned(), all: Arc::clone(&self.all) })
    }

    /// Whether a peer is left alone for what it did.
    pub fn rests(&self, origin: &str) -> bool {
        lock(&self.all).get(origin).is_some_and(|peer| peer.rests_until.is_some())
    }

    /// How many peers are left alone.
    pub fn resting(&self) -> usize {
        lock(&self.all).values().filter(|peer| peer.rests_until.is_some()).count()
    }
}

impl Place {
    /// The peer answered, whatever it said.
    pub fn went_well(&self) {
        self.note(|peer| (peer.failures, peer.rests_until) = (0, None));
    }

    /// The peer answered that it is busy: it is there, and is not left alone for what was before.
    pub fn busy(&self) {
        self.note(|peer| peer.rests_until = None);
    }

    /// The peer did not answer in time, or is out of order. Says for how long it is left alone, if this
    /// begins a rest.
    pub fn failed(&self, now: Instant) -> Option<Duration> {
        self.note(|peer| {
            if peer.rests_until.is_some_and(|until| until > now) {
                // Others that were under way fail with it: the same trouble, not more of it.
                return None;
            }
            peer.failures = peer.failures.saturating_add(1);
            let beyond = peer.failures.checked_sub(FAILURES)?;
            let rest = Backoff::at_attempt(FIRST_REST, LONGEST_REST, beyond);
            peer.rests_until = Some(now + rest);
            Some(rest)
        })
    }

    fn note<T: Default>(&self, change: impl FnOnce(&mut Peer) -> T) -> T {
        lock(&self.all).get_mut(&self.origin).map(change).unwrap_or_default()
    }
}

impl Drop for Place {
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
    fn a_peer_that_takes_all_its_places_leaves_those_of_others() {
        let (peers, now) = (Peers::new(2), Instant::now());
        let taken: Vec<_> = (0..3).map(|_| peers.enter("frozen", now)).collect();
        assert_eq!(taken.iter().flatten().count(), 2);
        assert_eq!((peers.room("frozen", now), peers.room("well", now)), (0, 2));
        drop(taken);
        assert_eq!(peers.room("frozen", now), 2);
    }

    #[test]
    fn a_peer_that_fails_is_left_alone_and_then_tried_by_one() {
        let (peers, now) = (Peers::new(4), Instant::now());
        let fail = |now| peers.enter("bad", now).unwrap().failed(now);
        assert_eq!((fail(now), fail(now)), (None, None));
        let rest = fail(now).unwrap();
        assert!(peers.enter("bad", now).is_none() && peers.rests("bad"));
        assert!(peers.enter("good", now).is_some());
        let after = now + rest;
        let probe = peers.enter("bad", after).unwrap();
        assert!(peers.enter("bad", after).is_none(), "one tries it");
        let longer = probe.failed(after).unwrap();
        drop(probe);
        assert!(peers.enter("bad", after).is_none() && longer > Duration::ZERO);
        let probe = peers.enter("bad", after + longer).unwrap();
        probe.went_well();
        assert_eq!((peers.room("bad", after), peers.resting()), (3, 0));
    }

    #[test]
    fn rests_become_longer_up_to_a_bound_and_end_with_an_answer() {
        let (peers, mut now) = (Peers::new(1), Instant::now());
        for _ in 0..40 {
            let rest = peers.enter("bad", now).unwrap().failed(now).unwrap_or_default();
            assert!(rest <= LONGEST_REST);
            now += rest;
        }
        peers.enter("bad", now).unwrap().went_well();
        assert_eq!(peers.enter("bad", now).unwrap().failed(now), None, "counted from the start");
    }

    #[test]
    fn those_that_were_under_way_make_the_rest_no_longer() {
        let (peers, now) = (Peers::new(8), Instant::now());
        let places: Vec<_> = (0..8).filter_map(|_| peers.enter("bad", now)).collect();
        let rests = places.iter().filter_map(|place| place.failed(now)).count();
        assert_eq!((places.len(), rests), (8, 1));
    }
}
