//! Monotonic time, derived from a device's clock, which may jump.
//!
//! A clock can be wrong for a while: at zero after a flat battery, in another century after a slip
//! of the user's finger. What is kept here is therefore not when something was but how much time
//! has passed, in *device time*, by three rules:
//!
//! - A step back of up to an hour is waited out: a time before the last seen counts as the last
//!   seen.
//! - A longer step back means that one of the two times was wrong. No time has passed, and from
//!   here on the new one counts. Whoever was asked in the year 2099 is therefore asked again after
//!   the cool-down, not after 2099. If the clock later passes the time that it stepped back from,
//!   only what lies beyond that counts: a clock that is at zero now and then gains nothing.
//! - A step forward counts as 90 days at most, so that one wrong moment does not make a device
//!   forget its user. It does end waits: a leap cannot be told from a silence.

use serde::{Deserialize, Serialize};

/// How much time has passed on a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// The last time seen, in seconds since the Epoch.
    seen: Option<u64>,
    /// The time that the clock stepped back from last, until it passes it again.
    stepped_back_from: Option<u64>,
    /// Device time, in seconds.
    passed: u64,
}

/// Steps back within this are the jitter of one clock.
const JITTER: u64 = 3600;
/// The longest silence that is believed, in seconds.
const LONGEST_STEP: u64 = 90 * 86_400;

impl Clock {
    /// Takes note of the time, and says how many seconds have passed since the last one: at most
    /// 90 days.
    pub fn advance(&mut self, now: u64) -> u64 {
        let Some(seen) = self.seen else {
            self.seen = Some(now);
            return 0;
        };
        if now < seen {
            if seen - now > JITTER {
                self.stepped_back_from = Some(seen);
                self.seen = Some(now);
            }
            return 0;
        }
        let from = self.stepped_back_from.take_if(|left| *left <= now).unwrap_or(seen);
        let step = (now - from).min(LONGEST_STEP);
        self.seen = Some(now);
        self.passed = self.passed.saturating_add(step);
        step
    }

    /// The seconds that would have passed by `now`.
    pub fn since(&self, now: u64) -> u64 {
        self.clone().advance(now)
    }

    /// Device time: the seconds that have passed since the first time seen.
    pub fn passed(&self) -> u64 {
        self.passed
    }

    /// When, on the device's clock as it goes now, device time will be this.
    pub fn when(&self, passed: u64) -> u64 {
        self.seen.unwrap_or(0).saturating_add(passed.saturating_sub(self.passed))
    }
}

/// What is left of something after a time: a half after each half-life, both in seconds.
#[expect(clippy::cast_precision_loss, reason = "half-lives need no more than 53 bits")]
pub(super) fn decay(passed: u64, half_life: u64) -> f64 {
    (-(passed as f64) / half_life.max(1) as f64).exp2()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const YEAR: u64 = 365 * 86_400;
    const NOW: u64 = 56 * YEAR;

    fn at(times: &[u64]) -> u64 {
        let mut clock = Clock::default();
        for time in times {
            clock.advance(*time);
        }
        clock.passed()
    }

    #[test]
    fn a_small_step_back_is_waited_out() {
        assert_eq!(at(&[NOW, NOW + 100, NOW + 40, NOW + 99, NOW + 103]), 103);
        let jitter: Vec<_> = (0..1000).map(|i| NOW + i % 2 * JITTER).collect();
        assert_eq!(at(&jitter), JITTER, "going back and forth gains nothing");
    }

    #[test]
    fn time_goes_on_after_a_moment_in_the_far_future() {
        assert_eq!(at(&[NOW, u64::MAX, NOW + 5]), LONGEST_STEP);
        assert_eq!(at(&[NOW, u64::MAX, NOW + 5, NOW + 105]), LONGEST_STEP + 100);
    }

    #[test]
    fn a_clock_at_zero_gains_only_what_it_ran() {
        assert_eq!(at(&[NOW, 0, 50, NOW + 60]), 50 + 60);
        let flat_battery: Vec<_> = (0..1000).map(|i| i % 2 * NOW).collect();
        assert_eq!(at(&flat_battery), LONGEST_STEP, "the first time was the wrong one");
        let after_a_slip = at(&[NOW, u64::MAX, NOW, 0, NOW]);
        assert_eq!(after_a_slip, LONGEST_STEP);
        let from_the_right: Vec<_> = (1..1000).map(|i| i % 2 * NOW).collect();
        assert_eq!(at(&from_the_right), 0);
    }

    #[test]
    fn a_long_silence_counts_as_ninety_days() {
        assert_eq!(at(&[NOW, NOW + YEAR]), LONGEST_STEP);
    }

    #[test]
    fn when_is_on_the_clock_as_it_goes_now() {
        let mut clock = Clock::default();
        clock.advance(u64::MAX);
        clock.advance(NOW);
        assert_eq!(clock.when(clock.passed() + 60), NOW + 60);
        assert_eq!(clock.when(0), NOW);
    }

    proptest! {
        #[test]
        fn device_time_never_goes_back_or_leaps(times: Vec<u64>) {
            let mut clock = Clock::default();
            for time in times {
                let before = clock.passed();
                let peeked = clock.since(time);
                let step = clock.advance(time);
                prop_assert_eq!(peeked, step);
                prop_assert!(step <= LONGEST_STEP && clock.passed() == before + step);
            }
        }
    }
}
