//! Whether something happened in each of many reports, a bit for each, and how often it happens twice.

use super::share::Share;

/// Reports that are looked back on: 256 KiB.
const MOST: usize = 1 << 21;

/// One event over the reports, in their order.
#[derive(Debug, Default)]
pub struct Stream {
    words: Vec<u64>,
    length: usize,
}

impl Stream {
    /// Of the next report.
    pub fn push(&mut self, happened: bool) {
        if self.length == MOST {
            self.words.drain(..MOST / 2 / 64);
            self.length /= 2;
        }
        if self.length.is_multiple_of(64) {
            self.words.push(0);
        }
        if let Some(last) = self.words.last_mut() {
            *last |= u64::from(happened) << (self.length % 64);
        }
        self.length += 1;
    }

    /// Reports.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Of the reports in which it happened, how many are followed by another in which it did, `lag` later.
    ///
    /// Looked at are pairs of which no two share a report: stretches of `lag` reports, each with the next.
    /// If reports are independent, so are the pairs, and the hits have a binomial distribution.
    pub fn after(&self, lag: usize) -> Share {
        let mut share = Share::default();
        let mut first = 0;
        while first + lag < self.length {
            let pairs = lag.min(self.length - first - lag);
            for at in (0..pairs).step_by(64) {
                let before = self.word(first + at, pairs - at);
                let after = self.word(first + lag + at, pairs - at);
                share.trials += u64::from(before.count_ones());
                share.hits += u64::from((before & after).count_ones());
            }
            first += 2 * lag;
        }
        share
    }

    /// Up to 64 reports from this one.
    fn word(&self, at: usize, most: usize) -> u64 {
        let (index, shift) = (at / 64, at % 64);
        let mut word = self.words[index] >> shift;
        if shift > 0
            && let Some(next) = self.words.get(index + 1)
        {
            word |= next << (64 - shift);
        }
        if most < 64 { word & ((1 << most) - 1) } else { word }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng, rngs::ChaCha20Rng};

    #[test]
    fn pairs_are_those_that_one_would_count_by_hand() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let all: Vec<bool> = (0..1000).map(|_| rng.random_bool(0.4)).collect();
        let mut stream = Stream::default();
        for happened in &all {
            stream.push(*happened);
        }
        for lag in (1..140).chain([499, 500, 501, 999, 1000, 5000]) {
            let mut by_hand = Share::default();
            for at in (0..all.len()).filter(|at| (at / lag).is_multiple_of(2)) {
                if at + lag < all.len() && all[at] {
                    by_hand.trials += 1;
                    by_hand.hits += u64::from(all[at + lag]);
                }
            }
            assert_eq!(stream.after(lag), by_hand, "{lag}");
        }
    }

    #[test]
    fn only_the_last_are_looked_back_on() {
        let mut stream = Stream::default();
        (0..MOST).for_each(|_| stream.push(false));
        (0..=MOST / 2).for_each(|_| stream.push(true));
        assert!(stream.length() <= MOST && stream.words.len() <= MOST / 64);
        let after = stream.after(1);
        assert!(after.trials > 0 && after.hits == after.trials);
    }
}
