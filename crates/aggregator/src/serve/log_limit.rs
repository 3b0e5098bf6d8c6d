//! Rate limit of log lines that strangers cause.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// For what may happen as often as strangers like: it is logged now and then, with how often it was.
#[derive(Debug)]
pub struct LogLimit {
    every: Duration,
    said: Mutex<(Option<Instant>, u64)>,
}

impl LogLimit {
    /// Logged once in so long.
    pub const fn new(every: Duration) -> Self {
        Self { every, said: Mutex::new((None, 0)) }
    }

    /// It happened: gives how often it did since it was last logged, if it is to be logged now.
    pub fn count(&self, now: Instant) -> Option<u64> {
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
    fn what_happens_often_is_logged_seldom_and_every_time_is_counted() {
        let (limit, now) = (LogLimit::new(Duration::from_secs(5)), Instant::now());
        let after = |seconds| limit.count(now + Duration::from_secs(seconds));
        let said: Vec<_> = [0, 0, 1, 4, 5, 6, 30].map(after).into_iter().flatten().collect();
        assert_eq!(said, [1, 4, 2]);
    }
}
