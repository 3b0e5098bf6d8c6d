//! A set of IDs in a little more than two bytes each, which may take a stranger for a member, but never
//! a member for a stranger.

use sottovoce_dap::ids::ReportId;
use std::hash::{BuildHasher, RandomState};

/// A cuckoo filter: fingerprints of 16 bits, each in one of two buckets of four. At most one stranger in
/// about eight thousand is taken for a member, as long as there is room.
///
/// The hash is keyed anew in each filter: whoever chooses IDs cannot aim at anything.
pub(super) struct Filter {
    /// None at all if there is no room: then every ID may be a member.
    buckets: Vec<Bucket>,
    len: usize,
    /// A fingerprint found no place, so any ID may be the one that it was of.
    overflowing: bool,
    hasher: RandomState,
}

type Bucket = [u16; BUCKET];

impl Filter {
    /// Empty, with room for a quarter more IDs, or for so many and a few if that is all the room that
    /// `most_bytes` give; without room for those, it takes every ID for a member.
    pub(super) fn with_room_for(ids: usize, most_bytes: usize) -> Self {
        let buckets = |spare: usize| {
            let slots = ids.saturating_add(ids / spare).div_ceil(FULL.0).saturating_mul(FULL.1);
            slots.div_ceil(BUCKET).max(LEAST_BUCKETS)
        };
        let fits = |buckets: &usize| {
            buckets.checked_mul(size_of::<Bucket>()).is_some_and(|bytes| bytes <= most_bytes)
        };
        let chosen = [AMPLE, SCANTY].map(buckets).into_iter().find(fits).unwrap_or(0);
        Self {
            buckets: vec![[EMPTY; BUCKET]; chosen],
            len: 0,
            overflowing: false,
            hasher: RandomState::new(),
        }
    }

    /// Whether it tells members from others at all.
    pub(super) fn has_room(&self) -> bool {
        !self.buckets.is_empty()
    }

    /// Adds an ID.
    pub(super) fn insert(&mut self, id: &ReportId) {
        self.len += 1;
        if !self.has_room() {
            return;
        }
        let (mut at, mut fingerprint) = self.place(id);
        let other = self.other(at, fingerprint);
        if self.holds(at, fingerprint) || self.holds(other, fingerprint) {
            return;
        }
        if self.settle(at, fingerprint) {
            return;
        }
        at = other;
        // Whoever finds a bucket full takes the place of one that may go to its other bucket.
        for turn in 0..LONGEST_CHASE {
            if self.settle(at, fingerprint) {
                return;
            }
            std::mem::swap(&mut self.buckets[at][turn % BUCKET], &mut fingerprint);
            at = self.other(at, fingerprint);
        }
        self.overflowing = true;
    }

    /// Whether the ID may have been added; surely if it was.
    pub(super) fn may_hold(&self, id: &ReportId) -> bool {
        if self.overflowing || !self.has_room() {
            return true;
        }
        let (at, fingerprint) = self.place(id);
        self.holds(at, fingerprint) || self.holds(self.other(at, fingerprint), fingerprint)
    }

    /// Whether it is to be read anew, with more room or without any.
    pub(super) fn is_full(&self) -> bool {
        let room = self.buckets.len() * BUCKET / FULL.1 * FULL.0;
        self.has_room() && (self.overflowing || self.len > room)
    }

    /// Bytes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.buckets.len() * size_of::<Bucket>()
    }

    /// Puts a fingerprint into a free slot of a bucket, if there is one.
    fn settle(&mut self, at: usize, fingerprint: u16) -> bool {
        let free = self.buckets[at].iter_mut().find(|slot| **slot == EMPTY);
        free.map(|slot| *slot = fingerprint).is_some()
    }

    fn holds(&self, at: usize, fingerprint: u16) -> bool {
        self.buckets[at].contains(&fingerprint)
    }

    /// An ID's fingerprint, and one of its buckets.
    fn place(&self, id: &ReportId) -> (usize, u16) {
        let hash = self.hasher.hash_one(id.as_bytes());
        let [low, high, .., a, b, c, d] = hash.to_le_bytes();
        let fingerprint = u16::from_le_bytes([low, high]).max(EMPTY + 1);
        (self.scaled(u32::from_le_bytes([a, b, c, d])), fingerprint)
    }

    /// The other bucket of a fingerprint that is in `at`; of that one, `at` is the other.
    fn other(&self, at: usize, fingerprint: u16) -> usize {
        let sum = self.scaled(u32::from(fingerprint).wrapping_mul(SPREAD));
        if sum >= at { sum - at } else { sum + self.buckets.len() - at }
    }

    /// A bucket, in proportion to the number.
    fn scaled(&self, number: u32) -> usize {
        let product = u128::from(number) * self.buckets.len() as u128;
        usize::try_from(product >> 32).unwrap_or_default()
    }
}

