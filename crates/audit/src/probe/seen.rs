//! Detects values that were seen before, in bounded memory.

use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
};

/// Whether values come twice.
///
/// As long as there is room, all are remembered. Then a half, a quarter and so on: those whose hash says so,
/// so that a value that comes again is known again with that probability, however long ago it came and
/// whatever its maker would like. A hash has 16 bytes and a key of its own: two values of which one is taken
/// for the other are not to be expected in the age of the universe.
#[derive(Debug)]
pub struct Seen {
    hashes: HashSet<(u64, u64)>,
    keys: [RandomState; 2],
    room: usize,
    /// Remembered are values whose first hash has none of these bits.
    left_out: u64,
}

impl Seen {
    /// Nothing yet; at most so many values are remembered.
    pub fn new(room: usize) -> Self {
        Self { hashes: HashSet::new(), keys: Default::default(), room, left_out: 0 }
    }

    /// Whether a value of this kind was seen before; it is from now on.
    pub fn again(&mut self, kind: usize, value: &[u8]) -> bool {
        let [first, second] = self.keys.each_ref().map(|key| key.hash_one((kind, value)));
        if first & self.left_out != 0 {
            return false;
        }
        let again = !self.hashes.insert((first, second));
        while self.hashes.len() > self.room {
            self.left_out = self.left_out << 1 | 1;
            let left_out = self.left_out;
            self.hashes.retain(|(first, _)| first & left_out == 0);
        }
        again
    }

    /// The part of all values that is remembered.
    pub fn remembered(&self) -> f64 {
        0.5_f64.powi(i32::try_from(self.left_out.count_ones()).unwrap_or(64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_known_again_while_there_is_room() {
        let mut seen = Seen::new(1000);
        assert!((0..500_u64).all(|value| !seen.again(0, &value.to_be_bytes())));
        assert!((0..500_u64).all(|value| !seen.again(1, &value.to_be_bytes())));
        assert!((0..500_u64).all(|value| seen.again(0, &value.to_be_bytes())));
        assert!((seen.remembered() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn without_room_a_part_is_known_again_however_long_ago_it_came() {
        let mut seen = Seen::new(1000);
        assert!((0..50_000_u64).all(|value| !seen.again(0, &value.to_be_bytes())));
        assert!(seen.hashes.len() <= 1000);
        for first in [0, 25_000, 40_000_u64] {
            let again = (first..first + 10_000).filter(|value| seen.again(0, &value.to_be_bytes()));
            let (found, expected) = (again.count(), 10_000.0 * seen.remembered());
            // Seven deviations of a number that is about 150 or more.
            assert!((found as f64 - expected).abs() < 7.0 * expected.sqrt(), "{found} {expected}");
        }
    }
}
