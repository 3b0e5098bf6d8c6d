//! Connection slots, counted in all and for each client.

use super::{
    Bounds,
    activity::Activity,
    address::{Network, Prefix, prefixes},
};
use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};
use thiserror::Error;
use tokio::time::Instant;

/// Why there is no slot.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq, Hash)]
pub enum Refused {
    /// The client has as many connections as one may, and something happens on each.
    #[error("connection limit exceeded for this client")]
    Client,
    /// All slots are taken, or all but those for clients without any.
    #[error("connection limit of the server exceeded")]
    Full,
}

/// Slots for connections.
///
/// A client that has none gets one of the last eighth too. If a client's slots are taken, or those of
/// its network, one of these connections gives way on which nothing happens; and for a client that has none
/// itself, else one that keeps us waiting for a request, of whoever has most in the network. If all are,
/// for a client that has none, a connection on which nothing happens gives way: of whoever has most, else of
/// anybody; and if something happens on each, one that keeps us waiting for a request, of whoever has most.
#[derive(Debug)]
pub struct Slots {
    all: usize,
    of_one_client: usize,
    for_newcomers: usize,
    proxies: Vec<Network>,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    connections: HashMap<u64, Holder>,
    of: HashMap<Prefix, HashSet<u64>>,
}

/// A connection that has a slot.
#[derive(Debug)]
struct Holder {
    client: Vec<Prefix>,
    is_proxy: bool,
    activity: Arc<Activity>,
}

impl Holder {
    /// When anything last happened, if the client keeps us waiting: a proxy does not, nor do all behind it.
    fn waiting_since(&self) -> Option<Instant> {
        self.activity.waiting_since().filter(|_| !self.is_proxy)
    }
}

/// A slot, until it is dropped.
#[derive(Debug)]
pub struct Slot {
    slots: Arc<Slots>,
    number: u64,
    is_proxy: bool,
    activity: Arc<Activity>,
}

impl Slots {
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

    /// A slot for a connection from `address`.
    pub fn take(self: &Arc<Self>, address: IpAddr) -> Result<Slot, Refused> {
        let client = prefixes(address);
        let is_proxy = self.proxies.iter().any(|network| network.contains(address));
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = is_proxy || taken.count(&client[0]) == 0;
        let full = |taken: &Taken| {
            let is_full = |prefix: &&Prefix| taken.count(prefix) >= self.most(prefix);
            client.iter().find(is_full).filter(|_| !is_proxy).copied()
        };
        let mut is_slot_free = false;
        while let Some(prefix) = full(&taken) {
            // It has none: the network that is full is wider than it.
            is_slot_free = taken.evict_of(&prefix) || (is_new && taken.evict_waiting_of(&prefix));
            is_slot_free.then_some(()).ok_or(Refused::Client)?;
        }
        let kept = if is_new { 0 } else { self.for_newcomers };
        if !is_slot_free && taken.connections.len() + kept >= self.all {
            (is_new && taken.evict()).then_some(()).ok_or(Refused::Full)?;
        }
        let activity = Arc::new(Activity::begin());
        Ok(self.enter(&mut taken, Holder { client, is_proxy, activity }))
    }

    fn most(&self, prefix: &Prefix) -> usize {
        self.of_one_client.saturating_mul(prefix.clients())
    }

    fn enter(self: &Arc<Self>, taken: &mut Taken, holder: Holder) -> Slot {
        let (number, is_proxy) = (taken.next, holder.is_proxy);
        let activity = Arc::clone(&holder.activity);
        taken.next += 1;
        for prefix in &holder.client {
            taken.of.entry(*prefix).or_default().insert(number);
        }
        taken.connections.insert(number, holder);
        Slot { slots: Arc::clone(self), number, is_proxy, activity }
    }
}

impl Taken {
    fn count(&self, prefix: &Prefix) -> usize {
        self.of.get(prefix).map_or(0, HashSet::len)
    }

    /// How many a client has, for one: of its networks, the one that has most of what it may have.
    fn share(&self, client: &[Prefix]) -> usize {
        let of_one = |prefix: &Prefix| self.count(prefix) * WIDEST / prefix.clients();
        client.iter().map(of_one).max().unwrap_or_default()
    }