const EMPTY: u16 = 0;
/// Slots of a bucket: with four, a filter can be as full as it is allowed to be.
const BUCKET: usize = 4;
const LEAST_BUCKETS: usize = 1024;
/// Of its slots, the part that may be taken: beyond it, chases get long.
const FULL: (usize, usize) = (15, 16);
/// Room for one more in so many, usually: each time it is read anew, and that has to be worth it.
const AMPLE: usize = 4;
/// The same where there is little room.
const SCANTY: usize = 16;
/// Fingerprints that one may drive from their places, one after the other.
const LONGEST_CHASE: usize = 500;
/// Spreads numbers that differ in few bits (the golden ratio, as 32 bits after the point).
const SPREAD: u32 = 0x9e37_79b1;

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng, rngs::StdRng};

    fn random(count: usize, seed: u64) -> Vec<ReportId> {
        let mut rng = StdRng::seed_from_u64(seed);
        (0..count).map(|_| ReportId::new(rng.random())).collect()
    }

    fn fill(filter: &mut Filter, ids: &[ReportId]) {
        for id in ids {
            filter.insert(id);
        }
    }

    #[test]
    fn a_member_is_never_denied_even_without_room() {
        for most_bytes in [1 << 20, 8192, 0] {
            let mut filter = Filter::with_room_for(0, most_bytes);
            let members = random(20_000, 1);
            fill(&mut filter, &members);
            assert!(members.iter().all(|id| filter.may_hold(id)));
        }
    }

    #[test]
    fn strangers_are_seldom_taken_for_members() {
        for size in [30_000, 30_001, 47_777, 100_003] {
            let mut filter = Filter::with_room_for(size, 1 << 20);
            let members = random(size / 4 * 5, 1);
            fill(&mut filter, &members);
            assert!(!filter.is_full() && !filter.overflowing, "{size}");
            assert!(members.iter().all(|id| filter.may_hold(id)), "{size}");
            let wrong = random(100_000, 2).iter().filter(|id| filter.may_hold(id)).count();
            assert!(wrong < 30, "{wrong} of {size}");
        }
    }

    #[test]
    fn each_bucket_is_the_other_of_its_other() {
        for ids in [0, 10_007, 300_000] {
            let filter = Filter::with_room_for(ids, 1 << 20);
            for id in random(10_000, 3) {
                let (at, fingerprint) = filter.place(&id);
                let other = filter.other(at, fingerprint);
                assert!(at < filter.buckets.len() && other < filter.buckets.len());
                assert_eq!(filter.other(other, fingerprint), at);
            }
        }
    }

    #[test]
    fn it_is_as_large_as_there_is_room_and_none_if_that_is_too_small() {
        let bytes = |ids, most_bytes| Filter::with_room_for(ids, most_bytes).bytes();
        assert_eq!(bytes(0, 1 << 20), LEAST_BUCKETS * 8);
        let (ample, scanty) = (266_688, 226_688);
        assert_eq!(bytes(100_000, 1 << 20), ample);
        assert_eq!(bytes(100_000, ample), ample);
        assert_eq!(bytes(100_000, ample - 1), scanty);
        assert_eq!(bytes(100_000, scanty - 1), 0);
        assert_eq!(bytes(usize::MAX, usize::MAX), 0);
        assert!(!Filter::with_room_for(100_000, 0).has_room());
    }

    #[test]
    fn it_is_full_before_a_fingerprint_finds_no_place() {
        let mut filter = Filter::with_room_for(0, 1 << 20);
        fill(&mut filter, &random(LEAST_BUCKETS * 4 / 16 * 15, 1));
        assert!(!filter.is_full() && !filter.overflowing);
        fill(&mut filter, &random(1, 2));
        assert!(filter.is_full());
    }
}
