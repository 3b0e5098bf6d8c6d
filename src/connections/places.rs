//! Who has a place: all together, and each client by itself.

use super::{
    Bounds,
    activity::Activity,
    address::{Network, counted},
};
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};
use thiserror::Error;

/// Why there is no place.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq, Hash)]
pub enum Refused {
    /// The client has as many connections as one may, and something happens on each.
    #[error("the client has too many connections")]
    Client,
    /// All places are taken, or all but those for clients without any.
    #[error("the server has too many connections")]
    Full,
}

/// Places for connections.
///
/// A client that has none gets one of the last eighth too. If a client's places, or all, are taken, a
/// connection on which nothing happens gives way: one of the client's own, or of the client that
/// has most.
#[derive(Debug)]
pub struct Places {
    all: usize,
    of_one_client: usize,
    for_newcomers: usize,
    proxies: Vec<Network>,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    next: u64,
    of: HashMap<IpAddr, HashMap<u64, Arc<Activity>>>,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    client: IpAddr,
    number: u64,
    activity: Arc<Activity>,
}

impl Places {
    /// As many as `bounds` say.
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            all: bounds.connections,
            of_one_client: bounds.of_one_client,
            for_newcomers: bounds.connections / 8,
            proxies: bounds.proxies.clone(),
            taken: Mutex::default(),
        }
    }

    /// A place for a connection from `address`.
    pub fn take(self: &Arc<Self>, address: IpAddr) -> Result<Place, Refused> {
        let client = counted(address);
        let is_proxy = self.proxies.iter().any(|network| network.contains(address));
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.of.get(&client).map_or(0, HashMap::len);
        if !is_proxy && own >= self.of_one_client {
            taken.displace(client).then_some(()).ok_or(Refused::Client)?;
        } else {
            let kept = if own == 0 || is_proxy { 0 } else { self.for_newcomers };
            if taken.all + kept >= self.all {
                let most = taken.of.iter().max_by_key(|(_, theirs)| theirs.len());
                let most = most.filter(|(_, theirs)| own == 0 && theirs.len() > 1);
                let most = most.map(|(client, _)| *client).ok_or(Refused::Full)?;
                taken.displace(most).then_some(()).ok_or(Refused::Full)?;
            }
        }
        Ok(self.enter(&mut taken, client))
    }

    fn enter(self: &Arc<Self>, taken: &mut Taken, client: IpAddr) -> Place {
        let (number, activity) = (taken.next, Arc::new(Activity::begin()));
        taken.next += 1;
        taken.all += 1;
        taken.of.entry(client).or_default().insert(number, Arc::clone(&activity));
        Place { places: Arc::clone(self), client, number, activity }
    }
}

impl Taken {
    /// Has the connection of a client on which nothing has happened for longest give way; says whether
    /// there is any. Its place is free at once.
    fn displace(&mut self, client: IpAddr) -> bool {
        let Some(theirs) = self.of.get(&client) else { return false };
        let idle = theirs
            .iter()
            .filter_map(|(number, activity)| activity.idle_since().map(|since| (since, *number)));
        let Some((_, number)) = idle.min() else { return false };
        if let Some(activity) = self.leave(client, number) {
            activity.displace();
        }
        true
    }

    fn leave(&mut self, client: IpAddr, number: u64) -> Option<Arc<Activity>> {
        let theirs = self.of.get_mut(&client)?;
        let left = theirs.remove(&number)?;
        if theirs.is_empty() {
            self.of.remove(&client);
        }
        self.all -= 1;
        Some(left)
    }
}

impl Place {
    /// What happens on the connection.
    pub fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        // Nothing, if it gave way.
        taken.leave(self.client, self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{net::Ipv4Addr, time::Duration};

    fn places(connections: usize, of_one_client: usize) -> Arc<Places> {
        let bounds = Bounds {
            connections,
            of_one_client,
            proxies: vec!["10.9.0.0/16".parse().unwrap()],
            patience: Duration::ZERO,
            idle: Duration::ZERO,
            read_ahead: 0,
        };
        Arc::new(Places::new(&bounds))
    }

    fn address(last: u8) -> IpAddr {
        Ipv4Addr::new(10, 0, 0, last).into()
    }

    /// Places of one client, with something to do on each.
    fn busy(
        places: &Arc<Places>,
        last: u8,
        count: usize,
    ) -> Vec<(Place, super::super::activity::Working)> {
        let one = |_| {
            let place = places.take(address(last)).ok()?;
            let working = place.activity().work();
            Some((place, working))
        };
        (0..count).map_while(one).collect()
    }

    #[tokio::test]
    async fn one_client_has_its_share_and_newcomers_the_last_places() {
        let places = places(16, 10);
        let first = busy(&places, 1, 100);
        assert_eq!(first.len(), 10);
        assert_eq!(places.take(address(1)).err(), Some(Refused::Client));
        let second = busy(&places, 2, 100);
        assert_eq!(second.len(), 4);
        assert_eq!(places.take(address(2)).err(), Some(Refused::Full));
        let third: Vec<_> = (3..6).map(|last| busy(&places, last, 1).len()).collect();
        assert_eq!(third, [0; 3].map(|_| 1));
        let kept = (busy(&places, 6, 1), busy(&places, 7, 1), busy(&places, 8, 1));
        assert_eq!((kept.0.len(), kept.1.len(), kept.2.len()), (1, 1, 0));
        drop(first);
        assert_eq!(busy(&places, 8, 1).len(), 1);
    }

    #[tokio::test]
    async fn what_does_nothing_gives_way_the_longest_first() {
        let places = places(16, 3);
        let idle: Vec<_> = (0..3).map(|_| places.take(address(1)).unwrap()).collect();
        let _working = idle[0].activity().work();
        let fourth = places.take(address(1)).unwrap();
        idle[1].activity().displaced().await;
        let _fifth = places.take(address(1)).unwrap();
        idle[2].activity().displaced().await;
        drop(idle);
        drop(fourth);
        assert_eq!(places.taken.lock().unwrap().all, 1);
    }

    #[tokio::test]
    async fn a_full_house_makes_room_for_a_newcomer_and_for_nobody_else() {
        let places = places(4, 4);
        let most: Vec<_> = (0..3).map(|_| places.take(address(1)).unwrap()).collect();
        let _other = places.take(address(2)).unwrap();
        assert_eq!(places.take(address(2)).err(), Some(Refused::Full));
        let _newcomer = places.take(address(3)).unwrap();
        most[0].activity().displaced().await;
        assert_eq!(places.taken.lock().unwrap().all, 4);
    }

    #[tokio::test]
    async fn a_proxy_is_many_clients_and_an_ipv6_network_is_one() {
        let places = places(16, 2);
        let proxy = "10.9.0.1".parse().unwrap();
        let held: Vec<_> = (0..16).map_while(|_| places.take(proxy).ok()).collect();
        assert_eq!(held.len(), 16);
        drop(held);
        let held: Vec<_> = ["2001:db8::1", "2001:db8::2"]
            .iter()
            .map(|text| places.take(text.parse().unwrap()).unwrap())
            .collect();
        let _working: Vec<_> = held.iter().map(|place| place.activity().work()).collect();
        let third = places.take("2001:db8::3".parse().unwrap());
        assert_eq!(third.err(), Some(Refused::Client));
        assert!(places.take("2001:db8:0:1::3".parse().unwrap()).is_ok());
    }
}
