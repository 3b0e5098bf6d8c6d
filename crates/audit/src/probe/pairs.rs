//! Bits of one report that are flipped together.

/// Pairs that are counted, about: all of 64 bits.
const MOST: usize = 4096;

/// How often two bits of a report are both flipped. Where there are too many pairs, each bit is paired
/// with as many of those after it as there is room for: what shares its randomness by mistake stands near.
#[derive(Clone, Debug)]
pub struct Pairs {
    bits: usize,
    near: usize,
    both: Vec<u64>,
    reports: u64,
}

impl Pairs {
    /// Of as many bits.
    pub fn new(bits: usize) -> Self {
        let near = (MOST / bits.max(1)).clamp(1, bits.saturating_sub(1).max(1));
        Self { bits, near, both: vec![0; bits * near], reports: 0 }
    }

    /// Counts a report with these bits flipped, in their order.
    pub fn count(&mut self, flipped: &[usize]) {
        self.reports += 1;
        for (at, one) in flipped.iter().enumerate() {
            for other in flipped[at + 1..].iter().take_while(|other| **other - one <= self.near) {
                self.both[one * self.near + other - one - 1] += 1;
            }
        }
    }

    /// Reports.
    pub fn reports(&self) -> u64 {
        self.reports
    }

    /// Each pair, and in how many reports both were flipped.
    pub fn iter(&self) -> impl Iterator<Item = (usize, usize, u64)> {
        let others = |one: usize| {
            (one + 1..self.bits.min(one + self.near + 1)).map(move |other| (one, other))
        };
        let pairs = (0..self.bits).flat_map(others);
        pairs.map(|(one, other)| (one, other, self.both[one * self.near + other - one - 1]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_of_all_bits_or_of_near_ones() {
        let mut few = Pairs::new(4);
        few.count(&[0, 2, 3]);
        few.count(&[0, 3]);
        let both: Vec<_> = few.iter().filter(|(.., both)| *both > 0).collect();
        assert_eq!((both, few.iter().count()), (vec![(0, 2, 1), (0, 3, 2), (2, 3, 1)], 6));
        let mut many = Pairs::new(2000);
        many.count(&[0, 2, 3, 1999]);
        let both: Vec<_> = many.iter().filter(|(.., both)| *both > 0).collect();
        assert_eq!(both, [(0, 2, 1), (2, 3, 1)]);
        assert_eq!(Pairs::new(1).iter().count(), 0);
    }
}
