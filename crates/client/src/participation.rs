//! In which windows of a period a device takes part.
//!
//! A budget that covers fewer windows than a period has is not spent on the first ones: then nobody would
//! report in the rest. Each device takes part in windows of its own, a uniformly random subset of the
//! period's, drawn from its secret and the period and from nothing else. So each window has the same share
//! of all devices, whatever anybody says, and of those that come late each window that is left has its share too.
//!
//! The windows are the first ones of a random permutation. A budget that is raised or lowered in mid-period
//! therefore adds windows or takes some away, and moves none.

use super::state::DeviceSecret;
use sottovoce_program::Program;
use std::collections::HashMap;

/// How many windows a period has, and in how many of them a device takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Participation {
    of: u64,
    windows: u64,
}

impl Participation {
    /// What a program's budget says: without one, every window.
    pub(super) fn of(program: &Program) -> Self {
        let window = program.window().seconds();
        program.budget().map_or(Self { of: 1, windows: 1 }, |budget| Self {
            of: (budget.period() / window).max(1),
            windows: budget.windows(),
        })
    }

    /// Whether a device takes part in every window.
    pub(super) fn is_everywhere(self) -> bool {
        self.windows >= self.of
    }

    /// In how many windows of a period a device takes part, and how many it has.
    pub(super) fn share(self) -> (u64, u64) {
        (self.windows.min(self.of), self.of)
    }

    /// A device's own windows of a period, in order; periods are counted from the Epoch.
    pub(super) fn own(self, secret: &DeviceSecret, period: u64) -> Vec<u64> {
        let first = period.saturating_mul(self.of);
        if self.is_everywhere() {
            return (first..first.saturating_add(self.of)).collect();
        }
        let mut stream = Stream { secret, period, of: self.of, at: 0 };
        // A shuffle of all windows that is only carried so far: what is not in the map is where it began.
        let mut moved: HashMap<u64, u64> = HashMap::new();
        let place = |moved: &HashMap<u64, u64>, at: u64| moved.get(&at).copied().unwrap_or(at);
        let mut own = Vec::new();
        for at in 0..self.windows {
            let with = at + stream.below(self.of - at);
            let (here, there) = (place(&moved, at), place(&moved, with));
            moved.insert(with, here);
            own.push(first.saturating_add(there));
        }
        own.sort_unstable();
        own
    }

    /// The first of a device's own windows from this one on.
    pub(super) fn next(self, secret: &DeviceSecret, from: u64) -> u64 {
        if self.is_everywhere() {
            return from;
        }
        let period = from / self.of;
        let own = [period, period.saturating_add(1)].map(|period| self.own(secret, period));
        own.into_iter().flatten().find(|window| *window >= from).unwrap_or(u64::MAX)
    }
}

/// Numbers that only the secret tells from random ones.
struct Stream<'a> {
    secret: &'a DeviceSecret,
    period: u64,
    of: u64,
    at: u64,
}

