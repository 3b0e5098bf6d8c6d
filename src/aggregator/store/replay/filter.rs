//! A set of IDs in about three bytes each, which may take a stranger for a member, but never a
//! member for a stranger.

use crate::dap::ids::ReportId;
use std::hash::{BuildHasher, RandomState};

/// Fingerprints of 16 bits in an open hash table. At most one stranger in about ten thousand is
/// taken for a member, as long as there is room.
///
/// The hash is keyed anew in each filter: whoever chooses IDs cannot aim at anything.
pub(super) struct Filter {
    slots: Vec<u16>,
    len: usize,
    most_slots: usize,
    hasher: RandomState,
}

impl Filter {
    /// Empty, with room for so many; never larger than `most_bytes`.
    pub(super) fn with_room_for(ids: usize, most_bytes: usize) -> Self {
        let most_slots = (most_bytes / 2).next_power_of_two();
        let slots = (ids / 2 * 3).next_power_of_two().clamp(LEAST_SLOTS, most_slots);
        Self { slots: vec![EMPTY; slots], len: 0, most_slots, hasher: RandomState::new() }
    }

    /// Adds an ID.
    pub(super) fn insert(&mut self, id: &ReportId) {
        let (mut at, fingerprint) = self.place(id);
        for _ in 0..FARTHEST {
            let slot = &mut self.slots[at];
            if *slot == EMPTY {
                *slot = fingerprint;
                self.len += 1;
                return;
            }
            if *slot == fingerprint {
                self.len += 1;
                return;
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
        // No room near its place: `may_hold` says yes to all that end up here.
        self.len += 1;
    }

    /// Whether the ID may have been added; surely if it was.
    pub(super) fn may_hold(&self, id: &ReportId) -> bool {
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

    /// IDs added.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether a larger one would err less, and is allowed.
    pub(super) fn is_full(&self) -> bool {
        self.len > self.slots.len() / 4 * 3 && self.slots.len() < self.most_slots
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
        for most_bytes in [1 << 20, 8192] {
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
    fn it_is_full_at_three_quarters_unless_it_may_not_grow() {
        let mut filter = Filter::with_room_for(0, 1 << 20);
        fill(&mut filter, &random(LEAST_SLOTS / 4 * 3 + 1, 1));
        assert!(filter.is_full());
        let mut last = Filter::with_room_for(0, 8192);
        fill(&mut last, &random(LEAST_SLOTS, 1));
        assert!(!last.is_full());
    }
}