    /// Has the connection of a network on which nothing has happened for longest give way; says whether
    /// there is any. Its slot is free at once.
    fn evict_of(&mut self, prefix: &Prefix) -> bool {
        let idle =
            |number: &u64| Some((self.connections.get(number)?.activity.idle_since()?, *number));
        let idle = self.of.get(prefix).and_then(|theirs| theirs.iter().filter_map(idle).min());
        idle.is_some_and(|(_, number)| self.end(number))
    }

    /// Has one give way that keeps us waiting, of the client who has most in a network.
    fn evict_waiting_of(&mut self, network: &Prefix) -> bool {
        let waiting = self.of.get(network).into_iter().flatten().filter_map(|number| {
            let holder = self.connections.get(number)?;
            let has = self.count(holder.client.first()?);
            Some((has, Reverse(holder.waiting_since()?), *number))
        });
        // Nobody has many: they are as good as whoever comes.
        let first = waiting.max().filter(|(has, ..)| *has > 1);
        first.is_some_and(|(.., number)| self.end(number))
    }

    /// Has the first of all connections give way.
    fn evict(&mut self) -> bool {
        let idle = self.first_to_go(|holder| holder.activity.idle_since());
        let number = idle.map(|(_, number)| number).or_else(|| {
            // Nobody has many: they are as good as whoever comes.
            let (share, number) = self.first_to_go(Holder::waiting_since)?;
            (share > WIDEST).then_some(number)
        });
        number.is_some_and(|number| self.end(number))
    }

    /// Of connections that may go since some moment, the first is whose client has most, and then that for
    /// which it is longest; and what its client has.
    fn first_to_go(&self, since: impl Fn(&Holder) -> Option<Instant>) -> Option<(usize, u64)> {
        let may_go = self.connections.iter().filter_map(|(number, holder)| {
            Some((self.share(&holder.client), Reverse(since(holder)?), *number))
        });
        may_go.max().map(|(share, _, number)| (share, number))
    }

    fn end(&mut self, number: u64) -> bool {
        let left = self.leave(number);
        left.inspect(|holder| holder.activity.evict()).is_some()
    }

    fn leave(&mut self, number: u64) -> Option<Holder> {
        let left = self.connections.remove(&number)?;
        for prefix in &left.client {
            if let Some(theirs) = self.of.get_mut(prefix) {
                theirs.remove(&number);
                if theirs.is_empty() {
                    self.of.remove(prefix);
                }
            }
        }
        Some(left)
    }
}

/// For how many clients the widest network counts, so that shares are whole numbers.
const WIDEST: usize = 4;