impl Stream<'_> {
    fn next(&mut self) -> u64 {
        let what = [self.of, self.period, self.at].map(u64::to_le_bytes).concat();
        self.at += 1;
        self.secret.hash("participation", &what)
    }

    /// A number below `bound`, each exactly as likely as the others.
    fn below(&mut self, bound: u64) -> u64 {
        // 2^64 modulo the bound: so many numbers at the end would favour some remainders.
        let left_over = (u64::MAX % bound + 1) % bound;
        loop {
            let number = self.next();
            if number <= u64::MAX - left_over {
                return number % bound;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const FOUR_OF_TEN: Participation = Participation { of: 10, windows: 4 };

    fn secret(number: u64) -> DeviceSecret {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        DeviceSecret::new(bytes)
    }

    /// Sum of (found - expected)² / expected.
    fn chi_square(counts: impl Iterator<Item = u64>, expected: f64) -> f64 {
        counts.map(|count| (count as f64 - expected).powi(2) / expected).sum()
    }

    #[test]
    fn each_subset_is_as_likely_and_each_window_has_its_share() {
        let mut subsets: BTreeMap<Vec<u64>, u64> = BTreeMap::new();
        let mut windows = [0_u64; 10];
        let devices = 42_000;
        for device in 0..devices {
            let own = FOUR_OF_TEN.own(&secret(device), 2078);
            assert!(own.len() == 4 && own.is_sorted_by(|one, other| one < other), "{own:?}");
            for window in &own {
                windows[usize::try_from(window - 20_780).unwrap()] += 1;
            }
            *subsets.entry(own).or_default() += 1;
        }
        // 210 subsets, 200 devices each; 209 degrees of freedom: above 296 once in 10^4 times.
        assert_eq!(subsets.len(), 210);
        let statistic = chi_square(subsets.into_values(), 200.0);
        assert!((135.0..296.0).contains(&statistic), "{statistic}");
        // A window's count is binomial with 4/10; four of ten without replacement: less spread than that.
        let expected = devices as f64 * 0.4;
        let deviation = (devices as f64 * 0.4 * 0.6).sqrt();
        for count in windows {
            assert!((count as f64 - expected).abs() < 4.5 * deviation, "{windows:?}");
        }
    }

    #[test]
    fn periods_and_devices_are_independent() {
        // The overlap of two subsets of four of ten is hypergeometric.
        let hypergeometric = [15.0, 80.0, 90.0, 24.0, 1.0].map(|ways| ways / 210.0);
        let overlap = |one: &[u64], other: &[u64]| {
            one.iter().filter(|window| other.iter().any(|w| w % 10 == *window % 10)).count()
        };
        let mut counts = [[0_u64; 5]; 2];
        for device in 0..10_000 {
            let own = |device, period| FOUR_OF_TEN.own(&secret(device), period);
            counts[0][overlap(&own(device, 7), &own(device, 8))] += 1;
            counts[1][overlap(&own(device, 7), &own(device + 1_000_000, 7))] += 1;
        }
        for counts in counts {
            let statistic: f64 = counts
                .iter()
                .zip(hypergeometric)
                .map(|(count, p)| (*count as f64 - 10_000.0 * p).powi(2) / (10_000.0 * p))
                .sum();
            // Four degrees of freedom: above 23.5 once in 10^4 times.
            assert!(statistic < 23.5, "{counts:?}: {statistic}");
        }
    }

    #[test]
    fn more_windows_keep_those_that_there_were() {
        for device in 0..200 {
            let own = |windows| Participation { of: 90, windows }.own(&secret(device), device / 3);
            for windows in 1..90 {
                let (few, more) = (own(windows), own(windows + 1));
                assert_eq!((few.len() as u64, more.len()), (windows, few.len() + 1));
                assert!(few.iter().all(|window| more.contains(window)));
            }
        }
    }

    #[test]
    fn the_next_window_is_the_first_of_its_own_from_then_on() {
        let secret = secret(5);
        let own: Vec<_> = (3..6).flat_map(|period| FOUR_OF_TEN.own(&secret, period)).collect();
        for from in 30..50 {
            let next = FOUR_OF_TEN.next(&secret, from);
            assert_eq!(Some(&next), own.iter().find(|window| **window >= from));
        }
        let all = Participation { of: 10, windows: 10 };
        assert!(all.is_everywhere() && all.next(&secret, 37) == 37);
        assert_eq!(all.own(&secret, 3), (30..40).collect::<Vec<_>>());
    }

    /// The windows of a device do not change with the library: these were drawn by the first that drew any.
    #[test]
    fn the_same_secret_has_the_same_windows_for_ever() {
        assert_eq!(FOUR_OF_TEN.own(&secret(1), 2078), OWN);
    }

    const OWN: [u64; 4] = [20_781, 20_782, 20_786, 20_789];
}
