//! A set of IDs in a little more than two bytes each, which may take a stranger for a member, but never
//! a member for a stranger.

use super::pieces::{BUCKET, Buckets, PIECE};
use sottovoce_dap::ids::ReportId;
use std::hash::{BuildHasher, RandomState};

/// A cuckoo filter: fingerprints of 16 bits, each in one of two buckets of four. At most one stranger in
/// about eight thousand is taken for a member, as long as there is room.
///
/// The hash is keyed anew in each filter: whoever chooses IDs cannot aim at anything.
pub(super) struct Filter {
    /// None at all if there is no room: then every ID may be a member.
    buckets: Buckets,
    len: usize,
    /// A fingerprint found no place, so any ID may be the one that it was of.
    overflowing: bool,
    hasher: RandomState,
}

/// Pieces for a filter with room for a quarter more IDs, or for so many and a few if there are no more
/// than `most` pieces; none if those do not fit either.
pub(super) fn pieces_for(ids: usize, most: usize) -> usize {
    let pieces = |spare: usize| {
        let slots = ids.saturating_add(ids / spare).div_ceil(FULL.0).saturating_mul(FULL.1);
        slots.div_ceil(BUCKET).div_ceil(PIECE).max(1)
    };
    [AMPLE, SCANTY].map(pieces).into_iter().find(|pieces| *pieces <= most).unwrap_or(0)
}

impl Filter {
    /// Without any ID. Without any bucket, it takes every ID for a member.
    pub(super) fn new(buckets: Buckets) -> Self {
        Self { buckets, len: 0, overflowing: false, hasher: RandomState::new() }
    }

    /// Whether it tells members from others at all.
    pub(super) fn has_room(&self) -> bool {
        self.buckets.pieces() > 0
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

    /// Pieces of memory.
    pub(super) fn pieces(&self) -> usize {
        self.buckets.pieces()
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
    use super::{
        super::pieces::{PIECE_BYTES, Pieces},
        *,
    };
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

    /// Empty, for so many IDs, of no more than so many pieces.
    fn filter(ids: usize, most: usize) -> Filter {
        Filter::new(Pieces::new(most).take(pieces_for(ids, most)))
    }

    #[test]
    fn a_member_is_never_denied_even_without_room() {
        for most in [128, 1, 0] {
            let mut filter = filter(0, most);
            let members = random(20_000, 1);
            fill(&mut filter, &members);
            assert!(members.iter().all(|id| filter.may_hold(id)));
        }
    }

    #[test]
    fn strangers_are_seldom_taken_for_members() {
        for size in [30_000, 30_001, 47_777, 100_003] {
            let mut filter = filter(size, 128);
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
            let filter = filter(ids, 128);
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
        assert_eq!(pieces_for(0, 128), 1);
        let (ample, scanty) = (33, 28);
        assert_eq!(pieces_for(100_000, 128), ample);
        assert_eq!(pieces_for(100_000, ample), ample);
        assert_eq!(pieces_for(100_000, ample - 1), scanty);
        assert_eq!(pieces_for(100_000, scanty - 1), 0);
        assert_eq!(pieces_for(usize::MAX, usize::MAX / PIECE_BYTES), 0);
        assert!(!filter(100_000, 0).has_room());
    }

    #[test]
    fn it_is_full_before_a_fingerprint_finds_no_place() {
        let mut filter = filter(0, 128);
        fill(&mut filter, &random(PIECE * BUCKET / 16 * 15, 1));
        assert!(!filter.is_full() && !filter.overflowing);
        fill(&mut filter, &random(1, 2));
        assert!(filter.is_full());
    }
}
