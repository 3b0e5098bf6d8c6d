//! Lines of the log that strangers cause, and their rate.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// For what may happen as often as strangers like: it is said now and then, with how often it was.
#[derive(Debug)]
pub struct Seldom {
    every: Duration,
    said: Mutex<(Option<Instant>, u64)>,
}

impl Seldom {
    /// Said once in so long.
    pub const fn new(every: Duration) -> Self {
        Self { every, said: Mutex::new((None, 0)) }
    }

    /// It happens: gives how often it did since it was last said, if it is to be said now.
    pub fn happens(&self, now: Instant) -> Option<u64> {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, times) = &mut *said;
        *times += 1;
        if at.is_some_and(|at| now.saturating_duration_since(at) < self.every) {
            return None;
        }
        *at = Some(now);
        Some(std::mem::take(times))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_often_is_said_seldom_and_every_time_is_counted() {
        let (seldom, now) = (Seldom::new(Duration::from_secs(5)), Instant::now());
        let after = |seconds| seldom.happens(now + Duration::from_secs(seconds));
        let said: Vec<_> = [0, 0, 1, 4, 5, 6, 30].map(after).into_iter().flatten().collect();
        assert_eq!(said, [1, 4, 2]);
    }
}
