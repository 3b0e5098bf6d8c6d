//! Backoff: how long to wait before a retry.

use rand::RngExt;
use std::time::Duration;

/// Exponential back-off with jitter: each wait is drawn between half of its bound and the bound,
/// so that clients that failed together do not return together.
#[derive(Clone, Debug)]
pub struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    /// Waits about `first`, then twice as long each time, up to `longest`.
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self { next: first.min(longest), longest }
    }

    /// The next wait; never shorter than what the server asked for, within reason.
    pub fn wait(&mut self, asked: Option<Duration>) -> Duration {
        let bound = self.next;
        self.next = (self.next * 2).min(self.longest);
        let drawn = bound.mul_f64(jitter());
        drawn.max(asked.unwrap_or_default().min(LONGEST_ASKED))
    }

    /// The wait before attempt number `attempt` (from zero) of a job that is kept elsewhere.
    pub fn at_attempt(first: Duration, longest: Duration, attempt: u32) -> Duration {
        let doubled = first.saturating_mul(1_u32.checked_shl(attempt).unwrap_or(u32::MAX));
        Self::new(doubled, longest).wait(None)
    }
}

/// Where between half and all of a bound a wait is.
fn jitter() -> f64 {
    #[cfg(any(test, feature = "test-util"))]
    if let Some(drawn) = seeded::draw() {
        return drawn;
    }
    rand::rng().random_range(0.5..=1.0)
}

/// Waits of a simulation: drawn from a seed, on the thread where it runs.
#[cfg(any(test, feature = "test-util"))]
pub mod seeded {
    use rand::{RngExt, SeedableRng, rngs::StdRng};
    use std::cell::RefCell;

    thread_local! {
        static RNG: RefCell<Option<StdRng>> = const { RefCell::new(None) };
    }

    /// Draws all later waits of this thread from `seed`, or none any more.
    pub fn set(seed: Option<u64>) {
        RNG.set(seed.map(StdRng::seed_from_u64));
    }

    pub(super) fn draw() -> Option<f64> {
        RNG.with_borrow_mut(|rng| rng.as_mut().map(|rng| rng.random_range(0.5..=1.0)))
    }
}

/// A server may ask for patience, but not silence a client for good.
const LONGEST_ASKED: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_longest_and_honour_what_was_asked() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        let waits: Vec<_> = (0..6).map(|_| backoff.wait(None).as_millis()).collect();
        let bounds = [100, 200, 400, 800, 1000, 1000];
        for (wait, bound) in waits.iter().zip(bounds) {
            assert!((bound / 2..=bound).contains(wait), "{waits:?}");
        }
        assert_eq!(backoff.wait(Some(Duration::from_secs(5))), Duration::from_secs(5));
        assert_eq!(backoff.wait(Some(Duration::MAX)), LONGEST_ASKED);
    }

    #[test]
    fn a_huge_attempt_number_does_not_overflow() {
        let longest = Duration::from_secs(60);
        assert!(Backoff::at_attempt(Duration::from_secs(1), longest, 4_000) <= longest);
    }
}
