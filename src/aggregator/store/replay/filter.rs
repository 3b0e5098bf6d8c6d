//! A set of IDs in about three bytes each, which may take a stranger for a member, but never a
//! member for a stranger.

use crate::dap::ids::ReportId;
use std::hash::{BuildHasher, RandomState};

/// Fingerprints of 16 bits in an open hash table. At most one stranger in about ten thousand is
/// taken for a member, as long as there is room.
///
/// The hash is keyed anew in each filter: whoever chooses IDs cannot aim at anything.
pub(super) struct Filter {
    /// None at all if there is no room: then every ID may be a member.
    slots: Vec<u16>,
    len: usize,
    hasher: RandomState,
}

impl Filter {
    /// Empty, with room for twice as many IDs, or for so many and a few if that is all the room that
    /// `most_bytes` give; without room for those, it takes every ID for a member.
    pub(super) fn with_room_for(ids: usize, most_bytes: usize) -> Self {
        let slots =
            |ids: usize| (ids / 2).saturating_mul(3).max(LEAST_SLOTS).checked_next_power_of_two();
        let fits = |slots: &usize| slots.saturating_mul(size_of::<u16>()) <= most_bytes;
        let ample = slots(ids.saturating_mul(2)).filter(fits);
        let chosen = ample.or_else(|| slots(ids).filter(fits)).unwrap_or(0);
        Self { slots: vec![EMPTY; chosen], len: 0, hasher: RandomState::new() }
    }

    /// Whether it tells members from others at all.
    pub(super) fn has_room(&self) -> bool {
        !self.slots.is_empty()
    }

    /// Adds an ID.
    pub(super) fn insert(&mut self, id: &ReportId) {
        self.len += 1;
        if !self.has_room() {
            return;
        }
        let (mut at, fingerprint) = self.place(id);
        for _ in 0..FARTHEST {
            let slot = &mut self.slots[at];
            if *slot == EMPTY {
                *slot = fingerprint;
                return;
            }
            if *slot == fingerprint {
                return;
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
        // No room near its place: `may_hold` says yes to all that end up here.
    }

    /// Whether the ID may have been added; surely if it was.
    pub(super) fn may_hold(&self, id: &ReportId) -> bool {
        if !self.has_room() {
            return true;
        }
        let (mut at, fingerprint) = self.place(id);
        for _ in 0..FARTHEST {
            match self.slots[at] {
                EMPTY => return false,
                slot if slot == fingerprint => return true,
                _ => at = (at + 1) & (self.slots.len() - 1),
            }
        }
        true
    }

    /// Whether it is to be read anew, with more room or without any.
    pub(super) fn is_full(&self) -> bool {
        self.has_room() && self.len > self.slots.len() / 4 * 3
    }

    /// Bytes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.slots.len() * size_of::<u16>()
    }

    fn place(&self, id: &ReportId) -> (usize, u16) {
        let hash = self.hasher.hash_one(id.as_bytes());
        let [low, high, ..] = hash.to_le_bytes();
        let fingerprint = u16::from_le_bytes([low, high]).max(1);
        let at = usize::try_from(hash >> 32).unwrap_or_default() & (self.slots.len() - 1);
        (at, fingerprint)
    }
}

const EMPTY: u16 = 0;
const LEAST_SLOTS: usize = 4096;
/// Slots looked at: far more than are ever in a row below three quarters full.
const FARTHEST: usize = 256;

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
        let mut filter = Filter::with_room_for(30_000, 1 << 20);
        fill(&mut filter, &random(30_000, 1));
        assert!(!filter.is_full());
        let wrong = random(100_000, 2).iter().filter(|id| filter.may_hold(id)).count();
        assert!(wrong < 30, "{wrong}");
    }

    #[test]
    fn it_is_as_large_as_there_is_room_and_none_if_that_is_too_small() {
        let bytes = |ids, most_bytes| Filter::with_room_for(ids, most_bytes).bytes();
        assert_eq!(bytes(0, 1 << 20), LEAST_SLOTS * 2);
        assert_eq!(bytes(100_000, 1 << 20), 1 << 20);
        assert_eq!(bytes(100_000, 1 << 19), 1 << 19);
        assert_eq!(bytes(100_000, (1 << 19) - 1), 0);
        assert_eq!(bytes(usize::MAX, usize::MAX), 0);
        assert!(!Filter::with_room_for(100_000, 0).has_room());
    }

    #[test]
    fn it_is_full_at_three_quarters() {
        let mut filter = Filter::with_room_for(0, 1 << 20);
        fill(&mut filter, &random(LEAST_SLOTS / 4 * 3, 1));
        assert!(!filter.is_full());
        fill(&mut filter, &random(1, 2));
        assert!(filter.is_full());
    }
}