impl Slot {
    /// What happens on the connection.
    pub fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }

    /// Gives the slot back, and takes one for a connection from `address`, which this one turned out to be.
    pub(crate) fn moved_to(self, address: IpAddr) -> Result<Self, Refused> {
        let slots = Arc::clone(&self.slots);
        drop(self);
        slots.take(address)
    }

    /// Whether it is a proxy's, behind which are many clients.
    pub fn is_proxy(&self) -> bool {
        self.is_proxy
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.slots.taken.lock().unwrap_or_else(PoisonError::into_inner);
        // Nothing, if it gave way.
        taken.leave(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{net::Ipv4Addr, time::Duration};

    fn slots(connections: usize, of_one_client: usize) -> Arc<Slots> {
        let bounds = Bounds {
            connections,
            of_one_client,
            proxies: vec!["10.9.0.0/16".parse().unwrap()],
            patience: Duration::ZERO,
            idle: Duration::ZERO,
            read_ahead: 0,
        };
        Arc::new(Slots::new(&bounds))
    }

    fn address(last: u8) -> IpAddr {
        Ipv4Addr::new(10, 0, 0, last).into()
    }

    /// Slots of one client, with something to do on each.
    fn busy(
        slots: &Arc<Slots>,
        last: u8,
        count: usize,
    ) -> Vec<(Slot, super::super::activity::Working)> {
        let one = |_| {
            let slot = slots.take(address(last)).ok()?;
            let working = slot.activity().work();
            Some((slot, working))
        };
        (0..count).map_while(one).collect()
    }

    #[tokio::test]
    async fn one_client_has_its_share_and_newcomers_the_last_slots() {
        let slots = slots(16, 10);
        let first = busy(&slots, 1, 100);
        assert_eq!(first.len(), 10);
        assert_eq!(slots.take(address(1)).err(), Some(Refused::Client));
        let second = busy(&slots, 2, 100);
        assert_eq!(second.len(), 4);
        assert_eq!(slots.take(address(2)).err(), Some(Refused::Full));
        let third: Vec<_> = (3..6).map(|last| busy(&slots, last, 1).len()).collect();
        assert_eq!(third, [0; 3].map(|_| 1));
        let kept = (busy(&slots, 6, 1), busy(&slots, 7, 1), busy(&slots, 8, 1));
        assert_eq!((kept.0.len(), kept.1.len(), kept.2.len()), (1, 1, 0));
        drop(first);
        assert_eq!(busy(&slots, 8, 1).len(), 1);
    }

    #[tokio::test]
    async fn what_is_idle_the_longest_is_evicted_first() {
        let slots = slots(16, 3);
        let idle: Vec<_> = (0..3).map(|_| slots.take(address(1)).unwrap()).collect();
        let _working = idle[0].activity().work();
        let fourth = slots.take(address(1)).unwrap();
        idle[1].activity().evicted().await;
        let _fifth = slots.take(address(1)).unwrap();
        idle[2].activity().evicted().await;
        drop(idle);
        drop(fourth);
        assert_eq!(slots.taken.lock().unwrap().connections.len(), 1);
    }

    #[tokio::test]
    async fn in_a_full_house_one_of_its_own_gives_way_for_a_client_with_as_many_as_it_may_have() {
        let slots = slots(16, 4);
        let own: Vec<_> = (0..4).map(|_| slots.take(address(1)).unwrap()).collect();
        let others: Vec<_> = (2..14).flat_map(|last| busy(&slots, last, 1)).collect();
        assert_eq!(slots.taken.lock().unwrap().connections.len(), 16);
        assert!(slots.take(address(1)).is_ok() && others.len() == 12);
        own[0].activity().evicted().await;
    }

    #[tokio::test]
    async fn a_full_house_makes_room_for_a_newcomer_and_for_nobody_else() {
        let slots = slots(4, 4);
        let most: Vec<_> = (0..3).map(|_| slots.take(address(1)).unwrap()).collect();
        let _other = slots.take(address(2)).unwrap();
        assert_eq!(slots.take(address(2)).err(), Some(Refused::Full));
        let _newcomer = slots.take(address(3)).unwrap();
        most[0].activity().evicted().await;
        assert_eq!(slots.taken.lock().unwrap().connections.len(), 4);
    }

    #[tokio::test]
    async fn a_proxy_is_many_clients_and_an_ipv6_network_is_one() {
        let slots = slots(16, 2);
        let proxy = "10.9.0.1".parse().unwrap();
        let held: Vec<_> = (0..16).map_while(|_| slots.take(proxy).ok()).collect();
        assert_eq!(held.len(), 16);
        drop(held);
        let held: Vec<_> = ["2001:db8::1", "2001:db8::2"]
            .iter()
            .map(|text| slots.take(text.parse().unwrap()).unwrap())
            .collect();
        let _working: Vec<_> = held.iter().map(|slot| slot.activity().work()).collect();
        let third = slots.take("2001:db8::3".parse().unwrap());
        assert_eq!(third.err(), Some(Refused::Client));
        assert!(slots.take("2001:db8:0:1::3".parse().unwrap()).is_ok());
    }

    #[tokio::test]
    async fn a_connection_that_a_balancer_passes_on_counts_among_its_clients() {
        let slots = slots(16, 2);
        let passed_on = |last| slots.take(from("10.9.0.1")).unwrap().moved_to(address(last));
        let (first, second) = (passed_on(1).unwrap(), passed_on(1).unwrap());
        let _working = [&first, &second].map(|slot| slot.activity().work());
        assert!(!first.is_proxy());
        assert_eq!(passed_on(1).err(), Some(Refused::Client));
        assert!(passed_on(2).is_ok());
        assert_eq!(slots.taken.lock().unwrap().connections.len(), 2);
    }

    fn from(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn many_networks_with_one_idle_connection_each_shut_nobody_out() {
        let slots = slots(64, 16);
        let idle: Vec<_> = (0..64).map_while(|last| slots.take(address(last)).ok()).collect();
        assert_eq!(idle.len(), 64);
        let _newcomer = slots.take(address(100)).unwrap();
        idle[0].activity().evicted().await;
        let narrow = |n| slots.take(from(&format!("2001:db8:7:{n:x}::1"))).ok();
        let crowd: Vec<_> = (0..70).filter_map(narrow).collect();
        // A network that is many is first to give way, before the one connection of anybody else.
        let _other = slots.take(from("2001:db8:8::1")).unwrap();
        crowd[5].activity().evicted().await;
        let taken = slots.taken.lock().unwrap();
        assert!((4..64).all(|last| taken.count(&prefixes(address(last))[0]) == 1));
    }

    #[tokio::test]
    async fn a_wide_network_at_work_leaves_slots_for_others() {
        let slots = slots(64, 8);
        let one = |n| {
            let slot = slots.take(from(&format!("2001:db8:7:{n:x}::1"))).ok()?;
            let working = slot.activity().work();
            Some((slot, working))
        };
        let narrow: Vec<_> = (0..0x100).map_while(one).collect();
        assert_eq!(narrow.len(), 16);
        let wide: Vec<_> = (0x100..0x1000).filter_map(one).collect();
        assert_eq!(wide.len(), 16);
        assert_eq!(slots.take(from("2001:db8:7:ffff::1")).err(), Some(Refused::Client));
        assert!(slots.take(from("2001:db8:9::1")).is_ok());
    }

    #[tokio::test]
    async fn some_of_a_wide_network_that_keep_us_waiting_leave_slots_for_the_rest_of_it() {
        let slots = slots(64, 4);
        let at_work = |n: u8| {
            let slot = slots.take(from(&format!("2001:db8:7:{n:x}00::1"))).ok()?;
            let working = slot.activity().work();
            Some((slot, working))
        };
        let mut held: Vec<_> = (0..16).map_while(|n| at_work(n % 4)).collect();
        assert_eq!(held.len(), 16);
        // Who is worked for does not give way.
        assert!(at_work(4).is_none());
        let waiting: Vec<_> = held.iter().map(|(slot, _)| slot.activity().arrive()).collect();
        assert!(at_work(0).is_none());
        held.extend((4..100).map_while(at_work));
        assert_eq!(held.len(), 16 + 12);
        held[0].0.activity().evicted().await;
        let taken = slots.taken.lock().unwrap();
        let left = |n: u8| taken.count(&prefixes(from(&format!("2001:db8:7:{n:x}00::1")))[0]);
        assert!((0..16).all(|n| left(n) == 1) && waiting.len() == 16);
        drop(taken);
    }

    #[tokio::test]
    async fn whoever_has_most_and_keeps_us_waiting_gives_way_and_who_is_worked_for_does_not() {
        let slots = slots(16, 4);
        let mut held = Vec::new();
        for (last, count) in [(1, 4), (2, 4), (3, 4), (4, 2), (5, 1), (6, 1)] {
            for (slot, working) in busy(&slots, last, count) {
                let arriving = slot.activity().arrive();
                held.push((slot, working, arriving));
            }
        }
        assert_eq!(held.len(), 16);
        let (mut newcomer, mut working) = (Vec::new(), Vec::new());
        for last in 100..103 {
            newcomer.push(slots.take(address(last)).unwrap());
            working.push(newcomer.last().unwrap().activity().work());
        }
        held[0].0.activity().evicted().await;
        // Their bodies are there: nobody waits for a client any more.
        for (slot, working, _) in held {
            newcomer.push(slot);
            std::mem::forget(working);
        }
        assert_eq!(slots.take(address(104)).err(), Some(Refused::Full));
    }
}
